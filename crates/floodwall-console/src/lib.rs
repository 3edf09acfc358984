//! What people and programs see: control socket, status, tables, the incident report.
//!
//! Every text here is a pure function of a record and a time given, so that a report read a year
//! later says the same. Texts may hold what an attacker sent (paths, user agents): nothing leaves
//! this crate as text for a terminal without its control characters made visible.
//!
//! This crate must never say more than its record carries. What was not measured is called "could
//! not be assessed".

mod civil;
pub mod control;
#[cfg(test)]
mod golden;
mod metrics;
mod report;
pub mod status;
mod summary;
mod table;
mod verdict;
mod words;
mod wrap;

pub use civil::utc;
pub use metrics::metrics_text;
pub use report::{report_json, report_text};
pub use status::{Status, status_text, status_text_with};
pub use summary::{IncidentKind, IncidentSummary};
pub use table::incidents_table;
