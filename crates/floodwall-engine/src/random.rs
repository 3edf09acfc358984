//! The engine's only source of chance: a seeded generator, so that a seed replays any decision.
//!
//! SplitMix64 (Steele, Lea, Flood 2014). Not for secrets.

/// A seeded generator of 64-bit words.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator from `seed`.
    pub const fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// The next word.
    pub const fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number in the open interval (0, 1): never 0, so that its logarithm exists.
    pub fn unit(&mut self) -> f64 {
        ((self.word() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// A number in `0..bound`; 0 when `bound` is 0. The bias is below 2⁻³² for the bounds in use.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.word() as u128 * bound as u128) >> 64) as u64
    }
}

/// SplitMix64's finaliser: spreads a word over all bits.
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence() {
        let words = |seed| {
            let mut random = Random::new(seed);
            [random.word(), random.word(), random.word()]
        };
        assert_eq!(words(7), words(7));
        assert_ne!(words(7), words(8));
    }

    #[test]
    fn bounded_numbers_stay_in_bounds_and_cover_them() {
        let mut random = Random::new(1);
        let mut seen = [false; 10];
        for _ in 0..1_000 {
            seen[random.below(10) as usize] = true;
            let unit = random.unit();
            assert!(unit > 0.0 && unit < 1.0);
        }
        assert_eq!(seen, [true; 10]);
    }
}
