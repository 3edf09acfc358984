//! How a test says that it cannot run here.
//!
//! Rust's test harness knows no skipping at run time: such a test prints one line that begins with
//! `SKIPPED: ` and returns. The line goes straight to standard error, past the harness's capture,
//! so that whoever runs the tests can count these lines. With FLOODWALL_REQUIRE_ROOT_TESTS=1, as
//! in CI, skipping is failing.

use std::io::Write;

/// Says that the running test is skipped, and why; the caller returns.
#[allow(dead_code)] // Not every test that shares this file needs root.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let required = std::env::var("FLOODWALL_REQUIRE_ROOT_TESTS").is_ok_and(|v| v == "1");
    assert!(!required, "{test} would be skipped, and FLOODWALL_REQUIRE_ROOT_TESTS=1: {why}");
    say(&test, why);
}

/// Says that there are no recordings. They are no part of the project, so that no machine is
/// required to have them.
#[allow(dead_code)] // Not every test that shares this file reads recordings.
pub(crate) fn without_recordings(why: &str) {
    say(std::thread::current().name().unwrap_or("a test"), why);
}

fn say(test: &str, why: &str) {
    // In one write, since other tests write at the same time.
    let line = format!("SKIPPED: {test}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
