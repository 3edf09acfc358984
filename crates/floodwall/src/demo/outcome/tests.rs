use super::*;
use crate::demo::meter::Ending;

fn rule(id: u32, action: &'static str, placed_at_ms: u64) -> RuleView {
    let words = format!("requests of kind {id}");
    RuleView { id, words, action, placed_at_ms, in_force: true }
}

fn outcome(rules: &[RuleView], fill: impl FnOnce(&Meter)) -> Outcome {
    let (meter, origin, load) =
        (Meter::default(), OriginCounters::default(), LoadCounters::default());
    fill(&meter);
    Outcome::new(&Measured {
        meter: &meter,
        origin: &origin,
        load: &load,
        rules,
        defence: DefenceCounters::default(),
        onset_at_ms: Some(10_000),
        crowd_at_ms: Some(50_000),
        seed: 7,
        fast: true,
    })
}

/// A thousand honest requests in each phase, of which `bad` end badly under attack.
fn thousand(meter: &Meter, bad: u64) {
    for n in 0..1_000 {
        for phase in [Phase::Before, Phase::UntilRule, Phase::During, Phase::After] {
            let ending =
                if phase == Phase::During && n < bad { Ending::TimedOut } else { Ending::Well };
            meter.count(Label::Honest, phase, ending, 2_000, 0);
        }
        meter.count(Label::Attack, Phase::During, Ending::Blocked, 100, 0);
        meter.count(Label::Crowd, Phase::Crowd, Ending::Well, 3_000, 0);
    }
}

#[test]
fn the_json_object_has_every_figure_promised() {
    let json = serde_json::to_value(outcome(&[rule(1, "block", 11_900)], |m| thousand(m, 2)));
    let json = json.unwrap();
    assert_eq!(json["onset_to_rule_s"], 1.9);
    for phase in ["before", "until_rule", "during", "after"] {
        assert!(json["honest_success"][phase].is_number(), "{phase}");
        assert!(json["honest_p95_ms"][phase].as_f64().is_some_and(|ms| (ms - 2.0).abs() < 0.05));
    }
    assert_eq!(json["honest_success"]["during"], 0.998);
    for key in ["attack_leakage", "honest_blocked", "crowd_blocked"] {
        assert_eq!(json[key], 0.0, "{key}");
    }
    assert_eq!(json["crowd_block_rules"], 0);
    assert_eq!(json["rules"], serde_json::json!(["block: requests of kind 1"]));
    assert!(json["targets"].as_array().unwrap().iter().all(|t| t["met"] == true));
}

#[test]
fn without_a_rule_nothing_is_claimed_for_the_time_after_it() {
    let outcome = outcome(&[], |meter| {
        meter.count(Label::Honest, Phase::UntilRule, Ending::Unavailable, 1, 0);
    });
    let json = serde_json::to_value(&outcome).unwrap();
    for absent in
        [&json["onset_to_rule_s"], &json["honest_success"]["during"], &json["attack_leakage"]]
    {
        assert!(absent.is_null());
    }
    assert!(!outcome.all_met());
    let words = outcome.summary();
    assert!(words.contains("No rule was placed") && words.contains("not measured"), "{words}");
}

#[test]
fn rules_count_for_the_scene_in_which_they_were_placed() {
    let rules = [
        rule(1, "block", 9_000),
        rule(2, "throttle", 12_000),
        rule(3, "block", 51_000),
        rule(4, "throttle", 52_000),
    ];
    let outcome = outcome(&rules, |meter| thousand(meter, 0));
    assert_eq!(outcome.onset_to_rule_s, Some(2.0));
    assert_eq!((outcome.rules_before_attack, outcome.crowd_block_rules), (1, Some(1)));
    assert!(!outcome.all_met());
}

#[test]
fn an_honest_visitor_whom_the_kernel_drops_counts_as_kept_out() {
    let outcome = outcome(&[rule(1, "block", 11_000)], |meter| {
        thousand(meter, 0);
        (0..100).for_each(|_| meter.count(Label::Honest, Phase::During, Ending::Unreachable, 1, 0));
    });
    assert!(outcome.honest_blocked.is_some_and(|share| share > 0.02));
    assert!(!outcome.all_met());
    assert!(outcome.summary().contains("MISSED  honest requests kept out"));
}
