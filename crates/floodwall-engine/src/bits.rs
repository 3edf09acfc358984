//! Sets of sample positions as words, so that trying a conjunction is an AND and a population count.

/// A fixed-length set of positions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// The positions of `items` for which `select` holds.
    pub fn select<T>(items: &[T], select: impl Fn(&T) -> bool) -> Self {
        let mut words = vec![0u64; items.len().div_ceil(64)];
        for (chunk, word) in items.chunks(64).zip(&mut words) {
            for (bit, item) in chunk.iter().enumerate() {
                *word |= u64::from(select(item)) << bit;
            }
        }
        Bits { words }
    }

    /// How many positions are in the set.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// How many positions are in both sets.
    pub fn count_and(&self, other: &Bits) -> u64 {
        self.words.iter().zip(&other.words).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }

    /// How many positions are set here and in both others.
    pub fn count_and_both(&self, a: &Bits, b: &Bits) -> u64 {
        let words = self.words.iter().zip(&a.words).zip(&b.words);
        words.map(|((here, a), b)| u64::from((here & a & b).count_ones())).sum()
    }

    /// Keeps the positions that are also in `other`.
    pub fn and(&self, other: &Bits) -> Bits {
        Bits { words: self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect() }
    }

    /// Keeps the positions that are not in `other`.
    pub fn and_not(&self, other: &Bits) -> Bits {
        Bits { words: self.words.iter().zip(&other.words).map(|(a, b)| a & !b).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets_agree_with_filtering(items in prop::collection::vec(any::<u8>(), 0..300)) {
            let (a, b) = (Bits::select(&items, |n| n % 2 == 0), Bits::select(&items, |n| n % 3 == 0));
            let plain = |f: &dyn Fn(u8) -> bool| items.iter().filter(|n| f(**n)).count() as u64;
            prop_assert_eq!(a.count(), plain(&|n| n % 2 == 0));
            prop_assert_eq!(a.count_and(&b), plain(&|n| n % 6 == 0));
            prop_assert_eq!(a.and(&b).count(), plain(&|n| n % 6 == 0));
            prop_assert_eq!(a.and_not(&b).count(), plain(&|n| n % 2 == 0 && n % 3 != 0));
        }
    }
}
