//! A running Floodwall from outside: what an operator does with it in its first hour.

mod support;

use std::time::{Duration, Instant};

use support::{Origin, Running, free_port, get, output, text};

/// A Floodwall in front of `origin`, started from a file that `change` may write to.
fn started(origin: &Origin, directory: &std::path::Path) -> (Running, std::path::PathBuf) {
    let port = free_port();
    let file = directory.join("floodwall.toml");
    std::fs::write(&file, configuration(port, origin, directory, "shadow")).expect("a file");
    let running = Running::start(&[file.to_str().expect("UTF-8")], directory, port);
    (running, file)
}

fn configuration(port: u16, origin: &Origin, directory: &std::path::Path, mode: &str) -> String {
    format!(
        "mode = \"{mode}\"\nlisten = [\"127.0.0.1:{port}\"]\nstate_dir = \"{dir}\"\n\
         control_socket = \"{dir}/control.sock\"\n\
         [site.\"a.example\"]\norigin = \"{url}\"\n",
        dir = directory.display(),
        url = origin.url(),
    )
}

#[test]
fn it_passes_requests_on_and_says_what_it_does() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
    let (running, _) = started(&origin, directory.path());
    let answer = get(running.address, "a.example", "/page?x=1");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_lowercase().contains("x-forwarded-for: 127.0.0.1"), "{answer}");
    assert!(get(running.address, "b.example", "/").starts_with("HTTP/1.1 421"));

    let status = running.status();
    assert_eq!(status["mode"], "shadow");
    assert_eq!(status["sites"][0]["name"], "a.example");
    let unknown = |r: &serde_json::Value| r["reason"] == "host_unknown" && r["count"] == 1;
    assert!(status["reasons"].as_array().expect("reasons").iter().any(unknown), "{status}");

    let words = running.ask(&["status"]);
    assert!(text(&words.stdout).contains("shadow"), "{words:?}");
    let none = running.ask(&["report", "7"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("there is no incident 7"), "{none:?}");
}

#[test]
fn what_was_observed_reaches_the_engine() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
    let (running, _) = started(&origin, directory.path());
    for _ in 0..30 {
        get(running.address, "a.example", "/");
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let rate = running.status()["rates"]["per_10s"].as_f64().expect("a rate");
        if rate >= 3.0 {
            break;
        }
        assert!(Instant::now() < deadline, "the engine saw {rate} requests/s of 3");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_reload_changes_the_sites_and_a_bad_file_changes_nothing() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
    let (running, file) = started(&origin, directory.path());
    let port = running.address.port();

    std::fs::write(&file, "mode = \"protct\"\n").expect("a file");
    running.signal("-HUP");
    wait_for_log(directory.path(), "nothing was changed");
    assert!(get(running.address, "a.example", "/").starts_with("HTTP/1.1 200"));
    assert_eq!(running.status()["mode"], "shadow");

    let changed =
        configuration(port, &origin, directory.path(), "protect").replace("a.example", "b.example");
    std::fs::write(&file, changed).expect("a file");
    running.signal("-HUP");
    wait_for_log(directory.path(), "configuration read again");
    assert!(get(running.address, "b.example", "/").starts_with("HTTP/1.1 200"));
    assert!(get(running.address, "a.example", "/").starts_with("HTTP/1.1 421"));
    assert_eq!(running.status()["mode"], "protect");
}

#[test]
fn a_declared_event_is_shown_after_a_reload_and_metrics_are_counted() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
    let (running, file) = started(&origin, directory.path());
    get(running.address, "a.example", "/results");
    let metrics = text(&running.ask(&["status", "--metrics"]).stdout);
    for line in [
        "floodwall_requests_total{handling=\"passed\"} 1",
        "floodwall_declared_events 0",
        "floodwall_shed_level 0",
        "floodwall_refusals_total{reason=\"rule_blocked\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }

    let hour = Duration::from_secs(3_600);
    let now = std::time::SystemTime::now();
    let moment = |at: std::time::SystemTime| {
        let since = at.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        floodwall_console::utc(since.as_millis() as u64).replace(" UTC", "Z").replace(' ', "T")
    };
    let event = format!(
        "[[event]]\nname = \"Night\"\nfrom = {}\nuntil = {}\npaths = [\"/results\"]\n",
        moment(now - hour),
        moment(now + hour)
    );
    let port = running.address.port();
    let changed = configuration(port, &origin, directory.path(), "shadow") + &event;
    std::fs::write(&file, changed).expect("a file");
    running.signal("-HUP");
    wait_for_log(directory.path(), "configuration read again");
    let deadline = Instant::now() + Duration::from_secs(10);
    while running.status()["events"][0]["name"] != "Night" {
        assert!(Instant::now() < deadline, "the event is never shown: {}", running.status());
        std::thread::sleep(Duration::from_millis(50));
    }
    // The engine has stepped by now, so that its tables are known too.
    let metrics = text(&running.ask(&["status", "--metrics"]).stdout);
    for part in ["floodwall_declared_events 1", "floodwall_table_places{table=\"sources\"}"] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
}

fn wait_for_log(directory: &std::path::Path, words: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let log = std::fs::read_to_string(directory.join("log")).expect("a log");
        if log.contains(words) {
            return;
        }
        assert!(Instant::now() < deadline, "the log never says “{words}”: {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sigterm_ends_it_cleanly_and_it_starts_again() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
    let (mut running, _) = started(&origin, directory.path());
    get(running.address, "a.example", "/");
    running.signal("-TERM");
    assert_eq!(running.wait(), Some(0));
    assert!(!running.socket.exists(), "the control socket is removed");
    let (again, _) = started(&origin, directory.path());
    assert!(get(again.address, "a.example", "/").starts_with("HTTP/1.1 200"));
}

#[test]
fn what_was_learned_outlives_a_stop_and_a_damaged_memory_is_said_and_learned_anew() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
    let memory = directory.path().join("floodwall.db.memory");
    let (mut running, _) = started(&origin, directory.path());
    wait_for_log(directory.path(), "nothing was learned here before");
    get(running.address, "a.example", "/");
    running.signal("-TERM");
    assert_eq!(running.wait(), Some(0));
    let kept = std::fs::read(&memory).expect("a memory");

    let (mut running, _) = started(&origin, directory.path());
    wait_for_log(directory.path(), "goes on from what was learned before the restart");
    running.signal("-KILL");
    running.wait();
    assert!(std::fs::read(&memory).expect("a memory") == kept, "a kill leaves the old one");

    std::fs::write(&memory, &kept[..kept.len() - 1]).expect("a file");
    let (running, _) = started(&origin, directory.path());
    wait_for_log(directory.path(), "Floodwall learns anew");
    assert!(get(running.address, "a.example", "/").starts_with("HTTP/1.1 200"));
}

#[test]
fn after_kill_9_the_next_start_works() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
    for _ in 0..3 {
        let (mut running, _) = started(&origin, directory.path());
        assert!(get(running.address, "a.example", "/").starts_with("HTTP/1.1 200"));
        running.signal("-KILL");
        running.wait();
    }
}

#[test]
fn a_second_one_in_the_same_place_is_refused_with_the_reason() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
    let (running, file) = started(&origin, directory.path());
    let second = output(&["run", file.to_str().expect("UTF-8")]);
    assert_eq!(second.status.code(), Some(1));
    let why = text(&second.stderr);
    assert!(why.contains("floodwall.db") || why.contains("already"), "{why}");
    assert!(get(running.address, "a.example", "/").starts_with("HTTP/1.1 200"));
}

#[test]
fn check_tells_all_mistakes_with_their_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bad.toml");
    std::fs::write(&file, "mdoe = \"shadow\"\nlisten = [\"nonsense\"]\n").expect("a file");
    let checked = output(&["check", file.to_str().expect("UTF-8")]);
    assert_eq!(checked.status.code(), Some(3));
    let why = text(&checked.stderr);
    assert!(why.contains("bad.toml:1:") && why.contains("bad.toml:2:"), "{why}");
    assert!(why.contains("did you mean `mode`"), "{why}");
}

#[test]
fn asking_where_nothing_runs_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("control.sock");
    let asked = output(&["status", "--control-socket", socket.to_str().expect("UTF-8")]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stderr).contains("floodwall run"), "{asked:?}");
}
