//! The plan: what enforcers shall do, as one whole value with a reason per rule.
//!
//! A [`Plan`] is a proposal. Enforcers accept only a [`CheckedPlan`], which [`Plan::check`] alone
//! can make: the last gate before honest people could be refused does not depend on anybody's
//! diligence. A rule that fails is left out with its [`Rejection`]; the others stand.

mod check;

use serde::{Deserialize, Serialize};

use crate::holdback::Holdback;
use crate::limits::{PREDICATES_MAX, RULE_TTL_MS_MAX, RULES_MAX};
use crate::signature::{KnownValues, Predicate, Signature};
use crate::source::Source;
use crate::value::{Attr, Attrs};

/// BLOCK: share of past honest requests that a rule may match (design/detection.md § 3.5).
pub const BLOCK_COLLATERAL_MAX: f64 = 0.001;
/// BLOCK: the same for all block rules of a plan together.
pub const BLOCK_COLLATERAL_TOTAL_MAX: f64 = 0.005;
/// BLOCK on a site too small to prove the cap: not one hit among at least so many records…
pub const SMALL_BASELINE_RECORDS_MIN: u64 = 100;
/// …or, for predicates on values never seen before, which honest visitors bring all the time, at
/// least so many (and not one among as many of the half the rule was chosen by)…
pub const SMALL_BASELINE_UNSEEN_RECORDS_MIN: u64 = 1_000;
/// …and evidence at least this strong, log-odds.
pub const SMALL_BASELINE_LOG_ODDS_MIN: f64 = 5.0;
/// BLOCK on a site about which next to nothing is known: not one hit in whatever is known, a
/// signature that aims at what no browser sends, senders that behave like no visitor (the full weight
/// of that family), and evidence at least this strong, log-odds.
pub const THIN_BASELINE_LOG_ODDS_MIN: f64 = 6.0;
/// BLOCK: least sum of log-odds (§ 3.4).
pub const BLOCK_LOG_ODDS_MIN: f64 = 4.0;
/// THROTTLE: share of past honest requests that the limit may have touched.
pub const THROTTLE_COLLATERAL_MAX: f64 = 0.10;
/// THROTTLE: no source is held below this many requests in ten seconds (§ 3.6).
pub const THROTTLE_PER_10S_MIN: u32 = 20;
/// THROTTLE: least sum of log-odds.
pub const THROTTLE_LOG_ODDS_MIN: f64 = 2.0;

/// Whether decisions are carried out.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Decide and record, refuse nobody.
    #[default]
    Shadow,
    /// Act.
    Protect,
}

/// A rule's number, unique within an installation's history.
#[derive(
    Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RuleId(pub u32);

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// The numbers that one engine gives its rules: every `step`th from the first on.
///
/// Two engines of one installation have rows that lie between each other's, so that neither can
/// come upon a number of the other however many rules it places. Blocks of numbers would: a wave of
/// floods that comes back every minute uses 16,384 of them up in twelve days.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct RuleIds {
    next: u32,
    step: u32,
}

impl Default for RuleIds {
    /// 1, 2, 3 and so on.
    fn default() -> Self {
        RuleIds { next: 1, step: 1 }
    }
}

impl RuleIds {
    /// Rows for `engines` engines, at least one, that begin at `first`.
    pub fn rows(first: RuleId, engines: u32) -> impl Iterator<Item = RuleIds> {
        let step = engines.max(1);
        (0..step).map(move |at| RuleIds { next: first.0.saturating_add(at), step })
    }

    /// The number that the next rule will get.
    pub const fn next(&self) -> RuleId {
        RuleId(self.next)
    }

    /// The number was given. The last one there is, is given again and again: 68 years of one new
    /// rule a second for each of two engines.
    pub const fn taken(&mut self) {
        self.next = self.next.saturating_add(self.step);
    }
}

/// What a rule does to a request that matches.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Refuse with 403.
    Block,
    /// Refuse with 429 what exceeds a rate per source.
    Throttle {
        /// Requests one source may send in ten seconds.
        per_source_per_10s: u32,
    },
}

impl Action {
    /// The action's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Block => "block",
            Action::Throttle { .. } => "throttle",
        }
    }
}

/// How much honest traffic a rule hits: measured on records, bounded above at 95 %.
#[derive(Copy, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Collateral {
    /// Honest records matched.
    pub hits: u64,
    /// Honest records examined.
    pub records: u64,
}

impl Collateral {
    /// The share measured. One when nothing was examined: unknown is not zero.
    pub fn share(&self) -> f64 {
        if self.records == 0 { 1.0 } else { self.hits as f64 / self.records as f64 }
    }

    /// One-sided 95 % upper bound of the share (Wilson score interval, z = 1.645).
    pub fn upper_bound(&self) -> f64 {
        if self.records == 0 {
            return 1.0;
        }
        let (n, p, z2) = (self.records as f64, self.share(), 1.645_f64 * 1.645);
        let centre = p + z2 / (2.0 * n);
        let spread = (z2 * (p * (1.0 - p) / n + z2 / (4.0 * n * n))).sqrt();
        ((centre + spread) / (1.0 + z2 / n)).min(1.0)
    }

    /// One-sided 95 % lower bound of the share. Zero when nothing was examined.
    pub fn lower_bound(&self) -> f64 {
        if self.records == 0 {
            return 0.0;
        }
        let others =
            Collateral { hits: self.records.saturating_sub(self.hits), records: self.records };
        (1.0 - others.upper_bound()).max(0.0)
    }
}

/// The independent kinds of evidence (design/detection.md § 3.4).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// E1: the mix of client software differs from the site's own.
    Implementation,
    /// E2: the requests contradict themselves or come from software never seen here.
    Inconsistency,
    /// E3: what clients do after their first page.
    Behaviour,
    /// E4: how clients answer a probe. No probe exists yet; the place is kept.
    Probe,
    /// E5: how much each source sends.
    PerSource,
    /// E6: the networks and countries that it comes from. Never one of the two kinds that a block
    /// needs: a crowd comes from somewhere, too.
    Network,
    /// E7: whether a crowd was announced for what is asked for. Speaks against an attack only, and
    /// little: calendars are public.
    Provenance,
    /// E8: how fast the rise was.
    Ramp,
}

impl Family {
    /// Largest weight, either way, that this family may carry (§ 3.4).
    pub const fn log_odds_cap(self) -> f64 {
        match self {
            Family::Implementation | Family::Inconsistency => 3.0,
            Family::Behaviour => 4.0,
            Family::Probe => 5.0,
            Family::PerSource => 2.0,
            Family::Network | Family::Provenance => 1.5,
            Family::Ramp => 1.0,
        }
    }

    /// E1, E2: what the software is.
    pub fn is_identity(self) -> bool {
        matches!(self, Family::Implementation | Family::Inconsistency)
    }
}

/// One finding of one family about one signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The kind of evidence.
    pub family: Family,
    /// Positive speaks for an attack, negative for a crowd. Capped by [`Family::log_odds_cap`].
    pub log_odds: f64,
    /// The finding as a sentence with its figures.
    pub statement: String,
}

/// Sum of the log-odds, each within what its family may say at most.
pub(crate) fn log_odds(evidence: &[Evidence]) -> f64 {
    let capped = |e: &Evidence| {
        let cap = e.family.log_odds_cap();
        e.log_odds.clamp(-cap, cap)
    };
    evidence.iter().map(capped).sum()
}

/// Whether what begins at `from_ms` ends, and soon enough.
pub(crate) fn ends_in_time(from_ms: u64, until_ms: u64) -> bool {
    until_ms > from_ms && until_ms - from_ms <= RULE_TTL_MS_MAX
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its number.
    pub id: RuleId,
    /// What it matches.
    pub signature: Signature,
    /// What had been learned before the rise it was placed against, for predicates on unseen values.
    /// Each rule keeps its own: a rule that comes back must not take what was learned since for what
    /// its attack brought. Not stored: a rule does not outlive the engine that placed it.
    #[serde(skip)]
    pub known: KnownValues,
    /// What it does.
    pub action: Action,
    /// The signature in words.
    pub words: String,
    /// The signature's predicates in words, one each.
    pub predicates: Vec<String>,
    /// Honest traffic it would have hit before onset, on records the miner did not choose it by.
    pub projected: Collateral,
    /// Why it was placed.
    pub evidence: Vec<Evidence>,
    /// When it was first placed, ms since the epoch.
    pub placed_at_ms: u64,
    /// When it ends unless renewed, ms since the epoch. Enforcers obey this without the engine.
    pub expires_at_ms: u64,
}

impl Rule {
    /// Sum of the capped log-odds.
    pub fn log_odds(&self) -> f64 {
        log_odds(&self.evidence)
    }

    /// Whether its signature matches, given what had been learned when it was placed.
    pub fn matches(&self, attrs: &Attrs) -> bool {
        self.signature.matches(attrs, &self.known)
    }
}

/// Why a rule was left out of a checked plan.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// More rules than may be in force.
    #[error("as many rules as may be in force are in force")]
    TooManyRules,
    /// No predicate, or more than a signature may have.
    #[error("the signature has no predicate or too many")]
    SignatureSize,
    /// A block rule that names only what was wanted, not which software asked.
    #[error("the signature names only what was asked for, which a crowd would match too")]
    ContextOnly,
    /// The expiry is before the start or too far away.
    #[error("the rule does not expire in time")]
    Expiry,
    /// It would hit too many honest requests, or it cannot be shown that it does not.
    #[error("its collateral is not bounded below the cap")]
    Collateral,
    /// Together with the rules before it, it would hit too many honest requests.
    #[error("the collateral of all rules together would exceed the cap")]
    CollateralTotal,
    /// Fewer than two independent families speak for it, one of identity and one of behaviour.
    #[error("two independent kinds of evidence, one of them behavioural, are not there")]
    OneFamily,
    /// The evidence is too weak in sum, or a strong family speaks against.
    #[error("the evidence is too weak or contradicted")]
    WeakEvidence,
    /// The throttle's limit is lower than an honest source may need.
    #[error("the limit per source is lower than an honest visitor may need")]
    LimitTooLow,
}

/// A rule that was left out, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedRule {
    /// The rule.
    pub rule: Rule,
    /// Why.
    pub why: Rejection,
}

/// A proposal: all rules that shall be in force from now on.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Grows by one with every plan.
    pub revision: u64,
    /// When it was made, ms since the epoch.
    pub made_at_ms: u64,
    /// Whether it shall be carried out.
    pub mode: Mode,
    /// The rules, most important first.
    pub rules: Vec<Rule>,
    /// When enforcers stop obeying it unless a newer one came, ms since the epoch: whoever makes
    /// plans may have died. `None`: only the rules' own ends count.
    pub valid_until_ms: Option<u64>,
    /// Whom block rules let through for a trial; `None`: nobody.
    pub holdback: Option<Holdback>,
}

impl Plan {
    /// Checks every rule; keeps those that pass.
    pub fn check(self) -> (CheckedPlan, Vec<RejectedRule>) {
        let mut kept: Vec<Rule> = Vec::new();
        let mut rejected = Vec::new();
        let mut collateral_total = 0.0;
        for rule in self.rules {
            match check::check_rule(&rule, self.made_at_ms, kept.len(), collateral_total) {
                Ok(()) => {
                    if rule.action == Action::Block && rule.projected.records > 0 {
                        collateral_total += rule.projected.share();
                    }
                    kept.push(rule);
                }
                Err(why) => rejected.push(RejectedRule { rule, why }),
            }
        }
        // Blocks first: `decide` takes the first match, and the stronger action must win.
        kept.sort_by_key(|rule| !matches!(rule.action, Action::Block));
        let plan = CheckedPlan {
            revision: self.revision,
            made_at_ms: self.made_at_ms,
            mode: self.mode,
            rules: kept,
            valid_until_ms: self.valid_until_ms,
            holdback: self.holdback,
        };
        (plan, rejected)
    }
}

/// A plan that may be enforced. Immutable; applying it twice changes nothing.
#[derive(Clone, Debug, Default)]
pub struct CheckedPlan {
    revision: u64,
    made_at_ms: u64,
    mode: Mode,
    rules: Vec<Rule>,
    valid_until_ms: Option<u64>,
    holdback: Option<Holdback>,
}

impl CheckedPlan {
    /// Grows by one with every plan.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// When it was made, ms since the epoch.
    pub const fn made_at_ms(&self) -> u64 {
        self.made_at_ms
    }

    /// Whether it shall be carried out.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The rules, blocks first.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether it may still be obeyed at `now_ms`. A plan that was not renewed in time refuses nobody.
    pub fn is_valid(&self, now_ms: u64) -> bool {
        self.valid_until_ms.is_none_or(|until_ms| now_ms < until_ms)
    }

    /// Whether block rules let `source` through for a trial at `now_ms`, as far as the enforcer's
    /// [`crate::HoldbackBudget`] lasts.
    pub fn holds_back(&self, source: Source, now_ms: u64) -> bool {
        self.holdback.is_some_and(|holdback| holdback.chooses(source, now_ms))
    }

    /// The first unexpired rule that matches, while the plan is valid.
    pub fn decide(&self, attrs: &Attrs, now_ms: u64) -> Option<&Rule> {
        if self.rules.is_empty() || !self.is_valid(now_ms) {
            return None;
        }
        self.rules.iter().find(|rule| now_ms < rule.expires_at_ms && rule.matches(attrs))
    }
}

#[cfg(test)]
mod tests;
