//! The engine's side of a capture replay: packets in time order go in, incidents and decisions come
//! out. The only file here that knows the engine.
//!
//! Every packet is judged as if it arrived at the host that it is sent to, with the plan that was in
//! force at its moment. Time is the recording's; no clock is read.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use floodwall_engine::packet::{PacketEffect, PacketEngine, PacketEngineConfig, PacketStatus};
use floodwall_model::limits::BATCH_OBSERVATIONS_MAX;
use floodwall_model::packet::{
    PacketBatch, PacketClass, PacketFacts, PacketObservation, PacketReason,
};
use floodwall_model::{Incident, Mode, RuleId};

use super::super::error::ReplayError;
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

/// Incidents kept. When full: further ones are only counted.
const INCIDENTS_MAX: usize = 10_000;

/// Rules whose last match is remembered. When full: forgotten all at once; an incident that lasted
/// beyond the recording's end may then be told as closed.
const RULES_REMEMBERED_MAX: usize = 4_096;

/// The end of the recording: what happened in it tells whether an incident outlasted it, ms.
const LAST_MS: u64 = 10_000;

/// Rate in the last [`LAST_MS`], as a multiple of the expected rate, above which an incident that
/// was open has not ended.
const STILL_RAISED_FACTOR: f64 = 1.5;

/// Silent time given to open incidents to close after the last packet, ms.
const AFTERMATH_MS_MAX: u64 = 1_800_000;

/// The time given to evidence after the last packet, and its steps, ms.
const SETTLE_MS: u64 = 1_500;
const SETTLE_STEP_MS: u64 = 50;

/// Time between two steps after the last packet, ms.
const AFTERMATH_STEP_MS: u64 = 1_000;

/// An incident, and how it stood when the recording ended.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) incident: Incident,
    /// When it closed; `None` if the recording ended before.
    pub(crate) closed_at_ms: Option<u64>,
    /// It was calm at the end, but closed only in the silence assumed after it.
    pub(crate) closed_after_end: bool,
}

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
    incidents: BTreeMap<u64, Incident>,
    open_incidents: BTreeSet<u64>,
    incidents_left_out: u64,
    last_match_ms: HashMap<RuleId, u64>,
    /// (second, packets) of the newest seconds.
    newest: VecDeque<(u64, u64)>,
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
            incidents: BTreeMap::new(),
            open_incidents: BTreeSet::new(),
            incidents_left_out: 0,
            last_match_ms: HashMap::new(),
            newest: VecDeque::new(),
        }
    }

    /// Takes the next packet: decides on it, and steps the engine up to it.
    pub(crate) fn packet(&mut self, packet: &mut RecordedPacket) -> Result<(), ReplayError> {
        let at_ms = self.clock.at_ms(packet.at_ns);
        self.advance(at_ms);
        self.tally.arrive(packet.wire_bytes, at_ms);
        self.count(at_ms);
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
            incidents: self.told(end_ms),
            incidents_left_out: self.incidents_left_out,
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
                next_step_ms(STEP_MS, self.now_ms, self.busy_ms, at_ms, self.any_open())
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
                self.note_match(rule, at_ms);
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

    fn note_match(&mut self, rule: RuleId, at_ms: u64) {
        if self.last_match_ms.len() >= RULES_REMEMBERED_MAX {
            self.last_match_ms.clear();
        }
        self.last_match_ms.insert(rule, at_ms);
    }

    fn count(&mut self, at_ms: u64) {
        let second = at_ms / 1_000;
        match self.newest.back_mut() {
            Some((newest, count)) if *newest == second => *count += 1,
            _ => {
                self.newest.push_back((second, 1));
                if self.newest.len() > (LAST_MS / 1_000) as usize + 1 {
                    self.newest.pop_front();
                }
            }
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
            PacketEffect::Incident(incident) => self.note_incident(*incident),
        }
    }

    fn note_incident(&mut self, incident: Incident) {
        let known = self.incidents.contains_key(&incident.id);
        if !known && self.incidents.len() >= INCIDENTS_MAX {
            self.incidents_left_out += 1;
            return;
        }
        match incident.closed_at_ms {
            None => self.open_incidents.insert(incident.id),
            Some(_) => self.open_incidents.remove(&incident.id),
        };
        self.incidents.insert(incident.id, incident);
    }

    fn any_open(&self) -> bool {
        !self.open_incidents.is_empty()
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
        while now_ms < end_ms + AFTERMATH_MS_MAX && self.any_open() {
            now_ms += AFTERMATH_STEP_MS;
            self.step(now_ms);
        }
        for effect in self.engine.finish() {
            self.apply(effect, now_ms);
        }
        end_ms
    }

    fn told(&self, end_ms: u64) -> Vec<Told> {
        let tell = |incident: &Incident| {
            let after_end = incident.closed_at_ms.is_some_and(|at_ms| at_ms > end_ms);
            let outlasted = after_end && self.still_on(incident, end_ms);
            Told {
                incident: incident.clone(),
                closed_at_ms: incident.closed_at_ms.filter(|_| !outlasted),
                closed_after_end: after_end && !outlasted,
            }
        };
        self.incidents.values().map(tell).collect()
    }

    /// Whether the incident was still under way when the recording ended: a rule of it matched, or
    /// the rate was still raised, in the last [`LAST_MS`].
    fn still_on(&self, incident: &Incident, end_ms: u64) -> bool {
        let last_from_ms = end_ms.saturating_sub(LAST_MS);
        let matched = incident.rules.iter().any(|rule| {
            self.last_match_ms.get(&rule.id).is_some_and(|at_ms| *at_ms >= last_from_ms)
        });
        let of_last = |(second, _): &&(u64, u64)| second * 1_000 >= last_from_ms;
        let count: u64 = self.newest.iter().filter(of_last).map(|(_, count)| count).sum();
        let rate_pps = count as f64 / (LAST_MS as f64 / 1e3);
        matched || rate_pps > incident.expected_rps * STILL_RAISED_FACTOR
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
