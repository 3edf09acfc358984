//! What may be set about the engine. Defaults are those of design/detection.md § 5.

use floodwall_model::{Mode, RuleIds};

use crate::ablation::Ablation;

/// The engine's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Whether plans shall be carried out.
    pub mode: Mode,
    /// Places in the table of sources, 48 bytes each. When full: the longest unused give way.
    pub source_slots: usize,
    /// How long a rule stays without requests that match, ms.
    pub rule_ttl_ms: u64,
    /// An incident closes when nothing was alarming and no rule in force for so long, ms.
    pub incident_close_ms: u64,
    /// An attack that comes back within so long after its incident closed is another wave of it, ms.
    pub incident_merge_ms: u64,
    /// A rise that nothing was placed against is taken for the new normal after so long, ms.
    pub accept_rise_ms: u64,
    /// Records of past traffic without which nothing is placed.
    pub baseline_records_min: usize,
    /// Number of the next incident.
    pub next_incident_id: u64,
    /// Numbers of the next rules.
    pub rule_ids: RuleIds,
    /// What a measurement leaves out; `None` in production.
    pub ablation: Option<Ablation>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            mode: Mode::Shadow,
            source_slots: 1 << 18,
            // A minute after its last match no rule is in force; its rate takes a second to be
            // seen to have stopped.
            rule_ttl_ms: 58_000,
            incident_close_ms: 600_000,
            incident_merge_ms: 3_600_000,
            accept_rise_ms: 600_000,
            baseline_records_min: 200,
            next_incident_id: 1,
            rule_ids: RuleIds::default(),
            ablation: None,
        }
    }
}
