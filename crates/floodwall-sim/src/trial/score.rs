//! What came of a trial, in measures that cannot flatter: never a share of rows classed rightly.
//!
//! Harm is counted in requests and page views of those who were harmed, by group; success in
//! requests of the attack that still arrived, counted from the first rule that stops any of it
//! ([`Vectors`]: each vector for itself).
//! Harm counts from the end of the past on, so that a long quiet past does not thin it out; what
//! was refused in the past counts as well.

use std::collections::HashMap;

use floodwall_engine::Engine;
use floodwall_model::{Action, CheckedPlan, Incident, IncidentVerdict, RuleId};

use super::gate::Fate;
use super::tally::{Groups, Part, Views};
use super::vectors::{Before, Stopper, Vectors};
use super::view::cost_ms;
use crate::address::AddressPool;
use crate::request::{Label, Planned};
use crate::scene::Moments;

/// Reasons for placing nothing that are kept. Later ones are left out.
const REASONS_MAX: usize = 40;
/// Waves that are timed. Later ones are not.
const WAVES_MAX: usize = 10_000;
/// Of so many requests of a wave, the last ones, …
const WAVE_LAST: u32 = 50;
/// … so many must be refused for the wave to count as stopped.
const WAVE_REFUSED: u32 = 40;
/// Who waits longer than this has gone, ms.
const IN_TIME_MS: u64 = 3_000;
/// Share of a second's requests that must be refused for the attack to count as suppressed.
const SUPPRESSED: f64 = 0.9;

/// One rule, from the first plan that had it to the first that did not.
#[derive(Clone, Debug)]
pub struct RuleLife {
    /// Its number.
    pub id: RuleId,
    /// Whether it blocks.
    pub blocks: bool,
    /// Its action and signature in words.
    pub words: String,
    /// When it came into force, ms after the beginning.
    pub placed_ms: u64,
    /// When it was gone, ms after the beginning.
    pub ended_ms: Option<u64>,
    /// Share of honest requests it was expected to hit, and the upper bound of that.
    pub projected: (f64, f64),
    /// Honest requests while it was in force, the crowd's among them, and those it refused.
    pub realised: Part,
    /// Requests of the attack that it refused.
    pub attack: u64,
    honest_before: u64,
    attack_before: Before,
}

/// One pulse, or what followed one change of technique.
#[derive(Clone, Debug)]
pub struct Wave {
    /// Its number within its stream.
    pub number: u32,
    /// First request, ms after the beginning.
    pub first_ms: u64,
    /// First refusal, ms after the beginning.
    pub refused_ms: Option<u64>,
    /// Most of its last requests were refused, ms after the beginning.
    pub stopped_ms: Option<u64>,
    /// Requests.
    pub requests: u32,
    last: u64,
}

/// What came of a trial. Times are ms after its beginning.
#[derive(Debug, Default)]
pub struct Score {
    /// When what happened.
    pub moments: Moments,
    /// Requests/s of the site, as drawn.
    pub site_rps: f64,
    /// First rule in force.
    pub first_rule_ms: Option<u64>,
    /// Rules that ever were in force, in words, with their action.
    pub rules: Vec<String>,
    /// How many of them block.
    pub block_rules: usize,
    /// Block rules that refused more welcome requests than unwelcome ones, or that came when nobody
    /// attacked.
    pub false_blocks: usize,
    /// Their lives.
    pub lives: Vec<RuleLife>,
    /// Requests in all, by label: (let through, refused).
    pub all: HashMap<Label, (u64, u64)>,
    /// Requests since the past ended and those refused at any time, of everyday visitors.
    pub honest: Part,
    /// The same of the crowd.
    pub crowd: Part,
    /// The same by group, both together.
    pub groups: Groups,
    /// Page views since the past ended.
    pub views: Views,
    /// Welcome requests since the past ended, and those answered within three seconds.
    pub goodput: Part,
    /// Requests of the attack, and those that a limit per source refused.
    pub throttled: Part,
    /// Seconds in which the origin was at its limit or beyond.
    pub stressed_s: u64,
    /// Pulses and changes.
    pub waves: Vec<Wave>,
    /// From a vector's first request to the first rule that stops some of it, ms: the slowest of
    /// the attack's vectors. `None` if one of them never got a rule.
    pub rule_after_ms: Option<u64>,
    /// From the attack's first request to the end of the first second of which nine tenths were
    /// refused, ms.
    pub suppressed_after_ms: Option<u64>,
    /// From the attack's end until no rule is in force, ms.
    pub withdrawn_after_ms: Option<u64>,
    /// Bans proposed.
    pub bans: u64,
    /// Honest requests that a ban kept away.
    pub honest_banned: u64,
    /// Records of incidents by number, the last state of each.
    pub incidents: HashMap<u64, Incident>,
    /// Why nothing was placed, whenever that changed.
    pub refusals: Vec<(u64, String)>,
    /// Openings of alarms.
    pub alarms: u64,
    /// Effects this trial does not know how to carry out.
    pub effects_unknown: u64,
    /// Requests in all.
    pub requests: u64,
    victims: Option<AddressPool>,
    vectors: Vectors,
    onset_ms: Option<u64>,
    second: (u64, Part),
    by_rule: HashMap<RuleId, usize>,
    by_wave: HashMap<(usize, u32), usize>,
    in_force: usize,
    empty_since_ms: u64,
    alarmed_since_ms: Option<u64>,
}

impl Score {
    pub(super) fn new(moments: Moments, victims: Option<AddressPool>, site_rps: f64) -> Self {
        Score { moments, victims, site_rps, ..Score::default() }
    }

    /// Share of a label's requests that were refused.
    pub fn refused_share(&self, label: Label) -> f64 {
        let (refused, all) = self.refused(label);
        refused as f64 / all.max(1) as f64
    }

    /// Refused and received requests of a label.
    pub fn refused(&self, label: Label) -> (u64, u64) {
        self.all.get(&label).map_or((0, 0), |(passed, refused)| (*refused, passed + refused))
    }

    /// Share of the attack let through, of each vector after the first rule that stops some of it;
    /// of one without such a rule: all.
    pub fn leakage(&self) -> f64 {
        self.vectors.leakage()
    }

    /// The same, each request weighted by what it costs the origin.
    pub fn cost_leakage(&self) -> f64 {
        self.vectors.cost_leakage()
    }

    /// What the record of the last incident says it was.
    pub fn verdict(&self) -> Option<IncidentVerdict> {
        let last = self.incidents.values().max_by_key(|incident| incident.id)?;
        Some(last.verdict)
    }

    /// Days that the trial lasted.
    pub fn days(&self) -> f64 {
        self.moments.end_ms as f64 / crate::rhythm::DAY_MS
    }

    /// From each later wave's first request to its first refusal, ms; `None`: never refused.
    pub fn rearmed_ms(&self) -> impl Iterator<Item = Option<u64>> {
        let later = self.waves.iter().filter(|wave| wave.number > 0 && wave.requests >= 10);
        later.map(|wave| Some(wave.refused_ms? - wave.first_ms))
    }

    /// From each change of technique until most of what follows is refused, ms; `None`: never.
    pub fn stopped_again_ms(&self) -> impl Iterator<Item = Option<u64>> {
        let later = self.waves.iter().filter(|w| w.number > 0 && w.requests >= WAVE_LAST);
        later.map(|wave| Some(wave.stopped_ms? - wave.first_ms))
    }

    pub(super) fn count(&mut self, stream: usize, planned: &Planned, fate: Fate) {
        let refused = !fate.passed();
        self.requests += 1;
        let entry = self.all.entry(planned.label).or_default();
        if refused {
            entry.1 += 1
        } else {
            entry.0 += 1
        }
        match planned.label {
            Label::Attack => self.count_attack(stream, planned, fate),
            Label::Honest | Label::Crowd => self.count_welcome(stream, planned, fate),
        }
    }

    /// Notes after how long a request was answered well, ms; `None`: never.
    pub(super) fn answered(&mut self, planned: &Planned, after_ms: Option<u64>) {
        if planned.label != Label::Attack && planned.at_ms >= self.moments.past_ends_ms {
            self.goodput.add(after_ms.is_some_and(|ms| ms <= IN_TIME_MS));
        }
    }

    fn count_welcome(&mut self, stream: usize, planned: &Planned, fate: Fate) {
        let refused = !fate.passed();
        if let Some(at) = fate.rule().and_then(|id| self.by_rule.get(&id)) {
            self.lives[*at].realised.hit += 1;
        }
        self.honest_banned += u64::from(fate == Fate::Banned);
        if planned.at_ms < self.moments.past_ends_ms && !refused {
            return;
        }
        let victim = self.victims.as_ref().is_some_and(|pool| pool.contains(planned.source));
        self.groups.count(&planned.who, victim, refused);
        let crowd = planned.label == Label::Crowd;
        if crowd {
            self.crowd.add(refused)
        } else {
            self.honest.add(refused)
        }
        self.views.count(stream, planned, refused);
    }

    fn count_attack(&mut self, stream: usize, planned: &Planned, fate: Fate) {
        let (refused, cost) = (!fate.passed(), u64::from(cost_ms(planned)));
        self.time_wave(stream, planned, refused);
        if let Some(at) = fate.rule().and_then(|id| self.by_rule.get(&id)) {
            self.lives[*at].attack += 1;
        }
        if self.moments.attack_ms.is_some_and(|from_ms| planned.at_ms < from_ms) {
            return;
        }
        self.throttled.add(matches!(fate, Fate::Throttled(_)));
        let onset_ms = *self.onset_ms.get_or_insert(planned.at_ms);
        let by_rule = fate.rule().and_then(|id| self.by_rule.get(&id)).map(|at| &self.lives[*at]);
        let stopper = by_rule.map(|r| Stopper { placed_ms: r.placed_ms, before: &r.attack_before });
        self.vectors.count((stream, planned.at_ms, cost), refused, stopper);
        let second = (planned.at_ms - onset_ms) / 1_000;
        if second != self.second.0 {
            self.end_second();
            self.second = (second, Part::default());
        }
        self.second.1.add(refused);
    }

    fn end_second(&mut self) {
        let (second, part) = self.second;
        if self.suppressed_after_ms.is_none() && part.all > 0 && part.share() >= SUPPRESSED {
            self.suppressed_after_ms = Some((second + 1) * 1_000);
        }
    }

    fn time_wave(&mut self, stream: usize, planned: &Planned, refused: bool) {
        let key = (stream, planned.wave);
        let at = match self.by_wave.get(&key) {
            Some(at) => *at,
            None if self.waves.len() >= WAVES_MAX => return,
            None => {
                self.by_wave.insert(key, self.waves.len());
                self.waves.push(Wave {
                    number: planned.wave,
                    first_ms: planned.at_ms,
                    refused_ms: None,
                    stopped_ms: None,
                    requests: 0,
                    last: 0,
                });
                self.waves.len() - 1
            }
        };
        let wave = &mut self.waves[at];
        wave.requests = wave.requests.saturating_add(1);
        wave.last = (wave.last << 1 | u64::from(refused)) & ((1 << WAVE_LAST) - 1);
        if refused {
            wave.refused_ms.get_or_insert(planned.at_ms);
            if wave.last.count_ones() >= WAVE_REFUSED {
                wave.stopped_ms.get_or_insert(planned.at_ms);
            }
        }
    }

    /// Welcome requests so far.
    fn welcome(&self) -> u64 {
        let of = |label| self.all.get(&label).map_or(0, |(passed, refused)| passed + refused);
        of(Label::Honest) + of(Label::Crowd)
    }

    pub(super) fn plan_changed(&mut self, plan: &CheckedPlan, now_ms: u64) {
        let (welcome, attack) = (self.welcome(), self.vectors.so_far());
        for life in self.lives.iter_mut().filter(|life| life.ended_ms.is_none()) {
            if !plan.rules().iter().any(|rule| rule.id == life.id) {
                life.ended_ms = Some(now_ms);
                life.realised.all = welcome - life.honest_before;
            }
        }
        for rule in plan.rules() {
            if self.by_rule.contains_key(&rule.id) {
                continue;
            }
            self.by_rule.insert(rule.id, self.lives.len());
            self.lives.push(RuleLife {
                id: rule.id,
                blocks: rule.action == Action::Block,
                words: format!("{} {}", rule.action.name(), rule.words),
                placed_ms: now_ms,
                ended_ms: None,
                projected: (rule.projected.share(), rule.projected.upper_bound()),
                realised: Part::default(),
                attack: 0,
                honest_before: welcome,
                attack_before: attack.clone(),
            });
        }
        if !plan.rules().is_empty() {
            self.first_rule_ms.get_or_insert(now_ms);
        } else if self.in_force > 0 {
            self.empty_since_ms = now_ms;
        }
        self.in_force = plan.rules().len();
    }

    pub(super) fn incident(&mut self, incident: Incident) {
        self.incidents.insert(incident.id, incident);
    }

    pub(super) fn status(&mut self, engine: &Engine, now_ms: u64) {
        let status = engine.status();
        let since_ms = status.alarmed_since_ms;
        self.alarms += u64::from(since_ms.is_some() && since_ms != self.alarmed_since_ms);
        self.alarmed_since_ms = since_ms;
        if let Some(why) = status.nothing_placed_because
            && self.refusals.last().is_none_or(|(_, last)| *last != why)
            && self.refusals.len() < REASONS_MAX
        {
            self.refusals.push((now_ms, why));
        }
    }

    pub(super) fn finish(&mut self) {
        self.end_second();
        self.rule_after_ms = self.vectors.rule_after_ms();
        let welcome = self.welcome();
        for life in self.lives.iter_mut().filter(|life| life.ended_ms.is_none()) {
            life.realised.all = welcome - life.honest_before;
        }
        self.rules = self
            .lives
            .iter()
            .map(|life| format!("{} ({:.5} expected)", life.words, life.projected.0))
            .collect();
        let blocks = || self.lives.iter().filter(|life| life.blocks);
        let nobody_attacks = self.moments.attack_ms.is_none();
        let wrong = |life: &&RuleLife| nobody_attacks || life.realised.hit > life.attack;
        self.block_rules = blocks().count();
        self.false_blocks = blocks().filter(wrong).count();
        if let Some(ends_ms) = self.moments.attack_ends_ms
            && self.in_force == 0
        {
            self.withdrawn_after_ms = Some(self.empty_since_ms.saturating_sub(ends_ms));
        }
    }
}
