//! What is normal here: a sample of the last hour, frozen at the first sign of trouble.
//!
//! Requests wait in quarantine before they are learned, so that the first minutes of an attack that
//! ramps up slowly are not taken for normal; nothing is learned while an alarm is open. The hour is
//! kept in segments, each a uniform sample; on a site with few visitors segments reach further back
//! until there are enough records to judge by.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

use floodwall_model::signature::IdentityHasher;
use floodwall_model::{ATTR_COUNT, Attr, KnownSet, KnownValues, RequestKind, ValueId};

use crate::random::{Random, mix};
use crate::recent::{Epoch, thin};
use crate::record::Record;
use crate::reservoir::Reservoir;
use crate::sources::Sources;

/// Records of one epoch that go into quarantine. When over: an even subset, so that at rates above
/// 512/s every half second weighs the same.
const QUARANTINE_EPOCH_RECORDS: usize = 256;
/// Epochs in quarantine: five minutes and a reserve. When full: the oldest is dropped unlearned.
const QUARANTINE_EPOCHS_MAX: usize = 640;
/// Longest quarantine, ms (design/detection.md § 3.2: frozen at onset − 5 min).
const QUARANTINE_MS_MAX: u64 = 300_000;
/// Shortest quarantine, ms, on a site just started.
const QUARANTINE_MS_MIN: u64 = 2_000;
/// A segment covers at least this long, ms, …
const SEGMENT_MS: u64 = 60_000;
/// … and holds at least this many records.
const SEGMENT_RECORDS_MIN: usize = 64;
/// Records kept of a segment. When full: a uniform sample of the segment.
const SEGMENT_RECORDS_MAX: usize = 4_096;
/// Segments kept. When full: the oldest is dropped.
const SEGMENTS_MAX: usize = 192;
/// The past looked at, ms: the last hour…
const SPAN_MS: u64 = 3_600_000;
/// … and further back until this many records are there, …
const RECORDS_WANTED: usize = 8_192;
/// … but never beyond a week.
const SPAN_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// Records in each half of a frozen baseline.
const HALF_RECORDS_MAX: usize = 32_768;

/// One learned record.
#[derive(Copy, Clone, Debug)]
pub struct Learned {
    /// The request.
    pub record: Record,
    /// Whether its source behaved like a browser; `None` if it was forgotten meanwhile.
    pub engaged: Option<bool>,
}

#[derive(Debug)]
struct Waiting {
    end_ms: u64,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Segment {
    start_ms: u64,
    end_ms: u64,
    sample: Reservoir<Learned>,
}

/// The learned past.
#[derive(Debug)]
pub struct Baseline {
    quarantine: VecDeque<Waiting>,
    segments: VecDeque<Segment>,
    learned_since_ms: Option<u64>,
    revision: u64,
    dropped: u64,
}

impl Baseline {
    /// Nothing learned.
    pub const fn new() -> Self {
        Baseline {
            quarantine: VecDeque::new(),
            segments: VecDeque::new(),
            learned_since_ms: None,
            revision: 0,
            dropped: 0,
        }
    }

    /// Puts a closed epoch into quarantine. Requests about which a rule spoke are left out.
    pub fn admit(&mut self, epoch: &Epoch) {
        self.learned_since_ms.get_or_insert(epoch.start_ms);
        if self.quarantine.len() == QUARANTINE_EPOCHS_MAX {
            self.quarantine.pop_front();
            self.dropped += 1;
        }
        let records: Vec<Record> =
            thin(epoch.records(), QUARANTINE_EPOCH_RECORDS).filter(|r| !r.explained).collect();
        if !records.is_empty() {
            self.quarantine.push_back(Waiting { end_ms: epoch.end_ms, records });
        }
    }

    /// Learns what has been in quarantine long enough at `now_ms`.
    pub fn learn(&mut self, now_ms: u64, sources: &Sources, random: &mut Random) {
        let since_ms = self.learned_since_ms.unwrap_or(now_ms);
        let age_ms = now_ms.saturating_sub(since_ms);
        let quarantine_ms = (age_ms / 10).clamp(QUARANTINE_MS_MIN, QUARANTINE_MS_MAX);
        while let Some(waiting) =
            self.quarantine.pop_front_if(|waiting| waiting.end_ms + quarantine_ms <= now_ms)
        {
            self.revision += 1;
            for record in waiting.records {
                let engaged = sources.find(record.source).map(|s| s.engaged());
                self.segment_at(waiting.end_ms).offer_with(random, || Learned { record, engaged });
            }
        }
        self.forget(now_ms);
    }

    fn segment_at(&mut self, at_ms: u64) -> &mut Reservoir<Learned> {
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
            let sample = Reservoir::new(SEGMENT_RECORDS_MAX);
            self.segments.push_back(Segment { start_ms: at_ms, end_ms: at_ms, sample });
        }
        let last = self.segments.len() - 1;
        let segment = &mut self.segments[last];
        segment.end_ms = segment.end_ms.max(at_ms);
        &mut segment.sample
    }

    fn forget(&mut self, now_ms: u64) {
        while let Some(oldest) = self.segments.front() {
            let rest = self.records() - oldest.sample.items().len();
            let stale = oldest.end_ms + SPAN_MS < now_ms && rest >= RECORDS_WANTED;
            if !stale && oldest.end_ms + SPAN_MS_MAX >= now_ms {
                break;
            }
            self.segments.pop_front();
            self.revision += 1;
        }
    }

    /// Records learned.
    pub fn records(&self) -> usize {
        self.segments.iter().map(|s| s.sample.items().len()).sum()
    }

    /// The stretch of time the records come from, s.
    pub fn span_s(&self) -> u64 {
        match (self.segments.front(), self.segments.back()) {
            (Some(first), Some(last)) => (last.end_ms - first.start_ms) / 1000,
            _ => 0,
        }
    }

    /// Drops what is in quarantine from `since_ms` on: it belonged to an attack.
    pub fn discard_since(&mut self, since_ms: u64) {
        self.quarantine.retain(|waiting| waiting.end_ms < since_ms);
    }

    /// Epochs in quarantine, most that fit, and how many were dropped unlearned.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        (self.quarantine.len(), QUARANTINE_EPOCHS_MAX, self.dropped)
    }

    /// A copy to judge by, split by source into halves: one to choose signatures by, one to
    /// measure their collateral on. One source is never in both, or a half would know the other.
    pub fn freeze(&self, seed: u64) -> Frozen {
        let (mut mining, mut validation) = (Vec::new(), Vec::new());
        for learned in self.segments.iter().flat_map(|s| s.sample.items()) {
            let half = mix(learned.record.source ^ seed) & 1;
            if half == 0 { mining.push(*learned) } else { validation.push(*learned) }
        }
        thin_to(&mut mining, HALF_RECORDS_MAX);
        thin_to(&mut validation, HALF_RECORDS_MAX);
        Frozen::new(mining, validation, self.span_s(), self.revision)
    }
}

fn thin_to(records: &mut Vec<Learned>, wanted: usize) {
    let len = records.len();
    if len > wanted {
        *records = (0..wanted).map(|n| records[n * len / wanted]).collect();
    }
}

/// A baseline frozen at onset.
#[derive(Debug, Default)]
pub struct Frozen {
    /// The half signatures are chosen by.
    pub mining: Vec<Learned>,
    /// The half their collateral is measured on.
    pub validation: Vec<Learned>,
    /// Values met in either half: what the gateway calls known.
    pub known: KnownValues,
    /// Values met in the mining half only: what validation calls known, so that the rate of
    /// honest "unseen" requests is measured on requests that did not help to learn.
    pub known_to_mining: KnownValues,
    /// Stretch of time the records come from, s.
    pub span_s: u64,
    /// The baseline's revision.
    pub revision: u64,
    /// Per attribute, how often each value occurs in the mining half, and its only source if it
    /// has one.
    counts: Vec<ValueCounts>,
}

type ValueCounts = HashMap<ValueId, (u32, Option<u64>), BuildHasherDefault<IdentityHasher>>;

/// Attributes for which "never seen before" is a predicate.
pub const UNSEEN_ATTRS: [Attr; 9] = [
    Attr::Implementation,
    Attr::Stack,
    Attr::Accept,
    Attr::ClientHints,
    Attr::HeaderOrder,
    Attr::UserAgent,
    Attr::AgentShape,
    Attr::Language,
    Attr::QueryShape,
];

impl Frozen {
    fn new(mining: Vec<Learned>, validation: Vec<Learned>, span_s: u64, revision: u64) -> Self {
        let mut counts: Vec<ValueCounts> = vec![ValueCounts::default(); ATTR_COUNT];
        for learned in &mining {
            let source = learned.record.source;
            for (counts, value) in counts.iter_mut().zip(learned.record.attrs.0) {
                let (count, only) = counts.entry(value).or_insert((0, Some(source)));
                *count += 1;
                *only = only.filter(|s| *s == source);
            }
        }
        let (mut known, mut known_to_mining) = (KnownValues::none(), KnownValues::none());
        for attr in UNSEEN_ATTRS {
            let in_mining: KnownSet = counts[attr as usize].keys().copied().collect();
            let mut in_both = in_mining.clone();
            in_both.extend(validation.iter().map(|l| l.record.attrs[attr]));
            known.learn(attr, in_both);
            known_to_mining.learn(attr, in_mining);
        }
        Frozen { mining, validation, known, known_to_mining, span_s, revision, counts }
    }

    /// A past made by hand.
    #[cfg(test)]
    pub fn for_tests(mining: Vec<Learned>, validation: Vec<Learned>) -> Self {
        Frozen::new(mining, validation, 60, 1)
    }

    /// Records in both halves.
    pub fn records(&self) -> usize {
        self.mining.len() + self.validation.len()
    }

    /// Whether a mining record's value would be unseen had its own source not been learned: the
    /// leave-one-out estimate of how often honest requests bring something new.
    pub fn unseen_leaving_out(&self, record: &Record, attr: Attr) -> bool {
        let value = record.attrs[attr];
        let counted = self.counts.get(attr as usize).and_then(|c| c.get(&value));
        value.is_known() && counted.is_some_and(|(_, only)| only.is_some())
    }

    /// How often a value occurs in the mining half.
    pub fn count(&self, attr: Attr, value: ValueId) -> u32 {
        self.counts.get(attr as usize).and_then(|c| c.get(&value)).map_or(0, |(count, _)| *count)
    }

    /// Share of learned requests of `kind` whose source behaved like a browser, with how many were
    /// looked at. Restricted to those that `select` accepts.
    pub fn engaged_share(&self, kind: RequestKind, select: impl Fn(&Record) -> bool) -> (u64, u64) {
        let mut engaged = (0, 0);
        for learned in self.mining.iter().chain(&self.validation) {
            if let Some(yes) = learned.engaged
                && learned.record.kind == kind
                && select(&learned.record)
            {
                engaged.0 += u64::from(yes);
                engaged.1 += 1;
            }
        }
        engaged
    }
}

const _: () = assert!(UNSEEN_ATTRS.len() <= ATTR_COUNT);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recent::Recent;
    use floodwall_model::{Attrs, Handling, Observation, Source, Stage};

    fn observation(at_ms: u64, source: u32, agent: u64) -> Observation {
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(agent);
        Observation {
            at_ms,
            source: Source::new(std::net::Ipv4Addr::from(source).into()),
            attrs,
            kind: RequestKind::Page,
            handling: Handling::Passed,
            stage: Stage::Whole,
            outcome: None,
            handshake: true,
        }
    }

    /// Feeds ten requests a second for `seconds`, from `sources` sources in turn.
    fn fed(seconds: u64, sources: u32) -> (Baseline, u64) {
        let (mut baseline, mut recent) = (Baseline::new(), Recent::new());
        let (mut random, table) = (Random::new(1), Sources::new(64));
        for tick in 0..seconds * 10 {
            let now_ms = tick * 100;
            if let Some(closed) = recent.advance(now_ms) {
                baseline.admit(closed);
            }
            recent.offer(&observation(now_ms, tick as u32 % sources, 10), &mut random);
            baseline.learn(now_ms, &table, &mut random);
        }
        (baseline, seconds * 1000)
    }

    #[test]
    fn the_newest_part_stays_in_quarantine() {
        let (baseline, _) = fed(20, 50);
        assert!((160..=180).contains(&baseline.records()), "{}", baseline.records());
        let (baseline, _) = fed(1_200, 50);
        let learned_s = baseline.records() / 10;
        assert!((1_070..=1_090).contains(&learned_s), "{learned_s}");
    }

    #[test]
    fn what_belonged_to_an_attack_is_never_learned() {
        let (mut baseline, now_ms) = fed(20, 50);
        let before = baseline.records();
        baseline.discard_since(0);
        baseline.learn(now_ms + 600_000, &Sources::new(64), &mut Random::new(1));
        assert_eq!(baseline.records(), before);
    }

    #[test]
    fn an_hour_is_kept_and_older_records_only_while_few() {
        let (busy, _) = fed(2 * 3_600, 50);
        assert!((3_300..=3_700).contains(&busy.span_s()), "{}", busy.span_s());
    }

    #[test]
    fn a_source_is_in_one_half_only() {
        let (baseline, _) = fed(300, 40);
        let frozen = baseline.freeze(7);
        let sources = |half: &[Learned]| -> std::collections::HashSet<u64> {
            half.iter().map(|l| l.record.source).collect()
        };
        assert!(sources(&frozen.mining).is_disjoint(&sources(&frozen.validation)));
        assert!(!frozen.mining.is_empty() && !frozen.validation.is_empty());
    }

    #[test]
    fn unseen_is_measured_on_requests_that_did_not_help_to_learn() {
        let (baseline, _) = fed(300, 40);
        let frozen = baseline.freeze(7);
        assert!(frozen.known.is_unseen(Attr::UserAgent, ValueId(99)));
        assert!(!frozen.known.is_unseen(Attr::UserAgent, ValueId(10)));
        let first = frozen.mining[0].record;
        assert!(!frozen.unseen_leaving_out(&first, Attr::UserAgent), "many sources share it");
    }
}
