//! Few sources, each far faster than any person: what limits per source are for.

mod support;

use floodwall_sim::attack::{Disguise, Kit, UrlPattern};
use floodwall_sim::{Deaf, FloodFew, Label, VisitorsConfig};
use support::{Score, Stage0, View, run, with_seeds};

/// A minute of 50 honest requests a second, then `sources` send `rps` in all for twenty seconds.
fn flood(sources: usize, rps: f64, disguise: Disguise, seed: u64) -> Score {
    let stage = Stage0::new(seed);
    let mut rng = fastrand::Rng::with_seed(seed);
    let patterns = UrlPattern::drawn(&stage.site, 2, &mut rng);
    let kit = Kit::new(disguise, &stage.site, patterns, &stage.mix, &mut rng);
    let span = (60_000, 80_000);
    let flood = FloodFew::new(kit, &stage.plan.attack, sources, rps, span, seed);
    let honest = stage.visitors(VisitorsConfig::honest(50.0));
    run(vec![honest, Box::new(Deaf::new(flood))], 80_000, View::Gateway, seed)
}

#[test]
fn a_tool_on_five_machines_is_blocked_or_held_to_a_visitors_rate() {
    with_seeds(|seed| {
        let score = flood(5, 500.0, Disguise::StolenAgents, seed);
        println!("{score:#?}");
        let rule_ms = score.first_rule_ms.expect("a rule");
        assert!((60_000..=63_500).contains(&rule_ms), "rule at {rule_ms} ms");
        assert!(score.refused_share(Label::Honest) <= 0.003);
        if score.block_rules > 0 {
            assert!(score.bans >= 5, "each of them is banned: {}", score.bans);
        }
    });
}

#[test]
fn a_perfect_mimic_on_ten_machines_is_throttled_at_most() {
    with_seeds(|seed| {
        let score = flood(10, 500.0, Disguise::JointMimic, seed);
        println!("{score:#?}");
        // From outside, ten such machines look like ten offices: whether they are throttled depends
        // on how unusual their mix of clients is, and blocked they must not be.
        assert_eq!(score.block_rules, 0, "{:?}", score.rules);
        assert_eq!(score.refused_share(Label::Honest), 0.0);
    });
}
