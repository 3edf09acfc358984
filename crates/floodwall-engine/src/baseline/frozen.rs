//! The past as it was at onset: what signatures are chosen by and what they are measured on.
//!
//! Every part is split by source into a half for mining and a half for validation. One source is
//! never in both, or a half would know the other. It must never change while an alarm is open.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use floodwall_model::signature::IdentityHasher;
use floodwall_model::{
    ATTR_COUNT, Attr, Collateral, KnownSet, KnownValues, RequestKind, Signature, ValueId,
};

use super::networks::SeenNetworks;
use super::ripening::Ripening;
use super::verified::VERIFIED_WEIGHT;
use crate::random::mix;
use crate::record::Record;

/// Records in each half.
const HALF_RECORDS_MAX: usize = 32_768;
/// A further set is heard from this many records of its validation half on.
const HEARD_RECORDS_MIN: u64 = 100;

/// One learned record. Its source is a pseudonym.
#[derive(Copy, Clone, Debug)]
pub struct Learned {
    /// The request.
    pub record: Record,
    /// Whether its source behaved like a browser; `None` if it was forgotten meanwhile.
    pub engaged: Option<bool>,
}

/// Records split by source.
#[derive(Debug, Default)]
pub struct Halves {
    mining: Vec<Learned>,
    validation: Vec<Learned>,
}

impl Halves {
    /// Splits `learned`; the same seed splits the same sources alike.
    pub fn of<'a>(learned: impl Iterator<Item = &'a Learned>, seed: u64) -> Self {
        let mut halves = Halves::default();
        for one in learned {
            let half = mix(one.record.source ^ seed) & 1;
            if half == 0 { &mut halves.mining } else { &mut halves.validation }.push(*one);
        }
        thin_to(&mut halves.mining, HALF_RECORDS_MAX);
        thin_to(&mut halves.validation, HALF_RECORDS_MAX);
        halves
    }
}

fn thin_to(records: &mut Vec<Learned>, wanted: usize) {
    let len = records.len();
    if len > wanted {
        *records = (0..wanted).map(|n| records[n * len / wanted]).collect();
    }
}

/// What a past is frozen from.
#[derive(Debug)]
pub struct Parts<'a> {
    /// B2: the last hour.
    pub last_hour: Halves,
    /// B1: the same hour of earlier weeks.
    pub same_hour: Halves,
    /// B3: visitors who proved themselves.
    pub verified: Halves,
    /// What counts as known of what was learned.
    pub ripening: &'a Ripening,
    /// Networks of visitors.
    pub networks: SeenNetworks,
    /// Stretch of time the last hour's records come from, s.
    pub span_s: u64,
    /// The baseline's revision.
    pub revision: u64,
}

/// A baseline frozen at onset.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    /// The half signatures are chosen by.
    pub mining: Vec<Learned>,
    /// The half their collateral is measured on.
    pub validation: Vec<Learned>,
    /// Values met in either half of any set: what the gateway calls known.
    pub known: KnownValues,
    /// Values met in the mining halves only: what validation calls known, so that the rate of
    /// honest "unseen" requests is measured on requests that did not help to learn.
    pub known_to_mining: KnownValues,
    /// Stretch of time the records come from, s.
    pub span_s: u64,
    /// The baseline's revision.
    pub revision: u64,
    same_hour: Vec<Learned>,
    verified: Vec<Learned>,
    networks: SeenNetworks,
    /// Per attribute, how each value was met in the mining half.
    counts: Vec<ValueCounts>,
    /// Records of the mining half that no page had asked for.
    unprompted: usize,
    /// The same of both halves.
    unprompted_in_both: usize,
    /// Per attribute in [`UNSEEN_ATTRS`], what would be known without the mining half of the last
    /// hour.
    known_elsewhere: Vec<KnownSet>,
}

type ValueCounts = HashMap<ValueId, Met, BuildHasherDefault<IdentityHasher>>;

/// How a value was met.
#[derive(Copy, Clone, Debug)]
struct Met {
    /// Its only source, if it has one.
    only: Option<u64>,
    /// Requests with it that no page had asked for.
    unprompted: u32,
}

/// Attributes for which "never seen before" is a predicate.
pub const UNSEEN_ATTRS: [Attr; 10] = [
    Attr::Implementation,
    Attr::Stack,
    Attr::Accept,
    Attr::ClientHints,
    Attr::HeaderOrder,
    Attr::UserAgent,
    Attr::AgentShape,
    Attr::Language,
    Attr::QueryShape,
    Attr::PathTemplate,
];

impl Frozen {
    /// Freezes `parts`.
    pub fn new(parts: Parts<'_>) -> Self {
        let Halves { mining, validation } = parts.last_hour;
        let mut counts: Vec<ValueCounts> = vec![ValueCounts::default(); ATTR_COUNT];
        for learned in &mining {
            let source = learned.record.source;
            for (counts, value) in counts.iter_mut().zip(learned.record.attrs.0) {
                let met = counts.entry(value).or_insert(Met { only: Some(source), unprompted: 0 });
                met.only = met.only.filter(|s| *s == source);
                met.unprompted += u32::from(!learned.record.prompted);
            }
        }
        let by_itself = |half: &[Learned]| half.iter().filter(|l| !l.record.prompted).count();
        let unprompted = by_itself(&mining);
        let unprompted_in_both = unprompted + by_itself(&validation);
        let (mut known, mut known_to_mining) = (KnownValues::none(), KnownValues::none());
        let mut known_elsewhere = Vec::with_capacity(UNSEEN_ATTRS.len());
        for attr in UNSEEN_ATTRS {
            let ripe = |value: &ValueId| parts.ripening.is_known(attr, *value);
            let of = |half: &[Learned]| -> KnownSet {
                half.iter().map(|l| l.record.attrs[attr]).filter(ripe).collect()
            };
            let mut elsewhere = of(&parts.same_hour.mining);
            elsewhere.extend(of(&parts.verified.mining));
            let mut in_mining: KnownSet =
                counts[attr as usize].keys().copied().filter(ripe).collect();
            in_mining.extend(&elsewhere);
            let mut in_both = in_mining.clone();
            for half in [&validation, &parts.same_hour.validation, &parts.verified.validation] {
                in_both.extend(of(half));
            }
            known.learn(attr, in_both);
            known_to_mining.learn(attr, in_mining);
            known_elsewhere.push(elsewhere);
        }
        Frozen {
            mining,
            validation,
            known,
            known_to_mining,
            span_s: parts.span_s,
            revision: parts.revision,
            same_hour: parts.same_hour.validation,
            verified: parts.verified.validation,
            networks: parts.networks,
            counts,
            unprompted,
            unprompted_in_both,
            known_elsewhere,
        }
    }

    /// The same past, of which a rise is weighed against those records only that `weighs` accepts.
    /// Collateral is measured on all of them as before.
    pub fn weighed(&self, weighs: impl Fn(&Record) -> bool) -> Frozen {
        let mut weighed = self.clone();
        weighed.counts.iter_mut().flat_map(|c| c.values_mut()).for_each(|met| met.unprompted = 0);
        for half in [&mut weighed.mining, &mut weighed.validation] {
            for learned in half.iter_mut().filter(|l| !weighs(&l.record)) {
                learned.record.prompted = true;
            }
        }
        let by_itself = |half: &[Learned]| half.iter().filter(|l| !l.record.prompted).count();
        weighed.unprompted = by_itself(&weighed.mining);
        weighed.unprompted_in_both = weighed.unprompted + by_itself(&weighed.validation);
        for learned in weighed.mining.iter().filter(|l| !l.record.prompted) {
            for (counts, value) in weighed.counts.iter_mut().zip(learned.record.attrs.0) {
                counts.entry(value).and_modify(|met| met.unprompted += 1);
            }
        }
        weighed
    }

    /// A past made by hand.
    #[cfg(test)]
    pub fn for_tests(mining: Vec<Learned>, validation: Vec<Learned>) -> Self {
        Frozen::with_sets(Halves { mining, validation }, Halves::default(), Halves::default())
    }

    /// A past made by hand, of all three sets.
    #[cfg(test)]
    pub fn with_sets(last_hour: Halves, same_hour: Halves, verified: Halves) -> Self {
        Frozen::new(Parts {
            last_hour,
            same_hour,
            verified,
            ripening: &Ripening::of_everything(),
            networks: SeenNetworks::default(),
            span_s: 60,
            revision: 1,
        })
    }

    /// Records in both halves.
    pub fn records(&self) -> usize {
        self.mining.len() + self.validation.len()
    }

    /// Whether a mining record's value would be unseen had its own source not been learned: the
    /// leave-one-out estimate of how often honest requests bring something new.
    pub fn unseen_leaving_out(&self, record: &Record, attr: Attr) -> bool {
        let value = record.attrs[attr];
        if !value.is_known() {
            return false;
        }
        // Learned and not ripe: it is new, however often it came.
        if self.known_to_mining.is_unseen(attr, value) {
            return true;
        }
        let elsewhere = UNSEEN_ATTRS.iter().position(|a| *a == attr);
        if elsewhere
            .is_some_and(|n| self.known_elsewhere.get(n).is_some_and(|set| set.contains(&value)))
        {
            return false;
        }
        let counted = self.counts.get(attr as usize).and_then(|c| c.get(&value));
        counted.is_some_and(|met| met.only.is_some())
    }

    /// How often a value occurs in the mining half, in requests that no page had asked for.
    pub fn count(&self, attr: Attr, value: ValueId) -> u32 {
        self.counts.get(attr as usize).and_then(|c| c.get(&value)).map_or(0, |met| met.unprompted)
    }

    /// Records of the mining half that no page had asked for.
    pub const fn unprompted(&self) -> usize {
        self.unprompted
    }

    /// Records of both halves that no page had asked for.
    pub const fn unprompted_in_both(&self) -> usize {
        self.unprompted_in_both
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

    /// Whether the same hour of earlier weeks and the verified visitors bear with `signature` too:
    /// in each of them that has records enough to be heard, not one hit or a share of at most
    /// `share_max`. What the last hour proves within its bounds, these can only refute: they are
    /// too small to prove.
    pub fn is_spared_elsewhere(&self, signature: &Signature, share_max: f64) -> bool {
        let verified = self.hits(signature, &self.verified);
        let weighed = Collateral { hits: verified.hits * VERIFIED_WEIGHT, ..verified };
        [self.hits(signature, &self.same_hour), weighed]
            .iter()
            .all(|c| c.records < HEARD_RECORDS_MIN || c.hits == 0 || c.share() <= share_max)
    }

    fn hits(&self, signature: &Signature, half: &[Learned]) -> Collateral {
        let matches = |l: &&Learned| signature.matches(&l.record.attrs, &self.known_to_mining);
        let hits = half.iter().filter(matches).count() as u64;
        Collateral { hits, records: half.len() as u64 }
    }

    /// Networks in which somebody behaved like a visitor within the last seven days.
    pub const fn networks(&self) -> &SeenNetworks {
        &self.networks
    }
}

const _: () = assert!(UNSEEN_ATTRS.len() <= ATTR_COUNT);

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{Attrs, Predicate};

    fn learned(agent: u64) -> Learned {
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(agent);
        let record = Record {
            at_ms: 0,
            source: agent,
            attrs,
            kind: RequestKind::Page,
            explained: false,
            passed: true,
            prompted: false,
        };
        Learned { record, engaged: Some(true) }
    }

    /// A validation half of `all` records, `hits` of them from agent 99.
    fn half(all: usize, hits: usize) -> Halves {
        let validation = (0..all).map(|n| learned(if n < hits { 99 } else { 10 })).collect();
        Halves { mining: vec![learned(10)], validation }
    }

    #[test]
    fn each_set_with_records_enough_can_refuse_a_signature() {
        let check = |same_hour: Halves, verified: Halves, expected: bool, what: &str| {
            let past = Frozen::with_sets(half(5_000, 0), same_hour, verified);
            let signature = Signature::new(vec![Predicate::Is(Attr::UserAgent, ValueId(99))]);
            assert_eq!(past.is_spared_elsewhere(&signature, 0.001), expected, "{what}");
        };
        check(half(0, 0), half(0, 0), true, "sets without records say nothing");
        check(half(2_000, 0), half(2_000, 0), true, "no hit");
        check(half(99, 99), half(0, 0), true, "too few to be heard");
        check(half(2_000, 2), half(0, 0), true, "0.1 % of the same hour");
        check(half(2_000, 3), half(0, 0), false, "more than 0.1 % of the same hour");
        check(half(0, 0), half(2_000, 1), false, "one of 2,000 verified counts three times");
        check(half(0, 0), half(3_000, 1), true, "one of 3,000 verified");
        check(half(200, 1), half(0, 0), false, "one of few");
    }

    #[test]
    fn a_value_met_in_earlier_weeks_is_known_though_the_last_hour_had_none_of_it() {
        let same_hour = Halves { mining: vec![learned(77)], validation: vec![] };
        let past = Frozen::with_sets(half(100, 0), same_hour, Halves::default());
        assert!(!past.known.is_unseen(Attr::UserAgent, ValueId(77)));
        assert!(!past.unseen_leaving_out(&learned(77).record, Attr::UserAgent));
        assert!(past.known.is_unseen(Attr::UserAgent, ValueId(78)));
    }
}
