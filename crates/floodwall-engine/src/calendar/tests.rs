use floodwall_model::event::Repeat;
use floodwall_model::{Attrs, EventPath, RequestKind};

use super::*;

const HOUR_MS: u64 = 3_600_000;

fn event(name: &str, paths: &[&str]) -> Event {
    Event {
        name: name.into(),
        from_ms: 10 * HOUR_MS,
        until_ms: 12 * HOUR_MS,
        repeat: None,
        paths: paths.iter().map(|path| EventPath::parse(path).unwrap()).collect(),
        expected_factor: None,
    }
}

fn path(id: u64, text: &str) -> ValueName {
    ValueName { attr: Attr::PathTemplate, id: ValueId(id), text: text.into() }
}

/// Paths by id: 2 is declared, 3 lies below a declared directory, 4 is neither.
fn names() -> Vec<ValueName> {
    vec![path(2, "/results"), path(3, "/live/{n}/stream"), path(4, "/search")]
}

fn calendar() -> Calendar {
    let mut names_kept = Names::new();
    names_kept.learn(&names());
    Calendar::new(vec![event("night", &["/results", "/live/*"])], &names_kept)
}

fn requests(path: u64, at_ms: u64, count: usize) -> Vec<Record> {
    let mut attrs = Attrs::default();
    attrs[Attr::PathTemplate] = ValueId(path);
    let kind = RequestKind::Page;
    vec![
        Record { at_ms, source: 1, attrs, kind, explained: false, passed: true, prompted: false };
        count
    ]
}

fn says(calendar: &Calendar, records: &[Record], so_far: &[Evidence]) -> Option<f64> {
    let matched: Vec<&Record> = records.iter().collect();
    calendar.provenance(&matched, so_far).map(|evidence| evidence.log_odds)
}

#[test]
fn the_prior_holds_for_declared_paths_in_declared_time_only() {
    let calendar = calendar();
    let now_ms = 11 * HOUR_MS;
    for (what, path, at_ms, expected) in [
        ("the declared page", 2, now_ms, Some(-1.5)),
        ("below the declared directory", 3, now_ms, Some(-1.5)),
        ("another page", 4, now_ms, None),
        ("a page nobody announced", 99, now_ms, None),
        ("no page at all", 0, now_ms, None),
        ("a minute too early", 2, 10 * HOUR_MS - 60_000, None),
        ("a minute too late", 2, 12 * HOUR_MS + 60_000, None),
    ] {
        assert_eq!(says(&calendar, &requests(path, at_ms, 50), &[]), expected, "{what}");
    }
}

#[test]
fn nine_of_ten_requests_must_be_for_declared_paths() {
    let calendar = calendar();
    for (declared, others, expected) in [(90, 10, Some(-1.5)), (89, 11, None)] {
        let mut records = requests(2, 11 * HOUR_MS, declared);
        records.extend(requests(4, 11 * HOUR_MS, others));
        assert_eq!(says(&calendar, &records, &[]), expected);
    }
    assert_eq!(says(&calendar, &[], &[]), None);
}

#[test]
fn what_conduct_proves_the_calendar_does_not_doubt() {
    let calendar = calendar();
    let records = requests(2, 11 * HOUR_MS, 50);
    let evidence = |family, log_odds| Evidence { family, log_odds, statement: String::new() };
    for (family, log_odds, expected) in [
        (Family::Behaviour, 4.0, None),
        (Family::Probe, 5.0, None),
        (Family::Behaviour, 2.0, Some(-1.5)),
        (Family::Implementation, 3.0, Some(-1.5)),
    ] {
        assert_eq!(
            says(&calendar, &records, &[evidence(family, log_odds)]),
            expected,
            "{family:?}"
        );
    }
}

#[test]
fn the_prior_stays_within_its_cap() {
    assert!(DECLARED_LOG_ODDS.abs() <= Family::Provenance.log_odds_cap());
}

#[test]
fn paths_announced_after_the_declaration_are_known_too() {
    let mut calendar = Calendar::new(vec![event("night", &["/results"])], &Names::new());
    let records = requests(2, 11 * HOUR_MS, 50);
    assert_eq!(says(&calendar, &records, &[]), None);
    calendar.learn(&names());
    assert_eq!(says(&calendar, &records, &[]), Some(-1.5));
}

#[test]
fn two_events_may_declare_one_path() {
    let later = Event {
        from_ms: 20 * HOUR_MS,
        until_ms: 21 * HOUR_MS,
        repeat: Some(Repeat { every_ms: 24 * HOUR_MS, last_from_ms: u64::MAX }),
        ..event("later", &["/results"])
    };
    let mut calendar = Calendar::new(vec![event("night", &["/results"]), later], &Names::new());
    calendar.learn(&names());
    for (hour, expected) in [(11, Some(-1.5)), (15, None), (20, Some(-1.5)), (44, Some(-1.5))] {
        let records = requests(2, hour * HOUR_MS + 1, 50);
        assert_eq!(says(&calendar, &records, &[]), expected, "hour {hour}");
    }
}

#[test]
fn attention_begins_ten_minutes_before() {
    let calendar = calendar();
    for (at_ms, shown) in [
        (10 * HOUR_MS - 600_001, false),
        (10 * HOUR_MS - 600_000, true),
        (12 * HOUR_MS - 1, true),
        (12 * HOUR_MS, false),
    ] {
        assert_eq!(!calendar.at_hand(at_ms).is_empty(), shown, "{at_ms}");
    }
}

#[test]
fn a_flood_of_paths_below_a_directory_leaves_room_for_the_declared_page() {
    let mut calendar = Calendar::new(vec![event("night", &["/results", "/live/*"])], &Names::new());
    for n in 0..40_000 {
        calendar.learn(&[path(1_000 + n, &format!("/live/{n}"))]);
    }
    calendar.learn(&names());
    let (used, most, undeclared) = calendar.occupancy();
    assert!(used <= most && undeclared > 0, "{used} of {most}, {undeclared}");
    assert_eq!(says(&calendar, &requests(2, 11 * HOUR_MS, 50), &[]), Some(-1.5));
    assert_eq!(says(&calendar, &requests(3, 11 * HOUR_MS, 50), &[]), None, "too late for a place");
}
