//! The shape of the file, and the check that it is ours before anything is written.
//!
//! The marks in the header are read before the database is opened for real, since merely opening
//! and closing one in WAL mode can move the log into it, and a newer Floodwall's file must stay as
//! it is.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;

/// The latest format this crate reads and writes, kept in `user_version`.
pub const SCHEMA_VERSION: u32 = 1;

/// Marks the file as Floodwall's, kept in `application_id`: "FlWl".
const APPLICATION_ID: i32 = 0x466c_576c;

/// Up to this size the whole file is checked for damage when it is opened: a few tenths of a
/// second. Beyond it, damage shows when the damaged record is read.
const CHECKED_BYTES_MAX: u64 = 64 << 20;

const CREATE_V1: &str = "
    CREATE TABLE incidents (
        id           INTEGER PRIMARY KEY,
        opened_at_ms INTEGER NOT NULL,
        closed_at_ms INTEGER,
        verdict      TEXT NOT NULL,
        record       TEXT NOT NULL
    ) STRICT;
    CREATE INDEX incidents_open ON incidents (id) WHERE closed_at_ms IS NULL;
    CREATE TABLE settings (
        name  TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Refuses a file that is not ours, changing nothing: as an immutable database its log is neither
/// looked at nor moved into it (<https://www.sqlite.org/uri.html>). An empty file is new.
///
/// Through SQLite and not by reading the first bytes: closing a descriptor of our own would take
/// back the locks of every other connection of this process.
pub(crate) fn check_header(path: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let marks = Connection::open_with_flags(immutable_uri(path), flags)
        .and_then(|file| read_marks(&file))
        .map_err(|source| StoreError::from_sqlite(path, source))?;
    match marks {
        // The first transaction may still be in the log. `check_open` looks there too.
        (0, 0) => Ok(()),
        marks => check_marks(path, marks),
    }
}

/// The path as a URI, everything but plain letters escaped (RFC 3986 § 2.1).
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

fn read_marks(connection: &Connection) -> Result<(i32, i32), rusqlite::Error> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
}

/// Whether the open database has nothing in it yet.
pub(crate) fn is_empty(path: &Path, connection: &Connection) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .map(|tables| tables == 0)
        .map_err(|source| StoreError::from_sqlite(path, source))
}

/// Makes the tables, all or nothing. Two processes that start at once both succeed.
pub(crate) fn create(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |source| StoreError::from_sqlite(path, source);
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(failed)?;
    if is_empty(path, &transaction)? {
        transaction.execute_batch(CREATE_V1).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Refuses an open database that is not ours, is newer, or is damaged.
pub(crate) fn check_open(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let failed = |source| StoreError::from_sqlite(path, source);
    check_marks(path, read_marks(connection).map_err(failed)?)?;
    let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
    if bytes <= CHECKED_BYTES_MAX {
        let verdict: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if verdict != "ok" {
            return Err(StoreError::Damaged { path: path.to_owned(), what: verdict });
        }
    }
    Ok(())
}

fn check_marks(path: &Path, (application_id, user_version): (i32, i32)) -> Result<(), StoreError> {
    if application_id != APPLICATION_ID {
        return Err(not_ours(path, "another program made it"));
    }
    match u32::try_from(user_version) {
        Ok(found) if found > SCHEMA_VERSION => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION })
        }
        Ok(found) if found >= 1 => Ok(()),
        _ => Err(not_ours(path, "its format number makes no sense")),
    }
}

fn not_ours(path: &Path, what: &str) -> StoreError {
    StoreError::NotOurs { path: path.to_owned(), what: what.into() }
}
