//! Rates of single attribute values, each with its own onset channel.
//!
//! A rise that is invisible in the total (a few hundred requests among thousands) is plain in the
//! rate of one user agent. Tables have fixed size; what does not fit is counted as such.

use floodwall_model::{ATTR_COUNT, Attr, Attrs, ValueId};

use crate::cusum::{Cusum, RARE};
use crate::random::mix;

/// Values followed per attribute: 1,024 sets of four. When a set is full, the value with the lowest
/// rate gives way.
const SETS: usize = 1_024;
const WAYS: usize = 4;
/// Time constant of the tracked rates, s.
const TRACK_S: f64 = 300.0;
/// Time constant of the present rates, s: long enough that one visitor's page load is no rise.
const PRESENT_S: f64 = 3.0;
/// Margin on a value's rate before it counts as a rise (design/detection.md § 3.3).
const MARGIN: f64 = 1.0;
/// A value never seen may come at this rate without surprise, requests/s.
const FLOOR_RPS: f64 = 0.4;
/// Younger than this, rates are learned and nothing surprises, s.
const WARM_UP_S: f64 = 10.0;

/// The attributes whose values are followed. Host, cookie and network are left out: their rises are
/// those of the site itself; the TLS fingerprint is not filled yet.
pub const FOLLOWED: [Attr; 10] = [
    Attr::Method,
    Attr::PathTemplate,
    Attr::QueryShape,
    Attr::HttpVersion,
    Attr::HeaderOrder,
    Attr::UserAgent,
    Attr::AgentShape,
    Attr::Language,
    Attr::RefererClass,
    Attr::Implementation,
];

#[derive(Copy, Clone, Debug, Default)]
struct Slot {
    id: u64,
    events: u32,
    rate: f32,
    present: f32,
    updated_ms: u64,
    cusum: Cusum,
}

/// Most rates there are to remember.
pub const RATES_MAX: usize = FOLLOWED.len() * SETS * WAYS;

/// A value whose rate left its envelope.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct ValueAlarm {
    /// The attribute.
    pub attr: Attr,
    /// The value.
    pub id: ValueId,
    /// Its rate before, requests/s.
    pub expected_rps: f64,
    /// Its rate now, requests/s.
    pub present_rps: f64,
}

/// The tables.
#[derive(Debug)]
pub struct ValueRates {
    slots: Vec<Slot>,
    touched: Vec<u32>,
    used: [u32; ATTR_COUNT],
    displaced: u64,
}

impl ValueRates {
    /// Empty tables.
    pub fn new() -> Self {
        ValueRates {
            slots: vec![Slot::default(); FOLLOWED.len() * SETS * WAYS],
            touched: Vec::new(),
            used: [0; ATTR_COUNT],
            displaced: 0,
        }
    }

    /// Counts one request.
    pub fn count(&mut self, attrs: &Attrs) {
        for (table, attr) in FOLLOWED.iter().enumerate() {
            let ValueId(id) = attrs[*attr];
            if attrs[*attr].is_known() {
                self.count_value(table, *attr, id);
            }
        }
    }

    fn count_value(&mut self, table: usize, attr: Attr, id: u64) {
        let start = (table * SETS + (mix(id) as usize & (SETS - 1))) * WAYS;
        let mut lowest = start;
        for index in start..start + WAYS {
            let slot = &mut self.slots[index];
            if slot.id == id {
                if slot.events == 0 {
                    self.touched.push(index as u32);
                }
                slot.events += 1;
                return;
            }
            let weight = |s: &Slot| s.rate + s.events as f32;
            if weight(&self.slots[index]) < weight(&self.slots[lowest]) {
                lowest = index;
            }
        }
        // A value counted within this tick keeps its place, so that `touched` stays true.
        if self.slots[lowest].events > 0 {
            self.displaced += 1;
            return;
        }
        if self.slots[lowest].id == 0 {
            self.used[attr as usize] += 1;
        } else {
            self.displaced += 1;
        }
        self.slots[lowest] = Slot { id, events: 1, ..Slot::default() };
        self.touched.push(lowest as u32);
    }

    /// Ends a tick at `now_ms`, `interval_s` long. `age_s` is how long rates have been tracked;
    /// `width` widens the margin; while `learning` is off, rates stand still. Returns the value that rose most, if one left
    /// its envelope.
    pub fn tick(
        &mut self,
        now_ms: u64,
        interval_s: f64,
        age_s: f64,
        width: f64,
        learning: bool,
    ) -> Option<ValueAlarm> {
        let mut loudest: Option<(f64, ValueAlarm)> = None;
        // A young average is biased low by exactly this factor.
        let filled = 1.0 - (-age_s / TRACK_S).exp();
        for index in std::mem::take(&mut self.touched) {
            let slot = &mut self.slots[index as usize];
            let events = f64::from(std::mem::take(&mut slot.events));
            let since_s = now_ms.saturating_sub(slot.updated_ms) as f64 / 1000.0;
            let decayed = if learning {
                f64::from(slot.rate) * (-since_s / TRACK_S).exp()
            } else {
                slot.rate.into()
            };
            let expected_rps = decayed / filled.max(0.01);
            let upper_rps = expected_rps * (1.0 + MARGIN * width) + FLOOR_RPS * width;
            // Ticks without this value were not visited: their part of the sum is made up here.
            let quiet_s = (since_s - interval_s).clamp(0.0, 3_600.0);
            slot.cusum.update(RARE, 0.0, upper_rps, quiet_s);
            if age_s >= WARM_UP_S {
                slot.cusum.update(RARE, events, upper_rps, interval_s);
            }
            if learning && !slot.cusum.suspicious(RARE) {
                slot.rate = (decayed + events / TRACK_S) as f32;
            } else {
                slot.rate = decayed as f32;
            }
            let present =
                f64::from(slot.present) * (-since_s / PRESENT_S).exp() + events / PRESENT_S;
            slot.present = present as f32;
            slot.updated_ms = now_ms;
            if slot.cusum.alarmed(RARE) {
                let attr = FOLLOWED[index as usize / (SETS * WAYS)];
                let alarm =
                    ValueAlarm { attr, id: ValueId(slot.id), expected_rps, present_rps: present };
                let rise = present - expected_rps;
                if loudest.is_none_or(|(most, _)| rise > most) {
                    loudest = Some((rise, alarm));
                }
            }
        }
        loudest.map(|(_, alarm)| alarm)
    }

    /// Forgets every alarm and takes the present rates for expected: what was alarming has been
    /// judged and is the new normal. `age_s` as in [`Self::tick`].
    pub fn settle(&mut self, age_s: f64) {
        let filled = (1.0 - (-age_s / TRACK_S).exp()) as f32;
        for slot in &mut self.slots {
            slot.cusum = Cusum::default();
            slot.rate = slot.rate.max(slot.present * filled);
        }
    }

    /// The rates expected: attribute, value, requests/s. `age_s` as in [`Self::tick`].
    pub fn remembered(&self, age_s: f64) -> Vec<(Attr, ValueId, f64)> {
        let filled = (1.0 - (-age_s / TRACK_S).exp()).max(0.01);
        let attr = |index: usize| FOLLOWED[index / (SETS * WAYS)];
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.rate > 0.0);
        slots.map(|(n, slot)| (attr(n), ValueId(slot.id), f64::from(slot.rate) / filled)).collect()
    }

    /// Takes remembered rates for those expected now. Where a set is full, the rest is left out.
    pub fn recall(&mut self, rates: &[(Attr, ValueId, f64)], now_ms: u64, age_s: f64) {
        let filled = (1.0 - (-age_s / TRACK_S).exp()).max(0.01);
        for (attr, ValueId(id), rate_rps) in rates {
            let Some(table) = FOLLOWED.iter().position(|a| a == attr) else { continue };
            let start = (table * SETS + (mix(*id) as usize & (SETS - 1))) * WAYS;
            if let Some(slot) = self.slots[start..start + WAYS].iter_mut().find(|s| s.id == 0) {
                let rate = (rate_rps * filled) as f32;
                *slot = Slot { id: *id, rate, updated_ms: now_ms, ..Slot::default() };
                self.used[*attr as usize] += 1;
            }
        }
    }

    /// Places in use, places in all, and values that found no place.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        (self.used.iter().sum::<u32>() as usize, self.slots.len(), self.displaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(agent: u64) -> Attrs {
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(agent);
        attrs
    }

    /// Runs `rates` per second of two agents for `seconds`; returns the first alarm's tick.
    fn run(values: &mut ValueRates, from_tick: u64, seconds: u64, rates: [u64; 2]) -> Option<u64> {
        for tick in from_tick..from_tick + seconds * 10 {
            for (agent, rps) in rates.iter().enumerate() {
                let due = (tick + 1) * rps / 10 - tick * rps / 10;
                for _ in 0..due {
                    values.count(&request(agent as u64 + 10));
                }
            }
            let age_s = (tick + 1) as f64 / 10.0;
            if values.tick((tick + 1) * 100, 0.1, age_s, 1.0, true).is_some() {
                return Some(tick - from_tick);
            }
        }
        None
    }

    #[test]
    fn steady_values_do_not_alarm() {
        assert_eq!(run(&mut ValueRates::new(), 0, 120, [50, 5]), None);
    }

    #[test]
    fn twenty_requests_a_second_of_a_new_value_are_seen_within_a_second() {
        let mut values = ValueRates::new();
        assert_eq!(run(&mut values, 0, 60, [500, 0]), None);
        let tick = run(&mut values, 600, 10, [500, 20]).unwrap();
        assert!(tick <= 12, "{tick} ticks of 100 ms");
    }

    #[test]
    fn a_flood_of_different_values_stays_within_the_tables() {
        let mut values = ValueRates::new();
        for n in 0..200_000 {
            values.count(&request(n + 2));
            if n % 1_000 == 0 {
                values.tick(n, 0.1, 100.0, 1.0, true);
            }
        }
        let (used, places, displaced) = values.occupancy();
        assert!(used <= SETS * WAYS && used <= places);
        assert!(displaced > 0);
    }
}
