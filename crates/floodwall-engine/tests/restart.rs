//! A restart in front of an attack: what was learned before it must defend at once.
//!
//! A loop of its own and not that of the trials, which know no restarts.

mod support;

use std::sync::Arc;

use floodwall_engine::{Effect, Engine, EngineConfig};
use floodwall_model::{
    Action, AttrWriter, CheckedPlan, Handling, Mode, Observation, Outcome, Stage, ValueKey,
};
use floodwall_sim::attack::Disguise;
use floodwall_sim::{Company, CouncilConfig, Label, VisitorsConfig, observe};
use support::{Stage0, with_seeds};

const T0_MS: u64 = 1_700_000_000_000;
const RESTART_MS: u64 = 600_000;
const ATTACK_MS: u64 = 605_000;
const END_MS: u64 = 620_000;

/// How the node comes to its restart.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Restart {
    /// There is none.
    None,
    /// What was learned is there again.
    WithMemory,
    /// It is not.
    WithoutMemory,
    /// It is there, and the clock was set back by an hour meanwhile.
    ClockSetBack,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcomes {
    rule_after_ms: Option<u64>,
    attack: (u64, u64),
    honest: (u64, u64),
}

/// Ten minutes of 20 honest requests a second, a restart, and five seconds later the attack.
fn scene(restart: Restart, seed: u64) -> Outcomes {
    let stage = Stage0::new(seed);
    let attack = CouncilConfig {
        start_ms: ATTACK_MS,
        end_ms: END_MS,
        disguise: Disguise::StolenAgents,
        ..Default::default()
    };
    let streams = vec![stage.visitors(VisitorsConfig::honest(20.0)), stage.council(attack)];
    let (mut company, key) = (Company::new(streams), ValueKey::new(seed, 5));
    let config = EngineConfig { mode: Mode::Protect, ..EngineConfig::default() };
    let mut engine = Engine::new(config.clone(), key, seed);
    let mut writer = AttrWriter::new(key);
    let mut plan = Arc::new(CheckedPlan::default());
    let (mut outcomes, mut t0_ms) = (Outcomes::default(), T0_MS);
    for now_ms in (100..=END_MS).step_by(100) {
        if now_ms == RESTART_MS && restart != Restart::None {
            let bytes = engine.snapshot().to_bytes();
            engine = Engine::new(config.clone(), key, seed ^ 0x7265);
            writer = AttrWriter::new(key);
            plan = Arc::new(CheckedPlan::default());
            if restart == Restart::ClockSetBack {
                t0_ms -= 3_600_000;
            }
            if restart != Restart::WithoutMemory {
                engine.restore(&bytes, t0_ms + now_ms).expect("a memory of its own");
            }
        }
        let mut batch: Vec<Observation> = Vec::new();
        while let Some((_, planned)) = company.take_before(now_ms) {
            let at_ms = t0_ms + planned.at_ms;
            let mut seen = observe(&planned.request, planned.source, at_ms, &mut writer);
            seen.stage = Stage::Whole;
            seen.kind = planned.kind;
            seen.outcome = Some(Outcome { status: 200, bytes: 5_000, origin_ms: Some(20) });
            if let Some(rule) = plan.decide(&seen.attrs, at_ms)
                && rule.action == Action::Block
            {
                seen.handling = Handling::Blocked(rule.id);
            }
            let passed = seen.handling.passed();
            company.told(passed);
            let counts = match planned.label {
                Label::Attack if outcomes.rule_after_ms.is_some() => Some(&mut outcomes.attack),
                Label::Honest => Some(&mut outcomes.honest),
                _ => None,
            };
            if let Some((refused, all)) = counts {
                *refused += u64::from(!passed);
                *all += 1;
            }
            batch.push(seen);
        }
        engine.learn_names(&writer.take_names());
        for effect in engine.step(t0_ms + now_ms, &batch) {
            if let Effect::Publish(new) = effect {
                let first = !new.rules().is_empty() && outcomes.rule_after_ms.is_none();
                if first {
                    outcomes.rule_after_ms = Some(now_ms.saturating_sub(ATTACK_MS));
                }
                plan = new;
            }
        }
    }
    outcomes
}

#[test]
fn with_its_memory_a_restarted_node_defends_as_fast_as_one_that_went_on() {
    with_seeds(|seed| {
        let went_on = scene(Restart::None, seed);
        for restart in [Restart::WithMemory, Restart::ClockSetBack] {
            let restarted = scene(restart, seed);
            println!("went on {went_on:?}, {restart:?} {restarted:?}");
            let after_ms = |o: &Outcomes| o.rule_after_ms.expect("a rule");
            // Both search every 200 ms, at moments of their own.
            assert!(after_ms(&restarted) <= after_ms(&went_on) + 200);
            let (refused, all) = restarted.attack;
            assert!(refused * 100 >= all * 95, "attack refused {refused}/{all}");
            let (refused, all) = restarted.honest;
            assert!(refused * 300 <= all, "honest refused {refused}/{all}");
        }
    });
}

#[test]
fn without_it_the_same_node_has_nothing_to_judge_by() {
    with_seeds(|seed| {
        let score = scene(Restart::WithoutMemory, seed);
        assert_eq!((score.rule_after_ms, score.honest.0), (None, 0), "{score:?}");
    });
}
