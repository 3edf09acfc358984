//! How the engine stands: for `status`, for metrics, for tests.

use floodwall_model::{Mode, Rule};

use crate::shed::Shed;

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

/// A declared event that lasts or begins soon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeclaredEvent {
    /// Its name.
    pub name: String,
    /// When this occurrence begins, ms since the epoch.
    pub from_ms: u64,
    /// When it ends, ms since the epoch.
    pub until_ms: u64,
    /// The declared paths.
    pub paths: Vec<String>,
    /// How many times the usual traffic is expected, if that was said.
    pub expected_factor: Option<u32>,
}

/// How well the engine sees and keeps up.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineHealth {
    /// Age of the oldest observation in the last step, ms.
    pub lag_ms: u64,
    /// The largest of these within the last minute, ms.
    pub lag_60s_ms_max: u64,
    /// Share of the last ten seconds' observations that was lost on the way here.
    pub lost_10s_share: f64,
    /// Why nobody new is blocked, if so much is lost.
    pub blindness: Option<String>,
    /// What is given up now to keep up, first things first.
    pub shed: &'static [Shed],
    /// How often each was given up since the start.
    pub given_up: Vec<(Shed, u64)>,
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
    /// Alarms opened since the start.
    pub alarms: u64,
    /// Incidents opened since the start.
    pub incidents: u64,
    /// How well it sees and keeps up.
    pub health: EngineHealth,
    /// Declared events that last or begin within ten minutes.
    pub events: Vec<DeclaredEvent>,
    /// How full the tables are.
    pub tables: Vec<Occupancy>,
}
