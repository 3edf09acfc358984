//! One file per command, and the one place that decides exit codes and streams.
//!
//! 0: done. 1: it could not be done; the reason is on standard error. 2: what was typed makes no
//! sense (clap). 3: `check` found mistakes. `doctor`: 1 if nothing works in the kernel.

mod ask;
mod check;
mod demo;
mod doctor;
mod run;

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{Cli, Command};

/// Why a command could not be carried out, already in words.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// Carries out what was typed.
pub fn dispatch(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Replay(args) => crate::replay::run(args).map_err(Failure::from),
        Command::Check(args) => return check::run(&args),
        Command::Doctor(args) => return doctor::run(&args),
        Command::Status(args) => ask::status(&args),
        Command::Incidents(args) => ask::incidents(&args),
        Command::Report(args) => ask::report(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("floodwall: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints to standard output. A reader that has seen enough is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| {
        if text.ends_with('\n') {
            out.flush()
        } else {
            out.write_all(b"\n").and_then(|()| out.flush())
        }
    });
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
