//! What follows from the record of packets by counting, so that two sections cannot differ.

use floodwall_model::packet::{PacketAccount, PacketClass, PacketReason, SpoofingGrade};

use super::super::account::Account;
use crate::summary::{is_a_guards, packet_reason, refused_by_guards};

/// How the engine names the kind of sender that bounces packets off other people's servers.
const REFLECTION: &str = "reflection";

/// An incident of packets and the moment at which it is told.
#[derive(Copy, Clone)]
pub(super) struct Flood<'a> {
    pub(super) account: &'a Account<'a>,
    pub(super) packets: &'a PacketAccount,
}

impl Flood<'_> {
    pub(super) fn is_shadow(&self) -> bool {
        self.account.is_shadow()
    }

    pub(super) fn guards(&self) -> u64 {
        self.packets.guards.len() as u64
    }

    /// Packets that rules dropped, or in shadow mode would have dropped.
    pub(super) fn by_rules(&self) -> u64 {
        if self.is_shadow() { self.packets.would_drop } else { self.packets.dropped }
    }

    /// Packets that rules matched, whether they were dropped or not.
    pub(super) const fn matched(&self) -> u64 {
        self.packets.dropped.saturating_add(self.packets.would_drop)
    }

    pub(super) fn by_guards(&self) -> u64 {
        refused_by_guards(self.packets)
    }

    /// Guards stood and acted, and nobody counted what they held up: a guard is raised for packets
    /// that it holds up, so a sum of zero says that the sum is missing.
    pub(super) fn guards_uncounted(&self) -> bool {
        self.guards() > 0 && self.by_guards() == 0 && !self.is_shadow()
    }

    /// Share of all packets that are of these classes; zero of nothing.
    pub(super) fn share_of(&self, classes: &[PacketClass]) -> f64 {
        let kinds = &self.packets.classes;
        let all = kinds.iter().map(|(_, n)| *n as f64).sum::<f64>();
        let among = |name: &str| classes.iter().any(|class| class.words() == name);
        let these = kinds.iter().filter(|(name, _)| among(name)).map(|(_, n)| *n as f64);
        these.sum::<f64>() / all.max(1.0)
    }

    /// Packets refused that neither a rule nor a guard refused: nonsense, bans.
    pub(super) fn otherwise_refused(&self) -> u64 {
        let refused = self.packets.refused.iter().map(|(_, n)| *n);
        refused.fold(0, u64::saturating_add).saturating_sub(self.by_guards())
    }

    /// Packets that went on to this host's system; `None` where counts are missing or contradict
    /// each other.
    pub(super) fn passed(&self) -> Option<u64> {
        if self.guards_uncounted() {
            return None;
        }
        let stopped = self.packets.dropped.checked_add(self.by_guards())?;
        self.packets.received.checked_sub(stopped.checked_add(self.otherwise_refused())?)
    }

    /// The most frequent kind of packet and its share of all that arrived.
    pub(super) fn main_kind(&self) -> Option<(&str, f64)> {
        let kinds = &self.packets.classes;
        let all = kinds.iter().map(|(_, n)| *n as f64).sum::<f64>();
        let (name, most) = kinds.iter().max_by_key(|(_, n)| *n)?;
        (*most > 0).then(|| (name.as_str(), *most as f64 / all))
    }

    /// Packets that rules matched and that were seen to be somebody's conversation; `None` where no
    /// conversation was seen. A packet matches one rule, so the rules may be added up.
    pub(super) fn matched_like_visitors(&self) -> Option<u64> {
        self.account.matched_like_people()
    }

    pub(super) const fn is_forged(&self) -> bool {
        matches!(self.packets.spoofing, SpoofingGrade::Established | SpoofingGrade::Strong)
    }

    pub(super) fn is_reflection(&self) -> bool {
        is_reflection(self.packets)
    }

    /// Refusals of guards first, then the others, the most frequent of each first.
    pub(super) fn refusals(&self) -> Vec<(Option<PacketReason>, &str, u64)> {
        let mut refusals: Vec<_> = self
            .packets
            .refused
            .iter()
            .filter(|(_, n)| *n > 0)
            .map(|(name, n)| (packet_reason(name), name.as_str(), *n))
            .collect();
        refusals.sort_by_key(|(reason, name, n)| {
            (!reason.is_some_and(is_a_guards), std::cmp::Reverse(*n), *name)
        });
        refusals
    }
}

/// Whether the packets are consistent with a reflection.
pub(in super::super) fn is_reflection(packets: &PacketAccount) -> bool {
    packets.consistent_with.iter().any(|kind| kind.name.starts_with(REFLECTION))
}
