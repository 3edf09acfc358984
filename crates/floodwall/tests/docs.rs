//! Holds docs/configuration.md against the keys that are really known.

use std::path::Path;

#[test]
fn the_page_lists_every_limit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/configuration.md")).expect("the page");
    let code = std::fs::read_to_string(root.join("crates/floodwall/src/config/limits.rs"))
        .expect("the list");
    let keys: Vec<&str> = code
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(_, range)| range.contains("..=") && range.ends_with(';'))
        .map(|(key, _)| key)
        .collect();
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        assert!(page.contains(&format!("`{key}`")), "docs/configuration.md does not tell of {key}");
    }
}

/// The keys of a section are those of `config/{section}.rs`, each in a row of its own.
fn check_section(section: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/configuration.md")).expect("the page");
    let file = format!("crates/floodwall/src/config/{section}.rs");
    let code = std::fs::read_to_string(root.join(file)).expect("the section");
    let list = code.split_once("KEYS: &[&str] =").and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.expect("the list of keys");
    // Between the quotation marks, however the list is broken into lines.
    let keys: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(keys.len() >= 4, "{keys:?}");
    for key in keys {
        assert!(page.contains(&format!("| `{key}` |")), "the page does not tell of {key}");
    }
}

#[test]
fn the_page_lists_every_key_of_the_kernel_section() {
    check_section("kernel");
}

#[test]
fn the_page_lists_every_key_of_the_geography_section() {
    check_section("geography");
}

#[test]
fn the_page_lists_every_key_of_an_event() {
    check_section("event");
}
