//! Every packet scenario at several ratios with fresh seeds: how soon, how much gets through, whom
//! it hits. `cargo run --release -p floodwall-engine --example packet_survey [SEED] [SEEDS]`

#[path = "../tests/support/packets.rs"]
mod packets;

use floodwall_sim::packets::{Kind, scenario};

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|a| a.parse::<u64>().ok());
    let first = args.next().unwrap_or_else(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |d| d.as_nanos() as u64 % 1_000_000)
    });
    let seeds = args.next().unwrap_or(2);
    let only = std::env::var("KIND").ok();
    println!(
        "{:24} {:>5} {:>8} {:>7} {:>7} {:>8} {:>8} {:>9} {:>7} {:>7} rules",
        "scenario",
        "ratio",
        "seed",
        "rule_ms",
        "held_ms",
        "leak_%",
        "collat_%",
        "guarded",
        "honest",
        "attack"
    );
    for kind in Kind::ALL {
        if only.as_deref().is_some_and(|k| k != kind.name()) {
            continue;
        }
        for ratio in [0.5, 3.0, 20.0] {
            for seed in first..first + seeds {
                let stream = scenario(*kind, ratio, seed);
                let (honest_pps, attack_pps) = (stream.honest_pps(), stream.attack_pps());
                let outcome = packets::run(stream, seed);
                let ms = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| ms.to_string());
                println!(
                    "{:24} {ratio:>5} {seed:>8} {:>7} {:>7} {:>8.2} {:>8.4} {:>9} {honest_pps:>7.0} {attack_pps:>7.0} {}",
                    kind.name(),
                    ms(outcome.rule_ms),
                    ms(outcome.held_ms),
                    outcome.leakage() * 100.0,
                    outcome.collateral() * 100.0,
                    outcome.honest_guarded + outcome.honest_challenged,
                    outcome.rules.len(),
                );
                if std::env::var_os("WORDS").is_some() {
                    for (id, words) in &outcome.rules {
                        println!("      {id} {words}");
                    }
                    println!(
                        "      passed {:?} dropped {:?} {:?} spoofing {:?}",
                        outcome.passed_by_group,
                        outcome.dropped_by_group,
                        outcome.refusal,
                        outcome
                            .incidents
                            .iter()
                            .map(|i| i.packets.as_ref().map(|p| p.spoofing))
                            .collect::<Vec<_>>()
                    );
                }
            }
        }
    }
}
