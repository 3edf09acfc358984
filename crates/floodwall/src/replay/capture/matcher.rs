//! The rules in force, matched by the host's copy of the kernel filter's own matcher. Only the names
//! of the rules are kept here.

use floodwall_model::RuleId;
use floodwall_model::packet::{PacketFacts, PacketRule};
use floodwall_xdp::host::HostRules;

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Matcher {
    ids: Vec<RuleId>,
    /// `None` while there are no rules: the table is large.
    table: Option<HostRules>,
}

impl Matcher {
    /// Replaces the rules.
    pub(crate) fn set(&mut self, rules: &[PacketRule]) {
        self.ids = rules.iter().map(|rule| rule.id).collect();
        self.table = if rules.is_empty() { None } else { Some(HostRules::new(rules)) };
    }

    /// The first rule that matches and has not ended.
    pub(crate) fn first(&self, facts: &PacketFacts, now_ms: u64) -> Option<RuleId> {
        let place = self.table.as_ref()?.matches(facts, now_ms)?;
        self.ids.get(place).copied()
    }
}
