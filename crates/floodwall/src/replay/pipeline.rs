//! Reading on one thread, deciding on another, with a few batches going round between them.
//!
//! Batches are used again, so that memory does not depend on the log's length. With one thread the
//! same two halves take turns.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use floodwall_model::ValueName;

use super::error::ReplayError;
use super::merge::Merge;
use super::record::{Entry, ObservationWriter};
use super::session::Session;

/// Records in one batch: about 400 KB, so that a batch stays in the cache of the core that reads it.
const BATCH_ENTRIES: usize = 2_048;

/// Batches under way. When all are full the reader waits.
const BATCHES: usize = 6;

/// Records after which names are collected: their writer drops what is beyond 512 between two
/// collections, and a record brings at most ten.
const NAMES_EVERY: usize = 48;

const _: () = assert!(NAMES_EVERY * 10 <= floodwall_model::limits::BATCH_NAMES_MAX);

#[derive(Debug, Default)]
struct Batch {
    first_number: u64,
    entries: Vec<Entry>,
    names: Vec<ValueName>,
}

/// The reading half.
pub(crate) struct Reader {
    pub(crate) merge: Merge,
    pub(crate) writer: ObservationWriter,
    /// Records read so far.
    pub(crate) records: u64,
}

impl Reader {
    /// Fills `batch` again; false when there is nothing left.
    fn fill(&mut self, batch: &mut Batch) -> bool {
        batch.entries.clear();
        batch.names.clear();
        batch.first_number = self.records + 1;
        while batch.entries.len() < BATCH_ENTRIES {
            let Some(entry) = self.merge.next_entry(&mut self.writer) else { break };
            batch.entries.push(entry);
            if batch.entries.len().is_multiple_of(NAMES_EVERY) {
                batch.names.append(&mut self.writer.take_names());
            }
        }
        batch.names.append(&mut self.writer.take_names());
        self.records += batch.entries.len() as u64;
        !batch.entries.is_empty()
    }
}

/// Reads everything into `session`; `progress` is called now and then.
pub(crate) fn run(
    reader: Reader,
    session: &mut Session,
    threads: usize,
    progress: impl FnMut(),
) -> Result<Reader, ReplayError> {
    if threads < 2 {
        take_turns(reader, session, progress)
    } else {
        beside(reader, session, progress)
    }
}

fn take_turns(
    mut reader: Reader,
    session: &mut Session,
    mut progress: impl FnMut(),
) -> Result<Reader, ReplayError> {
    let mut batch = Batch::default();
    while reader.fill(&mut batch) {
        session.accept(batch.first_number, &batch.entries, &batch.names)?;
        progress();
    }
    Ok(reader)
}

fn beside(
    reader: Reader,
    session: &mut Session,
    mut progress: impl FnMut(),
) -> Result<Reader, ReplayError> {
    let (full_in, full_out) = sync_channel(BATCHES);
    let (empty_in, empty_out) = sync_channel(BATCHES);
    for _ in 0..BATCHES {
        // Cannot fail: the receiver is in this function and there is room.
        let _ = empty_in.send(Batch::default());
    }
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read_all(reader, &empty_out, &full_in));
        // Moved into this closure, so that an early return lets go of both ends and the reader stops.
        let (full_out, empty_in): (Receiver<Batch>, SyncSender<Batch>) = (full_out, empty_in);
        let mut accepted = Ok(());
        for batch in &full_out {
            accepted = session.accept(batch.first_number, &batch.entries, &batch.names);
            if accepted.is_err() {
                break;
            }
            progress();
            // The reader may have ended meanwhile.
            let _ = empty_in.send(batch);
        }
        drop((full_out, empty_in));
        let reader = reading.join().map_err(|_| ReplayError::ReaderStopped);
        accepted.and(reader)
    })
}

fn read_all(mut reader: Reader, empty: &Receiver<Batch>, full: &SyncSender<Batch>) -> Reader {
    while let Ok(mut batch) = empty.recv() {
        if !reader.fill(&mut batch) || full.send(batch).is_err() {
            break;
        }
    }
    reader
}
