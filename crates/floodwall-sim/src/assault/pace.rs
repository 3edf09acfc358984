//! When an attack sends: steadily, in pulses, or growing for days before it begins in earnest.

use fastrand::Rng;

use crate::chance::exponential_ms;

/// On and off.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Pulse {
    /// Sends for so long, ms, …
    pub on_ms: u64,
    /// … and is silent for so long, ms.
    pub off_ms: u64,
}

/// A trickle that doubles until the attack begins.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Growth {
    /// When it begins, ms.
    pub from_ms: u64,
    /// With how much, requests/s, …
    pub rps: f64,
    /// … doubling in this time, ms, …
    pub doubling_ms: f64,
    /// … up to this much, requests/s.
    pub rps_max: f64,
}

/// When an attack sends how much.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Requests/s while it sends.
    pub rps: f64,
    /// First request at or after this time, ms.
    pub start_ms: u64,
    /// No request at or after this time, ms.
    pub end_ms: u64,
    /// Whether it pulses.
    pub pulse: Option<Pulse>,
    /// What precedes it.
    pub growth: Option<Growth>,
    /// Time that it has spent sending since `start_ms`, ms.
    pub spent_ms: f64,
    /// Where the trickle is, ms.
    pub trickle_ms: f64,
}

/// The moment of one request.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Beat {
    pub at_ms: u64,
    pub wave: u32,
}

impl Pace {
    /// `rps` between the two times.
    pub fn steady(rps: f64, start_ms: u64, end_ms: u64) -> Self {
        let rps = rps.max(1e-6);
        let (spent_ms, trickle_ms) = (0.0, 0.0);
        Pace { rps, start_ms, end_ms, pulse: None, growth: None, spent_ms, trickle_ms }
    }

    pub(super) fn next(&mut self, rng: &mut Rng) -> Option<Beat> {
        if let Some(at_ms) = self.next_trickle(rng) {
            return Some(Beat { at_ms, wave: 0 });
        }
        self.spent_ms += exponential_ms(rng, 1_000.0 / self.rps);
        let (since_ms, wave) = match self.pulse {
            None => (self.spent_ms, 0),
            Some(Pulse { on_ms, off_ms }) => {
                let on_ms = on_ms.max(1) as f64;
                let round = (self.spent_ms / on_ms).floor();
                (self.spent_ms + round * off_ms as f64, round as u32)
            }
        };
        let at_ms = self.start_ms + since_ms as u64;
        let wave = if self.growth.is_some() { wave + 1 } else { wave };
        (at_ms < self.end_ms).then_some(Beat { at_ms, wave })
    }

    fn next_trickle(&mut self, rng: &mut Rng) -> Option<u64> {
        let growth = self.growth?;
        self.trickle_ms = self.trickle_ms.max(growth.from_ms as f64);
        let doubling_ms = growth.doubling_ms.max(1_000.0);
        while self.trickle_ms < self.start_ms as f64 {
            let doublings = (self.trickle_ms - growth.from_ms as f64) / doubling_ms;
            let rps = (growth.rps * doublings.exp2()).min(growth.rps_max).max(1e-9);
            // Waiting has no memory: a step in which nothing comes may be cut and begun anew with
            // the rate that holds then.
            let step_ms = doubling_ms / 4.0;
            let wait_ms = exponential_ms(rng, 1_000.0 / rps);
            self.trickle_ms += wait_ms.min(step_ms);
            if wait_ms < step_ms && self.trickle_ms < self.start_ms as f64 {
                return Some(self.trickle_ms as u64);
            }
        }
        None
    }
}
