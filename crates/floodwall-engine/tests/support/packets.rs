//! Drives the packet engine with a labelled stream and does what the kernel filter would do with
//! its plans: drop what a rule matches, and what a guard proves useless.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use floodwall_engine::packet::{PacketEffect, PacketEngine, PacketEngineConfig};
use floodwall_model::packet::{
    CheckedPacketPlan, EPHEMERAL_PORT_MIN, ICMP_ERRORS, ICMP_QUESTIONS, ICMP_SHARES, IcmpNeed,
    PacketAttr, PacketBatch, PacketClass, PacketFacts, PacketHandling, PacketObservation,
    PacketReason,
};
use floodwall_model::{Incident, Mode, RuleId, Source, TokenBucket};
use floodwall_sim::packets::Stream;

/// Length of a step, µs.
const STEP_US: u64 = 50_000;
/// Where the stream's time begins, ms since the epoch.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// What became of a stream's packets.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From the attack's first packet to the first rule, ms.
    pub rule_ms: Option<u64>,
    /// From the attack's first packet to the first rule or guard, ms.
    pub held_ms: Option<u64>,
    /// Attack packets later than 1.5 s after onset, and those of them that passed.
    pub attack_later: u64,
    pub attack_later_passed: u64,
    /// Of those that passed, by kind.
    pub passed_by_group: HashMap<&'static str, u64>,
    /// Honest inbound packets, and those that a rule dropped, by kind.
    pub honest: u64,
    pub honest_dropped: u64,
    pub dropped_by_group: HashMap<&'static str, u64>,
    /// Honest inbound packets that a guard dropped, in all and by kind.
    pub honest_guarded: u64,
    pub guarded_by_group: HashMap<&'static str, u64>,
    /// Honest inbound packets during the attack, by kind.
    pub honest_by_group: HashMap<&'static str, u64>,
    /// Honest SYNs that had to return a cookie.
    pub honest_challenged: u64,
    /// Whether a guard stood at any time, and whether that for ICMP did.
    pub guarded: bool,
    pub guarded_icmp: bool,
    /// Rules by number, in words.
    pub rules: Vec<(RuleId, String)>,
    /// The last record of each incident.
    pub incidents: Vec<Incident>,
    /// Why nothing was placed, when last said.
    pub refusal: Option<String>,
}

impl Outcome {
    /// Share of attack packets that passed once 1.5 s had gone by.
    pub fn leakage(&self) -> f64 {
        self.attack_later_passed as f64 / self.attack_later.max(1) as f64
    }

    /// Share of honest packets that rules dropped.
    pub fn collateral(&self) -> f64 {
        self.honest_dropped as f64 / self.honest.max(1) as f64
    }
}

#[derive(Default)]
struct Filter {
    plan: Arc<CheckedPacketPlan>,
    served_udp: Vec<u16>,
    icmp: IcmpShares,
}

/// The kernel's shares of ICMP.
#[derive(Default)]
struct IcmpShares(HashMap<(usize, IcmpNeed), TokenBucket>);

impl IcmpShares {
    fn passes(&mut self, facts: &PacketFacts, now_ms: u64) -> bool {
        let Some(need) = IcmpNeed::of(facts) else { return true };
        let rate = match need {
            IcmpNeed::Vital => return true,
            IcmpNeed::Error => ICMP_ERRORS,
            IcmpNeed::Question => ICMP_QUESTIONS,
        };
        let mut hasher = std::hash::DefaultHasher::new();
        Source::new(facts.source).key().hash(&mut hasher);
        let share = hasher.finish() as usize % ICMP_SHARES;
        let fresh = || TokenBucket::full(rate.burst, now_ms);
        let bucket = self.0.entry((share, need)).or_insert_with(fresh);
        bucket.take(rate.rate_pps * 10, rate.burst, now_ms)
    }
}

impl Filter {
    /// Stands for the operator, who names his services: what the host answers from.
    fn learn_service(&mut self, sent: &PacketFacts) {
        let port = sent.value(PacketAttr::SourcePort);
        let names_a_service = sent.class == PacketClass::Udp && port < EPHEMERAL_PORT_MIN;
        if names_a_service && !self.served_udp.contains(&port) {
            self.served_udp.push(port);
        }
    }

    fn decide(&mut self, facts: &PacketFacts, now_ms: u64) -> PacketHandling {
        let rule = self
            .plan
            .rules()
            .iter()
            .find(|r| now_ms < r.expires_at_ms && r.signature.matches(facts));
        if let Some(rule) = rule {
            return PacketHandling::Dropped(rule.id);
        }
        let guards = self.plan.guards(now_ms);
        let tcp = !matches!(
            facts.class,
            PacketClass::Udp
                | PacketClass::Icmp
                | PacketClass::Fragment
                | PacketClass::Other
                | PacketClass::NotIp
        );
        if guards.syn_proof && facts.class == PacketClass::Syn {
            return PacketHandling::Refused(PacketReason::CookieSent);
        }
        if guards.tcp_state && tcp && facts.class != PacketClass::Syn && !facts.solicited() {
            return PacketHandling::Refused(PacketReason::OutOfState);
        }
        let served = self.served_udp.contains(&facts.value(PacketAttr::DestinationPort));
        // As in the kernel, later fragments by their protocol.
        let udp = facts.value(PacketAttr::Protocol) == 17;
        if guards.udp_solicited && udp && !facts.solicited() && !served {
            return PacketHandling::Refused(PacketReason::UnsolicitedUdp);
        }
        if guards.icmp && !facts.solicited() && !self.icmp.passes(facts, now_ms) {
            return PacketHandling::Refused(PacketReason::IcmpRate);
        }
        PacketHandling::Passed
    }
}

/// Runs the whole stream. Only inbound packets are seen, as by a filter on the interface.
pub fn run(stream: Stream, seed: u64) -> Outcome {
    let config = PacketEngineConfig { mode: Mode::Protect, ..PacketEngineConfig::default() };
    let mut engine = PacketEngine::new(config, seed);
    let onset_us = stream.onset_us();
    let mut filter = Filter::default();
    let mut outcome = Outcome::default();
    let mut batch = fresh();
    let mut step_us = 0;
    for packet in stream {
        while packet.at_us >= step_us + STEP_US {
            step_us += STEP_US;
            step(&mut engine, &mut batch, step_us, onset_us, &mut filter, &mut outcome);
        }
        if !packet.inbound {
            filter.learn_service(&packet.facts);
            continue;
        }
        let facts = packet.facts_followed();
        let at_ms = EPOCH_MS + packet.at_us / 1_000;
        let handling = filter.decide(&facts, at_ms);
        count(&mut outcome, &packet, handling, onset_us);
        let class = &mut batch.counts[facts.class as usize];
        class.packets += 1;
        class.bytes += u64::from(facts.frame_bytes);
        if let Some(id) = handling.rule() {
            match batch.matched.iter_mut().find(|(of, _)| *of == id) {
                Some((_, n)) => *n += 1,
                None => batch.matched.push((id, 1)),
            }
        }
        batch.observations.push(PacketObservation { at_ms, facts, weight: 1, handling });
    }
    for effect in engine.finish() {
        take(effect, &mut filter, &mut outcome);
    }
    outcome.refusal = outcome.refusal.or(engine.status().nothing_placed_because);
    outcome
}

fn fresh() -> PacketBatch {
    PacketBatch { knows_sockets: true, ..PacketBatch::default() }
}

fn step(
    engine: &mut PacketEngine,
    batch: &mut PacketBatch,
    step_us: u64,
    onset_us: Option<u64>,
    filter: &mut Filter,
    outcome: &mut Outcome,
) {
    let now_ms = EPOCH_MS + step_us / 1_000;
    for effect in engine.step(now_ms, batch) {
        take(effect, filter, outcome);
    }
    let status = engine.status();
    if status.nothing_placed_because.is_some() {
        outcome.refusal = status.nothing_placed_because;
    }
    let guards = filter.plan.guards(now_ms);
    outcome.guarded |= guards.any();
    outcome.guarded_icmp |= guards.icmp;
    if let Some(onset_us) = onset_us {
        let since_ms = (step_us.saturating_sub(onset_us)) / 1_000;
        if step_us >= onset_us && outcome.rule_ms.is_none() && !filter.plan.rules().is_empty() {
            outcome.rule_ms = Some(since_ms);
        }
        let held = !filter.plan.rules().is_empty() || guards.any();
        if step_us >= onset_us && outcome.held_ms.is_none() && held {
            outcome.held_ms = Some(since_ms);
        }
    }
    *batch = fresh();
}

fn take(effect: PacketEffect, filter: &mut Filter, outcome: &mut Outcome) {
    match effect {
        PacketEffect::Publish(plan) => {
            for rule in plan.rules() {
                if !outcome.rules.iter().any(|(id, _)| *id == rule.id) {
                    outcome.rules.push((rule.id, rule.words.clone()));
                }
            }
            filter.plan = plan;
        }
        PacketEffect::Incident(incident) => {
            outcome.incidents.retain(|i| i.id != incident.id);
            outcome.incidents.push(*incident);
        }
    }
}

fn count(
    outcome: &mut Outcome,
    packet: &floodwall_sim::packets::LabelledPacket,
    handling: PacketHandling,
    onset_us: Option<u64>,
) {
    let passed = handling == PacketHandling::Passed;
    if packet.attack {
        if onset_us.is_some_and(|onset_us| packet.at_us >= onset_us + 1_500_000) {
            outcome.attack_later += 1;
            if passed {
                outcome.attack_later_passed += 1;
                *outcome.passed_by_group.entry(packet.group).or_default() += 1;
            }
        }
        return;
    }
    outcome.honest += 1;
    if onset_us.is_some_and(|onset_us| packet.at_us >= onset_us) {
        *outcome.honest_by_group.entry(packet.group).or_default() += 1;
    }
    match handling {
        PacketHandling::Dropped(_) => {
            outcome.honest_dropped += 1;
            *outcome.dropped_by_group.entry(packet.group).or_default() += 1;
        }
        PacketHandling::Refused(PacketReason::CookieSent) => outcome.honest_challenged += 1,
        PacketHandling::Refused(_) => {
            outcome.honest_guarded += 1;
            *outcome.guarded_by_group.entry(packet.group).or_default() += 1;
        }
        PacketHandling::Passed | PacketHandling::WouldDrop(_) => {}
    }
}
