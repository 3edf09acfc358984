//! When the first hour is long over and new software has to ripen: what was stopped before is stopped
//! still, and who comes with something new is no stranger for that.

mod support;

use floodwall_sim::attack::Disguise;
use floodwall_sim::site::RESULTS;
use floodwall_sim::{CouncilConfig, Label, VisitorsConfig};
use support::{Stage0, View, run, with_seeds};

/// An hour and a half: everything met in the last half is on its way to ripen.
const PAST_MS: u64 = 5_400_000;

#[test]
fn the_council_attack_is_stopped_in_three_seconds() {
    with_seeds(|seed| {
        let stage = Stage0::new(seed);
        let attack = CouncilConfig {
            start_ms: PAST_MS,
            end_ms: PAST_MS + 20_000,
            disguise: Disguise::StolenAgents,
            ..Default::default()
        };
        let streams = vec![stage.visitors(VisitorsConfig::honest(10.0)), stage.council(attack)];
        let score = run(streams, PAST_MS + 20_000, View::Gateway, seed);
        let after_ms = score.first_rule_ms.expect("a rule") - PAST_MS;
        println!("rule after {after_ms} ms, {:?}", score.refused(Label::Honest));
        assert!(after_ms <= 3_000, "{after_ms} ms");
        let (refused, all) = score.refused(Label::Honest);
        assert!(refused * 1_000 <= all, "honest refused {refused}/{all}: {:?}", score.rules);
    });
}

#[test]
fn a_crowd_through_an_app_that_is_not_ripe_is_let_in() {
    with_seeds(|seed| {
        let stage = Stage0::new(seed);
        let app = VisitorsConfig::push_crowd(1_000.0, RESULTS, seed);
        let crowd = stage.visitors(VisitorsConfig { start_ms: PAST_MS, ..app });
        let streams = vec![stage.visitors(VisitorsConfig::honest(10.0)), crowd];
        let score = run(streams, PAST_MS + 40_000, View::Gateway, seed);
        assert_eq!(score.block_rules, 0, "{:?}", score.rules);
        assert_eq!((score.refused(Label::Crowd).0, score.refused(Label::Honest).0), (0, 0));
    });
}
