//! One incident in one row: what lists, the status and the control socket show.

use floodwall_model::packet::{PacketAccount, PacketReason};
use floodwall_model::{Incident, IncidentVerdict, Mode};
use serde::{Deserialize, Serialize};

use crate::verdict;

/// What an incident is counted in.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// Requests to a site.
    #[default]
    Requests,
    /// Packets to the host.
    Packets,
}

impl IncidentKind {
    /// What `incident` is counted in.
    pub const fn of(incident: &Incident) -> IncidentKind {
        if incident.packets.is_some() { IncidentKind::Packets } else { IncidentKind::Requests }
    }

    /// The unit, in the singular.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            IncidentKind::Requests => "request",
            IncidentKind::Packets => "packet",
        }
    }

    /// The kind in a table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            IncidentKind::Requests => "requests",
            IncidentKind::Packets => "packets",
        }
    }
}

/// An incident without its rules and its timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentSummary {
    /// Its number.
    pub id: u64,
    /// What it is counted in.
    #[serde(default)]
    pub kind: IncidentKind,
    /// Whether we acted or only recorded.
    pub mode: Mode,
    /// What it was, as far as the findings on record carry it.
    pub verdict: IncidentVerdict,
    /// The first sign, ms since the epoch.
    pub onset_at_ms: u64,
    /// When it was opened, ms since the epoch.
    pub opened_at_ms: u64,
    /// When it was closed; `None` while it lasts.
    pub closed_at_ms: Option<u64>,
    /// Highest mean rate over one second, requests/s; `None` for an incident of packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_per_1s_rps: Option<f64>,
    /// Highest mean rate over one second, packets/s; `None` for an incident of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_per_1s_pps: Option<f64>,
    /// Requests that rules stopped; packets that rules dropped and guards refused.
    pub stopped: u64,
    /// Requests or packets that rules would have stopped (shadow mode).
    pub would_stop: u64,
    /// Rules placed, those not recorded one by one included.
    pub rules: u64,
    /// Guards that stood at any time; none in an incident of requests.
    #[serde(default)]
    pub guards: u64,
}

impl IncidentSummary {
    /// Highest mean over one second, in the unit of its kind.
    pub(crate) fn peak_per_1s(&self) -> f64 {
        let peak = match self.kind {
            IncidentKind::Requests => self.peak_per_1s_rps,
            IncidentKind::Packets => self.peak_per_1s_pps,
        };
        peak.unwrap_or(0.0)
    }
}

impl From<&Incident> for IncidentSummary {
    fn from(incident: &Incident) -> Self {
        let totals = &incident.totals;
        let packets = incident.packets.as_ref();
        IncidentSummary {
            id: incident.id,
            kind: IncidentKind::of(incident),
            mode: incident.mode,
            verdict: verdict::told(incident),
            onset_at_ms: incident.onset_at_ms,
            opened_at_ms: incident.opened_at_ms,
            closed_at_ms: incident.closed_at_ms,
            peak_per_1s_rps: packets.is_none().then_some(incident.peaks.per_1s),
            peak_per_1s_pps: packets.map(|p| p.peak_1s_pps),
            stopped: packets.map_or_else(
                || totals.blocked.saturating_add(totals.throttled),
                |p| p.dropped.saturating_add(refused_by_guards(p)),
            ),
            would_stop: packets.map_or(totals.would_stop, |p| p.would_drop),
            rules: (incident.rules.len() as u64).saturating_add(incident.rules_left_out),
            guards: packets.map_or(0, |p| p.guards.len() as u64),
        }
    }
}

/// The reason with this name, if it is one that this version knows.
pub(crate) fn packet_reason(name: &str) -> Option<PacketReason> {
    PacketReason::ALL.iter().copied().find(|reason| reason.name() == name)
}

/// Whether a guard refuses for this reason.
pub(crate) const fn is_a_guards(reason: PacketReason) -> bool {
    matches!(
        reason,
        PacketReason::OutOfState
            | PacketReason::UnsolicitedUdp
            | PacketReason::SourceRate
            | PacketReason::IcmpRate
            | PacketReason::CookieSent
    )
}

/// Packets that guards refused.
pub(crate) fn refused_by_guards(packets: &PacketAccount) -> u64 {
    let by_guards = |name: &str| packet_reason(name).is_some_and(is_a_guards);
    let refused = packets.refused.iter().filter(|(name, _)| by_guards(name));
    refused.map(|(_, n)| *n).fold(0, u64::saturating_add)
}
