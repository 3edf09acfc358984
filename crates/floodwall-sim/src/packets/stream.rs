//! Packets of many sources in the order of time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use floodwall_model::packet::PacketFacts;

use super::honest::Host;

/// Packets made and not yet due, at most. When full, the rest of what a source makes then is left
/// out, and [`Stream::left_out`] counts it.
pub const PENDING_PACKETS_MAX: usize = 4_000_000;

/// A packet on the host's link.
#[derive(Copy, Clone, Debug)]
pub struct LabelledPacket {
    /// When, µs since the stream's beginning.
    pub at_us: u64,
    /// What its headers say. The mark for solicited packets is never set: see
    /// [`LabelledPacket::solicited`].
    pub facts: PacketFacts,
    /// Whether it is part of the attack. Answers to the attack are not.
    pub attack: bool,
    /// What made it.
    pub group: &'static str,
    /// Whether it came to the host; otherwise the host sent it.
    pub inbound: bool,
    /// Whether whoever knows the host's sockets would call it part of a conversation of the host's:
    /// a connection that was opened (a SYN that was answered is enough), or an answer to a datagram
    /// sent to this very address and port within the last 30 seconds, with its later fragments. False
    /// for what the host sent.
    pub solicited: bool,
}

impl LabelledPacket {
    /// The facts with the mark that an observer who follows connections sets.
    pub fn facts_followed(&self) -> PacketFacts {
        let mut facts = self.facts;
        if self.solicited {
            facts.set_solicited();
        }
        facts
    }
}

/// Something that makes packets.
pub(crate) trait Source {
    /// When it will make the next ones, µs; `u64::MAX` when it has ended.
    fn due_us(&self) -> u64;

    /// Makes them: none may be earlier than [`Source::due_us`] said. Must move the due time on.
    fn make(&mut self, out: &mut Vec<LabelledPacket>);
}

/// A packet in the queue. Of equal times the one made first comes first.
struct Pending {
    packet: LabelledPacket,
    number: u64,
}

impl Pending {
    fn key(&self) -> (u64, u64) {
        (self.packet.at_us, self.number)
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    /// Turned round: the heap keeps the greatest at the top.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// Labelled packets in the order of time. An iterator that ends.
pub struct Stream {
    sources: Vec<Box<dyn Source + Send>>,
    pending: BinaryHeap<Pending>,
    made: Vec<LabelledPacket>,
    number: u64,
    left_out: u64,
    from_us: u64,
    until_us: u64,
    host: Host,
    attack_spans_us: Vec<(u64, u64)>,
    honest_pps: f64,
    attack_pps: f64,
    words: String,
}

/// What a stream is about, besides its sources.
pub(crate) struct About {
    pub(crate) host: Host,
    /// When the attack sends, µs since the stream's beginning.
    pub(crate) attack_spans_us: Vec<(u64, u64)>,
    pub(crate) honest_pps: f64,
    pub(crate) attack_pps: f64,
    pub(crate) words: String,
}

impl Stream {
    /// Packets of `sources` from `from_us` to before `until_us` of their time. What was made for
    /// earlier is dropped: conversations are under way when the stream begins.
    pub(crate) fn new(
        sources: Vec<Box<dyn Source + Send>>,
        from_us: u64,
        until_us: u64,
        about: About,
    ) -> Stream {
        Stream {
            sources,
            pending: BinaryHeap::new(),
            made: Vec::new(),
            number: 0,
            left_out: 0,
            from_us,
            until_us,
            host: about.host,
            attack_spans_us: about.attack_spans_us,
            honest_pps: about.honest_pps,
            attack_pps: about.attack_pps,
            words: about.words,
        }
    }

    /// The host that is sent to.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// When the attack sends: from, until, µs since the stream's beginning; more than one span for
    /// pulses, none without an attack.
    pub fn attack_spans_us(&self) -> &[(u64, u64)] {
        &self.attack_spans_us
    }

    /// When the attack begins, µs since the stream's beginning.
    pub fn onset_us(&self) -> Option<u64> {
        self.attack_spans_us.first().map(|span| span.0)
    }

    /// How long the stream lasts, µs.
    pub fn duration_us(&self) -> u64 {
        self.until_us - self.from_us
    }

    /// Mean honest inbound packets per second, measured, without a crowd.
    pub fn honest_pps(&self) -> f64 {
        self.honest_pps
    }

    /// Attack packets per second while it sends.
    pub fn attack_pps(&self) -> f64 {
        self.attack_pps
    }

    /// What happens, in a sentence for test output.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Packets left out since [`PENDING_PACKETS_MAX`] were waiting.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn make_next(&mut self, source: usize) {
        self.sources[source].make(&mut self.made);
        for packet in self.made.drain(..) {
            if packet.at_us < self.from_us || packet.at_us >= self.until_us {
                continue;
            }
            if self.pending.len() >= PENDING_PACKETS_MAX {
                self.left_out += 1;
                continue;
            }
            self.number += 1;
            self.pending.push(Pending { packet, number: self.number });
        }
    }
}

impl Iterator for Stream {
    type Item = LabelledPacket;

    fn next(&mut self) -> Option<LabelledPacket> {
        loop {
            let due = self.sources.iter().map(|source| source.due_us()).enumerate();
            let earliest = due.min_by_key(|(_, due_us)| *due_us);
            let (source, due_us) = earliest.unwrap_or((0, u64::MAX));
            // What waits may go once nothing earlier can be made any more.
            if self.pending.peek().is_some_and(|first| first.packet.at_us <= due_us) {
                let mut packet = self.pending.pop()?.packet;
                packet.at_us -= self.from_us;
                return Some(packet);
            }
            if due_us >= self.until_us {
                return None;
            }
            self.make_next(source);
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("words", &self.words).finish_non_exhaustive()
    }
}
