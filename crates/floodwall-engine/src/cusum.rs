//! One-sided Poisson CUSUM: when did the rate of events leave its envelope?
//!
//! `g ← max(0, g + x·ln ρ − U·Δ·(ρ−1))`, alarm at `g > h` (design/detection.md § 3.3; Page 1954, with
//! the log-likelihood ratio of Poisson rates ρU against U). Calibration is in that section: with
//! ρ = 1.5, h = 25 a rise by +2x on 2,000/s is seen in 0.1–0.2 s.

/// Sensitivity of a channel.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct CusumTuning {
    /// Rise looked for, as a multiple of the envelope.
    pub rho: f64,
    /// Alarm threshold.
    pub threshold: f64,
}

/// Total rates.
pub const TOTAL: CusumTuning = CusumTuning { rho: 1.5, threshold: 25.0 };
/// Rates of single values, which are small and rise by large factors.
pub const RARE: CusumTuning = CusumTuning { rho: 3.0, threshold: 12.0 };

/// The statistic may not outgrow this many thresholds, or a long flood would keep a channel in
/// alarm long after its end.
const CEILING_THRESHOLDS: f64 = 4.0;

/// The running statistic.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Cusum {
    g: f32,
}

impl Cusum {
    /// Takes `events` in `interval_s` seconds under the envelope `upper_rps`.
    pub fn update(&mut self, tuning: CusumTuning, events: f64, upper_rps: f64, interval_s: f64) {
        let gain = events * tuning.rho.ln() - upper_rps * interval_s * (tuning.rho - 1.0);
        let ceiling = tuning.threshold * CEILING_THRESHOLDS;
        self.g = (f64::from(self.g) + gain).clamp(0.0, ceiling) as f32;
    }

    /// Whether the rate has left its envelope.
    pub fn alarmed(&self, tuning: CusumTuning) -> bool {
        f64::from(self.g) > tuning.threshold
    }

    /// Whether the tracker of the rate must stop learning: what it sees may be the attack.
    pub fn suspicious(&self, tuning: CusumTuning) -> bool {
        f64::from(self.g) > tuning.threshold / 2.0
    }

    /// Whether the statistic is back at rest.
    pub fn at_rest(&self) -> bool {
        self.g == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks of 100 ms until alarm at a constant `rate_rps`, or `None` within 60 s.
    fn ticks_to_alarm(rate_rps: f64, upper_rps: f64) -> Option<usize> {
        let mut cusum = Cusum::default();
        (1..=600).find(|_| {
            cusum.update(TOTAL, rate_rps * 0.1, upper_rps, 0.1);
            cusum.alarmed(TOTAL)
        })
    }

    #[test]
    fn a_rise_to_three_times_is_seen_at_once_on_a_busy_site() {
        assert!(ticks_to_alarm(6_000.0, 2_600.0).unwrap() <= 2);
    }

    #[test]
    fn a_rise_to_three_times_is_seen_within_two_seconds_on_a_small_site() {
        assert!(ticks_to_alarm(150.0, 65.0).unwrap() <= 20);
    }

    #[test]
    fn the_envelope_itself_never_alarms() {
        assert_eq!(ticks_to_alarm(100.0, 100.0), None);
    }

    #[test]
    fn a_long_flood_does_not_delay_the_all_clear() {
        let mut cusum = Cusum::default();
        for _ in 0..36_000 {
            cusum.update(TOTAL, 5_000.0, 100.0, 0.1);
        }
        let mut quiet_ticks = 0;
        while cusum.alarmed(TOTAL) {
            cusum.update(TOTAL, 10.0, 100.0, 0.1);
            quiet_ticks += 1;
        }
        assert!(quiet_ticks < 100, "{quiet_ticks}");
    }
}
