//! B3: visitors of the last seven days who proved themselves: they fetched what their pages need,
//! and either stayed for more than ten minutes or brought back the cookie they were given.
//!
//! Refusing one of them is worse than refusing a stranger, so each counts three times, and an
//! attacker who wants to be among them has to run browsers for days.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::frozen::Learned;
use crate::memory::{Damaged, Reader, Writer};
use crate::random::Random;
use crate::reservoir::Reservoir;

const DAY_MS: u64 = 24 * 3_600_000;
/// Days kept: today and the seven before.
const DAYS_MAX: usize = 8;
/// Records kept of one day. When full: a uniform sample of the day.
const DAY_RECORDS_MAX: usize = 2_048;
/// As how many requests one of a verified visitor counts against a rule (design/detection.md § 3.2).
pub const VERIFIED_WEIGHT: u64 = 3;

/// The days. Cloning shares the samples.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    days: BTreeMap<u64, Arc<Reservoir<Learned>>>,
}

impl Verified {
    /// Offers a request of a verified visitor.
    pub fn learn(&mut self, at_ms: u64, learned: Learned, random: &mut Random) {
        let day = self
            .days
            .entry(at_ms / DAY_MS)
            .or_insert_with(|| Arc::new(Reservoir::new(DAY_RECORDS_MAX)));
        Arc::make_mut(day).offer_with(random, || learned);
        if self.days.len() > DAYS_MAX {
            self.days.pop_first();
        }
    }

    /// Forgets what is older than seven days.
    pub fn forget(&mut self, now_ms: u64) {
        let first = (now_ms / DAY_MS).saturating_sub(DAYS_MAX as u64 - 1);
        while self.days.first_key_value().is_some_and(|(day, _)| *day < first) {
            self.days.pop_first();
        }
    }

    /// The records.
    pub fn iter(&self) -> impl Iterator<Item = &Learned> {
        self.days.values().flat_map(|day| day.items())
    }

    /// Records kept, most that fit, and none displaced.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        (self.iter().count(), DAYS_MAX * DAY_RECORDS_MAX, 0)
    }

    /// Writes what shall be remembered: all of it.
    pub fn pack(&self, out: &mut Writer) {
        out.count(self.days.len());
        for (day, sample) in &self.days {
            out.number(*day);
            out.sample(sample, sample.items().len());
        }
    }

    /// Reads it back, but for days that have not come yet.
    pub fn unpack(input: &mut Reader<'_>, now_ms: u64) -> Result<Verified, Damaged> {
        let mut days = BTreeMap::new();
        for _ in 0..input.count(DAYS_MAX)? {
            let day = input.number()?;
            let sample = input.sample(DAY_RECORDS_MAX)?;
            if day <= now_ms / DAY_MS {
                days.insert(day, Arc::new(sample));
            }
        }
        Ok(Verified { days })
    }
}
