//! How many different sources: HyperLogLog (Flajolet et al. 2007) with 4,096 registers.
//!
//! Standard error 1.04/√4096 = 1.6 %. Small counts use linear counting, as in the paper.

use crate::random::mix;

const PRECISION: u32 = 12;
const REGISTERS: usize = 1 << PRECISION;

/// A fixed 4 KiB estimator of the number of different keys.
#[derive(Clone, Debug)]
pub struct Distinct {
    registers: Box<[u8; REGISTERS]>,
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct { registers: Box::new([0; REGISTERS]) }
    }
}

impl Distinct {
    /// Adds a key. Keys need not be spread; they are mixed here.
    pub fn insert(&mut self, key: u64) {
        let hash = mix(key);
        let index = (hash >> (64 - PRECISION)) as usize;
        let rank = ((hash << PRECISION) | (1 << (PRECISION - 1))).leading_zeros() as u8 + 1;
        let register = &mut self.registers[index];
        *register = (*register).max(rank);
    }

    /// The estimate.
    pub fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let sum: f64 = self.registers.iter().map(|r| (-f64::from(*r)).exp2()).sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let empty = self.registers.iter().filter(|r| **r == 0).count();
        if raw <= 2.5 * m && empty > 0 {
            (m * (m / empty as f64).ln()).round() as u64
        } else {
            raw.round() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The exact set judges the estimate: within 5 % (three standard errors) at every size.
    #[test]
    fn estimates_stay_near_the_exact_count() {
        for size in [0u64, 1, 10, 500, 5_000, 50_000, 500_000] {
            let (mut distinct, mut exact) = (Distinct::default(), HashSet::new());
            for n in 0..size {
                let key = n.wrapping_mul(0x0001_0001) ^ 0xffff_ffff_0000_0000;
                for _ in 0..2 {
                    distinct.insert(key);
                    exact.insert(key);
                }
            }
            let (estimate, truth) = (distinct.estimate() as f64, exact.len() as f64);
            assert!((estimate - truth).abs() <= truth * 0.05 + 1.0, "{estimate} for {truth}");
        }
    }
}
