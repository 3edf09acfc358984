//! The step: observations in, effects out. This file is the pipeline's middle read from top to
//! bottom; each arrow is one method and one neighbouring file.
//!
//! It must never read a clock, open a file, start a thread or panic on anything in an observation.

use std::sync::Arc;

use floodwall_model::incident::TimelineKind;
use floodwall_model::{
    Action, Attr, Ban, CheckedPlan, Handling, Incident, IncidentVerdict, Mode, Observation, Rule,
    Stage, ValueKey, ValueName,
};

use crate::account::Account;
use crate::alarm::Alarm;
use crate::baseline::{Baseline, Frozen};
use crate::config::EngineConfig;
use crate::evidence::{Scene, gather};
use crate::limits::PerSource;
use crate::miner::{Rise, Tier, mine};
use crate::names::Names;
use crate::onset::{Finding, Onset};
use crate::pending::{Pending, Trial};
use crate::random::Random;
use crate::recent::{Recent, Sample};
use crate::rules::RuleBook;
use crate::sources::Sources;
use crate::status::{EngineStatus, Occupancy};
use crate::window::{Window, WindowStats};
use crate::{bans, distinct::Distinct};

/// Bans proposed in one step. When more are due: the rest is due again with its next request.
const BANS_PER_STEP_MAX: usize = 2_000;
/// Signatures on trial at once.
const PENDING_MAX: usize = 8;
/// Requests wanted in the window that is mined.
const MINING_WANT: u64 = 500;
/// Longest window mined, ms.
const MINING_WINDOW_MS_MAX: u64 = 10_000;
/// An attack on banned sources goes on while the kernel drops at least this part of its peak.
const KERNEL_ACTIVE_PART: u64 = 4;
/// A frozen past is used again for so long, ms, unless it has grown by a tenth since.
const FROZEN_FRESH_MS: u64 = 60_000;
/// Incidents are handed out for storing at least this often while open, ms.
const ACCOUNT_EVERY_MS: u64 = 5_000;
/// A rise this small, as a multiple of what was expected plus a constant, requests/s, …
const WEAK_RISE_FACTOR: f64 = 2.0;
const WEAK_RISE_RPS: f64 = 10.0;
/// … is taken for normal after so long, ms, if no signature describes it: days begin, news spreads.
const WEAK_RISE_ACCEPT_MS: u64 = 20_000;
/// A rise that grows by this factor while its alarm is open begins anew.
const RENEWED_RISE_FACTOR: f64 = 3.0;
/// A rise without a rule opens an incident after so long, ms, …
const RISE_INCIDENT_MS: u64 = 10_000;
/// … and from this multiple of the expected rate.
const RISE_INCIDENT_FACTOR: f64 = 5.0;

/// What the engine wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Apply this whole plan from now on.
    Publish(Arc<CheckedPlan>),
    /// Ban a source, once the ban has been checked.
    Ban(Ban),
    /// Store this record; it replaces an earlier one with the same id.
    Incident(Box<Incident>),
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    random: Random,
    now_ms: u64,
    epoch_ms: u64,
    started: bool,
    names: Names,
    recent: Recent,
    baseline: Baseline,
    sources: Sources,
    distinct: Distinct,
    per_source: PerSource,
    window: Window,
    stats: WindowStats,
    onset: Onset,
    alarm: Option<Alarm>,
    frozen: Option<(u64, usize, Arc<Frozen>)>,
    book: RuleBook,
    account: Option<Account>,
    next_incident_id: u64,
    stored_ms: u64,
    kernel_drop_ms: Option<u64>,
    kernel_dropped: Option<u64>,
    kernel_peak: u64,
    observations: u64,
    observations_lost: u64,
    bans: u64,
    minings: u64,
}

impl Engine {
    /// An engine that has learned nothing. `_key` is the key under which the observers make ids;
    /// the engine never makes one itself and takes it so that nobody forgets that they must agree.
    pub fn new(config: EngineConfig, _key: ValueKey, seed: u64) -> Engine {
        Engine {
            random: Random::new(seed),
            now_ms: 0,
            epoch_ms: 0,
            started: false,
            names: Names::new(),
            recent: Recent::new(),
            baseline: Baseline::new(),
            sources: Sources::new(config.source_slots),
            distinct: Distinct::default(),
            per_source: PerSource::new(),
            window: Window::new(),
            stats: WindowStats::default(),
            onset: Onset::new(),
            alarm: None,
            frozen: None,
            book: RuleBook::new(config.next_rule_id),
            account: None,
            next_incident_id: config.next_incident_id,
            stored_ms: 0,
            kernel_drop_ms: None,
            kernel_dropped: None,
            kernel_peak: 0,
            observations: 0,
            observations_lost: 0,
            bans: 0,
            minings: 0,
            config,
        }
    }

    /// Takes in texts of values, so that rules can be read.
    pub fn learn_names(&mut self, names: &[ValueName]) {
        self.names.learn(names);
    }

    /// Switches between deciding and acting; takes effect with the next step's plan.
    pub fn set_mode(&mut self, mode: Mode) {
        if self.config.mode != mode {
            self.config.mode = mode;
            self.book.touch();
        }
    }

    /// Tells how many packets the kernel has dropped because of bans since the start. Called about
    /// once a second.
    pub fn kernel_dropped(&mut self, packets: u64) {
        let lately = packets.saturating_sub(self.kernel_dropped.unwrap_or(packets));
        self.kernel_peak = self.kernel_peak.max(lately);
        // Connections that an attack left behind go on repeating themselves for minutes.
        if lately > 0 && lately >= self.kernel_peak / KERNEL_ACTIVE_PART {
            self.kernel_drop_ms = Some(self.now_ms);
        }
        self.kernel_dropped = Some(packets);
    }

    /// Tells how many observations were lost on the way here.
    pub const fn observations_lost(&mut self, lost: u64) {
        self.observations_lost += lost;
    }

    /// Takes in what arrived up to `now_ms` and decides. Time never runs backwards here: an
    /// earlier `now_ms` than before counts as the same moment.
    pub fn step(&mut self, now_ms: u64, observations: &[Observation]) -> Vec<Effect> {
        if !self.started {
            self.started = true;
            self.epoch_ms = now_ms.saturating_sub(100);
            self.now_ms = self.epoch_ms;
        }
        let interval_ms = now_ms.saturating_sub(self.now_ms);
        self.now_ms = self.now_ms.max(now_ms);
        let interval_s = interval_ms as f64 / 1000.0;
        let mut effects = Vec::new();

        if let Some(closed) = self.recent.advance(self.now_ms) {
            self.baseline.admit(closed);
        }
        let arrived = self.measure(observations, &mut effects);
        self.stats = self.window.tick(self.now_ms, arrived);
        let finding = self.onset.tick(&self.stats, interval_s, self.alarm.is_none());
        self.alarm_tick(finding);
        self.search();
        self.judge();
        self.rules_tick(interval_s);
        self.account_tick(&mut effects);
        if self.alarm.is_none() {
            self.baseline.learn(self.now_ms, &self.sources, &mut self.random);
        }
        if let Some(plan) =
            self.book.publish(self.config.mode, self.now_ms, self.config.rule_ttl_ms)
        {
            effects.push(Effect::Publish(Arc::new(plan)));
        }
        effects
    }

    /// Tenths of a second since the engine's epoch, from 1.
    fn now_ds(&self) -> u32 {
        u32::try_from((self.now_ms - self.epoch_ms) / 100 + 1).unwrap_or(u32::MAX)
    }

    /// Observation → WindowStats, samples, per-source facts. Returns how many arrived.
    fn measure(&mut self, observations: &[Observation], effects: &mut Vec<Effect>) -> u64 {
        let now_ds = self.now_ds();
        let quiet = self.alarm.is_none();
        let (mut arrived, mut banned) = (0, 0);
        for observation in observations {
            let (state, finished) = self.sources.observe(observation, now_ds);
            if observation.stage == Stage::Finished {
                // It was let through when it came and met its rule while it waited.
                if let Handling::Blocked(_) = observation.handling {
                    self.book.note(observation.handling, false);
                    if let Some(account) = &mut self.account {
                        account.note_blocked_late(self.now_ms);
                    }
                }
                continue;
            }
            arrived += 1;
            let visitor = state.engaged_as(observation);
            if banned < BANS_PER_STEP_MAX
                && let Some(ban) = bans::due(observation, state, self.now_ms)
            {
                state.note_ban();
                banned += 1;
                effects.push(Effect::Ban(ban));
            }
            if let Some(requests) = finished
                && quiet
            {
                self.per_source.learn(requests);
            }
            self.onset.count(&observation.attrs);
            self.recent.offer(observation, &mut self.random);
            self.distinct.insert(observation.source.key());
            self.book.note(observation.handling, visitor);
            if let Some(account) = &mut self.account {
                account.note(observation);
            }
        }
        self.observations += arrived;
        self.bans += banned as u64;
        if let Some(account) = &mut self.account {
            account.incident_mut().totals.sources_banned += banned as u64;
        }
        arrived
    }

    /// Finding → alarm: opens one at the first sign, closes it when nothing is left of it.
    fn alarm_tick(&mut self, finding: Option<Finding>) {
        let now_ms = self.now_ms;
        let weak = self.weak_rise();
        let hot =
            finding.is_some() || !self.book.active().is_empty() || self.onset.hot(&self.stats);
        let Some(alarm) = &mut self.alarm else {
            // A site just started knows too little to be alarmed by small things, and an alarm
            // would keep it from learning more.
            let young = self.baseline.records() < self.config.baseline_records_min;
            if let Some(finding) = finding
                && !(young && weak)
            {
                let past = self.freeze();
                self.alarm = Some(Alarm::new(finding, past, now_ms));
            }
            return;
        };
        if hot {
            alarm.keep_hot(now_ms);
        }
        if let Some(finding) = finding
            && self.account.is_none()
            && alarm.pending.is_empty()
            && finding.observed_rps > RENEWED_RISE_FACTOR * alarm.finding.observed_rps
        {
            let began_ms = now_ms.saturating_sub(1_000);
            let expected_rps = alarm.finding.expected_rps;
            alarm.finding = Finding { onset_ms: began_ms, expected_rps, ..finding };
        }
        let untouched = self.account.as_ref().is_none_or(|a| a.incident().rules.is_empty())
            && alarm.pending.is_empty();
        let patience_ms = if weak { WEAK_RISE_ACCEPT_MS } else { self.config.accept_rise_ms };
        let accepted = untouched && now_ms >= alarm.opened_ms() + patience_ms;
        let incident_over = self
            .account
            .as_ref()
            .is_none_or(|a| now_ms >= a.last_active_ms() + self.config.incident_close_ms);
        if accepted || (!alarm.hot(now_ms) && incident_over) {
            self.close_alarm(accepted);
        }
    }

    /// Whether what arrives is not far above what is expected.
    fn weak_rise(&self) -> bool {
        let expected_rps = match &self.alarm {
            Some(alarm) => alarm.finding.expected_rps,
            None => self.onset.expected_rps(),
        };
        self.stats.per_10s_rps.max(self.stats.per_1s_rps)
            < expected_rps * WEAK_RISE_FACTOR + WEAK_RISE_RPS
    }

    /// The past to judge by. One that was frozen a minute ago is as good and spares the copying.
    fn freeze(&mut self) -> Arc<Frozen> {
        let records = self.baseline.records();
        if let Some((at_ms, then, frozen)) = &self.frozen {
            let fresh = self.now_ms < at_ms + FROZEN_FRESH_MS;
            let grown = records > then + then / 10;
            if fresh && !grown {
                return Arc::clone(frozen);
            }
        }
        let frozen = Arc::new(self.baseline.freeze(self.random.word()));
        self.frozen = Some((self.now_ms, records, Arc::clone(&frozen)));
        frozen
    }

    fn close_alarm(&mut self, rise_accepted: bool) {
        let Some(alarm) = self.alarm.take() else { return };
        self.book.forget_withdrawn();
        let attacked = self.account.as_ref().is_some_and(|a| !a.incident().rules.is_empty());
        if attacked {
            self.baseline.discard_since(alarm.finding.onset_ms.saturating_sub(1_000));
        }
        if rise_accepted {
            self.onset.settle(&self.stats);
        }
    }

    /// What no rule in force explains, over the newest window that says enough.
    fn unexplained(&self) -> Sample {
        self.recent
            .sample(self.now_ms, MINING_WANT, MINING_WINDOW_MS_MAX)
            .unexplained(|record| self.book.covers(&record.attrs))
    }

    /// Finding → Signature: mines the unexplained rise, puts what it finds on trial.
    fn search(&mut self) {
        let now_ms = self.now_ms;
        let sample = match &self.alarm {
            Some(alarm) if alarm.mining_due(now_ms) => self.unexplained(),
            _ => return,
        };
        let Some(alarm) = &mut self.alarm else { return };
        if alarm.past.records() < self.config.baseline_records_min {
            alarm.refusal = Some("too little past traffic is known to judge by".to_owned());
            alarm.mined(now_ms, false, false);
            return;
        }
        let rise =
            Rise { now: &sample, expected_rps: alarm.finding.expected_rps, past: &alarm.past };
        let heavy = over_limit_share(&sample, &self.sources, self.per_source.limit_per_10s());
        let mut found = mine(&rise, Tier::Block, PENDING_MAX, &mut alarm.memo)
            .into_iter()
            .map(|m| (m, Tier::Block))
            .collect::<Vec<_>>();
        if heavy > 0.3 {
            found.extend(
                mine(&rise, Tier::Throttle, 2, &mut alarm.memo)
                    .into_iter()
                    .map(|m| (m, Tier::Throttle)),
            );
        }
        self.minings += 1;
        let any = !found.is_empty();
        for (mined, tier) in found {
            let known = self.book.has(&mined.signature)
                || alarm
                    .pending
                    .iter()
                    .any(|p| p.tier == tier && p.mined.signature == mined.signature);
            if !known && alarm.pending.len() < PENDING_MAX {
                alarm.pending.push(Pending {
                    mined,
                    tier,
                    since_ms: now_ms,
                    evidence: Vec::new(),
                    rejection: None,
                });
            }
        }
        if !any && alarm.pending.is_empty() {
            alarm.refusal = Some(
                "no description of the rise was found that spares the traffic known from before"
                    .to_owned(),
            );
        }
        alarm.mined(now_ms, any, !self.book.active().is_empty());
    }

    /// Signature → Plan: confirms what is on trial on the next sample, gathers evidence, places.
    fn judge(&mut self) {
        let Some(mut alarm) = self.alarm.take() else { return };
        if !alarm.pending.is_empty() {
            let sample = self.unexplained();
            let mut pending = std::mem::take(&mut alarm.pending);
            pending.retain_mut(|p| !self.decide(p, &mut alarm, &sample));
            alarm.pending = pending;
        }
        self.alarm = Some(alarm);
    }

    /// Tries one signature; true when it is off the list.
    fn decide(&mut self, pending: &mut Pending, alarm: &mut Alarm, sample: &Sample) -> bool {
        let now_ms = self.now_ms;
        let known = &alarm.past.known;
        let per_record = sample.count as f64 / sample.records.len().max(1) as f64;
        let since_s = now_ms.saturating_sub(pending.since_ms).max(1) as f64 / 1000.0;
        let since_s = since_s.min(sample.span_ms as f64 / 1000.0);
        let matched = sample
            .records
            .iter()
            .filter(|r| {
                r.at_ms >= pending.since_ms
                    && pending.mined.signature.matches(&r.attrs, known)
                    // A rule placed a moment ago, perhaps in this very tick.
                    && !self.book.covers(&r.attrs)
            })
            .count() as f64
            * per_record;
        match pending.trial(matched / since_s, now_ms) {
            Trial::Waiting => return false,
            Trial::Failed => return true,
            Trial::Confirmed => {}
        }
        let limit = self.per_source.limit_per_10s();
        let scene = Scene {
            now_ms,
            now_ds: self.now_ds(),
            onset_ms: alarm.finding.onset_ms,
            now: sample,
            recent: &self.recent,
            past: &alarm.past,
            sources: &self.sources,
            expected_rps: alarm.finding.expected_rps,
            per_source_per_10s: limit,
            rise_ms: self
                .window
                .rise(alarm.finding.expected_rps, now_ms)
                .and_then(|rise| rise.took_ms),
            seed: alarm.past.revision,
        };
        pending.evidence = gather(&pending.mined.signature, &scene);
        let (action, projected) = match pending.tier {
            Tier::Block => (Action::Block, pending.mined.projected),
            Tier::Throttle => {
                (Action::Throttle { per_source_per_10s: limit }, self.per_source.over(limit))
            }
        };
        let signature = &pending.mined.signature;
        let rule = Rule {
            id: self.book.next_id(),
            signature: signature.clone(),
            action,
            words: self.names.signature(signature),
            predicates: signature.predicates().iter().map(|p| self.names.predicate(*p)).collect(),
            projected,
            evidence: pending.evidence.clone(),
            placed_at_ms: now_ms,
            expires_at_ms: now_ms + self.config.rule_ttl_ms,
        };
        let normal_rps = pending.mined.projected.share() * alarm.finding.expected_rps;
        match self.book.place(rule, known, normal_rps, now_ms) {
            Ok(()) => {
                self.placed(
                    alarm,
                    matched / since_s / (sample.rate_rps() - alarm.finding.expected_rps),
                );
                true
            }
            Err(why) => {
                alarm.refusal = Some(why.to_string());
                pending.rejection = Some(why);
                false
            }
        }
    }

    /// A rule came into force: the incident opens, if it was not open.
    fn placed(&mut self, alarm: &Alarm, excess_share: f64) {
        self.open_incident(alarm);
        let before = match self.book.active().last() {
            Some(active) => self.reached_before(&active.rule, alarm),
            None => 0,
        };
        if let (Some(account), Some(active)) = (&mut self.account, self.book.active().last()) {
            let found = format!(
                "a signature was found that describes {:.0} % of the rise: {}",
                excess_share.clamp(0.0, 1.0) * 100.0,
                active.rule.words
            );
            account.incident_mut().note(self.now_ms, TimelineKind::SignatureFound, found);
            account.rule_placed(active, self.config.mode, before, self.now_ms);
            self.stored_ms = 0;
        }
    }

    /// Estimates how many requests since onset the rule would have matched.
    fn reached_before(&self, rule: &Rule, alarm: &Alarm) -> u64 {
        let from_ms = alarm.finding.onset_ms.saturating_sub(500);
        self.recent
            .between(from_ms, self.now_ms)
            .map(|epoch| {
                let matched = epoch
                    .records()
                    .iter()
                    .filter(|r| r.passed && rule.signature.matches(&r.attrs, &alarm.past.known))
                    .count() as u64;
                matched * epoch.count() / (epoch.records().len() as u64).max(1)
            })
            .sum()
    }

    fn open_incident(&mut self, alarm: &Alarm) {
        if self.account.is_some() {
            return;
        }
        let finding = &alarm.finding;
        // The alarm may have been opened by something small before; the account begins with what
        // it is about.
        let rise = self.window.rise(finding.expected_rps, self.now_ms);
        let onset_ms = rise.map_or(finding.onset_ms, |r| r.began_ms).max(finding.onset_ms);
        let mut incident = Incident {
            id: self.next_incident_id,
            mode: self.config.mode,
            onset_at_ms: onset_ms,
            opened_at_ms: self.now_ms,
            expected_rps: finding.expected_rps,
            baseline_records: alarm.past.records() as u64,
            baseline_span_s: alarm.past.span_s,
            blind_spots: blind_spots(self.kernel_dropped.is_some()),
            ..Incident::default()
        };
        self.next_incident_id += 1;
        let first = format!(
            "the rate left what is expected ({1:.1} requests/s); it is {0:.0} requests/s by now",
            self.stats.per_1s_rps, finding.expected_rps
        );
        incident.note(onset_ms, TimelineKind::Onset, first);
        incident.note(self.now_ms, TimelineKind::Opened, "incident opened".to_owned());
        incident.top_paths = self.top_paths();
        self.account = Some(Account::open(incident, self.now_ms));
        self.stored_ms = 0;
    }

    fn top_paths(&self) -> Vec<floodwall_model::incident::Counted> {
        let sample = self.unexplained();
        let mut counts = std::collections::HashMap::new();
        for record in &sample.records {
            *counts.entry(record.attrs[Attr::PathTemplate]).or_insert(0u32) += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let all = sample.records.len().max(1) as f64;
        counts
            .into_iter()
            .take(10)
            .map(|(id, count)| floodwall_model::incident::Counted {
                name: self.names.text(Attr::PathTemplate, id),
                share: f64::from(count) / all,
            })
            .collect()
    }

    /// Whether the kernel still drops what banned sources send.
    fn kernel_active(&self) -> bool {
        self.bans > 0 && self.kernel_drop_ms.is_some_and(|at_ms| self.now_ms < at_ms + 2_500)
    }

    /// Renews, expires and withdraws rules.
    fn rules_tick(&mut self, interval_s: f64) {
        let now_ms = self.now_ms;
        let kernel_active = self.kernel_active();
        if let Some(account) = &mut self.account {
            account.read_rules(&self.book);
        }
        let ended = self.book.tick(now_ms, interval_s, self.config.rule_ttl_ms, kernel_active);
        for rule in ended {
            if let Some(account) = &mut self.account {
                account.rule_ended(rule.id, rule.why, now_ms);
                self.stored_ms = 0;
            }
        }
    }

    /// Keeps the incident: opens one for a long rise without a rule, closes it when it is over.
    fn account_tick(&mut self, effects: &mut Vec<Effect>) {
        let now_ms = self.now_ms;
        self.open_for_rise();
        let in_force = !self.book.active().is_empty();
        let goes_on = self.book.matching() || self.kernel_active();
        let hot = self.onset.sustained(&self.stats);
        let Some(account) = &mut self.account else { return };
        // Once an attack has been named, a crowd that comes after it does not prolong it.
        let unnamed = account.incident().rules.is_empty();
        account.tick(&self.stats, goes_on || (unnamed && hot));
        let incident = account.incident_mut();
        incident.totals.kernel_dropped_packets = self.kernel_dropped;
        incident.totals.observations_lost = self.observations_lost;
        let over = !in_force && now_ms >= account.last_active_ms() + self.config.incident_close_ms;
        if over || self.alarm.is_none() {
            let incident = account.incident_mut();
            incident.note(now_ms, TimelineKind::Closed, "incident closed".to_owned());
            incident.closed_at_ms = Some(now_ms);
            effects.push(Effect::Incident(Box::new(account.snapshot(now_ms))));
            self.account = None;
        } else if now_ms >= self.stored_ms + ACCOUNT_EVERY_MS {
            self.stored_ms = now_ms;
            effects.push(Effect::Incident(Box::new(account.snapshot(now_ms))));
        }
    }

    /// A rise that lasts and that nothing was placed against is worth an account too: afterwards
    /// somebody will ask whether it was an attack.
    fn open_for_rise(&mut self) {
        let Some(alarm) = self.alarm.take() else { return };
        let lasts = self.now_ms >= alarm.opened_ms() + RISE_INCIDENT_MS && alarm.hot(self.now_ms);
        let large =
            self.stats.per_10s_rps > alarm.finding.expected_rps * RISE_INCIDENT_FACTOR + 10.0;
        if self.account.is_none() && lasts && large {
            self.open_incident(&alarm);
            self.note_nothing_placed(&alarm);
        }
        self.alarm = Some(alarm);
    }

    fn note_nothing_placed(&mut self, alarm: &Alarm) {
        let now_ms = self.now_ms;
        let evidence = self.crowd_view(alarm);
        let crowd = is_crowd(&evidence);
        let Some(account) = &mut self.account else { return };
        let incident = account.incident_mut();
        let why = alarm.refusal.as_deref().unwrap_or("the evidence is not complete");
        incident.note(now_ms, TimelineKind::NothingPlaced, format!("no rule placed: {why}"));
        if crowd {
            incident.verdict = IncidentVerdict::Crowd;
        }
        incident.evidence = evidence;
    }

    /// Evidence about the rise as a whole, for the account only.
    fn crowd_view(&self, alarm: &Alarm) -> Vec<floodwall_model::Evidence> {
        let sample = self.unexplained();
        let scene = Scene {
            now_ms: self.now_ms,
            now_ds: self.now_ds(),
            onset_ms: alarm.finding.onset_ms,
            now: &sample,
            recent: &self.recent,
            past: &alarm.past,
            sources: &self.sources,
            expected_rps: alarm.finding.expected_rps,
            per_source_per_10s: self.per_source.limit_per_10s(),
            rise_ms: None,
            seed: alarm.past.revision,
        };
        crate::evidence::gather_overall(&scene)
    }

    /// Closes what is open as if the incident's time had run out: the recording is over.
    pub fn finish(&mut self) -> Vec<Effect> {
        let Some(mut account) = self.account.take() else { return Vec::new() };
        account.read_rules(&self.book);
        let note = "the record ends here; whether the incident went on is not known";
        account.incident_mut().note(self.now_ms, TimelineKind::Note, note.to_owned());
        vec![Effect::Incident(Box::new(account.snapshot(self.now_ms)))]
    }

    /// How the engine stands.
    pub fn status(&self) -> EngineStatus {
        let table = |name, (used, max, lost): (usize, usize, u64)| Occupancy {
            name,
            used: used as u64,
            max: max as u64,
            displaced: lost,
        };
        let (names_used, names_max) = self.names.occupancy();
        EngineStatus {
            mode: self.config.mode,
            now_ms: self.now_ms,
            per_1s_rps: self.stats.per_1s_rps,
            per_10s_rps: self.stats.per_10s_rps,
            expected_rps: self.onset.expected_rps(),
            alarm_above_rps: self.onset.upper_rps(),
            observations: self.observations,
            observations_lost: self.observations_lost,
            sources: self.distinct.estimate(),
            baseline_records: self.baseline.records() as u64,
            baseline_records_min: self.config.baseline_records_min as u64,
            baseline_span_s: self.baseline.span_s(),
            alarmed_since_ms: self.alarm.as_ref().map(Alarm::opened_ms),
            nothing_placed_because: self.alarm.as_ref().and_then(|a| a.refusal.clone()),
            rules: self.book.active().iter().map(|a| (a.rule.clone(), a.matched)).collect(),
            incident: self.account.as_ref().map(|a| a.incident().id),
            bans_proposed: self.bans,
            minings: self.minings,
            tables: vec![
                table("sources", self.sources.occupancy()),
                table("attribute values", self.onset.occupancy()),
                table("quarantine", self.baseline.occupancy()),
                table("value texts", (names_used, names_max, 0)),
            ],
        }
    }
}

/// Share of a sample sent by sources above the per-source limit.
fn over_limit_share(sample: &Sample, sources: &Sources, limit_per_10s: u32) -> f64 {
    let over = sample
        .records
        .iter()
        .filter(|r| sources.find(r.source).is_some_and(|s| s.window_count() > limit_per_10s))
        .count();
    over as f64 / sample.records.len().max(1) as f64
}

/// Whether the evidence makes a rise a crowd: the same software as always, behaving as always.
fn is_crowd(evidence: &[floodwall_model::Evidence]) -> bool {
    use floodwall_model::Family;
    let of = |family| evidence.iter().find(|e| e.family == family).map(|e| e.log_odds);
    of(Family::Implementation).is_some_and(|l| l <= -2.0)
        && of(Family::Behaviour).is_some_and(|l| l <= -1.0)
}

fn blind_spots(kernel_filter: bool) -> Vec<String> {
    let mut spots = vec![
        "Requests that never reached this host (a full line upstream, a filter in front) are not \
         counted."
            .to_owned(),
        "Visitors who were refused and had not behaved like visitors before cannot be told from \
         attackers; the measured collateral does not include them."
            .to_owned(),
        "Nothing here observes what leaves the host by other ways than through Floodwall."
            .to_owned(),
        "Sources are addresses, not people: several visitors may share one, and one attacker may \
         use many."
            .to_owned(),
    ];
    if kernel_filter {
        spots.push(
            "Packets that the kernel filter dropped were counted as packets; how many requests \
             they would have become is not known."
                .to_owned(),
        );
    }
    spots
}
