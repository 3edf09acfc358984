//! B1: the same hour of the week, over the last four weeks: what is normal on a Monday at nine is
//! not what was normal on Sunday night, an hour ago.
//!
//! One small uniform sample per hour. A Sunday's hour says little about Monday's, but more than
//! nothing: where a slot is empty, its neighbours and the same hour of other days stand in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::frozen::Learned;
use crate::memory::{Damaged, Reader, Writer};
use crate::random::Random;
use crate::reservoir::Reservoir;

const HOUR_MS: u64 = 3_600_000;
const DAY_HOURS: u64 = 24;
const WEEK_HOURS: u64 = 7 * DAY_HOURS;
/// Weeks looked back.
const WEEKS: u64 = 4;
/// Hours kept: 168 slots of four weeks. Older ones are forgotten.
const HOURS_MAX: usize = (WEEK_HOURS * WEEKS) as usize;
/// Records kept of one hour; all hours together are 27.5 MiB. When full: a uniform sample of the hour.
const HOUR_RECORDS_MAX: usize = 256;
/// Records after which no other hours are asked.
const RECORDS_WANTED: usize = 2_048;

/// The hours, by their number since the epoch. Cloning shares the samples.
#[derive(Clone, Debug, Default)]
pub struct SameHour {
    hours: BTreeMap<u64, Arc<Reservoir<Learned>>>,
}

impl SameHour {
    /// Offers what arrived at `at_ms`.
    pub fn learn(&mut self, at_ms: u64, learned: Learned, random: &mut Random) {
        let hour = self
            .hours
            .entry(at_ms / HOUR_MS)
            .or_insert_with(|| Arc::new(Reservoir::new(HOUR_RECORDS_MAX)));
        Arc::make_mut(hour).offer_with(random, || learned);
        if self.hours.len() > HOURS_MAX {
            self.hours.pop_first();
        }
    }

    /// Forgets what is older than four weeks.
    pub fn forget(&mut self, now_ms: u64) {
        let first = (now_ms / HOUR_MS).saturating_sub(HOURS_MAX as u64);
        while self.hours.first_key_value().is_some_and(|(hour, _)| *hour < first) {
            self.hours.pop_first();
        }
    }

    /// The records of this hour of the week; of the hours beside it, and then of this hour of
    /// other days, as far as there are too few.
    pub fn around(&self, now_ms: u64) -> Vec<Learned> {
        let now = now_ms / HOUR_MS;
        let mut found = Vec::new();
        let weeks = || (1..=WEEKS).map(|week| week * WEEK_HOURS);
        self.take(&mut found, weeks().map(|back| now.checked_sub(back)));
        let beside =
            weeks().flat_map(|back| [now.checked_sub(back + 1), (now + 1).checked_sub(back)]);
        self.take(&mut found, beside);
        let days = (1..WEEKS * 7).filter(|day| day % 7 != 0);
        self.take(&mut found, days.map(|day| now.checked_sub(day * DAY_HOURS)));
        found
    }

    fn take(&self, found: &mut Vec<Learned>, hours: impl Iterator<Item = Option<u64>>) {
        if found.len() >= RECORDS_WANTED {
            return;
        }
        for sample in hours.flatten().filter_map(|hour| self.hours.get(&hour)) {
            found.extend(sample.items());
        }
    }

    /// The records of the last seven days, hour by hour.
    pub fn last_week(&self, now_ms: u64) -> impl Iterator<Item = &Learned> {
        let first = (now_ms / HOUR_MS).saturating_sub(WEEK_HOURS);
        self.hours.range(first..).flat_map(|(_, sample)| sample.items())
    }

    /// Records kept, most that fit, and none displaced.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        let used = self.hours.values().map(|h| h.items().len()).sum();
        (used, HOURS_MAX * HOUR_RECORDS_MAX, 0)
    }

    /// Writes what shall be remembered: all of it.
    pub fn pack(&self, out: &mut Writer) {
        out.count(self.hours.len());
        for (hour, sample) in &self.hours {
            out.number(*hour);
            out.sample(sample, sample.items().len());
        }
    }

    /// Reads it back, but for hours that have not come yet: the clock was set back.
    pub fn unpack(input: &mut Reader<'_>, now_ms: u64) -> Result<SameHour, Damaged> {
        let mut hours = BTreeMap::new();
        for _ in 0..input.count(HOURS_MAX)? {
            let hour = input.number()?;
            let sample = input.sample(HOUR_RECORDS_MAX)?;
            if hour <= now_ms / HOUR_MS {
                hours.insert(hour, Arc::new(sample));
            }
        }
        Ok(SameHour { hours })
    }
}
