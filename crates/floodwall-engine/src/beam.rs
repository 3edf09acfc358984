//! Beam search over conjunctions on bit sets: the search that requests and packets share
//! (design/detection.md § 3.5).
//!
//! It knows nothing of what a predicate says; a [`Judge`] tells which conjunctions are admissible
//! and which the past bears out. It must never return one that the judge did not accept.

use std::collections::HashSet;
use std::sync::Arc;

use floodwall_model::Collateral;

use crate::bits::Bits;

/// Conjunctions kept per depth.
const BEAM_WIDTH: usize = 32;
/// Deepest conjunction searched; tightening may add more.
const DEPTH_MAX: usize = 4;
/// Acceptable conjunctions kept: for the case that the validation half refutes the best, and to
/// choose among equals. An attack that differs from visitors in five attributes has dozens.
const ACCEPTABLE_MAX: usize = 128;
/// Conjunctions whose scores differ by no more than this share explain the same; the one that is
/// least likely to hit honest traffic is taken first.
const ALIKE: f64 = 0.06;
/// Of conjunctions that are alike, those that match at least this share of what the widest matches
/// match the same flood.
const SAME: f64 = 0.99;
/// … and so do those that miss no more records than this: so few are no three standard deviations of
/// their own count, so they are visitors as likely as a second tool, and whoever resembles the flood
/// by "never seen before" would be hit for as long as the rule lasts.
const SAME_RECORDS: f64 = 9.0;
/// Records of the past that a predicate without any match there stands for; fewer say no more.
const UNMATCHED_HITS: f64 = 0.5;
/// A conjunction must explain an excess of this many standard deviations…
const SIGMA_MIN: f64 = 5.0;
/// … this share of what is unexplained, …
const RESIDUAL_SHARE_MIN: f64 = 0.05;
/// … and this share of the expected rate. Below, rules are junk.
pub const BASELINE_SHARE_MIN: f64 = 0.03;
/// The telling parts of a conjunction are at least this many times more frequent in the rise than in
/// the past. A crowd that comes from telephones shifts its site's mix by 1.5 (49 to 75 %).
const TELLING_LIFT_MIN: f64 = 2.0;
/// Tightening keeps at least this share of what a signature matched.
const TIGHTEN_KEEP: f64 = 0.995;
/// Literals that one search can hold: the positions of a 128-bit word.
pub const LITERALS_MAX: usize = 128;

/// A predicate and where it holds: among what arrives now, and in the past.
pub struct Literal<P> {
    /// What it says.
    pub predicate: P,
    /// Records of now that fulfil it.
    pub now: Bits,
    /// Records of the past that fulfil it.
    pub past: Arc<Bits>,
    /// Share of honest traffic that is taken to fulfil it even if the past shows less, because a
    /// small past may not happen to. Literals that have one speak of the same thing: together they
    /// are as rare as the rarest.
    pub prior: f64,
}

/// What may be proposed, and what the past says about it.
pub trait Judge<P> {
    /// Predicates of one group are not joined with each other.
    fn group(&self, predicate: &P) -> usize;
    /// Whether such a conjunction may be proposed at all.
    fn admits(&self, predicates: &[P]) -> bool;
    /// Whether collateral measured for it is bounded well enough. `by_chance` is the share of the
    /// past that would match if its parts were independent of each other: what a small past may not
    /// happen to show.
    fn bounded(&self, predicates: &[P], collateral: Collateral, by_chance: f64) -> bool;
    /// Whether the half of the past that it was not chosen by bears it out.
    fn holds_up(&self, predicates: &[P]) -> bool;
    /// Whether a predicate is one of those that must tell the flood from honest traffic together,
    /// without the help of the others; if no predicate is, nothing must.
    fn telling(&self, predicate: &P) -> bool;
    /// Whether a predicate that nearly all matches fulfil is added although nothing demands it.
    fn tightens(&self, predicate: &P) -> bool;
    /// Whether a predicate must not help a conjunction to be accepted: it is added to one that was
    /// accepted without it, and only where that spares records of the past.
    fn only_narrows(&self, _predicate: &P) -> bool {
        false
    }
    /// Most predicates in one conjunction.
    fn predicates_max(&self) -> usize;
}

/// The rates that the search weighs, per second.
#[derive(Copy, Clone, Debug)]
pub struct Scales {
    /// Events/s that one record of now stands for.
    pub now_weight: f64,
    /// Events/s that one record of the past stands for.
    pub past_weight: f64,
    /// Records of the past.
    pub past_records: u64,
    /// Events/s expected.
    pub expected: f64,
    /// Events/s above what is expected.
    pub rise: f64,
    /// Events/s not explained yet.
    pub residual: f64,
    /// Events/s below which nothing is worth a rule.
    pub excess_min: f64,
}

/// A conjunction that was accepted.
pub struct Found<P> {
    /// Its predicates.
    pub predicates: Vec<P>,
    /// Records of now that fulfil it.
    pub now: Bits,
    /// Records of the past that fulfil it.
    pub past: Bits,
}

#[derive(Clone)]
struct Node {
    members: u128,
    depth: usize,
    now: Bits,
    past: Bits,
    excess: f64,
    purity: f64,
    hits: u64,
}

/// One search.
pub struct Beam<'a, P, J> {
    /// What conjunctions are made of, at most [`LITERALS_MAX`].
    pub literals: &'a [Literal<P>],
    /// Who decides.
    pub judge: &'a J,
    /// The records of the past that the rise is weighed against. Collateral is measured on all.
    pub past: &'a Bits,
    /// The rates.
    pub scales: Scales,
}

fn members(set: u128) -> impl Iterator<Item = usize> {
    (0..LITERALS_MAX).filter(move |index| set & (1 << index) != 0)
}

impl<P: Copy, J: Judge<P>> Beam<'_, P, J> {
    /// The conjunction that explains most of `now_left` and that the judge accepts.
    pub fn best(&self, now_left: &Bits, past_left: &Bits) -> Option<Found<P>> {
        let root = Node {
            members: 0,
            depth: 0,
            now: now_left.clone(),
            past: past_left.clone(),
            excess: 0.0,
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
                    if self.only_narrows(index)
                        || self.repeats_group(node, index)
                        || !seen.insert(members)
                    {
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
        let preferred = self.by_preference(acceptable).into_iter();
        let node = preferred.map(|n| self.tighten(n)).find_map(|n| self.validated(n))?;
        Some(Found { predicates: self.predicates(&node), now: node.now, past: node.past })
    }

    /// In the order in which they are tried.
    ///
    /// A past of a few thousand records cannot tell a conjunction that no visitor fulfils from one
    /// that one in five thousand does. Among those that explain the same, the parts of which are
    /// rarer in the past are the safer choice; among equals the one that matches least now, because
    /// the few that another matches beside the flood are perhaps visitors new to a short past. One
    /// that misses more than such a few misses part of the flood.
    fn by_preference(&self, acceptable: Vec<(f64, Node)>) -> Vec<Node> {
        let Some(&(best, _)) = acceptable.first() else { return Vec::new() };
        let alike = acceptable.partition_point(|(score, _)| *score >= best * (1.0 - ALIKE));
        let mut nodes: Vec<Node> = acceptable.into_iter().map(|(_, node)| node).collect();
        let most = nodes[..alike].iter().map(|n| n.now.count()).max().unwrap_or(0) as f64;
        let misses = |n: &Node| (n.now.count() as f64) < (SAME * most).min(most - SAME_RECORDS);
        nodes[..alike].sort_by(|a, b| {
            let likely = self.likely_hits(a).total_cmp(&self.likely_hits(b));
            likely.then(misses(a).cmp(&misses(b))).then(a.now.count().cmp(&b.now.count()))
        });
        nodes
    }

    /// Hits in the past, and those to be expected if the parts were independent of each other. Of
    /// two that are as good as never matched the simpler one is to be preferred, so they are equal.
    fn likely_hits(&self, node: &Node) -> f64 {
        let by_chance = self.scales.past_records as f64 * self.by_chance(node);
        (node.hits as f64 + by_chance).max(UNMATCHED_HITS)
    }

    /// The share of the past that would match if the parts were independent of each other.
    fn by_chance(&self, node: &Node) -> f64 {
        let records = self.past.count().max(1) as f64;
        let share = |m: usize| self.literals[m].past.count_and(self.past) as f64 / records;
        let prior = |m: usize| self.literals[m].prior;
        let presumed = |m: &usize| prior(*m) > 0.0;
        let apart: f64 = members(node.members).filter(|m| !presumed(m)).map(share).product();
        let together = members(node.members).filter(presumed).map(|m| share(m).max(prior(m)));
        apart * together.fold(1.0, f64::min)
    }

    /// The node if the half of the past it was not chosen by bears it out; otherwise the best
    /// extension that spares the visitors found there.
    fn validated(&self, node: Node) -> Option<Node> {
        if self.judge.holds_up(&self.predicates(&node)) {
            return Some(node);
        }
        if node.depth >= self.judge.predicates_max() {
            return None;
        }
        let mut extensions: Vec<Node> = (0..self.literals.len())
            .filter(|index| !self.only_narrows(*index) && !self.repeats_group(&node, *index))
            .filter_map(|index| self.extend(&node, index, node.members | 1 << index))
            .filter(|extended| self.acceptable(extended))
            .collect();
        extensions.sort_by(|a, b| self.score(b).total_cmp(&self.score(a)));
        extensions.into_iter().find(|extended| self.judge.holds_up(&self.predicates(extended)))
    }

    fn predicates(&self, node: &Node) -> Vec<P> {
        members(node.members).map(|m| self.literals[m].predicate).collect()
    }

    /// The node with one more literal, if it still explains something substantial.
    fn extend(&self, node: &Node, index: usize, members: u128) -> Option<Node> {
        let literal = &self.literals[index];
        let scales = &self.scales;
        let now_count = node.now.count_and(&literal.now) as f64;
        let past_count = node.past.count_and_both(&literal.past, self.past);
        let (wn, wp) = (scales.now_weight, scales.past_weight);
        let excess = now_count * wn - past_count as f64 * wp;
        let sd = (now_count * wn * wn + past_count as f64 * wp * wp).sqrt();
        let substantial = excess > SIGMA_MIN * sd
            && excess > RESIDUAL_SHARE_MIN * scales.residual
            && excess > BASELINE_SHARE_MIN * scales.expected
            && excess > scales.excess_min;
        substantial.then(|| Node {
            members,
            depth: node.depth + 1,
            now: node.now.and(&literal.now),
            past: node.past.and(&literal.past),
            excess,
            purity: excess / (now_count * wn),
            hits: node.past.count_and(&literal.past),
        })
    }

    fn only_narrows(&self, index: usize) -> bool {
        self.judge.only_narrows(&self.literals[index].predicate)
    }

    fn repeats_group(&self, node: &Node, index: usize) -> bool {
        let group = |m: usize| self.judge.group(&self.literals[m].predicate);
        let wanted = group(index);
        members(node.members).any(|m| group(m) == wanted)
    }

    fn acceptable(&self, node: &Node) -> bool {
        let collateral = Collateral { hits: node.hits, records: self.scales.past_records };
        let predicates = self.predicates(node);
        self.judge.bounded(&predicates, collateral, self.by_chance(node))
            && self.judge.admits(&predicates)
            && self.tells(node)
    }

    /// Whether the telling parts alone are much more frequent in the rise than in the past. A path
    /// that an attack and a crowd share becomes no better a description by adding a browser that
    /// half of all visitors use.
    fn tells(&self, node: &Node) -> bool {
        let mut telling = members(node.members)
            .map(|m| &self.literals[m])
            .filter(|l| self.judge.telling(&l.predicate));
        let Some(first) = telling.next() else { return true };
        let (now, past) = telling
            .fold((first.now.clone(), Bits::clone(&first.past)), |(now, past), literal| {
                (now.and(&literal.now), past.and(&literal.past))
            });
        let scales = &self.scales;
        let before = past.count_and(self.past) as f64 / self.past.count().max(1) as f64;
        let excess = now.count() as f64 * scales.now_weight - before * scales.expected;
        excess >= TELLING_LIFT_MIN * before * scales.rise
    }

    /// What decides: explained excess, less a little per predicate, less what hits the past.
    fn score(&self, node: &Node) -> f64 {
        node.excess * (1.0 - 0.02 * node.depth as f64)
            - 5.0 * node.hits as f64 * self.scales.past_weight
    }

    /// What is pursued: large and pure.
    fn rank(&self, node: &Node) -> f64 {
        node.excess * node.purity
    }

    /// Adds what nearly all matched records have in common.
    fn tighten(&self, mut node: Node) -> Node {
        for (index, literal) in self.literals.iter().enumerate() {
            if node.depth == self.judge.predicates_max()
                || !self.judge.tightens(&literal.predicate)
                || self.repeats_group(&node, index)
            {
                continue;
            }
            let kept = node.now.count_and(&literal.now) as f64;
            if kept >= TIGHTEN_KEEP * node.now.count() as f64
                && let Some(tighter) = self.extend(&node, index, node.members | 1 << index)
                && (tighter.hits < node.hits || !self.only_narrows(index))
            {
                node = tighter;
            }
        }
        node
    }
}
