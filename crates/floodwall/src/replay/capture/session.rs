//! The engine's side of a capture replay: packets in time order go in, incidents and decisions come
//! out. The only file here that knows the engine.
//!
//! Every packet is judged as if it arrived at the host that it is sent to, with the plan that was in
//! force at its moment. Time is the recording's; no clock is read.

use floodwall_engine::packet::{PacketEffect, PacketEngine, PacketEngineConfig, PacketStatus};
use floodwall_model::Mode;
use floodwall_model::limits::BATCH_OBSERVATIONS_MAX;
use floodwall_model::packet::{
    PacketBatch, PacketClass, PacketFacts, PacketObservation, PacketReason,
};

use super::super::error::ReplayError;
use super::super::incidents::{AFTERMATH_MS_MAX, AFTERMATH_STEP_MS, Incidents, Told};
use super::super::pace::next_step_ms;
use super::clock::RecordingClock;
use super::conversation::place;
use super::decisions::PacketDecisionFile;
use super::enforce::{Decision, Enforcement, GuardSpan, GuardTally};
use super::flows::Flows;
use super::parse::{Read, read};
use super::read::RecordedPacket;
use super::sampler::Sampler;
use super::tally::Tally;

/// Recorded time between two steps of the engine while packets come, ms.
pub(crate) const STEP_MS: u64 = 20;

/// The time given to evidence after the last packet, and its steps, ms.
const SETTLE_MS: u64 = 1_500;
const SETTLE_STEP_MS: u64 = 50;

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// First and last time, ms; `None` when there was no packet.
    pub(crate) first_last_ms: Option<(u64, u64)>,
    pub(crate) tally: Tally,
    pub(crate) incidents: Vec<Told>,
    pub(crate) incidents_left_out: u64,
    pub(crate) guard_spans: Vec<GuardSpan>,
    pub(crate) guards: GuardTally,
    /// Packets a little late, and how often time stepped back for good.
    pub(crate) late: u64,
    pub(crate) set_back: u64,
    pub(crate) both_ways: bool,
    pub(crate) flows_forgotten: u64,
    pub(crate) sampled_one_of: u32,
    pub(crate) status: PacketStatus,
}

/// A replay under way.
pub(crate) struct Session {
    engine: PacketEngine,
    enforcement: Enforcement,
    flows: Flows,
    clock: RecordingClock,
    sampler: Sampler,
    file: Option<PacketDecisionFile>,
    /// First packet and last step, ms.
    began_ms: Option<u64>,
    last_packet_ms: u64,
    now_ms: u64,
    /// Time of the last step that had packets.
    busy_ms: u64,
    batch: PacketBatch,
    batch_packets: u64,
    tally: Tally,
    incidents: Incidents,
}

impl Session {
    /// A session in protect mode.
    pub(crate) fn new(seed: u64, file: Option<PacketDecisionFile>) -> Self {
        let config = PacketEngineConfig { mode: Mode::Protect, ..PacketEngineConfig::default() };
        Session {
            engine: PacketEngine::new(config, seed),
            enforcement: Enforcement::default(),
            flows: Flows::default(),
            clock: RecordingClock::default(),
            sampler: Sampler::new(seed),
            file,
            began_ms: None,
            last_packet_ms: 0,
            now_ms: 0,
            busy_ms: 0,
            batch: PacketBatch::default(),
            batch_packets: 0,
            tally: Tally::default(),
            incidents: Incidents::default(),
        }
    }

    /// Takes the next packet: decides on it, and steps the engine up to it.
    pub(crate) fn packet(&mut self, packet: &mut RecordedPacket) -> Result<(), ReplayError> {
        let at_ms = self.clock.at_ms(packet.at_ns);
        self.advance(at_ms);
        self.tally.arrive(packet.wire_bytes, at_ms);
        self.incidents.count(at_ms);
        let wire_bytes = packet.wire_bytes;
        let (decision, facts) = match read(packet) {
            Read::Packet(parsed) => {
                let mut facts = parsed.facts;
                let place = place(&facts, parsed.packet, parsed.transport);
                let standing = self.flows.note(&facts, &place, at_ms);
                if standing.solicited {
                    facts.set_solicited();
                }
                let both_ways = self.flows.recorded_both_ways();
                let fault = parsed.fault;
                let decision = self.enforcement.decide(&facts, fault, standing, both_ways, at_ms);
                self.tally.read += 1;
                (decision, Some(facts))
            }
            Read::Unreadable(reason) => (Decision::Let(reason), None),
            Read::CutByRecorder => {
                self.tally.cut_by_recorder += 1;
                (Decision::Pass, None)
            }
            Read::LinkUnread => {
                self.tally.link_unread(packet.link_type);
                (Decision::LinkUnread, None)
            }
        };
        self.tell(at_ms, wire_bytes, facts.as_ref(), decision);
        let number = self.tally.packets;
        self.tally.decided(number, at_ms, facts.as_ref(), decision);
        if self.batch.observations.len() >= BATCH_OBSERVATIONS_MAX {
            // More than fit into one batch in a step: the engine takes them at their own time.
            self.step(at_ms);
        }
        match &mut self.file {
            Some(file) => file.note(number, decision),
            None => Ok(()),
        }
    }

    /// Ends the recording.
    pub(crate) fn finish(mut self) -> Result<Outcomes, ReplayError> {
        if let Some(file) = &mut self.file {
            file.finish()?;
        }
        let end_ms = self.aftermath();
        Ok(Outcomes {
            first_last_ms: self.began_ms.map(|began_ms| (began_ms, self.last_packet_ms)),
            incidents: self.incidents.told(end_ms),
            incidents_left_out: self.incidents.left_out,
            guards: self.enforcement.tally(),
            guard_spans: self.enforcement.spans,
            late: self.clock.late,
            set_back: self.clock.set_back,
            both_ways: self.flows.recorded_both_ways(),
            flows_forgotten: self.flows.forgotten(),
            sampled_one_of: self.sampler.one_of_max,
            status: self.engine.status(),
            tally: self.tally,
        })
    }

    /// Steps up to a packet at `at_ms`.
    fn advance(&mut self, at_ms: u64) {
        if self.began_ms.is_none() {
            self.began_ms = Some(at_ms);
            self.now_ms = at_ms / STEP_MS * STEP_MS;
            self.busy_ms = self.now_ms;
        }
        self.last_packet_ms = at_ms;
        while at_ms >= self.now_ms + STEP_MS {
            let next_ms = if self.batch_packets == 0 {
                next_step_ms(STEP_MS, self.now_ms, self.busy_ms, at_ms, self.incidents.any_open())
            } else {
                self.busy_ms = self.now_ms + STEP_MS;
                self.busy_ms
            };
            self.step(next_ms);
            self.now_ms = next_ms;
        }
    }

    /// Puts a packet into the batch.
    fn tell(
        &mut self,
        at_ms: u64,
        wire_bytes: u32,
        facts: Option<&PacketFacts>,
        decision: Decision,
    ) {
        self.batch_packets += 1;
        if facts.is_none() && !matches!(decision, Decision::Let(_)) {
            // What was not looked at is of no kind.
            return;
        }
        let class = facts.map_or(PacketClass::NotIp, |facts| facts.class);
        for counts in [&mut self.batch.counts, &mut self.tally.classes] {
            let count = &mut counts[class as usize];
            count.packets += 1;
            count.bytes += u64::from(wire_bytes);
        }
        match decision {
            Decision::Drop(rule) => {
                add(&mut self.batch.matched, rule);
                self.incidents.note_match(rule, at_ms);
            }
            Decision::Refuse(reason) | Decision::Challenge(reason) => {
                add(&mut self.batch.refused, reason);
            }
            Decision::Pass | Decision::Let(_) | Decision::LinkUnread => {}
        }
        let Some(facts) = facts else { return };
        if let Some(weight) = self.sampler.weight(at_ms) {
            self.batch.observations.push(PacketObservation {
                at_ms,
                facts: *facts,
                weight,
                handling: decision.handling(),
            });
        }
    }

    fn step(&mut self, now_ms: u64) {
        self.batch.handshakes = Some(self.flows.take_handshakes());
        let effects = self.engine.step(now_ms, &self.batch);
        self.batch.counts = Default::default();
        self.batch.observations.clear();
        self.batch.matched.clear();
        self.batch.refused.clear();
        self.batch_packets = 0;
        for effect in effects {
            self.apply(effect, now_ms);
        }
    }

    fn apply(&mut self, effect: PacketEffect, now_ms: u64) {
        match effect {
            PacketEffect::Publish(plan) => self.enforcement.publish(plan, now_ms),
            PacketEffect::Incident(incident) => self.incidents.note(*incident),
        }
    }

    /// Steps through silence until every incident has closed. Returns when the recording ended.
    fn aftermath(&mut self) -> u64 {
        if self.began_ms.is_none() {
            return 0;
        }
        let end_ms = self.now_ms + STEP_MS;
        self.step(end_ms);
        let mut now_ms = end_ms;
        // Whether anybody carries on what was begun takes a moment to show, and some recordings
        // are shorter than that.
        while now_ms < end_ms + SETTLE_MS {
            now_ms += SETTLE_STEP_MS;
            self.step(now_ms);
        }
        while now_ms < end_ms + AFTERMATH_MS_MAX && self.incidents.any_open() {
            now_ms += AFTERMATH_STEP_MS;
            self.step(now_ms);
        }
        for effect in self.engine.finish() {
            self.apply(effect, now_ms);
        }
        end_ms
    }
}

/// Adds one to the count of `key`. The lists are as short as the rules and reasons that there are.
fn add<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K) {
    match counts.iter_mut().find(|(known, _)| *known == key) {
        Some((_, count)) => *count += 1,
        None => counts.push((key, 1)),
    }
}

/// Reasons that hold at any time.
pub(crate) fn is_sanity(reason: PacketReason) -> bool {
    PacketReason::SANITY.contains(&reason)
}
