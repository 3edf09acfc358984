//! The rules in force and their lives: placed, renewed while they match, withdrawn when they hit
//! visitors, ended when the attack is over.

use std::collections::HashSet;

use floodwall_model::limits::RULES_MAX;
use floodwall_model::plan::BLOCK_COLLATERAL_MAX;
use floodwall_model::{
    Action, Attrs, CheckedPlan, Collateral, Handling, KnownValues, Mode, Plan, Rejection, Rule,
    RuleId, RuleIds, Signature,
};

/// Time constant of a rule's matched rate, s.
const MATCH_TRACK_S: f64 = 5.0;
/// A rule is renewed while its matched rate is above this multiple of what matched before onset…
const RENEW_BASELINE_FACTOR: f64 = 3.0;
/// … and above this share of its own peak.
const RENEW_PEAK_SHARE: f64 = 0.01;
/// Plans are published again for renewed expiries at most this often, ms.
const REPUBLISH_MS: u64 = 10_000;
/// Measured collateral at which a rule is withdrawn: three times the cap (§ 3.6), …
const WITHDRAW_SHARE: f64 = 3.0 * BLOCK_COLLATERAL_MAX;
/// … and at least so many visitors' requests, so that chance does not decide.
const WITHDRAW_HITS_MIN: u64 = 10;

/// A rule in force.
#[derive(Clone, Debug)]
pub struct ActiveRule {
    /// The rule, with its current expiry.
    pub rule: Rule,
    /// Requests that it matched.
    pub matched: u64,
    /// Requests of known visitors that it matched.
    visitor_hits: u64,
    /// Visitors' requests counted in all before it was placed.
    visitors_before: u64,
    tick_matched: u64,
    matched_rps: f64,
    peak_rps: f64,
    normal_rps: f64,
}

/// A rule that went out of force.
#[derive(Clone, Debug)]
pub struct EndedRule {
    /// The rule's last state.
    pub id: RuleId,
    /// Why it ended, in words.
    pub why: &'static str,
}

/// The rules in force.
#[derive(Debug)]
pub struct RuleBook {
    active: Vec<ActiveRule>,
    withdrawn: HashSet<Signature>,
    known: KnownValues,
    ids: RuleIds,
    revision: u64,
    visitors: u64,
    changed: bool,
    published_ms: u64,
}

impl RuleBook {
    /// No rules; the next ones get `ids`.
    pub fn new(ids: RuleIds) -> Self {
        RuleBook {
            active: Vec::new(),
            withdrawn: HashSet::new(),
            known: KnownValues::none(),
            ids,
            revision: 0,
            visitors: 0,
            changed: true,
            published_ms: 0,
        }
    }

    /// The rules in force.
    pub fn active(&self) -> &[ActiveRule] {
        &self.active
    }

    /// Whether requests still come that a rule in force matches.
    pub fn matching(&self) -> bool {
        self.active.iter().any(|a| a.matched_rps > a.peak_rps * RENEW_PEAK_SHARE)
    }

    /// Whether a rule in force has this very signature.
    pub fn has(&self, signature: &Signature) -> bool {
        self.active.iter().any(|a| a.rule.signature == *signature)
    }

    /// Whether a block rule in force covers such requests, also those that came just before it.
    pub fn covers(&self, attrs: &Attrs) -> bool {
        let blocks = self.active.iter().filter(|a| a.rule.action == Action::Block);
        blocks.map(|a| &a.rule.signature).any(|s| s.matches(attrs, &self.known))
    }

    /// The number the next rule will get.
    pub const fn next_id(&self) -> RuleId {
        self.ids.next()
    }

    /// Places `rule` if the whole plan with it passes the check. The rule's id must be
    /// [`Self::next_id`].
    pub fn place(
        &mut self,
        rule: Rule,
        known: &KnownValues,
        normal_rps: f64,
        now_ms: u64,
    ) -> Result<(), Rejection> {
        if self.withdrawn.contains(&rule.signature) {
            return Err(Rejection::Collateral);
        }
        if self.active.len() >= RULES_MAX {
            return Err(Rejection::TooManyRules);
        }
        let mut rules = self.rules();
        rules.push(rule.clone());
        let trial = Plan { made_at_ms: now_ms, rules, ..Plan::default() };
        if let Some(rejected) = trial.check().1.into_iter().find(|r| r.rule.id == rule.id) {
            return Err(rejected.why);
        }
        self.known = known.clone();
        self.ids.taken();
        self.changed = true;
        self.active.push(ActiveRule {
            rule,
            matched: 0,
            visitor_hits: 0,
            visitors_before: self.visitors,
            tick_matched: 0,
            matched_rps: 0.0,
            peak_rps: 0.0,
            normal_rps,
        });
        Ok(())
    }

    /// Takes note of a request that arrived; `visitor` if its source is known to be one.
    pub fn note(&mut self, handling: Handling, visitor: bool) {
        self.visitors += u64::from(visitor);
        if let Some(id) = handling.rule()
            && let Some(active) = self.active.iter_mut().find(|a| a.rule.id == id)
        {
            active.matched += 1;
            active.tick_matched += 1;
            active.visitor_hits += u64::from(visitor);
        }
    }

    /// Known visitors' requests that a rule matched, among all of theirs while it was in force.
    pub fn measured(&self, active: &ActiveRule) -> Collateral {
        Collateral { hits: active.visitor_hits, records: self.visitors - active.visitors_before }
    }

    /// Ends a tick: renews what still matches, returns what went out of force. `kernel_active`
    /// says that the kernel still drops what banned sources send, which no rule sees any more.
    pub fn tick(
        &mut self,
        now_ms: u64,
        interval_s: f64,
        ttl_ms: u64,
        kernel_active: bool,
    ) -> Vec<EndedRule> {
        let visitors = self.visitors;
        let mut ended = Vec::new();
        for active in &mut self.active {
            let events = std::mem::take(&mut active.tick_matched) as f64;
            let keep = (-interval_s / MATCH_TRACK_S).exp();
            active.matched_rps = active.matched_rps * keep + events / MATCH_TRACK_S;
            active.peak_rps = active.peak_rps.max(active.matched_rps);
            let floor_rps =
                (active.normal_rps * RENEW_BASELINE_FACTOR).max(active.peak_rps * RENEW_PEAK_SHARE);
            if events > 0.0 && active.matched_rps > floor_rps || kernel_active {
                active.rule.expires_at_ms = now_ms + ttl_ms;
            }
            let records = visitors - active.visitors_before;
            let hits = Collateral { hits: active.visitor_hits, records };
            let hurts = active.rule.action == Action::Block
                && hits.hits >= WITHDRAW_HITS_MIN
                && hits.share() > WITHDRAW_SHARE;
            if hurts {
                self.withdrawn.insert(active.rule.signature.clone());
                ended.push(EndedRule {
                    id: active.rule.id,
                    why: "withdrawn: it hit requests of known visitors",
                });
            } else if active.rule.expires_at_ms <= now_ms {
                ended.push(EndedRule {
                    id: active.rule.id,
                    why: "expired: what it matches has stopped",
                });
            }
        }
        if !ended.is_empty() {
            self.active.retain(|a| ended.iter().all(|e| e.id != a.rule.id));
            self.changed = true;
        }
        ended
    }

    /// Forgets withdrawn signatures: the rise they belonged to is over.
    pub fn forget_withdrawn(&mut self) {
        self.withdrawn.clear();
    }

    /// Makes the next plan differ, so that it is published.
    pub const fn touch(&mut self) {
        self.changed = true;
    }

    /// The plan to publish, if there is anything new to say.
    pub fn publish(&mut self, mode: Mode, now_ms: u64, ttl_ms: u64) -> Option<CheckedPlan> {
        // Enforcers obey the expiry they were told, so the new one must reach them well before.
        let every_ms = REPUBLISH_MS.min(ttl_ms / 4);
        let renewal = !self.active.is_empty() && now_ms >= self.published_ms + every_ms;
        if !self.changed && !renewal {
            return None;
        }
        self.changed = false;
        self.published_ms = now_ms;
        self.revision += 1;
        let plan = Plan {
            revision: self.revision,
            made_at_ms: now_ms,
            mode,
            rules: self.rules(),
            known: self.known.clone(),
        };
        Some(plan.check().0)
    }

    fn rules(&self) -> Vec<Rule> {
        self.active.iter().map(|a| a.rule.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{Attr, Evidence, Family, Predicate, ValueId};

    const TTL_MS: u64 = 60_000;

    fn rule(book: &RuleBook, now_ms: u64) -> Rule {
        let evidence = |family| Evidence { family, log_odds: 3.0, statement: String::new() };
        Rule {
            id: book.next_id(),
            signature: Signature::new(vec![Predicate::Is(Attr::UserAgent, ValueId(7))]),
            action: Action::Block,
            words: String::new(),
            predicates: Vec::new(),
            projected: Collateral { hits: 0, records: 30_000 },
            evidence: vec![evidence(Family::Implementation), evidence(Family::Behaviour)],
            placed_at_ms: now_ms,
            expires_at_ms: now_ms + TTL_MS,
        }
    }

    fn book_with_a_rule() -> RuleBook {
        let mut book = RuleBook::new(RuleIds::default());
        let sound = rule(&book, 0);
        book.place(sound, &KnownValues::none(), 0.0, 0).unwrap();
        book
    }

    #[test]
    fn a_rule_lives_while_it_matches_and_ends_a_minute_after() {
        let mut book = book_with_a_rule();
        let mut now_ms = 0;
        for _ in 0..3_000 {
            now_ms += 100;
            for _ in 0..10 {
                book.note(Handling::Blocked(RuleId(1)), false);
            }
            assert!(book.tick(now_ms, 0.1, TTL_MS, false).is_empty());
        }
        let stopped_ms = now_ms;
        while book.tick(now_ms, 0.1, TTL_MS, false).is_empty() {
            now_ms += 100;
        }
        assert!(now_ms - stopped_ms <= TTL_MS, "{}", now_ms - stopped_ms);
    }

    #[test]
    fn a_rule_that_hits_visitors_is_withdrawn_and_not_placed_again() {
        let mut book = book_with_a_rule();
        for _ in 0..WITHDRAW_HITS_MIN {
            book.note(Handling::Blocked(RuleId(1)), true);
        }
        for _ in 0..100 {
            book.note(Handling::Passed, true);
        }
        let ended = book.tick(100, 0.1, TTL_MS, false);
        assert!(ended[0].why.starts_with("withdrawn"));
        let again = rule(&book, 100);
        assert_eq!(book.place(again, &KnownValues::none(), 0.0, 100), Err(Rejection::Collateral));
    }

    #[test]
    fn while_the_kernel_drops_banned_sources_the_rule_stays() {
        let mut book = book_with_a_rule();
        for tick in 1..=1_200 {
            assert!(book.tick(tick * 100, 0.1, TTL_MS, true).is_empty());
        }
    }

    #[test]
    fn a_plan_is_published_when_something_changed_and_for_renewals() {
        let mut book = book_with_a_rule();
        assert_eq!(book.publish(Mode::Protect, 0, TTL_MS).unwrap().rules().len(), 1);
        assert!(book.publish(Mode::Protect, 100, TTL_MS).is_none());
        assert!(book.publish(Mode::Protect, REPUBLISH_MS, TTL_MS).is_some());
    }

    /// A demo with rules that live four seconds lost them every time: renewals were published every
    /// ten, and the gateway obeyed the expiry it knew.
    #[test]
    fn a_renewal_reaches_the_enforcers_before_the_expiry_they_know() {
        const SHORT_TTL_MS: u64 = 4_000;
        let mut book = book_with_a_rule();
        let mut told_ms = 0;
        for tick in 1..=600 {
            let now_ms = tick * 100;
            book.note(Handling::Blocked(RuleId(1)), false);
            book.tick(now_ms, 0.1, SHORT_TTL_MS, false);
            if let Some(plan) = book.publish(Mode::Protect, now_ms, SHORT_TTL_MS) {
                told_ms = plan.rules()[0].expires_at_ms;
            }
            assert!(told_ms > now_ms, "at {now_ms} the enforcers know {told_ms}");
        }
    }

    #[test]
    fn an_unsound_rule_is_not_placed() {
        let mut book = RuleBook::new(RuleIds::default());
        let mut unsound = rule(&book, 0);
        unsound.evidence.pop();
        assert_eq!(book.place(unsound, &KnownValues::none(), 0.0, 0), Err(Rejection::OneFamily));
    }
}
