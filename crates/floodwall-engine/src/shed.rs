//! What is given up, in which order, when the engine cannot keep up.
//!
//! The order is [`Shed::ORDER`], from what costs the judgement least to what costs it most. Given
//! up is one level after the other and taken back likewise, more slowly than given up, so that a load
//! at the edge does not make it waver. The engine has no clock: the loop around it tells how long a
//! step took.
//!
//! Never given up, because somebody would be hurt by it: the counters of requests and of what rules
//! refuse, the end of rules and bans, the limits per source. Those work without the engine, too.

/// What can be given up.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Shed {
    /// The texts of new values: rules stay right and read worse.
    Names,
    /// Searches for signatures as often as usual: once a second at most, every five seconds for what
    /// rules in force leave over, and none for backups.
    Searches,
    /// Learning what is normal: the past stays as it is.
    Learning,
    /// Following which values rise in requests that a rule refused anyway.
    Refused,
}

impl Shed {
    /// All, what is given up first at the beginning.
    pub const ORDER: [Shed; 4] = [Shed::Names, Shed::Searches, Shed::Learning, Shed::Refused];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Shed::Names => "names",
            Shed::Searches => "searches",
            Shed::Learning => "learning",
            Shed::Refused => "refused",
        }
    }

    /// What is given up, in words, after "given up: ".
    pub const fn words(self) -> &'static str {
        match self {
            Shed::Names => "texts of new values (rules may read worse)",
            Shed::Searches => "frequent searches and backups (rules may come a second later)",
            Shed::Learning => "learning what is normal",
            Shed::Refused => "following values of requests that rules refused",
        }
    }
}

/// A step that takes longer than this, ms, …
const SLOW_MS: u64 = 80;
/// … for so long, ms, has one level more given up.
const SLOW_FOR_MS: u64 = 1_000;
/// A step that takes less than this, ms, …
const QUICK_MS: u64 = 40;
/// … for so long, ms, has one level taken back.
const QUICK_FOR_MS: u64 = 5_000;

/// What is given up now, and how often it was.
#[derive(Debug, Default)]
pub struct Shedding {
    level: usize,
    slow_since_ms: Option<u64>,
    quick_since_ms: Option<u64>,
    given_up: [u64; Shed::ORDER.len()],
}

impl Shedding {
    /// A step that ended at `now_ms` took `took_ms`.
    pub fn step_took(&mut self, now_ms: u64, took_ms: u64) {
        let held = |since: &mut Option<u64>, now: bool, for_ms: u64| {
            if !now {
                *since = None;
                return false;
            }
            let began_ms = *since.get_or_insert(now_ms);
            let due = now_ms >= began_ms.saturating_add(for_ms);
            if due {
                *since = Some(now_ms);
            }
            due
        };
        if held(&mut self.slow_since_ms, took_ms > SLOW_MS, SLOW_FOR_MS) {
            self.level = (self.level + 1).min(Shed::ORDER.len());
        }
        if held(&mut self.quick_since_ms, took_ms < QUICK_MS, QUICK_FOR_MS) {
            self.level = self.level.saturating_sub(1);
        }
    }

    /// What is given up now, first things first.
    pub fn now(&self) -> &'static [Shed] {
        static ORDER: [Shed; Shed::ORDER.len()] = Shed::ORDER;
        ORDER.get(..self.level).unwrap_or(&ORDER)
    }

    /// Whether `what` is given up now.
    pub fn is_given_up(&self, what: Shed) -> bool {
        self.now().contains(&what)
    }

    /// Whether `what` is given up now; if so, `times` are counted.
    pub fn give_up(&mut self, what: Shed, times: u64) -> bool {
        let is_given_up = self.is_given_up(what);
        if is_given_up && let Some(count) = self.given_up.get_mut(what as usize) {
            *count = count.saturating_add(times);
        }
        is_given_up
    }

    /// How often each was given up since the start: names, searches, steps without learning,
    /// requests.
    pub fn counts(&self) -> Vec<(Shed, u64)> {
        Shed::ORDER.into_iter().zip(self.given_up).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps every 100 ms that take `took_ms`, for `for_ms`.
    fn run(shedding: &mut Shedding, now_ms: &mut u64, took_ms: u64, for_ms: u64) -> usize {
        for _ in 0..for_ms / 100 {
            *now_ms += 100;
            shedding.step_took(*now_ms, took_ms);
        }
        shedding.now().len()
    }

    #[test]
    fn one_level_a_second_is_given_up_and_one_in_five_seconds_taken_back() {
        let (mut shedding, mut now_ms) = (Shedding::default(), 0);
        for (what, took_ms, for_ms, expected) in [
            ("quick", 5, 60_000, 0),
            ("slow for less than a second", 81, 1_000, 0),
            ("and a moment longer", 81, 100, 1),
            ("neither slow nor quick", 60, 60_000, 1),
            ("slow again", 200, 1_100, 2),
            ("for long", 200, 60_000, 4),
            ("quick for less than five seconds", 39, 5_000, 4),
            ("and a moment longer", 39, 100, 3),
            ("for long", 39, 60_000, 0),
        ] {
            assert_eq!(run(&mut shedding, &mut now_ms, took_ms, for_ms), expected, "{what}");
        }
    }

    #[test]
    fn one_quick_step_ends_the_slow_spell() {
        let (mut shedding, mut now_ms) = (Shedding::default(), 0);
        for _ in 0..20 {
            assert_eq!(run(&mut shedding, &mut now_ms, 100, 900), 0);
            assert_eq!(run(&mut shedding, &mut now_ms, 10, 100), 0);
        }
    }

    #[test]
    fn the_order_is_the_declared_one_and_what_is_given_up_is_counted() {
        for (index, shed) in Shed::ORDER.into_iter().enumerate() {
            assert_eq!(shed as usize, index);
        }
        let (mut shedding, mut now_ms) = (Shedding::default(), 0);
        assert!(!shedding.give_up(Shed::Names, 7));
        run(&mut shedding, &mut now_ms, 100, 1_100);
        assert!(shedding.give_up(Shed::Names, 7) && !shedding.give_up(Shed::Searches, 1));
        assert_eq!(shedding.counts()[..2], [(Shed::Names, 7), (Shed::Searches, 0)]);
    }
}
