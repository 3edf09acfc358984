//! B2: the last 60 minutes. Kept in segments, each a uniform sample; on a site with few visitors
//! segments reach further back, until there are enough records to judge by.

use std::collections::VecDeque;
use std::sync::Arc;

use super::frozen::Learned;
use crate::memory::{Damaged, Reader, Writer};
use crate::random::Random;
use crate::reservoir::Reservoir;

/// A segment covers at least this long, ms, …
const SEGMENT_MS: u64 = 60_000;
/// … and holds at least this many records.
const SEGMENT_RECORDS_MIN: usize = 64;
/// Records kept of a segment of a whole hour. When full: a uniform sample of the segment.
const SEGMENT_RECORDS_MAX: usize = 4_096;
/// Records kept of all segments while there are few: on a site that has just started, the first
/// minutes are all there is to judge by. As segments are added, each is thinned to the same share.
const RECORDS_MAX: usize = 65_536;
/// Segments kept. When full: the oldest is dropped.
const SEGMENTS_MAX: usize = 192;
/// The past looked at, ms: the last hour…
const SPAN_MS: u64 = 3_600_000;
/// … and further back until this many records are there, …
const RECORDS_WANTED: usize = 8_192;
/// … but never beyond a week.
const SPAN_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// Records that are remembered across a restart, besides those of the open segment. When over: an
/// even subset of each segment, as many as a frozen past looks at.
const REMEMBERED_MAX: usize = RECORDS_MAX;

/// Records kept of each of `segments`.
fn capacity(segments: usize) -> usize {
    (RECORDS_MAX / segments.max(1)).max(SEGMENT_RECORDS_MAX)
}

/// Cloning shares the samples; the next record learned copies the open one.
#[derive(Clone, Debug)]
struct Segment {
    start_ms: u64,
    end_ms: u64,
    sample: Arc<Reservoir<Learned>>,
}

/// The last hour.
#[derive(Clone, Debug, Default)]
pub struct LastHour {
    segments: VecDeque<Segment>,
}

impl LastHour {
    /// Offers what arrived at `at_ms`.
    pub fn learn(&mut self, at_ms: u64, learned: Learned, random: &mut Random) {
        let roll = match self.segments.back() {
            Some(last) => {
                at_ms >= last.start_ms + SEGMENT_MS
                    && last.sample.items().len() >= SEGMENT_RECORDS_MIN
            }
            None => true,
        };
        if roll {
            if self.segments.len() == SEGMENTS_MAX {
                self.segments.pop_front();
            }
            let capacity = capacity(self.segments.len() + 1);
            self.thin(capacity);
            let sample = Arc::new(Reservoir::new(capacity));
            self.segments.push_back(Segment { start_ms: at_ms, end_ms: at_ms, sample });
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.end_ms = segment.end_ms.max(at_ms);
            Arc::make_mut(&mut segment.sample).offer_with(random, || learned);
        }
    }

    /// An even subset of each segment that holds more than `records`.
    fn thin(&mut self, records: usize) {
        for segment in &mut self.segments {
            if segment.sample.items().len() > records {
                segment.sample = Arc::new(segment.sample.thinned(records));
            }
        }
    }

    /// Forgets what is too old; true if something was.
    pub fn forget(&mut self, now_ms: u64) -> bool {
        let before = self.segments.len();
        while let Some(oldest) = self.segments.front() {
            let rest = self.records() - oldest.sample.items().len();
            let stale = oldest.end_ms + SPAN_MS < now_ms && rest >= RECORDS_WANTED;
            if !stale && oldest.end_ms + SPAN_MS_MAX >= now_ms {
                break;
            }
            self.segments.pop_front();
        }
        self.segments.len() != before
    }

    /// The records.
    pub fn iter(&self) -> impl Iterator<Item = &Learned> {
        self.segments.iter().flat_map(|s| s.sample.items())
    }

    /// How many there are.
    pub fn records(&self) -> usize {
        self.segments.iter().map(|s| s.sample.items().len()).sum()
    }

    /// Records kept, most that fit, and none displaced: what is too old goes by design.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        (self.records(), SEGMENTS_MAX * SEGMENT_RECORDS_MAX, 0)
    }

    /// The stretch of time the records come from, s.
    pub fn span_s(&self) -> u64 {
        match (self.segments.front(), self.segments.back()) {
            (Some(first), Some(last)) => (last.end_ms - first.start_ms) / 1000,
            _ => 0,
        }
    }

    /// Writes what shall be remembered.
    pub fn pack(&self, out: &mut Writer) {
        let records = self.records().max(1);
        out.count(self.segments.len());
        for (n, segment) in self.segments.iter().enumerate() {
            out.number(segment.start_ms);
            out.number(segment.end_ms - segment.start_ms);
            let len = segment.sample.items().len();
            let open = n + 1 == self.segments.len();
            let kept = if open { len } else { len.min(len * REMEMBERED_MAX / records + 1) };
            out.sample(&segment.sample, kept);
        }
    }

    /// Reads it back. Nothing can be from after `now_ms`: where the clock was set back meanwhile,
    /// what was learned before counts as learned just now.
    pub fn unpack(input: &mut Reader<'_>, now_ms: u64) -> Result<LastHour, Damaged> {
        let mut segments = VecDeque::new();
        let count = input.count(SEGMENTS_MAX)?;
        for _ in 0..count {
            let start_ms = input.number()?;
            let end_ms = start_ms.saturating_add(input.number()?).min(now_ms);
            let sample = Arc::new(input.sample(capacity(count))?);
            segments.push_back(Segment { start_ms: start_ms.min(end_ms), end_ms, sample });
        }
        Ok(LastHour { segments })
    }
}

const _: () = assert!(SEGMENT_RECORDS_MAX >= SEGMENT_RECORDS_MIN);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use floodwall_model::{Attrs, RequestKind};

    fn learned(at_ms: u64) -> Learned {
        let record = Record {
            at_ms,
            source: at_ms,
            attrs: Attrs::default(),
            kind: RequestKind::Page,
            explained: false,
            passed: true,
            prompted: false,
        };
        Learned { record, engaged: None }
    }

    fn fed(minutes: u64, per_minute: u64) -> LastHour {
        let (mut past, mut random) = (LastHour::default(), Random::new(1));
        for n in 0..minutes * per_minute {
            let at_ms = n * SEGMENT_MS / per_minute;
            past.learn(at_ms, learned(at_ms), &mut random);
        }
        past
    }

    /// Three thousand requests a second for a minute left 4,096 of 180,000 to judge by, so a rule
    /// could not be told from one that hits a visitor in a thousand.
    #[test]
    fn the_first_minutes_fill_all_the_room_there_is() {
        assert_eq!(fed(1, 20_000).records(), 20_000);
        assert_eq!(fed(1, 180_000).records(), RECORDS_MAX);
    }

    #[test]
    fn every_minute_weighs_the_same_however_many_there_are() {
        let past = fed(4, 90_000);
        let sizes: Vec<usize> = past.segments.iter().map(|s| s.sample.items().len()).collect();
        assert_eq!(sizes, [RECORDS_MAX / 4; 4]);
        let past = fed(20, 9_000);
        assert!(past.segments.iter().all(|s| s.sample.items().len() == SEGMENT_RECORDS_MAX));
    }

    #[test]
    fn a_young_past_survives_a_restart_whole() {
        let past = fed(3, 50_000);
        let mut out = Writer::default();
        past.pack(&mut out);
        let bytes = out.finish();
        let back = LastHour::unpack(
            &mut Reader::open(&bytes, floodwall_model::ATTR_COUNT).unwrap(),
            u64::MAX,
        )
        .unwrap();
        assert_eq!(back.records(), past.records());
    }
}
