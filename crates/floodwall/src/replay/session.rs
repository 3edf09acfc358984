//! The engine's side of a replay: records in time order go in, incidents and decisions come out.
//! The only file here that knows the engine.
//!
//! Replay acts as if in protect mode: what a rule blocks is told to the engine as blocked, and what
//! a ban would have kept out in the kernel is not told at all, only counted, as in production. The
//! time is the log's; no clock is read.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use floodwall_engine::{Effect, Engine, EngineConfig, EngineStatus};
use floodwall_model::limits::BATCH_OBSERVATIONS_MAX;
use floodwall_model::{
    Handling, Incident, Mode, Observation, Outcome, Reason, RuleId, ValueKey, ValueName,
};

use super::decisions::DecisionFile;
use super::enforce::{Decision, DecisionTally, Enforcement};
use super::error::ReplayError;
use super::pace::{STEP_MS, next_step_ms};
use super::record::Entry;
use super::reorder::{Numbered, Reorder, ReorderTally};

/// Incidents kept. When full: further ones are only counted.
const INCIDENTS_MAX: usize = 10_000;

/// Rules whose last match is remembered. When full: forgotten all at once; an incident that lasted
/// beyond the log's end may then be told as closed.
const RULES_REMEMBERED_MAX: usize = 4_096;

/// The end of the log: what happened in it tells whether an incident outlasted the log, ms.
const LAST_MS: u64 = 10_000;

/// Rate in the last [`LAST_MS`], as a multiple of the expected rate, above which an incident that
/// was open has not ended.
const STILL_RAISED_FACTOR: f64 = 1.5;

/// Silent log time given to open incidents to close after the last record, ms.
const AFTERMATH_MS_MAX: u64 = 1_800_000;

/// Log time between two steps after the last record, ms.
const AFTERMATH_STEP_MS: u64 = 1_000;

/// What the log as a whole showed, in records as read.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Span {
    /// First and last time in the log, ms; `None` when there was no record.
    pub(crate) first_last_ms: Option<(u64, u64)>,
    /// Records in the busiest second.
    pub(crate) peak_per_s: u64,
    /// Which second that was, s since the epoch.
    pub(crate) peak_at_s: u64,
}

/// An incident, and how it stood when the log ended.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) incident: Incident,
    /// When it closed; `None` if the log ended before.
    pub(crate) closed_at_ms: Option<u64>,
    /// It was calm at the log's end, but closed only in the silence assumed after it.
    pub(crate) closed_after_log_end: bool,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcomes {
    pub(crate) span: Span,
    pub(crate) incidents: Vec<Told>,
    pub(crate) incidents_left_out: u64,
    pub(crate) decisions: DecisionTally,
    pub(crate) decisions_out_of_order: u64,
    pub(crate) reorder: ReorderTally,
    pub(crate) status: EngineStatus,
}

/// A replay under way.
pub(crate) struct Session {
    reorder: Reorder,
    drive: Drive,
}

/// Everything behind the reordering.
struct Drive {
    engine: Engine,
    enforcement: Enforcement,
    file: Option<DecisionFile>,
    failed: Option<ReplayError>,
    /// Time of the last step.
    now_ms: u64,
    /// Time of the last step that had records.
    busy_ms: u64,
    pending: Vec<Observation>,
    incidents: BTreeMap<u64, Incident>,
    open_incidents: BTreeSet<u64>,
    incidents_left_out: u64,
    last_match_ms: HashMap<RuleId, u64>,
    last_ban_ms: u64,
    /// (second, records) of the newest seconds.
    newest: VecDeque<(u64, u64)>,
    span: Span,
}

impl Session {
    /// A session whose ids are made under `key`.
    pub(crate) fn new(key: ValueKey, seed: u64, file: Option<DecisionFile>) -> Self {
        let config = EngineConfig { mode: Mode::Protect, ..EngineConfig::default() };
        Session {
            reorder: Reorder::default(),
            drive: Drive {
                engine: Engine::new(config, key, seed),
                enforcement: Enforcement::default(),
                file,
                failed: None,
                now_ms: 0,
                busy_ms: 0,
                pending: Vec::with_capacity(BATCH_OBSERVATIONS_MAX),
                incidents: BTreeMap::new(),
                open_incidents: BTreeSet::new(),
                incidents_left_out: 0,
                last_match_ms: HashMap::new(),
                last_ban_ms: 0,
                newest: VecDeque::new(),
                span: Span::default(),
            },
        }
    }

    /// Takes records as read; `first_number` is the number of the first.
    pub(crate) fn accept(
        &mut self,
        first_number: u64,
        entries: &[Entry],
        names: &[ValueName],
    ) -> Result<(), ReplayError> {
        self.drive.engine.learn_names(names);
        for (number, entry) in (first_number..).zip(entries) {
            self.drive.span.note(entry.observation.at_ms);
            let record = Numbered { number, entry: *entry };
            self.reorder.push(record, |record| self.drive.record(record));
        }
        self.drive.failed.take().map_or(Ok(()), Err)
    }

    /// Ends the log.
    pub(crate) fn finish(mut self) -> Result<Outcomes, ReplayError> {
        self.reorder.finish(|record| self.drive.record(record));
        let Session { reorder, mut drive } = self;
        if let Some(error) = drive.failed.take() {
            return Err(error);
        }
        if let Some(file) = &mut drive.file {
            file.finish()?;
        }
        let log_end_ms = drive.aftermath();
        Ok(Outcomes {
            span: drive.span,
            incidents: drive.told(log_end_ms),
            incidents_left_out: drive.incidents_left_out,
            decisions: drive.enforcement.tally,
            decisions_out_of_order: drive.file.as_ref().map_or(0, |file| file.out_of_order),
            reorder: reorder.tally,
            status: drive.engine.status(),
        })
    }
}

impl Span {
    fn note(&mut self, at_ms: u64) {
        let (first, last) = self.first_last_ms.unwrap_or((at_ms, at_ms));
        self.first_last_ms = Some((first.min(at_ms), last.max(at_ms)));
    }
}

impl Drive {
    /// Takes the next record in time: decides on it, and steps the engine up to it.
    fn record(&mut self, Numbered { number, entry }: Numbered) {
        let mut observation = entry.observation;
        if self.now_ms == 0 {
            self.now_ms = observation.at_ms / STEP_MS * STEP_MS;
            self.busy_ms = self.now_ms;
        }
        while observation.at_ms >= self.now_ms + STEP_MS {
            let next_ms = if self.pending.is_empty() {
                self.next_quiet_step_ms(observation.at_ms)
            } else {
                self.busy_ms = self.now_ms + STEP_MS;
                self.busy_ms
            };
            self.step(next_ms);
            self.now_ms = next_ms;
        }
        self.count(observation.at_ms);
        let decision = self.enforcement.decide(&observation);
        if let Some(file) = &mut self.file
            && self.failed.is_none()
        {
            self.failed = file.note(number, decision).err();
        }
        self.carry_out(decision, &mut observation);
        if decision == Decision::Ban {
            self.last_ban_ms = observation.at_ms;
            return;
        }
        self.pending.push(observation);
        if self.pending.len() >= BATCH_OBSERVATIONS_MAX {
            // More than fit into one batch in 100 ms: the engine takes them at their own time.
            self.step(observation.at_ms);
        }
    }

    fn next_quiet_step_ms(&self, next_record_ms: u64) -> u64 {
        next_step_ms(STEP_MS, self.now_ms, self.busy_ms, next_record_ms, self.any_open())
    }

    /// Tells the observation what became of it. The log's outcome is that of a server without us.
    fn carry_out(&mut self, decision: Decision, observation: &mut Observation) {
        let refused =
            |reason: Reason| Some(Outcome { status: reason.status(), bytes: 0, origin_ms: None });
        match decision {
            Decision::Pass | Decision::Ban => {}
            Decision::Block(rule) => {
                observation.handling = Handling::Blocked(rule);
                observation.outcome = refused(Reason::RuleBlocked);
            }
            Decision::Throttle(rule) => {
                observation.handling = Handling::Throttled(rule);
                observation.outcome = refused(Reason::RuleThrottled);
            }
        }
        if let Some(rule) = decision.rule() {
            if self.last_match_ms.len() >= RULES_REMEMBERED_MAX {
                self.last_match_ms.clear();
            }
            self.last_match_ms.insert(rule, observation.at_ms);
        }
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
        if let Some((second, count)) = self.newest.back()
            && *count > self.span.peak_per_s
        {
            (self.span.peak_per_s, self.span.peak_at_s) = (*count, *second);
        }
    }

    fn step(&mut self, now_ms: u64) {
        if self.enforcement.tally.ban > 0 {
            self.engine.kernel_dropped(self.enforcement.tally.ban);
        }
        let effects = self.engine.step(now_ms, &self.pending);
        self.pending.clear();
        for effect in effects {
            self.apply(effect, now_ms);
        }
    }

    fn apply(&mut self, effect: Effect, now_ms: u64) {
        match effect {
            Effect::Publish(plan) => self.enforcement.publish(plan),
            Effect::Ban(ban) => self.enforcement.ban(ban, now_ms),
            Effect::Incident(incident) => {
                let known = self.incidents.contains_key(&incident.id);
                if known || self.incidents.len() < INCIDENTS_MAX {
                    match incident.closed_at_ms {
                        None => self.open_incidents.insert(incident.id),
                        Some(_) => self.open_incidents.remove(&incident.id),
                    };
                    self.incidents.insert(incident.id, *incident);
                } else {
                    self.incidents_left_out += 1;
                }
            }
        }
    }

    /// Steps through silence until every incident has closed. Returns when the log ended.
    fn aftermath(&mut self) -> u64 {
        let log_end_ms = self.now_ms + STEP_MS;
        if self.now_ms == 0 {
            return 0;
        }
        self.step(log_end_ms);
        let mut now_ms = log_end_ms;
        while now_ms < log_end_ms + AFTERMATH_MS_MAX && self.any_open() {
            now_ms += AFTERMATH_STEP_MS;
            self.step(now_ms);
        }
        log_end_ms
    }

    fn any_open(&self) -> bool {
        !self.open_incidents.is_empty()
    }

    fn told(&self, log_end_ms: u64) -> Vec<Told> {
        let tell = |incident: &Incident| {
            let after_end = incident.closed_at_ms.is_some_and(|at_ms| at_ms > log_end_ms);
            let outlasted = after_end && self.still_on(incident, log_end_ms);
            Told {
                incident: incident.clone(),
                closed_at_ms: incident.closed_at_ms.filter(|_| !outlasted),
                closed_after_log_end: after_end && !outlasted,
            }
        };
        self.incidents.values().map(tell).collect()
    }

    /// Whether the incident was still under way when the log ended: a rule of it matched, a ban
    /// held something back, or the rate was still raised, in the log's last [`LAST_MS`].
    fn still_on(&self, incident: &Incident, log_end_ms: u64) -> bool {
        let last_from_ms = log_end_ms.saturating_sub(LAST_MS);
        let matched = incident.rules.iter().any(|rule| {
            self.last_match_ms.get(&rule.id).is_some_and(|at_ms| *at_ms >= last_from_ms)
        });
        let of_last = |(second, _): &&(u64, u64)| second * 1_000 >= last_from_ms;
        let count: u64 = self.newest.iter().filter(of_last).map(|(_, count)| count).sum();
        let rate_rps = count as f64 / (LAST_MS as f64 / 1e3);
        let raised = rate_rps > incident.expected_rps * STILL_RAISED_FACTOR;
        matched || raised || self.last_ban_ms >= last_from_ms.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive() -> Drive {
        Session::new(ValueKey::new(1, 2), 1, None).drive
    }

    fn incident(id: u64, closed_at_ms: Option<u64>) -> Effect {
        Effect::Incident(Box::new(Incident { id, closed_at_ms, ..Incident::default() }))
    }

    #[test]
    fn a_later_record_of_an_incident_replaces_the_earlier() {
        let mut drive = drive();
        drive.apply(incident(1, None), 0);
        assert!(drive.any_open());
        drive.apply(incident(1, Some(7)), 0);
        assert!(!drive.any_open());
        assert_eq!(drive.incidents.len(), 1);
    }

    #[test]
    fn incidents_beyond_the_maximum_are_counted() {
        let mut drive = drive();
        for id in 0..INCIDENTS_MAX as u64 + 3 {
            drive.apply(incident(id, Some(1)), 0);
        }
        drive.apply(incident(0, Some(2)), 0);
        assert_eq!((drive.incidents.len(), drive.incidents_left_out), (INCIDENTS_MAX, 3));
    }

    #[test]
    fn what_a_rule_stops_is_told_as_the_gateway_would() {
        let mut drive = drive();
        let stamp = super::super::stamp::Stamp { at_ms: 5_000, whole_second: false };
        let client = super::super::client::Client::Name(b"a.example");
        let raw = super::super::record::RawRecord::new(stamp, client);
        let mut writer = super::super::record::ObservationWriter::new(ValueKey::new(1, 2));
        let mut observation = writer.entry(&raw).observation;
        drive.carry_out(Decision::Block(RuleId(3)), &mut observation);
        assert_eq!(observation.handling, Handling::Blocked(RuleId(3)));
        assert_eq!(observation.outcome.map(|o| o.status), Some(403));
        drive.carry_out(Decision::Throttle(RuleId(4)), &mut observation);
        assert_eq!(observation.outcome.map(|o| o.status), Some(429));
        assert_eq!(drive.last_match_ms.len(), 2);
    }

    #[test]
    fn an_incident_is_still_on_while_its_rule_matches_or_the_rate_is_raised() {
        let mut drive = drive();
        let calm = Incident { expected_rps: 10.0, ..Incident::default() };
        assert!(!drive.still_on(&calm, 100_000));
        (0..10).for_each(|s| drive.newest.push_back((90 + s, 12)));
        assert!(!drive.still_on(&calm, 100_000));
        assert!(drive.still_on(&Incident { expected_rps: 5.0, ..calm.clone() }, 100_000));
        drive.last_ban_ms = 95_000;
        assert!(drive.still_on(&calm, 100_000));
    }
}
