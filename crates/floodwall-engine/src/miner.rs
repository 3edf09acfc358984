//! Finds the sentence that describes the rise: signature mining with a collateral bound.
//!
//! Beam search over conjunctions (design/detection.md § 3.5), on a uniform sample of now against
//! the frozen baseline. It proposes; whether a proposal may block anybody is decided by evidence
//! and by the plan's check. When nothing describes the rise without hitting honest traffic, it
//! returns nothing, and that is an answer.

use std::collections::HashMap;
use std::sync::Arc;

use floodwall_model::limits::PREDICATES_MAX;
use floodwall_model::plan::SMALL_BASELINE_UNSEEN_RECORDS_MIN;
use floodwall_model::{Attr, Claim, Collateral, Predicate, Signature, ValueId};

use crate::ablation::{Ablation, DERIVED};
use crate::baseline::{Frozen, Learned, UNSEEN_ATTRS};
use crate::beam::{BASELINE_SHARE_MIN, Beam, Judge, LITERALS_MAX, Literal, Scales};
use crate::bits::Bits;
use crate::recent::Sample;
use crate::record::Record;

/// Values tried per attribute.
const VALUES_PER_ATTR: usize = 6;
/// A value must be this much more frequent now than before to be tried.
const LIFT_MIN: f64 = 1.15;
/// A conjunction explains at least this share of what is unexplained.
const RESIDUAL_SHARE_MIN: f64 = 0.05;
/// Rate below which nothing is worth a rule, requests/s.
const EXCESS_RPS_MIN: f64 = 2.0;
/// A rise of the total below this many standard deviations is not looked into. Fewer than for a
/// conjunction: one tool's requests stand out where the total does not.
const RISE_SIGMA_MIN: f64 = 2.0;
/// In a past too small to prove the cap, a description without a hit may still be of visitors who
/// did not happen to come: a common browser without cookie and referer. Its parts, taken for
/// independent of each other, may be expected in at most this share of requests.
const BY_CHANCE_MAX: f64 = floodwall_model::plan::BLOCK_COLLATERAL_MAX;
/// Requests of visitors who are here now that a signature must hit before it is refuted by them, and
/// the share of theirs that it may hit: half of the cap, because those who have not shown yet that
/// they are visitors are hit as well.
const PRESENT_HITS_MIN: u64 = 2;
const PRESENT_SHARE_MAX: f64 = floodwall_model::plan::BLOCK_COLLATERAL_MAX / 2.0;
/// Share of visitors that a browser which looks like one is presumed to have, whatever a small past
/// shows: in a past of a hundred visits, one in fifty is missing one time out of eight.
const BROWSER_PRIOR: f64 = 0.02;
/// Attributes mined. Host is left out until several sites share a gateway's baseline.
const MINED: [Attr; 18] = [
    Attr::Method,
    Attr::PathTemplate,
    Attr::QueryShape,
    Attr::HttpVersion,
    Attr::HeaderOrder,
    Attr::UserAgent,
    Attr::AgentShape,
    Attr::Language,
    Attr::CookieState,
    Attr::RefererClass,
    Attr::Accept,
    Attr::ClientHints,
    Attr::Claim,
    Attr::Stack,
    Attr::Implementation,
    Attr::NetworkClass,
    Attr::Network,
    Attr::Country,
];

/// Attributes that narrow a signature down to what every attack request has in common, so that it
/// spares visitors who differ: those with a cookie, those who came from a page, those who use
/// another release of the attacker's software.
const TIGHTENING: [Attr; 5] =
    [Attr::UserAgent, Attr::CookieState, Attr::RefererClass, Attr::Language, Attr::Method];

/// What a signature is mined for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Tier {
    /// To refuse everything that matches: needs an implementation predicate and next to no match
    /// in the past.
    Block,
    /// To limit the rate of each source inside the match: may match honest traffic.
    Throttle,
}

impl Tier {
    fn collateral_max(self) -> f64 {
        match self {
            Tier::Block => floodwall_model::plan::BLOCK_COLLATERAL_MAX,
            Tier::Throttle => 1.0,
        }
    }

    fn admits(self, predicates: &[Predicate]) -> bool {
        match self {
            Tier::Block => predicates.iter().any(|p| p.names_software()),
            Tier::Throttle => true,
        }
    }
}

/// A signature that describes part of the rise.
#[derive(Clone, Debug)]
pub struct Mined {
    /// The signature.
    pub signature: Signature,
    /// Requests/s now that match.
    pub matched_rps: f64,
    /// Matches in the validation half of the past, wherever they came from.
    pub projected: Collateral,
}

/// The rise to be explained.
#[derive(Debug)]
pub struct Rise<'a> {
    /// What arrives now and no rule in force explains.
    pub now: &'a Sample,
    /// The rate of requests that no page asked for, expected without the rise, requests/s.
    pub expected_rps: f64,
    /// The past.
    pub past: &'a Frozen,
    /// Attributes whose values the signature must not rest on; "never seen before" it may say of
    /// them. For backups, which shall hold when these change.
    pub without: &'a [Attr],
    /// Requests of visitors who are here now: of a crowd that the past does not know.
    pub present: &'a [Record],
    /// What a measurement leaves out.
    pub ablation: Option<Ablation>,
}

impl Rise<'_> {
    fn now_weight(&self) -> f64 {
        self.now.weight_rps()
    }

    fn past_weight(&self) -> f64 {
        self.expected_rps / self.past.unprompted().max(1) as f64
    }

    /// Rate above the expectation, requests/s.
    pub fn excess_rps(&self) -> f64 {
        self.now.rate_rps() - self.expected_rps
    }
}

/// Sets of past records already looked up. The same values rise again and again while an alarm is
/// open, and looking through the past is most of what a search costs.
#[derive(Debug, Default)]
pub struct Memo {
    past: HashMap<Predicate, Arc<Bits>>,
}

/// Sets remembered. When full: forgotten all at once.
const MEMO_MAX: usize = 512;

impl Memo {
    fn past(&mut self, predicate: Predicate, find: impl FnOnce() -> Bits) -> Arc<Bits> {
        if self.past.len() >= MEMO_MAX && !self.past.contains_key(&predicate) {
            self.past.clear();
        }
        Arc::clone(self.past.entry(predicate).or_insert_with(|| Arc::new(find())))
    }
}

/// Mines at most `wanted` signatures, the one that explains most first. `memo` belongs to the past
/// of `rise` and is used again in the next search against it.
pub fn mine(rise: &Rise<'_>, tier: Tier, wanted: usize, memo: &mut Memo) -> Vec<Mined> {
    let total_excess = rise.excess_rps();
    // Chance alone moves a count by its root; below that there is nothing to describe.
    let sd = (rise.now.count as f64).sqrt() * 1000.0 / rise.now.span_ms.max(1) as f64;
    let least = EXCESS_RPS_MIN.max(RISE_SIGMA_MIN * sd).max(BASELINE_SHARE_MIN * rise.expected_rps);
    if rise.now.records.is_empty() || total_excess <= least {
        return Vec::new();
    }
    let literals = literals(rise, memo);
    let mut now_left = Bits::select(&rise.now.records, |r| !r.explained);
    let past = Bits::select(&rise.past.mining, |l| !l.record.prompted);
    let mut past_left = Bits::select(&rise.past.mining, |_| true);
    let mut found = Vec::new();
    while found.len() < wanted {
        let residual = now_left.count() as f64 * rise.now_weight()
            - past_left.count_and(&past) as f64 * rise.past_weight();
        let negligible = (0.03 * total_excess).max(BASELINE_SHARE_MIN * rise.expected_rps);
        if residual <= negligible {
            break;
        }
        let scales = Scales {
            now_weight: rise.now_weight(),
            past_weight: rise.past_weight(),
            past_records: rise.past.mining.len() as u64,
            expected: rise.expected_rps,
            rise: total_excess,
            residual,
            excess_min: EXCESS_RPS_MIN,
        };
        let beam = Beam { literals: &literals, judge: &Past { rise, tier }, past: &past, scales };
        let Some(best) = beam.best(&now_left, &past_left) else { break };
        let signature = Signature::new(best.predicates);
        now_left = now_left.and_not(&best.now);
        past_left = past_left.and_not(&best.past);
        found.push(Mined {
            projected: validate(&anywhere(signature.predicates()), rise.past),
            matched_rps: best.now.count() as f64 * rise.now_weight(),
            signature,
        });
    }
    found
}

/// Matches of `signature` in the half of the past that it was not chosen by.
pub fn validate(signature: &Signature, past: &Frozen) -> Collateral {
    let hits = past
        .validation
        .iter()
        .filter(|l| signature.matches(&l.record.attrs, &past.known_to_mining))
        .count();
    Collateral { hits: hits as u64, records: past.validation.len() as u64 }
}

/// The signature without what it says of places. A rule must be right without that: "everybody with
/// this browser" does not become right by "from this country", it only becomes unjust to fewer.
pub fn anywhere(predicates: &[Predicate]) -> Signature {
    Signature::new(predicates.iter().copied().filter(|p| !p.attr().is_place()).collect())
}

/// Whether those who are here now and behave like visitors would be spared. They can only refute: a
/// crowd is not in the past, and what "was never seen before" it is, too.
fn spares(signature: &Signature, rise: &Rise<'_>) -> bool {
    let hit = |r: &&Record| signature.matches(&r.attrs, &rise.past.known);
    let hits = rise.present.iter().filter(hit).count() as u64;
    let present = Collateral { hits, records: rise.present.len() as u64 };
    hits < PRESENT_HITS_MIN || present.share() <= PRESENT_SHARE_MAX
}

/// The values of each attribute that rose most, and "unseen" where that rose.
fn literals(rise: &Rise<'_>, memo: &mut Memo) -> Vec<Literal<Predicate>> {
    let mut all = Vec::new();
    let derived = rise.ablation != Some(Ablation::NoDerived);
    let may_rest_on =
        |attr: &Attr| !rise.without.contains(attr) && (derived || !DERIVED.contains(attr));
    for attr in MINED.into_iter().filter(may_rest_on) {
        for value in risen_values(rise, attr) {
            let is = |r: &Record| r.attrs[attr] == value;
            let predicate = Predicate::Is(attr, value);
            all.push(Literal {
                predicate,
                now: Bits::select(&rise.now.records, is),
                past: memo.past(predicate, || Bits::select(&rise.past.mining, |l| is(&l.record))),
                prior: prior_share(predicate, rise),
            });
        }
    }
    for attr in UNSEEN_ATTRS.into_iter().filter(|_| derived) {
        let unseen = |r: &Record| rise.past.known.is_unseen(attr, r.attrs[attr]);
        let new_in_past = |l: &Learned| rise.past.unseen_leaving_out(&l.record, attr);
        let predicate = Predicate::Unseen(attr);
        all.push(Literal {
            predicate,
            now: Bits::select(&rise.now.records, unseen),
            past: memo.past(predicate, || Bits::select(&rise.past.mining, new_in_past)),
            prior: prior_share(predicate, rise),
        });
    }
    debug_assert!(all.len() <= LITERALS_MAX);
    all
}

/// Share of visitors presumed to use a client although the past may not show it: those that wear a
/// browser's headers throughout are presumed to be a browser that some people use.
fn prior_share(predicate: Predicate, rise: &Rise<'_>) -> f64 {
    if !predicate.names_software() {
        return 0.0;
    }
    let (mut dressed, mut claims) = (0u32, 0u32);
    for record in rise.now.records.iter().filter(|r| predicate.matches(&r.attrs, &rise.past.known))
    {
        let claim = record.attrs[Attr::Claim];
        claims += u32::from(claim.is_known());
        dressed += u32::from(claim == Claim::Browser.id());
    }
    if dressed * 2 > claims { BROWSER_PRIOR } else { 0.0 }
}

fn risen_values(rise: &Rise<'_>, attr: Attr) -> Vec<ValueId> {
    let mut now: HashMap<ValueId, u32> = HashMap::new();
    // What nobody can see is not counted: where no database is read, places cost a glance.
    let seen = |r: &&Record| !r.explained && r.attrs[attr].is_known();
    for record in rise.now.records.iter().filter(seen) {
        *now.entry(record.attrs[attr]).or_default() += 1;
    }
    let (now_len, past_len) = (rise.now.records.len() as f64, rise.past.unprompted().max(1) as f64);
    let mut risen: Vec<(f64, ValueId)> = now
        .into_iter()
        .filter_map(|(value, count)| {
            let before = f64::from(rise.past.count(attr, value));
            let excess = f64::from(count) * rise.now_weight() - before * rise.past_weight();
            let lift = (f64::from(count) / now_len) / (before / past_len).max(1e-9);
            let substantial = excess > RESIDUAL_SHARE_MIN * rise.excess_rps();
            (lift > LIFT_MIN && substantial).then_some((excess, value))
        })
        .collect();
    risen.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    risen.truncate(VALUES_PER_ATTR);
    risen.into_iter().map(|(_, value)| value).collect()
}

/// What the past allows to be proposed for a tier.
struct Past<'a> {
    rise: &'a Rise<'a>,
    tier: Tier,
}

impl Judge<Predicate> for Past<'_> {
    fn group(&self, predicate: &Predicate) -> usize {
        predicate.attr() as usize
    }

    fn admits(&self, predicates: &[Predicate]) -> bool {
        self.tier.admits(predicates)
    }

    /// Below the cap, or not one hit among as many records as such predicates need, and none to be
    /// expected by chance.
    fn bounded(&self, predicates: &[Predicate], collateral: Collateral, by_chance: f64) -> bool {
        let exact = predicates.iter().all(|p| matches!(p, Predicate::Is(..)));
        let clean = collateral.hits == 0
            && by_chance <= BY_CHANCE_MAX
            && (exact || collateral.records >= SMALL_BASELINE_UNSEEN_RECORDS_MIN);
        clean || collateral.upper_bound() <= self.tier.collateral_max()
    }

    fn holds_up(&self, predicates: &[Predicate]) -> bool {
        let signature = anywhere(predicates);
        self.tier == Tier::Throttle
            || (self.bounded(predicates, validate(&signature, self.rise.past), 0.0)
                && self.rise.past.is_spared_elsewhere(&signature, self.tier.collateral_max())
                && spares(&signature, self.rise))
    }

    fn telling(&self, predicate: &Predicate) -> bool {
        self.tier == Tier::Block
            && predicate.names_software()
            && self.rise.ablation != Some(Ablation::NoGate)
    }

    fn tightens(&self, predicate: &Predicate) -> bool {
        matches!(predicate, Predicate::Is(..))
            && (TIGHTENING.contains(&predicate.attr()) || self.only_narrows(predicate))
    }

    fn only_narrows(&self, predicate: &Predicate) -> bool {
        predicate.attr().is_place()
    }

    fn predicates_max(&self) -> usize {
        PREDICATES_MAX
    }
}

#[cfg(test)]
mod tests;
