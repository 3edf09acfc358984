//! What an enforcer in protect mode would have done with each record: the plan in force at its
//! moment, token buckets for throttles, bans with their ends.
//!
//! It takes only checked plans and checked bans, like every enforcer. All tables are bounded; when
//! one is full the record passes, never the other way round.

use std::collections::HashMap;
use std::sync::Arc;

use floodwall_model::limits::BANS_MAX;
use floodwall_model::{
    Action, Ban, CheckedPlan, HoldbackBudget, Observation, Protected, RuleId, TokenBucket,
};

/// Token buckets at once. When full: buckets untouched for ten seconds, which are full again, are
/// dropped; if none are, further sources go unthrottled, counted.
pub(crate) const BUCKETS_MAX: usize = 65_536;

/// After so long a bucket granting N requests in ten seconds is full again, ms.
const BUCKET_IDLE_MS: u64 = 10_000;

/// What was done with a record.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// It went on.
    Pass,
    /// A rule's rate was exceeded.
    Throttle(RuleId),
    /// A rule would have blocked it, and its source was let through for a trial.
    HoldBack(RuleId),
    /// A rule blocked it.
    Block(RuleId),
    /// Its source was banned: it would not have reached the server.
    Ban,
}

impl Decision {
    /// The action's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Decision::Pass | Decision::HoldBack(_) => "pass",
            Decision::Throttle(_) => "throttle",
            Decision::Block(_) => "block",
            Decision::Ban => "ban",
        }
    }

    /// The rule that refused it.
    pub(crate) const fn rule(self) -> Option<RuleId> {
        match self {
            Decision::Throttle(rule) | Decision::Block(rule) => Some(rule),
            Decision::Pass | Decision::HoldBack(_) | Decision::Ban => None,
        }
    }
}

/// How often each decision was taken, and what did not fit.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub(crate) struct DecisionTally {
    /// Records that went on.
    pub(crate) pass: u64,
    /// Of them those that a block rule let through for a trial.
    pub(crate) hold_back: u64,
    /// Records over a throttle's rate.
    pub(crate) throttle: u64,
    /// Records blocked.
    pub(crate) block: u64,
    /// Records of banned sources.
    pub(crate) ban: u64,
    /// Sources banned, a repeated ban counted again.
    pub(crate) bans: u64,
    /// Bans refused by their check.
    pub(crate) bans_refused: u64,
    /// Bans for which there was no room.
    pub(crate) bans_left_out: u64,
    /// Records that went unthrottled because there was no room for their source.
    pub(crate) unthrottled: u64,
}

/// The enforcement.
#[derive(Debug, Default)]
pub(crate) struct Enforcement {
    plan: Arc<CheckedPlan>,
    /// Source key to the end of its ban, ms.
    bans: HashMap<u64, u64>,
    buckets: HashMap<(RuleId, u64), (TokenBucket, u64)>,
    swept_ms: u64,
    trial: Option<HoldbackBudget>,
    pub(crate) tally: DecisionTally,
}

impl Enforcement {
    /// Puts `plan` in force.
    pub(crate) fn publish(&mut self, plan: Arc<CheckedPlan>) {
        self.plan = plan;
    }

    /// Bans a source, if the ban passes its check.
    pub(crate) fn ban(&mut self, ban: Ban, now_ms: u64) {
        let Ok(checked) = ban.check(&Protected::default()) else {
            self.tally.bans_refused += 1;
            return;
        };
        if self.bans.len() >= BANS_MAX {
            self.bans.retain(|_, until_ms| *until_ms > now_ms);
        }
        if self.bans.len() >= BANS_MAX {
            self.tally.bans_left_out += 1;
            return;
        }
        self.bans.insert(checked.ban().source.key(), checked.ban().until_ms);
        self.tally.bans += 1;
    }

    /// What happens to a request.
    pub(crate) fn decide(&mut self, observation: &Observation) -> Decision {
        let decision = self.judge(observation);
        let count = match decision {
            Decision::Pass => &mut self.tally.pass,
            Decision::HoldBack(_) => {
                self.tally.hold_back += 1;
                &mut self.tally.pass
            }
            Decision::Throttle(_) => &mut self.tally.throttle,
            Decision::Block(_) => &mut self.tally.block,
            Decision::Ban => &mut self.tally.ban,
        };
        *count += 1;
        decision
    }

    fn judge(&mut self, observation: &Observation) -> Decision {
        let (now_ms, key) = (observation.at_ms, observation.source.key());
        if !self.bans.is_empty() {
            match self.bans.get(&key) {
                Some(until_ms) if now_ms < *until_ms => return Decision::Ban,
                Some(_) => {
                    self.bans.remove(&key);
                }
                None => {}
            }
        }
        let Some(rule) = self.plan.decide(&observation.attrs, now_ms) else {
            return Decision::Pass;
        };
        let id = rule.id;
        match rule.action {
            Action::Block if self.plan.holds_back(observation.source, now_ms) => {
                let budget = self.trial.get_or_insert_with(|| HoldbackBudget::full(now_ms));
                if budget.take(now_ms) { Decision::HoldBack(id) } else { Decision::Block(id) }
            }
            Action::Block => Decision::Block(id),
            Action::Throttle { per_source_per_10s } => {
                if self.take_token(id, key, per_source_per_10s, now_ms) {
                    Decision::Pass
                } else {
                    Decision::Throttle(id)
                }
            }
        }
    }

    /// Takes a token; all requests of ten seconds may come at once.
    fn take_token(&mut self, rule: RuleId, key: u64, per_10s: u32, now_ms: u64) -> bool {
        if let Some((bucket, used_ms)) = self.buckets.get_mut(&(rule, key)) {
            *used_ms = now_ms;
            return bucket.take(per_10s, per_10s, now_ms);
        }
        // Once a second at most: a sweep costs as much as the table is large.
        if self.buckets.len() >= BUCKETS_MAX && now_ms >= self.swept_ms + 1_000 {
            self.swept_ms = now_ms;
            self.buckets.retain(|_, (_, used_ms)| now_ms < *used_ms + BUCKET_IDLE_MS);
        }
        if self.buckets.len() >= BUCKETS_MAX {
            self.tally.unthrottled += 1;
            return true;
        }
        let mut bucket = TokenBucket::full(per_10s, now_ms);
        let taken = bucket.take(per_10s, per_10s, now_ms);
        self.buckets.insert((rule, key), (bucket, now_ms));
        taken
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use floodwall_model::{
        Attr, Attrs, Collateral, Evidence, Family, Handling, KnownValues, Plan, Predicate,
        RequestKind, Rule, Signature, Source, Stage, ValueId,
    };
    use std::net::Ipv4Addr;

    /// A checked plan with one rule on user agent 7, from 1 s to 61 s.
    fn plan(action: Action) -> Arc<CheckedPlan> {
        let evidence = |family, log_odds| Evidence { family, log_odds, statement: String::new() };
        let rule = Rule {
            id: RuleId(1),
            signature: Signature::new(vec![Predicate::Is(Attr::UserAgent, ValueId(7))]),
            known: KnownValues::none(),
            action,
            words: String::new(),
            predicates: Vec::new(),
            projected: Collateral { hits: 0, records: 30_000 },
            evidence: vec![evidence(Family::Implementation, 3.0), evidence(Family::Behaviour, 4.0)],
            placed_at_ms: 1_000,
            expires_at_ms: 61_000,
        };
        let plan = Plan { made_at_ms: 1_000, rules: vec![rule], ..Plan::default() };
        let (checked, rejected) = plan.check();
        assert!(rejected.is_empty());
        Arc::new(checked)
    }

    fn request(source: u32, agent: u64, at_ms: u64) -> Observation {
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(agent);
        Observation {
            at_ms,
            source: Source::new(Ipv4Addr::from(source).into()),
            attrs,
            kind: RequestKind::Page,
            handling: Handling::Passed,
            stage: Stage::Whole,
            outcome: None,
            handshake: true,
        }
    }

    #[test]
    fn a_block_rule_blocks_what_matches_while_it_lasts() {
        let mut enforcement = Enforcement::default();
        assert_eq!(enforcement.decide(&request(9, 7, 500)), Decision::Pass);
        enforcement.publish(plan(Action::Block));
        assert_eq!(enforcement.decide(&request(9, 7, 2_000)), Decision::Block(RuleId(1)));
        assert_eq!(enforcement.decide(&request(9, 8, 2_000)), Decision::Pass);
        assert_eq!(enforcement.decide(&request(9, 7, 61_000)), Decision::Pass);
        assert_eq!((enforcement.tally.block, enforcement.tally.pass), (1, 3));
    }

    #[test]
    fn a_throttle_lets_each_source_have_its_rate() {
        let mut enforcement = Enforcement::default();
        enforcement.publish(plan(Action::Throttle { per_source_per_10s: 20 }));
        let mut passed = |source, at_ms| {
            (0..30)
                .filter(|_| enforcement.decide(&request(source, 7, at_ms)) == Decision::Pass)
                .count()
        };
        assert_eq!(passed(1, 2_000), 20);
        assert_eq!(passed(2, 2_000), 20);
        assert_eq!(passed(1, 7_000), 10);
    }

    #[test]
    fn a_full_table_of_buckets_lets_pass_and_counts_and_recovers() {
        let mut enforcement = Enforcement::default();
        enforcement.publish(plan(Action::Throttle { per_source_per_10s: 20 }));
        for source in 0..BUCKETS_MAX as u32 + 10 {
            assert_eq!(enforcement.decide(&request(source, 7, 2_000)), Decision::Pass);
        }
        assert_eq!(enforcement.buckets.len(), BUCKETS_MAX);
        assert_eq!(enforcement.tally.unthrottled, 10);
        enforcement.decide(&request(u32::MAX - 5, 7, 13_000));
        assert_eq!(enforcement.tally.unthrottled, 10);
        assert_eq!(enforcement.buckets.len(), 1);
    }

    fn ban(source: u32, until_ms: u64, handshake: bool) -> Ban {
        let source = Source::new(Ipv4Addr::from(source).into());
        Ban { source, from_ms: 1_000, until_ms, handshake, blocked: 20 }
    }

    #[test]
    fn a_ban_holds_until_its_end_and_an_unsound_one_is_refused() {
        let mut enforcement = Enforcement::default();
        enforcement.ban(ban(0xcb00_7109, 60_000, true), 1_000);
        enforcement.ban(ban(0xcb00_710a, 60_000, false), 1_000);
        assert_eq!(enforcement.decide(&request(0xcb00_7109, 8, 59_999)), Decision::Ban);
        assert_eq!(enforcement.decide(&request(0xcb00_7109, 8, 60_000)), Decision::Pass);
        assert_eq!(enforcement.decide(&request(0xcb00_710a, 8, 2_000)), Decision::Pass);
        assert_eq!((enforcement.tally.bans, enforcement.tally.bans_refused), (1, 1));
    }

    #[test]
    fn bans_beyond_the_maximum_are_left_out_until_others_end() {
        let mut enforcement = Enforcement::default();
        let base = 0x0b00_0000;
        for n in 0..BANS_MAX as u32 + 5 {
            enforcement.ban(ban(base + n, 60_000, true), 1_000);
        }
        assert_eq!(enforcement.tally.bans_left_out, 5);
        enforcement.ban(ban(base - 9, 120_000, true), 60_000);
        assert_eq!(enforcement.tally.bans_left_out, 5);
        assert_eq!(enforcement.bans.len(), 1);
    }
}
