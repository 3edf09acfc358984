//! Things that begin at random times.

use fastrand::Rng;

use crate::chance::{exponential_ms, happens};
use crate::packets::stream::{LabelledPacket, Source};

/// A crowd: visitors come more often from some time on.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Crowd {
    /// When it begins, µs since the stream's beginning.
    pub at_us: u64,
    /// How long until it is complete, µs.
    pub rise_us: u64,
    /// How many times as many come then.
    pub factor: f64,
}

impl Crowd {
    fn factor_at(&self, at_us: f64) -> f64 {
        let since = at_us - (self.at_us + super::WARM_UP_US) as f64;
        let risen = (since / self.rise_us.max(1) as f64).clamp(0.0, 1.0);
        1.0 + (self.factor - 1.0) * risen
    }
}

/// A Poisson process whose every event is written out by a script.
pub(crate) struct Arrivals<F> {
    rng: Rng,
    due_us: f64,
    rate_ps: f64,
    crowd: Option<Crowd>,
    script: F,
}

impl<F: FnMut(u64, &mut Rng, &mut Vec<LabelledPacket>)> Arrivals<F> {
    /// Events at `rate_ps` per second on average; none at 0.
    pub(crate) fn new(rate_ps: f64, rng: Rng, script: F) -> Arrivals<F> {
        let mut arrivals = Arrivals { rng, due_us: 0.0, rate_ps, crowd: None, script };
        arrivals.step();
        arrivals
    }

    /// The same with a crowd.
    pub(crate) fn with_crowd(mut self, crowd: Option<Crowd>) -> Arrivals<F> {
        self.crowd = crowd;
        self
    }

    fn factor_max(&self) -> f64 {
        self.crowd.map_or(1.0, |crowd| crowd.factor.max(1.0))
    }

    fn step(&mut self) {
        let rate_ps = self.rate_ps * self.factor_max();
        if rate_ps > 0.0 {
            self.due_us += 1_000.0 * exponential_ms(&mut self.rng, 1_000.0 / rate_ps);
        } else {
            self.due_us = f64::INFINITY;
        }
    }
}

impl<F: FnMut(u64, &mut Rng, &mut Vec<LabelledPacket>)> Source for Arrivals<F> {
    fn due_us(&self) -> u64 {
        // A cast saturates: infinity is `u64::MAX`.
        self.due_us as u64
    }

    fn make(&mut self, out: &mut Vec<LabelledPacket>) {
        // Thinning (Lewis and Shedler 1979): events come at the highest rate and some are left out.
        let factor = self.crowd.map_or(1.0, |crowd| crowd.factor_at(self.due_us));
        let share = factor / self.factor_max();
        if share >= 1.0 || happens(&mut self.rng, share) {
            (self.script)(self.due_us as u64, &mut self.rng, out);
        }
        self.step();
    }
}
