//! How many requests known visitors get through, against how many they used to.
//!
//! Visitors whom a rule refuses at their first page never become known ones; they are missing here.
//! A site's own ups and downs are learned with the rate, so that an hour with few visitors is not
//! taken for a rule's doing.

use floodwall_model::Forecast;

/// Time constant of the rate now, s.
const NOW_S: f64 = 10.0;
/// Time constant of the rate expected, s.
const EXPECTED_S: f64 = 300.0;
/// Nothing is expected before so long was learned, s.
const LEARNED_S_MIN: f64 = 300.0;
/// A fall by this part is remarkable, …
const GAP_MIN: f64 = 0.10;
/// … beyond so many of the site's usual deviations.
const DEVIATIONS: f64 = 4.0;

/// The rates.
#[derive(Clone, Debug, Default)]
pub struct Goodput {
    tick: u64,
    now_rps: f64,
    expected_rps: f64,
    variance: f64,
    learned_s: f64,
}

impl Goodput {
    /// Counts a request of a known visitor that was let through.
    pub const fn count(&mut self) {
        self.tick += 1;
    }

    /// Ends a tick. What is expected is learned while `quiet`.
    pub fn tick(&mut self, interval_s: f64, quiet: bool) {
        let events = std::mem::take(&mut self.tick) as f64;
        let toward = |s: f64| 1.0 - (-interval_s / s).exp();
        let rate = events / interval_s.max(0.001);
        self.now_rps += (rate - self.now_rps) * toward(NOW_S);
        if !quiet {
            return;
        }
        self.learned_s += interval_s;
        // Until a whole time constant has passed, all that came counts alike.
        let weight = toward(EXPECTED_S).max(interval_s / self.learned_s.max(interval_s));
        self.expected_rps += (rate - self.expected_rps) * weight;
        if self.learned_s > 3.0 * NOW_S && self.expected_rps > 0.0 {
            let off = (self.now_rps - self.expected_rps) / self.expected_rps;
            self.variance += (off * off - self.variance) * weight;
        }
    }

    /// What is expected and what comes; `None` while too little is known.
    pub fn forecast(&self) -> Option<Forecast> {
        (self.learned_s >= LEARNED_S_MIN && self.expected_rps > 0.0)
            .then_some(Forecast { expected_rps: self.expected_rps, observed_rps: self.now_rps })
    }

    /// Whether remarkably few come.
    pub fn falls_short(&self) -> bool {
        let allowed = 1.0 - GAP_MIN - DEVIATIONS * self.variance.sqrt();
        self.forecast().is_some_and(|f| f.observed_rps < f.expected_rps * allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten minutes at `usual_rps` with a swing of `swing`, then `seconds` at `then_rps`.
    fn after(usual_rps: f64, swing: f64, then_rps: f64, seconds: u32) -> Goodput {
        let mut goodput = Goodput::default();
        let mut due = 0.0;
        for tick in 0..6_000 + seconds * 10 {
            let quiet = tick < 6_000;
            let wave = 1.0 + swing * (f64::from(tick) / 100.0).sin();
            due += if quiet { usual_rps * wave } else { then_rps } / 10.0;
            while due >= 1.0 {
                due -= 1.0;
                goodput.count();
            }
            goodput.tick(0.1, quiet);
        }
        goodput
    }

    #[test]
    fn a_third_of_the_visitors_missing_is_seen_within_half_a_minute() {
        assert!(after(50.0, 0.0, 33.0, 30).falls_short());
        assert!(!after(50.0, 0.0, 50.0, 30).falls_short());
    }

    #[test]
    fn a_site_that_goes_up_and_down_by_a_third_all_day_is_not_surprised_by_it() {
        assert!(!after(50.0, 0.33, 33.0, 30).falls_short());
    }

    #[test]
    fn nothing_is_said_before_five_minutes() {
        let mut goodput = Goodput::default();
        for _ in 0..600 {
            goodput.count();
            goodput.tick(0.1, true);
        }
        for _ in 0..600 {
            goodput.tick(0.1, false);
        }
        assert_eq!(goodput.forecast(), None);
        assert!(!goodput.falls_short());
    }
}
