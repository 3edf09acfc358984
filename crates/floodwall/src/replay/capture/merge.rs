//! Several recordings as one, in time order: rotated files follow one another, files of several
//! interfaces or nodes are mixed.
//!
//! As with logs, a file is opened when its time comes and closed at its end.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::super::error::ReplayError;
use super::super::input;
use super::super::merge::OPEN_LOGS_MAX;
use super::read::{RecordedPacket, Recording, RecordingTally};

/// A recording whose time has not come.
struct Waiting {
    first_at_ns: u64,
    path: PathBuf,
    /// Already open because it cannot be read twice, with its first packet.
    begun: Option<(Recording, Option<RecordedPacket>)>,
}

struct Reader {
    recording: Recording,
    next: RecordedPacket,
}

/// The packets of all recordings.
pub(crate) struct Merge {
    read_bytes: Arc<AtomicU64>,
    waiting: VecDeque<Waiting>,
    /// At most [`OPEN_LOGS_MAX`] at a time. When as many overlap, the next waits until one ends; its
    /// packets are then late.
    open: Vec<Option<Reader>>,
    /// (time of the next packet, place in `open`).
    order: BinaryHeap<Reverse<(u64, usize)>>,
    /// The recordings that ended.
    pub(crate) done: Vec<(PathBuf, RecordingTally)>,
    /// Recordings that could not be opened when their time came, although they could at first.
    pub(crate) lost: Vec<String>,
}

impl Merge {
    /// Looks at the beginning of every recording and puts them in order.
    pub(crate) fn new(paths: &[PathBuf], read_bytes: Arc<AtomicU64>) -> Result<Self, ReplayError> {
        if paths.iter().filter(|path| input::is_stdin(path)).count() > 1 {
            return Err(ReplayError::StdinTwice);
        }
        let waiting: Result<Vec<Waiting>, ReplayError> =
            paths.iter().map(|path| look(path, &read_bytes)).collect();
        let mut waiting = waiting?;
        // Stable: recordings that begin at the same time stay as named.
        waiting.sort_by_key(|recording| recording.first_at_ns);
        Ok(Merge {
            read_bytes,
            waiting: waiting.into(),
            open: Vec::new(),
            order: BinaryHeap::new(),
            done: Vec::new(),
            lost: Vec::new(),
        })
    }

    /// Reads the next packet of all recordings into `packet`; `false` when all have ended.
    pub(crate) fn next_packet(&mut self, packet: &mut RecordedPacket) -> bool {
        self.open_due();
        let Some(mut top) = self.order.peek_mut() else { return false };
        let Reverse((_, place)) = *top;
        let Some(reader) = self.open.get_mut(place).and_then(Option::as_mut) else { return false };
        std::mem::swap(packet, &mut reader.next);
        if reader.recording.next_packet(&mut reader.next) {
            *top = Reverse((reader.next.at_ns, place));
            return true;
        }
        std::collections::binary_heap::PeekMut::pop(top);
        if let Some(Reader { recording, .. }) = self.open.get_mut(place).and_then(Option::take) {
            self.done.push((recording.path, recording.tally));
        }
        true
    }

    /// Opens every recording that may hold the next packet.
    fn open_due(&mut self) {
        while let Some(first) = self.waiting.front() {
            let next_at_ns = self.order.peek().map(|Reverse((at_ns, _))| *at_ns);
            let due = next_at_ns.is_none_or(|at_ns| first.first_at_ns <= at_ns);
            if !due || self.order.len() >= OPEN_LOGS_MAX {
                return;
            }
            let Some(waiting) = self.waiting.pop_front() else { return };
            let begun = match waiting.begun {
                Some(begun) => Ok(begun),
                None => begin(&waiting.path, &self.read_bytes),
            };
            match begun {
                Ok((recording, Some(next))) => self.place(Reader { recording, next }),
                Ok((recording, None)) => self.done.push((recording.path, recording.tally)),
                Err(error) => self.lost.push(error.to_string()),
            }
        }
    }

    fn place(&mut self, reader: Reader) {
        let place = match self.open.iter().position(Option::is_none) {
            Some(place) => place,
            None => {
                self.open.push(None);
                self.open.len() - 1
            }
        };
        self.order.push(Reverse((reader.next.at_ns, place)));
        self.open[place] = Some(reader);
    }
}

/// Opens `path` and reads its first packet.
fn begin(
    path: &Path,
    read_bytes: &Arc<AtomicU64>,
) -> Result<(Recording, Option<RecordedPacket>), ReplayError> {
    let (magic, bytes) = input::open_capture(path, read_bytes)?;
    let mut recording = Recording::new(path, &magic, bytes);
    let mut first = RecordedPacket::default();
    let first = recording.next_packet(&mut first).then_some(first);
    Ok((recording, first))
}

/// Finds when `path` begins.
fn look(path: &Path, read_bytes: &Arc<AtomicU64>) -> Result<Waiting, ReplayError> {
    if !input::is_rereadable(path) {
        let (recording, first) = begin(path, read_bytes)?;
        let first_at_ns = first.as_ref().map_or(0, |packet| packet.at_ns);
        return Ok(Waiting { first_at_ns, path: path.to_owned(), begun: Some((recording, first)) });
    }
    // Bytes read only to look are not progress.
    let (_, first) = begin(path, &Arc::default())?;
    Ok(Waiting {
        first_at_ns: first.map_or(0, |packet| packet.at_ns),
        path: path.to_owned(),
        begun: None,
    })
}
