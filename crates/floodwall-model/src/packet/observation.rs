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
