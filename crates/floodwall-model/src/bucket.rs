//! The token bucket: the one place where a rate limit is computed.
//!
//! Tokens are counted in thousandths so that slow rates lose nothing to rounding. The caller gives
//! the time; a clock that steps back adds no tokens and takes none away.

/// A bucket of request tokens.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct TokenBucket {
    tokens_milli: u32,
    refilled_ms: u64,
}

impl TokenBucket {
    /// A bucket holding its full `burst` at `now_ms`.
    pub const fn full(burst: u32, now_ms: u64) -> Self {
        TokenBucket { tokens_milli: burst.saturating_mul(1000), refilled_ms: now_ms }
    }

    /// Refills at `rate_per_10s` tokens in ten seconds up to `burst`, then takes one token.
    /// `false` when there is none: the request exceeds its rate.
    pub fn take(&mut self, rate_per_10s: u32, burst: u32, now_ms: u64) -> bool {
        let elapsed_ms = now_ms.saturating_sub(self.refilled_ms);
        // rate/10 s in milli-tokens per ms is rate * 1000 / 10_000.
        let gained_milli = elapsed_ms.saturating_mul(u64::from(rate_per_10s)) / 10;
        if gained_milli > 0 {
            let cap_milli = u64::from(burst).saturating_mul(1000).min(u64::from(u32::MAX));
            let filled = u64::from(self.tokens_milli).saturating_add(gained_milli).min(cap_milli);
            self.tokens_milli = filled as u32;
            self.refilled_ms = now_ms;
        }
        if self.tokens_milli < 1000 {
            return false;
        }
        self.tokens_milli -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_the_next_request_does_not() {
        let mut bucket = TokenBucket::full(3, 0);
        let taken: Vec<bool> = (0..4).map(|_| bucket.take(10, 3, 0)).collect();
        assert_eq!(taken, [true, true, true, false]);
        assert!(!bucket.take(10, 3, 999), "one token a second: 999 ms is too early");
        assert!(bucket.take(10, 3, 1_000));
    }

    #[test]
    fn a_clock_that_steps_back_neither_refills_nor_panics() {
        let mut bucket = TokenBucket::full(1, 10_000);
        assert!(bucket.take(10, 1, 10_000));
        assert!(!bucket.take(10, 1, 0));
        assert!(bucket.take(10, 1, 11_000));
    }

    proptest! {
        /// Whatever the arrival times, no more than burst + rate x time gets through.
        #[test]
        fn never_more_than_burst_plus_rate(
            rate in 1u32..500, burst in 1u32..100, gaps in prop::collection::vec(0u64..2_000, 1..300)
        ) {
            let mut bucket = TokenBucket::full(burst, 0);
            let (mut now_ms, mut passed) = (0, 0u64);
            for gap_ms in gaps {
                now_ms += gap_ms;
                passed += u64::from(bucket.take(rate, burst, now_ms));
            }
            prop_assert!(passed <= u64::from(burst) + now_ms * u64::from(rate) / 10_000 + 1);
        }
    }
}
