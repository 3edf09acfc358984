//! Prints a table over disguises, views and rates: a look at all of them, not a test of any.
//! `cargo run -p floodwall-engine --example survey`; FLOODWALL_SEEDS says how many seeds, FLOODWALL_PAST_S
//! how many quiet seconds come before.

#[path = "../tests/support/mod.rs"]
mod support;

use floodwall_sim::attack::Disguise;
use floodwall_sim::{CouncilConfig, Label, VisitorsConfig};
use support::{Stage0, View, run, with_seeds};

/// Quiet seconds before the attack.
fn past_s() -> u64 {
    std::env::var("FLOODWALL_PAST_S").ok().and_then(|s| s.parse().ok()).unwrap_or(60)
}

fn main() {
    println!("view       disguise          rps  rule after  leakage  honest refused  rules");
    with_seeds(|seed| {
        for view in [View::Gateway, View::AccessLog] {
            for disguise in Disguise::ALL {
                for rps in [20.0, 100.0] {
                    let past_ms = past_s() * 1000;
                    let end_ms = past_ms + 30_000;
                    let stage = Stage0::new(seed);
                    let attack =
                        CouncilConfig { start_ms: past_ms, end_ms, disguise, ..Default::default() };
                    let streams =
                        vec![stage.visitors(VisitorsConfig::honest(rps)), stage.council(attack)];
                    let score = run(streams, end_ms, view, seed);
                    let after = score.first_rule_ms.map_or("none".to_owned(), |ms| {
                        format!("{:.1} s", (ms as f64 - past_ms as f64) / 1000.0)
                    });
                    println!(
                        "{:<10} {:<17} {:>3}  {:>10}  {:>7.4}  {:>14.5}  {:?}",
                        format!("{view:?}"),
                        format!("{disguise:?}"),
                        rps,
                        after,
                        score.leakage(),
                        score.refused_share(Label::Honest),
                        score.rules,
                    );
                    if score.rules.is_empty() {
                        println!("    because {:?}", score.refusals);
                    }
                }
            }
        }
    });
}
