//! `floodwall replay` over packet captures.
//!
//! One file per arrow: `read` with `pcapng`, and `merge` (files → packets), `link` and `parse` (→
//! PacketFacts, by the kernel filter's own parser), `conversation` and `flows` (→ who talks with
//! whom), `enforce` with `matcher` (→ what the kernel filter would have done), `session` (→ engine),
//! `summary` with `notes`, and `text` (→ JSON or text).
//!
//! Nothing in a capture can end a replay but the lack of any packet; nothing is sent anywhere.

mod clock;
mod conversation;
mod decisions;
mod enforce;
mod flows;
mod icmp_shares;
mod link;
mod matcher;
mod merge;
mod notes;
mod parse;
mod pcapng;
mod read;
mod recency;
mod sampler;
mod session;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::args::ReplayArgs;
use super::error::ReplayError;
use super::input;
use super::progress::Progress;

use decisions::PacketDecisionFile;
use merge::Merge;
use read::RecordedPacket;
use session::Session;
use summary::{CaptureSummary, ReadSide};

/// Packets between two looks at the progress bar.
const TICK_PACKETS: u64 = 4_096;

/// Replays the captures that `args` name and prints the result to standard output.
pub(crate) fn run(args: &ReplayArgs) -> Result<(), ReplayError> {
    let summary = replay(args)?;
    let printed = if args.json {
        serde_json::to_string(&summary).map_err(|error| ReplayError::Output(error.into()))? + "\n"
    } else {
        text::text(&summary)
    };
    if summary.packets > 0 || args.json {
        super::print(&printed)?;
    }
    if summary.packets == 0 {
        let details = summary.notes.iter().map(|note| format!("\n  {note}")).collect();
        eprintln!("floodwall: {}", ReplayError::NoPackets { details });
    }
    Ok(())
}

fn replay(args: &ReplayArgs) -> Result<CaptureSummary, ReplayError> {
    if let Some(path) = &args.decisions
        && args.files.iter().any(|capture| input::is_same_file(capture, path))
    {
        return Err(ReplayError::DecisionsOverLog { path: path.clone() });
    }
    let read_bytes = Arc::new(AtomicU64::new(0));
    let total_bytes = args.files.iter().map(|path| input::size_bytes(path)).sum();
    let mut progress = Progress::new(Arc::clone(&read_bytes), total_bytes, !args.quiet);
    let mut merge = Merge::new(&args.files, read_bytes)?;
    let decisions = args.decisions.as_deref().map(PacketDecisionFile::create).transpose()?;
    let mut session = Session::new(args.seed, decisions);
    let mut packet = RecordedPacket::default();
    let mut packets: u64 = 0;
    while merge.next_packet(&mut packet) {
        session.packet(&mut packet)?;
        packets += 1;
        if packets.is_multiple_of(TICK_PACKETS) {
            progress.tick();
        }
    }
    let outcomes = session.finish()?;
    let read = ReadSide {
        elapsed_s: progress.finish().as_secs_f64(),
        recordings: merge.done,
        lost: merge.lost,
    };
    Ok(CaptureSummary::new(&read, &outcomes))
}
