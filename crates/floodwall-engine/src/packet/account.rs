//! Plan → incident, for packets: opened by the first rule or guard, kept up to date, closed when
//! nothing was needed for a while.

use std::collections::VecDeque;

use floodwall_model::incident::TimelineKind;
use floodwall_model::packet::{
    ClassCount, Guards, PACKET_CLASS_COUNT, PacketAccount, PacketBatch, PacketClass, PacketFacts,
    PacketReason,
};
use floodwall_model::{Action, Collateral, Incident, IncidentVerdict, Mode, RuleRecord};

use super::guards;
use super::record::source_key;
use super::rules::{Ended, PacketRules};
use super::spoofing;
use crate::distinct::Distinct;
use crate::random::Random;
use crate::reservoir::Reservoir;

/// Matched packets kept for the source tests. When full: a uniform sample.
const TESTED_MAX: usize = 20_000;
/// The tests are computed anew this often, ms.
const ASSESS_EVERY_MS: u64 = 2_000;
/// The incident is handed out at least this often, ms.
const STORE_EVERY_MS: u64 = 5_000;

/// The open incident.
#[derive(Debug)]
pub struct PacketIncident {
    incident: Incident,
    matched: Reservoir<PacketFacts>,
    sources: Distinct,
    good_sources: u64,
    classes: [u64; PACKET_CLASS_COUNT],
    refused: Vec<(PacketReason, u64)>,
    conversations: u64,
    guards: Guards,
    rates: VecDeque<(u64, u64, u64)>,
    last_active_ms: u64,
    assessed_ms: u64,
    stored_ms: u64,
}

/// What arrived in one step.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// The step's end, ms.
    pub at_ms: u64,
    counts: [ClassCount; PACKET_CLASS_COUNT],
    refused: Vec<(PacketReason, u64)>,
    lost: u64,
}

impl Arrivals {
    /// Those of a batch that was taken in at `now_ms`.
    pub fn of(batch: &PacketBatch, now_ms: u64) -> Arrivals {
        Arrivals {
            at_ms: now_ms,
            counts: batch.counts,
            refused: batch.refused.clone(),
            lost: batch.lost,
        }
    }
}

/// Mean rates over windows that end now.
#[derive(Copy, Clone, Debug)]
struct Means {
    per_1s_pps: f64,
    per_10s_pps: f64,
    per_60s_pps: f64,
    per_1s_bps: f64,
}

/// What an incident begins with.
#[derive(Copy, Clone, Debug)]
pub struct Opening {
    /// Its number.
    pub id: u64,
    /// Whether we act.
    pub mode: Mode,
    /// The first sign, ms.
    pub onset_ms: u64,
    /// Now, ms.
    pub now_ms: u64,
    /// Rate of suspects expected, packets/s.
    pub expected_pps: f64,
    /// The rate now, packets/s.
    pub observed_pps: f64,
    /// Own packets that judgements rest on.
    pub own_packets: usize,
    /// Whether they rest on the neutral profile more.
    pub neutral: bool,
}

impl PacketIncident {
    /// Opens one.
    pub fn open(opening: &Opening) -> Self {
        let mut incident = Incident {
            id: opening.id,
            mode: opening.mode,
            onset_at_ms: opening.onset_ms,
            opened_at_ms: opening.now_ms,
            updated_at_ms: opening.now_ms,
            // Until a rule is placed, one kind of evidence is all there is.
            verdict: IncidentVerdict::CannotTell,
            baseline_records: opening.own_packets as u64,
            packets: Some(PacketAccount {
                expected_pps: opening.expected_pps,
                neutral_profile: opening.neutral,
                ..PacketAccount::default()
            }),
            blind_spots: blind_spots(opening.neutral),
            ..Incident::default()
        };
        let first = format!(
            "packets that belong to no conversation left what is expected ({:.0}/s); they are \
             {:.0}/s by now",
            opening.expected_pps, opening.observed_pps
        );
        incident.note(opening.onset_ms, TimelineKind::Onset, first);
        incident.note(opening.now_ms, TimelineKind::Opened, "incident opened".to_owned());
        PacketIncident {
            incident,
            matched: Reservoir::new(TESTED_MAX),
            sources: Distinct::default(),
            good_sources: 0,
            classes: [0; PACKET_CLASS_COUNT],
            refused: Vec::new(),
            conversations: 0,
            guards: Guards::default(),
            rates: VecDeque::new(),
            last_active_ms: opening.now_ms,
            assessed_ms: 0,
            stored_ms: 0,
        }
    }

    /// The record so far.
    pub const fn incident_mut(&mut self) -> &mut Incident {
        &mut self.incident
    }

    /// When something was last needed, ms.
    pub const fn last_active_ms(&self) -> u64 {
        self.last_active_ms
    }

    /// Takes in a packet that a rule matched.
    pub fn note_matched(&mut self, facts: &PacketFacts, good_source: bool, random: &mut Random) {
        self.matched.offer_with(random, || *facts);
        self.sources.insert(source_key(facts));
        self.good_sources += u64::from(good_source);
    }

    /// Takes in a packet of a conversation.
    pub const fn note_conversation(&mut self) {
        self.conversations += 1;
    }

    /// Notes a rule that came into force.
    pub fn note_rule(&mut self, record: RuleRecord, now_ms: u64) {
        let text = format!("rule {} came into force: {}", record.id, record.words);
        self.incident.verdict = IncidentVerdict::Attack;
        self.incident.mitigated_at_ms.get_or_insert(now_ms);
        self.incident.note(now_ms, TimelineKind::RulePlaced, text);
        self.incident.add_rule(record);
    }

    /// Notes, once, that guards stand because nothing could be placed, and why.
    pub fn note_nothing_placed(&mut self, why: &str, now_ms: u64) {
        let noted = |e: &floodwall_model::TimelineEntry| e.kind == TimelineKind::NothingPlaced;
        if !self.incident.timeline.iter().any(noted) {
            let text = format!("no rule placed: {why}");
            self.incident.note(now_ms, TimelineKind::NothingPlaced, text);
        }
    }

    /// Notes rules that went.
    pub fn note_ended(&mut self, ended: &[Ended], now_ms: u64) {
        for Ended { id, why } in ended {
            self.incident.note(now_ms, TimelineKind::RuleEnded, format!("rule {id} ended: {why}"));
            if let Some(record) = self.incident.rule_mut(*id) {
                record.ended_at_ms = Some(now_ms);
                record.ended_why = Some(why.clone());
            }
        }
    }

    /// Notes that guards were raised or fell.
    pub fn note_guards(&mut self, now: Guards, now_ms: u64) {
        let account = self.incident.packets.get_or_insert_default();
        let (before, after) = (guards::words(self.guards), guards::words(now));
        for words in after.iter().filter(|w| !before.contains(w)) {
            if !account.guards.iter().any(|g| g == words) {
                account.guards.push((*words).to_owned());
            }
        }
        let raised: Vec<&str> = after.iter().filter(|w| !before.contains(w)).copied().collect();
        let fallen: Vec<&str> = before.iter().filter(|w| !after.contains(w)).copied().collect();
        for words in raised {
            self.incident.note(now_ms, TimelineKind::RulePlaced, format!("guard raised: {words}"));
            self.incident.mitigated_at_ms.get_or_insert(now_ms);
        }
        for words in fallen {
            self.incident.note(now_ms, TimelineKind::RuleEnded, format!("guard lowered: {words}"));
        }
        self.guards = now;
    }

    /// Ends a step: adds counts, brings figures up to date. True when the record shall be stored.
    pub fn tick(
        &mut self,
        batch: &PacketBatch,
        rules: &PacketRules,
        active: bool,
        now_ms: u64,
    ) -> bool {
        if active {
            self.last_active_ms = now_ms;
        }
        self.count(batch, rules, now_ms);
        self.read_rules(rules);
        self.incident.updated_at_ms = now_ms;
        if now_ms >= self.assessed_ms + ASSESS_EVERY_MS {
            self.assess(now_ms);
        }
        let due = now_ms >= self.stored_ms + STORE_EVERY_MS;
        if due {
            self.stored_ms = now_ms;
        }
        due
    }

    /// Adds what arrived in one step, whether or not anything was done about it by then.
    pub fn count_arrivals(&mut self, arrivals: &Arrivals) {
        let packets: u64 = arrivals.counts.iter().map(|c| c.packets).sum();
        let bytes: u64 = arrivals.counts.iter().map(|c| c.bytes).sum();
        for (sum, count) in self.classes.iter_mut().zip(&arrivals.counts) {
            *sum += count.packets;
        }
        for (reason, count) in arrivals.refused.iter().filter(|(reason, _)| !reason.passes()) {
            match self.refused.iter_mut().find(|(r, _)| r == reason) {
                Some((_, sum)) => *sum += count,
                None => self.refused.push((*reason, *count)),
            }
        }
        let window = self.window(packets, bytes, arrivals.at_ms);
        let account = self.incident.packets.get_or_insert_default();
        account.received += packets;
        account.samples_lost += arrivals.lost;
        account.peak_1s_pps = account.peak_1s_pps.max(window.per_1s_pps);
        account.peak_10s_pps = account.peak_10s_pps.max(window.per_10s_pps);
        account.peak_60s_pps = account.peak_60s_pps.max(window.per_60s_pps);
        account.peak_1s_bps = account.peak_1s_bps.max(window.per_1s_bps);
    }

    fn count(&mut self, batch: &PacketBatch, rules: &PacketRules, now_ms: u64) {
        self.count_arrivals(&Arrivals::of(batch, now_ms));
        let matched: u64 = batch.matched.iter().map(|(_, n)| n).sum();
        let account = self.incident.packets.get_or_insert_default();
        match self.incident.mode {
            Mode::Protect => account.dropped += matched,
            Mode::Shadow => account.would_drop += matched,
        }
        // An estimate; no more sent than arrived.
        account.sources = self.sources.estimate().min(account.received);
        account.refused = self.refused.iter().map(|(r, n)| (r.name().to_owned(), *n)).collect();
        account.classes = PacketClass::ALL
            .iter()
            .zip(&self.classes)
            .filter(|(_, n)| **n > 0)
            .map(|(class, n)| (class.words().to_owned(), *n))
            .collect();
        debug_assert!(rules.active().len() <= floodwall_model::limits::PACKET_RULES_MAX);
        self.incident.attack_sources = account.sources;
        self.incident.sources = account.sources;
    }

    fn window(&mut self, packets: u64, bytes: u64, now_ms: u64) -> Means {
        self.rates.push_back((now_ms, packets, bytes));
        while self.rates.front().is_some_and(|(at_ms, ..)| at_ms + 60_000 <= now_ms) {
            self.rates.pop_front();
        }
        let sum = |window_ms: u64| {
            self.rates
                .iter()
                .rev()
                .take_while(|(at_ms, ..)| at_ms + window_ms > now_ms)
                .fold((0u64, 0u64), |(p, b), (_, packets, bytes)| (p + packets, b + bytes))
        };
        let (one, ten, sixty) = (sum(1_000), sum(10_000), sum(60_000));
        Means {
            per_1s_pps: one.0 as f64,
            per_10s_pps: ten.0 as f64 / 10.0,
            per_60s_pps: sixty.0 as f64 / 60.0,
            per_1s_bps: one.1 as f64 * 8.0,
        }
    }

    fn read_rules(&mut self, rules: &PacketRules) {
        let conversations = self.conversations;
        for standing in rules.active() {
            if let Some(record) = self.incident.rule_mut(standing.rule.id) {
                record.matched = standing.matched;
                record.measured = Collateral { hits: standing.honest_hits, records: conversations };
                record.ended_at_ms = None;
                record.ended_why = None;
            }
        }
    }

    fn assess(&mut self, now_ms: u64) {
        self.assessed_ms = now_ms;
        let good = self.good_sources as f64 / self.matched.seen().max(1) as f64;
        let account = self.incident.packets.get_or_insert_default();
        spoofing::assess(self.matched.items(), good, account);
    }

    /// The record as it stands.
    pub fn snapshot(&mut self, now_ms: u64) -> Incident {
        self.assess(now_ms);
        self.incident.clone()
    }
}

/// The record of a rule just placed.
pub fn record_of(rule: &floodwall_model::packet::PacketRule, now_ms: u64) -> RuleRecord {
    RuleRecord {
        id: rule.id,
        words: rule.words.clone(),
        predicates: rule.predicates.clone(),
        action: Action::Block,
        first_at_ms: now_ms,
        ended_at_ms: None,
        ended_why: None,
        returns: 0,
        matched: 0,
        projected: rule.projected,
        measured: Collateral::default(),
        live: Default::default(),
        evidence: rule.evidence.clone(),
    }
}

fn blind_spots(neutral: bool) -> Vec<String> {
    let mut spots = vec![
        "Packets that never reached this host (a full line upstream, a filter in front) are not \
         counted."
            .to_owned(),
        "Source addresses of packets without a handshake are what the packets say; nobody checked \
         them."
            .to_owned(),
    ];
    if neutral {
        spots.push(
            "Too little of this host's own past was known: what is normal was taken from a packaged \
             neutral profile."
                .to_owned(),
        );
    }
    spots
}
