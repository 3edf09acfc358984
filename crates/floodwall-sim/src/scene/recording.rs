//! Requests per minute of a recorded event, and the rise in it that a crowd follows.

use fastrand::Rng;

use crate::rhythm::Rhythm;

/// A minute, ms.
const MINUTE_MS: f64 = 60_000.0;
/// Minutes over which a rise is looked for.
const RISE_MINUTES: usize = 10;
/// Places looked at for the steepest rise.
const PLACES: usize = 200;

/// Minutes in the order recorded, gaps left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    minutes: Vec<f64>,
}

impl Recording {
    /// Reads lines of a time, a comma and a count, without a heading. Lines that are not so are
    /// left out.
    pub fn read(text: &str) -> Self {
        let count = |line: &str| line.rsplit_once(',')?.1.trim().parse::<f64>().ok();
        Recording { minutes: text.lines().filter_map(count).collect() }
    }

    /// How many minutes.
    pub fn minutes(&self) -> usize {
        self.minutes.len()
    }

    /// A stretch of `lasts_ms` with a steep rise in it, as a rhythm of what is added to an ordinary
    /// day: nothing at its quietest minute, all at its busiest. `None` if it is too short.
    pub fn rise(&self, lasts_ms: u64, rng: &mut Rng) -> Option<Rhythm> {
        let length = (lasts_ms as f64 / MINUTE_MS).ceil() as usize + 1;
        if self.minutes.len() < length + RISE_MINUTES {
            return None;
        }
        let steepness = |from: &usize| {
            let rising = self.minutes[*from + RISE_MINUTES.min(length)];
            rising / self.minutes[*from].max(1.0)
        };
        let from = (0..PLACES)
            .map(|_| rng.usize(..self.minutes.len() - length - RISE_MINUTES + 1))
            .max_by(|a, b| steepness(a).total_cmp(&steepness(b)))?;
        let stretch = &self.minutes[from..from + length];
        let least = stretch.iter().copied().fold(f64::INFINITY, f64::min);
        let most = stretch.iter().copied().fold(0.0, f64::max);
        let part = |count: &f64| (count - least) / (most - least).max(1.0);
        Some(Rhythm::new(MINUTE_MS, stretch.iter().map(part).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_with_a_rise_is_found_and_scaled() {
        let flat = (0..500).map(|i| format!("1998-06-05 0:{i},100\n"));
        let rising = (0..60).map(|i| format!("1998-06-05 9:{i},{}\n", 100 + i * 40));
        let text: String = flat.clone().chain(rising).chain(flat).collect();
        let recording = Recording::read(&format!("nonsense\n{text}"));
        assert_eq!(recording.minutes(), 1_060);
        let rhythm = recording.rise(1_200_000, &mut Rng::with_seed(1)).unwrap();
        assert!((rhythm.peak() - 1.0).abs() < 1e-9);
        assert!(Recording::read("a,1\n").rise(60_000, &mut Rng::with_seed(1)).is_none());
    }
}
