//! How the engine stands: a copy of its figures for status, metrics and tests. It must never change
//! anything.

use floodwall_model::packet::{Guards, PacketRule};

use super::PacketEngine;

/// The engine's state for whoever asks.
#[derive(Clone, Debug, Default)]
pub struct PacketStatus {
    /// Whether judgements rest on the packaged neutral profile.
    pub neutral_profile: bool,
    /// Own packets learned and kept.
    pub own_packets: usize,
    /// Rate of suspects expected, packets/s.
    pub expected_pps: f64,
    /// When the open alarm was opened, ms.
    pub alarmed_since_ms: Option<u64>,
    /// Why nothing is placed against the open alarm, when last tried.
    pub nothing_placed_because: Option<String>,
    /// Rules in force and how many packets each matched.
    pub rules: Vec<(PacketRule, u64)>,
    /// Guards that stand.
    pub guards: Guards,
    /// Number of the open incident.
    pub incident: Option<u64>,
    /// Searches for signatures since the start.
    pub minings: u64,
    /// Samples lost on the way since the start.
    pub samples_lost: u64,
}

impl PacketEngine {
    /// The engine's state.
    pub fn status(&self) -> PacketStatus {
        PacketStatus {
            neutral_profile: self.past.rests_on_neutral(),
            own_packets: self.past.own_packets(),
            expected_pps: self.channels.expected_all_pps(),
            alarmed_since_ms: self.alarm.as_ref().map(|a| a.opened_ms),
            nothing_placed_because: self.alarm.as_ref().and_then(|a| a.refusal.clone()),
            rules: self.rules.active().iter().map(|s| (s.rule.clone(), s.matched)).collect(),
            guards: self.rules.guards(),
            incident: self.incident.as_ref().map(|_| self.next_incident_id - 1),
            minings: self.minings,
            samples_lost: self.lost,
        }
    }
}
