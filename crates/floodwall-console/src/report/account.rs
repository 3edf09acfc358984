//! What follows from the record by counting, so that two pages of a report cannot differ.

use floodwall_model::incident::TimelineKind;
use floodwall_model::packet::PacketAccount;
use floodwall_model::{Incident, IncidentVerdict, Mode};

use crate::summary::IncidentKind;
use crate::verdict;

/// A record and the moment at which it is told.
#[derive(Copy, Clone, Debug)]
pub(super) struct Account<'a> {
    pub(super) incident: &'a Incident,
    pub(super) now_ms: u64,
}

impl<'a> Account<'a> {
    /// What was measured of packets; `None` for an incident of requests.
    pub(super) const fn packets(&self) -> Option<&'a PacketAccount> {
        self.incident.packets.as_ref()
    }

    /// What it is counted in.
    pub(super) const fn kind(&self) -> IncidentKind {
        IncidentKind::of(self.incident)
    }

    /// What it was, as far as the findings carry it.
    pub(super) fn verdict(&self) -> IncidentVerdict {
        verdict::told(self.incident)
    }

    pub(super) const fn is_open(&self) -> bool {
        self.incident.closed_at_ms.is_none()
    }

    pub(super) fn is_shadow(&self) -> bool {
        self.incident.mode == Mode::Shadow
    }

    pub(super) fn is_attack(&self) -> bool {
        self.verdict() == IncidentVerdict::Attack
    }

    /// From the first sign to the close, or to now.
    pub(super) fn lasted_ms(&self) -> u64 {
        let end_ms = self.incident.closed_at_ms.unwrap_or(self.now_ms);
        end_ms.saturating_sub(self.incident.onset_at_ms)
    }

    /// From the first sign to the first rule, whether it acted or not.
    pub(super) fn reaction_ms(&self) -> Option<u64> {
        let first_rule = self.incident.rules.iter().map(|rule| rule.first_at_ms).min();
        let at_ms = self.incident.mitigated_at_ms.or(first_rule)?;
        Some(at_ms.saturating_sub(self.incident.onset_at_ms))
    }

    pub(super) fn rules(&self) -> u64 {
        (self.incident.rules.len() as u64).saturating_add(self.incident.rules_left_out)
    }

    /// Requests refused by rules.
    pub(super) const fn refused_by_rules(&self) -> u64 {
        self.incident.totals.blocked.saturating_add(self.incident.totals.throttled)
    }

    /// Requests that rules stopped, or in shadow mode would have stopped.
    pub(super) fn stopped(&self) -> u64 {
        if self.is_shadow() { self.incident.totals.would_stop } else { self.refused_by_rules() }
    }

    /// Requests that rules stopped or would have stopped, counted one by one. What reached the
    /// origin before the first rule is an estimate and not in it.
    pub(super) const fn counted_by_rules(&self) -> u64 {
        self.refused_by_rules().saturating_add(self.incident.totals.would_stop)
    }

    /// Requests like those of the rules that reached the origin before there was a rule, about.
    pub(super) const fn before_the_rules(&self) -> u64 {
        let totals = &self.incident.totals;
        totals.attack_reached_origin.saturating_sub(totals.would_stop)
    }

    /// Requests that matched a rule and came from sources which had behaved like people; `None`
    /// where no rule saw such a source. A request matches one rule, so the rules may be added up.
    pub(super) fn matched_like_people(&self) -> Option<u64> {
        let measured = || self.incident.rules.iter().map(|rule| rule.measured);
        measured()
            .any(|collateral| collateral.records > 0)
            .then(|| measured().map(|collateral| collateral.hits).fold(0, u64::saturating_add))
    }

    /// The attack's requests, at least. The measured collateral is taken off: better too few.
    pub(super) fn attack_at_least(&self) -> u64 {
        self.counted_by_rules().saturating_sub(self.matched_like_people().unwrap_or(0))
    }

    /// Why nothing was placed, in the record's own words.
    pub(super) fn why_nothing_was_placed(&self) -> Option<&str> {
        let nothing = |kind| kind == TimelineKind::NothingPlaced;
        self.incident.timeline.iter().rev().find(|e| nothing(e.kind)).map(|e| e.text.as_str())
    }
}
