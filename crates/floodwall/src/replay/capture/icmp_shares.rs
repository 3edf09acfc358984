//! The ICMP guard's small rate, as the kernel filter hands it out (fw_guard_icmp in bpf/guards.h):
//! what the network needs passes, sources share the rest by a hash.
//!
//! It must never refuse an answer to an echo request that was recorded.

use floodwall_model::packet::{
    ICMP_ERRORS, ICMP_QUESTIONS, ICMP_SHARES, IcmpNeed, IcmpRate, PacketFacts,
};
use floodwall_model::{Source, TokenBucket};

use super::flows::Standing;

/// Buckets of one share: errors and questions. A fixed table: sources that fall together share.
type Share = [TokenBucket; 2];

/// All shares.
pub(super) struct IcmpShares([Share; ICMP_SHARES]);

impl IcmpShares {
    /// Every bucket holds its burst.
    pub(super) fn full(now_ms: u64) -> Self {
        let share = [ICMP_ERRORS, ICMP_QUESTIONS].map(|rate| TokenBucket::full(rate.burst, now_ms));
        IcmpShares([share; ICMP_SHARES])
    }

    /// Whether the guard lets the packet pass. What is not ICMP passes.
    pub(super) fn passes(&mut self, facts: &PacketFacts, standing: Standing, now_ms: u64) -> bool {
        let (number, IcmpRate { rate_pps, burst }) = match IcmpNeed::of(facts) {
            None | Some(IcmpNeed::Vital) => return true,
            // Errors the kernel holds to the rate whatever they are about: it reads no quotations.
            Some(IcmpNeed::Error) => (0, ICMP_ERRORS),
            Some(IcmpNeed::Question) if standing.solicited => return true,
            Some(IcmpNeed::Question) => (1, ICMP_QUESTIONS),
        };
        // The kernel's hash has a secret; any hash that spreads sources will do here.
        let mixed = Source::new(facts.source).key().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let share = &mut self.0[(mixed >> 32) as usize % ICMP_SHARES];
        share[number].take(rate_pps.saturating_mul(10), burst, now_ms)
    }
}
