//! How well the engine sees: how late observations come to it, and how many never come.
//!
//! Whoever overloads Floodwall chooses what it does not see. Where more than a twentieth is lost, a
//! sample no longer shows who would be hit, so nobody new is blocked until it is better
//! (design/detection.md § 3.10, "sampler overload"). What is in force stays in force.

use std::collections::VecDeque;

/// Share of observations that may be lost over [`LOSS_WINDOW_MS`] before nobody new is blocked.
pub const LOSS_SHARE_MAX: f64 = 0.05;
/// Loss is measured over this, ms.
const LOSS_WINDOW_MS: u64 = 10_000;
/// The largest lag is remembered for so long, ms.
const LAG_WINDOW_MS: u64 = 60_000;
/// Steps remembered: a minute of ten a second, and room for some more. When full: the oldest is
/// forgotten, and the windows are shorter by it.
const STEPS_MAX: usize = 1_024;

/// One step's figures.
#[derive(Copy, Clone, Debug)]
struct Step {
    at_ms: u64,
    arrived: u64,
    lost: u64,
    lag_ms: u64,
}

/// The last minute.
#[derive(Debug, Default)]
pub struct Sight {
    steps: VecDeque<Step>,
    lost: u64,
    lag_ms: u64,
    noted: bool,
}

impl Sight {
    /// So many were lost on the way to the step that comes.
    pub const fn lost(&mut self, observations: u64) {
        self.lost = self.lost.saturating_add(observations);
    }

    /// A step at `now_ms` took `arrived` new observations; `oldest_ms`: when the oldest was made.
    pub fn step(&mut self, now_ms: u64, arrived: u64, oldest_ms: Option<u64>) {
        self.lag_ms = oldest_ms.map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
        if self.steps.len() >= STEPS_MAX {
            self.steps.pop_front();
        }
        self.steps.push_back(Step {
            at_ms: now_ms,
            arrived,
            lost: std::mem::take(&mut self.lost),
            lag_ms: self.lag_ms,
        });
        let kept = |step: &Step| step.at_ms.saturating_add(LAG_WINDOW_MS) > now_ms;
        while self.steps.front().is_some_and(|step| !kept(step)) {
            self.steps.pop_front();
        }
    }

    /// Age of the oldest observation in the last step, ms; 0 where there was none.
    pub const fn lag_ms(&self) -> u64 {
        self.lag_ms
    }

    /// The largest of these within the last minute, ms.
    pub fn lag_60s_ms_max(&self) -> u64 {
        self.steps.iter().map(|step| step.lag_ms).max().unwrap_or(0)
    }

    /// Share of the last ten seconds' observations that was lost.
    pub fn lost_share(&self) -> f64 {
        let Some(newest) = self.steps.back() else { return 0.0 };
        let (mut lost, mut arrived) = (0, 0);
        for step in self.steps.iter().rev() {
            if step.at_ms.saturating_add(LOSS_WINDOW_MS) <= newest.at_ms {
                break;
            }
            lost += step.lost;
            arrived += step.arrived;
        }
        if lost == 0 { 0.0 } else { lost as f64 / (lost + arrived) as f64 }
    }

    /// Why nobody new may be blocked, if so.
    pub fn blindness(&self) -> Option<String> {
        let share = self.lost_share();
        (share > LOSS_SHARE_MAX).then(|| {
            format!(
                "{:.0} % of the requests of the last ten seconds were not observed; nobody new is \
                 blocked on what the rest shows",
                share * 100.0
            )
        })
    }

    /// The same once for each incident, for its account. `is_open`: whether one lasts.
    pub fn blindness_to_note(&mut self, is_open: bool) -> Option<String> {
        if !is_open {
            self.noted = false;
            return None;
        }
        let text = self.blindness().filter(|_| !self.noted)?;
        self.noted = true;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_a_share_of_the_last_ten_seconds() {
        let mut sight = Sight::default();
        sight.lost(6);
        sight.step(1_000, 94, Some(1_000));
        assert!((sight.lost_share() - 0.06).abs() < 1e-9 && sight.blindness().is_some());
        sight.step(5_000, 20, Some(5_000));
        assert!((sight.lost_share() - 0.05).abs() < 1e-9, "{}", sight.lost_share());
        assert_eq!(sight.blindness(), None, "a twentieth is still allowed");
        sight.step(11_000, 1, Some(11_000));
        assert_eq!(sight.lost_share(), 0.0, "ten seconds later");
        sight.lost(3);
        sight.step(30_000, 0, None);
        assert_eq!(sight.lost_share(), 1.0, "what was lost and nothing else");
    }

    #[test]
    fn lag_is_the_wait_of_the_oldest_and_its_maximum_lasts_a_minute() {
        let mut sight = Sight::default();
        sight.step(1_000, 2, Some(400));
        assert_eq!((sight.lag_ms(), sight.lag_60s_ms_max()), (600, 600));
        // A clock that went back makes nothing late.
        sight.step(2_000, 1, Some(9_000));
        assert_eq!((sight.lag_ms(), sight.lag_60s_ms_max()), (0, 600));
        sight.step(61_500, 0, None);
        assert_eq!(sight.lag_60s_ms_max(), 0);
    }

    #[test]
    fn an_incident_is_told_once() {
        let mut sight = Sight::default();
        sight.lost(9);
        sight.step(1_000, 0, None);
        assert!(sight.blindness_to_note(false).is_none());
        assert!(sight.blindness_to_note(true).is_some());
        assert!(sight.blindness_to_note(true).is_none());
        assert!(sight.blindness_to_note(false).is_none());
        assert!(sight.blindness_to_note(true).is_some(), "the next incident");
    }

    #[test]
    fn a_minute_of_hasty_steps_stays_bounded() {
        let mut sight = Sight::default();
        for now_ms in 0..10_000 {
            sight.step(now_ms, 0, None);
        }
        assert!(sight.steps.len() <= STEPS_MAX);
    }
}
