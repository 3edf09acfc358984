//! `WindowStats`: how much arrives, over which window.

use std::collections::VecDeque;

/// Longest window kept, ms.
const KEEP_MS: u64 = 60_000;
/// Ticks kept. When full: the oldest is dropped; windows then read a little low.
const TICKS_MAX: usize = 1_024;

/// Rates at the end of a tick, each mean over the window in its name.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct WindowStats {
    /// End of the window, ms.
    pub now_ms: u64,
    /// Requests in the tick that ended.
    pub tick_requests: u64,
    /// Those among them that no page had asked for.
    pub tick_unprompted: u64,
    /// Requests/s that no page had asked for, over one second.
    pub unprompted_1s_rps: f64,
    /// The same over ten seconds.
    pub unprompted_10s_rps: f64,
    /// Requests/s over one second.
    pub per_1s_rps: f64,
    /// Requests/s over ten seconds.
    pub per_10s_rps: f64,
    /// Requests/s over one minute.
    pub per_60s_rps: f64,
}

/// The ticks of the last minute.
#[derive(Debug, Default)]
pub struct Window {
    ticks: VecDeque<(u64, u64)>,
    unprompted: VecDeque<u64>,
}

impl Window {
    /// An empty minute.
    pub fn new() -> Self {
        Window::default()
    }

    /// Adds a tick that ended at `now_ms` and held `requests`, `unprompted` of which no page had
    /// asked for.
    pub fn tick(&mut self, now_ms: u64, requests: u64, unprompted: u64) -> WindowStats {
        if self.ticks.len() == TICKS_MAX {
            self.drop_oldest();
        }
        self.ticks.push_back((now_ms, requests));
        self.unprompted.push_back(unprompted);
        while self.ticks.front().is_some_and(|(at_ms, _)| at_ms + KEEP_MS <= now_ms) {
            self.drop_oldest();
        }
        let unprompted_rate = |window_ms: u64| {
            let newest = self.ticks.iter().zip(&self.unprompted).rev();
            let within = newest.take_while(|((at_ms, _), _)| at_ms + window_ms > now_ms);
            within.map(|(_, n)| n).sum::<u64>() as f64 * 1000.0 / window_ms as f64
        };
        let rate = |window_ms: u64| {
            let requests: u64 = self
                .ticks
                .iter()
                .rev()
                .take_while(|(at_ms, _)| at_ms + window_ms > now_ms)
                .map(|(_, n)| n)
                .sum();
            requests as f64 * 1000.0 / window_ms as f64
        };
        WindowStats {
            now_ms,
            tick_requests: requests,
            tick_unprompted: unprompted,
            unprompted_1s_rps: unprompted_rate(1_000),
            unprompted_10s_rps: unprompted_rate(10_000),
            per_1s_rps: rate(1_000),
            per_10s_rps: rate(10_000),
            per_60s_rps: rate(60_000),
        }
    }

    fn drop_oldest(&mut self) {
        self.ticks.pop_front();
        self.unprompted.pop_front();
    }

    /// The rise that leads to now: when it left a tenth of its height above `expected_rps`, and how
    /// long it then took to nine tenths, ms (`None` while it still rises). Nothing if nothing rose.
    pub fn rise(&self, expected_rps: f64, now_ms: u64) -> Option<Rise> {
        let rates = self.smoothed();
        let peak = rates.iter().map(|(_, r)| *r).fold(0.0, f64::max);
        let level = |share: f64| expected_rps + (peak - expected_rps) * share;
        if peak <= expected_rps {
            return None;
        }
        let (mut began_ms, mut above_ms) = (None, now_ms);
        for (at_ms, rate) in rates.iter().rev() {
            if *rate >= level(0.1) {
                began_ms = Some(*at_ms);
                above_ms = *at_ms;
            } else if above_ms.saturating_sub(*at_ms) > LULL_MS {
                break;
            }
        }
        let began_ms = began_ms?;
        let high_ms = rates
            .iter()
            .find(|(at_ms, rate)| *at_ms >= began_ms && *rate >= level(0.9))
            .map(|(at_ms, _)| *at_ms)?;
        let over = high_ms + SETTLED_MS <= now_ms;
        Some(Rise { began_ms, took_ms: over.then(|| high_ms - began_ms) })
    }

    /// Rates over two ticks each, requests/s.
    fn smoothed(&self) -> Vec<(u64, f64)> {
        self.ticks
            .iter()
            .zip(self.ticks.iter().skip(1))
            .zip(self.ticks.iter().skip(2))
            .map(|((a, b), c)| {
                let span_ms = (c.0 - a.0).max(1) as f64;
                (b.0, (b.1 + c.1) as f64 * 1000.0 / span_ms)
            })
            .collect()
    }
}

/// A rise interrupted for no longer than this goes on, ms.
const LULL_MS: u64 = 1_000;
/// A rise is over when it has not grown for so long, ms.
const SETTLED_MS: u64 = 500;

/// The shape of a rise.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Rise {
    /// When it began, ms.
    pub began_ms: u64,
    /// How long it took, ms; `None` while it still rises.
    pub took_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_means_over_their_window() {
        let mut window = Window::new();
        let mut stats = WindowStats::default();
        for tick in 1..=600 {
            stats = window.tick(tick * 100, if tick > 590 { 100 } else { 10 }, 1);
        }
        assert_eq!(stats.per_1s_rps, 1_000.0);
        assert_eq!(stats.per_10s_rps, 190.0);
        assert_eq!((stats.unprompted_1s_rps, stats.unprompted_10s_rps), (10.0, 10.0));
        assert_eq!(stats.per_60s_rps, (590.0 * 10.0 + 10.0 * 100.0) / 60.0);
    }

    #[test]
    fn a_sudden_rise_is_told_from_a_slow_one() {
        let ramp = |ticks_up: u64| {
            let mut window = Window::new();
            for tick in 1..=400u64 {
                let up = tick.saturating_sub(100).min(ticks_up) * 100 / ticks_up;
                window.tick(tick * 100, 10 + up, 0);
            }
            window.rise(100.0, 40_000)
        };
        let sudden = ramp(1).unwrap();
        assert!(sudden.took_ms.unwrap() < 1_000);
        assert!((9_900..=10_300).contains(&sudden.began_ms), "{sudden:?}");
        assert!(ramp(200).unwrap().took_ms.unwrap() > 10_000);
        assert_eq!(Window::new().rise(1.0, 0), None);
    }
}
