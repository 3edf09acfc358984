//! Sites with hardly any visitors, and sites started a moment ago: never too little traffic for any
//! protection, and never a rule against a crowd because nobody had come before it.

mod support;

use floodwall_sim::attack::Disguise;
use floodwall_sim::site::RESULTS;
use floodwall_sim::{CouncilConfig, Label, VisitorsConfig};
use support::{Score, Stage0, View, run, seeds};

/// Requests/s of the site.
const SITE_RPS: f64 = 0.2;

/// `past_s` seconds of the site, then the attack for thirty.
fn council(past_s: u64, disguise: Disguise, seed: u64) -> Score {
    let (stage, start_ms) = (Stage0::new(seed), past_s * 1_000);
    let attack =
        CouncilConfig { start_ms, end_ms: start_ms + 30_000, disguise, ..Default::default() };
    let streams = vec![stage.visitors(VisitorsConfig::honest(SITE_RPS)), stage.council(attack)];
    run(streams, start_ms + 30_000, View::Gateway, seed)
}

/// `past_s` seconds of the site, then a crowd of `crowd_rps` for forty; by push message through one
/// app that nobody had used here, or by all sorts of browsers.
fn crowd(past_s: u64, crowd_rps: f64, through_app: bool, seed: u64) -> Score {
    let (stage, start_ms) = (Stage0::new(seed), past_s * 1_000);
    let config = match through_app {
        true => VisitorsConfig::push_crowd(crowd_rps, RESULTS, seed),
        false => VisitorsConfig::crowd(crowd_rps, RESULTS),
    };
    let crowd = stage.visitors(VisitorsConfig { start_ms, ..config });
    let streams = vec![stage.visitors(VisitorsConfig::honest(SITE_RPS)), crowd];
    run(streams, start_ms + 40_000, View::Gateway, seed)
}

fn check_untouched(score: &Score, what: &str) {
    assert_eq!(score.block_rules, 0, "{what}: {:?}", score.rules);
    assert_eq!((score.refused(Label::Crowd).0, score.refused(Label::Honest).0), (0, 0), "{what}");
}

#[test]
fn twenty_times_the_traffic_of_a_site_of_yesterday_or_of_a_minute_is_let_in() {
    for seed in seeds(20) {
        for (past_s, through_app) in [(10, false), (10, true), (900, false), (900, true)] {
            let score = crowd(past_s, 20.0 * SITE_RPS, through_app, seed);
            check_untouched(&score, &format!("{past_s} s, app {through_app}, seed {seed}"));
        }
    }
}

#[test]
fn a_crowd_that_drowns_a_small_site_is_let_in_however_little_is_known() {
    for (n, seed) in seeds(20).into_iter().enumerate() {
        let past_s = [10, 60, 300, 600, 1_200][n % 5];
        let rps = [100.0, 300.0, 1_000.0][n % 3];
        for through_app in [false, true] {
            let score = crowd(past_s, rps, through_app, seed);
            let what = format!("{rps}/s after {past_s} s, app {through_app}, seed {seed}");
            check_untouched(&score, &what);
        }
    }
}

#[test]
fn the_council_attack_on_a_site_with_an_hour_of_hardly_any_past_is_stopped_in_three_seconds() {
    for seed in seeds(4) {
        let score = council(3_600, Disguise::StolenAgents, seed);
        let after_ms = score.first_rule_ms.expect("a rule") - 3_600_000;
        println!(
            "seed {seed}: rule after {after_ms} ms, honest {:?}",
            score.refused(Label::Honest)
        );
        assert!(after_ms <= 3_000, "{after_ms} ms (seed {seed})");
        assert_eq!(score.refused(Label::Honest).0, 0, "seed {seed}: {:?}", score.rules);
    }
}

/// About 120 requests of the past are known then, too few to measure any rule on. What no browser
/// sends is stopped all the same: in 54 of 60 runs when measured, because some tools send what browsers
/// send. At that share fewer than 3 of 8 come by chance once in 40,000 (binomial); at one half, as
/// when this was found to fail, once in 7.
#[test]
fn ten_minutes_after_the_start_what_no_browser_sends_is_stopped_already() {
    let scores: Vec<Score> =
        seeds(8).into_iter().map(|seed| council(600, Disguise::StolenAgents, seed)).collect();
    let in_time = |s: &&Score| s.first_rule_ms.is_some_and(|ms| ms <= 603_000);
    let stopped = scores.iter().filter(in_time).count();
    println!("{stopped} of {}", scores.len());
    assert!(stopped * 3 >= scores.len(), "{stopped} of {} within 3 s", scores.len());
    for score in &scores {
        assert_eq!(score.refused(Label::Honest).0, 0, "{:?}", score.rules);
    }
}

#[test]
fn on_so_little_nothing_is_made_up_against_whole_browsers_or_tools_that_say_what_they_are() {
    for seed in seeds(4) {
        for disguise in [Disguise::JointMimic, Disguise::PlainTool, Disguise::OneBrowser] {
            let score = council(300, disguise, seed);
            assert_eq!(score.block_rules, 0, "{disguise:?}, seed {seed}: {:?}", score.rules);
        }
    }
}
