//! What the filter has seen and done, summed over the CPUs.

use aya::maps::{MapData, MapError, PerCpuArray};
use floodwall_model::Reason;
use floodwall_model::packet::{ClassCount, PACKET_CLASS_COUNT, PacketReason};

use crate::abi::{Counts, REASONS, RULES, Verdict, refusal};

/// Packets by verdict, reason and class, and the bans behind them. Counts start when the filter is
/// loaded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FilterCounters {
    /// Packets seen.
    pub packets_seen: u64,
    /// Packets passed on.
    pub passed: u64,
    /// Packets dropped.
    pub dropped: u64,
    /// SYNs that were answered with a cookie.
    pub answered: u64,
    /// Packets by reason, in the order of [`PacketReason::ALL`].
    pub by_reason: [u64; REASONS],
    /// Packets chosen as samples and lost because the ring was full.
    pub samples_lost: u64,
    /// Packets seen while the lease had ended: bans, rules and guards were ignored.
    pub lapsed: u64,
    /// SYNs that should have been answered with a cookie and could not be.
    pub unanswered: u64,
    /// Bans in the kernel now, ended ones that are not swept yet included.
    pub bans_held: u64,
    /// Network bans in the kernel now, likewise.
    pub networks_held: u64,
    /// Bans that were not enforced.
    pub bans_refused: BanRefusals,
}

/// Bans that were not enforced, by the [`BanError`](crate::BanError) their caller got.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct BanRefusals {
    /// The end had come before the kernel was told.
    pub over: u64,
    /// As many were in force as the map holds.
    pub full: u64,
    /// The key would have covered this host or its link, or is too wide to be banned.
    pub never_banned: u64,
    /// The allow list holds the source or part of the network.
    pub allowed: u64,
    /// The kernel refused.
    pub kernel: u64,
}

impl FilterCounters {
    /// Packets of `reason`.
    pub fn of(&self, reason: PacketReason) -> u64 {
        self.by_reason.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets dropped for `reason` of the list all rooms share.
    pub fn dropped_for(&self, reason: Reason) -> u64 {
        let matching = PacketReason::ALL.iter().filter(|r| refusal(**r) == Some(reason));
        matching.map(|r| self.of(*r)).sum()
    }
}

/// The kernel's counts, summed over the CPUs.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) reasons: [u64; REASONS],
    pub(crate) classes: [ClassCount; PACKET_CLASS_COUNT],
    pub(crate) matched: [u64; RULES],
    pub(crate) samples: u64,
    pub(crate) lost: u64,
    pub(crate) lapsed: u64,
    pub(crate) unanswered: u64,
}

impl Default for Totals {
    fn default() -> Totals {
        Totals {
            reasons: [0; REASONS],
            classes: [ClassCount::default(); PACKET_CLASS_COUNT],
            matched: [0; RULES],
            samples: 0,
            lost: 0,
            lapsed: 0,
            unanswered: 0,
        }
    }
}

impl Totals {
    /// Reads the counts of every CPU.
    pub(crate) fn read(counts: &PerCpuArray<MapData, Counts>) -> Result<Totals, MapError> {
        let mut totals = Totals::default();
        for cpu in counts.get(&0, 0)?.iter() {
            add(&mut totals.reasons, &cpu.reasons);
            add(&mut totals.matched, &cpu.matched);
            for (total, class) in totals.classes.iter_mut().zip(&cpu.classes) {
                total.packets += class.packets;
                total.bytes += class.bytes;
            }
            totals.samples += cpu.samples;
            totals.lost += cpu.lost;
            totals.lapsed += cpu.lapsed;
            totals.unanswered += cpu.unanswered;
        }
        Ok(totals)
    }

    /// The part of [`FilterCounters`] that the kernel counts.
    pub(crate) fn counters(&self) -> FilterCounters {
        let mut counters = FilterCounters {
            by_reason: self.reasons,
            samples_lost: self.lost,
            lapsed: self.lapsed,
            unanswered: self.unanswered,
            ..FilterCounters::default()
        };
        for reason in PacketReason::ALL {
            let packets = counters.of(*reason);
            counters.packets_seen += packets;
            match Verdict::of(*reason) {
                Verdict::Pass => counters.passed += packets,
                Verdict::Drop => counters.dropped += packets,
                Verdict::Tx => counters.answered += packets,
            }
        }
        counters
    }
}

fn add(totals: &mut [u64], counts: &[u64]) {
    totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_under_its_verdict_and_its_shared_reason() {
        let mut totals = Totals::default();
        totals.reasons[PacketReason::SourceBanned as usize] = 7;
        totals.reasons[PacketReason::NotIp as usize] = 3;
        totals.reasons[PacketReason::CookieSent as usize] = 2;
        let counters = totals.counters();
        assert_eq!(counters.dropped_for(Reason::SourceBanned), 7);
        assert_eq!(counters.dropped_for(Reason::RuleBlocked), 0);
        assert_eq!((counters.passed, counters.dropped, counters.answered), (3, 7, 2));
        assert_eq!(counters.packets_seen, 12);
    }
}
