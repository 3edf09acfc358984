//! The lives of rules, as sentences.

use super::*;
use crate::ending::Harm;
use floodwall_model::{
    Attr, Evidence, Family, Handling, KnownValues, Predicate, RequestKind, Source, Stage, ValueId,
};

const TTL_MS: u64 = 60_000;

fn rule(book: &RuleBook, now_ms: u64) -> Rule {
    let evidence = |family| Evidence { family, log_odds: 3.0, statement: String::new() };
    Rule {
        id: book.next_id(),
        signature: Signature::new(vec![Predicate::Is(Attr::UserAgent, ValueId(7))]),
        known: KnownValues::none(),
        action: Action::Block,
        words: String::new(),
        predicates: Vec::new(),
        projected: Collateral { hits: 0, records: 30_000 },
        evidence: vec![evidence(Family::Implementation), evidence(Family::Behaviour)],
        placed_at_ms: now_ms,
        expires_at_ms: now_ms + TTL_MS,
    }
}

fn around(now_ms: u64, ttl_ms: u64, kernel_active: bool) -> Surroundings {
    Surroundings {
        now_ms,
        interval_s: 0.1,
        ttl_ms,
        kernel_active_ms: kernel_active.then_some(now_ms),
        expected_rps: 100.0,
        excess_rps: 100.0,
        normal_behaving: 0.7,
        visitors: None,
        visitors_fall_short: false,
    }
}

fn request(handling: Handling) -> Observation {
    let mut attrs = Attrs::default();
    attrs[Attr::UserAgent] = ValueId(7);
    Observation {
        at_ms: 0,
        source: Source::new(std::net::Ipv4Addr::new(203, 0, 113, 9).into()),
        attrs,
        kind: RequestKind::Page,
        handling,
        stage: Stage::Whole,
        outcome: None,
        handshake: true,
    }
}

fn book_with_a_rule() -> RuleBook {
    let mut book = RuleBook::new(RuleIds::default());
    let sound = rule(&book, 0);
    book.place(sound, 0.0, 0).unwrap();
    book
}

#[test]
fn a_rule_lives_while_it_matches_and_ends_a_minute_after() {
    let mut book = book_with_a_rule();
    let mut now_ms = 0;
    for _ in 0..3_000 {
        now_ms += 100;
        for _ in 0..10 {
            book.note(&request(Handling::Blocked(RuleId(1))), false, 1);
        }
        assert!(book.tick(&around(now_ms, TTL_MS, false)).is_empty());
    }
    let stopped_ms = now_ms;
    while book.tick(&around(now_ms, TTL_MS, false)).is_empty() {
        now_ms += 100;
    }
    assert!(now_ms - stopped_ms <= TTL_MS, "{}", now_ms - stopped_ms);
}

/// A rule that one visitor in ten thousand matches lasted 68 seconds longer than its attack: its rate
/// fell so slowly that a stray ten seconds later still counted as a wave.
#[test]
fn a_stray_after_a_large_attack_does_not_prolong_its_rule() {
    let mut book = book_with_a_rule();
    let attack_ms = 10_000;
    let strays_ms = [attack_ms + 4_000, attack_ms + 10_000, attack_ms + 15_000];
    for now_ms in (100..attack_ms + TTL_MS).step_by(100) {
        let matches = if now_ms <= attack_ms { 100 } else { strays_ms.contains(&now_ms).into() };
        for _ in 0..matches {
            book.note(&request(Handling::Blocked(RuleId(1))), false, 1);
        }
        assert!(book.tick(&around(now_ms, TTL_MS, false)).is_empty());
    }
    let ended = book.tick(&around(attack_ms + TTL_MS, TTL_MS, false));
    assert_eq!(ended.len(), 1, "it lasts until {}", book.active()[0].rule.expires_at_ms);
}

#[test]
fn a_visitor_every_half_minute_does_not_keep_a_rule_for_ever() {
    let mut book = book_with_a_rule();
    for now_ms in (100..=300_000).step_by(100) {
        let matches = if now_ms <= 5_000 { 1 } else { u64::from(now_ms % 30_000 == 0) };
        for _ in 0..matches {
            book.note(&request(Handling::Blocked(RuleId(1))), false, 1);
        }
        if !book.tick(&around(now_ms, TTL_MS, false)).is_empty() {
            assert!(now_ms <= 5_000 + TTL_MS, "it lasted until {now_ms}");
            return;
        }
    }
    panic!("it never ended");
}

#[test]
fn a_rule_that_hits_visitors_is_withdrawn_and_not_placed_again() {
    let mut book = book_with_a_rule();
    for _ in 0..10 {
        book.note(&request(Handling::Blocked(RuleId(1))), true, 1);
    }
    for _ in 0..100 {
        book.note(&request(Handling::Passed), true, 1);
    }
    let ended = book.tick(&around(100, TTL_MS, false));
    assert_eq!(ended[0].why, Ending::Withdrawn(Harm::VisitorsHit));
    let again = rule(&book, 100);
    assert_eq!(book.place(again, 0.0, 100), Err(Rejection::Collateral));
}

#[test]
fn while_the_kernel_drops_banned_sources_the_rule_stays() {
    let mut book = book_with_a_rule();
    for tick in 1..=1_200 {
        assert!(book.tick(&around(tick * 100, TTL_MS, true)).is_empty());
    }
}

#[test]
fn a_plan_is_published_when_something_changed_and_for_renewals() {
    let mut book = book_with_a_rule();
    assert_eq!(book.publish(Mode::Protect, None, 0, TTL_MS).unwrap().rules().len(), 1);
    assert!(book.publish(Mode::Protect, None, 100, TTL_MS).is_none());
    assert!(book.publish(Mode::Protect, None, REPUBLISH_MS, TTL_MS).is_some());
}

/// A demo with rules that live four seconds lost them every time: renewals were published every
/// ten, and the gateway obeyed the expiry it knew.
#[test]
fn a_renewal_reaches_the_enforcers_before_the_expiry_they_know() {
    const SHORT_TTL_MS: u64 = 4_000;
    let mut book = book_with_a_rule();
    let mut told_ms = 0;
    for tick in 1..=600 {
        let now_ms = tick * 100;
        book.note(&request(Handling::Blocked(RuleId(1))), false, 1);
        book.tick(&around(now_ms, SHORT_TTL_MS, false));
        if let Some(plan) = book.publish(Mode::Protect, None, now_ms, SHORT_TTL_MS) {
            told_ms = plan.rules()[0].expires_at_ms;
        }
        assert!(told_ms > now_ms, "at {now_ms} the enforcers know {told_ms}");
    }
}

#[test]
fn an_unsound_rule_is_not_placed() {
    let mut book = RuleBook::new(RuleIds::default());
    let mut unsound = rule(&book, 0);
    unsound.evidence.pop();
    assert_eq!(book.place(unsound, 0.0, 0), Err(Rejection::OneFamily));
}

/// The limit that takes its place may be the same signature; as a block it stays away.
#[test]
fn a_rule_that_hits_visitors_a_little_too_often_is_demoted_after_three_seconds() {
    let mut book = book_with_a_rule();
    for n in 0..10_000 {
        let handling = if n % 400 == 0 { Handling::Blocked(RuleId(1)) } else { Handling::Passed };
        book.note(&request(handling), true, 1);
    }
    let mut now_ms = 100;
    let ended = loop {
        let ended = book.tick(&around(now_ms, TTL_MS, false));
        if !ended.is_empty() {
            break ended;
        }
        now_ms += 100;
    };
    assert_eq!(ended[0].why, Ending::Demoted(Harm::VisitorsHit));
    assert_eq!(now_ms, 3_100);
    let again = rule(&book, now_ms);
    let throttle = Rule {
        action: Action::Throttle { per_source_per_10s: 20 },
        expires_at_ms: now_ms + TTL_MS,
        ..again.clone()
    };
    assert_eq!(book.place(again, 0.0, now_ms), Err(Rejection::Collateral));
    book.place(throttle, 0.0, now_ms).expect("a limit per source");
    assert!(book.standby().is_empty(), "what was demoted does not wait to come back");
}

#[test]
fn with_many_rules_one_that_explains_nothing_makes_room_and_with_few_it_stays() {
    let placed = |count: u64| {
        let mut book = RuleBook::new(RuleIds::default());
        for n in 0..count {
            let mut one = rule(&book, 0);
            one.signature = Signature::new(vec![Predicate::Is(Attr::UserAgent, ValueId(n + 2))]);
            book.place(one, 0.0, 0).unwrap();
        }
        let mut ended = Vec::new();
        for tick in 1..=400u64 {
            for id in 2..=count {
                let handling = Handling::Blocked(RuleId(id as u32));
                (0..20).for_each(|_| book.note(&request(handling), false, 1));
            }
            // The first rule matches one request in a second: it lives, and is worth little.
            if tick % 10 == 0 {
                book.note(&request(Handling::Blocked(RuleId(1))), false, 1);
            }
            let around = Surroundings { excess_rps: 1_400.0, ..around(tick * 100, TTL_MS, false) };
            ended.extend(book.tick(&around).into_iter().map(|e| (e.active.rule.id, e.why)));
        }
        ended
    };
    assert_eq!(placed(RULES_AT_EASE as u64), []);
    assert_eq!(placed(RULES_AT_EASE as u64 + 1), [(RuleId(1), Ending::Idle)]);
}

#[test]
fn a_rule_that_sleeps_is_back_with_its_number_if_the_check_still_passes() {
    let arrivals = Arrivals { interval_s: 0.1, requests: 100, expected_rps: 10.0 };
    let back = |projected: Collateral| {
        let mut book = book_with_a_rule();
        for tick in 1..=100 {
            (0..100).for_each(|_| book.note(&request(Handling::Blocked(RuleId(1))), false, 1));
            book.tick(&around(tick * 100, TTL_MS, false));
        }
        assert_eq!(book.tick(&around(80_000, TTL_MS, false)).len(), 1);
        assert!(book.due(arrivals, 80_000).is_empty());
        (0..100).for_each(|_| book.note(&request(Handling::Passed), false, 1));
        let due = book.due(arrivals, 80_100).pop().expect("its attack is back");
        let result = book.rearm(due, projected, 80_100, TTL_MS);
        (result, book.active().iter().map(|a| a.rule.id).collect::<Vec<_>>())
    };
    assert_eq!(back(Collateral { hits: 0, records: 30_000 }), (Ok(()), vec![RuleId(1)]));
    // Meanwhile its user agent became a visitor's.
    let common = Collateral { hits: 300, records: 30_000 };
    assert_eq!(back(common), (Err(Rejection::Collateral), vec![]));
}

#[test]
fn enforcers_hear_of_the_plan_in_time_and_stop_five_seconds_after_the_last_word() {
    let mut book = book_with_a_rule();
    let mut told = book.publish(Mode::Protect, None, 0, TTL_MS).unwrap();
    for tick in 1..=300 {
        let now_ms = tick * 100;
        book.note(&request(Handling::Blocked(RuleId(1))), false, 1);
        book.tick(&around(now_ms, TTL_MS, false));
        told = book.publish(Mode::Protect, None, now_ms, TTL_MS).unwrap_or(told);
        assert!(told.is_valid(now_ms + 2_000), "at {now_ms}");
    }
    assert!(!told.is_valid(30_000 + PLAN_VALID_MS));
    assert!(told.rules()[0].expires_at_ms > 30_000 + PLAN_VALID_MS, "its rule would have lasted");
}
