//! A restart in front of an attack: what was learned before it must defend at once.

mod support;

use floodwall_sim::attack::Disguise;
use floodwall_sim::{CouncilConfig, Label, VisitorsConfig};
use support::{Restart, Score, Stage0, View, run_restarted, with_seeds};

/// Ten minutes of 20 honest requests a second, a restart, and five seconds later the attack.
fn scene(restart: Option<Restart>, seed: u64) -> Score {
    let stage = Stage0::new(seed);
    let attack = CouncilConfig {
        start_ms: ATTACK_MS,
        end_ms: ATTACK_MS + 15_000,
        disguise: Disguise::StolenAgents,
        ..Default::default()
    };
    let streams = vec![stage.visitors(VisitorsConfig::honest(20.0)), stage.council(attack)];
    run_restarted(streams, ATTACK_MS + 15_000, View::Gateway, seed, restart)
}

const RESTART_MS: u64 = 600_000;
const ATTACK_MS: u64 = 605_000;

#[test]
fn with_its_memory_a_restarted_node_defends_as_fast_as_one_that_went_on() {
    with_seeds(|seed| {
        let after_ms = |score: &Score| score.first_rule_ms.expect("a rule") - ATTACK_MS;
        let went_on = scene(None, seed);
        let restart = Restart { at_ms: RESTART_MS, with_memory: true };
        let restarted = scene(Some(restart), seed);
        println!("went on {} ms, restarted {} ms", after_ms(&went_on), after_ms(&restarted));
        // Both search every 200 ms and at moments of their own.
        assert!(after_ms(&restarted) <= after_ms(&went_on) + 200);
        assert!(restarted.leakage() <= 0.02, "{}", restarted.leakage());
        let (refused, all) = restarted.refused(Label::Honest);
        assert!(refused * 300 <= all, "honest refused {refused}/{all}");
    });
}

#[test]
fn without_it_the_same_node_has_nothing_to_judge_by() {
    with_seeds(|seed| {
        let restart = Restart { at_ms: RESTART_MS, with_memory: false };
        let score = scene(Some(restart), seed);
        assert_eq!(score.block_rules, 0, "{:?}", score.rules);
    });
}
