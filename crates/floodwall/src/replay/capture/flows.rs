//! Who talks with whom in a recording: what sockets tell the kernel filter, found from the packets
//! alone. A packet is *solicited* when the end it goes to has spoken in the same conversation
//! lately.
//!
//! No direction is known in a recording: every packet is judged as if it arrived at the host that
//! it is sent to. A TCP reset does not count as speaking: an end that answers strangers with resets
//! has no connection with them.
//!
//! Every table forgets what was unused for longest when full. A conversation with both ends heard
//! is kept apart from those with one, so that a flood of strangers cannot push it out.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use floodwall_model::packet::{PacketClass, PacketFacts};

use super::conversation::{Datagram, Part, Place, Tuple};
use super::recency::Recency;

/// Conversations of which one end was heard. When full: the one unused for longest is forgotten,
/// counted; its answer, should it still come, is taken for unsolicited.
const ONE_WAY_MAX: usize = 262_144;

/// Conversations of which both ends were heard. When full: the one unused for longest is forgotten,
/// counted.
const TWO_WAY_MAX: usize = 262_144;

/// Fragmented datagrams whose first fragment is remembered. When full: the one unused for longest is
/// forgotten, counted; its later fragments are taken for unsolicited.
const DATAGRAMS_MAX: usize = 65_536;

/// UDP ports that have answered. When full: the one unused for longest is forgotten, counted.
const SERVICES_MAX: usize = 65_536;

/// How long what was said solicits an answer, ms. TCP: longer than keep-alives and slow answers of
/// servers; UDP: `nf_conntrack_udp_timeout`; echo: longest patience of ping; fragments:
/// `ip_frag_time`.
pub(crate) const TCP_MS: u64 = 120_000;
pub(crate) const UDP_MS: u64 = 30_000;
pub(crate) const ECHO_MS: u64 = 10_000;
pub(crate) const FRAGMENT_MS: u64 = 30_000;

/// Conversations heard from both ends that prove a recording of both directions. One might be
/// chance or forged; three are not.
const TWO_WAY_PROOF: u64 = 3;

/// How a packet stands to what went before.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Standing {
    /// The end it goes to has spoken in this conversation lately.
    pub(crate) solicited: bool,
    /// It goes to a UDP port that has answered somebody before.
    pub(crate) to_service: bool,
}

/// The tracker.
pub(crate) struct Flows {
    one_way: Recency<Ends, Flow>,
    two_way: Recency<Ends, Flow>,
    datagrams: Recency<Datagram, (Standing, u64)>,
    services: Recency<(IpAddr, u16), ()>,
    two_way_seen: u64,
    handshakes: u64,
}

/// A conversation's name, the same from both ends.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct Ends {
    protocol: u8,
    low: (IpAddr, u16),
    high: (IpAddr, u16),
}

/// Which end sent: 0 the lower, 1 the higher.
type End = usize;

#[derive(Copy, Clone, Debug)]
struct Flow {
    /// When each end was last heard, ms.
    heard_ms: [Option<u64>; 2],
    /// Which end spoke first.
    opened_by: End,
    opening: Option<Opening>,
}

/// A TCP connection being opened (RFC 9293 § 3.5).
#[derive(Copy, Clone, Debug)]
struct Opening {
    by: End,
    sequence: u32,
    /// The sequence number in the SYN-ACK.
    answer: Option<u32>,
}

impl Default for Flows {
    fn default() -> Self {
        Flows::with_capacities(ONE_WAY_MAX, TWO_WAY_MAX, DATAGRAMS_MAX, SERVICES_MAX)
    }
}

impl Flows {
    fn with_capacities(one_way: usize, two_way: usize, datagrams: usize, services: usize) -> Self {
        Flows {
            one_way: Recency::new(one_way),
            two_way: Recency::new(two_way),
            datagrams: Recency::new(datagrams),
            services: Recency::new(services),
            two_way_seen: 0,
            handshakes: 0,
        }
    }

    /// Whether the recording holds both directions. While it does not, "unsolicited" says nothing.
    pub(crate) fn recorded_both_ways(&self) -> bool {
        self.two_way_seen >= TWO_WAY_PROOF
    }

    /// TCP handshakes completed since the last call.
    pub(crate) fn take_handshakes(&mut self) -> u64 {
        std::mem::take(&mut self.handshakes)
    }

    /// Entries forgotten because a table was full.
    pub(crate) fn forgotten(&self) -> u64 {
        self.one_way.forgotten
            + self.two_way.forgotten
            + self.datagrams.forgotten
            + self.services.forgotten
    }

    /// Takes the next packet in time and tells how it stands.
    pub(crate) fn note(&mut self, facts: &PacketFacts, place: &Place, now_ms: u64) -> Standing {
        let standing = match place.part {
            Part::Tcp(tuple) => self.tcp(facts, &tuple, now_ms),
            Part::Udp(tuple) => self.udp(&tuple, now_ms),
            Part::EchoRequest(tuple) => {
                self.hear(&tuple, now_ms, ECHO_MS);
                Standing::default()
            }
            Part::EchoReply(tuple) => solicited(self.answers(&tuple, now_ms, ECHO_MS)),
            Part::ErrorAbout(tuple) => {
                let within_ms = patience_ms(tuple.protocol);
                solicited(self.heard(&tuple, now_ms, within_ms))
            }
            Part::LaterFragment(datagram) => self.later_fragment(&datagram, now_ms),
            Part::Alone => Standing::default(),
        };
        if let Some(datagram) = place.first_of {
            *self.datagrams.touch(datagram, || (standing, now_ms)) = (standing, now_ms);
        }
        standing
    }

    fn tcp(&mut self, facts: &PacketFacts, tuple: &Tuple, now_ms: u64) -> Standing {
        let (ends, end) = Ends::of(tuple);
        let both_ways = self.recorded_both_ways();
        let opens = !matches!(facts.class, PacketClass::Rst | PacketClass::TcpOdd);
        let (flow, is_two_way) = match self.two_way.touch_known(&ends) {
            Some(flow) => (flow, true),
            None if opens => (self.one_way.touch(ends, || Flow::new(end)), false),
            None => match self.one_way.peek_mut(&ends) {
                Some(flow) => (flow, false),
                None => return Standing::default(),
            },
        };
        let answers = flow.tcp(facts.class, end, now_ms);
        let completes = flow.follow_opening(facts, end, both_ways);
        let flow = *flow;
        if answers && opens && !is_two_way {
            self.promote(ends, flow);
        }
        self.handshakes += u64::from(completes);
        solicited(answers && facts.class != PacketClass::Syn)
    }

    fn udp(&mut self, tuple: &Tuple, now_ms: u64) -> Standing {
        let answers = self.hear(tuple, now_ms, UDP_MS);
        let (ends, end) = Ends::of(tuple);
        let opened_by_other = self.flow(&ends).is_some_and(|flow| flow.opened_by != end);
        if answers && opened_by_other {
            self.services.touch((tuple.source, tuple.source_port), || ());
        }
        let port = (tuple.destination, tuple.destination_port);
        Standing { solicited: answers, to_service: self.services.peek(&port).is_some() }
    }

    fn later_fragment(&self, datagram: &Datagram, now_ms: u64) -> Standing {
        match self.datagrams.peek(datagram) {
            Some((standing, at_ms)) if now_ms.saturating_sub(*at_ms) <= FRAGMENT_MS => *standing,
            _ => Standing::default(),
        }
    }

    /// The sender of `tuple` speaks. Returns whether that answers something.
    fn hear(&mut self, tuple: &Tuple, now_ms: u64, within_ms: u64) -> bool {
        let (ends, end) = Ends::of(tuple);
        if let Some(flow) = self.two_way.touch_known(&ends) {
            return flow.hear(end, now_ms, within_ms);
        }
        let flow = self.one_way.touch(ends, || Flow::new(end));
        let answers = flow.hear(end, now_ms, within_ms);
        let flow = *flow;
        if answers {
            self.promote(ends, flow);
        }
        answers
    }

    /// Both ends were heard for the first time.
    fn promote(&mut self, ends: Ends, flow: Flow) {
        self.two_way.touch(ends, || flow);
        self.two_way_seen += 1;
    }

    /// Whether `tuple` answers something, without its sender speaking.
    fn answers(&mut self, tuple: &Tuple, now_ms: u64, within_ms: u64) -> bool {
        let (ends, end) = Ends::of(tuple);
        self.flow(&ends).is_some_and(|flow| flow.heard(1 - end, now_ms, within_ms))
    }

    /// Whether the sender of `tuple` itself was heard.
    fn heard(&self, tuple: &Tuple, now_ms: u64, within_ms: u64) -> bool {
        let (ends, end) = Ends::of(tuple);
        self.flow(&ends).is_some_and(|flow| flow.heard(end, now_ms, within_ms))
    }

    fn flow(&self, ends: &Ends) -> Option<&Flow> {
        self.two_way.peek(ends).or_else(|| self.one_way.peek(ends))
    }
}

fn solicited(solicited: bool) -> Standing {
    Standing { solicited, to_service: false }
}

fn patience_ms(protocol: u8) -> u64 {
    match protocol {
        super::conversation::TCP => TCP_MS,
        super::conversation::UDP => UDP_MS,
        _ => ECHO_MS,
    }
}

/// In three words: hashing field by field costs more than all else that is done with a packet.
impl Hash for Ends {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let number = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            IpAddr::V6(v6) => u128::from(v6),
        };
        let ports = u64::from(self.low.1) << 16 | u64::from(self.high.1);
        state.write_u128(number(self.low.0));
        state.write_u128(number(self.high.0));
        state.write_u64(ports << 8 | u64::from(self.protocol));
    }
}

impl Ends {
    fn of(tuple: &Tuple) -> (Ends, End) {
        let protocol = tuple.protocol;
        let source = (tuple.source, tuple.source_port);
        let destination = (tuple.destination, tuple.destination_port);
        if source <= destination {
            (Ends { protocol, low: source, high: destination }, 0)
        } else {
            (Ends { protocol, low: destination, high: source }, 1)
        }
    }
}

impl Flow {
    fn new(opened_by: End) -> Self {
        Flow { heard_ms: [None; 2], opened_by, opening: None }
    }

    fn heard(&self, end: End, now_ms: u64, within_ms: u64) -> bool {
        self.heard_ms[end].is_some_and(|at_ms| now_ms.saturating_sub(at_ms) <= within_ms)
    }

    /// `end` speaks. Returns whether the other end had.
    fn hear(&mut self, end: End, now_ms: u64, within_ms: u64) -> bool {
        let answers = self.heard(1 - end, now_ms, within_ms);
        if !answers && !self.heard(end, now_ms, within_ms) {
            // Nobody spoke for long: a new conversation between the same ends.
            self.opened_by = end;
        }
        self.heard_ms[end] = Some(now_ms);
        answers
    }

    /// A TCP packet of `end`. Returns whether the other end had spoken. A reset says that its sender
    /// has no such connection: it takes back what was said.
    fn tcp(&mut self, class: PacketClass, end: End, now_ms: u64) -> bool {
        match class {
            PacketClass::Rst => {
                self.heard_ms[end] = None;
                self.heard(1 - end, now_ms, TCP_MS)
            }
            PacketClass::TcpOdd => self.heard(1 - end, now_ms, TCP_MS),
            _ => self.hear(end, now_ms, TCP_MS),
        }
    }

    /// SYN, SYN-ACK, ACK with the numbers they must have; whether that completes a handshake. Where
    /// only one direction was recorded, the SYN-ACK is missing; then the ACK counts if it goes on
    /// where the SYN stopped, which nobody can do by accident.
    fn follow_opening(&mut self, facts: &PacketFacts, end: End, both_ways: bool) -> bool {
        let next = |sequence: u32| sequence.wrapping_add(1);
        match (facts.class, &mut self.opening) {
            (PacketClass::Syn, opening) => {
                *opening = Some(Opening { by: end, sequence: facts.sequence, answer: None });
                false
            }
            (PacketClass::SynAck, Some(opening))
                if opening.by != end && facts.acknowledgement == next(opening.sequence) =>
            {
                opening.answer = Some(facts.sequence);
                false
            }
            (PacketClass::Ack | PacketClass::Data | PacketClass::Fin, Some(opening))
                if opening.by == end && facts.sequence == next(opening.sequence) =>
            {
                let completes = match opening.answer {
                    Some(answer) => facts.acknowledgement == next(answer),
                    None => !both_ways && facts.acknowledgement != 0,
                };
                if completes {
                    self.opening = None;
                }
                completes
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
