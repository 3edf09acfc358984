//! What no rule explains, as the guards see it, and which guards stand because of it.
//!
//! It must never count a packet that a rule in force would have stopped.

use std::collections::HashSet;

use floodwall_model::Source;
use floodwall_model::packet::PacketFacts;

use crate::packet::PacketEngine;
use crate::packet::evidence;
use crate::packet::guards::{Group, Unexplained};
use crate::packet::past::PacketPast;
use crate::packet::recent::PacketSample;
use crate::packet::record::{PacketRecord, flow_key};

impl PacketEngine {
    pub(super) fn raise_guards(&mut self) {
        let now_ms = self.now_ms;
        let sample = match &self.alarm {
            Some(_) => self.unexplained(now_ms.saturating_sub(1_000)),
            None => PacketSample::default(),
        };
        let handshakes = self.handshakes_per_s;
        let guards = self.guards.update(
            &self.channels,
            &Residual { sample: &sample, past: &self.past, knows_sockets: self.knows_sockets },
            handshakes,
            self.rates.suspects_peak_pps,
            now_ms,
        );
        if guards != self.rules.guards() {
            if guards.any() {
                let onset_ms = self.alarm.as_ref().map_or(now_ms, |a| a.onset_ms);
                self.open_incident(onset_ms, sample.rate_pps());
            }
            self.rules.set_guards(guards);
            let refusal = self.alarm.as_ref().and_then(|a| a.refusal.clone());
            if let Some(incident) = &mut self.incident {
                incident.note_guards(guards, now_ms);
                if let Some(why) = refusal.filter(|_| self.rules.active().is_empty()) {
                    incident.note_nothing_placed(&why, now_ms);
                }
            }
        }
    }
}

/// Suspects that no rule explains.
struct Residual<'a> {
    sample: &'a PacketSample,
    past: &'a PacketPast,
    knows_sockets: bool,
}

impl Residual<'_> {
    fn of(&self, group: Group) -> impl Iterator<Item = &PacketRecord> {
        self.sample.suspects.iter().filter(move |r| group.holds(&r.facts))
    }
}

impl Unexplained for Residual<'_> {
    fn pps(&self, group: Group) -> f64 {
        let packets: f64 = self.of(group).map(|r| r.weight).sum();
        packets * 1000.0 / self.sample.span_ms.max(1) as f64
    }

    fn flows(&self, group: Group) -> usize {
        self.of(group).map(|r| flow_key(&r.facts)).collect::<HashSet<u64>>().len()
    }

    fn knows_sockets(&self) -> bool {
        self.knows_sockets
    }

    fn is_aimed(&self, group: Group) -> bool {
        let networks = self.of(group).map(|r| Source::new(r.facts.destination).network().address());
        evidence::top_share(networks).is_some_and(|(_, share, _)| share >= 0.5)
    }

    fn sees_both_ways(&self, group: Group) -> bool {
        let alike = |f: &PacketFacts| group.holds(f) && f.solicited();
        self.knows_sockets
            || self.sample.honest.iter().any(|r| alike(&r.facts))
            || self.past.own_share(alike) >= evidence::BOTH_WAYS_SHARE_MIN
    }
}
