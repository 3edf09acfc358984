//! The file of decisions over packets: one line each, in the order of reading. Unlike records of a
//! log, packets are decided on as they are read, so nothing is held back.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::super::error::ReplayError;
use super::enforce::Decision;

/// The file.
pub(crate) struct PacketDecisionFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl PacketDecisionFile {
    /// Creates the file at `path`, or empties it.
    pub(crate) fn create(path: &Path) -> Result<Self, ReplayError> {
        let wrong = |source| ReplayError::Decisions { path: path.to_owned(), source };
        let out = BufWriter::with_capacity(256 * 1024, File::create(path).map_err(wrong)?);
        Ok(PacketDecisionFile { path: path.to_owned(), out })
    }

    /// Writes the decision on packet `number`.
    pub(crate) fn note(&mut self, number: u64, decision: Decision) -> Result<(), ReplayError> {
        let name = decision.name();
        let written = match decision {
            Decision::Drop(rule) => writeln!(self.out, "{number}\t{name}\t{rule}"),
            Decision::Pass => writeln!(self.out, "{number}\t{name}\t-"),
            Decision::LinkUnread => writeln!(self.out, "{number}\t{name}\tlink_type_not_read"),
            Decision::Let(reason) | Decision::Refuse(reason) | Decision::Challenge(reason) => {
                writeln!(self.out, "{number}\t{name}\t{}", reason.name())
            }
        };
        written.map_err(|source| ReplayError::Decisions { path: self.path.clone(), source })
    }

    /// Writes what is held back.
    pub(crate) fn finish(&mut self) -> Result<(), ReplayError> {
        self.out
            .flush()
            .map_err(|source| ReplayError::Decisions { path: self.path.clone(), source })
    }
}
