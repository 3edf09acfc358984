//! The incident's life: opened by a rule or a guard, kept up to date, closed.
//!
//! It must never say more than what arrived and what was done about it.

use floodwall_model::RuleId;
use floodwall_model::incident::TimelineKind;
use floodwall_model::packet::PacketBatch;

use crate::packet::account::{self, Arrivals, Opening, PacketIncident};
use crate::packet::{PacketEffect, PacketEngine};

/// Steps remembered: 12 s and more. When full: the oldest is forgotten, and the account of a flood
/// that began earlier begins with what is left.
const LATELY_MAX: usize = 600;

impl PacketEngine {
    pub(super) fn note_placed(&mut self, id: RuleId) {
        let now_ms = self.now_ms;
        let placed = self.rules.active().iter().find(|s| s.rule.id == id);
        if let (Some(incident), Some(standing)) = (&mut self.incident, placed) {
            incident.note_rule(account::record_of(&standing.rule, now_ms), now_ms);
            // What it matches and came before it belongs to the account of the sources.
            let onset_ms = incident.incident_mut().onset_at_ms;
            let before = self.recent.since(onset_ms).filter(|r| !r.explained);
            for record in before.filter(|r| standing.rule.signature.matches(&r.facts)) {
                let good = self.flows.is_good_source(&record.facts);
                incident.note_matched(&record.facts, good, &mut self.random);
            }
        }
    }

    pub(super) fn open_incident(&mut self, onset_ms: u64, observed_pps: f64) {
        if self.incident.is_some() {
            return;
        }
        let opening = Opening {
            id: self.next_incident_id,
            mode: self.config.mode,
            onset_ms,
            now_ms: self.now_ms,
            expected_pps: self.channels.expected_all_pps(),
            observed_pps,
            own_packets: self.past.own_packets(),
            neutral: self.past.rests_on_neutral(),
        };
        self.next_incident_id += 1;
        let mut incident = PacketIncident::open(&opening);
        // The account begins with the first sign, not with the first deed.
        for arrivals in self.lately.iter().filter(|a| a.at_ms > onset_ms) {
            incident.count_arrivals(arrivals);
        }
        self.incident = Some(incident);
    }

    /// Keeps what arrived for an incident that may be opened later.
    fn remember(&mut self, batch: &PacketBatch) {
        if self.lately.len() == LATELY_MAX {
            self.lately.pop_front();
        }
        self.lately.push_back(Arrivals::of(batch, self.now_ms));
    }

    pub(super) fn keep_account(&mut self, batch: &PacketBatch, effects: &mut Vec<PacketEffect>) {
        let now_ms = self.now_ms;
        let active = !self.rules.active().is_empty() || self.rules.guards().any();
        self.remember(batch);
        let Some(incident) = &mut self.incident else { return };
        let due = incident.tick(batch, &self.rules, active, now_ms);
        if now_ms >= incident.last_active_ms() + self.config.incident_close_ms {
            let record = incident.incident_mut();
            record.note(now_ms, TimelineKind::Closed, "incident closed".to_owned());
            record.closed_at_ms = Some(now_ms);
            effects.push(PacketEffect::Incident(Box::new(incident.snapshot(now_ms))));
            self.incident = None;
            self.stopped.clear();
        } else if due {
            effects.push(PacketEffect::Incident(Box::new(incident.snapshot(now_ms))));
        }
    }

    /// The recording is over: hands out what is open.
    pub fn finish(&mut self) -> Vec<PacketEffect> {
        let now_ms = self.now_ms;
        let Some(mut incident) = self.incident.take() else { return Vec::new() };
        let note = "the record ends here; whether the incident went on is not known";
        let kind = TimelineKind::Note;
        incident.incident_mut().note(now_ms, kind, note.to_owned());
        vec![PacketEffect::Incident(Box::new(incident.snapshot(now_ms)))]
    }
}
