//! The plan for packets: what the kernel filter shall drop, and which guards stand.
//!
//! As with requests, enforcers accept only what [`PacketPlan::check`] let through. Every rule and
//! every guard ends by itself.

use serde::{Deserialize, Serialize};

use super::signature::PacketSignature;
use crate::limits::{PACKET_PREDICATES_MAX, PACKET_RULES_MAX};
use crate::plan::{
    BLOCK_LOG_ODDS_MIN, Collateral, Evidence, Family, Mode, Rejection, RuleId, ends_in_time,
    log_odds,
};

/// Share of past honest packets that a rule may match (design/detection.md § 3.6).
pub const PACKET_COLLATERAL_MAX: f64 = 0.000_5;
/// All rules of a plan together.
const PACKET_COLLATERAL_TOTAL_MAX: f64 = 0.002;
/// A past too short to prove the cap: not one hit among at least so many packets.
const SMALL_PAST_PACKETS_MIN: u64 = 200;

/// One rule: packets that match are dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PacketRule {
    /// Its number, from the same sequence as request rules.
    pub id: RuleId,
    /// What it matches.
    pub signature: PacketSignature,
    /// The signature in words.
    pub words: String,
    /// Its predicates in words, one each.
    pub predicates: Vec<String>,
    /// Honest packets it would have hit: of this host's own past, and of the packaged neutral
    /// profile where the past is short.
    pub projected: Collateral,
    /// Why it was placed.
    pub evidence: Vec<Evidence>,
    /// When it was first placed, ms since the epoch.
    pub placed_at_ms: u64,
    /// When it ends unless renewed, ms since the epoch. Enforcers obey this without the engine.
    pub expires_at_ms: u64,
}

impl PacketRule {
    /// Sum of the capped log-odds.
    pub fn log_odds(&self) -> f64 {
        log_odds(&self.evidence)
    }
}

/// Proofs asked of packets that no signature tells apart. Each hits only what it can prove to be
/// useless, and costs honest peers nothing or a round trip (the one for ICMP: some pings); off at
/// rest.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Guards {
    /// Answer SYNs with a SYN cookie.
    pub syn_proof: bool,
    /// Drop TCP that belongs to no connection.
    pub tcp_state: bool,
    /// Drop UDP that is neither for a service nor an answer.
    pub udp_solicited: bool,
    /// Hold ICMP to a small rate, but for what the network needs ([`super::IcmpNeed`]).
    #[serde(default)]
    pub icmp: bool,
}

impl Guards {
    /// Whether any stands.
    pub const fn any(self) -> bool {
        self.syn_proof || self.tcp_state || self.udp_solicited || self.icmp
    }

    /// The names of those that stand, for people.
    pub fn names(self) -> Vec<&'static str> {
        [
            (self.syn_proof, "SYN proof"),
            (self.tcp_state, "TCP state"),
            (self.udp_solicited, "UDP asked for"),
            (self.icmp, "ICMP rate"),
        ]
        .into_iter()
        .filter_map(|(stands, name)| stands.then_some(name))
        .collect()
    }
}

/// A proposal: everything that shall be in force from now on.
#[derive(Clone, Debug, Default)]
pub struct PacketPlan {
    /// Grows by one with every plan.
    pub revision: u64,
    /// When it was made, ms since the epoch.
    pub made_at_ms: u64,
    /// Whether it shall be carried out.
    pub mode: Mode,
    /// The rules, most important first.
    pub rules: Vec<PacketRule>,
    /// The guards that stand.
    pub guards: Guards,
    /// Until when they stand unless renewed, ms since the epoch.
    pub guards_until_ms: u64,
}

/// A rule that was left out, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedPacketRule {
    /// The rule.
    pub rule: PacketRule,
    /// Why.
    pub why: Rejection,
}

impl PacketPlan {
    /// Checks every rule; keeps those that pass. Guards that do not end in time are taken down.
    pub fn check(self) -> (CheckedPacketPlan, Vec<RejectedPacketRule>) {
        let mut kept: Vec<PacketRule> = Vec::new();
        let mut rejected = Vec::new();
        let mut total = 0.0;
        for rule in self.rules {
            match check_rule(&rule, self.made_at_ms, kept.len(), total) {
                Ok(()) => {
                    total += rule.projected.share();
                    kept.push(rule);
                }
                Err(why) => rejected.push(RejectedPacketRule { rule, why }),
            }
        }
        let guards_end = ends_in_time(self.made_at_ms, self.guards_until_ms);
        let plan = CheckedPacketPlan {
            revision: self.revision,
            made_at_ms: self.made_at_ms,
            mode: self.mode,
            rules: kept,
            guards: if guards_end { self.guards } else { Guards::default() },
            guards_until_ms: self.guards_until_ms,
        };
        (plan, rejected)
    }
}

fn check_rule(
    rule: &PacketRule,
    made_at_ms: u64,
    kept: usize,
    collateral_total: f64,
) -> Result<(), Rejection> {
    let predicates = rule.signature.predicates();
    if kept >= PACKET_RULES_MAX {
        return Err(Rejection::TooManyRules);
    }
    if predicates.is_empty()
        || predicates.len() > PACKET_PREDICATES_MAX
        || rule.signature.repeats_attr()
    {
        return Err(Rejection::SignatureSize);
    }
    if !ends_in_time(made_at_ms, rule.expires_at_ms) {
        return Err(Rejection::Expiry);
    }
    let speaks = |is: &dyn Fn(Family) -> bool| {
        rule.evidence.iter().any(|e| e.log_odds >= 1.0 && is(e.family))
    };
    if !(speaks(&Family::is_identity) && speaks(&|f| f == Family::Behaviour)) {
        return Err(Rejection::OneFamily);
    }
    let contradicted = rule.evidence.iter().any(|e| e.log_odds <= -2.0);
    if contradicted || rule.log_odds() < BLOCK_LOG_ODDS_MIN {
        return Err(Rejection::WeakEvidence);
    }
    let small_but_clean =
        rule.projected.hits == 0 && rule.projected.records >= SMALL_PAST_PACKETS_MIN;
    if rule.projected.upper_bound() > PACKET_COLLATERAL_MAX && !small_but_clean {
        return Err(Rejection::Collateral);
    }
    if collateral_total + rule.projected.share() > PACKET_COLLATERAL_TOTAL_MAX {
        return Err(Rejection::CollateralTotal);
    }
    Ok(())
}

/// A plan that may be enforced. Immutable; applying it twice changes nothing.
#[derive(Clone, Debug, Default)]
pub struct CheckedPacketPlan {
    revision: u64,
    made_at_ms: u64,
    mode: Mode,
    rules: Vec<PacketRule>,
    guards: Guards,
    guards_until_ms: u64,
}

impl CheckedPacketPlan {
    /// Grows by one with every plan.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// When it was made, ms since the epoch.
    pub const fn made_at_ms(&self) -> u64 {
        self.made_at_ms
    }

    /// Whether it shall be carried out.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The rules, most important first; at most [`PACKET_RULES_MAX`].
    pub fn rules(&self) -> &[PacketRule] {
        &self.rules
    }

    /// The guards that stand at `now_ms`.
    pub fn guards(&self, now_ms: u64) -> Guards {
        if now_ms < self.guards_until_ms { self.guards } else { Guards::default() }
    }

    /// Until when the guards stand, ms since the epoch.
    pub const fn guards_until_ms(&self) -> u64 {
        self.guards_until_ms
    }
}
