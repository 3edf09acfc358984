//! One incident in one row: what lists, the status and the control socket show.

use floodwall_model::{Incident, IncidentVerdict, Mode};
use serde::{Deserialize, Serialize};

/// An incident without its rules and its timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentSummary {
    /// Its number.
    pub id: u64,
    /// Whether we acted or only recorded.
    pub mode: Mode,
    /// What it was.
    pub verdict: IncidentVerdict,
    /// The first sign, ms since the epoch.
    pub onset_at_ms: u64,
    /// When it was opened, ms since the epoch.
    pub opened_at_ms: u64,
    /// When it was closed; `None` while it lasts.
    pub closed_at_ms: Option<u64>,
    /// Highest mean rate over one second, requests/s.
    pub peak_per_1s_rps: f64,
    /// Requests that rules stopped.
    pub stopped: u64,
    /// Requests that rules would have stopped (shadow mode).
    pub would_stop: u64,
    /// Rules placed, those not recorded one by one included.
    pub rules: u64,
}

impl From<&Incident> for IncidentSummary {
    fn from(incident: &Incident) -> Self {
        IncidentSummary {
            id: incident.id,
            mode: incident.mode,
            verdict: incident.verdict,
            onset_at_ms: incident.onset_at_ms,
            opened_at_ms: incident.opened_at_ms,
            closed_at_ms: incident.closed_at_ms,
            peak_per_1s_rps: incident.peaks.per_1s,
            stopped: incident.totals.blocked.saturating_add(incident.totals.throttled),
            would_stop: incident.totals.would_stop,
            rules: (incident.rules.len() as u64).saturating_add(incident.rules_left_out),
        }
    }
}

/// The verdict in a table.
pub(crate) const fn verdict_name(verdict: IncidentVerdict) -> &'static str {
    match verdict {
        IncidentVerdict::Attack => "attack",
        IncidentVerdict::Crowd => "crowd",
        IncidentVerdict::CannotTell => "cannot tell",
    }
}
