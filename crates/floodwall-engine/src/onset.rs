//! Onset: the first sign. It starts a search and nothing else; being wrong here costs a little
//! computing time, being slow costs the visitors.

use floodwall_model::{Attr, Attrs, ValueId};

use crate::amounts::{Amount, Amounts};
use crate::calm::Calm;
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

/// The same for requests that no page had asked for.
const UNPROMPTED_EXCESS_RPS_MIN: f64 = 1.5;
/// Remembered rates hold as they are for so long, ms.
const RATES_FRESH_MS: u64 = 3_600_000;

/// Rates that were expected when they were written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RememberedRates {
    rate_rps: f64,
    deviation: f64,
    unprompted_rps: f64,
    unprompted_deviation: f64,
    width_rates: f64,
    width_values: f64,
    age_s: f64,
    values: Vec<(Attr, ValueId, f64)>,
}

impl RememberedRates {
    /// Writes them.
    pub fn pack(&self, out: &mut Writer) {
        [
            self.rate_rps,
            self.deviation,
            self.unprompted_rps,
            self.unprompted_deviation,
            self.width_rates,
            self.width_values,
            self.age_s,
        ]
        .iter()
        .for_each(|real| out.real(*real));
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
            unprompted_rps: real()?,
            unprompted_deviation: real()?,
            width_rates: real()?,
            width_values: real()?,
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
    /// Requests that no page had asked for.
    Unprompted,
    /// Such requests with one attribute value.
    Value(ValueAlarm),
    /// What requests do to the origin.
    Amount(Amount),
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
    /// Rate of requests that no page asks for expected, requests/s.
    pub expected_unprompted_rps: f64,
}

/// A rate and how far it usually strays.
#[derive(Copy, Clone, Debug, Default)]
struct Level {
    rate: f64,
    deviation: f64,
}

impl Level {
    fn learn(&mut self, events: u64, rate_10s: f64, interval_s: f64, age_s: f64) {
        let keep = (-interval_s / TRACK_S).exp();
        self.rate = self.rate * keep + events as f64 / TRACK_S;
        let expected = self.expected_rps(age_s);
        if expected > 0.0 && age_s > 10.0 {
            let off = ((rate_10s - expected).abs() / expected).min(1.0);
            self.deviation = self.deviation * keep + off * (1.0 - keep);
        }
    }

    fn expected_rps(&self, age_s: f64) -> f64 {
        self.rate / filled(age_s).max(0.01)
    }

    /// The rate above which it is remarkable; `width` widens the margin.
    fn upper_rps(&self, age_s: f64, width: f64) -> f64 {
        let margin = (self.deviation * MARGIN_PER_DEVIATION).clamp(MARGIN_MIN, MARGIN_MAX);
        self.expected_rps(age_s) * (1.0 + margin * width) + FLOOR_RPS * width
    }
}

/// A young average is biased low by exactly this factor.
fn filled(age_s: f64) -> f64 {
    1.0 - (-age_s / TRACK_S).exp()
}

/// The onset channels and the rates they expect.
///
/// Four kinds: all requests; those that no page had asked for, which are a tenth of them, come far
/// more evenly, and are all that most attacks send; single values among the latter; and what
/// requests do to the origin, however few they are.
#[derive(Debug)]
pub struct Onset {
    /// What requests do to the origin.
    pub amounts: Amounts,
    values: ValueRates,
    total: Cusum,
    unprompted: Cusum,
    all: Level,
    alone: Level,
    calm_rates: Calm,
    calm_values: Calm,
    age_s: f64,
    rest_ms: u64,
}

impl Onset {
    /// Channels that expect nothing yet.
    pub fn new() -> Self {
        Onset {
            amounts: Amounts::new(),
            values: ValueRates::new(),
            total: Cusum::default(),
            unprompted: Cusum::default(),
            all: Level::default(),
            alone: Level::default(),
            calm_rates: Calm::new(),
            calm_values: Calm::new(),
            age_s: 0.0,
            rest_ms: 0,
        }
    }

    /// Counts one request that no page had asked for.
    pub fn count(&mut self, attrs: &Attrs) {
        self.values.count(attrs);
    }

    /// Rate of all requests expected, requests/s.
    pub fn expected_rps(&self) -> f64 {
        self.all.expected_rps(self.age_s)
    }

    /// Rate of requests that no page asked for, expected, requests/s.
    pub fn expected_unprompted_rps(&self) -> f64 {
        self.alone.expected_rps(self.age_s)
    }

    /// The rate above which the total is remarkable, requests/s.
    pub fn upper_rps(&self) -> f64 {
        self.all.upper_rps(self.age_s, self.calm_rates.width())
    }

    fn upper_unprompted_rps(&self) -> f64 {
        self.alone.upper_rps(self.age_s, self.calm_rates.width())
    }

    /// Ends a tick of `interval_s`. While `learning` is off, expectations stand still.
    pub fn tick(
        &mut self,
        window: &WindowStats,
        interval_s: f64,
        learning: bool,
    ) -> Option<Finding> {
        let now_ms = window.now_ms;
        self.calm_rates.pass(interval_s);
        self.calm_values.pass(interval_s);
        if self.age_s >= WARM_UP_S {
            let (all, alone) = (window.tick_requests as f64, window.tick_unprompted as f64);
            self.total.update(TOTAL, all, self.upper_rps(), interval_s);
            self.unprompted.update(TOTAL, alone, self.upper_unprompted_rps(), interval_s);
        }
        if self.total.at_rest() && self.unprompted.at_rest() {
            self.rest_ms = now_ms;
        }
        let width = self.calm_values.width();
        let value = self.values.tick(now_ms, interval_s, self.age_s, width, learning);
        let amount = self.amounts.tick(interval_s, learning);
        if learning && !self.suspicious() {
            self.learn(window, interval_s);
        }
        self.found(window, value, amount)
    }

    fn found(
        &self,
        window: &WindowStats,
        value: Option<ValueAlarm>,
        amount: Option<Amount>,
    ) -> Option<Finding> {
        let now_ms = window.now_ms;
        let finding = |channel, onset_ms| Finding {
            onset_ms,
            channel,
            observed_rps: window.per_1s_rps,
            expected_rps: self.expected_rps(),
            expected_unprompted_rps: self.alone.expected_rps(self.age_s),
        };
        let since_ms = self.rest_ms.max(now_ms.saturating_sub(60_000));
        if self.total.alarmed(TOTAL) && window.per_1s_rps - self.expected_rps() > EXCESS_RPS_MIN {
            return Some(finding(Channel::Total, since_ms));
        }
        let alone_excess = window.unprompted_1s_rps - self.alone.expected_rps(self.age_s);
        if self.unprompted.alarmed(TOTAL) && alone_excess > UNPROMPTED_EXCESS_RPS_MIN {
            return Some(finding(Channel::Unprompted, since_ms));
        }
        let worth =
            |alarm: &ValueAlarm| alarm.present_rps - alarm.expected_rps > UNPROMPTED_EXCESS_RPS_MIN;
        let of_amount = |amount| {
            let since_ms = (self.amounts.risen_s(amount) * 1_000.0) as u64;
            finding(Channel::Amount(amount), now_ms.saturating_sub(since_ms.min(60_000)))
        };
        value
            .filter(worth)
            .map(|alarm| finding(Channel::Value(alarm), now_ms.saturating_sub(1_000)))
            .or_else(|| amount.map(of_amount))
    }

    fn suspicious(&self) -> bool {
        self.total.suspicious(TOTAL) || self.unprompted.suspicious(TOTAL)
    }

    fn learn(&mut self, window: &WindowStats, interval_s: f64) {
        self.age_s += interval_s;
        let age_s = self.age_s;
        self.all.learn(window.tick_requests, window.per_10s_rps, interval_s, age_s);
        self.alone.learn(window.tick_unprompted, window.unprompted_10s_rps, interval_s, age_s);
    }

    /// An alarm of `channel` led to no rule: that channel is too quick for this site.
    pub fn false_alarm(&mut self, channel: Channel) {
        match channel {
            Channel::Total | Channel::Unprompted => self.calm_rates.false_alarm(),
            Channel::Value(_) => self.calm_values.false_alarm(),
            Channel::Amount(_) => self.amounts.false_alarm(),
        }
    }

    /// Whether the total, or what no page asked for, is above what is expected here.
    pub fn hot(&self, window: &WindowStats) -> bool {
        window.per_1s_rps > self.upper_rps() || self.suspicious()
    }

    /// Whether the total stays above what is expected here: one second of a bursty site does not
    /// count.
    pub fn sustained(&self, window: &WindowStats) -> bool {
        window.per_10s_rps > self.upper_rps()
    }

    /// Takes the present rate for normal: what rose was judged and is welcome.
    pub fn settle(&mut self, window: &WindowStats) {
        self.total = Cusum::default();
        self.unprompted = Cusum::default();
        self.values.settle(self.age_s);
        self.amounts.settle();
        self.all.rate = window.per_60s_rps * filled(self.age_s);
        self.alone.rate = window.unprompted_10s_rps * filled(self.age_s);
    }

    /// The rates expected, to be remembered.
    pub fn remembered(&self) -> RememberedRates {
        RememberedRates {
            rate_rps: self.expected_rps(),
            deviation: self.all.deviation,
            unprompted_rps: self.alone.expected_rps(self.age_s),
            unprompted_deviation: self.alone.deviation,
            width_rates: self.calm_rates.width(),
            width_values: self.calm_values.width(),
            age_s: self.age_s,
            values: self.values.remembered(self.age_s),
        }
    }

    /// Expects what was expected `ago_ms` before `now_ms`. After more than an hour that is a first
    /// guess, which a few seconds of traffic outweigh.
    pub fn recall(&mut self, rates: &RememberedRates, now_ms: u64, ago_ms: u64) {
        let lately = ago_ms < RATES_FRESH_MS;
        if !lately {
            self.amounts.doubt();
        }
        self.age_s = if lately { rates.age_s } else { rates.age_s.min(WARM_UP_S) };
        let level = |rate_rps, deviation| Level { rate: rate_rps * filled(self.age_s), deviation };
        self.all = level(rates.rate_rps, rates.deviation);
        self.alone = level(rates.unprompted_rps, rates.unprompted_deviation);
        self.calm_rates = Calm::remembered(rates.width_rates);
        self.calm_values = Calm::remembered(rates.width_values);
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
            let stats = window.tick((tick + 1) * 100, due, due);
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
