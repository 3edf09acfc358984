//! Onset channels that count what requests do to the origin instead of how many there are: what they
//! cost it, how many it fails at, how many ask for what is not there.
//!
//! A few requests a second for the page that costs most are lost among all others and may be most
//! of the origin's work. Cost is what the routes *usually* cost ([`crate::costs`]), so that an origin
//! which grows slow raises nothing here; only other requests do.
//!
//! **Amounts in the units of a count.** A sum of unequal amounts strays further than a count of the
//! same mean. Divided by Σa²/Σa, the amount of which such a sum consists as if it were made of equal
//! ones, its variance equals its mean again, and the Poisson channel of [`crate::cusum`] applies (the
//! scaled Poisson distribution of G. Bohm and G. Zech, "Statistics of weighted Poisson events and its
//! applications", Nucl. Instrum. Meth. A 748 (2014) 1–6). So that no alarm rests on a handful of
//! requests, one counts for at most [`UNITS_MAX`]: an alarm takes 16 at least. The design names
//! SPOT for what is not Poisson (design/detection.md § 3.3); it needs 2,000 points before it says
//! anything, which a site of two requests a second has after a day.

use crate::calm::Calm;
use crate::cusum::{Cusum, CusumTuning};
use crate::memory::{Damaged, Reader, Writer};

/// Slower than the channels of requests, and for smaller rises: half as much work again is seen
/// within a minute where ten requests' worth a second is expected.
const TUNING: CusumTuning = CusumTuning { rho: 1.2, threshold: 12.0 };
/// Time constant of what is expected, s.
const TRACK_S: f64 = 300.0;
/// Time constant of what is taken for the present, s. Visitors who search do so several times.
const PRESENT_S: f64 = 20.0;
/// Margin above what is expected: at least, at most, and per unit of its own variability. Its
/// variability is that of twenty seconds, half of that of one.
const MARGIN_MIN: f64 = 0.2;
const MARGIN_MAX: f64 = 2.0;
const MARGIN_PER_DEVIATION: f64 = 4.0;
/// A site at rest may receive this much without surprise, units/s.
const FLOOR_UNITS: f64 = 0.5;
/// Younger than this, s, nothing surprises.
const WARM_UP_S: f64 = 60.0;
/// One request counts for at most so many units.
const UNITS_MAX: f64 = 4.0;
/// Below this excess of cost there is nothing worth acting on, ms of the origin's time a second: a
/// twentieth of one core, or of one of its workers.
const COST_EXCESS_MIN: f64 = 50.0;
/// Below this excess of failures or of requests for what is not there, requests/s.
const ANSWERS_EXCESS_MIN: f64 = 2.0;

/// ln 1.2.
const LN_RHO: f64 = 0.182_321_556_8;

const _: () = assert!(UNITS_MAX * 15.0 * LN_RHO < TUNING.threshold);

/// What is counted.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Amount {
    /// The origin's time that requests usually cost, ms/s.
    Cost,
    /// Requests that failed behind us (5xx), requests/s.
    Failed,
    /// Requests for what is not there (404 and 410), requests/s.
    Missing,
}

impl Amount {
    const ALL: [Amount; 3] = [Amount::Cost, Amount::Failed, Amount::Missing];

    const fn excess_min(self) -> f64 {
        match self {
            Amount::Cost => COST_EXCESS_MIN,
            Amount::Failed | Amount::Missing => ANSWERS_EXCESS_MIN,
        }
    }
}

/// One channel.
#[derive(Copy, Clone, Debug, Default)]
struct Channel {
    /// Of the tick that is open: Σa and Σa².
    open: (f64, f64),
    /// The same per second, as expected.
    expected: (f64, f64),
    deviation: f64,
    present: f64,
    cusum: Cusum,
    /// How long it has not been at rest, s.
    risen_s: f64,
}

/// A young average is biased low by exactly this factor.
fn filled(age_s: f64) -> f64 {
    (1.0 - (-age_s / TRACK_S).exp()).max(0.01)
}

impl Channel {
    fn unit(&self) -> f64 {
        let (sum, squares) = self.expected;
        if sum > 0.0 { (squares / sum).max(1e-6) } else { 1.0 }
    }

    fn expected(&self, age_s: f64) -> f64 {
        self.expected.0 / filled(age_s)
    }

    fn upper(&self, age_s: f64, width: f64) -> f64 {
        let margin = (self.deviation * MARGIN_PER_DEVIATION).clamp(MARGIN_MIN, MARGIN_MAX);
        self.expected(age_s) * (1.0 + margin * width) + FLOOR_UNITS * self.unit() * width
    }

    /// Ends a tick.
    fn tick(&mut self, interval_s: f64, age_s: f64, width: f64, learning: bool) {
        let (sum, squares) = std::mem::take(&mut self.open);
        let keep = (-interval_s / PRESENT_S).exp();
        self.present = self.present * keep + sum / PRESENT_S;
        if age_s >= WARM_UP_S {
            let unit = self.unit();
            self.cusum.update(TUNING, sum / unit, self.upper(age_s, width) / unit, interval_s);
        }
        self.risen_s = if self.cusum.at_rest() { 0.0 } else { self.risen_s + interval_s };
        if learning && !self.cusum.suspicious(TUNING) {
            let keep = (-interval_s / TRACK_S).exp();
            self.expected = (
                self.expected.0 * keep + sum / TRACK_S,
                self.expected.1 * keep + squares / TRACK_S,
            );
            let expected = self.expected(age_s);
            if expected > 0.0 && age_s > PRESENT_S {
                let off = ((self.present - expected).abs() / expected).min(1.0);
                self.deviation = self.deviation * keep + off * (1.0 - keep);
            }
        }
    }
}

/// The channels.
#[derive(Clone, Debug)]
pub struct Amounts {
    channels: [Channel; Amount::ALL.len()],
    calm: Calm,
    age_s: f64,
}

impl Amounts {
    /// Channels that expect nothing yet.
    pub fn new() -> Self {
        Amounts { channels: Default::default(), calm: Calm::new(), age_s: 0.0 }
    }

    /// Counts `much` of `amount`, of one request.
    pub fn count(&mut self, amount: Amount, much: f64) {
        let channel = &mut self.channels[amount as usize];
        let most = if self.age_s >= WARM_UP_S { channel.unit() * UNITS_MAX } else { f64::MAX };
        let much = if amount == Amount::Cost { much.min(most) } else { much };
        channel.open.0 += much;
        channel.open.1 += much * much;
    }

    /// Ends a tick of `interval_s`. While `learning` is off, expectations stand still. Returns what
    /// left its envelope.
    pub fn tick(&mut self, interval_s: f64, learning: bool) -> Option<Amount> {
        self.calm.pass(interval_s);
        self.age_s += if learning { interval_s } else { 0.0 };
        let width = self.calm.width();
        for channel in &mut self.channels {
            channel.tick(interval_s, self.age_s, width, learning);
        }
        Amount::ALL.into_iter().find(|amount| self.raised(*amount))
    }

    /// Whether there is more of `amount` than expected, and enough to matter.
    pub fn raised(&self, amount: Amount) -> bool {
        let channel = &self.channels[amount as usize];
        channel.cusum.alarmed(TUNING)
            && channel.present - channel.expected(self.age_s) > amount.excess_min()
    }

    /// Whether there is perhaps more of `amount` than expected.
    pub fn suspicious(&self, amount: Amount) -> bool {
        let channel = &self.channels[amount as usize];
        channel.cusum.suspicious(TUNING)
            && channel.present - channel.expected(self.age_s) > amount.excess_min()
    }

    /// How long there has been more of `amount` than usual, s.
    pub const fn risen_s(&self, amount: Amount) -> f64 {
        self.channels[amount as usize].risen_s
    }

    /// What is expected, a second.
    pub fn expected(&self, amount: Amount) -> f64 {
        self.channels[amount as usize].expected(self.age_s)
    }

    /// What came lately, a second.
    pub fn present(&self, amount: Amount) -> f64 {
        self.channels[amount as usize].present
    }

    /// Most that one request is counted for.
    pub fn most(&self, amount: Amount) -> f64 {
        self.channels[amount as usize].unit() * UNITS_MAX
    }

    /// An alarm of one of them led to no rule.
    pub fn false_alarm(&mut self) {
        self.calm.false_alarm();
    }

    /// Takes what alarms for normal: it was judged and is welcome.
    pub fn settle(&mut self) {
        let filled = filled(self.age_s);
        for channel in self.channels.iter_mut().filter(|c| c.cusum.alarmed(TUNING)) {
            let unit = channel.unit();
            let sum = channel.present * filled;
            channel.cusum = Cusum::default();
            channel.risen_s = 0.0;
            channel.expected = (sum, sum * unit);
        }
    }

    /// Writes what they expect.
    pub fn pack(&self, out: &mut Writer) {
        for channel in &self.channels {
            let filled = filled(self.age_s);
            let (sum, squares) = channel.expected;
            out.real(sum / filled);
            out.real(squares / filled);
            out.real(channel.deviation);
        }
        out.real(self.calm.width());
        out.real(self.age_s);
    }

    /// Reads it back.
    pub fn unpack(input: &mut Reader<'_>) -> Result<Amounts, Damaged> {
        let mut amounts = Amounts::new();
        let mut real = || Ok(input.real()?.clamp(0.0, 1e12));
        for channel in &mut amounts.channels {
            channel.expected = (real()?, real()?);
            channel.deviation = real()?;
        }
        amounts.calm = Calm::remembered(real()?);
        amounts.grow_up(real()?);
        Ok(amounts)
    }

    /// Takes what is expected, as if no younger than `age_s`.
    fn grow_up(&mut self, age_s: f64) {
        let (before, after) =
            (if self.age_s > 0.0 { filled(self.age_s) } else { 1.0 }, filled(age_s));
        self.age_s = age_s;
        for channel in &mut self.channels {
            let (sum, squares) = channel.expected;
            channel.expected = (sum / before * after, squares / before * after);
            channel.present = channel.expected(age_s);
        }
    }

    /// What was remembered is old: a first guess, which a few minutes of traffic outweigh.
    pub fn doubt(&mut self) {
        self.grow_up(self.age_s.min(WARM_UP_S));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Requests of `(requests/s, cost in ms)` for `seconds`; returns after how many seconds the first
    /// alarm came.
    fn run(
        amounts: &mut Amounts,
        random: &mut Random,
        seconds: u64,
        mix: &[(f64, f64)],
    ) -> Option<u64> {
        for tick in 0..seconds * 10 {
            for (rps, cost_ms) in mix {
                // Ten draws a tick are near enough to Poisson.
                for _ in 0..10 {
                    if random.unit() < rps / 100.0 {
                        amounts.count(Amount::Cost, *cost_ms);
                    }
                }
            }
            if amounts.tick(0.1, true) == Some(Amount::Cost) {
                return Some(tick / 10);
            }
        }
        None
    }

    const PEACE: [(f64, f64); 2] = [(12.0, 20.0), (0.6, 150.0)];

    #[test]
    fn a_request_and_a_half_a_second_for_the_dearest_page_is_seen_within_a_minute() {
        let (mut amounts, mut random) = (Amounts::new(), Random::new(1));
        assert_eq!(run(&mut amounts, &mut random, 1_800, &PEACE), None);
        let attacked = [PEACE[0], (PEACE[1].0 + 3.0, PEACE[1].1)];
        let seconds = run(&mut amounts, &mut random, 120, &attacked).unwrap();
        assert!(seconds < 60, "{seconds}");
    }

    #[test]
    fn as_many_more_requests_for_cheap_pages_are_not() {
        let (mut amounts, mut random) = (Amounts::new(), Random::new(2));
        assert_eq!(run(&mut amounts, &mut random, 1_800, &PEACE), None);
        let livelier = [(PEACE[0].0 + 3.0, PEACE[0].1), PEACE[1]];
        assert_eq!(run(&mut amounts, &mut random, 300, &livelier), None);
    }

    #[test]
    fn a_handful_of_very_dear_requests_alarms_nobody() {
        let (mut amounts, mut random) = (Amounts::new(), Random::new(3));
        run(&mut amounts, &mut random, 600, &PEACE);
        for _ in 0..15 {
            amounts.count(Amount::Cost, 30_000.0);
        }
        assert_eq!(amounts.tick(0.1, true), None);
    }

    #[test]
    fn failures_are_seen_where_there_were_none() {
        let mut amounts = Amounts::new();
        (0..1_200).for_each(|_| assert_eq!(amounts.tick(0.1, true), None));
        let failing = |amounts: &mut Amounts| {
            amounts.count(Amount::Failed, 1.0);
            amounts.tick(0.1, true)
        };
        let ticks = (0..100).position(|_| failing(&mut amounts) == Some(Amount::Failed)).unwrap();
        assert!(ticks < 80, "{ticks}");
        amounts.settle();
        assert_eq!(failing(&mut amounts), None, "it was judged and is normal now");
    }

    #[test]
    fn what_is_expected_comes_back_as_it_was() {
        let (mut amounts, mut random) = (Amounts::new(), Random::new(4));
        run(&mut amounts, &mut random, 900, &PEACE);
        let mut out = Writer::default();
        amounts.pack(&mut out);
        let bytes = out.finish();
        let mut back =
            Amounts::unpack(&mut Reader::open(&bytes, floodwall_model::ATTR_COUNT).unwrap())
                .unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6 * a.max(1.0);
        assert!(near(back.expected(Amount::Cost), amounts.expected(Amount::Cost)));
        assert!(near(back.most(Amount::Cost), amounts.most(Amount::Cost)));
        back.doubt();
        assert!(near(back.expected(Amount::Cost), amounts.expected(Amount::Cost)));
    }
}
