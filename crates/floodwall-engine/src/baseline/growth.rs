//! How fast the past may change: bounds on what is learned of one value within a day.
//!
//! Somebody who sends a little more every day wants his software to be taken for the site's own.
//! Of the requests with one value at most so many are learned in a day as make 1.2 times its largest
//! share within the last week and one per cent of all; and the same holds for all values together
//! that were not met in that week (design/detection.md § 3.2; why so: docs/decisions/0009).
//!
//! The largest share of a week and not yesterday's, because a Monday is no attack on a Sunday. Half
//! of the per cent is kept for each hour by itself: on the day a browser is renewed, the day's part
//! is used up by noon, and the last hour before an attack in the evening must still show that people
//! use it.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use floodwall_model::signature::IdentityHasher;
use floodwall_model::{Attr, Attrs, ValueId};

use crate::memory::{Damaged, Reader, Writer};

/// The attributes that are watched: what the software is, as far as rules are made of it.
pub const WATCHED: [Attr; 8] = [
    Attr::Implementation,
    Attr::Stack,
    Attr::HeaderOrder,
    Attr::UserAgent,
    Attr::AgentShape,
    Attr::Accept,
    Attr::ClientHints,
    Attr::Claim,
];
/// Growth of a share within a day, as a factor…
const GROWTH_FACTOR: f64 = 1.2;
/// … and as a part of all: of the day, …
const GROWTH_PART: f64 = 0.005;
/// … and of each of its hours.
const GROWTH_PART_OF_HOUR: f64 = 0.005;
const HOUR_MS: u64 = 3_600_000;
/// Requests of one value that are learned in any case: shares of few are no shares.
const ALWAYS_LEARNED: f64 = 20.0;
/// A day is over when it lasted so long, ms, …
const DAY_MS: u64 = 24 * 3_600_000;
/// … and held so many requests.
const DAY_REQUESTS_MIN: u64 = 200;
/// Days looked back.
const DAYS_MAX: usize = 7;
/// Values counted per attribute and day. When full: further ones count as one value together.
const VALUES_MAX: usize = 4_096;

type Counts = HashMap<ValueId, u32, BuildHasherDefault<IdentityHasher>>;

/// What was learned of one attribute in one day.
#[derive(Clone, Debug, Default)]
struct Tally {
    counts: Arc<Counts>,
    /// Learned of values that the week before did not have.
    new: u32,
    /// Learned of values that found no place in `counts`.
    rest: u32,
}

/// What the present hour learned, so far. Not remembered across a restart.
#[derive(Clone, Debug, Default)]
struct Hour {
    number: u64,
    offered: u64,
    by_attr: [(Counts, u32); WATCHED.len()],
}

#[derive(Clone, Debug, Default)]
struct Day {
    begins_ms: u64,
    /// Requests offered, learned or not.
    offered: u64,
    by_attr: [Tally; WATCHED.len()],
}

/// The bounds.
#[derive(Clone, Debug, Default)]
pub struct Growth {
    hour: Hour,
    today: Day,
    /// The days that are over, newest first.
    past: VecDeque<Day>,
    refused: u64,
    displaced: u64,
}

impl Growth {
    /// Whether a request that arrived at `at_ms` may be learned; if so it is counted.
    pub fn admits(&mut self, attrs: &Attrs, at_ms: u64) -> bool {
        self.begin_day(at_ms);
        if self.hour.number != at_ms / HOUR_MS {
            self.hour = Hour { number: at_ms / HOUR_MS, ..Hour::default() };
        }
        self.hour.offered += 1;
        self.today.offered += 1;
        let admitted = WATCHED.iter().enumerate().all(|(n, attr)| self.has_room(n, attrs[*attr]));
        if !admitted {
            self.refused += 1;
            return false;
        }
        for (n, attr) in WATCHED.iter().enumerate() {
            self.count(n, attrs[*attr]);
        }
        true
    }

    fn begin_day(&mut self, at_ms: u64) {
        if self.today.offered == 0 {
            self.today.begins_ms = at_ms;
        }
        let over = at_ms >= self.today.begins_ms.saturating_add(DAY_MS)
            && self.today.offered >= DAY_REQUESTS_MIN;
        if over {
            let day =
                std::mem::replace(&mut self.today, Day { begins_ms: at_ms, ..Day::default() });
            self.past.truncate(DAYS_MAX - 1);
            self.past.push_front(day);
        }
    }

    /// Whether the day's part or the hour's has room for the value; for a new one, also for all new
    /// ones together.
    fn has_room(&self, n: usize, value: ValueId) -> bool {
        // The first day has nothing to be compared with.
        let Some(yesterday) = self.past.front() else { return true };
        if !value.is_known() {
            return true;
        }
        let before = self.share_before(n, value);
        let (today, (hour, new_in_hour)) = (&self.today.by_attr[n], &self.hour.by_attr[n]);
        // Early in the day, what yesterday held stands for what today will hold.
        let whole = self.today.offered.max(yesterday.offered) as f64;
        let day_has_room = |learned: u32, before: f64| {
            f64::from(learned) < (GROWTH_FACTOR * before + GROWTH_PART) * whole + ALWAYS_LEARNED
        };
        let hour_has_room =
            |learned: u32| f64::from(learned) < GROWTH_PART_OF_HOUR * self.hour.offered as f64;
        let of = |counts: &Counts| counts.get(&value).copied().unwrap_or(0);
        let new_before = self.new_before(n).filter(|_| before == 0.0);
        let by_day = day_has_room(of(&today.counts), before)
            && new_before.is_none_or(|share| day_has_room(today.new, share));
        let by_hour =
            hour_has_room(of(hour)) && (new_before.is_none() || hour_has_room(*new_in_hour));
        by_day || by_hour
    }

    /// The largest share that a value had on one of the last days.
    fn share_before(&self, n: usize, value: ValueId) -> f64 {
        let share = |day: &Day| {
            let count = day.by_attr[n].counts.get(&value).copied().unwrap_or(0);
            f64::from(count) / day.offered.max(1) as f64
        };
        self.past.iter().map(share).fold(0.0, f64::max)
    }

    /// The largest share that new values together had on one of the last days. On the very first
    /// day all were new; it says nothing.
    fn new_before(&self, n: usize) -> Option<f64> {
        let days = self.past.len().checked_sub(1)?;
        let share = |day: &Day| f64::from(day.by_attr[n].new) / day.offered.max(1) as f64;
        let from = if self.past.len() == DAYS_MAX { DAYS_MAX } else { days };
        (from > 0).then(|| self.past.iter().take(from).map(share).fold(0.0, f64::max))
    }

    fn count(&mut self, n: usize, value: ValueId) {
        if !value.is_known() {
            return;
        }
        let is_new = !self.past.is_empty() && self.share_before(n, value) == 0.0;
        let (hour, new_in_hour) = &mut self.hour.by_attr[n];
        *new_in_hour += u32::from(is_new);
        if hour.len() < VALUES_MAX {
            *hour.entry(value).or_default() += 1;
        }
        let tally = &mut self.today.by_attr[n];
        tally.new += u32::from(is_new);
        let full = tally.counts.len() >= VALUES_MAX && !tally.counts.contains_key(&value);
        if full {
            tally.rest += 1;
            self.displaced += 1;
        } else {
            *Arc::make_mut(&mut tally.counts).entry(value).or_default() += 1;
        }
    }

    /// Requests that were not learned because their value grew too fast.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Values counted, most that fit, and requests whose value found no place.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        let days = self.past.iter().chain([&self.today]);
        let used = days.flat_map(|d| &d.by_attr).map(|t| t.counts.len()).sum();
        (used, WATCHED.len() * (DAYS_MAX + 1) * VALUES_MAX, self.displaced)
    }

    /// Writes what shall be remembered.
    pub fn pack(&self, out: &mut Writer) {
        out.count(self.past.len());
        for day in [&self.today].into_iter().chain(&self.past) {
            out.number(day.begins_ms);
            out.number(day.offered);
            for tally in &day.by_attr {
                out.number(u64::from(tally.new));
                out.number(u64::from(tally.rest));
                out.count(tally.counts.len());
                for (value, count) in tally.counts.iter() {
                    out.value(*value);
                    out.number(u64::from(*count));
                }
            }
        }
    }

    /// Reads it back. A day that begins after `now_ms` begins now: the clock was set back.
    pub fn unpack(input: &mut Reader<'_>, now_ms: u64) -> Result<Growth, Damaged> {
        let past = input.count(DAYS_MAX)?;
        let mut growth = Growth { today: read_day(input)?, ..Growth::default() };
        growth.today.begins_ms = growth.today.begins_ms.min(now_ms);
        for _ in 0..past {
            growth.past.push_back(read_day(input)?);
        }
        Ok(growth)
    }
}

fn read_day(input: &mut Reader<'_>) -> Result<Day, Damaged> {
    let mut day = Day { begins_ms: input.number()?, offered: input.number()?, ..Day::default() };
    for tally in &mut day.by_attr {
        tally.new = input.number_u32()?;
        tally.rest = input.number_u32()?;
        let mut counts = Counts::default();
        for _ in 0..input.count(VALUES_MAX)? {
            let value = input.value()?;
            counts.insert(value, input.number_u32()?);
        }
        tally.counts = Arc::new(counts);
    }
    Ok(day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    fn attrs(agent: u64) -> Attrs {
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(agent);
        attrs
    }

    /// A day of `of_all` requests, `part` in a hundred from agent 666, the rest from ten others;
    /// returns which share of what was offered was learned of 666.
    fn day(growth: &mut Growth, number: u64, of_all: u64, part: u64) -> f64 {
        let mut learned = 0;
        for n in 0..of_all {
            let poison = n % 100 < part;
            let agent = if poison { 666 } else { 10 + n % 10 };
            let at_ms = number * DAY_MS + n * DAY_MS / of_all;
            learned += u64::from(growth.admits(&attrs(agent), at_ms) && poison);
        }
        learned as f64 / of_all as f64
    }

    #[test]
    fn the_first_day_is_learned_whole() {
        let mut growth = Growth::default();
        assert_eq!(day(&mut growth, 1, 10_000, 50), 0.5);
        assert_eq!(growth.refused(), 0);
    }

    #[test]
    fn software_that_takes_over_is_learned_by_a_hundredth_a_day_and_a_fifth_of_itself() {
        let mut growth = Growth::default();
        day(&mut growth, 1, 10_000, 0);
        let mut before = 0.0;
        for number in 2..30 {
            let share = day(&mut growth, number, 10_000, 50);
            let most = 1.2 * before + 0.01 + ALWAYS_LEARNED / 10_000.0 + 0.001;
            assert!(share <= most, "day {number}: {share} after {before}");
            before = share;
        }
        assert!(before > 0.4, "what lasts for weeks becomes normal: {before}");
    }

    /// A browser is renewed at midnight: from now on 3 in 10 requests come from a version that nobody
    /// had. A rule that names it must find it in any hour of the past that it is measured on.
    #[test]
    fn on_the_day_a_browser_is_renewed_every_hour_shows_it() {
        let mut growth = Growth::default();
        day(&mut growth, 1, 24_000, 0);
        day(&mut growth, 2, 24_000, 0);
        for hour in 0..24 {
            let learned = (0..1_000u64)
                .filter(|n| {
                    let renewed = n % 10 < 3;
                    let agent = if renewed { 666 } else { 10 + n % 10 };
                    let at_ms = 3 * DAY_MS + hour * HOUR_MS + n * 3_600;
                    growth.admits(&attrs(agent), at_ms) && renewed
                })
                .count();
            assert!(
                learned >= 4,
                "hour {hour}: {learned} of 1,000, and 0.1 % is the most a rule may hit"
            );
        }
    }

    #[test]
    fn a_week_with_quiet_weekends_is_learned_whole() {
        let mut growth = Growth::default();
        for number in 1..=21 {
            let weekend = number % 7 >= 5;
            let refused = growth.refused();
            let share = day(&mut growth, number, 10_000, if weekend { 5 } else { 30 });
            if number > 7 {
                assert_eq!(growth.refused(), refused, "day {number}: {share}");
            }
        }
    }

    #[test]
    fn a_thousand_names_are_bounded_together_like_one() {
        let mut growth = Growth::default();
        day(&mut growth, 1, 10_000, 0);
        day(&mut growth, 2, 10_000, 0);
        let learned = (0..10_000u64)
            .filter(|n| {
                let agent = if n % 2 == 0 { 1_000 + n } else { 10 };
                growth.admits(&attrs(agent), 3 * DAY_MS + n) && n % 2 == 0
            })
            .count();
        assert!(learned <= 125, "{learned} of 5,000");
    }

    #[test]
    fn full_tables_count_what_found_no_place() {
        let mut growth = Growth::default();
        for n in 0..VALUES_MAX as u64 + 10 {
            assert!(growth.admits(&attrs(n + 2), n));
        }
        let (used, places, displaced) = growth.occupancy();
        assert_eq!((used, displaced), (VALUES_MAX, 10));
        assert!(used <= places);
    }

    proptest! {
        /// Whatever is sent in whatever order, no value learns more in a day than its budget.
        #[test]
        fn no_order_of_requests_beats_the_budget(seed: u64, poison in 0u64..100) {
            let (mut growth, mut random) = (Growth::default(), Random::new(seed));
            for n in 0..1_000 {
                growth.admits(&attrs(10 + n % 10), n);
            }
            for number in 1..4 {
                let mut learned = std::collections::HashMap::new();
                for n in 0..2_000 {
                    let is_poison = random.below(100) < poison;
                    let agent = if is_poison { 20 + random.below(3) } else { 10 + n % 10 };
                    if growth.admits(&attrs(agent), number * DAY_MS + n) && is_poison {
                        *learned.entry(agent).or_insert(0u64) += 1;
                    }
                }
                let mut most = 0.0;
                for _ in 0..number {
                    most = 1.2 * most + 0.01 + ALWAYS_LEARNED / 2_000.0;
                }
                for (agent, count) in learned {
                    prop_assert!(count as f64 <= most * 2_000.0 + 1.0, "{agent}: {count}");
                }
            }
        }
    }
}
