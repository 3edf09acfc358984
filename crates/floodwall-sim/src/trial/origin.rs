//! An origin that bears so much and no more, behind the places that a gateway keeps for it.
//!
//! It works on what it has in the order in which it came, as much of it at once as it can, so that
//! answers come later the more is asked. Who finds no place waits, who waits too long gets 503, and who
//! gets no answer for half a minute 504; the origin goes on working at it.
//! It must never answer sooner than the request's own work takes, nor tell the engine more than a
//! gateway counts.

use std::collections::{BTreeMap, VecDeque};

use floodwall_engine::{OriginCounts, OriginWatch, Stress};
use floodwall_model::{Handling, Observation, Outcome, Reason, Stage};

/// Places at the origin, places to wait for one, and how long one waits, ms: the gateway's defaults.
const PLACES: usize = 256;
const QUEUE_MAX: usize = 1_024;
const QUEUE_WAIT_MS: f64 = 2_000.0;
/// How long an answer may take, ms: the gateway's default.
const HEAD_MS: f64 = 30_000.0;

/// When a request is answered, and how.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Answer {
    /// ms after the beginning.
    pub at_ms: u64,
    /// How.
    pub outcome: Outcome,
    /// Why there is none, if so.
    pub refused: Option<Reason>,
}

/// The origin.
#[derive(Debug)]
pub struct Origin {
    /// What it bears, as a multiple of the work of the past.
    capacity_times: f64,
    past_ends_ms: u64,
    past_work_ms: f64,
    /// When each request that it has, or that waits for it, is done, ms. Never more than all places.
    done_ms: VecDeque<f64>,
    /// When it has done all it has, ms.
    free_ms: f64,
    /// Records of answers to come, by their time and the order of asking.
    due: BTreeMap<(u64, u64), Observation>,
    asked: u64,
    failed: u64,
    watch: OriginWatch,
}

impl Origin {
    /// An origin that bears `capacity_times` the mean work of the past, which ends at
    /// `past_ends_ms`; until then it bears all.
    pub fn new(capacity_times: f64, past_ends_ms: u64) -> Self {
        Origin {
            capacity_times,
            past_ends_ms,
            past_work_ms: 0.0,
            done_ms: VecDeque::new(),
            free_ms: 0.0,
            due: BTreeMap::new(),
            asked: 0,
            failed: 0,
            watch: OriginWatch::default(),
        }
    }

    /// Work that it gets done in one ms, ms.
    fn capacity(&self, now_ms: f64) -> f64 {
        if now_ms < self.past_ends_ms as f64 {
            return f64::INFINITY;
        }
        (self.past_work_ms / self.past_ends_ms.max(1) as f64 * self.capacity_times).max(1e-3)
    }

    /// A request at `at_ms` that takes `work_ms`.
    pub fn ask(&mut self, at_ms: u64, work_ms: u32) -> Answer {
        let (now_ms, work_ms) = (at_ms as f64, f64::from(work_ms));
        self.asked += 1;
        if at_ms < self.past_ends_ms {
            self.past_work_ms += work_ms;
        }
        while self.done_ms.front().is_some_and(|done_ms| *done_ms <= now_ms) {
            self.done_ms.pop_front();
        }
        // It gets a place when the one is done that is so many places before it.
        let waiting = self.done_ms.len().saturating_sub(PLACES - 1);
        let enters_ms = if waiting == 0 { now_ms } else { self.done_ms[waiting - 1] };
        let too_long = enters_ms - now_ms > QUEUE_WAIT_MS;
        if waiting > QUEUE_MAX || too_long {
            self.failed += 1;
            let waited_ms = if waiting > QUEUE_MAX { 0.0 } else { QUEUE_WAIT_MS };
            return refusal(now_ms + waited_ms, Reason::OriginSaturated);
        }
        self.free_ms = self.free_ms.max(now_ms) + work_ms / self.capacity(now_ms);
        self.done_ms.push_back(self.free_ms);
        let done_ms = self.free_ms.max(enters_ms + work_ms);
        if done_ms - enters_ms > HEAD_MS {
            self.failed += 1;
            return refusal(enters_ms + HEAD_MS, Reason::OriginTimeout);
        }
        let origin_ms = Some((done_ms - enters_ms) as u32);
        let outcome = Outcome { status: 200, bytes: 5_000, origin_ms };
        Answer { at_ms: done_ms as u64, outcome, refused: None }
    }

    /// Makes of `observation` what is seen of it now, up to `until_ms`; what is seen of its answer
    /// later is kept. `t0_ms` is the beginning's time.
    pub fn see(
        &mut self,
        observation: Observation,
        answer: Answer,
        t0_ms: u64,
        until_ms: u64,
    ) -> Observation {
        let handling = answer.refused.map_or(observation.handling, Handling::Refused);
        let outcome = Some(answer.outcome);
        if answer.at_ms < until_ms {
            return Observation { handling, outcome, stage: Stage::Whole, ..observation };
        }
        let at_ms = t0_ms + answer.at_ms;
        let later = Observation { handling, outcome, stage: Stage::Finished, at_ms, ..observation };
        self.due.insert((answer.at_ms, self.asked), later);
        Observation { outcome: None, stage: Stage::Arrived, ..observation }
    }

    /// Takes the records of answers that came before `until_ms`.
    pub fn take_answers(&mut self, until_ms: u64, into: &mut Vec<Observation>) {
        let later = self.due.split_off(&(until_ms, 0));
        into.extend(std::mem::replace(&mut self.due, later).into_values());
    }

    /// How it does, as the gateway's counts tell once a second.
    pub fn stress(&mut self, now_ms: u64) -> Stress {
        let here = self.done_ms.iter().filter(|done_ms| **done_ms > now_ms as f64).count();
        self.watch.look(OriginCounts {
            passed: self.asked,
            failed: self.failed,
            in_flight: here.min(PLACES) as u64,
            waiting: here.saturating_sub(PLACES) as u64,
        })
    }
}

fn refusal(at_ms: f64, why: Reason) -> Answer {
    let outcome = Outcome { status: why.status(), ..Outcome::default() };
    Answer { at_ms: at_ms as u64, outcome, refused: Some(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An origin whose past was one request of 10 ms each 10 ms, so that it bears `times` ms of work
    /// in a ms.
    fn used_to_one(times: f64) -> Origin {
        let mut origin = Origin::new(times, 10_000);
        (0..1_000).for_each(|n| {
            origin.ask(n * 10, 10);
        });
        origin
    }

    #[test]
    fn within_its_capacity_it_answers_as_soon_as_the_work_takes() {
        let mut origin = used_to_one(2.0);
        for n in 0..1_000 {
            let asked_ms = 10_000 + n * 10;
            let answer = origin.ask(asked_ms, 10);
            assert_eq!((answer.at_ms, answer.refused), (asked_ms + 10, None));
        }
        assert_eq!(origin.stress(20_000), Stress::Calm);
    }

    #[test]
    fn beyond_it_answers_come_late_and_then_not_at_all() {
        let mut origin = used_to_one(2.0);
        let answers: Vec<(u64, Answer)> = (0..10_000)
            .map(|n| (10_000 + n, 10_000 + n))
            .map(|(asked_ms, at_ms)| (asked_ms, origin.ask(at_ms, 10)))
            .collect();
        let took = |n: usize| answers[n].1.at_ms - answers[n].0;
        assert!(
            took(10) < took(200) && took(200) < took(500),
            "{} {} {}",
            took(10),
            took(200),
            took(500)
        );
        let saturated = answers.iter().filter(|(_, answer)| answer.refused.is_some()).count();
        // It does a fifth of what is asked.
        assert!((7_000..8_100).contains(&saturated), "{saturated} of 10,000");
        let slowest = answers.iter().map(|(asked_ms, a)| a.at_ms - asked_ms).max();
        assert!(slowest.is_some_and(|ms| (2_000..4_000).contains(&ms)), "{slowest:?}");
        assert_eq!(origin.stress(20_000), Stress::Critical);
    }

    #[test]
    fn an_origin_that_needs_a_minute_for_what_it_has_is_not_waited_for() {
        let mut origin = Origin::new(0.1, 10_000);
        (0..1_000).for_each(|n| {
            origin.ask(n * 10, 10);
        });
        let answers: Vec<Answer> = (0..PLACES).map(|_| origin.ask(10_000, 100)).collect();
        assert_eq!(answers[0].refused, None);
        let last = answers[PLACES - 1];
        assert_eq!((last.at_ms, last.refused), (40_000, Some(Reason::OriginTimeout)));
    }

    #[test]
    fn it_recovers_as_soon_as_it_has_done_what_it_had() {
        let mut origin = used_to_one(2.0);
        (0..1_000).for_each(|n| {
            origin.ask(10_000 + n, 10);
        });
        let answer = origin.ask(16_000, 10);
        assert_eq!((answer.at_ms, answer.refused), (16_010, None));
        origin.stress(16_000);
        assert_eq!(origin.stress(17_000), Stress::Calm);
    }
}
