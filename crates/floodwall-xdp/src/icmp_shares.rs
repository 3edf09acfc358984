//! The buckets of the ICMP guard in the kernel (`fw_icmp`), filled whenever it is raised.
//!
//! The kernel takes from them and never makes them: one that lay unused for 2^31 jiffies would look
//! to it as if time had stepped back, and stay empty for days (fw_take_token in bpf/limit.h).

use std::mem::offset_of;
use std::sync::atomic::Ordering::Release;

use floodwall_model::packet::{ICMP_ERRORS, ICMP_QUESTIONS, ICMP_SHARES, IcmpRate};

use crate::abi::{IcmpShare, KernelTokens, Rate};
use crate::limit::SourceRate;
use crate::mapped::Mapped;

/// The buckets in memory shared with the kernel.
#[derive(Debug)]
pub(crate) struct IcmpShares(Mapped);

/// The kernel's rates: of errors, and of questions.
pub(crate) fn rates(hz: u32) -> [Rate; 2] {
    [ICMP_ERRORS, ICMP_QUESTIONS]
        .map(|IcmpRate { rate_pps, burst }| SourceRate { rate_pps, burst }.per_jiffy(hz))
}

impl IcmpShares {
    /// Bytes of the map.
    pub(crate) const BYTES: usize = ICMP_SHARES * size_of::<IcmpShare>();

    pub(crate) fn new(memory: Mapped) -> IcmpShares {
        IcmpShares(memory)
    }

    /// Every bucket holds its burst at `now_jiffies`, the low half.
    pub(crate) fn fill(&self, hz: u32, now_jiffies: u32) {
        let buckets = [offset_of!(IcmpShare, errors), offset_of!(IcmpShare, questions)];
        for share in 0..ICMP_SHARES {
            for (bucket, rate) in buckets.into_iter().zip(rates(hz)) {
                let at = share * size_of::<IcmpShare>() + bucket;
                let word = |offset: usize| self.0.u32_at(at + offset);
                word(offset_of!(KernelTokens, refilled)).store(now_jiffies, Release);
                word(offset_of!(KernelTokens, left)).store(rate.burst, Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::abi::TOKEN;

    #[test]
    fn every_bucket_is_full_when_the_guard_goes_up() {
        let memory = Mapped::anonymous(IcmpShares::BYTES).unwrap();
        let shares = IcmpShares::new(memory);
        shares.fill(250, 7);
        let word = |n: usize| shares.0.u32_at(n * 4).load(Relaxed);
        for share in 0..ICMP_SHARES {
            let at = share * 4;
            assert_eq!(word(at), ICMP_ERRORS.burst * TOKEN);
            assert_eq!(word(at + 2), ICMP_QUESTIONS.burst * TOKEN);
            assert_eq!((word(at + 1), word(at + 3)), (7, 7));
        }
    }
}
