//! The kernel's matcher on this host (HostRules) against the plain one (PacketSignature::matches):
//! the same rule speaks about every specimen, whatever the rules.

#[path = "support/frames.rs"]
#[allow(dead_code, reason = "the specimens use their part")]
mod frames;
#[path = "support/specimens.rs"]
#[allow(dead_code, reason = "not every test mutates")]
mod specimens;

use floodwall_model::packet::{
    PacketAttr, PacketFacts, PacketPredicate, PacketReason, PacketRule, PacketSignature,
};
use floodwall_model::{Collateral, RuleId};
use floodwall_xdp::host::{HostRules, Parsed, parse_frame, sanity};
use proptest::prelude::*;

const NOW_MS: u64 = 1_700_000_000_000;

fn facts() -> Vec<(&'static str, PacketFacts)> {
    let parsed =
        specimens::all().into_iter().filter_map(|(name, frame)| match parse_frame(&frame) {
            Parsed::Packet(packet) => Some((name, packet.facts)),
            _ => None,
        });
    parsed.collect()
}

fn rule(predicates: Vec<PacketPredicate>, expires_at_ms: u64) -> PacketRule {
    PacketRule {
        id: RuleId(1),
        signature: PacketSignature::new(predicates),
        words: String::new(),
        predicates: Vec::new(),
        projected: Collateral::default(),
        evidence: Vec::new(),
        placed_at_ms: NOW_MS,
        expires_at_ms,
    }
}

/// The slow way: every rule in order, one predicate after the other.
fn plainly(rules: &[PacketRule], facts: &PacketFacts, now_ms: u64) -> Option<usize> {
    rules.iter().position(|rule| rule.expires_at_ms > now_ms && rule.signature.matches(facts))
}

/// Predicates that specimens have a fair chance to fulfil: about values that one of them has.
fn predicate() -> impl Strategy<Value = PacketPredicate> {
    let all = facts();
    (0..all.len(), 0..PacketAttr::ALL.len(), any::<u16>(), 0..4u8).prop_map(
        move |(at, attr, other, kind)| {
            let attr = PacketAttr::ALL[attr];
            let value = all[at].1.value(attr);
            match kind {
                0 => PacketPredicate::Is(attr, value),
                1 => PacketPredicate::Between(attr, value.min(other), value.max(other)),
                2 => PacketPredicate::Bits(attr, other, value & other),
                _ => PacketPredicate::Is(attr, other & (attr.values() - 1) as u16),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_same_rule_speaks_as_by_plain_reading(
        rules in prop::collection::vec((prop::collection::vec(predicate(), 0..4), any::<bool>()), 0..=64),
    ) {
        let rules: Vec<PacketRule> = rules
            .into_iter()
            .map(|(predicates, live)| rule(predicates, if live { NOW_MS + 1 } else { NOW_MS }))
            .filter(|rule| !rule.signature.repeats_attr())
            .collect();
        let live: Vec<PacketRule> =
            rules.iter().filter(|rule| rule.expires_at_ms > NOW_MS).cloned().collect();
        let (host, host_live) = (HostRules::new(&rules), HostRules::new(&live));
        for (name, facts) in facts() {
            let found = host_live.matches(&facts, NOW_MS);
            prop_assert_eq!(found, plainly(&live, &facts, NOW_MS), "{}", name);
            // With rules that have ended among them the kernel may pass over a live one: it looks
            // at no more than FW_RULES_OVER_MAX of the ended. It must never let an ended one speak.
            let found = host.matches(&facts, NOW_MS);
            prop_assert!(found.is_none() || found == plainly(&rules, &facts, NOW_MS), "{}", name);
        }
    }
}

#[test]
fn a_rule_ends_by_itself_and_no_rules_match_nothing() {
    let rules = [rule(vec![PacketPredicate::Is(PacketAttr::Protocol, 17)], NOW_MS + 10)];
    let host = HostRules::new(&rules);
    for (name, facts) in facts() {
        let is_udp = facts.value(PacketAttr::Protocol) == 17;
        assert_eq!(host.matches(&facts, NOW_MS + 9), is_udp.then_some(0), "{name}");
        assert_eq!(host.matches(&facts, NOW_MS + 10), None, "{name}");
        assert_eq!(HostRules::new(&[]).matches(&facts, NOW_MS), None, "{name}");
    }
}

#[test]
fn sanity_names_what_is_wrong_with_a_specimen() {
    use PacketReason::{HeaderTooShort, ImpossibleFlags};
    let mut wrong: Vec<_> =
        facts().iter().filter_map(|(name, facts)| Some((*name, sanity(facts)?))).collect();
    wrong.sort_unstable();
    assert_eq!(
        wrong,
        [
            ("ipv4-icmp-of-four-bytes", HeaderTooShort),
            ("ipv4-tcp-header-length-below-its-minimum", HeaderTooShort),
            ("ipv4-tcp-of-ten-bytes", HeaderTooShort),
            ("ipv4-tcp-without-flags", ImpossibleFlags),
            ("ipv4-udp-length-below-its-header", HeaderTooShort),
            ("ipv4-udp-length-beyond-the-packet", HeaderTooShort),
            ("ipv6-length-zero-without-hop-by-hop", HeaderTooShort),
        ]
    );
}
