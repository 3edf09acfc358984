//! What the engine is told about packets: exact counts of every kind, and some packets whole.

use super::facts::{PACKET_CLASS_COUNT, PacketFacts};
use super::reason::PacketReason;
use crate::plan::RuleId;

/// What was done with a packet.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum PacketHandling {
    /// It went on.
    #[default]
    Passed,
    /// In shadow mode: it went on, and this rule would have dropped it.
    WouldDrop(RuleId),
    /// A rule dropped it.
    Dropped(RuleId),
    /// Dropped or answered for a reason that is no rule's.
    Refused(PacketReason),
}

impl PacketHandling {
    /// The rule that spoke, if one did.
    pub const fn rule(self) -> Option<RuleId> {
        match self {
            PacketHandling::WouldDrop(id) | PacketHandling::Dropped(id) => Some(id),
            PacketHandling::Passed | PacketHandling::Refused(_) => None,
        }
    }
}

/// One packet, seen whole.
#[derive(Copy, Clone, Debug)]
pub struct PacketObservation {
    /// When, ms since the epoch.
    pub at_ms: u64,
    /// What it was.
    pub facts: PacketFacts,
    /// How many packets it stands for: 1 where every packet is looked at, N at a sampling of 1:N.
    pub weight: u32,
    /// What was done with it.
    pub handling: PacketHandling,
}

/// Packets of one class.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct ClassCount {
    /// Packets, exact.
    pub packets: u64,
    /// Their frames' bytes, exact.
    pub bytes: u64,
}

/// What an observer of packets hands over at once. Counts are since the last batch.
#[derive(Debug, Default)]
pub struct PacketBatch {
    /// Exact counts by [`super::PacketClass`], of all packets that arrived.
    pub counts: [ClassCount; PACKET_CLASS_COUNT],
    /// Some of the packets, whole, oldest first.
    pub observations: Vec<PacketObservation>,
    /// Packets matched by each rule, exact.
    pub matched: Vec<(RuleId, u64)>,
    /// Packets refused for a reason that is no rule's, exact.
    pub refused: Vec<(PacketReason, u64)>,
    /// TCP handshakes completed by this host as a server; `None` where nobody counts them.
    pub handshakes: Option<u64>,
    /// Whether the mark for conversations (`TransportMark::SOLICITED`) is the word of whoever keeps
    /// this host's sockets; otherwise it was inferred from what was seen.
    pub knows_sockets: bool,
    /// Packets chosen as samples and lost on the way.
    pub lost: u64,
}

impl PacketBatch {
    /// Takes in what another observer of this host saw in the same time. Handshakes are the whole
    /// host's and are not added: the greater count holds them.
    pub fn merge(&mut self, other: PacketBatch) {
        for (own, theirs) in self.counts.iter_mut().zip(other.counts) {
            own.packets += theirs.packets;
            own.bytes += theirs.bytes;
        }
        self.observations.extend(other.observations);
        self.observations.sort_by_key(|observation| observation.at_ms);
        add_up(&mut self.matched, other.matched);
        add_up(&mut self.refused, other.refused);
        self.handshakes = self.handshakes.max(other.handshakes);
        self.knows_sockets &= other.knows_sockets;
        self.lost += other.lost;
    }
}

/// One entry per name.
fn add_up<K: PartialEq>(own: &mut Vec<(K, u64)>, theirs: Vec<(K, u64)>) {
    for (name, count) in theirs {
        match own.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += count,
            None => own.push((name, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{PACKET_ATTR_COUNT, PacketClass};

    fn seen(at_ms: u64) -> PacketObservation {
        let nobody = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let facts = PacketFacts {
            source: nobody,
            destination: nobody,
            class: PacketClass::Udp,
            values: [0; PACKET_ATTR_COUNT],
            sequence: 0,
            acknowledgement: 0,
            frame_bytes: 60,
        };
        PacketObservation { at_ms, facts, weight: 4, handling: PacketHandling::Passed }
    }

    #[test]
    fn two_observers_of_one_host_make_one_batch() {
        let mut counts = [ClassCount::default(); PACKET_CLASS_COUNT];
        counts[2] = ClassCount { packets: 5, bytes: 300 };
        let mut first = PacketBatch {
            counts,
            observations: vec![seen(10), seen(30)],
            matched: vec![(RuleId(1), 7)],
            refused: vec![(PacketReason::Land, 1)],
            handshakes: Some(40),
            knows_sockets: true,
            lost: 2,
        };
        first.merge(PacketBatch {
            counts,
            observations: vec![seen(20)],
            matched: vec![(RuleId(2), 3), (RuleId(1), 1)],
            refused: vec![(PacketReason::Land, 4)],
            handshakes: Some(41),
            knows_sockets: false,
            lost: 1,
        });
        assert_eq!(first.counts[2], ClassCount { packets: 10, bytes: 600 });
        let times: Vec<u64> = first.observations.iter().map(|o| o.at_ms).collect();
        assert_eq!(times, [10, 20, 30], "oldest first");
        assert_eq!(first.matched, [(RuleId(1), 8), (RuleId(2), 3)]);
        assert_eq!(first.refused, [(PacketReason::Land, 5)]);
        assert_eq!(first.handshakes, Some(41), "the host's, counted by both");
        assert!(!first.knows_sockets, "what one of them does not know, the sum does not");
        assert_eq!(first.lost, 3);
    }
}
