//! The step: observations in, effects out. This file is the pipeline's middle read from top to
//! bottom; each arrow is one method and one neighbouring file.
//!
//! It must never read a clock, open a file, start a thread or panic on anything in an observation.

mod advice;
mod backups;
mod dear;
mod ladder;
mod ledger;
mod ready;
mod recall;
mod search;
mod standing;

use std::sync::Arc;

use floodwall_model::{
    Ban, CheckedPlan, Event, Handling, Holdback, Incident, Mode, Observation, RequestKind, Stage,
    ValueKey, ValueName,
};

use crate::account::Account;
use crate::alarm::Alarm;
use crate::amounts::Amount;
use crate::baseline::{Baseline, Frozen};
use crate::calendar::Calendar;
use crate::config::EngineConfig;
use crate::costs::Costs;
use crate::ending::Ending;
use crate::goodput::Goodput;
use crate::health::Sight;
use crate::limits::PerSource;
use crate::names::Names;
use crate::onset::{Finding, Onset};
use crate::random::Random;
use crate::recent::Recent;
use crate::rules::{RuleBook, Surroundings};
use crate::shed::{Shed, Shedding};
use crate::sources::Sources;
use crate::stress::Stress;
use crate::window::{Window, WindowStats};
use crate::{bans, distinct::Distinct};

/// Bans proposed in one step. When more are due: the rest is due again with its next request.
const BANS_PER_STEP_MAX: usize = 2_000;
/// An attack on banned sources goes on while the kernel drops at least this part of its peak.
const KERNEL_ACTIVE_PART: u64 = 4;
/// The kernel's counts are told about once in so long, ms.
const KERNEL_TOLD_MS: u64 = 1_000;
/// An attack on banned sources is over when it was not told of for so long, ms.
const KERNEL_ACTIVE_MS: u64 = 2_500 + KERNEL_TOLD_MS;
/// A frozen past is used again for so long, ms, unless it has grown by a tenth since.
const FROZEN_FRESH_MS: u64 = 60_000;
/// A rise this small, as a multiple of what was expected plus a constant, requests/s, …
const WEAK_RISE_FACTOR: f64 = 2.0;
const WEAK_RISE_RPS: f64 = 10.0;
/// … is taken for normal after so long, ms, if no signature describes it: days begin, news spreads.
const WEAK_RISE_ACCEPT_MS: u64 = 20_000;
/// A rise that shows in the origin's work alone is given longer, ms: two of the minutes that it
/// takes to see a few requests a second.
const DEAR_RISE_ACCEPT_MS: u64 = 120_000;
/// A rise that grows by this factor while its alarm is open begins anew.
const RENEWED_RISE_FACTOR: f64 = 3.0;

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
    key: ValueKey,
    random: Random,
    holdback: Holdback,
    goodput: Goodput,
    stress: Stress,
    /// The origin was not calm at some moment of the open alarm.
    suffered: bool,
    now_ms: u64,
    epoch_ms: u64,
    started: bool,
    names: Names,
    calendar: Calendar,
    recent: Recent,
    /// What no page asked for, of the last minute.
    slow: Recent,
    costs: Costs,
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
    /// The last attack's account, while its next wave would belong to it.
    closed: Option<Account>,
    /// The record of a rise that became a wave of it.
    superseded: Option<Box<Incident>>,
    next_incident_id: u64,
    stored_ms: u64,
    kernel_drop_ms: Option<u64>,
    kernel_dropped: Option<u64>,
    kernel_peak: u64,
    observations: u64,
    observations_lost: u64,
    bans: u64,
    minings: u64,
    mined_ms: u64,
    alarms: u64,
    incidents: u64,
    sight: Sight,
    shedding: Shedding,
}

impl Engine {
    /// An engine that has learned nothing. `key` is the key under which the observers make ids; the
    /// engine gives sources their pseudonyms with it and chooses by it whom rules let through for a
    /// trial; it never makes an id of a value itself.
    pub fn new(config: EngineConfig, key: ValueKey, seed: u64) -> Engine {
        Engine {
            random: Random::new(seed),
            holdback: Holdback::new(key),
            goodput: Goodput::default(),
            stress: Stress::Calm,
            suffered: false,
            now_ms: 0,
            epoch_ms: 0,
            started: false,
            names: Names::new(),
            calendar: Calendar::default(),
            recent: Recent::new(),
            slow: Recent::slow(),
            costs: Costs::new(),
            baseline: Baseline::keyed(key),
            key,
            sources: Sources::new(config.source_slots),
            distinct: Distinct::default(),
            per_source: PerSource::new(),
            window: Window::new(),
            stats: WindowStats::default(),
            onset: Onset::new(),
            alarm: None,
            frozen: None,
            book: RuleBook::new(config.rule_ids),
            account: None,
            closed: None,
            superseded: None,
            next_incident_id: config.next_incident_id,
            stored_ms: 0,
            kernel_drop_ms: None,
            kernel_dropped: None,
            kernel_peak: 0,
            observations: 0,
            observations_lost: 0,
            bans: 0,
            minings: 0,
            mined_ms: 0,
            alarms: 0,
            incidents: 0,
            sight: Sight::default(),
            shedding: Shedding::default(),
            config,
        }
    }

    /// Takes in texts of values, so that rules can be read.
    pub fn learn_names(&mut self, names: &[ValueName]) {
        self.calendar.learn(names);
        if !self.shedding.give_up(Shed::Names, names.len() as u64) {
            self.names.learn(names);
        }
    }

    /// Takes these events for those declared, instead of any before.
    pub fn declare(&mut self, events: Vec<Event>) {
        self.calendar = Calendar::new(events, &self.names);
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
            // It was told now and happened in the second before.
            self.kernel_drop_ms = Some(self.now_ms.saturating_sub(KERNEL_TOLD_MS));
        }
        self.kernel_dropped = Some(packets);
    }

    /// Tells how the site behind is doing. Called about once a second.
    pub fn origin_stress(&mut self, stress: Stress) {
        if stress == Stress::Critical || self.stress == Stress::Critical {
            self.book.touch();
        }
        self.stress = stress;
        self.suffered |= stress > Stress::Calm;
    }

    /// Tells how many observations were lost on the way here.
    pub const fn observations_lost(&mut self, lost: u64) {
        self.observations_lost += lost;
        self.sight.lost(lost);
    }

    /// Tells how long the last step took. Where steps take too long, something is given up, see
    /// [`Shed`].
    pub fn step_took(&mut self, took_ms: u64) {
        self.shedding.step_took(self.now_ms, took_ms);
    }

    /// Searches for signatures since the start.
    pub const fn minings(&self) -> u64 {
        self.minings
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
        self.slow.advance(self.now_ms);
        let (arrived, unprompted) = self.measure(observations, &mut effects);
        self.stats = self.window.tick(self.now_ms, arrived, unprompted);
        self.goodput.tick(interval_s, self.alarm.is_none());
        let finding = self.onset.tick(&self.stats, interval_s, self.alarm.is_none());
        self.alarm_tick(finding);
        self.rearm(arrived, interval_s);
        self.search();
        self.search_dear();
        self.judge();
        self.find_backup();
        self.rules_tick(interval_s);
        self.account_tick(&mut effects);
        if self.alarm.is_none() && !self.shedding.give_up(Shed::Learning, 1) {
            self.baseline.learn(self.now_ms, &self.sources, &mut self.random);
        }
        // Beyond its limit the origin gets nothing that could be kept from it.
        let holdback = (self.stress < Stress::Critical).then_some(self.holdback);
        let (mode, ttl_ms) = (self.config.mode, self.config.rule_ttl_ms);
        if let Some(plan) = self.book.publish(mode, holdback, self.now_ms, ttl_ms) {
            effects.push(Effect::Publish(Arc::new(plan)));
        }
        effects
    }

    /// Tenths of a second since the engine's epoch, from 1.
    fn now_ds(&self) -> u32 {
        u32::try_from((self.now_ms - self.epoch_ms) / 100 + 1).unwrap_or(u32::MAX)
    }

    /// Observation → WindowStats, samples, per-source facts. Returns how many arrived, and how many
    /// of them no page had asked for.
    fn measure(&mut self, observations: &[Observation], effects: &mut Vec<Effect>) -> (u64, u64) {
        let now_ds = self.now_ds();
        let quiet = self.alarm.is_none();
        let (mut arrived, mut unprompted, mut banned) = (0, 0, 0);
        let mut oldest_ms = None;
        for observation in observations {
            oldest_ms =
                Some(oldest_ms.map_or(observation.at_ms, |ms: u64| ms.min(observation.at_ms)));
            self.answered(observation);
            let (state, finished) = self.sources.observe(observation, now_ds);
            if observation.stage == Stage::Finished {
                // It was let through when it came and met its rule while it waited.
                if let Handling::Blocked(_) = observation.handling {
                    if let Some(id) = observation.handling.rule() {
                        self.book.note_late(id);
                    }
                    if let Some(account) = &mut self.account {
                        account.note_blocked_late(self.now_ms);
                    }
                }
                continue;
            }
            arrived += 1;
            let visitor = state.engaged_as(observation);
            let prompted = state.prompted();
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
            if !prompted {
                unprompted += 1;
                let refused = matches!(observation.handling, Handling::Blocked(_));
                if !(refused && self.shedding.give_up(Shed::Refused, 1)) {
                    self.onset.count(&observation.attrs);
                }
                if observation.handling.passed() {
                    let cost_ms = self.costs.usual_ms(&observation.attrs);
                    self.onset.amounts.count(Amount::Cost, cost_ms);
                }
                self.slow.offer(observation, prompted, &mut self.random);
            }
            self.recent.offer(observation, prompted, &mut self.random);
            self.distinct.insert(observation.source.key());
            self.book.note(observation, visitor, now_ds);
            if visitor && observation.handling.passed() {
                self.goodput.count();
            }
            if let Some(account) = &mut self.account {
                account.note(observation);
            }
        }
        self.observations += arrived;
        self.sight.step(self.now_ms, arrived, oldest_ms);
        self.bans += banned as u64;
        if let Some(account) = &mut self.account {
            account.incident_mut().totals.sources_banned += banned as u64;
        }
        (arrived, unprompted)
    }

    /// What came of a request that was passed on: what its route costs, whether it failed, whether
    /// there was nothing to be had.
    fn answered(&mut self, observation: &Observation) {
        let Some(outcome) = observation.outcome.filter(|_| observation.handling.passed()) else {
            return;
        };
        match outcome.status {
            500..=599 => self.onset.amounts.count(Amount::Failed, 1.0),
            404 | 410 if observation.kind != RequestKind::Asset => {
                self.onset.amounts.count(Amount::Missing, 1.0);
            }
            _ => {}
        }
        let peace = self.alarm.is_none() && self.stress == Stress::Calm;
        if let (true, Some(origin_ms)) = (peace, outcome.origin_ms) {
            self.costs.learn(&observation.attrs, origin_ms, self.now_ds() / 10);
        }
    }

    /// Finding → alarm: opens one at the first sign, closes it when nothing is left of it.
    fn alarm_tick(&mut self, finding: Option<Finding>) {
        let now_ms = self.now_ms;
        let (weak, dear) = (self.weak_rise(), self.dear());
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
                self.alarms += 1;
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
            let Finding { expected_rps, expected_unprompted_rps, .. } = alarm.finding;
            alarm.finding =
                Finding { onset_ms: began_ms, expected_rps, expected_unprompted_rps, ..finding };
        }
        let untouched = self.account.as_ref().is_none_or(|a| a.incident().rules.is_empty())
            && alarm.pending.is_empty();
        let patience_ms = match (weak, dear) {
            (_, true) => DEAR_RISE_ACCEPT_MS,
            (true, false) => WEAK_RISE_ACCEPT_MS,
            (false, false) => self.config.accept_rise_ms,
        };
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
        self.suffered = self.stress > Stress::Calm;
        let attacked = self.account.as_ref().is_some_and(|a| !a.incident().rules.is_empty());
        if attacked {
            self.baseline.discard_since(alarm.finding.onset_ms.saturating_sub(1_000));
        }
        if !attacked {
            self.onset.false_alarm(alarm.finding.channel);
        }
        if rise_accepted {
            self.onset.settle(&self.stats);
        }
    }

    /// When the kernel last dropped much of what banned sources send, if it still does.
    fn kernel_active_ms(&self) -> Option<u64> {
        let lately = |at_ms: &u64| self.bans > 0 && self.now_ms < at_ms + KERNEL_ACTIVE_MS;
        self.kernel_drop_ms.filter(lately)
    }

    /// Whether the kernel still drops what banned sources send.
    fn kernel_active(&self) -> bool {
        self.kernel_active_ms().is_some()
    }

    /// Renews, expires and withdraws rules.
    fn rules_tick(&mut self, interval_s: f64) {
        let now_ms = self.now_ms;
        if let Some(account) = &mut self.account {
            account.read_rules(&self.book);
        }
        self.book.judge_trials(&self.sources, self.now_ds());
        let around = self.surroundings(interval_s);
        let ended = self.book.tick(&around);
        let last = !ended.is_empty() && self.book.active().is_empty();
        if let (true, Some(at_ms), Some(account)) =
            (last, self.book.matched_at_ms(), &mut self.account)
        {
            account.wave_ended(at_ms);
        }
        for ended in ended {
            if let Some(account) = &mut self.account {
                account.rule_ended(&ended.active, ended.why, now_ms);
                self.stored_ms = 0;
            }
            if !ended.why.may_return()
                && let Some(alarm) = &mut self.alarm
            {
                alarm.want_no_backups();
            }
            if let Ending::Demoted(_) = ended.why {
                self.demote(&ended.active);
            }
        }
    }

    fn surroundings(&self, interval_s: f64) -> Surroundings {
        let alarm = self.alarm.as_ref();
        let expected_rps = alarm.map_or(self.onset.expected_rps(), |a| a.finding.expected_rps);
        // Visitors who cannot reach a site that suffers are not a rule's doing.
        let visitors = self.goodput.forecast().filter(|_| !self.suffered);
        Surroundings {
            now_ms: self.now_ms,
            interval_s,
            ttl_ms: self.config.rule_ttl_ms,
            kernel_active_ms: self.kernel_active_ms(),
            expected_rps,
            excess_rps: (self.stats.per_10s_rps - expected_rps).max(0.0),
            normal_behaving: alarm.map_or(0.0, |a| a.normal_behaving),
            visitors,
            visitors_fall_short: visitors.is_some() && self.goodput.falls_short(),
        }
    }
}
