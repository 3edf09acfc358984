//! Onset: the first sign. It starts a search and nothing else; being wrong here costs a little
//! computing time, being slow costs the visitors.

use floodwall_model::{Attr, Attrs, ValueId};

use crate::cusum::{Cusum, TOTAL};
use crate::memory::{Damaged, Reader, Writer};
use crate::values::{RATES_MAX, ValueAlarm, ValueRates};
use crate::window::WindowStats;

/// Time constant of the expected total rate, s.
const TRACK_S: f64 = 300.0;
/// Margin above the expected rate: at least, at most, and per unit of this site's own variability
/// (design/detection.md § 3.3: one margin does not fit all sites).
const MARGIN_MIN: f64 = 0.3;
const MARGIN_MAX: f64 = 2.0;
const MARGIN_PER_DEVIATION: f64 = 4.0;
/// A site at rest may receive this much without surprise, requests/s.
const FLOOR_RPS: f64 = 1.0;
/// Younger than this, rates are learned and nothing surprises, s.
const WARM_UP_S: f64 = 10.0;
/// Below this excess there is nothing worth acting on, requests/s.
const EXCESS_RPS_MIN: f64 = 5.0;

/// Remembered rates hold as they are for so long, ms.
const RATES_FRESH_MS: u64 = 3_600_000;

/// Rates that were expected when they were written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RememberedRates {
    rate_rps: f64,
    deviation: f64,
    age_s: f64,
    values: Vec<(Attr, ValueId, f64)>,
}

impl RememberedRates {
    /// Writes them.
    pub fn pack(&self, out: &mut Writer) {
        [self.rate_rps, self.deviation, self.age_s].iter().for_each(|real| out.real(*real));
        out.count(self.values.len());
        for (attr, value, rate_rps) in &self.values {
            out.number(*attr as u64);
            out.value(*value);
            out.real(*rate_rps);
        }
    }

    /// Reads them back.
    pub fn unpack(input: &mut Reader<'_>) -> Result<RememberedRates, Damaged> {
        let mut real = || Ok(input.real()?.max(0.0));
        let mut rates = RememberedRates {
            rate_rps: real()?,
            deviation: real()?,
            age_s: real()?,
            values: Vec::new(),
        };
        for _ in 0..input.count(RATES_MAX)? {
            let attr = usize::try_from(input.number()?).ok().and_then(|n| Attr::ALL.get(n));
            let attr = *attr.ok_or(Damaged("an attribute is none"))?;
            rates.values.push((attr, input.value()?, input.real()?));
        }
        Ok(rates)
    }
}

/// What left its envelope.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Channel {
    /// All requests.
    Total,
    /// Requests with one attribute value.
    Value(ValueAlarm),
}

/// The first sign of something: when, where, how much.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Finding {
    /// When it seems to have begun, ms.
    pub onset_ms: u64,
    /// What left its envelope.
    pub channel: Channel,
    /// Rate of all requests now, requests/s.
    pub observed_rps: f64,
    /// Rate of all requests expected, requests/s.
    pub expected_rps: f64,
}

/// The onset channels and the rates they expect.
#[derive(Debug)]
pub struct Onset {
    values: ValueRates,
    total: Cusum,
    rate: f64,
    deviation: f64,
    age_s: f64,
    rest_ms: u64,
}

impl Onset {
    /// Channels that expect nothing yet.
    pub fn new() -> Self {
        Onset {
            values: ValueRates::new(),
            total: Cusum::default(),
            rate: 0.0,
            deviation: 0.0,
            age_s: 0.0,
            rest_ms: 0,
        }
    }

    /// Counts one request.
    pub fn count(&mut self, attrs: &Attrs) {
        self.values.count(attrs);
    }

    /// Rate of all requests expected, requests/s.
    pub fn expected_rps(&self) -> f64 {
        self.rate / (1.0 - (-self.age_s / TRACK_S).exp()).max(0.01)
    }

    /// The rate above which the total is remarkable, requests/s.
    pub fn upper_rps(&self) -> f64 {
        let margin = (self.deviation * MARGIN_PER_DEVIATION).clamp(MARGIN_MIN, MARGIN_MAX);
        self.expected_rps() * (1.0 + margin) + FLOOR_RPS
    }

    /// Ends a tick of `interval_s`. While `learning` is off, expectations stand still.
    pub fn tick(
        &mut self,
        window: &WindowStats,
        interval_s: f64,
        learning: bool,
    ) -> Option<Finding> {
        let now_ms = window.now_ms;
        if self.age_s >= WARM_UP_S {
            self.total.update(TOTAL, window.tick_requests as f64, self.upper_rps(), interval_s);
        }
        if self.total.at_rest() {
            self.rest_ms = now_ms;
        }
        let value = self.values.tick(now_ms, interval_s, self.age_s, learning);
        if learning && !self.total.suspicious(TOTAL) {
            self.learn(window, interval_s);
        }
        let finding = |channel, onset_ms| Finding {
            onset_ms,
            channel,
            observed_rps: window.per_1s_rps,
            expected_rps: self.expected_rps(),
        };
        if self.total.alarmed(TOTAL) && window.per_1s_rps - self.expected_rps() > EXCESS_RPS_MIN {
            return Some(finding(Channel::Total, self.rest_ms.max(now_ms.saturating_sub(60_000))));
        }
        let worth = |alarm: &ValueAlarm| {
            alarm.present_rps - alarm.expected_rps > EXCESS_RPS_MIN
                && window.per_1s_rps > self.expected_rps() + EXCESS_RPS_MIN
        };
        value
            .filter(worth)
            .map(|alarm| finding(Channel::Value(alarm), now_ms.saturating_sub(1_000)))
    }

    fn learn(&mut self, window: &WindowStats, interval_s: f64) {
        self.age_s += interval_s;
        let keep = (-interval_s / TRACK_S).exp();
        self.rate = self.rate * keep + window.tick_requests as f64 / TRACK_S;
        let expected = self.expected_rps();
        if expected > 0.0 && self.age_s > 10.0 {
            let off = ((window.per_10s_rps - expected).abs() / expected).min(1.0);
            self.deviation = self.deviation * keep + off * (1.0 - keep);
        }
    }

    /// Whether the total is above what is expected here.
    pub fn hot(&self, window: &WindowStats) -> bool {
        window.per_1s_rps > self.upper_rps() || self.total.suspicious(TOTAL)
    }

    /// Whether the total stays above what is expected here: one second of a bursty site does not
    /// count.
    pub fn sustained(&self, window: &WindowStats) -> bool {
        window.per_10s_rps > self.upper_rps()
    }

    /// Takes the present rate for normal: what rose was judged and is welcome.
    pub fn settle(&mut self, window: &WindowStats) {
        self.total = Cusum::default();
        self.values.settle(self.age_s);
        self.rate = window.per_60s_rps * (1.0 - (-self.age_s / TRACK_S).exp());
    }

    /// The rates expected, to be remembered.
    pub fn remembered(&self) -> RememberedRates {
        RememberedRates {
            rate_rps: self.expected_rps(),
            deviation: self.deviation,
            age_s: self.age_s,
            values: self.values.remembered(self.age_s),
        }
    }

    /// Expects what was expected `ago_ms` before `now_ms`. After more than an hour that is a first
    /// guess, which a few seconds of traffic outweigh.
    pub fn recall(&mut self, rates: &RememberedRates, now_ms: u64, ago_ms: u64) {
        let lately = ago_ms < RATES_FRESH_MS;
        self.age_s = if lately { rates.age_s } else { rates.age_s.min(WARM_UP_S) };
        self.rate = rates.rate_rps * (1.0 - (-self.age_s / TRACK_S).exp());
        self.deviation = rates.deviation;
        self.values.recall(&rates.values, now_ms, self.age_s);
    }

    /// Places in use, places in all, and values without a place.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        self.values.occupancy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Window;

    /// Runs a rate for some seconds; returns the tick of the first finding.
    fn run(
        onset: &mut Onset,
        window: &mut Window,
        from: u64,
        seconds: u64,
        rps: u64,
    ) -> Option<u64> {
        for tick in from..from + seconds * 10 {
            let due = (tick + 1) * rps / 10 - tick * rps / 10;
            for _ in 0..due {
                onset.count(&Attrs::default());
            }
            let stats = window.tick((tick + 1) * 100, due);
            if onset.tick(&stats, 0.1, true).is_some() {
                return Some(tick - from);
            }
        }
        None
    }

    #[test]
    fn the_council_attack_on_a_small_site_is_seen_in_half_a_second() {
        let (mut onset, mut window) = (Onset::new(), Window::new());
        assert_eq!(run(&mut onset, &mut window, 0, 60, 20), None);
        let tick = run(&mut onset, &mut window, 600, 5, 1_020).unwrap();
        assert!(tick <= 5, "{tick}");
    }

    #[test]
    fn a_doubling_within_an_hour_is_a_day_beginning() {
        let (mut onset, mut window) = (Onset::new(), Window::new());
        let mut from = 0;
        for step in 0..60 {
            let rps = 100 + step * 100 / 60;
            assert_eq!(run(&mut onset, &mut window, from, 60, rps), None, "at {rps}/s");
            from += 600;
        }
    }
}
