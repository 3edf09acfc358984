//! Draws that the traffic models need beyond uniform numbers.
//!
//! The generator is given, never made from the surroundings: one seed gives one history.

use fastrand::Rng;

/// An exponential waiting time with this mean, ms.
pub fn exponential_ms(rng: &mut Rng, mean_ms: f64) -> f64 {
    // `f64()` is in [0, 1): its complement is never 0, so the logarithm is finite.
    -(1.0 - rng.f64()).ln() * mean_ms
}

/// True with probability `p`.
pub fn happens(rng: &mut Rng, p: f64) -> bool {
    rng.f64() < p
}

/// A generator for one purpose, independent of how often others are drawn from.
pub fn stream(seed: u64, purpose: u64) -> Rng {
    // The odd constant of SplitMix64 (Steele, Lea and Flood 2014) spreads neighbouring purposes.
    Rng::with_seed(seed ^ purpose.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Lower-case letters and digits.
pub fn word(rng: &mut Rng, letters: std::ops::RangeInclusive<usize>) -> String {
    let length = rng.usize(letters);
    (0..length).map(|_| rng.lowercase()).collect()
}

/// Things with weights, drawn in logarithmic time.
#[derive(Clone, Debug)]
pub struct Weighted<T> {
    things: Vec<T>,
    cumulated: Vec<f64>,
}

impl<T> Weighted<T> {
    /// Keeps the things whose weight is above zero; `None` if none is left.
    pub fn new(weighted: impl IntoIterator<Item = (T, f64)>) -> Option<Self> {
        let (mut things, mut cumulated, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for (thing, weight) in weighted {
            if weight > 0.0 && weight.is_finite() {
                sum += weight;
                things.push(thing);
                cumulated.push(sum);
            }
        }
        (!things.is_empty()).then_some(Weighted { things, cumulated })
    }

    /// One of the things.
    pub fn draw(&self, rng: &mut Rng) -> &T {
        let sum = self.cumulated[self.cumulated.len() - 1];
        let at = rng.f64() * sum;
        let index = self.cumulated.partition_point(|upper| *upper <= at);
        &self.things[index.min(self.things.len() - 1)]
    }

    /// All things.
    pub fn things(&self) -> &[T] {
        &self.things
    }

    /// All things with their shares, which sum to one.
    pub fn shares(&self) -> impl Iterator<Item = (&T, f64)> {
        let sum = self.cumulated[self.cumulated.len() - 1];
        self.things.iter().enumerate().map(move |(i, thing)| {
            let below = if i == 0 { 0.0 } else { self.cumulated[i - 1] };
            (thing, (self.cumulated[i] - below) / sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights() {
        let weighted = Weighted::new([('a', 1.0), ('b', 0.0), ('c', 3.0)]).unwrap();
        let mut rng = Rng::with_seed(1);
        let c = (0..10_000).filter(|_| *weighted.draw(&mut rng) == 'c').count();
        assert!((7_200..7_800).contains(&c), "{c}");
        assert_eq!(weighted.things(), ['a', 'c']);
        assert!((weighted.shares().map(|(_, s)| s).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_draw_from_is_said_when_it_is_made() {
        assert!(Weighted::new([('a', 0.0), ('b', f64::NAN)]).is_none());
    }

    #[test]
    fn waiting_times_have_their_mean() {
        let mut rng = Rng::with_seed(2);
        let mean = (0..20_000).map(|_| exponential_ms(&mut rng, 50.0)).sum::<f64>() / 20_000.0;
        assert!((48.0..52.0).contains(&mean), "{mean}");
    }

    #[test]
    fn neighbouring_purposes_draw_differently() {
        let draws: Vec<u64> = (0..8).map(|purpose| stream(7, purpose).u64(..)).collect();
        for (i, draw) in draws.iter().enumerate() {
            assert!(!draws[..i].contains(draw));
        }
    }
}
