//! The enforcers, as simply as they can be had: the plan's rules, a bucket per throttled source,
//! and the kernel's bans.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use floodwall_model::ban::Protected;
use floodwall_model::{
    Action, Ban, CheckedPlan, Handling, HoldbackBudget, Observation, RuleId, Source, TokenBucket,
};

/// Buckets at most, as in the gateway. When full: who has none is not throttled; counted.
pub const BUCKETS_MAX: usize = 65_536;
/// Bans at most. When full: who is not banned yet is not; counted.
pub const BANS_MAX: usize = 1 << 20;

/// What became of a request.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// Let through.
    Passed,
    /// Let through for a trial although this rule matched it.
    HeldBack(RuleId),
    /// Blocked by this rule.
    Blocked(RuleId),
    /// Throttled by this rule.
    Throttled(RuleId),
    /// Its source is banned; nobody saw the request.
    Banned,
}

impl Fate {
    /// Whether it was let through.
    pub fn passed(self) -> bool {
        matches!(self, Fate::Passed | Fate::HeldBack(_))
    }

    /// The rule that refused it.
    pub const fn rule(self) -> Option<RuleId> {
        match self {
            Fate::Blocked(id) | Fate::Throttled(id) => Some(id),
            Fate::Passed | Fate::HeldBack(_) | Fate::Banned => None,
        }
    }

    pub(super) const fn handling(self) -> Handling {
        match self {
            Fate::HeldBack(id) => Handling::HeldBack(id),
            Fate::Blocked(id) => Handling::Blocked(id),
            Fate::Throttled(id) => Handling::Throttled(id),
            Fate::Passed | Fate::Banned => Handling::Passed,
        }
    }
}

/// What is in force.
#[derive(Debug, Default)]
pub struct Gate {
    plan: Arc<CheckedPlan>,
    buckets: HashMap<(u64, RuleId), TokenBucket>,
    banned: HashMap<u64, u64>,
    trial: Option<HoldbackBudget>,
    dropped: u64,
    left_out: u64,
}

impl Gate {
    /// Puts a plan in force.
    pub fn apply(&mut self, plan: Arc<CheckedPlan>) {
        self.buckets.retain(|(_, rule), _| plan.rules().iter().any(|r| r.id == *rule));
        self.plan = plan;
    }

    /// Puts a ban in force, if it passes the checks every ban must pass.
    pub fn ban(&mut self, ban: Ban) {
        let Ok(checked) = ban.check(&Protected::default()) else { return };
        let (key, until_ms) = (checked.ban().source.key(), checked.ban().until_ms);
        if self.banned.len() < BANS_MAX || self.banned.contains_key(&key) {
            self.banned.insert(key, until_ms);
        } else {
            self.left_out += 1;
        }
    }

    /// Whether a ban keeps `source` away; counts it if so.
    pub fn bans(&mut self, source: IpAddr, now_ms: u64) -> bool {
        if self.banned.is_empty() {
            return false;
        }
        let key = Source::new(source).key();
        let banned = self.banned.get(&key).is_some_and(|until_ms| now_ms < *until_ms);
        self.dropped += u64::from(banned);
        banned
    }

    /// Requests that bans kept away.
    pub fn kernel_dropped(&self) -> u64 {
        self.dropped
    }

    /// Buckets and bans for which there was no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What the plan says to a request.
    pub fn decide(&mut self, observation: &Observation, now_ms: u64) -> Fate {
        let Some(rule) = self.plan.decide(&observation.attrs, now_ms) else { return Fate::Passed };
        match rule.action {
            Action::Block => {
                let chosen = self.plan.holds_back(observation.source, now_ms);
                let budget = self.trial.get_or_insert_with(|| HoldbackBudget::full(now_ms));
                if chosen && budget.take(now_ms) {
                    Fate::HeldBack(rule.id)
                } else {
                    Fate::Blocked(rule.id)
                }
            }
            Action::Throttle { per_source_per_10s } => {
                let key = (observation.source.key(), rule.id);
                if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&key) {
                    self.left_out += 1;
                    return Fate::Passed;
                }
                let full = TokenBucket::full(per_source_per_10s, now_ms);
                let bucket = self.buckets.entry(key).or_insert(full);
                if bucket.take(per_source_per_10s, per_source_per_10s, now_ms) {
                    Fate::Passed
                } else {
                    Fate::Throttled(rule.id)
                }
            }
            // An action this gate does not know refuses nobody here.
            #[allow(unreachable_patterns)]
            _ => Fate::Passed,
        }
    }
}
