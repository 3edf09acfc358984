//! Brings records into the order of time.
//!
//! Apache logs a request's start and writes the line at its end, so a slow request stands behind
//! quick ones that came later. Records are held, second by second, until the log is
//! [`WINDOW_S`] further; what is older than that when it comes is moved to the time reached, and
//! counted. A time that has been handed out is never gone back behind.
//!
//! A single wild time (a clock that was wrong for a moment) must not carry the whole log with it: a
//! record far ahead of the others waits until more of them agree.
//!
//! Logs without fractions put a whole second's records on its first millisecond. They are spread
//! evenly over the second in the order of the file: otherwise every second would look like a burst.

use std::collections::BTreeMap;

use super::record::Entry;

/// How far behind the newest record one may be and still find its place, seconds.
pub(crate) const WINDOW_S: u64 = 60;

/// Records held. When full, the oldest second is handed out early, so that busy logs are mended
/// over less than [`WINDOW_S`]; counted.
pub(crate) const HELD_MAX: usize = 65_536;

/// A record further ahead than this of all before it may be a wild one, seconds.
const LEAP_S: u64 = 3_600;

/// Records far ahead that wait to be confirmed. When more do, the log did go on there.
const LEAPERS_MAX: usize = 64;

/// A record with its number.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) entry: Entry,
}

/// What could not be done as it should.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ReorderTally {
    /// Records older than the time reached, moved to it.
    pub(crate) late: u64,
    /// Seconds handed out before the window had passed because [`HELD_MAX`] was reached.
    pub(crate) early_seconds: u64,
}

/// The records held.
#[derive(Debug, Default)]
pub(crate) struct Reorder {
    seconds: BTreeMap<u64, Vec<Numbered>>,
    held: usize,
    newest_s: u64,
    /// By time and number.
    leapers: BTreeMap<(u64, u64), Numbered>,
    /// Everything before this time has been handed out.
    reached_ms: u64,
    pub(crate) tally: ReorderTally,
}

impl Reorder {
    /// Takes a record; hands out through `release` what is due.
    pub(crate) fn push(&mut self, record: Numbered, mut release: impl FnMut(Numbered)) {
        let at_ms = record.entry.observation.at_ms;
        if self.newest_s > 0 && at_ms / 1_000 > self.newest_s + LEAP_S {
            self.leapers.insert((at_ms, record.number), record);
            if self.leapers.len() <= LEAPERS_MAX {
                return;
            }
            if let Some((_, first)) = self.leapers.pop_first() {
                self.admit(first, &mut release);
            }
        } else {
            self.admit(record, &mut release);
        }
        while let Some(first) = self.leapers.first_entry() {
            if first.key().0 / 1_000 > self.newest_s + LEAP_S {
                break;
            }
            let first = first.remove();
            self.admit(first, &mut release);
        }
    }

    fn admit(&mut self, mut record: Numbered, release: &mut impl FnMut(Numbered)) {
        let at_ms = &mut record.entry.observation.at_ms;
        // A second of which a part is out still takes its other records: they are spread over the rest.
        let in_part = record.entry.whole_second && *at_ms / 1_000 == self.reached_ms / 1_000;
        if *at_ms < self.reached_ms && !in_part {
            self.tally.late += 1;
            *at_ms = self.reached_ms;
            record.entry.whole_second = false;
        }
        let second = *at_ms / 1_000;
        self.seconds.entry(second).or_default().push(record);
        self.held += 1;
        if second > self.newest_s {
            self.newest_s = second;
            while self.oldest().is_some_and(|oldest| oldest + WINDOW_S <= second) {
                self.hand_out(1_000, release);
            }
        }
        while self.held > HELD_MAX {
            self.tally.early_seconds += 1;
            self.hand_out(self.early_end_ms(), release);
        }
    }

    /// Hands out all that is left.
    pub(crate) fn finish(&mut self, mut release: impl FnMut(Numbered)) {
        while let Some((_, first)) = self.leapers.pop_first() {
            self.admit(first, &mut release);
        }
        while !self.seconds.is_empty() {
            self.hand_out(1_000, &mut release);
        }
    }

    fn oldest(&self) -> Option<u64> {
        self.seconds.first_key_value().map(|(second, _)| *second)
    }

    /// Up to where in the oldest second its records are spread when it goes out early. If the second
    /// is still being written, half of what is left of it is kept for those to come.
    fn early_end_ms(&self) -> u64 {
        let Some(oldest) = self.oldest() else { return 1_000 };
        if oldest + 1 < self.newest_s {
            return 1_000;
        }
        let from_ms = self.reached_ms.saturating_sub(oldest * 1_000).min(1_000);
        from_ms + (1_000 - from_ms).div_ceil(2)
    }

    /// Hands out the oldest second, spread up to its millisecond `end_ms`.
    fn hand_out(&mut self, end_ms: u64, release: &mut impl FnMut(Numbered)) {
        let Some((second, mut records)) = self.seconds.pop_first() else { return };
        self.held -= records.len();
        let start_ms = second * 1_000;
        let from_ms = self.reached_ms.max(start_ms);
        let until_ms = (start_ms + end_ms).max(from_ms);
        let whole = records.iter().filter(|r| r.entry.whole_second).count() as u64;
        let spread = (0..whole).map(|i| from_ms + i * (until_ms - from_ms) / whole);
        let whole_records = records.iter_mut().filter(|r| r.entry.whole_second);
        for (record, at_ms) in whole_records.zip(spread) {
            record.entry.observation.at_ms = at_ms;
        }
        if whole < records.len() as u64 {
            records.sort_by_key(|r| r.entry.observation.at_ms);
        }
        let last_ms = records.last().map_or(0, |r| r.entry.observation.at_ms);
        self.reached_ms = until_ms.max(last_ms);
        records.into_iter().for_each(release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Client;
    use super::super::record::{ObservationWriter, RawRecord};
    use super::super::stamp::Stamp;
    use super::*;
    use floodwall_model::ValueKey;
    use proptest::prelude::*;

    fn template() -> Entry {
        let stamp = Stamp { at_ms: 0, whole_second: true };
        ObservationWriter::new(ValueKey::new(1, 2))
            .entry(&RawRecord::new(stamp, Client::Name(b"x")))
    }

    /// Pushes (time, whole second), returns (number, time) as handed out.
    fn run(times: impl IntoIterator<Item = (u64, bool)>) -> (Vec<(u64, u64)>, ReorderTally, usize) {
        let (entry, mut out, mut held_max) = (template(), Vec::new(), 0);
        let mut reorder = Reorder::default();
        for (number, (at_ms, whole_second)) in times.into_iter().enumerate() {
            let mut entry = Entry { whole_second, ..entry };
            entry.observation.at_ms = at_ms;
            let record = Numbered { number: number as u64, entry };
            reorder.push(record, |r| out.push((r.number, r.entry.observation.at_ms)));
            held_max = held_max.max(reorder.held);
        }
        reorder.finish(|r| out.push((r.number, r.entry.observation.at_ms)));
        (out, reorder.tally, held_max)
    }

    #[test]
    fn a_whole_second_is_spread_in_the_order_of_the_file() {
        let (out, _, _) =
            run([(5_000, true), (5_000, true), (6_000, true), (5_000, true), (5_000, true)]);
        assert_eq!(out, [(0, 5_000), (1, 5_250), (3, 5_500), (4, 5_750), (2, 6_000)]);
    }

    #[test]
    fn finer_stamps_are_kept_and_sorted() {
        let (out, _, _) = run([(5_700, false), (5_200, false), (5_700, false), (4_000, false)]);
        assert_eq!(out, [(3, 4_000), (1, 5_200), (0, 5_700), (2, 5_700)]);
    }

    #[test]
    fn a_record_a_minute_behind_finds_its_place_and_an_older_one_is_late() {
        let (out, tally, _) =
            run([(100_000, false), (41_000, false), (101_500, false), (41_200, false)]);
        assert_eq!(tally.late, 1);
        assert_eq!(out, [(1, 41_000), (3, 42_000), (0, 100_000), (2, 101_500)]);
    }

    #[test]
    fn one_wild_time_does_not_carry_the_log_with_it() {
        let mut times: Vec<(u64, bool)> = (100..400).map(|s| (s * 1_000, true)).collect();
        times.insert(150, (4_000_000_000_000, true));
        let (out, tally, _) = run(times);
        assert_eq!(tally.late, 0);
        assert_eq!(out.last(), Some(&(150, 4_000_000_000_000)));
        assert!(
            out[..300].iter().enumerate().all(|(n, (_, at_ms))| *at_ms == (n as u64 + 100) * 1_000)
        );
    }

    #[test]
    fn a_log_that_goes_on_after_a_night_or_a_wrong_clock_is_followed() {
        let night = (1..100).map(|s| s * 1_000).chain((50_000..50_200).map(|s| s * 1_000));
        let (out, tally, _) = run(night.map(|at_ms| (at_ms, true)));
        assert_eq!((out.len(), tally.late), (299, 0));
        assert!(out.iter().enumerate().all(|(n, (number, _))| n as u64 == *number));
        let sparse = (1..300).map(|day| (day * 86_400_000, true));
        let (out, tally, _) = run(sparse);
        assert_eq!((out.len(), tally.late), (299, 0));
        assert!(out.iter().enumerate().all(|(n, (number, _))| n as u64 == *number));
    }

    #[test]
    fn what_is_held_is_bounded_however_busy_the_second() {
        let busy = (0..4 * HELD_MAX as u64).map(|_| (7_000, true));
        let (out, tally, held_max) = run(busy);
        assert!(held_max <= HELD_MAX + 1);
        assert!(tally.early_seconds > 0 && tally.late == 0);
        assert_eq!(out.len(), 4 * HELD_MAX);
        assert!(out.is_sorted_by_key(|(_, at_ms)| *at_ms));
        assert!(out.iter().all(|(_, at_ms)| (7_000..8_000).contains(at_ms)));
    }

    #[test]
    fn a_busy_log_keeps_its_even_pace_when_seconds_go_out_early() {
        let per_s = 5_000;
        let times = (0..40 * per_s).map(|n| (n / per_s * 1_000, true));
        let (out, tally, held_max) = run(times);
        assert!(held_max <= HELD_MAX + 1 && tally.early_seconds > 0 && tally.late == 0);
        for (index, (_, at_ms)) in out.iter().enumerate() {
            assert_eq!(*at_ms, index as u64 * 1_000 / per_s);
        }
    }

    proptest! {
        /// The slow oracle: sort everything. With disorder inside the window nothing is late.
        #[test]
        fn disorder_within_the_window_is_mended_completely(
            steps in prop::collection::vec((0u64..3_000, 0u64..50_000), 1..300),
        ) {
            let mut now_ms = 1_000_000;
            let times: Vec<(u64, bool)> = steps.iter().map(|(step_ms, behind_ms)| {
                now_ms += step_ms;
                (now_ms - behind_ms, false)
            }).collect();
            let (out, tally, _) = run(times.clone());
            let mut expected: Vec<(u64, u64)> =
                times.iter().enumerate().map(|(n, (at_ms, _))| (n as u64, *at_ms)).collect();
            expected.sort_by_key(|(_, at_ms)| *at_ms);
            prop_assert_eq!(tally.late, 0);
            prop_assert_eq!(out, expected);
        }

        /// Whatever comes: every record goes out once, and time never goes back.
        #[test]
        fn every_record_goes_out_once_and_time_never_goes_back(
            times in prop::collection::vec((0u64..400_000, any::<bool>()), 0..400),
        ) {
            let times: Vec<(u64, bool)> = times.into_iter()
                .map(|(at_ms, whole)| (if whole { at_ms / 1_000 * 1_000 } else { at_ms }, whole)).collect();
            let (out, _, _) = run(times.clone());
            prop_assert!(out.is_sorted_by_key(|(_, at_ms)| *at_ms));
            let mut numbers: Vec<u64> = out.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (0..times.len() as u64).collect::<Vec<_>>());
        }
    }
}
