//! What is done with packets under plans, sentence by sentence.

use std::net::Ipv4Addr;

use floodwall_model::Mode;
use floodwall_model::packet::{
    ICMP_ERRORS, ICMP_QUESTIONS, PACKET_ATTR_COUNT, PacketPlan, PacketPredicate, PacketSignature,
};
use floodwall_model::plan::{Collateral, Evidence, Family};

use super::*;

fn facts(class: PacketClass, protocol: u8) -> PacketFacts {
    let mut values = [0; PACKET_ATTR_COUNT];
    values[PacketAttr::Protocol as usize] = u16::from(protocol);
    values[PacketAttr::Ttl as usize] = 64;
    PacketFacts {
        source: Ipv4Addr::new(198, 51, 100, 7).into(),
        destination: Ipv4Addr::new(192, 0, 2, 1).into(),
        class,
        values,
        sequence: 0,
        acknowledgement: 0,
        frame_bytes: 60,
    }
}

/// A rule against a TTL, in force until `expires_at_ms`.
fn rule(id: u32, ttl: u16, expires_at_ms: u64) -> PacketRule {
    let evidence = |family| Evidence { family, log_odds: 4.0, statement: String::new() };
    PacketRule {
        id: RuleId(id),
        signature: PacketSignature::new(vec![PacketPredicate::Is(PacketAttr::Ttl, ttl)]),
        words: String::new(),
        predicates: Vec::new(),
        projected: Collateral { hits: 0, records: 100_000 },
        evidence: vec![evidence(Family::Implementation), evidence(Family::Behaviour)],
        placed_at_ms: 0,
        expires_at_ms,
    }
}

fn plan(rules: Vec<PacketRule>, guards: Guards, guards_until_ms: u64) -> Arc<CheckedPacketPlan> {
    let plan = PacketPlan {
        revision: 1,
        made_at_ms: 0,
        mode: Mode::Protect,
        rules,
        guards,
        guards_until_ms,
    };
    let (checked, rejected) = plan.check();
    assert_eq!(rejected, []);
    Arc::new(checked)
}

const NOBODY: Standing = Standing { solicited: false, to_service: false };
const ANSWER: Standing = Standing { solicited: true, to_service: false };
const TO_SERVICE: Standing = Standing { solicited: false, to_service: true };

fn guarded(guards: Guards) -> Enforcement {
    let mut enforcement = Enforcement::default();
    enforcement.publish(plan(Vec::new(), guards, 60_000), 0);
    enforcement
}

#[test]
fn the_first_rule_that_matches_speaks_until_it_ends_and_a_fault_speaks_before_any() {
    let mut enforcement = Enforcement::default();
    let rules = vec![rule(3, 64, 1_000), rule(4, 64, 2_000)];
    enforcement.publish(plan(rules, Guards::default(), 0), 0);
    let packet = facts(PacketClass::Udp, UDP);
    let mut at = |fault, now_ms| enforcement.decide(&packet, fault, NOBODY, true, now_ms);
    assert_eq!(at(None, 0), Decision::Drop(RuleId(3)));
    let fault = PacketReason::PortZero;
    assert_eq!(at(Some(fault), 1), Decision::Refuse(fault));
    assert_eq!(at(None, 999), Decision::Drop(RuleId(3)));
    assert_eq!(at(None, 1_000), Decision::Drop(RuleId(4)));
    assert_eq!(at(None, 2_000), Decision::Pass);
}

#[test]
fn tcp_that_belongs_to_nothing_is_dropped_while_that_is_guarded() {
    let mut enforcement = guarded(Guards { tcp_state: true, ..Guards::default() });
    let mut at = |class, standing, both_ways, now_ms| {
        enforcement.decide(&facts(class, TCP), None, standing, both_ways, now_ms)
    };
    let out_of_state = Decision::Refuse(PacketReason::OutOfState);
    for class in [PacketClass::Ack, PacketClass::Rst, PacketClass::SynAck, PacketClass::Data] {
        assert_eq!(at(class, NOBODY, true, 1), out_of_state);
        assert_eq!(at(class, ANSWER, true, 1), Decision::Pass);
    }
    assert_eq!(at(PacketClass::Syn, NOBODY, true, 1), Decision::Pass);
    assert_eq!(at(PacketClass::Fragment, NOBODY, true, 1), Decision::Pass);
    assert_eq!(at(PacketClass::Ack, NOBODY, false, 1), Decision::Pass, "one direction recorded");
    assert_eq!(at(PacketClass::Ack, NOBODY, true, 60_000), Decision::Pass, "guards end");
    assert_eq!(enforcement.tally().unjudged, 1);
    assert_eq!(enforcement.spans.len(), 1);
    assert_eq!(enforcement.spans[0].until_ms, Some(60_000));
}

#[test]
fn udp_that_nobody_asked_for_is_dropped_unless_it_goes_to_a_service_or_to_many() {
    let mut enforcement = guarded(Guards { udp_solicited: true, ..Guards::default() });
    let mut at = |packet, standing| enforcement.decide(&packet, None, standing, true, 1);
    let unsolicited = Decision::Refuse(PacketReason::UnsolicitedUdp);
    assert_eq!(at(facts(PacketClass::Udp, UDP), NOBODY), unsolicited);
    assert_eq!(at(facts(PacketClass::Fragment, UDP), NOBODY), unsolicited);
    assert_eq!(at(facts(PacketClass::Udp, UDP), ANSWER), Decision::Pass);
    assert_eq!(at(facts(PacketClass::Udp, UDP), TO_SERVICE), Decision::Pass);
    assert_eq!(at(facts(PacketClass::Ack, TCP), NOBODY), Decision::Pass);
    let multicast = Ipv4Addr::new(224, 0, 0, 251).into();
    let to_many = PacketFacts { destination: multicast, ..facts(PacketClass::Udp, UDP) };
    assert_eq!(at(to_many, NOBODY), Decision::Pass);
}

#[test]
fn icmp_is_held_to_a_small_rate_but_for_what_the_network_needs_and_what_answers_a_ping() {
    let mut enforcement = guarded(Guards { icmp: true, ..Guards::default() });
    let message = |kind, code| {
        let mut facts = facts(PacketClass::Icmp, 1);
        facts.values[PacketAttr::SourcePort as usize] = kind;
        facts.values[PacketAttr::DestinationPort as usize] = code;
        facts
    };
    let mut passed = |packet: PacketFacts, standing, now_ms| {
        let mut decide = || enforcement.decide(&packet, None, standing, false, now_ms);
        let decisions: Vec<Decision> = (0..100).map(|_| decide()).collect();
        let refused = Decision::Refuse(PacketReason::IcmpRate);
        assert!(decisions.iter().all(|d| *d == Decision::Pass || *d == refused));
        decisions.iter().filter(|d| **d == Decision::Pass).count() as u32
    };
    assert_eq!(passed(message(3, 4), NOBODY, 1), 100, "path MTU");
    assert_eq!(passed(message(3, 3), NOBODY, 1), ICMP_ERRORS.burst);
    assert_eq!(passed(message(3, 3), ANSWER, 1), 0, "whatever an error quotes");
    assert_eq!(passed(message(8, 0), NOBODY, 1), ICMP_QUESTIONS.burst);
    assert_eq!(passed(message(0, 0), NOBODY, 1), 0, "an answer nobody asked for");
    assert_eq!(passed(message(0, 0), ANSWER, 1), 100, "the answer to a ping");
    assert_eq!(passed(facts(PacketClass::Fragment, 1), NOBODY, 1), 0, "a later piece");
    assert_eq!(passed(facts(PacketClass::Udp, UDP), NOBODY, 1), 100, "UDP");
    assert_eq!(passed(message(8, 0), NOBODY, 1_001), ICMP_QUESTIONS.rate_pps);
    let multicast = Ipv4Addr::new(224, 0, 0, 1).into();
    assert_eq!(passed(PacketFacts { destination: multicast, ..message(8, 0) }, NOBODY, 1_001), 100);
    assert_eq!(passed(message(8, 0), NOBODY, 60_000), 100, "guards end");
}

#[test]
fn a_syn_is_challenged_and_nothing_else() {
    let mut enforcement = guarded(Guards { syn_proof: true, ..Guards::default() });
    let mut at = |class| enforcement.decide(&facts(class, TCP), None, NOBODY, true, 1);
    assert_eq!(at(PacketClass::Syn), Decision::Challenge(PacketReason::CookieSent));
    assert_eq!(at(PacketClass::Ack), Decision::Pass);
}
