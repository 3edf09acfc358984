//! What can end a replay, saying whose fault it is and what to do. A broken line is never here.

use std::io;
use std::path::PathBuf;

/// Why a replay could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is not there or may not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Open {
        /// The file as given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory was given.
    #[error("{path} is a directory; name the files in it, e.g. {path}/access.log*", path = path.display())]
    Directory {
        /// The directory as given.
        path: PathBuf,
    },
    /// Standard input was named more than once.
    #[error("standard input (-) can be read only once; name it once")]
    StdinTwice,
    /// Captures and logs at once.
    #[error(
        "{capture} is a packet capture and {log} is not; replay captures and logs separately",
        capture = capture.display(), log = log.display()
    )]
    Mixed {
        /// A capture, as given.
        capture: PathBuf,
        /// Something else, as given.
        log: PathBuf,
    },
    /// A packet capture where none can be recognised beforehand.
    #[error(
        "{path} is a packet capture that comes through a pipe; give it as standard input (floodwall replay - < {path}) or as a file",
        path = path.display()
    )]
    Capture {
        /// The file as given.
        path: PathBuf,
    },
    /// Not one packet could be read.
    #[error("no packet could be read:{details}")]
    NoPackets {
        /// One indented line per file: why.
        details: String,
    },
    /// Compressed by something other than gzip.
    #[error(
        "{path} is compressed with {kind}, which is not read directly; try: {unpack} {path} | floodwall replay -",
        path = path.display()
    )]
    Compressed {
        /// The file as given.
        path: PathBuf,
        /// The format.
        kind: &'static str,
        /// The command that writes its content to standard output.
        unpack: &'static str,
    },
    /// Not one line of any file was a record.
    #[error("no line could be read as a request:{details}")]
    NoRecords {
        /// One indented line per file: how many lines, the first of them, what it looks like.
        details: String,
    },
    /// The decisions could not be written.
    #[error("cannot write the decisions to {path}: {source}", path = path.display())]
    Decisions {
        /// The file as given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The decisions would overwrite what is read.
    #[error(
        "{path} is one of the files to be read and would be overwritten; give --decisions another name",
        path = path.display()
    )]
    DecisionsOverLog {
        /// The file as given.
        path: PathBuf,
    },
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Output(io::Error),
    /// A database that says where addresses belong.
    #[error(transparent)]
    Geography(#[from] crate::geography::DatabaseError),
    /// A thread of ours ended early; a mistake of ours.
    #[error("the reading thread stopped unexpectedly; please report this")]
    ReaderStopped,
}
