//! How much one honest source sends: the per-source limit, learned from this site's own visitors.

use floodwall_model::Collateral;
use floodwall_model::plan::THROTTLE_PER_10S_MIN;

use crate::memory::{Damaged, Reader, Writer};

/// Counts up to this many requests per window are told apart; larger ones share the last place.
const COUNTS: usize = 4_096;
/// The limit is this multiple of what all but one in a thousand windows stay below (§ 3.6).
const FACTOR: u32 = 2;
/// Windows kept at full weight; beyond, all are halved, so that the past fades.
const WINDOWS_MAX: u64 = 1 << 20;

/// Requests per source and ten seconds, as a histogram over windows in quiet times.
#[derive(Clone, Debug)]
pub struct PerSource {
    windows: Vec<u32>,
    total: u64,
}

impl PerSource {
    /// Nothing learned: the floor applies.
    pub fn new() -> Self {
        PerSource { windows: vec![0; COUNTS], total: 0 }
    }

    /// Learns a finished window that held `requests`.
    pub fn learn(&mut self, requests: u32) {
        if self.total >= WINDOWS_MAX {
            self.windows.iter_mut().for_each(|n| *n /= 2);
            self.total = self.windows.iter().map(|n| u64::from(*n)).sum();
        }
        self.windows[(requests as usize).min(COUNTS - 1)] += 1;
        self.total += 1;
    }

    /// The limit: twice the 99.9th percentile of honest windows, at least the floor.
    pub fn limit_per_10s(&self) -> u32 {
        let wanted = self.total - self.total / 1_000;
        let mut below = 0;
        for (count, windows) in self.windows.iter().enumerate() {
            below += u64::from(*windows);
            if below >= wanted && self.total > 0 {
                return (count as u32 * FACTOR).max(THROTTLE_PER_10S_MIN);
            }
        }
        THROTTLE_PER_10S_MIN
    }

    /// Writes the histogram.
    pub fn pack(&self, out: &mut Writer) {
        for windows in &self.windows {
            out.number(u64::from(*windows));
        }
    }

    /// Reads it back.
    pub fn unpack(input: &mut Reader<'_>) -> Result<PerSource, Damaged> {
        let windows: Result<Vec<u32>, Damaged> = (0..COUNTS).map(|_| input.number_u32()).collect();
        let windows = windows?;
        let total = windows.iter().map(|n| u64::from(*n)).sum();
        Ok(PerSource { windows, total })
    }

    /// Honest requests that a limit of `per_10s` would have refused, among all.
    pub fn over(&self, per_10s: u32) -> Collateral {
        let mut over = Collateral::default();
        for (count, windows) in self.windows.iter().enumerate() {
            let (count, windows) = (count as u64, u64::from(*windows));
            over.records += count * windows;
            over.hits += count.saturating_sub(u64::from(per_10s)) * windows;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_twice_the_busiest_honest_visitors() {
        let mut per_source = PerSource::new();
        assert_eq!(per_source.limit_per_10s(), THROTTLE_PER_10S_MIN);
        for n in 0..100_000u32 {
            per_source.learn(if n % 500 == 0 { 60 } else { 12 });
        }
        assert_eq!(per_source.limit_per_10s(), 120);
        assert_eq!(per_source.over(120).hits, 0);
        assert!(per_source.over(20).share() > 0.0);
    }

    #[test]
    fn the_past_fades_instead_of_overflowing() {
        let mut per_source = PerSource::new();
        for _ in 0..3 * WINDOWS_MAX {
            per_source.learn(5);
        }
        assert!(per_source.total <= WINDOWS_MAX);
    }
}
