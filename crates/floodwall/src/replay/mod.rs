//! `floodwall replay`: the engine over recorded access logs, or, in `capture`, over recorded packets.
//!
//! One file per arrow: `input` (what is this file), `lines`, `combined` and `json` (→ what a line
//! says), `record` (→ Observation), `merge` (several logs), `reorder` (→ order of time), `session`
//! (→ engine, with `enforce` doing what a gateway would), `summary` (→ JSON or text). `pipeline`
//! puts reading and deciding on two threads.
//!
//! Nothing in a log can end a replay but the lack of any record; nothing is written but the result
//! and, if asked for, the decisions.

mod args;
mod capture;
mod client;
mod combined;
mod decisions;
mod enforce;
mod error;
mod field;
mod incidents;
mod input;
mod json;
mod lines;
mod log;
mod merge;
mod pace;
mod pipeline;
mod progress;
mod record;
mod reorder;
mod session;
pub(crate) mod stamp;
mod summary;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use floodwall_model::{Geography, ValueKey};

pub use args::ReplayArgs;
pub use error::ReplayError;
pub use field::FieldName;
pub use log::LogFormat;

use crate::geography::{Databases, GeographyConfig, Opened};
use decisions::DecisionFile;
use log::Reading;
use merge::Merge;
use pipeline::Reader;
use progress::Progress;
use record::ObservationWriter;
use session::Session;
use summary::{ReadSide, Summary};

/// Replays what `args` name and prints the result to standard output.
pub fn run(args: ReplayArgs) -> Result<(), ReplayError> {
    if are_captures(&args.files)? {
        return capture::run(&args);
    }
    let summary = replay(&args)?;
    let printed = if args.json {
        serde_json::to_string(&summary).map_err(|error| ReplayError::Output(error.into()))? + "\n"
    } else {
        summary::text(&summary)
    };
    if summary.records > 0 || args.json {
        print(&printed)?;
    }
    if summary.records == 0 {
        // One broken line is never fatal; nothing but broken lines would look like a quiet site.
        return Err(no_records(&summary));
    }
    Ok(())
}

/// Whether captures are to be replayed, by what the files are. Both kinds at once are refused.
fn are_captures(files: &[PathBuf]) -> Result<bool, ReplayError> {
    let (mut capture, mut log) = (None, None);
    for path in files {
        let place = if input::is_capture(path)? { &mut capture } else { &mut log };
        place.get_or_insert(path);
    }
    match (capture, log) {
        (Some(capture), Some(log)) => {
            Err(ReplayError::Mixed { capture: capture.clone(), log: log.clone() })
        }
        (capture, _) => Ok(capture.is_some()),
    }
}

fn replay(args: &ReplayArgs) -> Result<Summary, ReplayError> {
    let reading =
        Reading { format: args.format, fields: args.fields.clone(), ..Reading::default() };
    if let Some(path) = &args.decisions
        && args.files.iter().any(|log| input::is_same_file(log, path))
    {
        return Err(ReplayError::DecisionsOverLog { path: path.clone() });
    }
    let total_bytes = args.files.iter().map(|path| input::size_bytes(path)).sum();
    let mut progress = Progress::new(reading.read_bytes.clone(), total_bytes, !args.quiet);
    // A fixed key by default: the same log shall give the same result. A log's author could make
    // two texts with one id, but nothing depends on a replay being proof against that.
    let key = ValueKey::new(args.seed, !args.seed);
    let mut writer = ObservationWriter::new(key).with_geography(geography(args)?);
    let merge = Merge::new(&args.files, reading, &mut writer)?;
    let decisions = args.decisions.as_deref().map(DecisionFile::create).transpose()?;
    let mut session = Session::new(key, args.seed, decisions);
    let reader = Reader { merge, writer, records: 0 };
    let threads = usize::from(args.threads);
    let reader = pipeline::run(reader, &mut session, threads, || progress.tick())?;
    let outcomes = session.finish()?;
    let read = ReadSide {
        records: reader.records,
        named_clients: reader.writer.named_clients,
        elapsed_s: progress.finish().as_secs_f64(),
        logs: reader.merge.done,
        lost: reader.merge.lost,
    };
    let mut summary = Summary::new(&read, &outcomes);
    if read.records == 0 {
        summary.notes =
            read.logs.iter().map(|(path, tally)| why_nothing(path, tally, args)).collect();
    }
    Ok(summary)
}

/// The databases that `args` name.
fn geography(args: &ReplayArgs) -> Result<Option<Arc<dyn Geography>>, ReplayError> {
    let config = GeographyConfig {
        country: args.country.clone(),
        network: args.network.clone(),
        class: args.network_class.clone(),
        ..GeographyConfig::none()
    };
    if config == GeographyConfig::none() {
        return Ok(None);
    }
    Ok(Some(Arc::new(Databases::new(Opened::open(&config)?))))
}

fn why_nothing(path: &Path, tally: &log::LogTally, args: &ReplayArgs) -> String {
    format!("{}: {}", input::shown(path).display(), tally.why_no_record(args.format))
}

fn no_records(summary: &Summary) -> ReplayError {
    let details = summary.notes.iter().map(|note| format!("\n  {note}")).collect();
    ReplayError::NoRecords { details }
}

/// Prints; a reader that has seen enough is no error.
fn print(text: &str) -> Result<(), ReplayError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ReplayError::Output(error)),
        _ => Ok(()),
    }
}
