//! Observation → samples and counts: what arrived since the last step is sampled, followed, and
//! counted for the channels.
//!
//! It must never decide anything, but that a rule which went comes back when its flood does.

use floodwall_model::packet::{PacketBatch, PacketClass, PacketObservation};

use crate::packet::PacketEngine;
use crate::packet::record::{self, is_suspect};

/// Time constant of forgetting a peak, s.
const PEAK_KEPT_S: f64 = 20.0;

impl PacketEngine {
    /// Observation → samples and counts.
    pub(super) fn take_in(&mut self, batch: &PacketBatch, interval_s: f64) {
        self.lost += batch.lost;
        self.knows_sockets = batch.knows_sockets;
        let followed_before = self.flows.followed();
        for observation in &batch.observations {
            self.flows.observe(&observation.facts, observation.at_ms);
            self.recent.offer(observation, &mut self.random);
            self.take_in_one(observation);
        }
        let all: u64 = batch.counts.iter().map(|c| c.packets).sum();
        let suspects: f64 = batch
            .observations
            .iter()
            .filter(|o| is_suspect(&o.facts))
            .map(|o| f64::from(o.weight.max(1)))
            .sum();
        self.rates.suspects_step = suspects;
        let half = (-interval_s / 0.5).exp();
        let smooth = |rate: f64, count: f64| rate * half + count * (1.0 - half) / interval_s;
        self.rates.all_pps = smooth(self.rates.all_pps, all as f64);
        self.rates.suspects_pps = smooth(self.rates.suspects_pps, suspects);
        let syns = batch.counts.get(PacketClass::Syn as usize).map_or(0, |c| c.packets);
        self.rates.syns_pps = smooth(self.rates.syns_pps, syns as f64);
        let kept = (-interval_s / PEAK_KEPT_S).exp();
        self.rates.suspects_peak_pps =
            self.rates.suspects_pps.max(self.rates.suspects_peak_pps * kept);
        self.rates.syns_peak_pps = self.rates.syns_pps.max(self.rates.syns_peak_pps * kept);
        // What the system counts is exact; otherwise what was seen to be carried on.
        let followed = self.flows.followed() - followed_before;
        let handshakes = batch.handshakes.unwrap_or(followed) as f64;
        let keep = (-interval_s).exp();
        self.handshakes_per_s =
            self.handshakes_per_s * keep + handshakes * (1.0 - keep) / interval_s;
        self.counts_handshakes = batch.handshakes.is_some();
        for (id, packets) in &batch.matched {
            self.rules.matched(*id, *packets, interval_s);
        }
    }

    fn take_in_one(&mut self, observation: &PacketObservation) {
        let facts = &observation.facts;
        let explained = observation.handling.rule().is_some();
        let suspect = is_suspect(facts);
        if suspect && !explained {
            self.channels.count(facts.class, f64::from(observation.weight.max(1)));
        }
        if explained {
            let good = self.flows.is_good_source(facts);
            if good {
                self.rules.honest_hit(facts);
            } else {
                self.stopped.insert(record::source_key(facts));
            }
            if let Some(incident) = &mut self.incident {
                incident.note_matched(facts, good, &mut self.random);
            }
        }
        if !suspect {
            if let Some(incident) = &mut self.incident {
                incident.note_conversation();
            }
            if explained {
                self.rules.honest_hit(facts);
            }
        }
    }

    /// What a rule that went matched is back: so is the rule, within this step.
    pub(super) fn rearm(&mut self, batch: &PacketBatch, interval_s: f64) {
        let back = self.rules.rearm(self.now_ms, |signature| {
            let matched: f64 = batch
                .observations
                .iter()
                .filter(|o| signature.matches(&o.facts))
                .map(|o| f64::from(o.weight.max(1)))
                .sum();
            matched / interval_s
        });
        if back.is_empty() {
            return;
        }
        self.past.distrust();
        let observed = self.channels.expected_all_pps();
        self.open_incident(self.now_ms, observed);
        for id in back {
            self.note_placed(id);
        }
    }
}
