//! How long the engine's steps take: the engine has no clock, so the loop around it measures.

use std::collections::VecDeque;
use std::time::Duration;

/// The longest is remembered for so long, ms.
const WINDOW_MS: u64 = 60_000;
/// Durations remembered: a minute of ten a second, and room for some more. When full: the oldest is
/// forgotten, and the window is shorter by it.
const DURATIONS_MAX: usize = 1_024;

/// What is shown.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Shown {
    /// The last duration, ms.
    pub(crate) last_ms: u64,
    /// The longest within the last minute, ms.
    pub(crate) max_60s_ms: u64,
}

/// The durations of the last minute.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    recent: VecDeque<(u64, u64)>,
    last_ms: u64,
}

impl Durations {
    /// Something that ended at `now_ms` took so long.
    pub(crate) fn note(&mut self, now_ms: u64, took: Duration) {
        self.last_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if self.recent.len() >= DURATIONS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((now_ms, self.last_ms));
    }

    /// What is shown at `now_ms`.
    pub(crate) fn shown(&mut self, now_ms: u64) -> Shown {
        let over = |(at_ms, _): &(u64, u64)| at_ms.saturating_add(WINDOW_MS) <= now_ms;
        while self.recent.front().is_some_and(over) {
            self.recent.pop_front();
        }
        let max_60s_ms = self.recent.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
        Shown { last_ms: self.last_ms, max_60s_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_lasts_a_minute_and_the_last_lasts() {
        let mut durations = Durations::default();
        durations.note(1_000, Duration::from_millis(90));
        durations.note(2_000, Duration::from_micros(3_900));
        assert_eq!(durations.shown(2_000), Shown { last_ms: 3, max_60s_ms: 90 });
        assert_eq!(durations.shown(61_000), Shown { last_ms: 3, max_60s_ms: 3 });
        assert_eq!(durations.shown(99_000), Shown { last_ms: 3, max_60s_ms: 0 });
        for now_ms in 0..10_000 {
            durations.note(now_ms, Duration::ZERO);
        }
        assert!(durations.recent.len() <= DURATIONS_MAX);
    }
}
