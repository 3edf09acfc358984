//! Several logs as one, in time order: each node of a load balancer writes its own, and rotated
//! logs follow one another.
//!
//! Logs are opened when their time comes and closed at their end, so a year of rotated files needs
//! one descriptor. Records inside a log may be a little out of order; that is mended later
//! (`reorder`), here only the next record of each log is compared.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::PathBuf;

use super::error::ReplayError;
use super::input;
use super::log::{Log, LogTally, Reading};
use super::record::{Entry, ObservationWriter};

/// Logs read at the same time. When as many overlap, the next waits until one ends; its records
/// that are then behind are counted as late.
pub(crate) const OPEN_LOGS_MAX: usize = 256;

/// Lines read to find the first record of a log. A log with none so far is taken to be the oldest.
const FIRST_LINES_MAX: u64 = 1_000;

/// A log whose time has not come.
struct Waiting {
    first_at_ms: u64,
    path: PathBuf,
    /// Already open because it cannot be read twice, with its first record.
    begun: Option<(Log, Option<Entry>)>,
}

struct Reader {
    log: Log,
    /// Its next record.
    next: Entry,
}

/// The records of all logs.
pub(crate) struct Merge {
    reading: Reading,
    waiting: VecDeque<Waiting>,
    open: Vec<Option<Reader>>,
    /// (time of the next record, turn, place in `open`). Equal times take turns, so that two nodes'
    /// records of one second are mixed and not laid end to end.
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    turn: u64,
    /// The logs that ended.
    pub(crate) done: Vec<(PathBuf, LogTally)>,
    /// Logs that could not be opened when their time came, although they could at first.
    pub(crate) lost: Vec<String>,
}

impl Merge {
    /// Looks at the beginning of every log and puts them in order. Fails if one cannot be opened.
    pub(crate) fn new(
        paths: &[PathBuf],
        reading: Reading,
        writer: &mut ObservationWriter,
    ) -> Result<Self, ReplayError> {
        if paths.iter().filter(|path| input::is_stdin(path)).count() > 1 {
            return Err(ReplayError::StdinTwice);
        }
        let mut scout = writer.fresh();
        let waiting: Result<Vec<Waiting>, ReplayError> =
            paths.iter().map(|path| look(path, &reading, writer, &mut scout)).collect();
        let mut waiting = waiting?;
        // Stable: logs that begin at the same time stay as named.
        waiting.sort_by_key(|log| log.first_at_ms);
        Ok(Merge {
            reading,
            waiting: waiting.into(),
            open: Vec::new(),
            order: BinaryHeap::new(),
            turn: 0,
            done: Vec::new(),
            lost: Vec::new(),
        })
    }

    /// The next record of all logs; `None` when all have ended.
    pub(crate) fn next_entry(&mut self, writer: &mut ObservationWriter) -> Option<Entry> {
        self.open_due(writer);
        let mut top = self.order.peek_mut()?;
        let Reverse((_, _, place)) = *top;
        let reader = self.open.get_mut(place)?.as_mut()?;
        match reader.log.next_entry(writer) {
            Some(next) => {
                let entry = std::mem::replace(&mut reader.next, next);
                self.turn += 1;
                *top = Reverse((next.observation.at_ms, self.turn, place));
                Some(entry)
            }
            None => {
                std::collections::binary_heap::PeekMut::pop(top);
                let Reader { log, next } = self.open.get_mut(place)?.take()?;
                self.done.push((log.path, log.tally));
                Some(next)
            }
        }
    }

    /// Opens every log that may hold the next record.
    fn open_due(&mut self, writer: &mut ObservationWriter) {
        while let Some(first) = self.waiting.front() {
            let next_at_ms = self.order.peek().map(|Reverse((at_ms, _, _))| *at_ms);
            let due = next_at_ms.is_none_or(|at_ms| first.first_at_ms <= at_ms);
            if !due || self.order.len() >= OPEN_LOGS_MAX {
                return;
            }
            let Some(waiting) = self.waiting.pop_front() else { return };
            let begun = match waiting.begun {
                Some(begun) => Ok(begun),
                None => Log::open(&waiting.path, &self.reading).map(|mut log| {
                    let next = log.next_entry(writer);
                    (log, next)
                }),
            };
            match begun {
                Ok((log, Some(next))) => self.begin(Reader { log, next }),
                Ok((log, None)) => self.done.push((log.path, log.tally)),
                Err(error) => self.lost.push(error.to_string()),
            }
        }
    }

    fn begin(&mut self, reader: Reader) {
        let place = match self.open.iter().position(Option::is_none) {
            Some(place) => place,
            None => {
                self.open.push(None);
                self.open.len() - 1
            }
        };
        self.turn += 1;
        self.order.push(Reverse((reader.next.observation.at_ms, self.turn, place)));
        self.open[place] = Some(reader);
    }
}

/// Finds when `path` begins. `scout` makes the records that are thrown away again.
fn look(
    path: &std::path::Path,
    reading: &Reading,
    writer: &mut ObservationWriter,
    scout: &mut ObservationWriter,
) -> Result<Waiting, ReplayError> {
    if !input::is_rereadable(path) {
        let mut log = Log::open(path, reading)?;
        let first = log.next_entry(writer);
        let first_at_ms = first.map_or(0, |entry| entry.observation.at_ms);
        return Ok(Waiting { first_at_ms, path: path.to_owned(), begun: Some((log, first)) });
    }
    // Bytes read only to look are not progress.
    let looking = Reading { read_bytes: Default::default(), ..reading.clone() };
    let mut log = Log::open(path, &looking)?;
    let first = log.entry_within(FIRST_LINES_MAX, scout);
    let first_at_ms = first.map_or(0, |entry| entry.observation.at_ms);
    Ok(Waiting { first_at_ms, path: path.to_owned(), begun: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::ValueKey;
    use proptest::prelude::*;
    use std::io::Write;

    /// A log of one line per time, the status telling the record.
    fn log(dir: &std::path::Path, name: &str, records: &[(u64, u16)]) -> PathBuf {
        let path = dir.join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        for (at_s, status) in records {
            writeln!(
                file,
                "{{\"ts\":{at_s},\"ip\":\"192.0.2.1\",\"uri\":\"/\",\"status\":{status}}}"
            )
            .unwrap();
        }
        path
    }

    fn merged(paths: &[PathBuf]) -> Vec<(u64, u16)> {
        let mut writer = ObservationWriter::new(ValueKey::new(1, 2));
        let mut merge = Merge::new(paths, Reading::default(), &mut writer).unwrap();
        let records = std::iter::from_fn(|| merge.next_entry(&mut writer))
            .map(|e| (e.observation.at_ms / 1_000, e.observation.outcome.unwrap().status))
            .collect();
        assert_eq!(merge.done.len(), paths.len());
        records
    }

    #[test]
    fn rotated_logs_follow_one_another_whatever_their_order_on_the_command_line() {
        let dir = tempfile::tempdir().unwrap();
        let newer = log(dir.path(), "access.log", &[(30, 5), (40, 6)]);
        let older = log(dir.path(), "access.log.1", &[(10, 1), (20, 2)]);
        assert_eq!(merged(&[newer, older]), [(10, 1), (20, 2), (30, 5), (40, 6)]);
    }

    #[test]
    fn two_nodes_records_of_one_second_are_mixed() {
        let dir = tempfile::tempdir().unwrap();
        let a = log(dir.path(), "a", &[(10, 1), (10, 1), (10, 1)]);
        let b = log(dir.path(), "b", &[(10, 2), (10, 2), (10, 2)]);
        let statuses: Vec<u16> = merged(&[a, b]).into_iter().map(|(_, status)| status).collect();
        assert_eq!(statuses, [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn a_log_without_records_is_done_like_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let a = log(dir.path(), "a", &[(10, 1)]);
        let b = log(dir.path(), "b", &[]);
        assert_eq!(merged(&[a, b]), [(10, 1)]);
    }

    #[test]
    fn more_overlapping_logs_than_may_be_open_are_all_read() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..OPEN_LOGS_MAX + 20)
            .map(|n| log(dir.path(), &format!("{n}"), &[(10, 1), (20, 2)]))
            .collect();
        assert_eq!(merged(&paths).len(), 2 * paths.len());
    }

    #[test]
    fn standard_input_twice_is_refused() {
        let mut writer = ObservationWriter::new(ValueKey::new(1, 2));
        let paths = [PathBuf::from("-"), PathBuf::from("-")];
        let refused = Merge::new(&paths, Reading::default(), &mut writer).err();
        assert!(matches!(refused, Some(ReplayError::StdinTwice)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn merging_sorted_logs_is_sorting_all_records(
            mut logs in prop::collection::vec(prop::collection::vec(1u64..500, 0..40), 1..6),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let paths: Vec<PathBuf> = logs.iter_mut().enumerate().map(|(n, times)| {
                times.sort_unstable();
                log(dir.path(), &n.to_string(), &times.iter().map(|t| (*t, 200)).collect::<Vec<_>>())
            }).collect();
            let found: Vec<u64> = merged(&paths).into_iter().map(|(at_s, _)| at_s).collect();
            let mut expected = logs.concat();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
