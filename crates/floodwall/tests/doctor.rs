//! `floodwall doctor` as a process: as root, as nobody, and with a name that is none.

mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::text;

/// Every field that scripts may rely on.
const FACTS: [&str; 18] = [
    "kernel",
    "kernel_version",
    "capabilities_missing",
    "filter_built",
    "btf",
    "jit",
    "helpers",
    "xdp_program",
    "egress",
    "socket_filter",
    "nftables",
    "tcp_syncookies",
    "open_files_max",
    "locked_memory_max",
    "running",
    "interfaces",
    "costs",
    "address_databases",
];
const VERDICT: [&str; 6] =
    ["works", "interfaces", "without_interface", "syn_cookies", "ceiling", "next_steps"];

fn is_root() -> bool {
    floodwall::paths::is_root()
}

fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let required = std::env::var("FLOODWALL_REQUIRE_ROOT_TESTS").is_ok_and(|v| v == "1");
    assert!(!required, "{test} would be skipped, and FLOODWALL_REQUIRE_ROOT_TESTS=1: {why}");
    let line = format!("SKIPPED: {test}: {why}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

fn doctor(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floodwall"));
    command.arg("doctor").args(arguments).output().expect("floodwall runs")
}

/// As nobody, with no capabilities, from a copy that nobody may run. None: it cannot be done here.
fn doctor_as_nobody(arguments: &[&str]) -> Option<Output> {
    let place = tempfile::tempdir().expect("a directory");
    let program = place.path().join("floodwall");
    std::fs::copy(env!("CARGO_BIN_EXE_floodwall"), &program).expect("a copy");
    for path in [place.path(), &program] {
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, everybody).expect("readable for all");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
    command.args(["--bounding-set=-all", "--"]).arg(&program).arg("doctor").args(arguments);
    command.env("HOME", place.path()).env_remove("XDG_STATE_HOME").output().ok()
}

fn parsed(output: &Output) -> Value {
    let value: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    for field in FACTS {
        assert!(value["facts"].get(field).is_some(), "facts.{field} is missing: {value:#}");
    }
    for field in VERDICT {
        assert!(value["verdict"].get(field).is_some(), "verdict.{field} is missing: {value:#}");
    }
    value
}

#[test]
fn the_json_holds_every_field_and_agrees_with_the_exit_code() {
    let output = doctor(&["--json"]);
    let works = parsed(&output)["verdict"]["works"].as_bool().expect("true or false");
    assert_eq!(output.status.code(), Some(if works { 0 } else { 1 }));
}

#[test]
fn the_page_is_said_to_anybody() {
    let output = doctor(&[]);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let page = text(&output.stdout);
    for part in
        ["In force now", "Without --interface", "What to do next", "nothing on this host can"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn an_interface_that_is_not_there_is_bad_usage() {
    let output = doctor(&["--interface", "nosuch0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no network interface `nosuch0`"), "{output:?}");
    assert!(output.stdout.is_empty());
    assert_eq!(doctor(&["--nonsense"]).status.code(), Some(2));
}

#[test]
fn as_root_every_path_is_measured() {
    if !is_root() {
        return skipped("not root");
    }
    let output = doctor(&["--json", "--interface", "lo"]);
    let value = parsed(&output);
    if value["facts"]["filter_built"] == Value::Bool(false) {
        return skipped("this build has no kernel filter");
    }
    if value["facts"]["capabilities_missing"] != Value::Array(vec![]) {
        return skipped("root without capabilities");
    }
    assert_eq!(output.status.code(), Some(0), "{value:#}");
    for path in ["pass_ns", "banned_ns", "rules_64_miss_ns", "syn_cookie_ns"] {
        assert!(value["facts"]["costs"][path].as_u64().is_some(), "{path}: {value:#}");
    }
    assert!(value["verdict"]["ceiling"]["packets_per_s"].as_u64() > Some(0));
    let lo = &value["verdict"]["interfaces"][0];
    assert_eq!(lo["interface"], "lo");
    assert_eq!(lo["tier"], "xdp_generic", "loopback's driver cannot: {value:#}");
    assert_eq!(value["verdict"]["without_interface"]["tier"], "socket_filter");
}

/// A host at work must not notice that somebody asked.
#[test]
fn nothing_is_changed_or_left_behind() {
    if !is_root() {
        return skipped("not root");
    }
    let setting = || std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies").ok();
    let tables = || Command::new("nft").args(["list", "tables"]).output().ok().map(|o| o.stdout);
    let attached = || {
        let links = Command::new("ip").args(["-details", "link", "show", "lo"]).output().ok()?;
        Some(links.stdout.windows(3).filter(|word| word == b"xdp").count())
    };
    let before = (setting(), tables(), attached());
    doctor(&["--interface", "lo"]);
    assert_eq!((setting(), tables(), attached()), before);
}

#[test]
fn as_nobody_it_says_what_it_could_not_look_at() {
    if !is_root() {
        return skipped("not root, so nobody else can be played");
    }
    let Some(output) = doctor_as_nobody(&["--json"]) else {
        return skipped("setpriv is not installed");
    };
    let value = parsed(&output);
    assert_eq!(output.status.code(), Some(1), "{value:#}");
    let missing: Vec<&str> = value["facts"]["capabilities_missing"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(missing, ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]);
    assert_eq!(value["facts"]["helpers"], Value::Null);
    assert_eq!(value["facts"]["costs"], Value::Null);
    let steps = value["verdict"]["next_steps"].to_string();
    assert!(steps.contains("Run this as root"), "{steps}");

    let page = doctor_as_nobody(&[]).expect("setpriv was there a moment ago");
    let page = text(&page.stdout);
    assert!(page.contains("not tried: this process lacks"), "{page}");
    assert!(page.contains("As things stand"), "{page}");
}
