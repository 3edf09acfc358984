//! `floodwall doctor`: what this host can do against floods of packets, and what is in force.
//!
//! Three steps, a file each: look at the host (look.rs), draw conclusions from the facts
//! (verdict.rs), say them (words.rs). Only the first touches the host, and it must never disturb
//! it: nothing is attached to an interface, no setting is changed, no traffic is sent.
//!
//! Exit codes: 0 if at least one tier works, 1 if none does, 2 for an interface that is not there.

mod facts;
mod geography;
mod look;
mod verdict;
mod words;

use std::process::ExitCode;

use super::print;
use crate::cli::DoctorArgs;
use crate::config::Config;

/// What was typed makes no sense, as clap has it.
const BAD_USAGE: u8 = 2;

/// `floodwall doctor`.
pub(crate) fn run(args: &DoctorArgs) -> ExitCode {
    let geography = match args.config.as_deref().map(Config::load).transpose() {
        Ok(config) => config.map(|config| config.geography).unwrap_or_default(),
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    let facts = match look::look(args.interface.as_deref(), &geography) {
        Ok(facts) => facts,
        Err(mistake) => {
            eprintln!("floodwall: {mistake}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    let verdict = verdict::judge(&facts);
    let text =
        if args.json { words::json(&facts, &verdict) } else { words::text(&facts, &verdict) };
    match print(&text) {
        Ok(()) if verdict.works => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
