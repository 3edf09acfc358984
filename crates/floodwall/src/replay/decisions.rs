//! The file of decisions: one line per record, in the order of the records' numbers.
//!
//! Decisions are taken in the order of time, which differs a little from the order of reading, so
//! some are held back until those before them are known.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::enforce::Decision;
use super::error::ReplayError;

/// Decisions held back. When full, the line of a record that is still waited for is written when
/// its decision is taken, out of order, counted. Needs a log disordered over a million lines.
const HELD_MAX: usize = 1 << 20;

/// The file.
pub(crate) struct DecisionFile {
    path: PathBuf,
    out: BufWriter<File>,
    /// Number of the first decision held.
    next: u64,
    held: VecDeque<Option<Decision>>,
    held_max: usize,
    /// Lines written out of order.
    pub(crate) out_of_order: u64,
}

impl DecisionFile {
    /// Creates the file at `path`, or empties it. Records are numbered from 1.
    pub(crate) fn create(path: &Path) -> Result<Self, ReplayError> {
        let wrong = |source| ReplayError::Decisions { path: path.to_owned(), source };
        Ok(DecisionFile {
            path: path.to_owned(),
            out: BufWriter::with_capacity(256 * 1024, File::create(path).map_err(wrong)?),
            next: 1,
            held: VecDeque::new(),
            held_max: HELD_MAX,
            out_of_order: 0,
        })
    }

    /// Takes the decision on record `number`.
    pub(crate) fn note(&mut self, number: u64, decision: Decision) -> Result<(), ReplayError> {
        self.place(number, decision)
            .map_err(|source| ReplayError::Decisions { path: self.path.clone(), source })
    }

    /// Writes what is held back.
    pub(crate) fn finish(&mut self) -> Result<(), ReplayError> {
        self.release(0)
            .and_then(|()| self.out.flush())
            .map_err(|source| ReplayError::Decisions { path: self.path.clone(), source })
    }

    fn place(&mut self, number: u64, decision: Decision) -> io::Result<()> {
        let Some(ahead) = number.checked_sub(self.next) else {
            self.out_of_order += 1;
            return write_line(&mut self.out, number, decision);
        };
        if ahead >= self.held_max as u64 {
            // Far ahead: give up waiting for the oldest.
            let room = self.held.len().min((ahead + 1 - self.held_max as u64) as usize);
            self.release(self.held.len() - room)?;
            if self.held.is_empty() {
                self.next = self.next.max((number + 1).saturating_sub(self.held_max as u64));
            }
        }
        let ahead = number.saturating_sub(self.next) as usize;
        if self.held.len() <= ahead {
            self.held.resize(ahead + 1, None);
        }
        if let Some(slot) = self.held.get_mut(ahead) {
            *slot = Some(decision);
        }
        while let Some(Some(decision)) = self.held.front() {
            write_line(&mut self.out, self.next, *decision)?;
            self.held.pop_front();
            self.next += 1;
        }
        Ok(())
    }

    /// Writes the oldest until at most `keep` are held.
    fn release(&mut self, keep: usize) -> io::Result<()> {
        while self.held.len() > keep {
            if let Some(Some(decision)) = self.held.pop_front() {
                write_line(&mut self.out, self.next, decision)?;
            }
            self.next += 1;
        }
        Ok(())
    }
}

fn write_line(out: &mut impl Write, number: u64, decision: Decision) -> io::Result<()> {
    match decision.rule() {
        Some(rule) => writeln!(out, "{number}\t{}\t{rule}", decision.name()),
        None => writeln!(out, "{number}\t{}\t-", decision.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::RuleId;
    use proptest::prelude::*;

    fn written(held_max: usize, numbers: &[u64]) -> (String, u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut decisions = DecisionFile::create(file.path()).unwrap();
        decisions.held_max = held_max;
        for number in numbers {
            decisions.note(*number, Decision::Pass).unwrap();
            assert!(decisions.held.len() <= held_max);
        }
        decisions.finish().unwrap();
        (std::fs::read_to_string(file.path()).unwrap(), decisions.out_of_order)
    }

    fn numbers(text: &str) -> Vec<u64> {
        text.lines().map(|l| l.split('\t').next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn lines_hold_number_action_and_rule() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut decisions = DecisionFile::create(file.path()).unwrap();
        decisions.note(2, Decision::Block(RuleId(3))).unwrap();
        decisions.note(1, Decision::Pass).unwrap();
        decisions.note(4, Decision::Ban).unwrap();
        decisions.note(3, Decision::Throttle(RuleId(4))).unwrap();
        decisions.finish().unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "1\tpass\t-\n2\tblock\tr3\n3\tthrottle\tr4\n4\tban\t-\n");
    }

    #[test]
    fn when_too_many_are_held_the_missing_line_comes_later() {
        let (text, out_of_order) = written(4, &[2, 3, 4, 5, 6, 7, 1]);
        assert_eq!(numbers(&text), [2, 3, 4, 5, 6, 7, 1]);
        assert_eq!(out_of_order, 1);
        assert_eq!(numbers(&written(4, &[100, 1, 2]).0), [1, 2, 100]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = DecisionFile::create(Path::new("/nonexistent/d.tsv")).err().unwrap();
        assert!(error.to_string().contains("/nonexistent/d.tsv"));
    }

    proptest! {
        #[test]
        fn every_number_is_written_once_and_in_order_if_there_is_room(
            order in Just((1u64..200).collect::<Vec<_>>()).prop_shuffle(), held_max in 1usize..300,
        ) {
            let (text, out_of_order) = written(held_max, &order);
            let mut found = numbers(&text);
            if held_max >= 200 {
                prop_assert_eq!(out_of_order, 0);
                prop_assert!(found.is_sorted());
            }
            found.sort_unstable();
            prop_assert_eq!(found, (1..200).collect::<Vec<_>>());
        }
    }
}
