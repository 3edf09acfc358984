//! A uniform sample of a stream of unknown length.
//!
//! Algorithm L (Li 1994): after the reservoir is full it computes how many items to skip, so that a
//! flood costs one comparison per item. Counting conjunctions in sketches instead would cost ten
//! times as much and still not give three-way conjunctions (docs/decisions/0002).

use crate::random::Random;

/// A uniform sample of at most `capacity` items.
#[derive(Clone, Debug)]
pub struct Reservoir<T> {
    items: Vec<T>,
    capacity: usize,
    seen: u64,
    /// Items to let pass before the next replacement.
    skip: u64,
    /// Algorithm L's running weight.
    weight: f64,
}

impl<T> Reservoir<T> {
    /// An empty reservoir. Memory is taken as items come.
    pub const fn new(capacity: usize) -> Self {
        Reservoir { items: Vec::new(), capacity, seen: 0, skip: 0, weight: 1.0 }
    }

    /// Offers an item; `make` is called only if it is kept.
    pub fn offer_with(&mut self, random: &mut Random, make: impl FnOnce() -> T) {
        self.seen += 1;
        if self.items.len() < self.capacity {
            self.items.push(make());
            if self.items.len() == self.capacity {
                self.plan_next(random);
            }
        } else if self.skip > 0 {
            self.skip -= 1;
        } else if self.capacity > 0 {
            let slot = random.below(self.capacity as u64) as usize;
            self.items[slot] = make();
            self.plan_next(random);
        }
    }

    fn plan_next(&mut self, random: &mut Random) {
        self.weight *= (random.unit().ln() / self.capacity as f64).exp();
        let gap = random.unit().ln() / (1.0 - self.weight).ln();
        self.skip = if gap.is_finite() { gap as u64 } else { u64::MAX };
    }

    /// A reservoir of `items` that goes on from `state`.
    pub fn of(items: Vec<T>, capacity: usize, [seen, skip, weight]: [u64; 3]) -> Self {
        let weight = f64::from_bits(weight);
        // Out of bounds only if somebody wrote into the file; then it begins anew.
        let weight = if weight > 0.0 && weight <= 1.0 { weight } else { 1.0 };
        Reservoir { items, capacity, seen, skip, weight }
    }

    /// An even subset of at most `records` of what it holds, for which nothing more is to come.
    pub fn thinned(&self, records: usize) -> Self
    where
        T: Clone,
    {
        let len = self.items.len();
        let kept = records.min(len);
        let items = (0..kept).map(|n| self.items[n * len / kept].clone()).collect();
        Reservoir { items, capacity: kept, ..Reservoir::new(kept) }
    }

    /// What [`Self::of`] goes on from.
    pub const fn state(&self) -> [u64; 3] {
        [self.seen, self.skip, self.weight.to_bits()]
    }

    /// The sample.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// How many items were offered.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Starts over, keeping the memory.
    pub fn clear(&mut self) {
        self.items.clear();
        self.seen = 0;
        self.skip = 0;
        self.weight = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_stream_is_kept_whole() {
        let mut random = Random::new(1);
        let mut reservoir = Reservoir::new(10);
        for n in 0..7 {
            reservoir.offer_with(&mut random, || n);
        }
        assert_eq!(reservoir.items(), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(reservoir.seen(), 7);
    }

    /// Against the plain statement of uniformity: every position of the stream is kept equally
    /// often. 1,000 runs of 1,000 items into 100 places: each tenth of the stream expects 10,000.
    #[test]
    fn every_part_of_a_long_stream_is_sampled_alike() {
        let mut random = Random::new(42);
        let mut kept_by_tenth = [0u32; 10];
        for _ in 0..1_000 {
            let mut reservoir = Reservoir::new(100);
            for n in 0..1_000usize {
                reservoir.offer_with(&mut random, || n);
            }
            for n in reservoir.items() {
                kept_by_tenth[n / 100] += 1;
            }
        }
        for kept in kept_by_tenth {
            assert!((9_500..10_500).contains(&kept), "{kept_by_tenth:?}");
        }
    }

    #[test]
    fn a_reservoir_of_nothing_keeps_nothing() {
        let mut random = Random::new(1);
        let mut reservoir = Reservoir::new(0);
        for n in 0..10 {
            reservoir.offer_with(&mut random, || n);
        }
        assert!(reservoir.items().is_empty());
        assert_eq!(reservoir.seen(), 10);
    }
}
