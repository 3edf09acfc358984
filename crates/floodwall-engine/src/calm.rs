//! How easily a site's channels may be alarmed: a budget of false alarms.
//!
//! An alarm that leads to no rule costs nothing but computing time and a pause in learning, so
//! channels are set to be quick. A site that is livelier than their envelopes expect would be
//! alarmed all day: every false alarm widens the envelope, and quiet hours narrow it again, so that
//! about [`FALSE_ALARMS_PER_DAY`] remain (design/detection.md § 3.3: ten candidates a day). Must
//! never widen because of an attack that got its rule.

/// False alarms a day that a channel settles at when its site is livelier than its envelope. Three
/// kinds of channels have one each, so that together they stay below ten.
const FALSE_ALARMS_PER_DAY: f64 = 3.0;
/// Each false alarm widens by this factor.
const WIDEN: f64 = 1.25;
/// Widest. A rise to several times the expected still alarms.
const WIDTH_MAX: f64 = 6.0;
/// A day, s.
const DAY_S: f64 = 86_400.0;

/// How much wider than usual a channel's envelope is.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Calm {
    width: f64,
}

impl Calm {
    /// As quick as can be.
    pub const fn new() -> Self {
        Calm { width: 1.0 }
    }

    /// What the margin above the expected rate is multiplied by, at least one.
    pub const fn width(&self) -> f64 {
        self.width
    }

    /// A width remembered from before a restart.
    pub const fn remembered(width: f64) -> Self {
        Calm { width: width.clamp(1.0, WIDTH_MAX) }
    }

    /// An alarm led to no rule.
    pub fn false_alarm(&mut self) {
        self.width = (self.width * WIDEN).min(WIDTH_MAX);
    }

    /// So much time passed.
    pub fn pass(&mut self, interval_s: f64) {
        let narrowed = self.width * WIDEN.powf(-FALSE_ALARMS_PER_DAY * interval_s / DAY_S);
        self.width = narrowed.max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn false_alarms_widen_and_a_day_of_the_budget_narrows_as_much() {
        let mut calm = Calm::new();
        for _ in 0..3 {
            calm.false_alarm();
        }
        assert!(calm.width() > 1.9);
        for _ in 0..86_400 {
            calm.pass(1.0);
        }
        assert!((calm.width() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn it_never_becomes_blind_or_quicker_than_usual() {
        let mut calm = Calm::new();
        (0..1_000).for_each(|_| calm.false_alarm());
        assert_eq!(calm.width(), WIDTH_MAX);
        (0..1_000).for_each(|_| calm.pass(DAY_S));
        assert_eq!(calm.width(), 1.0);
        assert_eq!(Calm::remembered(f64::NAN).width().max(1.0), 1.0);
    }
}
