//! Prints a table over disguises, views and rates: a look at all of them, not a test of any.
//! `cargo run -p floodwall-engine --example survey`; FLOODWALL_SEEDS says how many seeds.

#[path = "../tests/support/mod.rs"]
mod support;

use floodwall_sim::attack::Disguise;
use floodwall_sim::{CouncilConfig, Label, VisitorsConfig};
use support::{Stage0, View, run, with_seeds};

fn main() {
    println!("view       disguise          rps  rule after  leakage  honest refused  rules");
    with_seeds(|seed| {
        for view in [View::Gateway, View::AccessLog] {
            for disguise in Disguise::ALL {
                for rps in [20.0, 100.0] {
                    let stage = Stage0::new(seed);
                    let attack = CouncilConfig {
                        start_ms: 60_000,
                        end_ms: 90_000,
                        disguise,
                        ..Default::default()
                    };
                    let streams =
                        vec![stage.visitors(VisitorsConfig::honest(rps)), stage.council(attack)];
                    let score = run(streams, 90_000, view, seed);
                    let after = score.first_rule_ms.map_or("none".to_owned(), |ms| {
                        format!("{:.1} s", (ms as f64 - 60_000.0) / 1000.0)
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
