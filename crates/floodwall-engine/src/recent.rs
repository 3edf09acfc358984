//! The last seconds of traffic as uniform samples: what mining looks at.
//!
//! Half-second epochs, each a reservoir; a window is the newest epochs together. A busy site is
//! judged on its last second, a quiet one on as many seconds as it takes to see something, up to
//! the ring's length.

use std::collections::VecDeque;

use floodwall_model::Observation;

use crate::random::Random;
use crate::record::Record;
use crate::reservoir::Reservoir;

/// Length of an epoch, ms.
pub const EPOCH_MS: u64 = 500;
/// Records kept of one epoch. When full: a uniform sample of the epoch is kept.
const EPOCH_RECORDS_MAX: usize = 4_096;
/// Epochs kept: 12 seconds.
const EPOCHS_MAX: usize = 24;
/// The same of the slow ring: a minute, for what comes a few times a second.
const SLOW_EPOCH_MS: u64 = 2_500;
const SLOW_EPOCH_RECORDS_MAX: usize = 512;
/// Shortest window worth mining, ms.
const WINDOW_MS_MIN: u64 = 1_000;

/// One stretch of time and a uniform sample of what arrived in it.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Its beginning, ms.
    pub start_ms: u64,
    /// Its end, ms; for the open epoch, so far.
    pub end_ms: u64,
    sample: Reservoir<Record>,
}

impl Epoch {
    /// The sampled records.
    pub fn records(&self) -> &[Record] {
        self.sample.items()
    }

    /// How many requests arrived.
    pub const fn count(&self) -> u64 {
        self.sample.seen()
    }
}

/// A uniform sample of a window that ends now.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The records, each standing for the same number of requests.
    pub records: Vec<Record>,
    /// Requests that arrived in the window.
    pub count: u64,
    /// Length of the window, ms.
    pub span_ms: u64,
}

impl Sample {
    /// Mean rate over the window, requests/s.
    pub fn rate_rps(&self) -> f64 {
        if self.span_ms == 0 { 0.0 } else { self.count as f64 * 1000.0 / self.span_ms as f64 }
    }

    /// The part that came by itself and that no rule explains: none spoke about it when it came, and
    /// `explained` does not cover it. Rates stay those of the part.
    pub fn unexplained(mut self, explained: impl Fn(&Record) -> bool) -> Sample {
        let all = self.records.len().max(1) as f64;
        self.records.retain(|r| !r.prompted && !r.explained && !explained(r));
        self.count = (self.count as f64 * self.records.len() as f64 / all).round() as u64;
        self
    }

    /// Requests per second that one record stands for.
    pub fn weight_rps(&self) -> f64 {
        if self.records.is_empty() { 0.0 } else { self.rate_rps() / self.records.len() as f64 }
    }
}

/// The ring of epochs.
#[derive(Debug)]
pub struct Recent {
    epochs: VecDeque<Epoch>,
    spare: Vec<Reservoir<Record>>,
    epoch_ms: u64,
    epoch_records_max: usize,
}

impl Recent {
    /// An empty ring of twelve seconds.
    pub const fn new() -> Self {
        Recent::of(EPOCH_MS, EPOCH_RECORDS_MAX)
    }

    /// An empty ring of a minute, of fewer records each second.
    pub const fn slow() -> Self {
        Recent::of(SLOW_EPOCH_MS, SLOW_EPOCH_RECORDS_MAX)
    }

    const fn of(epoch_ms: u64, epoch_records_max: usize) -> Self {
        Recent { epochs: VecDeque::new(), spare: Vec::new(), epoch_ms, epoch_records_max }
    }

    /// Moves to `now_ms`: closes the open epoch when it is over and returns it.
    pub fn advance(&mut self, now_ms: u64) -> Option<&Epoch> {
        let over = match self.epochs.back_mut() {
            Some(open) => {
                // After a gap in the traffic the epoch did not last until now.
                open.end_ms = now_ms.clamp(open.start_ms, open.start_ms + 2 * self.epoch_ms);
                now_ms >= open.start_ms + self.epoch_ms
            }
            None => true,
        };
        if !over {
            return None;
        }
        if self.epochs.len() == EPOCHS_MAX
            && let Some(mut old) = self.epochs.pop_front()
        {
            old.sample.clear();
            self.spare.push(old.sample);
        }
        let sample = self.spare.pop().unwrap_or_else(|| Reservoir::new(self.epoch_records_max));
        self.epochs.push_back(Epoch { start_ms: now_ms, end_ms: now_ms, sample });
        self.epochs.len().checked_sub(2).and_then(|closed| self.epochs.get(closed))
    }

    /// Offers an observation to the open epoch.
    pub fn offer(&mut self, observation: &Observation, prompted: bool, random: &mut Random) {
        if let Some(open) = self.epochs.back_mut() {
            open.sample.offer_with(random, || Record::of(observation, prompted));
        }
    }

    /// Epochs that ended no later than `until_ms` and began no earlier than `from_ms`.
    pub fn between(&self, from_ms: u64, until_ms: u64) -> impl Iterator<Item = &Epoch> {
        self.epochs.iter().filter(move |e| e.start_ms >= from_ms && e.end_ms <= until_ms)
    }

    /// A uniform sample of the newest window that holds at least `want` requests, at least
    /// one second long and at most `span_ms_max`. `keep` filters records after the sampling rate
    /// is fixed, so that rates stay true.
    pub fn sample(&self, now_ms: u64, want: u64, span_ms_max: u64) -> Sample {
        self.sample_before(0, now_ms, want, span_ms_max)
    }

    /// The same of whole seconds that are over, counted from `first_ms`. For a measurement.
    pub fn sample_of_seconds(
        &self,
        first_ms: u64,
        now_ms: u64,
        want: u64,
        span_ms_max: u64,
    ) -> Sample {
        let until_ms = now_ms - now_ms.saturating_sub(first_ms) % 1_000;
        let newer = |e: &&Epoch| e.start_ms >= until_ms || e.end_ms > until_ms;
        let newer = self.epochs.iter().rev().take_while(newer).count();
        self.sample_before(newer, until_ms, want, span_ms_max)
    }

    /// A window that leaves out the newest epochs and ends at `until_ms`.
    fn sample_before(&self, newer: usize, until_ms: u64, want: u64, span_ms_max: u64) -> Sample {
        let mut chosen = 0;
        let mut count = 0;
        let mut start_ms = until_ms;
        for epoch in self.epochs.iter().rev().skip(newer) {
            let span_ms = until_ms.saturating_sub(epoch.start_ms);
            let enough = count >= want && until_ms.saturating_sub(start_ms) >= WINDOW_MS_MIN;
            if chosen > 0 && (enough || span_ms > span_ms_max) {
                break;
            }
            chosen += 1;
            count += epoch.count();
            start_ms = epoch.start_ms;
        }
        let epochs = || self.epochs.iter().rev().skip(newer).take(chosen);
        let share = epochs()
            .filter(|e| e.count() > 0)
            .map(|e| e.records().len() as f64 / e.count() as f64)
            .fold(1.0, f64::min);
        let mut records = Vec::new();
        for epoch in epochs() {
            let wanted = (epoch.count() as f64 * share).round() as usize;
            records.extend(thin(epoch.records(), wanted));
        }
        Sample { records, count, span_ms: until_ms.saturating_sub(start_ms).max(1) }
    }
}

/// `wanted` records spread evenly over `records`.
pub fn thin(records: &[Record], wanted: usize) -> impl Iterator<Item = Record> {
    let (len, wanted) = (records.len(), wanted.min(records.len()));
    (0..wanted).map(move |n| records[n * len / wanted])
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{Attrs, Handling, RequestKind, Source, Stage};

    fn observation(at_ms: u64) -> Observation {
        Observation {
            at_ms,
            source: Source::new(std::net::Ipv4Addr::LOCALHOST.into()),
            attrs: Attrs::default(),
            kind: RequestKind::Page,
            handling: Handling::Passed,
            stage: Stage::Whole,
            outcome: None,
            handshake: true,
        }
    }

    /// A ring fed at `rps` for `seconds`, in ticks of 100 ms.
    fn fed(rps: u64, seconds: u64) -> (Recent, u64) {
        let (mut recent, mut random) = (Recent::new(), Random::new(1));
        for tick in 0..seconds * 10 {
            recent.advance(tick * 100);
            for _ in 0..rps / 10 {
                recent.offer(&observation(tick * 100), false, &mut random);
            }
        }
        (recent, seconds * 1000)
    }

    #[test]
    fn a_busy_site_is_judged_on_its_last_second() {
        let (recent, now_ms) = fed(2_000, 10);
        let sample = recent.sample(now_ms, 500, 10_000);
        assert!((1_000..1_500).contains(&sample.span_ms), "{}", sample.span_ms);
        assert!((sample.rate_rps() - 2_000.0).abs() < 100.0);
    }

    #[test]
    fn whole_seconds_leave_out_the_one_that_is_not_over() {
        let (recent, now_ms) = fed(2_000, 10);
        for now_ms in [now_ms - 100, now_ms - 900] {
            let sample = recent.sample_of_seconds(0, now_ms, 500, 10_000);
            let newest_ms = sample.records.iter().map(|r| r.at_ms).max();
            assert_eq!((sample.span_ms, newest_ms), (1_000, Some(8_900)));
            assert_eq!(sample.count, 2_000);
        }
    }

    #[test]
    fn a_quiet_site_is_judged_on_more_seconds() {
        let (recent, now_ms) = fed(20, 30);
        let sample = recent.sample(now_ms, 500, 10_000);
        assert!((9_000..=10_000).contains(&sample.span_ms), "{}", sample.span_ms);
        assert!((sample.rate_rps() - 20.0).abs() < 3.0);
    }

    #[test]
    fn a_flood_is_sampled_and_its_rate_stays_true() {
        let (recent, now_ms) = fed(50_000, 3);
        let sample = recent.sample(now_ms, 500, 10_000);
        assert!(sample.records.len() <= 3 * EPOCH_RECORDS_MAX);
        assert!((sample.rate_rps() - 50_000.0).abs() < 2_500.0);
        let weighed = sample.weight_rps() * sample.records.len() as f64;
        assert!((weighed - sample.rate_rps()).abs() < 1.0);
    }

    #[test]
    fn each_epoch_is_handed_out_once_when_it_closes() {
        let mut recent = Recent::new();
        let closed = (0..600).filter(|tick| recent.advance(tick * 100).is_some()).count();
        assert_eq!(closed, 119, "60 s hold 120 epochs, the last still open");
    }
}
