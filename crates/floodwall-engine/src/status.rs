//! How the engine stands: for `status`, for metrics, for tests.

use floodwall_model::{Mode, Rule};

/// How full a table is.
#[derive(Clone, Debug, PartialEq)]
pub struct Occupancy {
    /// The table's name.
    pub name: &'static str,
    /// Places in use.
    pub used: u64,
    /// Places in all.
    pub max: u64,
    /// What lost its place or found none, since the start.
    pub displaced: u64,
}

/// The engine's state at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineStatus {
    /// Whether plans are carried out.
    pub mode: Mode,
    /// The engine's time, ms since the epoch.
    pub now_ms: u64,
    /// Requests/s over the last second.
    pub per_1s_rps: f64,
    /// Requests/s over the last ten seconds.
    pub per_10s_rps: f64,
    /// Requests/s expected.
    pub expected_rps: f64,
    /// Requests/s above which the total alarms.
    pub alarm_above_rps: f64,
    /// Requests observed since the start.
    pub observations: u64,
    /// Observations lost on the way here.
    pub observations_lost: u64,
    /// Distinct sources since the start, estimated.
    pub sources: u64,
    /// Records of past traffic to judge by.
    pub baseline_records: u64,
    /// Records needed before anything is placed.
    pub baseline_records_min: u64,
    /// Stretch of time they come from, s.
    pub baseline_span_s: u64,
    /// How far the software that visits today differs from that of four weeks ago, 0 to 1 (above
    /// [`crate::BASELINE_DRIFT_MAX`] somebody should look); `None` while that cannot be said.
    pub baseline_drift: Option<f64>,
    /// When the open alarm was opened, ms.
    pub alarmed_since_ms: Option<u64>,
    /// Why nothing is placed against the open alarm, when last tried.
    pub nothing_placed_because: Option<String>,
    /// The rules in force and how many requests each matched.
    pub rules: Vec<(Rule, u64)>,
    /// The rules that would come into force at once if their attack came back, and the backups of
    /// those in force.
    pub ready: Vec<Rule>,
    /// The open incident's number.
    pub incident: Option<u64>,
    /// Bans proposed since the start.
    pub bans_proposed: u64,
    /// Searches for signatures since the start.
    pub minings: u64,
    /// How full the tables are.
    pub tables: Vec<Occupancy>,
}
