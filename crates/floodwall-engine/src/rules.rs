//! The book of rules: placed, renewed while they match, demoted or withdrawn when they hit visitors,
//! put aside when their attack goes quiet, back when it is. What one rule knows is in `rules/active`.

mod active;

use std::collections::VecDeque;

use floodwall_model::limits::{PLAN_VALID_MS, RULES_MAX};
use floodwall_model::{
    Action, Attrs, CheckedPlan, Collateral, Handling, Holdback, Mode, Observation, Plan, Rejection,
    Rule, RuleId, RuleIds, Signature,
};

use crate::blamed::Blamed;
use crate::ending::Ending;
use crate::sources::Sources;
use crate::standby::{Arrivals, Kind, Standby, StandbyTable};
use crate::trial::Trial;

pub use active::{ActiveRule, Surroundings};

/// While rules are in force, the plan is published again this often, ms: well before the enforcers
/// stop obeying it.
const REPUBLISH_MS: u64 = 1_000;
/// With more rules than this in force, one that explains next to nothing makes room. With fewer it
/// costs nothing, and to take it away would let its share of the attack in.
pub const RULES_AT_EASE: usize = 8;
/// A rule that is needed again after a longer quiet than this meets another attack, ms: twice this
/// is as long as a rule is ever kept ready.
const PULSE_GAP_MS_MAX: u64 = 12 * 3_600_000;
/// Signatures withdrawn lately that are remembered. When full: the oldest is forgotten; it would
/// have to be found, judged and withdrawn anew.
const WITHDRAWN_MAX: usize = 64;

const _: () = assert!(REPUBLISH_MS * 2 < PLAN_VALID_MS);

/// A rule that went out of force.
#[derive(Clone, Debug)]
pub struct EndedRule {
    /// Its last state.
    pub active: ActiveRule,
    /// Why it ended.
    pub why: Ending,
}

/// The rules in force, and those that wait.
#[derive(Debug)]
pub struct RuleBook {
    active: Vec<ActiveRule>,
    standby: StandbyTable,
    blamed: Blamed,
    withdrawn: VecDeque<Signature>,
    ids: RuleIds,
    revision: u64,
    changed: bool,
    published_ms: u64,
    /// When a rule last matched, ms, and the longest time until one was needed again.
    matched_at_ms: Option<u64>,
    gap_ms: u64,
}

impl RuleBook {
    /// No rules; the next ones get `ids`.
    pub fn new(ids: RuleIds) -> Self {
        RuleBook {
            active: Vec::new(),
            standby: StandbyTable::default(),
            blamed: Blamed::new(),
            withdrawn: VecDeque::new(),
            ids,
            revision: 0,
            changed: true,
            published_ms: 0,
            matched_at_ms: None,
            gap_ms: 0,
        }
    }

    /// The rules in force.
    pub fn active(&self) -> &[ActiveRule] {
        &self.active
    }

    /// The signatures that wait.
    pub const fn standby(&self) -> &StandbyTable {
        &self.standby
    }

    /// The sources that sent what a block rule matched.
    pub const fn blamed(&self) -> &Blamed {
        &self.blamed
    }

    /// Sources on trial for the rule that has most, most that fit, and those without room.
    pub fn on_trial(&self) -> (usize, usize, u64) {
        let all = self.active.iter().map(|a| a.trial().occupancy());
        all.max_by_key(|(used, ..)| *used).unwrap_or_else(|| Trial::default().occupancy())
    }

    /// Whether requests still come that a rule in force matches.
    pub fn matching(&self) -> bool {
        self.active.iter().any(ActiveRule::matching)
    }

    /// When a rule last matched, ms.
    pub const fn matched_at_ms(&self) -> Option<u64> {
        self.matched_at_ms
    }

    /// Whether a rule in force has this very signature.
    pub fn has(&self, signature: &Signature) -> bool {
        self.active.iter().any(|a| a.rule.signature == *signature)
    }

    /// Whether this very signature is in force, kept ready, or was withdrawn.
    pub fn knows(&self, signature: &Signature) -> bool {
        self.has(signature) || self.standby.has(signature) || self.withdrawn.contains(signature)
    }

    /// Whether a block rule in force covers such requests, also those that came just before it.
    pub fn covers(&self, attrs: &Attrs) -> bool {
        let blocks = self.active.iter().filter(|a| a.rule.action == Action::Block);
        blocks.map(|a| &a.rule).any(|rule| rule.matches(attrs))
    }

    /// The number the next rule will get.
    pub const fn next_id(&self) -> RuleId {
        self.ids.next()
    }

    /// Places `rule` if the whole plan with it passes the check. The rule's id must be
    /// [`Self::next_id`].
    pub fn place(&mut self, rule: Rule, normal_rps: f64, now_ms: u64) -> Result<(), Rejection> {
        self.admit(ActiveRule::new(rule, normal_rps, 0.0, now_ms), now_ms)?;
        self.ids.taken();
        Ok(())
    }

    /// Puts a signature that waited in force, if the plan with it passes the check. `projected` is
    /// its collateral measured anew; the worse of the two measurements counts.
    pub fn rearm(
        &mut self,
        standby: Standby,
        projected: Collateral,
        now_ms: u64,
        ttl_ms: u64,
    ) -> Result<(), Rejection> {
        let kind = standby.kind;
        let mut active = standby.active.clone();
        if projected.share() > active.rule.projected.share() {
            active.rule.projected = projected;
        }
        active.back(now_ms, ttl_ms);
        if kind == Kind::Backup {
            active.rule.id = self.ids.next();
            active.rule.placed_at_ms = now_ms;
        }
        match self.admit(active, now_ms) {
            Ok(()) if kind == Kind::Backup => self.ids.taken(),
            Err(Rejection::TooManyRules) => {
                self.standby.put_back(standby);
                return Err(Rejection::TooManyRules);
            }
            Ok(()) => {}
            Err(why) => return Err(why),
        }
        Ok(())
    }

    /// Keeps `rule` ready as a backup, if the plan with it would pass the check now.
    pub fn keep_backup(
        &mut self,
        rule: Rule,
        (normal_rps, found_rps): (f64, f64),
        now_ms: u64,
    ) -> Result<(), Rejection> {
        self.try_with(&rule, now_ms)?;
        self.standby.keep_backup(ActiveRule::new(rule, normal_rps, found_rps, now_ms), now_ms);
        Ok(())
    }

    fn admit(&mut self, active: ActiveRule, now_ms: u64) -> Result<(), Rejection> {
        self.try_with(&active.rule, now_ms)?;
        if let (true, Some(at_ms)) = (self.active.is_empty(), self.matched_at_ms) {
            let gap_ms = now_ms.saturating_sub(at_ms);
            if gap_ms <= PULSE_GAP_MS_MAX {
                self.gap_ms = self.gap_ms.max(gap_ms);
            }
        }
        self.standby.remove(&active.rule.signature);
        self.matched_at_ms = Some(now_ms);
        self.active.push(active);
        self.changed = true;
        Ok(())
    }

    fn try_with(&self, rule: &Rule, now_ms: u64) -> Result<(), Rejection> {
        if rule.action == Action::Block && self.withdrawn.contains(&rule.signature) {
            return Err(Rejection::Collateral);
        }
        if self.active.len() >= RULES_MAX {
            return Err(Rejection::TooManyRules);
        }
        let mut rules = self.rules();
        rules.push(rule.clone());
        let trial = Plan { made_at_ms: now_ms, rules, ..Plan::default() };
        match trial.check().1.into_iter().find(|r| r.rule.id == rule.id) {
            Some(rejected) => Err(rejected.why),
            None => Ok(()),
        }
    }

    /// Takes note of a request that arrived; `visitor` if its source is known to be one.
    pub fn note(&mut self, observation: &Observation, visitor: bool, now_ds: u32) {
        // Who is let through for a trial is the trial's to judge: whoever finds out that he is could
        // otherwise speak against the rule in two voices.
        let visitor = visitor && !matches!(observation.handling, Handling::HeldBack(_));
        if visitor {
            self.active.iter_mut().for_each(ActiveRule::note_visitor);
        }
        let Some(id) = observation.handling.rule() else {
            if !self.standby.is_empty() {
                self.standby.watch(&observation.attrs, observation.source.key(), &self.blamed);
            }
            return;
        };
        if let Some(active) = self.active.iter_mut().find(|a| a.rule.id == id) {
            active.note_match(observation, visitor, now_ds);
            if active.rule.action == Action::Block {
                self.blamed.insert(observation.source.key());
            }
        }
    }

    /// A request that had been let through met the rule while it waited.
    pub fn note_late(&mut self, id: RuleId) {
        if let Some(active) = self.active.iter_mut().find(|a| a.rule.id == id) {
            active.note_late();
        }
    }

    /// Signatures that waited and whose attack is back, taken out of their table. Ends the table's
    /// tick.
    pub fn due(&mut self, arrivals: Arrivals, now_ms: u64) -> Vec<Standby> {
        let in_force = !self.active.is_empty();
        let due = self.standby.tick(arrivals, in_force, now_ms);
        if due.is_empty() && !in_force && self.standby.is_empty() {
            self.blamed.clear();
        }
        due
    }

    /// Judges the sources that rules let through for a trial.
    pub fn judge_trials(&mut self, sources: &Sources, now_ds: u32) {
        self.active.iter_mut().for_each(|a| a.judge_trial(sources, now_ds));
    }

    /// Ends a tick: renews what still matches, returns what went out of force.
    pub fn tick(&mut self, around: &Surroundings) -> Vec<EndedRule> {
        let mut ended = Vec::new();
        let crowded = self.active.len() > RULES_AT_EASE;
        let mut kept = Vec::with_capacity(self.active.len());
        for mut active in std::mem::take(&mut self.active) {
            active.tick(around);
            self.matched_at_ms = self.matched_at_ms.max(Some(active.matched_at_ms()));
            match active.ending(around, crowded) {
                Some(why) => ended.push(EndedRule { active, why }),
                None => kept.push(active),
            }
        }
        self.active = kept;
        for EndedRule { active, why } in &ended {
            self.changed = true;
            if !why.may_return() {
                // Its backups describe the same requests by other marks.
                self.standby.forget_backups();
                self.withdraw(&active.rule.signature);
            } else if active.matched > 0 {
                self.standby.put_to_sleep(active.clone(), self.gap_ms, around.now_ms);
            }
        }
        ended
    }

    /// The rule placed last came when visitors did as usual: should they stay away from now on, it
    /// will have to do with it.
    pub fn visitors_came(&mut self) {
        if let Some(active) = self.active.last_mut() {
            active.visitors_came();
        }
    }

    fn withdraw(&mut self, signature: &Signature) {
        self.standby.remove(signature);
        if self.withdrawn.len() == WITHDRAWN_MAX {
            self.withdrawn.pop_front();
        }
        self.withdrawn.push_back(signature.clone());
    }

    /// Forgets withdrawn signatures: the incident they belonged to is over.
    pub fn forget_withdrawn(&mut self) {
        self.withdrawn.clear();
    }

    /// Makes the next plan differ, so that it is published.
    pub const fn touch(&mut self) {
        self.changed = true;
    }

    /// The plan to publish, if there is anything new to say.
    pub fn publish(
        &mut self,
        mode: Mode,
        holdback: Option<Holdback>,
        now_ms: u64,
        ttl_ms: u64,
    ) -> Option<CheckedPlan> {
        // Enforcers obey the ends they were told, so the new ones must reach them well before.
        let every_ms = REPUBLISH_MS.min(ttl_ms / 4);
        let renewal = !self.active.is_empty() && now_ms >= self.published_ms + every_ms;
        if !self.changed && !renewal {
            return None;
        }
        self.changed = false;
        self.published_ms = now_ms;
        self.revision += 1;
        let plan = Plan {
            revision: self.revision,
            made_at_ms: now_ms,
            mode,
            rules: self.rules(),
            valid_until_ms: Some(now_ms + PLAN_VALID_MS),
            holdback,
        };
        Some(plan.check().0)
    }

    fn rules(&self) -> Vec<Rule> {
        self.active.iter().map(|a| a.rule.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
