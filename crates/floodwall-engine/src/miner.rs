//! Finds the sentence that describes the rise: signature mining with a collateral bound.
//!
//! Beam search over conjunctions (design/detection.md § 3.5), on a uniform sample of now against
//! the frozen baseline. It proposes; whether a proposal may block anybody is decided by evidence
//! and by the plan's check. When nothing describes the rise without hitting honest traffic, it
//! returns nothing, and that is an answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use floodwall_model::limits::PREDICATES_MAX;
use floodwall_model::plan::SMALL_BASELINE_UNSEEN_RECORDS_MIN;
use floodwall_model::{Attr, Collateral, Predicate, Signature, ValueId};

use crate::baseline::{Frozen, Learned, UNSEEN_ATTRS};
use crate::bits::Bits;
use crate::recent::Sample;
use crate::record::Record;

/// Values tried per attribute.
const VALUES_PER_ATTR: usize = 6;
/// Conjunctions kept per depth.
const BEAM_WIDTH: usize = 32;
/// Deepest conjunction searched; tightening may add up to [`PREDICATES_MAX`].
const DEPTH_MAX: usize = 4;
/// Acceptable conjunctions kept for the case that the validation half refutes the best.
const ACCEPTABLE_MAX: usize = 8;
/// A value must be this much more frequent now than before to be tried.
const LIFT_MIN: f64 = 1.15;
/// A conjunction must explain an excess of this many standard deviations…
const SIGMA_MIN: f64 = 5.0;
/// … this share of what is unexplained, …
const RESIDUAL_SHARE_MIN: f64 = 0.05;
/// … this share of the expected rate …
const BASELINE_SHARE_MIN: f64 = 0.03;
/// … and this rate, requests/s. Below, rules are junk.
const EXCESS_RPS_MIN: f64 = 2.0;
/// A rise of the total below this many standard deviations is not looked into. Fewer than for a
/// conjunction: one tool's requests stand out where the total does not.
const RISE_SIGMA_MIN: f64 = 2.0;
/// Tightening keeps at least this share of what a signature matched.
const TIGHTEN_KEEP: f64 = 0.995;

/// Attributes mined. Host is left out until several sites share a gateway's baseline, the network
/// because sources are none of a signature's business.
const MINED: [Attr; 11] = [
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
    Attr::Implementation,
];

/// Attributes that narrow a signature down to what every attack request has in common, so that it
/// spares visitors who differ: those with a cookie, those who came from a page.
const TIGHTENING: [Attr; 4] = [Attr::CookieState, Attr::RefererClass, Attr::Language, Attr::Method];

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
            Tier::Block => predicates.iter().any(|p| p.attr().is_implementation()),
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
    /// Matches in the validation half of the past.
    pub projected: Collateral,
}

/// The rise to be explained.
#[derive(Debug)]
pub struct Rise<'a> {
    /// What arrives now and no rule in force explains.
    pub now: &'a Sample,
    /// The rate expected without the rise, requests/s.
    pub expected_rps: f64,
    /// The past.
    pub past: &'a Frozen,
}

impl Rise<'_> {
    fn now_weight(&self) -> f64 {
        self.now.weight_rps()
    }

    fn past_weight(&self) -> f64 {
        let records = self.past.mining.len().max(1);
        self.expected_rps / records as f64
    }

    /// Rate above the expectation, requests/s.
    pub fn excess_rps(&self) -> f64 {
        self.now.rate_rps() - self.expected_rps
    }
}

struct Literal {
    predicate: Predicate,
    now: Bits,
    past: Arc<Bits>,
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

#[derive(Clone)]
struct Node {
    members: u128,
    depth: usize,
    now: Bits,
    past: Bits,
    excess_rps: f64,
    purity: f64,
    hits: u64,
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
    let mut past_left = Bits::select(&rise.past.mining, |_| true);
    let mut found = Vec::new();
    while found.len() < wanted {
        let residual = now_left.count() as f64 * rise.now_weight()
            - past_left.count() as f64 * rise.past_weight();
        let negligible = (0.03 * total_excess).max(BASELINE_SHARE_MIN * rise.expected_rps);
        if residual <= negligible {
            break;
        }
        let search = Search { rise, tier, literals: &literals, residual };
        let Some(best) = search.best(&now_left, &past_left) else { break };
        let signature = search.signature(&best);
        now_left = now_left.and_not(&best.now);
        past_left = past_left.and_not(&best.past);
        found.push(Mined {
            projected: validate(&signature, rise.past),
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

fn members(set: u128) -> impl Iterator<Item = usize> {
    (0..128usize).filter(move |index| set & (1 << index) != 0)
}

/// The values of each attribute that rose most, and "unseen" where that rose.
fn literals(rise: &Rise<'_>, memo: &mut Memo) -> Vec<Literal> {
    let mut all = Vec::new();
    for attr in MINED {
        for value in risen_values(rise, attr) {
            let is = |r: &Record| r.attrs[attr] == value;
            let predicate = Predicate::Is(attr, value);
            all.push(Literal {
                predicate,
                now: Bits::select(&rise.now.records, is),
                past: memo.past(predicate, || Bits::select(&rise.past.mining, |l| is(&l.record))),
            });
        }
    }
    for attr in UNSEEN_ATTRS {
        let unseen = |r: &Record| rise.past.known.is_unseen(attr, r.attrs[attr]);
        let new_in_past = |l: &Learned| rise.past.unseen_leaving_out(&l.record, attr);
        let predicate = Predicate::Unseen(attr);
        all.push(Literal {
            predicate,
            now: Bits::select(&rise.now.records, unseen),
            past: memo.past(predicate, || Bits::select(&rise.past.mining, new_in_past)),
        });
    }
    debug_assert!(all.len() <= 128);
    all
}

fn risen_values(rise: &Rise<'_>, attr: Attr) -> Vec<ValueId> {
    let mut now: HashMap<ValueId, u32> = HashMap::new();
    for record in rise.now.records.iter().filter(|r| !r.explained) {
        *now.entry(record.attrs[attr]).or_default() += 1;
    }
    let (now_len, past_len) = (rise.now.records.len() as f64, rise.past.mining.len().max(1) as f64);
    let mut risen: Vec<(f64, ValueId)> = now
        .into_iter()
        .filter(|(value, _)| value.is_known())
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

struct Search<'a> {
    rise: &'a Rise<'a>,
    tier: Tier,
    literals: &'a [Literal],
    residual: f64,
}

impl Search<'_> {
    fn best(&self, now_left: &Bits, past_left: &Bits) -> Option<Node> {
        let root = Node {
            members: 0,
            depth: 0,
            now: now_left.clone(),
            past: past_left.clone(),
            excess_rps: 0.0,
            purity: 0.0,
            hits: 0,
        };
        let (mut beam, mut seen) = (vec![root], HashSet::new());
        let mut acceptable: Vec<(f64, Node)> = Vec::new();
        for _ in 0..DEPTH_MAX {
            let mut next: Vec<Node> = Vec::new();
            for node in &beam {
                for index in 0..self.literals.len() {
                    let members = node.members | 1 << index;
                    if self.repeats_attr(node, index) || !seen.insert(members) {
                        continue;
                    }
                    next.extend(self.extend(node, index, members));
                }
            }
            let scored =
                next.iter().filter(|n| self.acceptable(n)).map(|n| (self.score(n), n.clone()));
            acceptable.extend(scored);
            acceptable.sort_by(|a, b| b.0.total_cmp(&a.0));
            acceptable.truncate(ACCEPTABLE_MAX);
            next.sort_by(|a, b| self.rank(b).total_cmp(&self.rank(a)));
            next.truncate(BEAM_WIDTH);
            beam = next;
        }
        acceptable.into_iter().find_map(|(_, node)| self.validated(self.tighten(node)))
    }

    /// The node if the half of the past it was not chosen by bears it out; otherwise the best
    /// extension that spares the visitors found there.
    fn validated(&self, node: Node) -> Option<Node> {
        if self.tier == Tier::Throttle || self.holds_up(&node) {
            return Some(node);
        }
        if node.depth >= PREDICATES_MAX {
            return None;
        }
        let mut extensions: Vec<Node> = (0..self.literals.len())
            .filter(|index| !self.repeats_attr(&node, *index))
            .filter_map(|index| self.extend(&node, index, node.members | 1 << index))
            .filter(|extended| self.acceptable(extended))
            .collect();
        extensions.sort_by(|a, b| self.score(b).total_cmp(&self.score(a)));
        extensions.into_iter().find(|extended| self.holds_up(extended))
    }

    fn holds_up(&self, node: &Node) -> bool {
        let signature = self.signature(node);
        self.bounded(validate(&signature, self.rise.past), signature.predicates())
    }

    fn signature(&self, node: &Node) -> Signature {
        Signature::new(members(node.members).map(|m| self.literals[m].predicate).collect())
    }

    /// Below the cap, or not one hit among as many records as such predicates need.
    fn bounded(&self, collateral: Collateral, predicates: &[Predicate]) -> bool {
        let exact = predicates.iter().all(|p| matches!(p, Predicate::Is(..)));
        let clean = collateral.hits == 0
            && (exact || collateral.records >= SMALL_BASELINE_UNSEEN_RECORDS_MIN);
        clean || collateral.upper_bound() <= self.tier.collateral_max()
    }

    /// The node with one more literal, if it still explains something substantial.
    fn extend(&self, node: &Node, index: usize, members: u128) -> Option<Node> {
        let literal = &self.literals[index];
        let now_count = node.now.count_and(&literal.now) as f64;
        let past_count = node.past.count_and(&literal.past);
        let (wn, wp) = (self.rise.now_weight(), self.rise.past_weight());
        let excess_rps = now_count * wn - past_count as f64 * wp;
        let sd = (now_count * wn * wn + past_count as f64 * wp * wp).sqrt();
        let substantial = excess_rps > SIGMA_MIN * sd
            && excess_rps > RESIDUAL_SHARE_MIN * self.residual
            && excess_rps > BASELINE_SHARE_MIN * self.rise.expected_rps
            && excess_rps > EXCESS_RPS_MIN;
        substantial.then(|| Node {
            members,
            depth: node.depth + 1,
            now: node.now.and(&literal.now),
            past: node.past.and(&literal.past),
            excess_rps,
            purity: excess_rps / (now_count * wn),
            hits: past_count,
        })
    }

    fn repeats_attr(&self, node: &Node, index: usize) -> bool {
        let attr = self.literals[index].predicate.attr();
        members(node.members).any(|m| self.literals[m].predicate.attr() == attr)
    }

    fn acceptable(&self, node: &Node) -> bool {
        let collateral =
            Collateral { hits: node.hits, records: self.rise.past.mining.len() as u64 };
        let signature = self.signature(node);
        let predicates = signature.predicates();
        self.bounded(collateral, predicates) && self.tier.admits(predicates)
    }

    /// What decides: explained excess, less a little per predicate, less what hits the past.
    fn score(&self, node: &Node) -> f64 {
        node.excess_rps * (1.0 - 0.02 * node.depth as f64)
            - 5.0 * node.hits as f64 * self.rise.past_weight()
    }

    /// What is pursued: large and pure.
    fn rank(&self, node: &Node) -> f64 {
        node.excess_rps * node.purity
    }

    /// Adds what nearly all matched requests have in common.
    fn tighten(&self, mut node: Node) -> Node {
        for (index, literal) in self.literals.iter().enumerate() {
            let attr = literal.predicate.attr();
            if node.depth == PREDICATES_MAX
                || !matches!(literal.predicate, Predicate::Is(..))
                || !TIGHTENING.contains(&attr)
                || self.repeats_attr(&node, index)
            {
                continue;
            }
            let kept = node.now.count_and(&literal.now) as f64;
            if kept >= TIGHTEN_KEEP * node.now.count() as f64
                && let Some(tighter) = self.extend(&node, index, node.members | 1 << index)
            {
                node = tighter;
            }
        }
        node
    }
}

#[cfg(test)]
mod tests;
