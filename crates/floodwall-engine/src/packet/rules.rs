//! Signature → plan → checked plan, for packets: which rules are in force, since when, and when
//! they go.
//!
//! A rule that nothing matches any more is taken out of force and remembered; when what it matched
//! comes back, it is back within one step.

use std::sync::Arc;

use floodwall_model::limits::PACKET_RULES_MAX;
use floodwall_model::packet::{
    CheckedPacketPlan, Guards, PacketFacts, PacketPlan, PacketRule, PacketSignature,
};
use floodwall_model::{Mode, Rejection, RuleId, RuleIds};

/// How long a placed rule stands unless renewed, ms.
const TTL_MS: u64 = 60_000;
/// It is renewed this often while packets match, ms.
const RENEW_EVERY_MS: u64 = 5_000;
/// It goes out of force after so long without packets, ms.
const QUIET_MS: u64 = 30_000;
/// It is remembered for so long after that, ms.
const DORMANT_MS: u64 = 3_600_000;
/// Remembered rules. When full: the oldest is forgotten.
const DORMANT_MAX: usize = 64;
/// Quiet means less than this part of the peak, …
const QUIET_PART: f64 = 0.01;
/// … and it is back from this part on.
const BACK_PART: f64 = 0.2;
/// Placed rules younger than this are not judged by how much they match, ms.
const YOUNG_MS: u64 = 2_000;

/// One rule and how it does.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The rule.
    pub rule: PacketRule,
    /// Packets matched since it was placed.
    pub matched: u64,
    /// Packets of conversations, and SYNs of sources that completed handshakes before, matched.
    pub honest_hits: u64,
    /// The highest rate, packets/s.
    peak_pps: f64,
    pps: f64,
    /// When it last matched more than a trickle, ms.
    active_ms: u64,
    renewed_ms: u64,
}

/// Why a rule went.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its number.
    pub id: RuleId,
    /// Why, in words.
    pub why: String,
}

/// The rules.
#[derive(Debug)]
pub struct PacketRules {
    mode: Mode,
    active: Vec<Standing>,
    dormant: Vec<(u64, Standing)>,
    revision: u64,
    ids: RuleIds,
    guards: Guards,
    changed: bool,
}

impl PacketRules {
    /// No rule; the next ones get `ids`.
    pub fn new(mode: Mode, ids: RuleIds) -> Self {
        PacketRules {
            mode,
            active: Vec::new(),
            dormant: Vec::new(),
            revision: 0,
            ids,
            guards: Guards::default(),
            changed: false,
        }
    }

    /// The rules in force.
    pub fn active(&self) -> &[Standing] {
        &self.active
    }

    /// The number the next rule will get.
    pub const fn next_id(&self) -> RuleId {
        self.ids.next()
    }

    /// The guards asked for.
    pub const fn guards(&self) -> Guards {
        self.guards
    }

    /// Changes what is done with decisions.
    pub fn set_mode(&mut self, mode: Mode) {
        self.changed |= self.mode != mode;
        self.mode = mode;
    }

    /// Whether a rule in force matches.
    pub fn covers(&self, facts: &PacketFacts) -> bool {
        self.active.iter().any(|s| s.rule.signature.matches(facts))
    }

    /// Whether a rule in force has this very signature.
    pub fn has(&self, signature: &PacketSignature) -> bool {
        self.active.iter().any(|s| s.rule.signature == *signature)
    }

    /// Puts `rule` in force if the plan's check lets it through. Its end is set here.
    pub fn place(&mut self, mut rule: PacketRule, pps: f64, now_ms: u64) -> Result<(), Rejection> {
        if self.active.len() >= PACKET_RULES_MAX {
            return Err(Rejection::TooManyRules);
        }
        rule.expires_at_ms = now_ms + TTL_MS;
        let mut rules: Vec<PacketRule> = self.active.iter().map(|s| s.rule.clone()).collect();
        rules.push(rule.clone());
        let (_, rejected) = self.plan(rules, now_ms).check();
        if let Some(rejected) = rejected.into_iter().find(|r| r.rule.id == rule.id) {
            return Err(rejected.why);
        }
        self.ids.taken();
        self.active.push(Standing {
            rule,
            matched: 0,
            honest_hits: 0,
            peak_pps: pps,
            pps,
            active_ms: now_ms,
            renewed_ms: now_ms,
        });
        self.changed = true;
        Ok(())
    }

    /// Asks for guards; they end by themselves unless asked for again.
    pub fn set_guards(&mut self, guards: Guards) {
        self.changed |= self.guards != guards;
        self.guards = guards;
    }

    /// Takes in how many packets a rule matched in a step of `interval_s`.
    pub fn matched(&mut self, id: RuleId, packets: u64, interval_s: f64) {
        if let Some(standing) = self.active.iter_mut().find(|s| s.rule.id == id) {
            standing.matched += packets;
            let keep = (-interval_s).exp();
            standing.pps += packets as f64 * (1.0 - keep) / interval_s;
        }
    }

    /// Counts an honest packet that a rule in force matches.
    pub fn honest_hit(&mut self, facts: &PacketFacts) {
        for standing in &mut self.active {
            standing.honest_hits += u64::from(standing.rule.signature.matches(facts));
        }
    }

    /// Ends a step: renews, retires, withdraws. Returns what ended.
    pub fn tick(&mut self, now_ms: u64, interval_s: f64) -> Vec<Ended> {
        let mut ended = Vec::new();
        let mut kept = Vec::with_capacity(self.active.len());
        for mut standing in std::mem::take(&mut self.active) {
            standing.pps *= (-interval_s).exp();
            standing.peak_pps = standing.peak_pps.max(standing.pps);
            if standing.pps > (standing.peak_pps * QUIET_PART).max(1.0) {
                standing.active_ms = now_ms;
            }
            let young = now_ms < standing.rule.placed_at_ms + YOUNG_MS;
            let harms = standing.honest_hits >= 10
                && standing.honest_hits as f64 > 0.01 * standing.matched as f64;
            let id = standing.rule.id;
            if harms && !young {
                let why = format!(
                    "withdrawn: {} of the {} packets it matched were not the attack's",
                    standing.honest_hits, standing.matched
                );
                ended.push(Ended { id, why });
            } else if now_ms >= standing.active_ms + QUIET_MS {
                ended.push(Ended { id, why: "nothing matched any more".to_owned() });
                if self.dormant.len() == DORMANT_MAX {
                    self.dormant.remove(0);
                }
                self.dormant.push((now_ms, standing));
            } else {
                if now_ms >= standing.renewed_ms + RENEW_EVERY_MS {
                    standing.renewed_ms = now_ms;
                    standing.rule.expires_at_ms = now_ms + TTL_MS;
                    self.changed = true;
                }
                kept.push(standing);
            }
        }
        self.changed |= !ended.is_empty();
        self.active = kept;
        self.dormant.retain(|(since_ms, _)| now_ms < since_ms + DORMANT_MS);
        ended
    }

    /// Puts back in force what matches again. `rate_pps` tells how many of the packets of this step
    /// a signature matches, per second. Returns the numbers of the rules.
    pub fn rearm(
        &mut self,
        now_ms: u64,
        rate_pps: impl Fn(&PacketSignature) -> f64,
    ) -> Vec<RuleId> {
        let mut back = Vec::new();
        let (returned, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.dormant)
            .into_iter()
            .partition(|(_, s)| rate_pps(&s.rule.signature) > (s.peak_pps * BACK_PART).max(10.0));
        self.dormant = rest;
        for (since_ms, mut standing) in returned {
            if self.active.len() >= PACKET_RULES_MAX {
                self.dormant.push((since_ms, standing));
                continue;
            }
            standing.active_ms = now_ms;
            standing.renewed_ms = now_ms;
            standing.pps = standing.peak_pps * BACK_PART;
            standing.rule.expires_at_ms = now_ms + TTL_MS;
            back.push(standing.rule.id);
            self.active.push(standing);
            self.changed = true;
        }
        back
    }

    fn plan(&self, rules: Vec<PacketRule>, now_ms: u64) -> PacketPlan {
        PacketPlan {
            revision: self.revision + 1,
            made_at_ms: now_ms,
            mode: self.mode,
            rules,
            guards: self.guards,
            guards_until_ms: now_ms + TTL_MS,
        }
    }

    /// The plan, if something changed since it was last asked for.
    pub fn publish(&mut self, now_ms: u64) -> Option<Arc<CheckedPacketPlan>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let rules = self.active.iter().map(|s| s.rule.clone()).collect();
        let (checked, rejected) = self.plan(rules, now_ms).check();
        debug_assert!(rejected.is_empty(), "placed rules pass the check");
        self.revision += 1;
        Some(Arc::new(checked))
    }

    /// Asks for the plan to be handed out again, so that guards and rules are renewed.
    pub const fn renew(&mut self) {
        self.changed = true;
    }
}

#[cfg(test)]
mod tests;
