//! The demo in its fast form, its figures held against what is promised of it.

mod support;

use support::{floodwall, text};

#[test]
fn the_demo_keeps_its_promises() {
    let output = floodwall().args(["demo", "--fast", "--json"]).output().expect("floodwall runs");
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
