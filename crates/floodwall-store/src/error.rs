//! What can go wrong with the data file: a closed list, each with the file and what to do.
//!
//! The file belongs to the operator. No variant here is ever answered by deleting it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or the file cannot be made or opened (the operator's: path or permissions).
    #[error("{}: cannot be opened: {source}; check the path, and that the user running Floodwall may write there", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else (the operator's: wrong path).
    #[error("{}: this is not a Floodwall database ({what}); nothing was changed; name another file, or move this one away and a new one will be made", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// The file was a database and is damaged (disk, or somebody wrote into it).
    #[error("{}: the database is damaged ({what}); nothing was changed; keep a copy, save what can be read with `sqlite3 FILE .recover`, then move it away and a new one will be made", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        what: String,
    },
    /// A later Floodwall made the file.
    #[error("{}: made by a newer Floodwall (format {found}, this one knows up to {known}); nothing was changed; run the newer Floodwall, or name another file", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format known here.
        known: u32,
    },
    /// No room left.
    #[error("{}: the disk is full or the file may not grow; free some space, nothing else needs to be done", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds the file.
    #[error("{}: another process uses the database (a second Floodwall?); end it, or name another file", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A single record cannot be read; the others can.
    #[error("{}: incident {id} cannot be read ({what}); the other incidents can", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Which incident.
        id: u64,
        /// Why not.
        what: String,
    },
    /// A record that must not be written (ours: too large, or it could not be read back).
    #[error("incident {id} cannot be stored: {what}")]
    Unstorable {
        /// Which incident.
        id: u64,
        /// Why not.
        what: String,
    },
    /// What was learned cannot be read back.
    #[error("{}: what was learned cannot be used: {what}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// What was learned cannot be written (ours: too large).
    #[error("what was learned cannot be stored: {what}")]
    UnstorableMemory {
        /// Why not.
        what: String,
    },
    /// The system gave no random bytes.
    #[error("/dev/urandom cannot be read: {0}; is /dev mounted here?")]
    Random(std::io::Error),
    /// Anything else that SQLite says.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Gives an error of SQLite its meaning for `path`.
    pub(crate) fn from_sqlite(path: &Path, source: rusqlite::Error) -> StoreError {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                StoreError::NotOurs { path, what: "it is no SQLite file".into() }
            }
            Some(ErrorCode::DatabaseCorrupt) => {
                StoreError::Damaged { path, what: source.to_string() }
            }
            // A write that fails half-way is a full disk or a broken one. SQLite tells the two
            // apart by SQLITE_FULL against SQLITE_IOERR.
            Some(ErrorCode::DiskFull) => StoreError::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                StoreError::Locked { path }
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                StoreError::Open { path, source: std::io::Error::other(source.to_string()) }
            }
            _ => StoreError::Sqlite { path, source },
        }
    }

    /// Whether the same write may succeed later without anybody changing the record.
    pub const fn may_pass(&self) -> bool {
        !matches!(self, StoreError::Unstorable { .. })
    }
}
