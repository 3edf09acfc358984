//! How a small origin works through its requests: one after the other.
//!
//! Service is virtual: a request is told when its turn would be over, and nothing burns a
//! processor meanwhile, because the demo shares one machine with what it measures. The behaviour is
//! that of one worker with a bounded backlog: under its capacity nobody waits long, above it
//! everybody does, and what does not fit is turned away.

/// What a page costs, units.
pub(super) const PAGE_UNITS: f64 = 1.0;
/// What anything else costs, units: it is read from memory, not composed.
pub(super) const OTHER_UNITS: f64 = 0.1;
/// Backlog, as the time the worker needs for it, µs. When full: 503, counted. Half a second is a
/// few hundred pages, the listen queue and worker pool of an ordinary application server.
pub(super) const BACKLOG_US_MAX: u64 = 500_000;

/// The backlog is full.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Full;

/// One worker and its backlog.
#[derive(Debug)]
pub(super) struct ServiceQueue {
    us_per_unit: f64,
    free_at_us: f64,
}

impl ServiceQueue {
    /// A worker that does `units_per_s` units a second.
    pub(super) fn new(units_per_s: u32) -> Self {
        ServiceQueue { us_per_unit: 1e6 / f64::from(units_per_s.max(1)), free_at_us: 0.0 }
    }

    /// Joins the backlog at `now_us` with a request that costs `units`; returns when it will be
    /// done, µs on the same clock.
    pub(super) fn join(&mut self, now_us: u64, units: f64) -> Result<u64, Full> {
        if self.backlog_us(now_us) >= BACKLOG_US_MAX {
            return Err(Full);
        }
        self.free_at_us = self.free_at_us.max(now_us as f64) + units * self.us_per_unit;
        Ok(self.free_at_us as u64)
    }

    /// How long a request arriving at `now_us` would wait, µs.
    pub(super) fn backlog_us(&self, now_us: u64) -> u64 {
        (self.free_at_us - now_us as f64).max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages at `rate` per second for ten seconds: how many were served, and the longest wait, ms.
    fn offered(rate: u64, capacity: u32) -> (u64, u64) {
        let mut queue = ServiceQueue::new(capacity);
        let (mut served, mut longest_ms) = (0, 0);
        for n in 0..rate * 10 {
            let now_us = n * 1_000_000 / rate;
            if let Ok(done_us) = queue.join(now_us, PAGE_UNITS) {
                served += 1;
                longest_ms = longest_ms.max((done_us - now_us) / 1_000);
            }
        }
        (served, longest_ms)
    }

    #[test]
    fn below_capacity_nobody_waits() {
        assert_eq!(offered(400, 500), (4_000, 2));
    }

    #[test]
    fn above_capacity_it_serves_its_capacity_and_everybody_waits() {
        let (served, longest_ms) = offered(1_000, 400);
        assert!((4_000..4_220).contains(&served), "{served}");
        assert!((495..510).contains(&longest_ms), "{longest_ms} ms");
    }

    #[test]
    fn a_full_backlog_turns_away_and_recovers() {
        let mut queue = ServiceQueue::new(10);
        let taken = (0..20).filter(|_| queue.join(0, PAGE_UNITS).is_ok()).count();
        assert_eq!(taken, 5);
        assert_eq!(queue.join(0, PAGE_UNITS), Err(Full));
        assert_eq!(queue.join(100_000, PAGE_UNITS), Ok(600_000));
        assert_eq!(queue.backlog_us(600_000), 0);
    }

    #[test]
    fn assets_cost_a_tenth() {
        let mut queue = ServiceQueue::new(10);
        assert_eq!(queue.join(0, OTHER_UNITS), Ok(10_000));
    }
}
