//! The few values that must survive a restart: the installation's key and the next free numbers.
//!
//! The numbers are raised in the same transaction as the record that uses them, so a crash can
//! leave a gap but never give one number to two rules or two incidents.

use std::io::Read;

use floodwall_model::{Incident, RuleId, ValueKey};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::error::StoreError;
use crate::store::Store;

/// Rule numbers a run should set aside at its start ([`Store::reserve_rule_ids`]): many more than
/// are placed between two stored records, and few enough for a million runs. When a run uses more,
/// every stored record still raises the next free number above its rules.
pub const RULE_IDS_RESERVED: u32 = 4_096;

const VALUE_KEY: &str = "value_key";
const NEXT_RULE_ID: &str = "next_rule_id";
const NEXT_INCIDENT_ID: &str = "next_incident_id";
pub(crate) const INCIDENTS_FORGOTTEN: &str = "incidents_forgotten";

impl Store {
    /// The secret under which attribute values are counted; made on first use and then kept, so
    /// that what was learned before a restart still means the same.
    pub fn value_key(&mut self) -> Result<ValueKey, StoreError> {
        let path = self.path().to_owned();
        let failed = |source| StoreError::from_sqlite(&path, source);
        let transaction = self
            .connection_mut()
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let stored: Option<Vec<u8>> = transaction
            .query_row("SELECT value FROM settings WHERE name = ?1", [VALUE_KEY], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        let bytes: [u8; 16] = match stored {
            Some(bytes) => bytes.try_into().map_err(|_| StoreError::Damaged {
                path: path.clone(),
                what: "the stored key does not have 16 bytes".into(),
            })?,
            None => {
                let bytes = random_bytes().map_err(StoreError::Random)?;
                transaction
                    .execute(
                        "INSERT INTO settings (name, value) VALUES (?1, ?2)",
                        params![VALUE_KEY, bytes.as_slice()],
                    )
                    .map_err(failed)?;
                bytes
            }
        };
        transaction.commit().map_err(failed)?;
        let both = u128::from_le_bytes(bytes);
        Ok(ValueKey::new(both as u64, (both >> 64) as u64))
    }

    /// The lowest rule number that no stored or reserved rule has.
    pub fn next_rule_id(&self) -> Result<RuleId, StoreError> {
        let next = self.number(NEXT_RULE_ID)?.unwrap_or(1);
        Ok(RuleId(u32::try_from(next).unwrap_or(u32::MAX)))
    }

    /// Sets `count` rule numbers aside and returns the first: no other run gets them, even if this
    /// one is killed before it stores anything.
    pub fn reserve_rule_ids(&mut self, count: u32) -> Result<RuleId, StoreError> {
        let first = self.next_rule_id()?;
        let path = self.path().to_owned();
        raise(self.connection(), NEXT_RULE_ID, u64::from(first.0.saturating_add(count)))
            .map_err(|source| StoreError::from_sqlite(&path, source))?;
        Ok(first)
    }

    /// The lowest incident number that was never stored, forgotten incidents included.
    pub fn next_incident_id(&self) -> Result<u64, StoreError> {
        Ok(self.number(NEXT_INCIDENT_ID)?.unwrap_or(1))
    }

    /// Incidents dropped because [`crate::INCIDENTS_KEPT_MAX`] were there, ever.
    pub fn incidents_forgotten(&self) -> Result<u64, StoreError> {
        Ok(self.number(INCIDENTS_FORGOTTEN)?.unwrap_or(0))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let stored: Option<Vec<u8>> = self
            .connection()
            .query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0))
            .optional()
            .map_err(|source| StoreError::from_sqlite(self.path(), source))?;
        stored
            .map(|bytes| {
                read_number(&bytes).ok_or_else(|| StoreError::Damaged {
                    path: self.path().to_owned(),
                    what: format!("the stored `{name}` is no number"),
                })
            })
            .transpose()
    }
}

/// Raises the next free numbers above those that `incident` uses.
pub(crate) fn raise_numbers(
    connection: &Connection,
    incident: &Incident,
) -> Result<(), rusqlite::Error> {
    raise(connection, NEXT_INCIDENT_ID, incident.id.saturating_add(1))?;
    match incident.rules.iter().map(|rule| rule.id.0).max() {
        Some(highest) => raise(connection, NEXT_RULE_ID, u64::from(highest.saturating_add(1))),
        None => Ok(()),
    }
}

/// Adds to a stored count.
pub(crate) fn add(connection: &Connection, name: &str, more: u64) -> Result<(), rusqlite::Error> {
    let stored: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    let before = stored.as_deref().and_then(read_number).unwrap_or(0);
    raise(connection, name, before.saturating_add(more))
}

/// Sets a number unless it is already higher. Big-endian, so that SQLite compares blobs as numbers.
fn raise(connection: &Connection, name: &str, to: u64) -> Result<(), rusqlite::Error> {
    connection.execute(
        "INSERT INTO settings (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        params![name, to.to_be_bytes().as_slice()],
    )?;
    Ok(())
}

fn read_number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn random_bytes() -> std::io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{Attr, RuleRecord};

    fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(&dir.path().join("store.db")).unwrap()
    }

    #[test]
    fn the_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let id = |store: &mut Store| store.value_key().unwrap().id(Attr::Host, b"a.example");
        let first = id(&mut open(&dir));
        assert_eq!(id(&mut open(&dir)), first);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(id(&mut open(&other)), first, "two installations have two keys");
    }

    #[test]
    fn numbers_are_never_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        assert_eq!(store.next_rule_id().unwrap(), RuleId(1));
        assert_eq!(store.next_incident_id().unwrap(), 1);
        assert_eq!(store.reserve_rule_ids(100).unwrap(), RuleId(1));
        drop(store);

        let mut store = open(&dir);
        assert_eq!(store.reserve_rule_ids(100).unwrap(), RuleId(101));
        let mut incident = Incident { id: 41, ..Incident::default() };
        incident.add_rule(rule(5));
        store.save_incident(&incident).unwrap();
        assert_eq!(store.next_rule_id().unwrap(), RuleId(201), "a lower number lowers nothing");
        incident.add_rule(rule(999));
        store.save_incident(&incident).unwrap();
        assert_eq!(store.next_rule_id().unwrap(), RuleId(1_000));
        assert_eq!(store.next_incident_id().unwrap(), 42);
    }

    #[test]
    fn the_last_number_is_not_wrapped() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        store.reserve_rule_ids(u32::MAX).unwrap();
        assert_eq!(store.reserve_rule_ids(5).unwrap(), RuleId(u32::MAX));
        assert_eq!(store.next_rule_id().unwrap(), RuleId(u32::MAX));
    }

    fn rule(id: u32) -> RuleRecord {
        RuleRecord {
            id: RuleId(id),
            words: String::new(),
            predicates: Vec::new(),
            action: floodwall_model::Action::Block,
            first_at_ms: 0,
            ended_at_ms: None,
            ended_why: None,
            returns: 0,
            matched: 0,
            projected: Default::default(),
            measured: Default::default(),
            live: Default::default(),
            evidence: Vec::new(),
        }
    }
}
