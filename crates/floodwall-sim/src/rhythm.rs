//! How traffic changes without anybody attacking: day and night, a recorded event, and the day on
//! which everybody's browser updates itself.

use std::sync::Arc;

use fastrand::Rng;

use crate::chance::happens;
use crate::layouts::Engine;
use crate::profile::{ClientProfile, Implementation};
use crate::request::Text;

/// A day, ms.
pub const DAY_MS: f64 = 86_400_000.0;

/// Factors on the rate of arrivals at even steps, joined by straight lines, repeated for ever.
#[derive(Clone, Debug)]
pub struct Rhythm {
    step_ms: f64,
    factors: Arc<[f64]>,
}

impl Rhythm {
    /// Factors every `step_ms`. Negative ones and what is no number count as 0.
    pub fn new(step_ms: f64, factors: Vec<f64>) -> Self {
        let factors = factors.into_iter().map(|f| if f > 0.0 { f } else { 0.0 });
        let factors: Arc<[f64]> = factors.collect();
        Rhythm {
            step_ms: step_ms.max(1.0),
            factors: if factors.is_empty() { Arc::new([1.0]) } else { factors },
        }
    }

    /// Day and night: once round in 24 hours, `swing` of the mean up and down, `phase` days ahead.
    pub fn daily(swing: f64, phase: f64) -> Self {
        let at = |quarter: u32| {
            let turn = (f64::from(quarter) / 96.0 + phase) * std::f64::consts::TAU;
            1.0 + swing.clamp(0.0, 0.95) * turn.sin()
        };
        Rhythm::new(DAY_MS / 96.0, (0..96).map(at).collect())
    }

    /// The largest factor.
    pub fn peak(&self) -> f64 {
        self.factors.iter().fold(1e-9, |most, f| f64::max(most, *f))
    }

    /// The factor `since_ms` after the beginning.
    pub fn factor(&self, since_ms: f64) -> f64 {
        let at = since_ms.max(0.0) / self.step_ms;
        let (whole, part) = (at.floor(), at.fract());
        let index = whole as usize % self.factors.len();
        let next = (index + 1) % self.factors.len();
        self.factors[index] * (1.0 - part) + self.factors[next] * part
    }
}

/// A release that reaches everybody who uses the newest Chromium over some hours.
#[derive(Clone, Debug)]
pub struct BrowserUpdate {
    /// When the first have it, ms.
    pub from_ms: u64,
    /// How long until `share` have it, ms.
    pub over_ms: u64,
    /// How many have it in the end.
    pub share: f64,
    /// Its major version's digits before and after.
    pub version: (&'static str, &'static str),
}

impl BrowserUpdate {
    /// Gives `profile` the new version, if its owner has got it by `at_ms`.
    pub fn apply(&self, profile: &mut ClientProfile, at_ms: u64, rng: &mut Rng) {
        let since_ms = at_ms.saturating_sub(self.from_ms) as f64;
        let part = (since_ms / self.over_ms.max(1) as f64).min(1.0);
        let software = &*profile.implementation;
        let newest = format!("Chrome/{}.", self.version.0);
        let has_it = software.engine == Engine::Chromium
            && software.user_agent.as_str().contains(&newest)
            && happens(rng, self.share * part);
        if has_it {
            profile.implementation = Arc::new(self.updated(software));
        }
    }

    fn updated(&self, before: &Implementation) -> Implementation {
        let (old, new) = self.version;
        let text = |text: &Text| Text::from(text.as_str().replace(old, new));
        let mut after = before.clone();
        after.user_agent = text(&before.user_agent);
        if let Some(hints) = &mut after.hints {
            hints.brands = text(&hints.brands);
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browsers;

    #[test]
    fn a_day_swings_about_its_mean_and_comes_round() {
        let rhythm = Rhythm::daily(0.6, 0.0);
        assert!((rhythm.peak() - 1.6).abs() < 0.01);
        assert!((rhythm.factor(0.0) - rhythm.factor(DAY_MS)).abs() < 1e-9);
        let mean = (0..1_000).map(|i| rhythm.factor(DAY_MS * f64::from(i) / 1_000.0)).sum::<f64>();
        assert!((mean / 1_000.0 - 1.0).abs() < 0.01, "{mean}");
        assert!((rhythm.factor(DAY_MS * 0.75) - 0.4).abs() < 0.01);
    }

    #[test]
    fn between_two_steps_the_rate_is_between_theirs() {
        let rhythm = Rhythm::new(60_000.0, vec![1.0, 3.0, f64::NAN]);
        assert_eq!(rhythm.factor(30_000.0), 2.0);
        assert_eq!(rhythm.factor(120_000.0), 0.0);
        assert_eq!(Rhythm::new(0.0, Vec::new()).factor(5.0), 1.0);
    }

    #[test]
    fn only_the_newest_chromium_is_updated_and_in_the_end_all_of_it() {
        let update =
            BrowserUpdate { from_ms: 0, over_ms: 1_000, share: 1.0, version: ("142", "143") };
        let mut rng = Rng::with_seed(1);
        let mut updated = 0;
        for (one, _) in browsers::desktop() {
            let before = one.user_agent.as_str().to_owned();
            let mut profile =
                ClientProfile { implementation: Arc::new(one), language: "en".into() };
            update.apply(&mut profile, 1_000, &mut rng);
            let after = profile.implementation.user_agent.as_str();
            assert_eq!(before != after, before.contains("Chrome/142."), "{before}");
            updated += u32::from(before != after);
        }
        assert!(updated > 5, "{updated}");
    }
}
