//! Layers 3 and 4: the same pipeline for packets.
//!
//! [`PacketEngine::step`] takes a time and what arrived, and returns what shall be done. One file
//! per arrow: `recent` and `flows` (observation → samples), `channels` (→ finding), `mine` (→
//! signature), `evidence` and `pending` (is it a flood, does it hold), `rules` and `guards` (→ plan
//! → checked plan), `account` and `spoofing` (→ incident).
//!
//! It must never read a clock, open a file, start a thread or panic on anything in a packet.

mod account;
mod channels;
mod company;
mod evidence;
mod flows;
mod guards;
mod mine;
mod neutral;
mod past;
mod pending;
mod recent;
mod record;
mod rules;
mod spoofing;
mod words;

use std::collections::HashSet;
use std::sync::Arc;

use floodwall_model::packet::{
    CheckedPacketPlan, Guards, PacketBatch, PacketClass, PacketFacts, PacketObservation,
    PacketRule, PacketSignature,
};
use floodwall_model::{Incident, Mode, RuleId, Source};

use account::{Opening, PacketIncident};
use channels::{Channels, PacketFinding};
use company::StoppedSources;
use evidence::{PacketScene, gather};
use flows::Flows;
use guards::{GuardPost, Unexplained};
use mine::{PacketRise, mine};
use past::PacketPast;
use pending::{Matches, PendingPackets};
use recent::{PacketSample, RecentPackets};
use record::{PacketRecord, flow_key, is_suspect, is_syn};
use rules::PacketRules;

use crate::random::Random;

/// Longest time between two searches for a signature, ms; an alarm just opened searches at once.
const MINE_EVERY_MS: u64 = 100;
/// Signatures on trial at once.
const PENDING_MAX: usize = 8;
/// SYNs of connections that were carried on, kept as honest examples. When full: the oldest goes.
const COMPLETED_MAX: usize = 1_024;
/// An alarm that nothing was placed against is taken for the new normal after so long, ms.
const ACCEPT_MS: u64 = 120_000;
/// An alarm ends when no channel spoke for so long, ms.
const CALM_MS: u64 = 3_000;
/// Time constant of forgetting a peak, s.
const PEAK_KEPT_S: f64 = 20.0;
/// What matched in so long came lately, ms.
const LATELY_MS: u64 = 200;
/// Part of all suspects that a rule must stop to be worth placing, …
const PART_MIN: f64 = 0.02;
/// … and for resets and ICMP, which others send because of the flood.
const REACTION_PART_MIN: f64 = 0.1;
/// Guards and rules are handed out again at least this often while any stands, ms.
const RENEW_MS: u64 = 10_000;

/// The engine's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketEngineConfig {
    /// Whether plans shall be carried out.
    pub mode: Mode,
    /// An incident closes when nothing was needed for so long, ms.
    pub incident_close_ms: u64,
    /// Number of the next incident.
    pub next_incident_id: u64,
    /// Number of the next rule.
    pub next_rule_id: u32,
}

impl Default for PacketEngineConfig {
    fn default() -> Self {
        PacketEngineConfig {
            mode: Mode::Shadow,
            incident_close_ms: 600_000,
            next_incident_id: 1,
            next_rule_id: 1,
        }
    }
}

/// What shall be done.
#[derive(Clone, Debug)]
pub enum PacketEffect {
    /// Apply this whole plan from now on.
    Publish(Arc<CheckedPacketPlan>),
    /// Store this record; it replaces the one with its number.
    Incident(Box<Incident>),
}

/// The engine's state for whoever asks.
#[derive(Clone, Debug, Default)]
pub struct PacketStatus {
    /// Whether judgements rest on the packaged neutral profile.
    pub neutral_profile: bool,
    /// Own packets learned and kept.
    pub own_packets: usize,
    /// Rate of suspects expected, packets/s.
    pub expected_pps: f64,
    /// When the open alarm was opened, ms.
    pub alarmed_since_ms: Option<u64>,
    /// Why nothing is placed against the open alarm, when last tried.
    pub nothing_placed_because: Option<String>,
    /// Rules in force and how many packets each matched.
    pub rules: Vec<(PacketRule, u64)>,
    /// Guards that stand.
    pub guards: Guards,
    /// Number of the open incident.
    pub incident: Option<u64>,
    /// Searches for signatures since the start.
    pub minings: u64,
    /// Samples lost on the way since the start.
    pub samples_lost: u64,
}

/// Rates smoothed over half a second, packets/s.
#[derive(Copy, Clone, Debug, Default)]
struct Rates {
    /// All packets.
    all_pps: f64,
    /// Suspects, stopped or not.
    suspects_pps: f64,
    /// Suspects in this step, packets.
    suspects_step: f64,
    /// The highest of it lately: it is forgotten slowly, because floods pause.
    suspects_peak_pps: f64,
}

/// An open alarm.
#[derive(Debug)]
struct Alarm {
    opened_ms: u64,
    onset_ms: u64,
    last_ms: u64,
    classes: Vec<(PacketClass, f64)>,
    observed_pps: f64,
    mined_ms: Option<u64>,
    refusal: Option<String>,
}

/// The engine for packets.
#[derive(Debug)]
pub struct PacketEngine {
    config: PacketEngineConfig,
    random: Random,
    now_ms: u64,
    recent: RecentPackets,
    flows: Flows,
    channels: Channels,
    past: PacketPast,
    rules: PacketRules,
    guards: GuardPost,
    alarm: Option<Alarm>,
    pending: Vec<PendingPackets>,
    completed: Vec<PacketFacts>,
    stopped: StoppedSources,
    incident: Option<PacketIncident>,
    next_incident_id: u64,
    rates: Rates,
    handshakes_per_s: f64,
    counts_handshakes: bool,
    knows_sockets: bool,
    renewed_ms: u64,
    minings: u64,
    lost: u64,
}

impl PacketEngine {
    /// An engine that has seen nothing.
    pub fn new(config: PacketEngineConfig, seed: u64) -> Self {
        PacketEngine {
            random: Random::new(seed),
            now_ms: 0,
            recent: RecentPackets::default(),
            flows: Flows::new(),
            channels: Channels::new(),
            past: PacketPast::new(),
            rules: PacketRules::new(config.mode, config.next_rule_id),
            guards: GuardPost::default(),
            alarm: None,
            pending: Vec::new(),
            completed: Vec::new(),
            stopped: StoppedSources::default(),
            incident: None,
            next_incident_id: config.next_incident_id,
            rates: Rates::default(),
            handshakes_per_s: 0.0,
            counts_handshakes: false,
            knows_sockets: false,
            renewed_ms: 0,
            minings: 0,
            lost: 0,
            config,
        }
    }

    /// Changes what is done with decisions.
    pub fn set_mode(&mut self, mode: Mode) {
        self.config.mode = mode;
        self.rules.set_mode(mode);
    }

    /// Takes in what arrived since the last step; `now_ms` is never earlier than before.
    pub fn step(&mut self, now_ms: u64, batch: &PacketBatch) -> Vec<PacketEffect> {
        let mut effects = Vec::new();
        let now_ms = now_ms.max(self.now_ms);
        if self.now_ms == 0 {
            self.now_ms = now_ms.saturating_sub(50);
        }
        let interval_s = ((now_ms - self.now_ms) as f64 / 1000.0).clamp(0.001, 60.0);
        self.now_ms = now_ms;
        if self.recent.advance(now_ms) {
            self.past.admit(self.recent.closed());
        }
        self.take_in(batch, interval_s);
        self.rearm(batch, interval_s);
        let ended = self.rules.tick(now_ms, interval_s);
        if let Some(incident) = &mut self.incident {
            incident.note_ended(&ended, now_ms);
        }
        self.watch(interval_s);
        self.search();
        self.judge(batch);
        self.raise_guards();
        self.keep_account(batch, &mut effects);
        if (self.rules.guards().any() || !self.rules.active().is_empty())
            && now_ms >= self.renewed_ms + RENEW_MS
        {
            self.renewed_ms = now_ms;
            self.rules.renew();
        }
        effects.extend(self.rules.publish(now_ms).map(PacketEffect::Publish));
        effects
    }

    /// Observation → samples and counts.
    fn take_in(&mut self, batch: &PacketBatch, interval_s: f64) {
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
        let kept = self.rates.suspects_peak_pps * (-interval_s / PEAK_KEPT_S).exp();
        self.rates.suspects_peak_pps = kept.max(self.rates.suspects_pps);
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
    fn rearm(&mut self, batch: &PacketBatch, interval_s: f64) {
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

    /// → Finding: opens, keeps and closes the alarm; learns only without one.
    fn watch(&mut self, interval_s: f64) {
        let now_ms = self.now_ms;
        let calm = self.alarm.is_none() && self.rules.active().is_empty();
        let findings = self.channels.tick(now_ms, interval_s, calm);
        if findings.is_empty() {
            if calm {
                self.past.learn(now_ms, &mut self.random);
            }
        } else {
            self.past.distrust();
        }
        self.alarm_of(&findings);
        let over = self.alarm.as_ref().is_some_and(|a| now_ms >= a.last_ms + CALM_MS);
        let unresolved = self.alarm.as_ref().is_some_and(|a| now_ms >= a.opened_ms + ACCEPT_MS);
        if unresolved && self.rules.active().is_empty() && !self.rules.guards().any() {
            self.channels.settle();
            self.alarm = None;
        } else if over {
            self.alarm = None;
        }
    }

    fn alarm_of(&mut self, findings: &[PacketFinding]) {
        let Some(onset_ms) = findings.iter().map(|f| f.onset_ms).min() else { return };
        let now_ms = self.now_ms;
        let alarm = self.alarm.get_or_insert_with(|| Alarm {
            opened_ms: now_ms,
            onset_ms,
            last_ms: now_ms,
            classes: Vec::new(),
            observed_pps: 0.0,
            mined_ms: None,
            refusal: None,
        });
        alarm.last_ms = now_ms;
        alarm.classes = findings.iter().map(|f| (f.class, f.expected_pps)).collect();
        alarm.observed_pps = findings.iter().map(|f| f.observed_pps).sum();
    }

    fn unexplained(&self, since_ms: u64) -> PacketSample {
        self.recent.sample(self.now_ms, since_ms, |r| self.rules.covers(&r.facts))
    }

    /// Finding → signature.
    fn search(&mut self) {
        let now_ms = self.now_ms;
        let Some(alarm) = &self.alarm else { return };
        if alarm.mined_ms.is_some_and(|at_ms| now_ms < at_ms + MINE_EVERY_MS) {
            return;
        }
        let sample = self.unexplained(alarm.onset_ms);
        self.gather_completed(&sample);
        let Some(alarm) = &mut self.alarm else { return };
        alarm.mined_ms = Some(now_ms);
        self.minings += 1;
        let rise = PacketRise {
            sample: &sample,
            completed: &self.completed,
            classes: &alarm.classes,
            knows_sockets: self.knows_sockets,
            past: &self.past,
        };
        let found = mine(&rise, PENDING_MAX);
        if found.is_empty() && self.pending.is_empty() {
            alarm.refusal = Some(
                "no description of the packets was found that spares honest traffic".to_owned(),
            );
        }
        let onset_ms = alarm.onset_ms;
        for mined in found {
            let on_trial = self.pending.iter_mut().find(|p| p.mined.signature == mined.signature);
            if let Some(pending) = on_trial {
                pending.mined_again(mined);
                continue;
            }
            if self.rules.has(&mined.signature) {
                continue;
            }
            if self.pending.len() == PENDING_MAX {
                self.pending.remove(0);
            }
            self.pending.push(PendingPackets::new(mined, onset_ms, now_ms));
        }
    }

    /// SYNs of connections that were carried on are what no rule may hit.
    fn gather_completed(&mut self, sample: &PacketSample) {
        let completed = sample
            .suspects
            .iter()
            .filter(|r| is_syn(&r.facts) && self.flows.was_followed(&r.facts) == Some(true))
            .map(|r| r.facts);
        self.completed.extend(completed);
        let over = self.completed.len().saturating_sub(COMPLETED_MAX);
        self.completed.drain(..over);
    }

    /// Signature → plan: what is on trial is confirmed on packets that came later, and evidence is
    /// gathered. Whether it may be placed is for the plan's check to say.
    fn judge(&mut self, batch: &PacketBatch) {
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
            predicates: signature.predicates().iter().map(|p| words::predicate(*p)).collect(),
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
        let class = pending.mined.class;
        let reaction = matches!(class, PacketClass::Rst | PacketClass::Icmp);
        let part = if reaction { REACTION_PART_MIN } else { PART_MIN };
        pending.mined.matched_pps < part * self.rates.suspects_peak_pps
            || pending.share().is_some_and(|share| share < part)
    }

    fn note_placed(&mut self, id: RuleId) {
        let now_ms = self.now_ms;
        let placed = self.rules.active().iter().find(|s| s.rule.id == id);
        if let (Some(incident), Some(standing)) = (&mut self.incident, placed) {
            incident.note_rule(account::record_of(&standing.rule, now_ms), now_ms);
            // What it matches and came before it belongs to the account of the sources.
            let before = self.recent.since(0).filter(|r| !r.explained);
            for record in before.filter(|r| standing.rule.signature.matches(&r.facts)) {
                let good = self.flows.is_good_source(&record.facts);
                incident.note_matched(&record.facts, good, &mut self.random);
            }
        }
    }

    fn raise_guards(&mut self) {
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

    fn open_incident(&mut self, onset_ms: u64, observed_pps: f64) {
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
        self.incident = Some(PacketIncident::open(&opening));
    }

    fn keep_account(&mut self, batch: &PacketBatch, effects: &mut Vec<PacketEffect>) {
        let now_ms = self.now_ms;
        let active = !self.rules.active().is_empty() || self.rules.guards().any();
        let Some(incident) = &mut self.incident else { return };
        let due = incident.tick(batch, &self.rules, active, now_ms);
        if now_ms >= incident.last_active_ms() + self.config.incident_close_ms {
            use floodwall_model::incident::TimelineKind;
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
        let kind = floodwall_model::incident::TimelineKind::Note;
        incident.incident_mut().note(now_ms, kind, note.to_owned());
        vec![PacketEffect::Incident(Box::new(incident.snapshot(now_ms)))]
    }

    /// The engine's state.
    pub fn status(&self) -> PacketStatus {
        PacketStatus {
            neutral_profile: self.past.rests_on_neutral(),
            own_packets: self.past.own_packets(),
            expected_pps: self.channels.expected_all_pps(),
            alarmed_since_ms: self.alarm.as_ref().map(|a| a.opened_ms),
            nothing_placed_because: self.alarm.as_ref().and_then(|a| a.refusal.clone()),
            rules: self.rules.active().iter().map(|s| (s.rule.clone(), s.matched)).collect(),
            guards: self.rules.guards(),
            incident: self.incident.as_ref().map(|_| self.next_incident_id - 1),
            minings: self.minings,
            samples_lost: self.lost,
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
    fn of<'b>(&'b self, classes: &'b [PacketClass]) -> impl Iterator<Item = &'b PacketRecord> {
        self.sample.suspects.iter().filter(move |r| classes.contains(&r.facts.class))
    }
}

impl Unexplained for Residual<'_> {
    fn pps(&self, classes: &[PacketClass]) -> f64 {
        let packets: f64 = self.of(classes).map(|r| r.weight).sum();
        packets * 1000.0 / self.sample.span_ms.max(1) as f64
    }

    fn flows(&self, classes: &[PacketClass]) -> usize {
        self.of(classes).map(|r| flow_key(&r.facts)).collect::<HashSet<u64>>().len()
    }

    fn knows_sockets(&self) -> bool {
        self.knows_sockets
    }

    fn is_aimed(&self, classes: &[PacketClass]) -> bool {
        let networks =
            self.of(classes).map(|r| Source::new(r.facts.destination).network().address());
        evidence::top_share(networks).is_some_and(|(_, share, _)| share >= 0.5)
    }

    fn sees_both_ways(&self, classes: &[PacketClass]) -> bool {
        let alike = |f: &PacketFacts| classes.contains(&f.class) && f.solicited();
        self.knows_sockets
            || self.sample.honest.iter().any(|r| alike(&r.facts))
            || self.past.own_share(alike) >= evidence::BOTH_WAYS_SHARE_MIN
    }
}
