//! What brings a signature back and what does not, as sentences.

use super::*;
use floodwall_model::{Action, KnownSet, KnownValues, RuleId, ValueId};

const AGENT: u64 = 7;

fn rule(predicates: Vec<Predicate>) -> Rule {
    let mut known = KnownValues::none();
    known.learn(Attr::UserAgent, KnownSet::from_iter([ValueId(100)]));
    Rule {
        id: RuleId(1),
        signature: Signature::new(predicates),
        known,
        action: Action::Block,
        words: String::new(),
        predicates: Vec::new(),
        projected: Default::default(),
        evidence: Vec::new(),
        placed_at_ms: 0,
        expires_at_ms: 0,
    }
}

fn named() -> Rule {
    rule(vec![Predicate::Is(Attr::UserAgent, ValueId(AGENT))])
}

fn whoever_is_new() -> Rule {
    rule(vec![Predicate::Unseen(Attr::UserAgent)])
}

/// A table with one rule asleep that once matched 1,000 requests/s of an attack.
fn asleep(rule: Rule) -> StandbyTable {
    let mut table = StandbyTable::default();
    table.put_to_sleep(ActiveRule::new(rule, 0.0, 1_000.0, 0), 0, 0);
    table
}

/// What arrives per second while 100 requests/s are expected: how much of it looks like the attack,
/// how much does not, and whether the former are the attack's sources.
#[derive(Copy, Clone)]
struct Traffic {
    alike_rps: u64,
    others_rps: u64,
    same_sources: bool,
}

/// Ticks of 100 ms until the rule is back, within two seconds.
fn ticks_until_back(table: &mut StandbyTable, traffic: Traffic) -> Option<u64> {
    let mut blamed = Blamed::new();
    (0..3_000).for_each(|source| blamed.insert(source));
    let first_source = if traffic.same_sources { 0 } else { 1_000_000 };
    let request = |agent| {
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(agent);
        attrs[Attr::Claim] = ValueId(agent);
        attrs
    };
    (1..=20).find(|tick| {
        let due = |rps: u64| tick * rps / 10 - (tick - 1) * rps / 10;
        let (alike, others) = (due(traffic.alike_rps), due(traffic.others_rps));
        for n in 0..alike {
            table.watch(&request(AGENT), first_source + tick * 100 + n, &blamed);
        }
        for n in 0..others {
            table.watch(&request(100), 2_000_000 + n, &blamed);
        }
        let arrivals = Arrivals { interval_s: 0.1, requests: alike + others, expected_rps: 100.0 };
        !table.tick(arrivals, false, 1_000 + tick * 100).is_empty()
    })
}

fn check(rule: Rule, alike_rps: u64, others_rps: u64, same_sources: bool, expected: Option<u64>) {
    let traffic = Traffic { alike_rps, others_rps, same_sources };
    assert_eq!(ticks_until_back(&mut asleep(rule), traffic), expected);
}

#[test]
fn a_pulse_is_met_within_its_first_tick() {
    check(named(), 1_000, 100, true, Some(1));
    check(named(), 1_000, 100, false, Some(1));
    check(named(), 250, 100, false, Some(1));
}

#[test]
fn a_pulse_inside_a_crowd_is_met_too() {
    check(named(), 1_000, 5_000, true, Some(1));
}

#[test]
fn a_twentieth_of_the_old_attack_is_met_soon_if_nothing_else_rose() {
    let back = ticks_until_back(
        &mut asleep(named()),
        Traffic { alike_rps: 50, others_rps: 100, same_sources: false },
    );
    assert!(back.is_some_and(|ticks| ticks <= 15), "{back:?}");
}

#[test]
fn a_crowd_in_which_some_resemble_the_attack_does_not_bring_it_back() {
    check(named(), 20, 1_000, false, None);
    check(named(), 200, 5_000, false, None);
}

#[test]
fn a_few_stray_requests_do_not_bring_it_back() {
    check(named(), 4, 100, true, None);
    check(named(), 3, 0, true, None);
}

/// The rule was "whoever is new here". A crowd from an application that was published today is all
/// new, more of it than the attack ever was.
#[test]
fn a_crowd_of_newcomers_is_not_the_attack_that_was_new_too() {
    check(whoever_is_new(), 5_000, 100, false, None);
    check(whoever_is_new(), 1_000, 100, true, Some(1));
    let no_browser = || rule(vec![Predicate::Is(Attr::Claim, ValueId(AGENT))]);
    check(no_browser(), 5_000, 100, false, None);
    check(no_browser(), 1_000, 100, true, Some(1));
}

#[test]
fn dormancy_lasts_ten_minutes_or_twice_the_gap_and_never_more_than_a_day() {
    let kept_ms = |gap_ms: u64| {
        let mut table = StandbyTable::default();
        table.put_to_sleep(ActiveRule::new(named(), 0.0, 1_000.0, 0), gap_ms, 0);
        let quiet = Arrivals { interval_s: 1.0, requests: 0, expected_rps: 0.0 };
        let mut now_ms = 0;
        while !table.is_empty() {
            now_ms += 60_000;
            assert!(table.tick(quiet, false, now_ms).is_empty());
        }
        now_ms
    };
    assert_eq!(kept_ms(0), 600_000);
    assert_eq!(kept_ms(1_800_000), 3_600_000);
    assert_eq!(kept_ms(20 * 3_600_000), 24 * 3_600_000);
}

#[test]
fn a_backup_waits_for_as_long_as_its_rule_is_in_force() {
    let mut table = StandbyTable::default();
    table.keep_backup(ActiveRule::new(named(), 0.0, 1_000.0, 0), 0);
    let quiet = Arrivals { interval_s: 1.0, requests: 0, expected_rps: 0.0 };
    table.tick(quiet, true, 5_000_000);
    assert_eq!(table.backups(), 1);
    table.tick(quiet, false, 5_000_000 + DORMANT_MS_MIN);
    assert_eq!(table.backups(), 0);
}

#[test]
fn a_full_table_lets_the_one_go_that_would_go_first_and_counts_it() {
    let mut table = StandbyTable::default();
    for n in 0..=STANDBY_MAX as u64 {
        let one = rule(vec![Predicate::Is(Attr::UserAgent, ValueId(n + 2))]);
        table.put_to_sleep(ActiveRule::new(one, 0.0, 10.0, 0), 0, n);
    }
    assert_eq!(table.occupancy(), (STANDBY_MAX, STANDBY_MAX, 1));
    assert!(!table.has(&Signature::new(vec![Predicate::Is(Attr::UserAgent, ValueId(2))])));
}

#[test]
fn what_was_withdrawn_waits_no_longer() {
    let mut table = asleep(named());
    table.remove(&named().signature);
    assert!(table.is_empty());
}

/// The key only spares work: whoever matches in full is counted, whoever does not is not.
#[test]
fn the_key_of_a_signature_changes_nothing_about_what_matches() {
    let no_cookie = Predicate::Is(Attr::CookieState, ValueId::ABSENT);
    let by_agent = Predicate::Is(Attr::UserAgent, ValueId(AGENT));
    let unseen = Predicate::Unseen(Attr::UserAgent);
    let signatures = [
        vec![by_agent],
        vec![no_cookie, by_agent],
        vec![no_cookie, unseen],
        vec![unseen],
        vec![Predicate::Is(Attr::Method, ValueId(3)), by_agent],
    ];
    let blamed = Blamed::new();
    let mut random = fastrand::Rng::with_seed(7);
    for predicates in signatures {
        let one = rule(predicates);
        let mut table = asleep(one.clone());
        let mut expected = 0;
        for _ in 0..2_000 {
            let mut attrs = Attrs::default();
            attrs[Attr::UserAgent] = ValueId([AGENT, 100, 8][random.usize(..3)]);
            attrs[Attr::CookieState] = ValueId(random.u64(1..3));
            attrs[Attr::Method] = ValueId(random.u64(2..4));
            expected += u32::from(one.matches(&attrs));
            table.watch(&attrs, 1, &blamed);
        }
        assert_eq!(table.waiting()[0].tick, expected, "{:?}", one.signature);
        assert!((1..2_000).contains(&expected), "{:?}", one.signature);
    }
}
