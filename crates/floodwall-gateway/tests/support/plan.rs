//! Plans that pass the check.

use floodwall_model::{
    Action, Attr, CheckedPlan, Collateral, Evidence, Family, KnownValues, Mode, Plan, Predicate,
    Rule, RuleId, Signature, ValueId,
};

use super::KEY;

/// The id of a user agent.
pub fn agent(text: &str) -> ValueId {
    KEY.id(Attr::UserAgent, text.as_bytes())
}

/// A plan of one rule on one user agent.
pub fn on_agent(text: &str, action: Action, mode: Mode) -> CheckedPlan {
    on(vec![Predicate::Is(Attr::UserAgent, agent(text))], action, mode)
}

/// A plan of one rule on these.
pub fn on(predicates: Vec<Predicate>, action: Action, mode: Mode) -> CheckedPlan {
    let now_ms = now_ms();
    let evidence = |family, log_odds| Evidence { family, log_odds, statement: String::new() };
    let rule = Rule {
        id: RuleId(7),
        signature: Signature::new(predicates),
        known: KnownValues::none(),
        action,
        words: String::new(),
        predicates: Vec::new(),
        projected: Collateral { hits: 0, records: 30_000 },
        evidence: vec![evidence(Family::Implementation, 3.0), evidence(Family::Behaviour, 4.0)],
        placed_at_ms: now_ms,
        expires_at_ms: now_ms + 60_000,
    };
    let plan = Plan { revision: 1, made_at_ms: now_ms, mode, rules: vec![rule], ..Plan::default() };
    let (checked, rejected) = plan.check();
    assert!(rejected.is_empty(), "{rejected:?}");
    checked
}

pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}
