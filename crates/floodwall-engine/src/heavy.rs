//! Which keys are most frequent: Space-Saving (Metwally et al. 2005), set-associative.
//!
//! Each key belongs to one set of eight places; a key without a place takes over the smallest of
//! its set together with its count, which becomes the error bound. Never underestimates; a key with
//! more than 1/8 of its set's traffic is never lost.

use crate::random::mix;

const WAYS: usize = 8;

#[derive(Copy, Clone, Debug, Default)]
struct Place {
    key: u64,
    count: u64,
    error: u64,
}

/// A bounded table of the most frequent keys.
#[derive(Clone, Debug)]
pub struct HeavyHitters {
    places: Vec<Place>,
    sets: usize,
}

/// One frequent key.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Heavy {
    /// The key.
    pub key: u64,
    /// Upper bound of its count.
    pub count_max: u64,
    /// Lower bound of its count.
    pub count_min: u64,
}

impl HeavyHitters {
    /// A table of `sets` times eight places. When full: the smallest of a set is taken over.
    pub fn new(sets: usize) -> Self {
        let sets = sets.max(1);
        HeavyHitters { places: vec![Place::default(); sets * WAYS], sets }
    }

    /// Counts one occurrence.
    pub fn insert(&mut self, key: u64) {
        let set = mix(key) as usize % self.sets * WAYS;
        let places = &mut self.places[set..set + WAYS];
        let mut smallest = 0;
        for place in places.iter_mut() {
            if place.count > 0 && place.key == key {
                place.count += 1;
                return;
            }
        }
        for index in 1..WAYS {
            if places[index].count < places[smallest].count {
                smallest = index;
            }
        }
        let place = &mut places[smallest];
        *place = Place { key, count: place.count + 1, error: place.count };
    }

    /// The `n` keys with the largest lower bounds, largest first.
    pub fn top(&self, n: usize) -> Vec<Heavy> {
        let mut all: Vec<Heavy> = self
            .places
            .iter()
            .filter(|p| p.count > p.error)
            .map(|p| Heavy { key: p.key, count_max: p.count, count_min: p.count - p.error })
            .collect();
        all.sort_unstable_by_key(|h| (std::cmp::Reverse(h.count_min), h.key));
        all.truncate(n);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// The exact map judges the table: bounds hold for every key it reports.
        #[test]
        fn bounds_enclose_the_exact_count(seed in any::<u64>(), keys in 1u64..500) {
            let (mut table, mut exact) = (HeavyHitters::new(8), HashMap::<u64, u64>::new());
            let mut random = Random::new(seed);
            for _ in 0..5_000 {
                let key = random.below(keys).min(random.below(keys));
                table.insert(key);
                *exact.entry(key).or_default() += 1;
            }
            for heavy in table.top(64) {
                let truth = exact[&heavy.key];
                prop_assert!(heavy.count_min <= truth && truth <= heavy.count_max);
            }
        }
    }

    #[test]
    fn a_dominant_key_survives_a_flood_of_others() {
        let mut table = HeavyHitters::new(16);
        for n in 0..100_000u64 {
            table.insert(if n % 3 == 0 { 7 } else { 1_000 + n });
        }
        assert_eq!(table.top(1)[0].key, 7);
    }
}
