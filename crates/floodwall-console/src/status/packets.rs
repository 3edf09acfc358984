//! What Floodwall does about packets at this moment. Plain data, filled by the binary.

use floodwall_model::Collateral;
use floodwall_model::RuleId;
use floodwall_model::packet::{Guards, PacketReason, PacketRule};
use serde::{Deserialize, Serialize};

use super::AlarmStatus;
use crate::summary::IncidentSummary;

/// What is done about packets, where packets are watched at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PacketsStatus {
    /// Why rules and guards are not carried out although they may be in force (no kernel filter,
    /// a tier without rules); `None` where the kernel carries them out.
    pub not_carried_out_because: Option<String>,
    /// Rate of packets of no conversation expected at this time, packets/s.
    pub expected_pps: f64,
    /// Packets of this host's own past that judgements rest on.
    pub own_packets: u64,
    /// Whether they rest on the packaged neutral profile more.
    pub neutral_profile: bool,
    /// The rise that is being looked into, if there is one.
    pub alarm: Option<AlarmStatus>,
    /// Rules in force.
    pub rules: Vec<PacketRuleStatus>,
    /// Guards that stand.
    pub guards: Guards,
    /// The incident of packets that lasts, if one does.
    pub open_incident: Option<IncidentSummary>,
    /// Packets refused since the start, by reason; reasons that never occurred may be left out.
    pub refused: Vec<PacketReasonCount>,
    /// Packets chosen to be looked at whole and lost on the way, since the start.
    pub samples_lost: u64,
}

/// A rule for packets in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PacketRuleStatus {
    /// Its number.
    pub id: RuleId,
    /// What it matches, in words.
    pub words: String,
    /// Packets matched so far.
    pub matched: u64,
    /// Packets of the past or of the neutral profile that it would have hit.
    pub projected: Collateral,
    /// When it ends unless renewed, ms since the epoch.
    pub expires_at_ms: u64,
}

impl PacketRuleStatus {
    /// A rule in force that matched `matched` packets so far.
    pub fn new(rule: &PacketRule, matched: u64) -> PacketRuleStatus {
        PacketRuleStatus {
            id: rule.id,
            words: rule.words.clone(),
            matched,
            projected: rule.projected,
            expires_at_ms: rule.expires_at_ms,
        }
    }
}

/// How often packets were refused for a reason.
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PacketReasonCount {
    /// Why.
    pub reason: PacketReason,
    /// Packets since the start.
    pub count: u64,
}
