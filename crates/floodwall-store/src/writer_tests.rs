use std::path::Path;

use super::*;

fn store(path: &Path) -> Store {
    Store::open(path).unwrap()
}

fn incident(id: u64, received: u64) -> Incident {
    let mut incident = Incident { id, ..Incident::default() };
    incident.totals.received = received;
    incident
}

/// A writer whose thread does not run, to look at the mailbox alone.
fn without_thread() -> Writer {
    Writer { shared: Arc::default(), thread: None }
}

#[test]
fn the_latest_record_of_each_incident_is_on_disk_after_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let writer = Writer::start(store(&path)).unwrap();
    for received in 1..=200 {
        for id in 1..=3 {
            writer.submit(incident(id, received));
        }
    }
    let counters = writer.stop();
    assert_eq!((counters.pending, counters.failed, counters.lost), (0, 0, 0));
    assert!(counters.saved >= 3 && counters.saved <= 600);
    let listed = store(&path).incidents(9).unwrap();
    assert_eq!(listed.incidents, [incident(3, 200), incident(2, 200), incident(1, 200)]);
}

#[test]
fn a_waiting_record_is_replaced_by_a_newer_one_and_can_be_read() {
    let writer = without_thread();
    writer.submit(incident(1, 1));
    writer.submit(incident(1, 2));
    assert_eq!(writer.unsaved(1).unwrap().totals.received, 2);
    assert!(writer.unsaved(2).is_none());
    assert_eq!(
        writer.counters(),
        WriterCounters { coalesced: 1, pending: 1, ..Default::default() }
    );
}

#[test]
fn a_full_mailbox_loses_the_oldest_and_counts_it() {
    let writer = without_thread();
    let max = PENDING_INCIDENTS_MAX as u64;
    for id in 1..=max + 5 {
        writer.submit(incident(id, 0));
    }
    let counters = writer.counters();
    assert_eq!((counters.pending, counters.lost), (max, 5));
    assert!(writer.unsaved(5).is_none());
    assert_eq!(writer.all_unsaved().first().unwrap().id, 6);
    assert!(writer.unsaved(max + 5).is_some(), "the newest is always kept");
}

#[test]
fn a_record_written_while_a_newer_one_came_leaves_the_newer_one_waiting() {
    let writer = without_thread();
    writer.submit(incident(1, 1));
    let round = writer.shared.next_round(false);
    writer.submit(incident(1, 2));
    writer.shared.done_with(&round.incidents[0]);
    assert_eq!(writer.unsaved(1).unwrap().totals.received, 2);
}

#[test]
fn a_record_that_can_never_be_written_is_given_up_and_the_next_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let writer = Writer::start(store(&path)).unwrap();
    writer.submit(Incident { expected_rps: f64::INFINITY, ..incident(1, 1) });
    writer.submit(incident(2, 1));
    let counters = writer.stop();
    assert_eq!((counters.saved, counters.failed, counters.lost, counters.pending), (1, 1, 1, 0));
    assert!(store(&path).incident(2).unwrap().is_some());
}

#[test]
fn failures_warn_once_a_minute() {
    let mut warnings = Warnings::default();
    let error = StoreError::Full { path: "x".into() };
    let start = Instant::now();
    let warned: Vec<u64> = (0..180)
        .filter(|second| warnings.failed(&error, start + Duration::from_secs(*second)))
        .collect();
    assert_eq!(warned, [0, 60, 120]);
}

#[test]
fn the_latest_memory_is_on_disk_after_the_stop_and_its_bytes_are_made_by_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let writer = Writer::start(store(&path)).unwrap();
    let caller = std::thread::current().id();
    for n in 0..50u8 {
        writer.submit_memory(move || {
            assert_ne!(std::thread::current().id(), caller);
            vec![n; 1_000]
        });
    }
    let counters = writer.stop();
    assert_eq!(counters.memories_saved + counters.memories_lost, 50);
    assert!(counters.memories_saved >= 1);
    assert_eq!(store(&path).memory().unwrap(), Some(vec![49; 1_000]));
}

#[test]
fn a_memory_that_cannot_be_written_is_counted_and_incidents_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    std::fs::write(dir.path().join("store.db.memory"), "of somebody else").unwrap();
    let writer = Writer::start(store(&path)).unwrap();
    writer.submit_memory(|| vec![1]);
    writer.submit(incident(2, 1));
    let counters = writer.stop();
    assert_eq!((counters.memories_saved, counters.memories_lost, counters.saved), (0, 1, 1));
}
