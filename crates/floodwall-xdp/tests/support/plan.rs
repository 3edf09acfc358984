//! Plans that pass their check, for tests that are about the kernel and not about evidence.

use floodwall_model::packet::{
    CheckedPacketPlan, Guards, PacketPlan, PacketPredicate, PacketRule, PacketSignature,
};
use floodwall_model::{Collateral, Evidence, Family, Mode, RuleId};

/// Rules and guards end so long after a plan is made.
pub(crate) const LIFE_MS: u64 = 60_000;

fn evidence(family: Family) -> Evidence {
    Evidence { family, log_odds: 3.0, statement: "in a test".to_owned() }
}

pub(crate) fn rule(id: u32, predicates: Vec<PacketPredicate>, made_at_ms: u64) -> PacketRule {
    PacketRule {
        id: RuleId(id),
        signature: PacketSignature::new(predicates),
        words: "a test's rule".to_owned(),
        predicates: vec![],
        projected: Collateral { hits: 0, records: 1_000_000 },
        evidence: vec![evidence(Family::Implementation), evidence(Family::Behaviour)],
        placed_at_ms: made_at_ms,
        expires_at_ms: made_at_ms + LIFE_MS,
    }
}

/// All of it must pass the check.
pub(crate) fn plan(
    rules: Vec<PacketRule>,
    guards: Guards,
    mode: Mode,
    made_at_ms: u64,
) -> CheckedPacketPlan {
    let guards_until_ms = made_at_ms + LIFE_MS;
    let plan = PacketPlan { revision: 1, made_at_ms, mode, rules, guards, guards_until_ms };
    let (checked, rejected) = plan.check();
    assert!(rejected.is_empty(), "{rejected:?}");
    checked
}
