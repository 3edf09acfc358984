//! Commands as they are typed, where no Floodwall runs: what they print and how they end.
#![allow(missing_docs)]

use std::path::Path;
use std::process::{Command, Output};

#[path = "support/mmdb.rs"]
#[allow(dead_code, unreachable_pub, reason = "it serves other tests too")]
mod mmdb;

use floodwall_model::Incident;
use floodwall_store::Store;

fn floodwall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_floodwall")).args(arguments).output().expect("it runs")
}

/// The end code, standard output and standard error.
fn told(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = floodwall(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_replay_of_nothing_readable_is_a_failure() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("access.log");
    std::fs::write(&log, "not a log\nneither\n").expect("a file");
    for arguments in [&["replay", shown(&log)][..], &["replay", "--json", shown(&log)]] {
        let (code, _, error) = told(arguments);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("no line could be read as a request"), "{error}");
    }
    let line = "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"\n";
    std::fs::write(&log, format!("not a log\n{line}")).expect("a file");
    let (code, _, error) = told(&["replay", shown(&log)]);
    assert_eq!(code, Some(0), "one broken line is no failure: {error}");
}

#[test]
fn incidents_and_reports_are_read_from_the_records_where_none_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let state_dir = shown(directory.path());
    let (code, _, error) = told(&["incidents", "--state-dir", state_dir]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("no Floodwall is running here"), "{error}");

    let mut store = Store::open(&directory.path().join("floodwall.db")).expect("a store");
    let incident = Incident { id: 7, onset_at_ms: 1_795_442_703_000, ..Incident::default() };
    store.save_incident(&incident).expect("saved");
    drop(store);
    let (code, out, error) = told(&["incidents", "--state-dir", state_dir]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains('7') && error.contains("from the records in"), "{out}{error}");
    let (code, out, _) = told(&["report", "7", "--json", "--state-dir", state_dir]);
    assert_eq!(code, Some(0));
    assert!(out.trim_start().starts_with('{'), "nothing but JSON: {out}");
    let (code, _, error) = told(&["report", "8", "--state-dir", state_dir]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no incident 8"), "{error}");

    let file = directory.path().join("site.toml");
    let config = format!(
        "state_dir = \"{state_dir}\"\n[site.\"a.example\"]\norigin = \"http://127.0.0.1:3000\"\n"
    );
    std::fs::write(&file, config).expect("a file");
    let (code, _, error) = told(&["report", "7", "--config", shown(&file)]);
    assert_eq!(code, Some(0), "{error}");
    let (code, _, error) = told(&["status", "--config", shown(&file)]);
    assert_eq!(code, Some(1), "a status has only who runs: {error}");
}

#[test]
fn check_shows_events_and_warns_of_an_interface_that_is_not_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("site.toml");
    let config = "interface = \"nowhere0\"\n\
                  [site.\"a.example\"]\norigin = \"http://127.0.0.1:3000\"\n\
                  [[event]]\nname = \"Night\"\nfrom = 2999-11-24T18:00:00+01:00\n\
                  until = 2999-11-24T19:00:00+01:00\npaths = [\"/results\"]\n";
    std::fs::write(&file, config).expect("a file");
    let (code, out, error) = told(&["check", shown(&file)]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("“Night”, next: 2999-11-24 17:00:00 UTC"), "{out}");
    assert!(out.contains("warning: there is no interface nowhere0"), "{out}");
    let (code, out, _) = told(&["check", "--json", shown(&file)]);
    assert_eq!(code, Some(0));
    assert!(out.contains("\"from\":\"2999-11-24T17:00:00.000Z\""), "{out}");
}

#[test]
fn databases_of_addresses_are_checked_told_of_and_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let country = mmdb::map([("country_code", mmdb::Value::Text("XA"))]);
    let database = mmdb::Mmdb::new(6).built_s(1_000_000_000).put("192.0.2.0/24", &country);
    database.write(&at("country.mmdb"));
    let bytes = database.bytes();
    std::fs::write(at("cut.mmdb"), &bytes[..bytes.len() - 150]).expect("a file");
    let site = "[site.\"a.example\"]\norigin = \"http://127.0.0.1:9\"\n";
    let config = |name: &str, database: &str| {
        let text = format!("{site}[geography]\ncountry = \"{database}\"\n");
        std::fs::write(at(name), text).expect("a file");
    };
    config("good.toml", "country.mmdb");
    config("bad.toml", "cut.mmdb");
    let (code, _, error) = told(&["check", shown(&at("good.toml"))]);
    assert_eq!(code, Some(0), "{error}");
    let (code, _, error) = told(&["check", shown(&at("bad.toml"))]);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("bad.toml:4") && error.contains("Fetch it again"), "{error}");

    let (_, out, error) = told(&["doctor", "--json", "--config", shown(&at("good.toml"))]);
    let page: serde_json::Value = serde_json::from_str(&out).expect(&error);
    let read = &page["facts"]["address_databases"]["read"][0];
    assert_eq!(read["holds"], serde_json::json!(["countries"]));
    assert_eq!(read["made"], "2001-09-09 01:46:40 UTC");
    assert!(read["age_days"].as_u64() > Some(8_000), "{read}");
    let (code, _, error) = told(&["doctor", "--config", shown(&at("bad.toml"))]);
    assert_eq!(code, Some(2), "{error}");

    let log = at("access.log");
    let line = "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"\n";
    std::fs::write(&log, line).expect("a file");
    let replay = |database: &str| told(&["replay", shown(&log), "--country", shown(&at(database))]);
    assert_eq!(replay("country.mmdb").0, Some(0));
    let (code, _, error) = replay("cut.mmdb");
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("cut.mmdb") && error.contains("damaged"), "{error}");
}
