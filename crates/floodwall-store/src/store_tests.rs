use std::os::unix::fs::PermissionsExt;

use floodwall_model::incident::TimelineEntry;
use floodwall_model::limits::TIMELINE_ENTRIES_MAX;
use floodwall_model::{Action, Evidence, Family, Peaks, RuleId, RuleRecord};

use super::*;

fn in_new_dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/floodwall.db");
    (dir, path)
}

fn incident(id: u64) -> Incident {
    let mut incident = Incident {
        id,
        opened_at_ms: 1_000 + id,
        updated_at_ms: 2_000 + id,
        closed_at_ms: Some(3_000 + id),
        verdict: IncidentVerdict::Attack,
        expected_rps: 0.1,
        peaks: Peaks { per_1s: 1021.5, per_10s: 998.25, per_60s: 1.0 / 3.0 },
        ..Incident::default()
    };
    incident.note(1_000, TimelineKind::Opened, "opened: \"quotes\", ünï\u{1F4A7}".into());
    incident
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_stored_is_what_is_read() {
    let (_dir, path) = in_new_dir();
    let mut store = Store::open(&path).unwrap();
    for id in 1..=3 {
        store.save_incident(&incident(id)).unwrap();
    }
    let changed = Incident { verdict: IncidentVerdict::Crowd, ..incident(2) };
    store.save_incident(&changed).unwrap();
    assert_eq!(store.incident(2).unwrap(), Some(changed.clone()), "the later record wins");
    assert_eq!(store.incident(9).unwrap(), None);
    assert_eq!(store.incident(u64::MAX).unwrap(), None);

    drop(store);
    let listed = Store::open(&path).unwrap().incidents(2).unwrap();
    assert_eq!(listed, Listed { incidents: vec![incident(3), changed], unreadable: vec![] });
}

#[test]
fn the_file_is_for_its_owner_only() {
    let (_dir, path) = in_new_dir();
    let mut store = Store::open(&path).unwrap();
    store.save_incident(&incident(1)).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o750);
    for ending in ["-wal", "-shm"] {
        let beside = path.with_file_name(format!("floodwall.db{ending}"));
        assert_eq!(mode(&beside), 0o600, "{ending}");
    }
}

#[test]
fn a_path_may_have_any_letters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("50% of?it #1&mode=memory é ü.db");
    Store::open(&path).unwrap().save_incident(&incident(1)).unwrap();
    let listed = Store::open_read_only(&path).unwrap().incidents(9).unwrap();
    assert_eq!(listed.incidents, [incident(1)]);
    assert!(path.exists());
}

#[test]
fn beyond_the_maximum_the_lowest_numbers_are_forgotten_and_counted() {
    let (_dir, path) = in_new_dir();
    let mut store = Store::open(&path).unwrap().with_incidents_kept_max(3);
    for id in 1..=7 {
        store.save_incident(&incident(id)).unwrap();
        store.save_incident(&incident(id)).unwrap();
    }
    let kept: Vec<u64> = store.incidents(100).unwrap().incidents.iter().map(|i| i.id).collect();
    assert_eq!(kept, [7, 6, 5]);
    assert_eq!(store.incidents_forgotten().unwrap(), 4);
    assert_eq!(store.next_incident_id().unwrap(), 8, "forgetting frees no number");
}

#[test]
fn a_clock_set_back_does_not_forget_the_newest() {
    let (_dir, path) = in_new_dir();
    let mut store = Store::open(&path).unwrap().with_incidents_kept_max(2);
    for id in 1..=3 {
        store.save_incident(&Incident { opened_at_ms: 9_000 - id, ..incident(id) }).unwrap();
    }
    let kept: Vec<u64> = store.incidents(9).unwrap().incidents.iter().map(|i| i.id).collect();
    assert_eq!(kept, [3, 2]);
}

#[test]
fn incidents_left_open_are_closed_where_their_record_stops() {
    let (_dir, path) = in_new_dir();
    let mut store = Store::open(&path).unwrap();
    store.save_incident(&incident(1)).unwrap();
    let mut open = Incident { closed_at_ms: None, ..incident(2) };
    open.add_rule(rule(None));
    open.add_rule(rule(Some(1_500)));
    open.timeline = vec![
        TimelineEntry { at_ms: 1, kind: TimelineKind::Note, text: String::new() };
        TIMELINE_ENTRIES_MAX
    ];
    store.save_incident(&open).unwrap();

    assert_eq!(store.mark_unclosed(50_000).unwrap(), [2]);
    let closed = store.incident(2).unwrap().unwrap();
    assert_eq!(closed.closed_at_ms, Some(2_002));
    assert_eq!(closed.rules[0].ended_at_ms, Some(2_002));
    assert_eq!(closed.rules[1].ended_at_ms, Some(1_500), "a rule that had ended stays as it was");
    assert_eq!(closed.timeline_left_out, 1);
    assert!(closed.blind_spots[0].contains("without closing"), "said even if the timeline is full");
    assert_eq!(store.incident(1).unwrap(), Some(incident(1)), "the others are left alone");
    assert!(store.mark_unclosed(60_000).unwrap().is_empty(), "once");
}

#[test]
fn an_incident_cut_off_says_so_in_its_timeline() {
    let mut open = Incident { closed_at_ms: None, ..incident(2) };
    close_as_cut_off(&mut open, 50_000);
    let last = open.timeline.last().unwrap();
    assert_eq!((last.at_ms, last.kind), (50_000, TimelineKind::Note));
    assert!(last.text.contains("ended without closing this incident"), "{}", last.text);
}

#[test]
fn figures_that_json_cannot_hold_are_refused_at_once() {
    let (_dir, path) = in_new_dir();
    let mut store = Store::open(&path).unwrap();
    let broken = Incident { expected_rps: f64::NAN, ..incident(4) };
    let error = store.save_incident(&broken).unwrap_err();
    assert!(matches!(error, StoreError::Unstorable { id: 4, .. }), "{error}");
    assert!(!error.may_pass());
    assert_eq!(store.incident(4).unwrap(), None);
}

#[test]
fn a_record_that_is_too_large_is_refused() {
    let (_dir, path) = in_new_dir();
    let mut store = Store::open(&path).unwrap();
    let mut large = incident(1);
    large.blind_spots.push("x".repeat(RECORD_BYTES_MAX));
    assert!(matches!(store.save_incident(&large), Err(StoreError::Unstorable { id: 1, .. })));
    let beyond = Incident { id: u64::MAX, ..incident(1) };
    assert!(matches!(store.save_incident(&beyond), Err(StoreError::Unstorable { .. })));
}

#[test]
fn the_largest_record_that_the_model_allows_fits() {
    let mut incident = incident(1);
    let long = "x".repeat(400);
    for at_ms in 0..TIMELINE_ENTRIES_MAX as u64 {
        incident.note(at_ms, TimelineKind::Note, long.clone());
    }
    for _ in 0..floodwall_model::limits::INCIDENT_RULES_MAX {
        let evidence = Evidence { family: Family::Ramp, log_odds: 1.0, statement: long.clone() };
        incident.add_rule(RuleRecord {
            words: "x".repeat(1_200),
            predicates: vec!["x".repeat(200); 5],
            live: Default::default(),
            evidence: vec![evidence; 6],
            ..rule(None)
        });
    }
    assert!(record_text(&incident).unwrap().len() < RECORD_BYTES_MAX / 2);
}

#[test]
fn a_full_disk_takes_nothing_that_was_there() {
    let (_dir, path) = in_new_dir();
    let mut store = Store::open(&path).unwrap();
    store.save_incident(&incident(1)).unwrap();
    let pages: i64 =
        store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.connection.pragma_update(None, "max_page_count", pages).unwrap();
    let mut large = incident(2);
    large.blind_spots.push("x".repeat(100_000));
    let error = store.save_incident(&large).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.may_pass());
    assert_eq!(store.incidents(9).unwrap().incidents, [incident(1)]);
    assert_eq!(store.next_incident_id().unwrap(), 2, "the number is taken back with the record");

    store.connection.pragma_update(None, "max_page_count", pages + 100).unwrap();
    store.save_incident(&large).unwrap();
    assert_eq!(store.incidents(9).unwrap().incidents.len(), 2);
}

#[test]
fn one_unreadable_record_does_not_hide_the_others() {
    let (_dir, path) = in_new_dir();
    let mut store = Store::open(&path).unwrap();
    for id in 1..=3 {
        store.save_incident(&Incident { closed_at_ms: None, ..incident(id) }).unwrap();
    }
    store.connection.execute("UPDATE incidents SET record = '{\"id\":' WHERE id = 2", []).unwrap();
    let error = store.incident(2).unwrap_err();
    assert!(matches!(error, StoreError::Record { id: 2, .. }), "{error}");
    let listed = store.incidents(9).unwrap();
    assert_eq!(listed.incidents.iter().map(|i| i.id).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(listed.unreadable, [2]);
    assert_eq!(store.mark_unclosed(9_000).unwrap(), [1, 3]);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let error = Store::open(Path::new("/proc/no-such/floodwall.db")).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().starts_with("/proc/no-such: cannot be opened"), "{error}");
}

fn rule(ended_at_ms: Option<u64>) -> RuleRecord {
    RuleRecord {
        id: RuleId(1),
        words: "user agent x".into(),
        predicates: vec!["user agent x".into()],
        action: Action::Block,
        first_at_ms: 1_200,
        ended_at_ms,
        ended_why: None,
        returns: 0,
        matched: 7,
        projected: Default::default(),
        measured: Default::default(),
        live: Default::default(),
        evidence: Vec::new(),
    }
}
