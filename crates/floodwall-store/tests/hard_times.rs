//! Kill, full disk, and a reader beside the writer: nothing half-written is ever read.
//!
//! The process that gets killed is this test program itself, started again with a variable set, so
//! that the very code under test is what dies.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use floodwall_model::Incident;
use floodwall_model::incident::TimelineKind;
use floodwall_store::{Store, StoreError, Writer};

const CHILD: &str = "FLOODWALL_STORE_TEST_CHILD";
const KILLS: u64 = 30;

/// A record that shows by itself whether it is whole: every part repeats one number.
fn record(id: u64, version: u64) -> Incident {
    let mut incident = Incident { id, updated_at_ms: version, ..Incident::default() };
    incident.totals.received = version;
    for at_ms in 0..20 + version % 150 {
        incident.note(at_ms, TimelineKind::Note, format!("version {version}"));
    }
    incident
}

fn child_of(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, path);
    command
}

fn child_path() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Writes until killed, and tells each record only once it is stored.
fn write_until_killed(path: &Path) -> ! {
    let mut store = Store::open(path).unwrap();
    let mut version = store
        .incidents(10)
        .unwrap()
        .incidents
        .iter()
        .map(|incident| incident.totals.received)
        .max()
        .unwrap_or(0);
    loop {
        version += 1;
        store.save_incident(&record(1 + version % 5, version)).unwrap();
        println!("\nstored {version}");
    }
}

#[test]
fn after_kill_9_at_any_moment_every_record_is_whole_and_none_that_was_stored_is_lost() {
    if let Some(path) = child_path() {
        write_until_killed(&path);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    let mut told = 0;
    for kill in 0..KILLS {
        let test =
            "after_kill_9_at_any_moment_every_record_is_whole_and_none_that_was_stored_is_lost";
        let mut child = child_of(test, &path).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let stored = |line: std::io::Result<String>| {
                line.ok()?.strip_prefix("stored ").and_then(|n| n.parse::<u64>().ok())
            };
            lines.lines().filter_map(stored).last()
        });
        // Spread over start-up, creation of the file and many writes; the seed is the kill number.
        std::thread::sleep(Duration::from_micros(2_000 + kill * 7_919 % 83_000));
        child.kill().unwrap();
        child.wait().unwrap();
        told = reader.join().unwrap().unwrap_or(told).max(told);

        let store = Store::open(&path).unwrap_or_else(|e| panic!("after kill {kill}: {e}"));
        let listed = store.incidents(100).unwrap();
        assert!(listed.unreadable.is_empty(), "after kill {kill}");
        for incident in &listed.incidents {
            assert_eq!(*incident, record(incident.id, incident.totals.received), "kill {kill}");
        }
        let newest = listed.incidents.iter().map(|i| i.totals.received).max().unwrap_or(0);
        assert!(newest >= told, "kill {kill}: {told} was told as stored, {newest} is there");
    }
    assert!(told > KILLS, "the children wrote {told} records only: too slow to prove anything");
}

#[test]
fn a_reader_beside_the_writer_sees_whole_records_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    let writer = Writer::start(Store::open(&path).unwrap()).unwrap();
    let reading = std::thread::spawn({
        let path = path.clone();
        move || {
            let store = Store::open_read_only(&path).unwrap();
            let until = Instant::now() + Duration::from_millis(700);
            let (mut reads, mut newest) = (0, 0);
            while Instant::now() < until {
                for incident in store.incidents(10).unwrap().incidents {
                    let version = incident.totals.received;
                    assert_eq!(incident, record(incident.id, version));
                    newest = newest.max(version);
                }
                reads += 1;
            }
            (reads, newest)
        }
    });
    let mut version = 0;
    while !reading.is_finished() {
        version += 1;
        writer.submit(record(1 + version % 3, version));
    }
    let (reads, newest) = reading.join().unwrap();
    assert!(reads > 10 && newest > 10, "{reads} reads up to version {newest}");
    assert_eq!(writer.stop().pending, 0);
    let listed = Store::open(&path).unwrap().incidents(10).unwrap().incidents;
    assert!(
        listed.iter().any(|incident| incident.totals.received == version),
        "the last is stored"
    );
}

/// Runs inside a mount namespace of its own, on a file system of 2 MB.
fn fill_the_disk(directory: &Path) {
    let path = directory.join("floodwall.db");
    let mut store = Store::open(&path).unwrap();
    store.save_incident(&record(1, 1)).unwrap();
    let writer = Writer::start(store).unwrap();

    let ballast = directory.join("ballast");
    let mut size = 2 << 20;
    while size > 0 {
        // Down to the last page: what does not fit is halved.
        let written = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&ballast)
            .and_then(|mut file| std::io::Write::write_all(&mut file, &vec![0; size]));
        if written.is_err() {
            size /= 2;
        }
    }
    let started = Instant::now();
    for version in 2..60 {
        writer.submit(record(2, version));
    }
    assert!(started.elapsed() < Duration::from_millis(500), "submitting waited for the disk");
    wait_for("a failed write", || writer.counters().failed >= 1);
    assert_eq!(writer.unsaved(2).unwrap().totals.received, 59, "the newest is in memory");
    let reader = Store::open_read_only(&path);
    match reader {
        Ok(store) => assert_eq!(store.incident(1).unwrap(), Some(record(1, 1))),
        // A second connection may need a page of shared memory that the disk does not have.
        Err(error) => assert!(!matches!(error, StoreError::Damaged { .. }), "{error}"),
    }

    std::fs::remove_file(&ballast).unwrap();
    wait_for("the retry", || writer.counters().pending == 0);
    assert_eq!(writer.stop().lost, 0);
    let listed = Store::open(&path).unwrap().incidents(9).unwrap();
    assert_eq!(listed.incidents, [record(2, 59), record(1, 1)]);
}

fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_full_disk_stops_nothing_and_is_made_up_for_when_there_is_room_again() {
    if let Some(directory) = child_path() {
        return fill_the_disk(&directory);
    }
    let dir = tempfile::tempdir().unwrap();
    // The mount dies with its namespace, whatever happens to this test.
    let mut enter = Command::new("unshare");
    enter.args(["--map-root-user", "--mount", "sh", "-c"]);
    let mount = format!("mount -t tmpfs -o size=2m none '{}'", dir.path().display());
    let possible = enter.arg(&mount).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !possible {
        // Past the harness's capture, so that it can be counted.
        let why = "a small file system needs mount namespaces, which are not allowed here";
        let line = format!("SKIPPED: a_full_disk_stops_nothing: {why}\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        return;
    }
    let test = "a_full_disk_stops_nothing_and_is_made_up_for_when_there_is_room_again";
    let program = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("{mount} && exec \"$0\" \"$@\""))
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}

/// Closing any descriptor of a file takes back all POSIX locks that the process has on it
/// (<https://www.sqlite.org/howtocorrupt.html>, 2.2). A first draft read the header of the file by
/// itself whenever a store was opened, and so unlocked the database under the writer: an older
/// SQLite that opens and closes it then removes the log that is being written to.
#[test]
fn opening_it_a_second_time_does_not_unlock_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    let mut store = Store::open(&path).unwrap();
    store.save_incident(&record(1, 1)).unwrap();
    assert!(has_posix_lock(&path), "a database with a log is locked for as long as it is open");
    drop(Store::open_read_only(&path).unwrap());
    assert!(has_posix_lock(&path), "unlocked by a reader");
    assert!(Store::open(&path).is_err());
    assert!(has_posix_lock(&path), "unlocked by a second writer");
}

/// Whether this process holds a POSIX lock on the file (proc_locks(5)).
fn has_posix_lock(path: &Path) -> bool {
    let file =
        format!(":{}", std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap()));
    let process = std::process::id().to_string();
    std::fs::read_to_string("/proc/locks").unwrap().lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"POSIX")
            && fields.get(4) == Some(&process.as_str())
            && fields.get(5).is_some_and(|place| place.ends_with(&file))
    })
}

#[test]
fn a_second_process_cannot_write_beside_the_first() {
    if let Some(path) = child_path() {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("another process uses"), "{error}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    let mut store = Store::open(&path).unwrap();
    let open = Incident { id: 1, closed_at_ms: None, ..Incident::default() };
    store.save_incident(&open).unwrap();
    let test = "a_second_process_cannot_write_beside_the_first";
    assert!(child_of(test, &path).stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(store.incident(1).unwrap(), Some(open), "it could not close our open incident");
    drop(store);
    assert!(Store::open(&path).is_ok(), "the lock goes with its holder");
}

/// Writes memories until killed; each shows by itself whether it is whole.
fn remember_until_killed(path: &Path) -> ! {
    let store = Store::open(path).unwrap();
    let mut version = store.memory().unwrap().map_or(0, |bytes| whole_memory(&bytes));
    loop {
        version += 1;
        store.save_memory(&version.to_le_bytes().repeat(1 + version as usize % 60_000)).unwrap();
        println!("\nstored {version}");
    }
}

fn whole_memory(bytes: &[u8]) -> u64 {
    let version = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes.chunks(8).all(|chunk| chunk == version.to_le_bytes()), "{version} is in pieces");
    assert_eq!(bytes.len(), 8 * (1 + version as usize % 60_000));
    version
}

#[test]
fn after_kill_9_at_any_moment_the_memory_is_the_old_one_or_the_new_one() {
    if let Some(path) = child_path() {
        remember_until_killed(&path);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodwall.db");
    let (mut told, mut found) = (0, 0);
    for kill in 0..KILLS {
        let test = "after_kill_9_at_any_moment_the_memory_is_the_old_one_or_the_new_one";
        let mut child = child_of(test, &path).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let stored = |line: std::io::Result<String>| {
                line.ok()?.strip_prefix("stored ").and_then(|n| n.parse::<u64>().ok())
            };
            lines.lines().filter_map(stored).last()
        });
        std::thread::sleep(Duration::from_micros(2_000 + kill * 7_919 % 83_000));
        child.kill().unwrap();
        child.wait().unwrap();
        told = reader.join().unwrap().unwrap_or(told).max(told);
        if let Some(bytes) = Store::open(&path).unwrap().memory().unwrap() {
            // One more than was told may be there: killed between storing and telling. The next
            // child goes on from what is there, and may be killed before it tells anything.
            let newest = found.max(told) + 1;
            found = whole_memory(&bytes);
            assert!((told..=newest).contains(&found), "{found} after {told} was stored");
        }
    }
    assert!(told > KILLS, "{told} stored: the kills came before anything was written");
}
