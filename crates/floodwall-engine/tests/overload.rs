//! What a flood that overloads Floodwall itself may not bring about: rules made from what is left of
//! the picture.

mod support;

use floodwall_engine::{Engine, Shed};
use floodwall_sim::{CouncilConfig, VisitorsConfig};
use support::{Score, Stage0, View, run_told, with_seeds};

/// A minute of quiet, then the reference attack for 40 seconds; `tell` is called before each step.
fn attack(seed: u64, tell: impl FnMut(&mut Engine, u64)) -> Score {
    let stage = Stage0::new(seed);
    let attack = CouncilConfig { start_ms: 60_000, end_ms: 100_000, ..Default::default() };
    let streams = vec![stage.visitors(VisitorsConfig::honest(100.0)), stage.council(attack)];
    run_told(streams, 100_000, View::Gateway, seed, tell)
}

/// A fifth of what comes is lost until the 80th second: nobody is blocked before, and the account
/// says why.
#[test]
fn while_much_is_lost_nobody_new_is_blocked() {
    with_seeds(|seed| {
        let mut why = None;
        let score = attack(seed, |engine, after_ms| {
            if (59_000..80_000).contains(&after_ms) {
                engine.observations_lost(30);
            }
            if after_ms == 79_000 {
                let status = engine.status();
                assert!(status.health.lost_10s_share > 0.05, "{}", status.health.lost_10s_share);
                why = status.nothing_placed_because.or(status.health.blindness);
            }
        });
        let placed = score.first_rule_ms.expect("a rule once enough is seen again");
        assert!(placed >= 80_000, "rule at {placed} ms although much was lost");
        let why = why.expect("a reason");
        assert!(why.contains("were not observed"), "{why}");
        let mut timelines = score.incidents.values().flat_map(|incident| &incident.timeline);
        assert!(timelines.any(|e| e.text.contains("were not observed")));
    });
}

/// Loss that begins after the rule was placed takes nothing away.
#[test]
fn a_rule_in_force_outlives_loss() {
    with_seeds(|seed| {
        let mut in_force = 0;
        let score = attack(seed, |engine, after_ms| {
            if after_ms >= 75_000 {
                engine.observations_lost(1_000);
            }
            if after_ms == 95_000 {
                in_force = engine.status().rules.len();
            }
        });
        assert!(score.first_rule_ms.is_some_and(|ms| ms < 75_000), "{:?}", score.first_rule_ms);
        assert!(in_force > 0, "the rule is gone");
    });
}

/// With all that can be given up given up, the attack is stopped all the same, a little later.
#[test]
fn an_engine_that_cannot_keep_up_sheds_and_still_stops_the_attack() {
    with_seeds(|seed| {
        let mut given_up = Vec::new();
        let score = attack(seed, |engine, after_ms| {
            if after_ms > 40_000 {
                engine.step_took(100);
            }
            given_up = engine.status().health.given_up;
        });
        for (shed, times) in &given_up {
            let expected = *shed != Shed::Refused || score.block_rules > 0;
            assert!(*times > 0 || !expected, "{shed:?} was never given up: {given_up:?}");
        }
        let placed = score.first_rule_ms.expect("a rule");
        assert!((60_000..=67_000).contains(&placed), "rule at {placed} ms");
    });
}
