//! Signature → rule: what is on trial is confirmed on packets that came later, and evidence is
//! gathered.
//!
//! It must never place what the plan's check refuses, nor a rule against the by-products of a flood.

use floodwall_model::packet::{PacketBatch, PacketClass, PacketRule, PacketSignature};

use crate::packet::PacketEngine;
use crate::packet::evidence::{PacketScene, gather};
use crate::packet::pending::{Matches, PendingPackets};
use crate::packet::recent::PacketSample;
use crate::packet::words;

/// What matched in so long came lately, ms.
const LATELY_MS: u64 = 200;
/// Part of all suspects that a rule must stop to be worth placing, …
const PART_MIN: f64 = 0.02;
/// … and for ICMP, which others send because of the flood.
const REACTION_PART_MIN: f64 = 0.1;

impl PacketEngine {
    /// Signature → plan: what is on trial is confirmed on packets that came later, and evidence is
    /// gathered. Whether it may be placed is for the plan's check to say.
    pub(super) fn judge(&mut self, batch: &PacketBatch) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain_mut(|p| !self.decide(p, batch) && !p.given_up(self.now_ms));
        self.pending = pending;
    }

    /// Tries one signature; true when it is off the list.
    fn decide(&mut self, pending: &mut PendingPackets, batch: &PacketBatch) -> bool {
        let now_ms = self.now_ms;
        let signature = pending.mined.signature.clone();
        if self.rules.has(&signature) {
            return true;
        }
        if pending.gathering_due(now_ms) {
            let sample = self.unexplained(pending.onset_ms);
            pending.hear(self.evidence_about(&signature, &sample));
        }
        let matches = self.matches(&signature, batch);
        let confirmed = pending.confirmed_by(&matches, now_ms);
        // What was mined from a flood's first moments was mined from little.
        let rate_pps = pending.mined.matched_pps.max(matches.lately_pps);
        pending.mined.matched_pps = rate_pps;
        if !confirmed {
            return false;
        }
        if self.is_aside(pending) {
            self.refuse("too small a part of what arrives to be worth a rule");
            return false;
        }
        let rule = PacketRule {
            id: self.rules.next_id(),
            signature: signature.clone(),
            words: words::signature(&signature),
            predicates: words::predicates(&signature),
            projected: pending.mined.projected,
            evidence: pending.evidence.clone(),
            placed_at_ms: now_ms,
            expires_at_ms: now_ms,
        };
        let id = rule.id;
        match self.rules.place(rule, pending.mined.matched_pps, now_ms) {
            Ok(()) => {
                self.open_incident(pending.onset_ms, self.rates.suspects_pps);
                self.note_placed(id);
                true
            }
            Err(why) => {
                self.refuse(&why.to_string());
                false
            }
        }
    }

    fn refuse(&mut self, why: &str) {
        if let Some(alarm) = &mut self.alarm {
            alarm.refusal = Some(why.to_owned());
        }
    }

    fn evidence_about(
        &self,
        signature: &PacketSignature,
        sample: &PacketSample,
    ) -> Vec<floodwall_model::Evidence> {
        let scene = PacketScene {
            now_ms: self.now_ms,
            sample,
            recent: &self.recent,
            past: &self.past,
            flows: &self.flows,
            handshakes_per_s: self.counts_handshakes.then_some(self.handshakes_per_s),
            knows_sockets: self.knows_sockets,
            stopped: &self.stopped,
        };
        gather(signature, &scene)
    }

    /// What of this step a signature matches and no rule in force does.
    fn matches(&self, signature: &PacketSignature, batch: &PacketBatch) -> Matches {
        let packets = batch
            .observations
            .iter()
            .filter(|o| o.handling.rule().is_none() && signature.matches(&o.facts))
            .filter(|o| !self.rules.covers(&o.facts))
            .map(|o| f64::from(o.weight.max(1)))
            .sum();
        let from_ms = self.now_ms.saturating_sub(LATELY_MS);
        let lately: f64 = self
            .recent
            .since(from_ms)
            .filter(|r| !r.explained && signature.matches(&r.facts))
            .map(|r| r.weight)
            .sum();
        let lately_pps = lately * 1000.0 / LATELY_MS as f64;
        let arrived = self.rates.suspects_step;
        Matches { packets, arrived, lately_pps, all_pps: self.rates.all_pps }
    }

    /// Whether the packets are a by-product of something larger: resets and error messages of
    /// those whose addresses were borrowed, or a trickle beside the flood.
    fn is_aside(&self, pending: &PendingPackets) -> bool {
        // Of what this host sends only the answer to a SYN is answered with a reset, and with one.
        if pending.mined.class == PacketClass::Rst
            && pending.mined.matched_pps <= self.rates.syns_peak_pps
        {
            return true;
        }
        let reaction = pending.mined.class == PacketClass::Icmp;
        let part = if reaction { REACTION_PART_MIN } else { PART_MIN };
        pending.mined.matched_pps < part * self.rates.suspects_peak_pps
            || pending.share().is_some_and(|share| share < part)
    }
}
