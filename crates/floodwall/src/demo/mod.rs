//! The demo: a sample site with a small origin, visitors, the council attack, a crowd.
//!
//! Everything happens on this machine's loopback, bounded in number and time. The demo sends
//! traffic and keeps the score; it does not know how the defence works ([`Defence`]), and nothing
//! in a request tells the defence who sent it.
//!
//! One file per part: `schedule` when, `load` and `connection` who sends, `origin` and `queue` who
//! answers, `meter` what became of it, `screen` and `outcome` how it is told, `director` all
//! together.

mod answer;
pub mod args;
mod connection;
mod content;
pub mod defence;
mod director;
mod histogram;
mod load;
mod meter;
mod origin;
pub mod outcome;
mod queue;
mod schedule;
mod screen;
mod stage;

use std::io::{self, IsTerminal, Write};

pub use args::DemoArgs;
pub use defence::{Defence, DefenceCounters, RuleView};
pub use director::{DemoError, DemoSite, Finished};
pub use outcome::Outcome;

use schedule::Schedule;

/// Plays the demo and prints what came of it. `start` puts a defence in front of the origin and
/// must not return before it listens. Returns the figures.
///
/// Blocks for the whole run and must not be called from within an asynchronous runtime.
pub fn run<S>(args: &DemoArgs, start: S) -> Result<Outcome, DemoError>
where
    S: FnOnce(&DemoSite) -> Result<Box<dyn Defence>, String>,
{
    // Standard output belongs to the JSON object if one is wanted.
    let (out, terminal): (Box<dyn Write + Send>, bool) = if args.json {
        (Box::new(io::stderr()), io::stderr().is_terminal())
    } else {
        (Box::new(io::stdout()), io::stdout().is_terminal())
    };
    let schedule = Schedule::new(args.fast, !args.no_crowd);
    let finished = director::play(args, schedule, out, terminal, start)?;
    let printed = if args.json { print_json(&finished.outcome) } else { print_words(&finished) };
    printed.map_err(|source| DemoError::System { what: "cannot write the result", source })?;
    Ok(finished.outcome)
}

fn print_json(outcome: &Outcome) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, outcome)?;
    writeln!(out)
}

fn print_words(finished: &Finished) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{}", finished.outcome.summary())?;
    if let Some(report) = &finished.incident_report {
        writeln!(out, "{report}")?;
    }
    writeln!(out, "To repeat this traffic: --seed {}", finished.outcome.seed)
}
