//! Which sources sent what a block rule matches: a fixed table of tags.
//!
//! When a signature that was put aside matches again, one question decides quickly whether it is
//! its attack or strangers who resemble it: are they the same sources? The table forgets, because
//! addresses change hands, and it must never be a reason to refuse anybody by itself.

use crate::random::mix;

/// Places. When two sources want one: the newer has it, and the older one is counted.
const PLACES: usize = 1 << 16;

/// The table: 256 KB.
#[derive(Debug)]
pub struct Blamed {
    tags: Vec<u32>,
    used: usize,
    displaced: u64,
}

impl Blamed {
    /// Nobody.
    pub fn new() -> Self {
        Blamed { tags: vec![0; PLACES], used: 0, displaced: 0 }
    }

    /// Notes that the source with `key` sent what a block rule matches.
    pub fn insert(&mut self, key: u64) {
        let (place, tag) = place_and_tag(key);
        let held = &mut self.tags[place];
        if *held == tag {
            return;
        }
        if *held == 0 {
            self.used += 1;
        } else {
            self.displaced += 1;
        }
        *held = tag;
    }

    /// Whether it did. Wrongly yes about once in four thousand million times.
    pub fn contains(&self, key: u64) -> bool {
        let (place, tag) = place_and_tag(key);
        self.tags[place] == tag
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        if self.used > 0 {
            self.tags.fill(0);
            self.used = 0;
        }
    }

    /// Places in use, places in all, and sources that lost theirs.
    pub const fn occupancy(&self) -> (usize, usize, u64) {
        (self.used, PLACES, self.displaced)
    }
}

fn place_and_tag(key: u64) -> (usize, u32) {
    let mixed = mix(key);
    (mixed as usize % PLACES, ((mixed >> 32) as u32).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_noted_is_known_and_strangers_are_not() {
        let mut blamed = Blamed::new();
        (0..3_000).for_each(|n| blamed.insert(n));
        let known = (0..3_000).filter(|n| blamed.contains(*n)).count();
        assert!(known > 2_900, "{known}");
        assert_eq!((10_000..60_000).filter(|n| blamed.contains(*n)).count(), 0);
        blamed.clear();
        assert!(!blamed.contains(1));
    }

    #[test]
    fn more_sources_than_places_displace_each_other_and_are_counted() {
        let mut blamed = Blamed::new();
        (0..3 * PLACES as u64).for_each(|n| blamed.insert(n));
        let (used, max, displaced) = blamed.occupancy();
        assert!(used <= max && displaced >= 2 * PLACES as u64, "{used} {displaced}");
    }
}
