//! What a plan's check lets through and what it does not, as sentences.

use super::*;
use crate::claim::Claim;
use crate::value::{Attr, ValueId};

fn evidence(family: Family, log_odds: f64) -> Evidence {
    Evidence { family, log_odds, statement: String::new() }
}

/// A block rule that passes every check.
fn sound() -> Rule {
    Rule {
        id: RuleId(1),
        signature: Signature::new(vec![
            Predicate::Is(Attr::UserAgent, ValueId(7)),
            Predicate::Is(Attr::PathTemplate, ValueId(8)),
        ]),
        known: KnownValues::none(),
        action: Action::Block,
        words: String::new(),
        predicates: Vec::new(),
        projected: Collateral { hits: 0, records: 30_000 },
        evidence: vec![evidence(Family::Implementation, 3.0), evidence(Family::Behaviour, 4.0)],
        placed_at_ms: 1_000,
        expires_at_ms: 61_000,
    }
}

fn check(change: impl FnOnce(&mut Rule), expected: Option<Rejection>) {
    let mut rule = sound();
    change(&mut rule);
    let plan = Plan { made_at_ms: 1_000, rules: vec![rule], ..Plan::default() };
    let (_, rejected) = plan.check();
    assert_eq!(rejected.first().map(|r| r.why), expected);
}

#[test]
fn a_sound_rule_is_kept() {
    check(|_| (), None);
}

#[test]
fn a_rule_of_path_alone_is_what_a_crowd_looks_like() {
    check(
        |r| r.signature = Signature::new(vec![Predicate::Is(Attr::PathTemplate, ValueId(8))]),
        Some(Rejection::ContextOnly),
    );
}

#[test]
fn a_rule_of_where_it_comes_from_is_what_a_crowd_from_there_looks_like() {
    let places = || Attr::ALL.into_iter().filter(|attr| attr.is_place());
    let of = |attrs: &[Attr]| {
        Signature::new(attrs.iter().map(|attr| Predicate::Is(*attr, ValueId(8))).collect())
    };
    for attr in places() {
        check(|r| r.signature = of(&[attr]), Some(Rejection::ContextOnly));
        let asked = [attr, Attr::PathTemplate, Attr::Method];
        check(|r| r.signature = of(&asked), Some(Rejection::ContextOnly));
        // It may narrow what names software.
        check(|r| r.signature = of(&[attr, Attr::UserAgent]), None);
    }
    let all: Vec<Attr> = places().collect();
    check(|r| r.signature = of(&all), Some(Rejection::ContextOnly));
}

#[test]
fn where_it_comes_from_is_none_of_the_two_kinds_of_evidence() {
    let with = |other: Family, log_odds: f64| {
        vec![evidence(other, log_odds), evidence(Family::Network, 100.0)]
    };
    check(|r| r.evidence = with(Family::Implementation, 3.0), Some(Rejection::OneFamily));
    check(|r| r.evidence = with(Family::Behaviour, 4.0), Some(Rejection::OneFamily));
    // Both kinds are there and weak: what they lack, up to its cap, it may add.
    let both = |behaviour: f64| {
        let mut both = with(Family::Implementation, 1.0);
        both.push(evidence(Family::Behaviour, behaviour));
        both
    };
    check(|r| r.evidence = both(1.4), Some(Rejection::WeakEvidence));
    check(|r| r.evidence = both(1.5), None);
}

#[test]
fn one_family_is_not_enough() {
    check(|r| r.evidence = vec![evidence(Family::Implementation, 3.0)], Some(Rejection::OneFamily));
    check(
        |r| {
            r.evidence =
                vec![evidence(Family::Implementation, 3.0), evidence(Family::Inconsistency, 3.0)]
        },
        Some(Rejection::OneFamily),
    );
}

#[test]
fn busy_sources_alone_are_throttled_unless_their_software_is_new_here() {
    let busy = |identity| vec![evidence(identity, 3.0), evidence(Family::PerSource, 2.0)];
    check(|r| r.evidence = busy(Family::Implementation), Some(Rejection::OneFamily));
    check(|r| r.evidence = busy(Family::Inconsistency), None);
}

#[test]
fn a_declared_event_tips_what_is_close_and_vetoes_nothing() {
    let declared = |behaviour| {
        vec![
            evidence(Family::Implementation, 3.0),
            evidence(Family::Behaviour, behaviour),
            evidence(Family::Provenance, -1.5),
        ]
    };
    check(|r| r.evidence = declared(4.0), None);
    check(|r| r.evidence = declared(2.0), Some(Rejection::WeakEvidence));
}

#[test]
fn a_strong_contrary_family_vetoes() {
    check(|r| r.evidence.push(evidence(Family::PerSource, -2.0)), Some(Rejection::WeakEvidence));
}

#[test]
fn a_family_cannot_outvote_its_cap() {
    check(
        |r| {
            r.evidence = vec![
                evidence(Family::Ramp, 100.0),
                evidence(Family::Implementation, 1.0),
                evidence(Family::Behaviour, 1.0),
            ]
        },
        Some(Rejection::WeakEvidence),
    );
}

#[test]
fn unmeasured_collateral_is_not_zero() {
    check(|r| r.projected = Collateral::default(), Some(Rejection::Collateral));
    check(|r| r.projected = Collateral { hits: 40, records: 30_000 }, Some(Rejection::Collateral));
}

#[test]
fn a_small_site_needs_a_clean_sample_and_strong_evidence() {
    check(|r| r.projected = Collateral { hits: 0, records: 400 }, None);
    check(|r| r.projected = Collateral { hits: 1, records: 400 }, Some(Rejection::Collateral));
    check(|r| r.projected = Collateral { hits: 0, records: 50 }, Some(Rejection::Collateral));
}

/// A rule on next to no past: it aims at what no browser sends, and its senders behave like nobody.
fn on_a_thin_past(rule: &mut Rule) {
    let claim = Predicate::Is(Attr::Claim, Claim::Undressed.id());
    rule.signature = Signature::new(vec![claim, Predicate::Is(Attr::HeaderOrder, ValueId(7))]);
    rule.projected = Collateral { hits: 0, records: 12 };
    rule.evidence = vec![evidence(Family::Inconsistency, 3.0), evidence(Family::Behaviour, 4.0)];
}

#[test]
fn on_next_to_no_past_every_single_condition_counts() {
    let with = |change: &dyn Fn(&mut Rule), expected: Option<Rejection>| {
        check(
            |r| {
                on_a_thin_past(r);
                change(r);
            },
            expected,
        );
    };
    let refused = Some(Rejection::Collateral);
    let aims_at = |predicate| move |r: &mut Rule| r.signature = Signature::new(vec![predicate]);
    with(&|_| (), None);
    with(&|r| r.projected.records = 0, None);
    with(&|r| r.projected.hits = 1, refused);
    with(&aims_at(Predicate::Is(Attr::HeaderOrder, ValueId(7))), refused);
    with(&aims_at(Predicate::Is(Attr::Claim, Claim::Contradicted.id())), None);
    with(
        &|r| {
            let claim = Predicate::Is(Attr::Claim, Claim::Browser.id());
            let order = Predicate::Is(Attr::HeaderOrder, ValueId(7));
            r.signature = Signature::new(vec![claim, order]);
        },
        refused,
    );
    with(
        &|r| {
            let claim = Predicate::Is(Attr::Claim, Claim::Undressed.id());
            r.signature = Signature::new(vec![claim, Predicate::Unseen(Attr::HeaderOrder)]);
        },
        refused,
    );
    with(&|r| r.evidence[1].log_odds = 3.9, refused);
    with(&|r| r.evidence[0].log_odds = 1.5, refused);
    with(&|r| r.evidence.push(evidence(Family::Ramp, -1.0)), refused);
}

#[test]
fn never_seen_before_needs_a_larger_clean_sample() {
    let unseen = Signature::new(vec![Predicate::Unseen(Attr::Implementation)]);
    let with = |records, expected| {
        check(
            |r| {
                r.signature = unseen.clone();
                r.projected = Collateral { hits: 0, records };
            },
            expected,
        );
    };
    with(30_000, None);
    with(1_000, None);
    with(400, Some(Rejection::Collateral));
}

#[test]
fn every_rule_expires() {
    check(|r| r.expires_at_ms = 1_000, Some(Rejection::Expiry));
    check(|r| r.expires_at_ms = u64::MAX, Some(Rejection::Expiry));
}

#[test]
fn a_throttle_leaves_honest_visitors_room() {
    check(|r| r.action = Action::Throttle { per_source_per_10s: 30 }, None);
    check(|r| r.action = Action::Throttle { per_source_per_10s: 5 }, Some(Rejection::LimitTooLow));
}

#[test]
fn rules_beyond_the_maximum_are_left_out_and_said() {
    let rules = (0..RULES_MAX as u32 + 3).map(|id| Rule { id: RuleId(id), ..sound() }).collect();
    let (plan, rejected) = Plan { made_at_ms: 1_000, rules, ..Plan::default() }.check();
    assert_eq!(plan.rules().len(), RULES_MAX);
    assert!(rejected.iter().all(|r| r.why == Rejection::TooManyRules));
    assert_eq!(rejected.len(), 3);
}

#[test]
fn an_expired_rule_matches_nobody_even_if_the_engine_is_gone() {
    let (plan, _) = Plan { made_at_ms: 1_000, rules: vec![sound()], ..Plan::default() }.check();
    let mut attrs = Attrs::default();
    attrs[Attr::UserAgent] = ValueId(7);
    attrs[Attr::PathTemplate] = ValueId(8);
    assert!(plan.decide(&attrs, 60_999).is_some());
    assert!(plan.decide(&attrs, 61_000).is_none());
}

#[test]
fn the_upper_bound_covers_the_share() {
    for (hits, records) in [(0, 10), (0, 3_000), (5, 100), (100, 100)] {
        let c = Collateral { hits, records };
        assert!(c.upper_bound() >= c.share() && c.upper_bound() <= 1.0);
    }
    assert!(Collateral { hits: 0, records: 3_000 }.upper_bound() < 0.001);
}

/// One set of known values for a whole plan was that of the rule placed last: a rule on unseen values
/// of another attack then matched by a past that was not its own.
#[test]
fn each_rule_matches_by_the_past_it_was_placed_with() {
    let past = |agents: &[u64]| {
        let mut known = KnownValues::none();
        known.learn(Attr::UserAgent, agents.iter().copied().map(ValueId).collect());
        known
    };
    let unseen = |id, known| Rule {
        id: RuleId(id),
        signature: Signature::new(vec![Predicate::Unseen(Attr::UserAgent)]),
        known,
        ..sound()
    };
    let rules = vec![unseen(1, past(&[7])), unseen(2, past(&[7, 8]))];
    let (plan, rejected) = Plan { made_at_ms: 1_000, rules, ..Plan::default() }.check();
    assert!(rejected.is_empty(), "{rejected:?}");
    let decided = |agent| {
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(agent);
        plan.decide(&attrs, 2_000).map(|rule| rule.id)
    };
    assert_eq!(decided(7), None, "both knew it");
    assert_eq!(decided(8), Some(RuleId(1)), "the second attack came when 8 was known");
    let after_the_first =
        Plan { made_at_ms: 1_000, rules: vec![unseen(2, past(&[7, 8]))], ..Plan::default() };
    let mut attrs = Attrs::default();
    attrs[Attr::UserAgent] = ValueId(8);
    assert!(after_the_first.check().0.decide(&attrs, 2_000).is_none());
}

#[test]
fn a_plan_that_is_not_renewed_in_time_refuses_nobody() {
    let valid_until_ms = Some(6_000);
    let plan = Plan { made_at_ms: 1_000, rules: vec![sound()], valid_until_ms, ..Plan::default() };
    let (plan, _) = plan.check();
    let mut attrs = Attrs::default();
    attrs[Attr::UserAgent] = ValueId(7);
    attrs[Attr::PathTemplate] = ValueId(8);
    assert!(plan.decide(&attrs, 5_999).is_some());
    assert!(plan.decide(&attrs, 6_000).is_none(), "its rules would last until 61,000");
}
