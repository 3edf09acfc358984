//! Step 4: what the plan says.

use floodwall_model::{Action, Attrs, CheckedPlan, Handling, Mode, RuleId, Source};

use crate::throttle::ThrottleTable;
use crate::trial::TrialBudget;

/// What is to be done with a request.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    Pass,
    /// It goes on; outside shadow it would not have.
    WouldBlock(RuleId),
    WouldThrottle(RuleId),
    /// It goes on, so that it shows whether the rule is right.
    HoldBack(RuleId),
    Block(RuleId),
    Throttle(RuleId),
}

impl Decision {
    pub(crate) const fn handling(self) -> Handling {
        match self {
            Decision::Pass => Handling::Passed,
            Decision::WouldBlock(id) => Handling::WouldBlock(id),
            Decision::WouldThrottle(id) => Handling::WouldThrottle(id),
            Decision::HoldBack(id) => Handling::HeldBack(id),
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
    (throttle, trial): (&ThrottleTable, &TrialBudget),
    now_ms: u64,
) -> Decision {
    let Some(rule) = plan.decide(attrs, now_ms) else { return Decision::Pass };
    match (rule.action, plan.mode()) {
        (Action::Block, Mode::Protect) if plan.holds_back(source, now_ms) && trial.take(now_ms) => {
            Decision::HoldBack(rule.id)
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{
        Attr, Collateral, Evidence, Family, Holdback, KnownValues, Plan, Predicate, Rule,
        Signature, ValueId, ValueKey,
    };

    fn blocking(holdback: Option<Holdback>, valid_until_ms: Option<u64>) -> CheckedPlan {
        let evidence = |family| Evidence { family, log_odds: 3.0, statement: String::new() };
        let rule = Rule {
            id: RuleId(1),
            signature: Signature::new(vec![Predicate::Is(Attr::UserAgent, ValueId(7))]),
            known: KnownValues::none(),
            action: Action::Block,
            words: String::new(),
            predicates: Vec::new(),
            projected: Collateral { hits: 0, records: 30_000 },
            evidence: vec![evidence(Family::Implementation), evidence(Family::Behaviour)],
            placed_at_ms: 0,
            expires_at_ms: 60_000,
        };
        let rules = vec![rule];
        let mode = Mode::Protect;
        let plan = Plan { mode, rules, valid_until_ms, holdback, ..Plan::default() };
        let (plan, rejected) = plan.check();
        assert!(rejected.is_empty(), "{rejected:?}");
        plan
    }

    /// Decisions about one request each of 10,000 sources, spread over `ms`.
    fn decisions(plan: &CheckedPlan, ms: u64) -> Vec<(Source, Decision)> {
        let (throttle, trial) = (ThrottleTable::new(), TrialBudget::new(0));
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(7);
        (0..10_000u32)
            .map(|n| {
                let source = Source::new(std::net::Ipv4Addr::from(0x0b00_0000 + n).into());
                let now_ms = u64::from(n) * ms / 10_000;
                (source, decide(plan, &attrs, source, (&throttle, &trial), now_ms))
            })
            .collect()
    }

    #[test]
    fn a_few_sources_are_let_through_and_everybody_else_is_blocked() {
        let plan = blocking(Some(Holdback::new(ValueKey::new(1, 2))), None);
        let held_back = decisions(&plan, 59_000)
            .into_iter()
            .filter(|(_, decision)| *decision == Decision::HoldBack(RuleId(1)));
        assert!((10..=60).contains(&held_back.count()));
        let at_once = decisions(&plan, 0).into_iter();
        let held_back = at_once.filter(|(_, d)| *d == Decision::HoldBack(RuleId(1))).count();
        assert_eq!(held_back, 5, "no more than the budget");
    }

    #[test]
    fn without_a_holdback_nobody_is_let_through() {
        let plan = blocking(None, None);
        assert!(decisions(&plan, 59_000).iter().all(|(_, d)| *d == Decision::Block(RuleId(1))));
    }

    /// A plan whose maker fell silent went on blocking until its rules ended, a minute later.
    #[test]
    fn when_the_plan_is_not_renewed_everybody_passes() {
        let plan = blocking(None, Some(5_000));
        for (n, (_, decision)) in decisions(&plan, 10_000).into_iter().enumerate() {
            let expected = if n < 5_000 { Decision::Block(RuleId(1)) } else { Decision::Pass };
            assert_eq!(decision, expected, "after {n} ms");
        }
    }
}
