//! Alone writes data files: incidents and what must survive a restart, in SQLite.
//!
//! SQLite and not files of our own, because a half-written record after a power cut is a solved
//! problem there. One table holds each incident whole as JSON beside the columns it is looked up
//! by: the record's shape belongs to the model, and a new field must not need a migration.
//!
//! What the engine learned lies beside it, in a file that is replaced as a whole.
//!
//! This crate must never delete, move or overwrite a file that it cannot read, and must never make
//! anybody wait who serves visitors: [`Writer::submit`] returns at once whatever the disk does.

mod error;
mod memory;
mod schema;
mod settings;
mod store;
mod writer;

pub use error::StoreError;
pub use memory::MEMORY_BYTES_MAX;
pub use schema::SCHEMA_VERSION;
pub use settings::RULE_IDS_RESERVED;
pub use store::{INCIDENTS_KEPT_MAX, INCIDENTS_LISTED_MAX, Listed, RECORD_BYTES_MAX, Store};
pub use writer::{PENDING_INCIDENTS_MAX, Writer, WriterCounters};
