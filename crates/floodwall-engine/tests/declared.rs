//! Declared events: what a calendar may change, and what it must not. A calendar is public, so an
//! attacker comes while a crowd is expected, on its page or beside it.

mod support;

use floodwall_engine::Engine;
use floodwall_model::{Event, EventPath};
use floodwall_sim::attack::{Disguise, UrlPattern};
use floodwall_sim::site::RESULTS;
use floodwall_sim::trial::T0_MS;
use floodwall_sim::{CouncilConfig, Label, VisitorsConfig};
use support::{Score, Stage0, View, run_told, with_seeds};

/// Declares results night, from the second minute on, before the first step.
fn declare(engine: &mut Engine, after_ms: u64) {
    if after_ms == 100 {
        engine.declare(vec![Event {
            name: "Results night".into(),
            from_ms: T0_MS + 60_000,
            until_ms: T0_MS + 3_600_000,
            repeat: None,
            paths: vec![EventPath::parse(RESULTS).expect("a path")],
            expected_factor: Some(20),
        }]);
    }
}

/// A minute of quiet, then the declared crowd, and 20 seconds later an attack on `target`.
fn night(target: &str, seed: u64) -> Score {
    night_told(target, seed, declare)
}

/// The same with or without somebody who declares it.
fn night_told(target: &str, seed: u64, tell: impl FnMut(&mut Engine, u64)) -> Score {
    let stage = Stage0::new(seed);
    let crowd = VisitorsConfig { start_ms: 60_000, ..VisitorsConfig::crowd(300.0, RESULTS) };
    let attack = CouncilConfig {
        start_ms: 80_000,
        end_ms: 110_000,
        disguise: Disguise::StolenAgents,
        patterns: Some(vec![UrlPattern { path: target.to_owned(), random_query: None }]),
        ..Default::default()
    };
    let streams = vec![
        stage.visitors(VisitorsConfig::honest(50.0)),
        stage.visitors(crowd),
        stage.council(attack),
    ];
    run_told(streams, 110_000, View::Gateway, seed, tell)
}

fn check_stopped(score: &Score) {
    let rule_ms = score.first_rule_ms.expect("a rule");
    assert!((80_000..=86_000).contains(&rule_ms), "rule at {rule_ms} ms");
    assert!(score.leakage() <= 0.4, "{}", score.leakage());
}

#[test]
fn an_attack_beside_a_declared_crowd_gets_its_rule() {
    with_seeds(|seed| {
        let score = night("/donate", seed);
        check_stopped(&score);
        let refused = score.refused_share(Label::Crowd);
        assert!(refused <= 0.003, "{refused} of the crowd refused: {:?}", score.rules);
    });
}

/// Conduct tells them apart, and a declaration does not reopen what conduct has settled. The crowd
/// on that very page had paid for it, by up to three in a hundred where the rule rested on values
/// never seen before, until visitors who are there could refute such a rule.
#[test]
fn an_attack_on_the_declared_page_itself_gets_its_rule_too() {
    with_seeds(|seed| {
        let score = night(RESULTS, seed);
        check_stopped(&score);
        let undeclared = night_told(RESULTS, seed, |_, _| ());
        let refused = [&score, &undeclared].map(|score| score.refused_share(Label::Crowd));
        assert!(refused.iter().all(|share| *share <= 0.003), "{refused:?} of the crowd refused");
    });
}

#[test]
fn the_account_of_an_attack_names_the_declared_event() {
    with_seeds(|seed| {
        let score = night("/donate", seed);
        let mut timelines = score.incidents.values().flat_map(|incident| &incident.timeline);
        let told = timelines.any(|entry| entry.text.contains("“Results night”"));
        assert!(told, "no account names the event");
    });
}
