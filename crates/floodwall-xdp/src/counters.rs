//! What the filter has seen and done, summed over the CPUs.

use aya::maps::{MapData, MapError, PerCpuArray};

use crate::abi::{FilterReason, Verdict, count_slot};
use floodwall_model::Reason;

/// Packets by verdict and reason, and the bans behind them. Counts start when the filter is
/// loaded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FilterCounters {
    /// Packets seen.
    pub packets_seen: u64,
    /// Packets passed on.
    pub passed: u64,
    /// Packets dropped.
    pub dropped: u64,
    /// Packets by reason, in the order of [`FilterReason::ALL`].
    pub by_reason: [u64; FilterReason::ALL.len()],
    /// Bans in the kernel now, ended ones that are not swept yet included.
    pub bans_held: u64,
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
    /// The key would have covered this host or its link.
    pub never_banned: u64,
    /// The kernel refused.
    pub kernel: u64,
}

impl FilterCounters {
    /// Packets of `reason`.
    pub fn of(&self, reason: FilterReason) -> u64 {
        self.by_reason.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets dropped for `reason` of the list all rooms share.
    pub fn dropped_for(&self, reason: Reason) -> u64 {
        let matching = FilterReason::ALL.iter().filter(|r| r.refusal() == Some(reason));
        matching.map(|r| self.of(*r)).sum()
    }

    /// Reads the packet counts of every CPU.
    pub(crate) fn read(counts: &PerCpuArray<MapData, u64>) -> Result<FilterCounters, MapError> {
        let mut counters = FilterCounters::default();
        for verdict in Verdict::ALL {
            for (reason, by_reason) in FilterReason::ALL.iter().zip(&mut counters.by_reason) {
                let cpus = counts.get(&count_slot(verdict, *reason), 0)?;
                let packets: u64 = cpus.iter().sum();
                *by_reason += packets;
                counters.packets_seen += packets;
                match verdict {
                    Verdict::Pass => counters.passed += packets,
                    Verdict::Drop => counters.dropped += packets,
                }
            }
        }
        Ok(counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_found_under_the_reason_all_rooms_share() {
        let mut counters = FilterCounters::default();
        counters.by_reason[FilterReason::Banned as usize] = 7;
        counters.by_reason[FilterReason::NotIp as usize] = 3;
        assert_eq!(counters.dropped_for(Reason::SourceBanned), 7);
        assert_eq!(counters.dropped_for(Reason::RuleBlocked), 0);
    }
}
