//! The store: incidents, whole, by number.
//!
//! WAL with `synchronous = FULL`: writes are rare (one per change of an incident, on a thread that
//! nobody waits for), so the extra fsync costs nothing that matters, and NORMAL would let a power
//! cut take back a closed incident or a number that was already given away.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use floodwall_model::incident::TimelineKind;
use floodwall_model::{Incident, IncidentVerdict};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use crate::error::StoreError;
use crate::{schema, settings};

/// Incidents kept. When full: the one with the lowest number is forgotten for each new one, and
/// counted ([`Store::incidents_forgotten`]). At a usual 30 KB each this is 300 MB.
pub const INCIDENTS_KEPT_MAX: u32 = 10_000;

/// Incidents returned by one listing. When more are asked for: the newest so many come.
pub const INCIDENTS_LISTED_MAX: usize = 1_000;

/// Longest record. The model's own limits keep records below it; one that is longer all the same
/// is refused, and the refusal counted by the writer.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// How long a write waits for another process that holds the file, before it is an error.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// An open data file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
    incidents_kept_max: u32,
    /// Held by the one writer, and freed by the kernel however it ends.
    _lock: Option<File>,
}

/// What a listing found.
#[derive(Debug, Default, PartialEq)]
pub struct Listed {
    /// The incidents, newest first.
    pub incidents: Vec<Incident>,
    /// Numbers of incidents whose record cannot be read.
    pub unreadable: Vec<u64>,
}

impl Store {
    /// Opens the file for its one writer, making it (mode 0600) and its directory (mode 0750) where
    /// missing. A second writer is refused: it would close the first one's open incidents.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        make_directory(path)?;
        let lock = take_lock(path)?;
        make_file(path)?;
        schema::check_header(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut store = Self::connect(path, flags, Some(lock))?;
        // Checked before configured: even the journal mode is written into the file.
        let new = schema::is_empty(path, &store.connection)?;
        if !new {
            schema::check_open(path, &store.connection)?;
        }
        store.configure().map_err(|source| StoreError::from_sqlite(path, source))?;
        if new {
            schema::create(path, &mut store.connection)?;
        }
        Ok(store)
    }

    /// Opens an existing file for reading, beside a process that writes to it.
    pub fn open_read_only(path: &Path) -> Result<Store, StoreError> {
        schema::check_header(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let store = Self::connect(path, flags, None)?;
        schema::check_open(path, &store.connection)?;
        Ok(store)
    }

    /// Keeps another number of incidents than [`INCIDENTS_KEPT_MAX`], at least one.
    pub fn with_incidents_kept_max(mut self, incidents: u32) -> Store {
        self.incidents_kept_max = incidents.max(1);
        self
    }

    /// Stores a record, in place of an earlier one with its number, and forgets the oldest where
    /// there are too many. All or nothing.
    pub fn save_incident(&mut self, incident: &Incident) -> Result<(), StoreError> {
        let id = stored_id(incident.id)?;
        let record = record_text(incident)?;
        let kept = i64::from(self.incidents_kept_max);
        let result = (|| {
            let transaction =
                self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT OR REPLACE INTO incidents (id, opened_at_ms, closed_at_ms, verdict, record)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    id,
                    stored_ms(incident.opened_at_ms),
                    incident.closed_at_ms.map(stored_ms),
                    verdict_name(incident.verdict),
                    record,
                ],
            )?;
            // By number and not by time: a clock that was set back must not make the newest the
            // oldest.
            let forgotten = transaction.execute(
                "DELETE FROM incidents WHERE id <=
                 (SELECT id FROM incidents ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                [kept],
            )?;
            if forgotten > 0 {
                settings::add(&transaction, settings::INCIDENTS_FORGOTTEN, forgotten as u64)?;
            }
            settings::raise_numbers(&transaction, incident)?;
            transaction.commit()
        })();
        result.map_err(|source| StoreError::from_sqlite(&self.path, source))
    }

    /// One incident, if it is there.
    pub fn incident(&self, id: u64) -> Result<Option<Incident>, StoreError> {
        let Ok(key) = stored_id(id) else { return Ok(None) };
        let record: Option<String> = self
            .connection
            .query_row("SELECT record FROM incidents WHERE id = ?1", [key], |row| row.get(0))
            .optional()
            .map_err(|source| StoreError::from_sqlite(&self.path, source))?;
        record.map(|text| self.read_record(id, &text)).transpose()
    }

    /// The newest incidents, at most `limit` and at most [`INCIDENTS_LISTED_MAX`]. One that cannot
    /// be read does not hide the others.
    pub fn incidents(&self, limit: usize) -> Result<Listed, StoreError> {
        self.select(
            "SELECT id, record FROM incidents ORDER BY id DESC LIMIT ?1",
            limit.min(INCIDENTS_LISTED_MAX),
        )
    }

    /// Closes incidents that a process which ended without warning left open, and says so in
    /// their record. Returns their numbers. Call once at start, before the first new incident.
    pub fn mark_unclosed(&mut self, now_ms: u64) -> Result<Vec<u64>, StoreError> {
        let open = self.select(
            "SELECT id, record FROM incidents WHERE closed_at_ms IS NULL ORDER BY id LIMIT ?1",
            INCIDENTS_KEPT_MAX as usize,
        )?;
        let mut marked = Vec::with_capacity(open.incidents.len());
        for mut incident in open.incidents {
            close_as_cut_off(&mut incident, now_ms);
            self.save_incident(&incident)?;
            marked.push(incident.id);
        }
        Ok(marked)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) const fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn connect(path: &Path, flags: OpenFlags, lock: Option<File>) -> Result<Store, StoreError> {
        let failed = |source| StoreError::from_sqlite(path, source);
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(LOCK_WAIT).map_err(failed)?;
        Ok(Store {
            path: path.to_owned(),
            connection,
            incidents_kept_max: INCIDENTS_KEPT_MAX,
            _lock: lock,
        })
    }

    fn configure(&self) -> Result<(), rusqlite::Error> {
        let mode: String =
            self.connection.pragma_update_and_check(None, "journal_mode", "WAL", |r| r.get(0))?;
        if mode != "wal" {
            // Some network filesystems have no shared memory. Whole records all the same; a
            // reader may have to wait for a writer.
            tracing::warn!(file = %self.path.display(), mode, "the database cannot use a write-ahead log here");
        }
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        // The log is cut back to this after a checkpoint, so that one burst does not keep its size.
        self.connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
        self.connection.pragma_update(None, "trusted_schema", false)
    }

    fn select(&self, query: &str, limit: usize) -> Result<Listed, StoreError> {
        let failed = |source| StoreError::from_sqlite(&self.path, source);
        let mut statement = self.connection.prepare_cached(query).map_err(failed)?;
        let rows = statement
            .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
            .map_err(failed)?;
        let mut listed = Listed::default();
        for row in rows {
            let (id, record) = row.map_err(failed)?;
            let id = id.unsigned_abs();
            match self.read_record(id, &record) {
                Ok(incident) => listed.incidents.push(incident),
                Err(_) => listed.unreadable.push(id),
            }
        }
        Ok(listed)
    }

    fn read_record(&self, id: u64, text: &str) -> Result<Incident, StoreError> {
        serde_json::from_str(text).map_err(|why| StoreError::Record {
            path: self.path.clone(),
            id,
            what: why.to_string(),
        })
    }
}

fn open_failed(at: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = at.to_owned();
    move |source| StoreError::Open { path, source }
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o750).create(directory).map_err(open_failed(directory))
}

/// In a file of its own: a lock on the database would meet those that SQLite takes.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let mut options = File::options();
    let lock = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(open_failed(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::Open { path: lock_path, source }),
    }
}

/// SQLite gives its log and its shared memory the mode of the file itself.
fn make_file(path: &Path) -> Result<(), StoreError> {
    let made = File::options().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop).map_err(open_failed(path)),
    }
}

fn stored_id(id: u64) -> Result<i64, StoreError> {
    i64::try_from(id).map_err(|_| StoreError::Unstorable {
        id,
        what: "its number is beyond what the database can hold".into(),
    })
}

/// The column is for looking up; the record keeps the exact value.
fn stored_ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn record_text(incident: &Incident) -> Result<String, StoreError> {
    let unstorable = |what| StoreError::Unstorable { id: incident.id, what };
    let text = serde_json::to_string(incident).map_err(|why| unstorable(why.to_string()))?;
    if text.len() > RECORD_BYTES_MAX {
        return Err(unstorable(format!("its record has {} bytes", text.len())));
    }
    // JSON has no infinity and no NaN: such a figure would be written and never be read again.
    // Better to hear of it now, while the record is still in memory.
    serde_json::from_str::<Incident>(&text)
        .map_err(|why| unstorable(format!("it could not be read back: {why}")))?;
    Ok(text)
}

const fn verdict_name(verdict: IncidentVerdict) -> &'static str {
    match verdict {
        IncidentVerdict::Attack => "attack",
        IncidentVerdict::Crowd => "crowd",
        IncidentVerdict::CannotTell => "cannot_tell",
    }
}

/// The close is put at the last moment that the record vouches for: what happened between then and
/// now nobody saw.
fn close_as_cut_off(incident: &mut Incident, now_ms: u64) {
    let last_seen_ms = incident.updated_at_ms.max(incident.opened_at_ms);
    let text = "Floodwall ended without closing this incident (crash, kill or power cut). The \
                record stops at its last update; what came after was not seen.";
    incident.note(now_ms, TimelineKind::Note, text.into());
    // Again here, because a full timeline only counts what it leaves out.
    incident.blind_spots.push(text.into());
    for rule in incident.rules.iter_mut().filter(|rule| rule.ended_at_ms.is_none()) {
        rule.ended_at_ms = Some(last_seen_ms);
        rule.ended_why = Some("Floodwall ended".into());
    }
    incident.closed_at_ms = Some(last_seen_ms);
    incident.updated_at_ms = now_ms;
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
