//! The promise about recorded attacks: mixed into recorded honest traffic, with addresses, ports,
//! TTLs, identifiers and rates rewritten, each is described within seconds and nobody else is hit.
//! And recorded honest traffic alone loses nothing but nonsense.
//!
//! The recordings are not part of the project; without them this prints that it skipped.

#[path = "captures/data.rs"]
mod data;
#[path = "captures/nonsense.rs"]
mod nonsense;
#[path = "captures/score.rs"]
mod score;

use floodwall_sim::packets::mix::{Filter, MixConfig, Recording, mix};

use data::Labelled;
use score::{Score, replay};

/// Attack packets per honest one.
const RATIOS: [f64; 3] = [0.5, 2.0, 10.0];
/// Most of the attack's packets that may pass once 1.5 s have gone by.
const LEAKAGE_MAX: f64 = 0.02;
/// Most of the other packets that a rule may drop.
const COLLATERAL_MAX: f64 = 0.000_5;

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn scores(
    labelled: &Labelled,
    background: &[Recording],
    first_seed: u64,
    seeds: u64,
) -> Vec<Score> {
    let attack = Recording::read(&labelled.bytes).expect("a labelled capture is readable");
    let filter = Filter::parse(&labelled.filter).expect("its label is understood");
    let mut scores = Vec::new();
    for seed in first_seed..first_seed + seeds {
        for ratio in RATIOS {
            let mixed = mix(&attack, &filter, background, &MixConfig::new(ratio, seed))
                .expect("there is an attack and a background");
            let score = replay(&mixed);
            println!("{:52} {ratio:>5} seed {seed}: {score}", labelled.name);
            scores.push(score);
        }
    }
    scores
}

#[test]
fn every_labelled_attack_is_described_in_time_and_nobody_else_is_hit() {
    let Some(data) = data::folder() else { return };
    let (first_seed, seeds) = data::seeds();
    let background = data::background(&data);
    for labelled in data::labelled(&data) {
        let scores = scores(&labelled, &background, first_seed, seeds);
        let leakage = median(scores.iter().map(Score::leakage).collect());
        let (dropped, others) =
            scores.iter().fold((0, 0), |(d, o), s| (d + s.others_dropped_by_rule, o + s.others));
        let collateral = dropped as f64 / others.max(1) as f64;
        assert!(
            collateral <= COLLATERAL_MAX,
            "{}: rules dropped {dropped} of {others} other packets",
            labelled.name
        );
        // Of this recording a fifth are attempts to connect with the header of an ordinary system,
        // a few a second each: what tells them apart is what SYN cookies ask for, which a recording
        // cannot answer.
        let ordinary_syns = labelled.filter == "tcp";
        let leakage_max = if ordinary_syns { 0.35 } else { LEAKAGE_MAX };
        assert!(leakage <= leakage_max, "{}: leakage {leakage}", labelled.name);
    }
}

#[test]
fn recorded_honest_traffic_loses_nothing_but_nonsense() {
    let Some(data) = data::folder() else { return };
    let (mut files, mut packets, mut challenged) = (0, 0, 0);
    let mut kinds = std::collections::BTreeMap::new();
    let mut of_no_kind = Vec::new();
    for path in data::captures(&data.join("pcap/benign")) {
        let decisions = score::decisions_on(&path);
        files += 1;
        packets += decisions.len();
        challenged += decisions.iter().filter(|d| d.verdict == "challenge").count();
        let dropped = |(at, decision): (usize, score::Decision)| {
            (decision.verdict == "drop").then_some((at, decision.why))
        };
        let dropped: Vec<_> = decisions.into_iter().enumerate().filter_map(dropped).collect();
        if dropped.is_empty() {
            continue;
        }
        let frames = data::frames(&path);
        for (at, why) in dropped {
            let frame = frames.get(at).expect("what was decided upon was recorded");
            match nonsense::kind(&why, frame) {
                Some(kind) => *kinds.entry((why, kind)).or_insert(0u64) += 1,
                None => of_no_kind.push(format!("{} packet {}: {why}", path.display(), at + 1)),
            }
        }
    }
    println!("{files} captures, {packets} packets, {challenged} asked for a SYN cookie");
    for ((why, kind), count) in &kinds {
        println!("dropped as {why}: {count} × {kind}");
    }
    assert!(of_no_kind.is_empty(), "dropped, and nobody has justified it: {of_no_kind:#?}");
    let dropped: u64 = kinds.values().sum();
    assert!(dropped * 500 <= packets as u64, "{dropped} of {packets} are called nonsense");
}

/// The list that the test above holds drops against, and the document that justifies it, are one.
#[test]
fn every_kind_that_may_be_dropped_is_justified_in_the_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/decisions/0008-kernel-filter.md");
    let document = std::fs::read_to_string(path).expect("the document is there");
    for (reason, kind) in nonsense::KINDS {
        let row = document.lines().find(|line| line.contains(&format!("| {kind} |")));
        let row = row.unwrap_or_else(|| panic!("no row for: {kind}"));
        assert!(row.contains(&format!("| `{reason}` |")), "{row}");
    }
}
