//! Which packets are shown to the engine whole. Up to [`BUDGET_PPS`] all are; above, one of N, drawn
//! by chance out of each N in a row, standing for N. Counts stay exact whatever is drawn.

/// Packets per second of recorded time that are shown whole.
pub(crate) const BUDGET_PPS: u64 = 50_000;

/// Recorded time over which the rate is measured, ms.
const WINDOW_MS: u64 = 100;

/// Chooses packets.
pub(crate) struct Sampler {
    chance: fastrand::Rng,
    window_from_ms: u64,
    window_packets: u64,
    one_of: u32,
    /// Packets left of the group of N, and which of them is taken (0: the last).
    left: u32,
    taken_at: u32,
    /// Largest N so far.
    pub(crate) one_of_max: u32,
}

impl Sampler {
    /// A sampler that shows everything until it has seen a rate.
    pub(crate) fn new(seed: u64) -> Self {
        Sampler {
            chance: fastrand::Rng::with_seed(seed),
            window_from_ms: 0,
            window_packets: 0,
            one_of: 1,
            left: 0,
            taken_at: 0,
            one_of_max: 1,
        }
    }

    /// Whether the next packet, at `at_ms`, is shown: then for how many it stands.
    pub(crate) fn weight(&mut self, at_ms: u64) -> Option<u32> {
        self.measure(at_ms);
        if self.one_of == 1 {
            return Some(1);
        }
        if self.left == 0 {
            self.left = self.one_of;
            self.taken_at = self.chance.u32(0..self.one_of);
        }
        self.left -= 1;
        (self.left == self.taken_at).then_some(self.one_of)
    }

    fn measure(&mut self, at_ms: u64) {
        let window_ms = at_ms.saturating_sub(self.window_from_ms);
        if window_ms >= WINDOW_MS {
            let budget = (BUDGET_PPS * window_ms / 1_000).max(1);
            self.one_of = u32::try_from(self.window_packets.div_ceil(budget).max(1)).unwrap_or(1);
            self.one_of_max = self.one_of_max.max(self.one_of);
            (self.window_from_ms, self.window_packets, self.left) = (at_ms, 0, 0);
        }
        self.window_packets += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shown packets and the sum of their weights over `seconds` at `rate_pps`.
    fn shown(rate_pps: u64, seconds: u64) -> (u64, u64) {
        let mut sampler = Sampler::new(1);
        let weights = (0..rate_pps * seconds)
            .filter_map(|n| sampler.weight(1_000_000 + n * 1_000 / rate_pps))
            .map(u64::from);
        weights.fold((0, 0), |(count, sum), weight| (count + 1, sum + weight))
    }

    #[test]
    fn at_ordinary_rates_every_packet_is_shown() {
        assert_eq!(shown(40_000, 3), (120_000, 120_000));
    }

    #[test]
    fn above_the_budget_samples_stand_for_the_rest() {
        let (count, sum) = shown(1_000_000, 3);
        assert!(count < 3 * BUDGET_PPS + 110_000, "{count}");
        assert!((2_990_000..=3_010_000).contains(&sum), "{sum}");
    }

    #[test]
    fn after_a_flood_everything_is_shown_again() {
        let mut sampler = Sampler::new(1);
        (0..200_000_u64).for_each(|n| {
            sampler.weight(n / 500);
        });
        assert!(sampler.one_of > 1 && sampler.one_of_max >= sampler.one_of);
        (1_000..1_300).for_each(|at_ms| {
            sampler.weight(at_ms);
        });
        assert_eq!(sampler.one_of, 1);
    }
}
