//! Step 4: what the plan says.

use floodwall_model::{Action, Attrs, CheckedPlan, Handling, Mode, RuleId, Source};

use crate::throttle::ThrottleTable;

/// What is to be done with a request.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    Pass,
    /// It goes on; outside shadow it would not have.
    WouldBlock(RuleId),
    WouldThrottle(RuleId),
    Block(RuleId),
    Throttle(RuleId),
}

impl Decision {
    pub(crate) const fn handling(self) -> Handling {
        match self {
            Decision::Pass => Handling::Passed,
            Decision::WouldBlock(id) => Handling::WouldBlock(id),
            Decision::WouldThrottle(id) => Handling::WouldThrottle(id),
            Decision::Block(id) => Handling::Blocked(id),
            Decision::Throttle(id) => Handling::Throttled(id),
        }
    }
}

/// Decides by the plan. In shadow the buckets are filled and emptied all the same, so that what is
/// reported is what would have happened.
pub(crate) fn decide(
    plan: &CheckedPlan,
    attrs: &Attrs,
    source: Source,
    throttle: &ThrottleTable,
    now_ms: u64,
) -> Decision {
    let Some(rule) = plan.decide(attrs, now_ms) else { return Decision::Pass };
    match (rule.action, plan.mode()) {
        (Action::Block, Mode::Protect) => Decision::Block(rule.id),
        (Action::Block, Mode::Shadow) => Decision::WouldBlock(rule.id),
        (Action::Throttle { per_source_per_10s }, mode) => {
            match (throttle.take(rule.id, source, per_source_per_10s, now_ms), mode) {
                (true, _) => Decision::Pass,
                (false, Mode::Protect) => Decision::Throttle(rule.id),
                (false, Mode::Shadow) => Decision::WouldThrottle(rule.id),
            }
        }
    }
}
