//! The entry: what was typed goes to its command, what comes back becomes an exit code.

use std::process::ExitCode;

use clap::Parser;
use floodwall::cli::Cli;
use floodwall::commands;

fn main() -> ExitCode {
    commands::dispatch(Cli::parse())
}
