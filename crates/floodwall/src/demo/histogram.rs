//! Latencies in logarithmic buckets: fixed size, mergeable, at most 1 % wrong.
//!
//! Exact quantiles would need every sample; a few kilobytes answer as well for a display and a
//! report that speak of milliseconds.

/// Each bucket's upper edge is this much above its lower one. The middle is then at most 1 % away
/// from anything in the bucket.
const GROWTH: f64 = 1.02;
/// Shorter latencies count as this, µs.
const SHORTEST_US: f64 = 10.0;
/// Buckets: from 10 µs to 107 s. Longer latencies count in the last.
const BUCKETS: usize = 818;

/// A histogram of latencies.
#[derive(Clone, Debug)]
pub(super) struct LatencyHistogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        LatencyHistogram { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl LatencyHistogram {
    /// Counts one latency, µs.
    pub(super) fn record(&mut self, latency_us: u64) {
        let count = &mut self.counts[bucket(latency_us)];
        *count = count.saturating_add(1);
        self.total += 1;
    }

    /// Adds everything `other` counted.
    pub(super) fn merge(&mut self, other: &LatencyHistogram) {
        for (count, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *count = count.saturating_add(*more);
        }
        self.total += other.total;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// How many latencies were counted.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.total
    }

    /// The latency below or at which the share `q` of all lies, ms; `None` if there are none.
    pub(super) fn quantile_ms(&self, q: f64) -> Option<f64> {
        let rank = ((q.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).max(1);
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank && *count > 0 {
                return Some(middle_us(index) / 1_000.0);
            }
        }
        None
    }
}

fn bucket(latency_us: u64) -> usize {
    let ratio = (latency_us as f64 / SHORTEST_US).max(1.0);
    ((ratio.ln() / GROWTH.ln()) as usize).min(BUCKETS - 1)
}

fn middle_us(index: usize) -> f64 {
    // The mean of the edges' reciprocals balances the relative error at both.
    let lower = SHORTEST_US * GROWTH.powi(index as i32);
    2.0 * lower * GROWTH / (1.0 + GROWTH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Judged by sorting.
        #[test]
        fn quantiles_are_within_two_percent_of_the_sorted_samples(
            mut samples in prop::collection::vec(10u64..100_000_000, 1..400),
            q in 0.0f64..=1.0,
        ) {
            let mut histogram = LatencyHistogram::default();
            samples.iter().for_each(|us| histogram.record(*us));
            samples.sort_unstable();
            let rank = ((q * samples.len() as f64).ceil() as usize).clamp(1, samples.len());
            let exact_ms = samples[rank - 1] as f64 / 1_000.0;
            let told_ms = histogram.quantile_ms(q).unwrap();
            prop_assert!((told_ms / exact_ms - 1.0).abs() <= 0.02, "{told_ms} for {exact_ms}");
        }

        #[test]
        fn merging_is_counting_everything_in_one(
            a in prop::collection::vec(any::<u64>(), 0..200),
            b in prop::collection::vec(any::<u64>(), 0..200),
        ) {
            let of = |samples: &[u64]| {
                let mut histogram = LatencyHistogram::default();
                samples.iter().for_each(|us| histogram.record(*us));
                histogram
            };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let all = of(&[a, b].concat());
            prop_assert_eq!(merged.count(), all.count());
            prop_assert_eq!(merged.quantile_ms(0.95), all.quantile_ms(0.95));
        }
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        histogram.record(1_000);
        histogram.clear();
        assert_eq!((histogram.quantile_ms(0.5), histogram.count()), (None, 0));
    }

    #[test]
    fn extremes_fall_into_the_outer_buckets() {
        assert_eq!((bucket(0), bucket(9), bucket(u64::MAX)), (0, 0, BUCKETS - 1));
        assert!(middle_us(BUCKETS - 1) > 100e6);
    }
}
