//! A trial: a scene played against the engine under a virtual clock, and scored.
//!
//! One function, [`run`], for the table, the tests and whoever changes the engine. It plays the
//! enforcers ([`gate`](self)) as they are: a plan refuses, a ban keeps a source away altogether, and
//! whoever is refused is told. It must never tell the engine anything that a gateway could not see.
//!
//! Where a scene says what the origin bears ([`origin`](self)), answers come late and then not at all,
//! and the engine is told of the stress as a node tells it. Visitors do not wait for late answers: they
//! go on as if each came in time, which is more than a drowning site would be asked. Elsewhere the
//! origin answers everything.

mod gate;
mod judge;
mod origin;
mod score;
mod tally;
mod vectors;
mod view;

use floodwall_engine::{Effect, Engine, EngineConfig, Stress};
use floodwall_model::request::AttrWriter;
use floodwall_model::{Mode, Observation, ValueKey};

use crate::scene::{Cast, Scene};
use crate::traffic::Company;
use origin::Origin;

pub use gate::{Fate, Gate};
pub use judge::{Cell, Line, judge};
pub use score::{RuleLife, Score, Wave};
pub use tally::{Group, Groups, Part, Views};
pub use view::View;

/// Start of every trial, ms since the epoch: any round time will do, but not zero.
pub const T0_MS: u64 = 1_700_000_000_000;
/// How often the engine steps, ms.
const STEP_MS: u64 = 100;
/// How often its status is read, ms. No alarm is missed, because one stays open for ten seconds at
/// least and tells since when; reading costs as much as ten steps without requests.
const STATUS_MS: u64 = 2_000;

/// Plays `scene` as `seed` draws it, seen through `view`, against the engine as it is shipped.
pub fn run(scene: &Scene, view: View, seed: u64) -> Score {
    run_with(scene, view, seed, EngineConfig::default())
}

/// The same against an engine with other settings, which acts whatever they say.
pub fn run_with(scene: &Scene, view: View, seed: u64, config: EngineConfig) -> Score {
    run_cast(scene.cast(seed), view, seed, config)
}

/// The same with a cast put together elsewhere.
pub fn run_cast(cast: Cast, view: View, seed: u64, config: EngineConfig) -> Score {
    run_tended(cast, view, seed, config, |_, _| ())
}

/// The same with somebody who tells the engine what no request does: called before each step, with
/// the time in ms after the beginning.
pub fn run_tended(
    cast: Cast,
    view: View,
    seed: u64,
    config: EngineConfig,
    mut tend: impl FnMut(&mut Engine, u64),
) -> Score {
    let Cast { streams, moments, victims, site_rps, geography, capacity_times } = cast;
    let key = ValueKey::new(seed, seed ^ 0x5555);
    let mut engine = Engine::new(EngineConfig { mode: Mode::Protect, ..config }, key, seed);
    let geography = geography.filter(|_| view == View::Placed);
    let mut writer = AttrWriter::new(key).with_geography(geography);
    let mut gate = Gate::default();
    let mut origin = capacity_times.map(|times| Origin::new(times, moments.past_ends_ms));
    let mut company = Company::new(streams);
    let mut score = Score::new(moments, victims, site_rps);
    let mut batch: Vec<Observation> = Vec::new();
    let mut now_ms = 0;
    while now_ms < moments.end_ms {
        now_ms += STEP_MS;
        batch.clear();
        if let Some(origin) = &mut origin {
            origin.take_answers(now_ms, &mut batch);
        }
        while let Some((stream, planned)) = company.take_before(now_ms) {
            let at_ms = T0_MS + planned.at_ms;
            let mut answered_ms = None;
            let fate = if gate.bans(planned.source, at_ms) {
                Fate::Banned
            } else {
                let mut observation = view.see(&planned, at_ms, &mut writer);
                let fate = gate.decide(&observation, at_ms);
                observation.handling = fate.handling();
                if !observation.handling.passed() {
                    // A refusal is a short page and never asks the origin.
                    observation.outcome = Some(view::refused());
                } else if let Some(origin) = &mut origin {
                    let answer = origin.ask(planned.at_ms, view::cost_ms(&planned));
                    answered_ms = answer.refused.is_none().then(|| answer.at_ms - planned.at_ms);
                    observation = origin.see(observation, answer, T0_MS, now_ms);
                } else {
                    answered_ms = Some(0);
                }
                batch.push(observation);
                fate
            };
            company.told(answered_ms.is_some());
            score.count(stream, &planned, fate);
            score.answered(&planned, answered_ms);
        }
        engine.learn_names(&writer.take_names());
        if now_ms.is_multiple_of(1_000) && gate.kernel_dropped() > 0 {
            engine.kernel_dropped(gate.kernel_dropped());
        }
        if let (true, Some(origin)) = (now_ms.is_multiple_of(1_000), &mut origin) {
            let stress = origin.stress(now_ms);
            score.stressed_s += u64::from(stress >= Stress::Stressed);
            engine.origin_stress(stress);
        }
        tend(&mut engine, now_ms);
        for effect in engine.step(T0_MS + now_ms, &batch) {
            match effect {
                Effect::Publish(plan) => {
                    score.plan_changed(&plan, now_ms);
                    gate.apply(plan);
                }
                Effect::Ban(ban) => {
                    score.bans += 1;
                    gate.ban(ban);
                }
                Effect::Incident(incident) => score.incident(*incident),
                // What an engine learns to do later is not enforced here until somebody says how.
                #[allow(unreachable_patterns)]
                _ => score.effects_unknown += 1,
            }
        }
        if now_ms.is_multiple_of(STATUS_MS) {
            score.status(&engine, now_ms);
        }
    }
    score.finish();
    score
}

#[cfg(test)]
mod tests;
