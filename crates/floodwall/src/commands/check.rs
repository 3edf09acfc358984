//! `floodwall check FILE`: all mistakes of a configuration file at once.

use std::process::ExitCode;

use serde_json::json;

use super::print;
use crate::cli::CheckArgs;
use crate::config::{Config, Mistakes, Place};

/// Exit code when mistakes were found.
const MISTAKES_FOUND: u8 = 3;

/// `floodwall check`.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    let (text, code) = match Config::load(&args.file) {
        Ok(config) if args.json => {
            (json!({ "mistakes": [], "sites": sites(&config) }).to_string(), 0)
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
    format!(
        "{}: no mistakes. {count} site{}, mode {}.",
        args.file.display(),
        if count == 1 { "" } else { "s" },
        match config.mode {
            floodwall_model::Mode::Shadow => "shadow (decides, does not act)",
            floodwall_model::Mode::Protect => "protect",
        }
    )
}

fn as_json(mistakes: &Mistakes) -> String {
    let list: Vec<_> = mistakes
        .list()
        .iter()
        .map(|mistake| {
            let line = match mistake.place {
                Place::Line(line) => Some(line),
                Place::File | Place::Argument(_) => None,
            };
            json!({ "line": line, "message": mistake.message })
        })
        .collect();
    json!({ "mistakes": list }).to_string()
}
