//! How the site behind is doing, from what the gateway counts about once a second.
//!
//! Whoever runs an engine tells it the result (`Engine::origin_stress`); the node and the simulator
//! judge alike. The engine uses it to hold limits per source back while nobody suffers, and to let nobody through
//! for a trial while everybody does. It must never be a reason by itself to refuse anybody.

use crate::stress::Stress;

/// Share of requests that fail at the origin at which it is at its limit (design/detection.md
/// § 3.7).
const FAILED_SHARE: f64 = 0.05;
/// Requests wait, however few: it comes near its limit.
const WAITING: f64 = 0.7;
/// From these multiples of its limit on it is so called, …
const LEVELS: [(f64, Stress); 3] =
    [(2.0, Stress::Critical), (1.0, Stress::Stressed), (WAITING, Stress::Warn)];
/// … and only below this is it calm again: a site that hovers at its limit does not switch rules on
/// and off.
const CALM_BELOW: f64 = 0.5;
/// Fewer requests in a second say nothing about shares.
const REQUESTS_MIN: u64 = 10;

/// What the gateway counted, since the start or now.
#[derive(Copy, Clone, Debug, Default)]
pub struct OriginCounts {
    /// Requests sent on, since the start.
    pub passed: u64,
    /// Requests that found no place, no connection, no answer or an answer of 5xx, since the start.
    pub failed: u64,
    /// Requests at the origin now.
    pub in_flight: u64,
    /// Requests waiting for a place now.
    pub waiting: u64,
}

/// The stress as it was told last.
#[derive(Debug, Default)]
pub struct OriginWatch {
    before: OriginCounts,
    stress: Stress,
}

impl OriginWatch {
    /// Takes in the counts; returns the stress.
    pub fn look(&mut self, now: OriginCounts) -> Stress {
        let failed = now.failed.saturating_sub(self.before.failed);
        let asked = now.passed.saturating_sub(self.before.passed).max(failed);
        self.before = now;
        let failing = match asked {
            REQUESTS_MIN.. => failed as f64 / asked as f64 / FAILED_SHARE,
            _ => 0.0,
        };
        let queue = match now.waiting {
            0 => 0.0,
            waiting => (waiting as f64 / now.in_flight.max(1) as f64).max(WAITING),
        };
        self.stress = next(self.stress, failing.max(queue));
        self.stress
    }
}

fn next(before: Stress, ratio: f64) -> Stress {
    let reached = LEVELS.iter().find(|(from, _)| ratio >= *from).map_or(Stress::Calm, |l| l.1);
    if reached >= before || ratio < CALM_BELOW { reached } else { reached.max(Stress::Warn) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counts: OriginCounts, expected: Stress) {
        assert_eq!(OriginWatch::default().look(counts), expected, "{counts:?}");
    }

    fn counts(passed: u64, failed: u64, in_flight: u64, waiting: u64) -> OriginCounts {
        OriginCounts { passed, failed, in_flight, waiting }
    }

    #[test]
    fn a_site_that_answers_is_calm() {
        check(counts(1_000, 0, 40, 0), Stress::Calm);
        check(counts(1_000, 20, 40, 0), Stress::Calm);
    }

    #[test]
    fn waiting_requests_are_the_first_sign() {
        check(counts(1_000, 0, 40, 1), Stress::Warn);
        check(counts(1_000, 0, 40, 40), Stress::Stressed);
        check(counts(1_000, 0, 40, 200), Stress::Critical);
    }

    #[test]
    fn one_in_twenty_failing_is_the_limit_and_one_in_ten_beyond_it() {
        check(counts(1_000, 50, 40, 0), Stress::Stressed);
        check(counts(1_000, 100, 40, 0), Stress::Critical);
        check(counts(0, 500, 0, 0), Stress::Critical);
    }

    #[test]
    fn three_failures_at_night_are_no_stress() {
        check(counts(5, 3, 1, 0), Stress::Calm);
    }

    #[test]
    fn stress_ends_well_below_where_it_begins() {
        let mut watch = OriginWatch::default();
        let mut second = |failed| {
            let before = watch.before;
            watch.look(counts(before.passed + 1_000, before.failed + failed, 40, 0))
        };
        assert_eq!(second(60), Stress::Stressed);
        assert_eq!(second(40), Stress::Warn);
        assert_eq!(second(30), Stress::Warn);
        assert_eq!(second(20), Stress::Calm);
    }
}
