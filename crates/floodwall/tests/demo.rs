//! The demo in its fast form, its figures held against what is promised of it.

mod support;

use std::process::{Command, Output};
use std::sync::Mutex;

use support::{floodwall, text};

/// Two demos at once on two cores would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone(run: impl FnOnce() -> Output) -> Output {
    // A test that failed with the lock held has said so itself.
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    run()
}

/// With the filter on the interface, in a network of the test's own: banned sources must be
/// dropped before they reach the gateway.
#[test]
fn sources_that_keep_coming_are_dropped_on_the_interface() {
    let inside = "ip link set lo up && exec \"$0\" demo --fast --json --no-crowd --interface lo";
    let output = alone(|| {
        Command::new("unshare")
            .args(["--net", "sh", "-c", inside, env!("CARGO_BIN_EXE_floodwall")])
            .output()
            .expect("unshare runs")
    });
    let progress = text(&output.stderr);
    if progress.contains("unshare: ") || progress.contains("no kernel filter") {
        return skipped(&progress);
    }
    assert!(output.status.success(), "{progress}");
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    println!("{figures:#}");
    assert!(figures["banned_sources"].as_u64() > Some(1_000), "{figures:#}");
    assert!(figures["kernel_dropped_packets"].as_u64() > Some(1_000), "{figures:#}");
    assert_eq!(figures["honest_blocked"].as_f64(), Some(0.0), "{figures:#}");
}

fn skipped(why: &str) {
    let required = std::env::var("FLOODWALL_REQUIRE_ROOT_TESTS").is_ok_and(|v| v == "1");
    assert!(!required, "skipped where it must not be: {why}");
    let line =
        format!("SKIPPED: sources_that_keep_coming…: {}\n", why.lines().next().unwrap_or(""));
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

#[test]
fn the_demo_keeps_its_promises() {
    let output =
        alone(|| floodwall().args(["demo", "--fast", "--json"]).output().expect("floodwall runs"));
    let progress = text(&output.stderr);
    assert!(output.status.success(), "{progress}");
    let figures: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one JSON object on standard output");
    println!("{figures:#}");
    let number = |name: &str| {
        let value = name.split('.').fold(&figures, |value, key| &value[key]);
        value.as_f64().unwrap_or_else(|| panic!("{name} is {value}; {progress}"))
    };
    assert!(number("onset_to_rule_s") <= 3.0);
    assert!(number("honest_success.during") >= 0.995);
    assert!(number("attack_leakage") <= 0.02);
    assert!(number("honest_blocked") <= 0.001);
    assert_eq!(number("crowd_block_rules"), 0.0);
    assert_eq!(number("crowd_blocked"), 0.0);
    for phase in ["before", "until_rule", "during", "after"] {
        number(&format!("honest_success.{phase}"));
        number(&format!("honest_p95_ms.{phase}"));
    }
    assert!(!figures["rules"].as_array().expect("rules").is_empty());
}
