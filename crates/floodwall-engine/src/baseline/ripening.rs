//! When a value of the client's software counts as known: met on three days, from fifty networks,
//! by clients that behave like others. Until then it stays "unseen", however often it was learned.
//!
//! A site just started knows no days: what it met in its first hour (on a small site, with its
//! first few thousand requests) is known at once, there being nothing to compare with. "Unseen" alone
//! never blocks anybody; a value that does not ripen costs its users nothing but that.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use floodwall_model::signature::IdentityHasher;
use floodwall_model::{Attr, RequestKind, ValueId};

use super::frozen::Learned;
use super::growth::WATCHED;
use crate::memory::{Damaged, Reader, Writer};
use crate::random::mix;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Everything learned within so long, ms, …
const FIRST_MS_MIN: u64 = HOUR_MS;
/// … and among the first so many requests is known at once, …
const FIRST_REQUESTS: u64 = 8_192;
/// … but never later than this, ms.
const FIRST_MS_MAX: u64 = 3 * DAY_MS;
/// Days on which a value must have been met.
const DAYS_MIN: u8 = 3;
/// Networks it must have come from…
const NETWORKS_MIN: f64 = 50.0;
/// … counted with so many bits (linear counting, Whang et al. 1990: ± 8 % at 50).
const NETWORK_BITS: u64 = 128;
/// Share of visitors' behaviour among its pages, as a part of what is normal.
const PASS_RATE_MIN: f64 = 0.7;
/// Pages looked at before behaviour is judged.
const PAGES_MIN: u32 = 20;
/// Where fewer visitors than this fetch what pages need, behaviour says nothing.
const PASS_RATE_NORMAL_MIN: f64 = 0.1;
/// A value not met for so long, ms, is forgotten: no sample reaches further back.
const FORGOTTEN_MS: u64 = 28 * DAY_MS;
/// Values followed per attribute. When full: those that are not ripe give way, the longest unmet
/// first; if all are ripe, new ones find no place and stay unseen. Both are counted.
const VALUES_MAX: usize = 16_384;

#[derive(Clone, Debug, Default)]
struct Value {
    ripe: bool,
    days: u8,
    last_day: u64,
    networks: [u64; 2],
    pages: u32,
    passed: u32,
}

type Values = HashMap<ValueId, Value, BuildHasherDefault<IdentityHasher>>;

/// The values on their way.
#[derive(Clone, Debug, Default)]
pub struct Ripening {
    since_ms: Option<u64>,
    met: u64,
    pages: u64,
    passed: u64,
    values: [Arc<Values>; WATCHED.len()],
    displaced: u64,
    /// Nothing is followed and everything is known: for pasts made by hand.
    all_known: bool,
}

impl Ripening {
    /// Knows everything.
    #[cfg(test)]
    pub fn of_everything() -> Self {
        Ripening { all_known: true, ..Ripening::default() }
    }

    /// Takes in a learned request that arrived at `at_ms` from `network`.
    pub fn meet(&mut self, learned: &Learned, network: u64, at_ms: u64) {
        let since_ms = *self.since_ms.get_or_insert(at_ms);
        let age_ms = at_ms.saturating_sub(since_ms);
        let first = age_ms < FIRST_MS_MIN || (self.met < FIRST_REQUESTS && age_ms < FIRST_MS_MAX);
        self.met += 1;
        let passed = match learned.engaged {
            Some(engaged) if learned.record.kind == RequestKind::Page => Some(engaged),
            _ => None,
        };
        self.pages += u64::from(passed.is_some());
        self.passed += u64::from(passed == Some(true));
        let normal = self.passed as f64 / self.pages.max(1) as f64;
        for (n, attr) in WATCHED.iter().enumerate() {
            let id = learned.record.attrs[*attr];
            if !id.is_known() || !self.has_place(n, id, at_ms / DAY_MS) {
                continue;
            }
            let value = Arc::make_mut(&mut self.values[n]).entry(id).or_default();
            value.meet(network, at_ms / DAY_MS, passed);
            value.ripe = value.ripe || first || value.has_ripened(normal);
        }
    }

    /// Makes room for a value that is not followed yet; false if all places are taken by ripe ones.
    fn has_place(&mut self, n: usize, id: ValueId, today: u64) -> bool {
        let values = &self.values[n];
        if values.len() < VALUES_MAX || values.contains_key(&id) {
            return true;
        }
        let values = Arc::make_mut(&mut self.values[n]);
        let before = values.len();
        values.retain(|_, v| v.ripe || v.last_day >= today);
        if values.len() == before {
            values.retain(|_, v| v.ripe);
        }
        let room = values.len() < VALUES_MAX;
        self.displaced += (before - values.len()) as u64 + u64::from(!room);
        room
    }

    /// Whether a learned value counts as known.
    pub fn is_known(&self, attr: Attr, id: ValueId) -> bool {
        match WATCHED.iter().position(|a| *a == attr) {
            Some(n) if !self.all_known => self.values[n].get(&id).is_some_and(|v| v.ripe),
            _ => true,
        }
    }

    /// Forgets values that were not met for four weeks.
    pub fn forget(&mut self, now_ms: u64) {
        let first = now_ms.saturating_sub(FORGOTTEN_MS) / DAY_MS;
        for values in &mut self.values {
            if values.values().any(|v| v.last_day < first) {
                Arc::make_mut(values).retain(|_, v| v.last_day >= first);
            }
        }
    }

    /// Values followed, most that fit, and those that lost their place or found none.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        let used = self.values.iter().map(|v| v.len()).sum();
        (used, WATCHED.len() * VALUES_MAX, self.displaced)
    }

    /// Writes what shall be remembered.
    pub fn pack(&self, out: &mut Writer) {
        out.number(self.since_ms.map_or(0, |ms| ms + 1));
        out.number(self.met);
        out.number(self.pages);
        out.number(self.passed);
        for values in &self.values {
            out.count(values.len());
            for (id, v) in values.iter() {
                out.value(*id);
                out.number(u64::from(v.ripe) | u64::from(v.days) << 1);
                out.number(v.last_day);
                out.word(v.networks[0]);
                out.word(v.networks[1]);
                out.number(u64::from(v.pages));
                out.number(u64::from(v.passed));
            }
        }
    }

    /// Reads it back. What lies after `now_ms` counts as now: the clock was set back.
    pub fn unpack(input: &mut Reader<'_>, now_ms: u64) -> Result<Ripening, Damaged> {
        let mut ripening = Ripening {
            since_ms: input.number()?.checked_sub(1).map(|ms| ms.min(now_ms)),
            met: input.number()?,
            pages: input.number()?,
            passed: input.number()?,
            ..Ripening::default()
        };
        for values in &mut ripening.values {
            let mut read = Values::default();
            for _ in 0..input.count(VALUES_MAX)? {
                let id = input.value()?;
                let state = input.number()?;
                let value = Value {
                    ripe: state & 1 == 1,
                    days: u8::try_from(state >> 1).unwrap_or(u8::MAX),
                    last_day: input.number()?.min(now_ms / DAY_MS),
                    networks: [input.word()?, input.word()?],
                    pages: input.number_u32()?,
                    passed: input.number_u32()?,
                };
                read.insert(id, value);
            }
            *values = Arc::new(read);
        }
        Ok(ripening)
    }
}

impl Value {
    fn meet(&mut self, network: u64, day: u64, passed: Option<bool>) {
        if self.days == 0 || day > self.last_day {
            self.days = self.days.saturating_add(1);
            self.last_day = day;
        }
        let bit = mix(network) % NETWORK_BITS;
        self.networks[(bit / 64) as usize] |= 1 << (bit % 64);
        self.pages = self.pages.saturating_add(u32::from(passed.is_some()));
        self.passed = self.passed.saturating_add(u32::from(passed == Some(true)));
    }

    /// How many networks it came from, estimated; at most a few hundred.
    fn networks(&self) -> f64 {
        let bits = NETWORK_BITS as f64;
        let empty = self.networks.iter().map(|w| w.count_zeros()).sum::<u32>().max(1);
        bits * (bits / f64::from(empty)).ln()
    }

    fn has_ripened(&self, normal: f64) -> bool {
        let behaves = normal < PASS_RATE_NORMAL_MIN
            || (self.pages >= PAGES_MIN
                && f64::from(self.passed) >= PASS_RATE_MIN * normal * f64::from(self.pages));
        self.days >= DAYS_MIN && behaves && self.networks() >= NETWORKS_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use floodwall_model::Attrs;

    fn learned(agent: u64, engaged: bool) -> Learned {
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(agent);
        let record = Record {
            at_ms: 0,
            source: 0,
            attrs,
            kind: RequestKind::Page,
            explained: false,
            passed: true,
            prompted: false,
        };
        Learned { record, engaged: Some(engaged) }
    }

    /// A site whose first hour is long over: half of its visitors fetch what pages need.
    fn grown_up() -> Ripening {
        let mut ripening = Ripening::default();
        for n in 0..10_000u64 {
            ripening.meet(&learned(10, n % 2 == 0), n, n * HOUR_MS / 10_000);
        }
        ripening
    }

    /// Meets agent 99 on `days` days from `networks` networks, `passing` in ten of them behaving;
    /// says whether it is known then.
    fn check(days: u64, networks: u64, passing: u64, expected: bool) {
        let mut ripening = grown_up();
        for day in 1..=days {
            for n in 0..networks {
                ripening.meet(&learned(99, n % 10 < passing), 1_000 + n, day * DAY_MS);
            }
        }
        let known = ripening.is_known(Attr::UserAgent, ValueId(99));
        assert_eq!(known, expected, "{days} days, {networks} networks, {passing} in ten");
    }

    #[test]
    fn a_value_ripens_by_days_networks_and_behaviour() {
        check(3, 100, 5, true);
        check(2, 100, 5, false);
        check(9, 20, 5, false);
        check(3, 100, 3, false);
        check(9, 100, 0, false);
    }

    #[test]
    fn the_first_hour_is_known_and_what_comes_later_is_not() {
        let mut ripening = grown_up();
        assert!(ripening.is_known(Attr::UserAgent, ValueId(10)));
        assert!(!ripening.is_known(Attr::UserAgent, ValueId(99)));
        ripening.meet(&learned(99, true), 5, 2 * HOUR_MS);
        assert!(!ripening.is_known(Attr::UserAgent, ValueId(99)));
        assert!(ripening.is_known(Attr::QueryShape, ValueId(99)), "only software is watched");
    }

    #[test]
    fn a_small_sites_first_hour_lasts_until_it_has_met_a_few_thousand_requests() {
        let mut ripening = Ripening::default();
        for n in 0..1_000 {
            ripening.meet(&learned(10, true), n, n * HOUR_MS / 1_000);
        }
        ripening.meet(&learned(11, true), 5, 5 * HOUR_MS);
        assert!(ripening.is_known(Attr::UserAgent, ValueId(11)));
        ripening.meet(&learned(12, true), 5, 4 * DAY_MS);
        assert!(!ripening.is_known(Attr::UserAgent, ValueId(12)));
    }

    #[test]
    fn names_invented_by_the_hundred_thousand_displace_each_other_and_nobody_known() {
        let mut ripening = grown_up();
        for n in 0..100_000u64 {
            ripening.meet(&learned(1_000 + n, false), n, DAY_MS + n);
        }
        let (used, places, displaced) = ripening.occupancy();
        assert!(used <= VALUES_MAX && used <= places && displaced > 0);
        assert!(ripening.is_known(Attr::UserAgent, ValueId(10)));
    }

    #[test]
    fn what_nobody_used_for_four_weeks_is_forgotten() {
        let mut ripening = grown_up();
        ripening.forget(20 * DAY_MS);
        assert!(ripening.is_known(Attr::UserAgent, ValueId(10)));
        ripening.forget(30 * DAY_MS);
        assert!(!ripening.is_known(Attr::UserAgent, ValueId(10)));
    }
}
