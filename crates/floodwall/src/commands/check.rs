//! `floodwall check FILE`: all mistakes of a configuration file at once.

use std::path::Path;
use std::process::ExitCode;

use floodwall_console::utc;
use floodwall_model::{Event, EventPath};
use serde_json::json;

use super::print;
use crate::cli::CheckArgs;
use crate::clock::now_ms;
use crate::config::{Config, Mistakes, Place};
use crate::replay::stamp::rfc3339;

/// Exit code when mistakes were found.
const MISTAKES_FOUND: u8 = 3;

/// `floodwall check`.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    let (text, code) = match Config::load(&args.file) {
        Ok(config) if args.json => {
            let found = json!({
                "mistakes": [],
                "warnings": warnings(&config),
                "sites": sites(&config),
                "events": events_as_json(&config.events, now_ms()),
            });
            (found.to_string(), 0)
        }
        Ok(config) => (in_words(args, &config), 0),
        Err(mistakes) if args.json => (as_json(&mistakes), MISTAKES_FOUND),
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(MISTAKES_FOUND);
        }
    };
    match print(&text) {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn sites(config: &Config) -> Vec<String> {
    config.sites.iter().flat_map(|site| site.names.clone()).collect()
}

fn in_words(args: &CheckArgs, config: &Config) -> String {
    let count = config.sites.len();
    let mut text = format!(
        "{}: no mistakes. {count} site{}, mode {}.",
        args.file.display(),
        if count == 1 { "" } else { "s" },
        match config.mode {
            floodwall_model::Mode::Shadow => "shadow (decides, does not act)",
            floodwall_model::Mode::Protect => "protect",
        }
    );
    for event in &config.events {
        text.push_str(&format!("\n  {}", event_words(event, now_ms())));
    }
    for warning in warnings(config) {
        text.push_str(&format!("\n  warning: {warning}"));
    }
    text
}

/// What is no mistake in the file and yet not as it should be on this host.
fn warnings(config: &Config) -> Vec<String> {
    let interfaces = Path::new("/sys/class/net");
    let missing = |name: &&String| interfaces.exists() && !interfaces.join(name).exists();
    let words = |name: &String| {
        format!("there is no interface {name} on this host now; the filter waits until there is")
    };
    config.interfaces.iter().filter(missing).map(words).collect()
}

/// What of an event matters from `now_ms` on.
fn event_words(event: &Event, now_ms: u64) -> String {
    let paths: Vec<&str> = event.paths.iter().map(EventPath::text).collect();
    let when = match event.occurrence(now_ms) {
        Some((from_ms, until_ms)) => {
            let begins = if from_ms <= now_ms { "lasts" } else { "next" };
            let again = if event.repeat.is_some() { ", comes again" } else { "" };
            format!("{begins}: {} to {}{again}", utc(from_ms), utc(until_ms))
        }
        None => "over; it does not come again".to_owned(),
    };
    format!("event “{}”, {when}; on {}", event.name, paths.join(", "))
}

fn events_as_json(events: &[Event], now_ms: u64) -> Vec<serde_json::Value> {
    let one = |event: &Event| {
        let next = event.occurrence(now_ms);
        json!({
            "name": event.name,
            "from": next.map(|(from_ms, _)| rfc3339(from_ms)),
            "until": next.map(|(_, until_ms)| rfc3339(until_ms)),
            "paths": event.paths.iter().map(EventPath::text).collect::<Vec<_>>(),
        })
    };
    events.iter().map(one).collect()
}

fn as_json(mistakes: &Mistakes) -> String {
    let list: Vec<_> = mistakes
        .list()
        .iter()
        .map(|mistake| match &mistake.place {
            Place::Line(line) => json!({ "line": line, "message": mistake.message }),
            Place::Other { file, line } => {
                json!({ "file": file, "line": line, "message": mistake.message })
            }
            Place::File | Place::Argument(_) => {
                json!({ "line": null, "message": mistake.message })
            }
        })
        .collect();
    json!({ "mistakes": list }).to_string()
}
