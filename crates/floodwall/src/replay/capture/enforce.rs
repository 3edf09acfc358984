//! What the kernel filter in protect mode would have done with each packet: the plan in force at its
//! moment, then the guards that stand. The order is the filter's own (design of bpf/filter.bpf.c):
//! sanity, signatures, proofs. What the operator lets one source send is his and not the plan's.
//!
//! It takes only checked plans, like every enforcer. All tables are bounded; when one is full the
//! packet passes, never the other way round. What a recording cannot tell is never held against a
//! packet: see [`GuardTally::unjudged`].

use std::net::IpAddr;
use std::sync::Arc;

use floodwall_model::RuleId;
use floodwall_model::packet::{
    CheckedPacketPlan, Guards, PacketAttr, PacketClass, PacketFacts, PacketHandling, PacketReason,
    PacketRule,
};

use super::conversation::{TCP, UDP};
use super::flows::Standing;
use super::icmp_shares::IcmpShares;
use super::matcher::Matcher;

/// What was done with a packet.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// It went on.
    Pass,
    /// It went on for a reason worth saying: it could not be read as IP.
    Let(PacketReason),
    /// It was not looked at: its link layer is not read.
    LinkUnread,
    /// A rule dropped it.
    Drop(RuleId),
    /// Dropped for a reason that is no rule's.
    Refuse(PacketReason),
    /// It would have been asked for a proof, the answer to which is not in the recording.
    Challenge(PacketReason),
}

impl Decision {
    /// The word in the file of decisions.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Decision::Pass | Decision::Let(_) | Decision::LinkUnread => "pass",
            Decision::Drop(_) | Decision::Refuse(_) => "drop",
            Decision::Challenge(_) => "challenge",
        }
    }

    /// As the engine is told.
    pub(crate) const fn handling(self) -> PacketHandling {
        match self {
            Decision::Pass | Decision::Let(_) | Decision::LinkUnread => PacketHandling::Passed,
            Decision::Drop(rule) => PacketHandling::Dropped(rule),
            Decision::Refuse(reason) | Decision::Challenge(reason) => {
                PacketHandling::Refused(reason)
            }
        }
    }
}

/// What guards met that they could not judge.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub(crate) struct GuardTally {
    /// Packets that a guard for conversations let pass because only one direction was recorded.
    pub(crate) unjudged: u64,
}

/// A stretch of time in which guards stood.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct GuardSpan {
    pub(crate) guards: Guards,
    pub(crate) from_ms: u64,
    /// When they ended or changed; `None` while they stand.
    pub(crate) until_ms: Option<u64>,
}

/// Stretches kept. When full: further ones are not listed, only their effect is counted.
const GUARD_SPANS_MAX: usize = 1_000;

/// The enforcer.
pub(crate) struct Enforcement {
    plan: Arc<CheckedPacketPlan>,
    matcher: Matcher,
    guards: Guards,
    /// When a rule or the guards of the plan end next, ms.
    next_end_ms: u64,
    icmp: IcmpShares,
    unjudged: u64,
    pub(crate) spans: Vec<GuardSpan>,
}

impl Default for Enforcement {
    fn default() -> Self {
        Enforcement {
            plan: Arc::default(),
            matcher: Matcher::default(),
            guards: Guards::default(),
            next_end_ms: u64::MAX,
            icmp: IcmpShares::full(0),
            unjudged: 0,
            spans: Vec::new(),
        }
    }
}

impl Enforcement {
    /// Puts `plan` in force from `now_ms` on.
    pub(crate) fn publish(&mut self, plan: Arc<CheckedPacketPlan>, now_ms: u64) {
        self.plan = plan;
        self.refresh(now_ms);
    }

    /// What would be done with a packet that is sane but for `fault`.
    pub(crate) fn decide(
        &mut self,
        facts: &PacketFacts,
        fault: Option<PacketReason>,
        standing: Standing,
        both_ways: bool,
        now_ms: u64,
    ) -> Decision {
        if now_ms >= self.next_end_ms {
            self.refresh(now_ms);
        }
        if let Some(reason) = fault {
            return Decision::Refuse(reason);
        }
        if let Some(rule) = self.matcher.first(facts, now_ms) {
            return Decision::Drop(rule);
        }
        if !self.guards.any() || is_for_many(facts.destination) {
            return Decision::Pass;
        }
        self.guard(facts, standing, both_ways, now_ms)
    }

    /// What guards could not judge.
    pub(crate) fn tally(&self) -> GuardTally {
        GuardTally { unjudged: self.unjudged }
    }

    fn guard(
        &mut self,
        facts: &PacketFacts,
        standing: Standing,
        both_ways: bool,
        now_ms: u64,
    ) -> Decision {
        if let Some(reason) = unwelcome(self.guards, facts, standing) {
            if both_ways {
                return Decision::Refuse(reason);
            }
            self.unjudged += 1;
        }
        if self.guards.icmp && !self.icmp.passes(facts, standing, now_ms) {
            return Decision::Refuse(PacketReason::IcmpRate);
        }
        if self.guards.syn_proof && facts.class == PacketClass::Syn {
            return Decision::Challenge(PacketReason::CookieSent);
        }
        Decision::Pass
    }

    /// Takes out what has ended: enforcers obey ends without the engine.
    fn refresh(&mut self, now_ms: u64) {
        let is_live = |rule: &&PacketRule| rule.expires_at_ms > now_ms;
        let live: Vec<PacketRule> = self.plan.rules().iter().filter(is_live).cloned().collect();
        let ends = live.iter().map(|rule| rule.expires_at_ms);
        let guards = self.plan.guards(now_ms);
        let guards_end = guards.any().then(|| self.plan.guards_until_ms());
        self.next_end_ms = ends.chain(guards_end).min().unwrap_or(u64::MAX);
        self.matcher.set(&live);
        self.note_guards(guards, now_ms);
    }

    fn note_guards(&mut self, guards: Guards, now_ms: u64) {
        if guards == self.guards {
            return;
        }
        if guards.icmp && !self.guards.icmp {
            self.icmp = IcmpShares::full(now_ms);
        }
        self.guards = guards;
        if let Some(last) = self.spans.last_mut() {
            last.until_ms.get_or_insert(now_ms);
        }
        if guards.any() && self.spans.len() < GUARD_SPANS_MAX {
            self.spans.push(GuardSpan { guards, from_ms: now_ms, until_ms: None });
        }
    }
}

/// Whether a guard for conversations speaks against the packet.
fn unwelcome(guards: Guards, facts: &PacketFacts, standing: Standing) -> Option<PacketReason> {
    if standing.solicited {
        return None;
    }
    match facts.value(PacketAttr::Protocol) as u8 {
        // A later fragment has no flags to judge by; it is of another class.
        TCP if guards.tcp_state && is_in_midst(facts.class) => Some(PacketReason::OutOfState),
        UDP if guards.udp_solicited && !standing.to_service => Some(PacketReason::UnsolicitedUdp),
        _ => None,
    }
}

/// Whether a TCP packet of this class only makes sense within a connection.
fn is_in_midst(class: PacketClass) -> bool {
    use PacketClass::{Ack, Data, Fin, Rst, SynAck, TcpOdd};
    matches!(class, SynAck | Rst | Fin | Ack | Data | TcpOdd)
}

/// Whether a packet is meant for many: the kernel's guards look only at what is sent to the host's
/// own addresses. x.x.x.255 is the broadcast address of most networks that have one.
fn is_for_many(destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(v4) => v4.is_multicast() || v4.octets()[3] == 255,
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests;
