//! A rule's life: placed, renewed, quiet, back, withdrawn.

use floodwall_model::packet::{PACKET_ATTR_COUNT, PacketAttr, PacketClass, PacketPredicate};
use floodwall_model::{Collateral, Evidence, Family, RuleIds};

use super::*;

const STEP_S: f64 = 0.05;
const STEP_MS: u64 = 50;

fn rule(id: u32, port: u16) -> PacketRule {
    let evidence = |family, log_odds| Evidence { family, log_odds, statement: String::new() };
    PacketRule {
        id: RuleId(id),
        signature: PacketSignature::new(vec![
            PacketPredicate::Is(PacketAttr::Protocol, 17),
            PacketPredicate::Is(PacketAttr::SourcePort, port),
        ]),
        words: String::new(),
        predicates: Vec::new(),
        projected: Collateral { hits: 0, records: 10_000 },
        evidence: vec![evidence(Family::Inconsistency, 3.0), evidence(Family::Behaviour, 4.0)],
        placed_at_ms: 0,
        expires_at_ms: 0,
    }
}

fn packet(port: u16) -> PacketFacts {
    let mut values = [0; PACKET_ATTR_COUNT];
    values[PacketAttr::Protocol as usize] = 17;
    values[PacketAttr::SourcePort as usize] = port;
    PacketFacts {
        source: std::net::Ipv4Addr::new(203, 0, 113, 5).into(),
        destination: std::net::Ipv4Addr::new(192, 0, 2, 1).into(),
        class: PacketClass::Udp,
        values,
        sequence: 0,
        acknowledgement: 0,
        frame_bytes: 100,
    }
}

fn placed() -> PacketRules {
    let mut rules = PacketRules::new(Mode::Protect, RuleIds::default());
    rules.place(rule(1, 7_777), 1_000.0, 0).unwrap();
    rules
}

/// Steps at `pps` until `until_ms`; returns when the rule ended, if it did.
fn run(rules: &mut PacketRules, from_ms: u64, until_ms: u64, pps: f64) -> Option<u64> {
    (from_ms..until_ms).step_by(STEP_MS as usize).find(|now_ms| {
        rules.matched(RuleId(1), (pps * STEP_S) as u64, STEP_S);
        !rules.tick(*now_ms, STEP_S).is_empty()
    })
}

#[test]
fn a_rule_that_matches_is_renewed_before_its_end() {
    let mut rules = placed();
    for minute in 0..10 {
        assert_eq!(run(&mut rules, minute * 60_000, (minute + 1) * 60_000, 1_000.0), None);
        let now_ms = (minute + 1) * 60_000;
        assert!(rules.active()[0].rule.expires_at_ms > now_ms, "minute {minute}");
    }
}

#[test]
fn a_rule_is_out_of_force_within_a_minute_after_the_flood() {
    let mut rules = placed();
    assert_eq!(run(&mut rules, 0, 20_000, 1_000.0), None);
    let ended = run(&mut rules, 20_000, 120_000, 0.0);
    assert!(ended.is_some_and(|at_ms| at_ms <= 80_000), "{ended:?}");
    assert!(rules.publish(ended.unwrap()).is_some_and(|plan| plan.rules().is_empty()));
}

#[test]
fn what_comes_back_meets_its_rule_in_the_same_step() {
    let mut rules = placed();
    run(&mut rules, 0, 20_000, 1_000.0);
    let ended_ms = run(&mut rules, 20_000, 120_000, 0.0).unwrap();
    rules.publish(ended_ms);
    let matches = |s: &PacketSignature| if s.matches(&packet(7_777)) { 1_000.0 } else { 0.0 };
    assert_eq!(rules.rearm(ended_ms + 300_000, |_| 0.5), []);
    assert_eq!(rules.rearm(ended_ms + 300_050, matches), [RuleId(1)]);
    let plan = rules.publish(ended_ms + 300_050).expect("a new plan");
    assert_eq!(plan.rules()[0].id, RuleId(1));
    assert!(rules.covers(&packet(7_777)) && !rules.covers(&packet(7_778)));
}

#[test]
fn a_rule_that_hits_conversations_is_withdrawn() {
    let mut rules = placed();
    run(&mut rules, 0, 5_000, 1_000.0);
    for _ in 0..200 {
        rules.honest_hit(&packet(7_777));
    }
    let ended = rules.tick(5_050, STEP_S);
    assert!(ended.first().is_some_and(|e| e.why.starts_with("withdrawn")), "{ended:?}");
    assert_eq!(rules.rearm(6_000, |_| 1e6), [], "and does not come back");
}

#[test]
fn a_rule_without_two_kinds_of_evidence_is_refused() {
    let mut rules = PacketRules::new(Mode::Protect, RuleIds::default());
    let mut lonely = rule(1, 53);
    lonely.evidence.truncate(1);
    assert_eq!(rules.place(lonely, 1_000.0, 0), Err(Rejection::OneFamily));
    let mut harmful = rule(1, 53);
    harmful.projected = Collateral { hits: 100, records: 10_000 };
    assert_eq!(rules.place(harmful, 1_000.0, 0), Err(Rejection::Collateral));
    assert!(rules.publish(0).is_none());
}

#[test]
fn no_more_rules_than_the_kernel_has_bits() {
    let mut rules = PacketRules::new(Mode::Protect, RuleIds::default());
    for n in 0..PACKET_RULES_MAX as u32 {
        rules.place(rule(n + 1, 1_000 + n as u16), 1_000.0, 0).unwrap();
    }
    assert_eq!(rules.place(rule(99, 5), 1_000.0, 0), Err(Rejection::TooManyRules));
}
