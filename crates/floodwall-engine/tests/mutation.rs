//! An attacker who changes what his clients look like as soon as he is stopped.

mod support;

use std::collections::HashMap;
use std::net::IpAddr;

use floodwall_sim::attack::Disguise;
use floodwall_sim::{Council, CouncilConfig, Deaf, Label, Planned, Traffic, VisitorsConfig};
use support::{Score, Stage0, View, median, run, seeds};

/// When the attack changes, ms: before its sources have been refused often enough to be banned.
const MUTATION_MS: u64 = 67_000;
const END_MS: u64 = 90_000;

/// Sixty quiet seconds, seven of the attack, then the rest of it with another kit: other tool, other
/// stolen names, other pages. Its machines are the same ones, or others.
fn mutating(disguise: Disguise, same_sources: bool, seed: u64) -> Score {
    let stage = Stage0::new(seed);
    let attack =
        |start_ms, end_ms| CouncilConfig { start_ms, end_ms, disguise, ..Default::default() };
    let mut first = planned(&stage, &attack(60_000, MUTATION_MS));
    let changed = Stage0 { seed: seed ^ 0x6d75_7461, ..Stage0::new(seed) };
    let mut second = planned(&changed, &attack(MUTATION_MS, END_MS));
    if same_sources {
        take_over(&mut second, &first);
    }
    first.append(&mut second);
    played(&stage, first, seed)
}

/// The same attack, whose tool sends its headers in another order from a moment on.
fn reordering(seed: u64) -> Score {
    let stage = Stage0::new(seed);
    let attack = CouncilConfig { start_ms: 60_000, end_ms: END_MS, ..Default::default() };
    let mut attack = planned(&stage, &attack);
    for planned in attack.iter_mut().filter(|p| p.at_ms >= MUTATION_MS) {
        planned.request.headers.reverse();
    }
    played(&stage, attack, seed)
}

fn planned(stage: &Stage0, config: &CouncilConfig) -> Vec<Planned> {
    Council::new(config, &stage.site, &stage.plan.attack, &stage.mix, stage.seed).collect()
}

/// What comes from the change on is the attack's second wave.
fn played(stage: &Stage0, mut attack: Vec<Planned>, seed: u64) -> Score {
    for planned in &mut attack {
        planned.wave = u32::from(planned.at_ms >= MUTATION_MS);
    }
    let streams: Vec<Box<dyn Traffic>> = vec![
        stage.visitors(VisitorsConfig::honest(100.0)),
        Box::new(Deaf::new(attack.into_iter())),
    ];
    run(streams, END_MS, View::Gateway, seed)
}

/// Gives `requests` the sources of `others`, one for one.
fn take_over(requests: &mut [Planned], others: &[Planned]) {
    let mut free: Vec<IpAddr> = others.iter().map(|p| p.source).collect();
    free.sort_unstable();
    free.dedup();
    let mut taken: HashMap<IpAddr, IpAddr> = HashMap::new();
    for planned in requests {
        let next = taken.len() % free.len();
        planned.source = *taken.entry(planned.source).or_insert(free[next]);
    }
}

fn check(what: &str, scene: impl Fn(u64) -> Score, median_s_max: f64) {
    let scores: Vec<Score> = seeds(6).into_iter().map(scene).collect();
    let held_s: Vec<f64> = scores
        .iter()
        .flat_map(Score::stopped_again_ms)
        .map(|ms| ms.map_or(f64::INFINITY, |ms| ms as f64 / 1000.0))
        .collect();
    assert_eq!(held_s.len(), scores.len(), "one change each");
    let (refused, all) = scores
        .iter()
        .map(|s| s.refused(Label::Honest))
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{what}: held again after {held_s:?} s, honest refused {refused}/{all}");
    assert!(median(held_s.clone()) <= median_s_max, "{what}: {held_s:?} s");
    assert!(refused * 1_000 <= all, "{what}: honest refused {refused}/{all}");
}

#[test]
fn another_tool_on_the_same_machines_is_held_again_within_two_seconds() {
    check("other tool", |seed| mutating(Disguise::StolenAgents, true, seed), 2.0);
}

#[test]
fn another_tool_on_other_machines_is_held_again_within_two_seconds() {
    check("other tool and machines", |seed| mutating(Disguise::StolenAgents, false, seed), 2.0);
}

#[test]
fn another_list_of_names_is_held_again_within_two_seconds() {
    check("other names", |seed| mutating(Disguise::RandomAgent, true, seed), 2.0);
}

/// The backup kept for this very change is in force with the first tick.
#[test]
fn other_headers_under_the_same_names_meet_a_backup_at_once() {
    check("other header order", reordering, 0.5);
}
