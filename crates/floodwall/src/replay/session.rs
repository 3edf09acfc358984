//! The engine's side of a replay: records in time order go in, incidents and decisions come out.
//! The only file here that knows the engine.
//!
//! Replay acts as if in protect mode: what a rule blocks is told to the engine as blocked, and what
//! a ban would have kept out in the kernel is not told at all, only counted, as in production. The
//! time is the log's; no clock is read.

use floodwall_engine::{Effect, Engine, EngineConfig, EngineStatus};
use floodwall_model::limits::BATCH_OBSERVATIONS_MAX;
use floodwall_model::{Handling, Mode, Observation, Outcome, Reason, ValueKey, ValueName};

use super::decisions::DecisionFile;
use super::enforce::{Decision, DecisionTally, Enforcement};
use super::error::ReplayError;
use super::incidents::{AFTERMATH_MS_MAX, AFTERMATH_STEP_MS, Incidents, Told};
use super::pace::{STEP_MS, next_step_ms};
use super::record::Entry;
use super::reorder::{Numbered, Reorder, ReorderTally};

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
    incidents: Incidents,
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
                incidents: Incidents::default(),
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
            incidents: drive.incidents.told(log_end_ms),
            incidents_left_out: drive.incidents.left_out,
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
            self.incidents.note_ban(observation.at_ms);
            return;
        }
        self.pending.push(observation);
        if self.pending.len() >= BATCH_OBSERVATIONS_MAX {
            // More than fit into one batch in 100 ms: the engine takes them at their own time.
            self.step(observation.at_ms);
        }
    }

    fn next_quiet_step_ms(&self, next_record_ms: u64) -> u64 {
        next_step_ms(STEP_MS, self.now_ms, self.busy_ms, next_record_ms, self.incidents.any_open())
    }

    /// Tells the observation what became of it. The log's outcome is that of a server without us.
    fn carry_out(&mut self, decision: Decision, observation: &mut Observation) {
        let refused =
            |reason: Reason| Some(Outcome { status: reason.status(), bytes: 0, origin_ms: None });
        match decision {
            Decision::Pass | Decision::Ban => {}
            Decision::HoldBack(rule) => {
                observation.handling = Handling::HeldBack(rule);
                self.incidents.note_match(rule, observation.at_ms);
            }
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
            self.incidents.note_match(rule, observation.at_ms);
        }
    }

    fn count(&mut self, at_ms: u64) {
        let (second, count) = self.incidents.count(at_ms);
        if count > self.span.peak_per_s {
            (self.span.peak_per_s, self.span.peak_at_s) = (count, second);
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
            Effect::Incident(incident) => self.incidents.note(*incident),
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
        while now_ms < log_end_ms + AFTERMATH_MS_MAX && self.incidents.any_open() {
            now_ms += AFTERMATH_STEP_MS;
            self.step(now_ms);
        }
        log_end_ms
    }
}

#[cfg(test)]
mod tests {
    use floodwall_model::RuleId;

    use super::*;

    fn drive() -> Drive {
        Session::new(ValueKey::new(1, 2), 1, None).drive
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
    }
}
