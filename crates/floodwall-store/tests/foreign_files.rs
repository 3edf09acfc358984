//! Files that the store must leave alone: the error names them, and not a byte changes.

use std::path::Path;

use floodwall_model::Incident;
use floodwall_store::{SCHEMA_VERSION, Store, StoreError};
use rusqlite::Connection;

/// Opens both ways, and checks the words of the error and that the file is as it was.
fn check(path: &Path, expected: &[&str]) {
    let before = std::fs::read(path).unwrap();
    for error in [Store::open(path).unwrap_err(), Store::open_read_only(path).unwrap_err()] {
        let text = error.to_string();
        assert!(text.starts_with(&path.display().to_string()), "names the file: {text}");
        for words in expected {
            assert!(text.contains(words), "`{words}` in: {text}");
        }
        assert!(std::fs::read(path).unwrap() == before, "the file changed: {text}");
    }
}

fn made_by_us(path: &Path, incidents: u64) {
    let mut store = Store::open(path).unwrap();
    for id in 1..=incidents {
        let mut incident = Incident { id, ..Incident::default() };
        incident.blind_spots.push("x".repeat(5_000));
        store.save_incident(&incident).unwrap();
    }
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "dear diary").unwrap();
    check(&path, &["not a Floodwall database", "no SQLite file", "nothing was changed"]);
    std::fs::write(&path, "dear diary ".repeat(500)).unwrap();
    check(&path, &["not a Floodwall database", "no SQLite file", "name another file"]);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.db");
    let shop = Connection::open(&path).unwrap();
    shop.execute_batch("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (1)").unwrap();
    drop(shop);
    check(&path, &["not a Floodwall database", "another program made it"]);
    let shop = Connection::open(&path).unwrap();
    shop.pragma_update(None, "user_version", 1).unwrap();
    drop(shop);
    check(&path, &["another program made it"]);
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    made_by_us(&path, 1);
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", SCHEMA_VERSION + 6).unwrap();
    drop(newer);
    check(&path, &["made by a newer Floodwall (format 7, this one knows up to 1)"]);
}

#[test]
fn a_newer_format_that_is_still_in_the_log_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    made_by_us(&path, 1);
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", SCHEMA_VERSION + 6).unwrap();
    // The other process still runs: the change is in the write-ahead log only.
    check(&path, &["made by a newer Floodwall (format 7"]);
    drop(newer);
}

#[test]
fn a_damaged_file_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    made_by_us(&path, 40);
    let mut bytes = std::fs::read(&path).unwrap();
    // From the second page on: the header still says that it is ours.
    for byte in &mut bytes[4_096..] {
        *byte ^= 0x5a;
    }
    std::fs::write(&path, &bytes).unwrap();
    check(&path, &["damaged", "nothing was changed", ".recover"]);
}

#[test]
fn a_file_cut_short_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    made_by_us(&path, 40);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    check(&path, &["damaged", "nothing was changed"]);
}

#[test]
fn no_prefix_of_a_database_and_no_overwritten_page_brings_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let whole_path = dir.path().join("whole.db");
    made_by_us(&whole_path, 6);
    let whole = std::fs::read(&whole_path).unwrap();
    for at in (0..whole.len()).step_by(1_021) {
        for cut in [true, false] {
            let path = dir.path().join(format!("{at}-{cut}.db"));
            let mut bytes = whole.clone();
            if cut {
                bytes.truncate(at);
            } else {
                let end = (at + 700).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
            std::fs::write(&path, &bytes).unwrap();
            // Whatever it says, it says it as a value. Cut to nothing it is a new database.
            match Store::open(&path) {
                Ok(store) => {
                    let _listed_or_refused = store.incidents(100);
                }
                Err(error) => assert!(error.to_string().contains("db"), "{error}"),
            }
        }
    }
}

#[test]
fn an_empty_file_becomes_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    std::fs::write(&path, "").unwrap();
    made_by_us(&path, 1);
    assert_eq!(Store::open_read_only(&path).unwrap().incidents(9).unwrap().incidents.len(), 1);
}

#[test]
fn reading_a_file_that_is_not_there_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    let error = Store::open_read_only(&path).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(!path.exists());
}
