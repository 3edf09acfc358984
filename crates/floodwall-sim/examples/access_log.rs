//! Prints an access log in combined format: everyday visitors, the council attack in the middle,
//! visitors again. With a second argument, writes who sent each line (`honest`, `attack`) there, so
//! that decisions can be judged.
//!
//! `cargo run --release -p floodwall-sim --example access_log -- SEED [LABELS] >access.log`

use std::io::{BufWriter, Write};
use std::sync::Arc;

use floodwall_sim::attack::Disguise;
use floodwall_sim::{
    AddressPlan, ClientMix, Council, CouncilConfig, Label, OpenLoop, Planned, SessionArrivals,
    Site, VisitorsConfig, merge,
};

const HONEST_RPS: f64 = 50.0;
const ATTACK_FROM_MS: u64 = 20 * 60_000;
const ATTACK_UNTIL_MS: u64 = 22 * 60_000;
const END_MS: u64 = 37 * 60_000;
/// 23 November 2026, 12:00 UTC.
const START_S: u64 = 1_795_435_200;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seed = arguments.next().and_then(|s| s.parse().ok()).unwrap_or(1);
    let mut labels = arguments.next().map(std::fs::File::create).transpose()?.map(BufWriter::new);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for planned in scene(seed).take_while(|p| p.at_ms < END_MS) {
        writeln!(out, "{}", line(&planned))?;
        if let Some(labels) = &mut labels {
            let label = if planned.label == Label::Attack { "attack" } else { "honest" };
            writeln!(labels, "{label}")?;
        }
    }
    out.flush()
}

fn scene(seed: u64) -> impl Iterator<Item = Planned> {
    let plan = AddressPlan::scattered(&mut fastrand::Rng::with_seed(seed));
    let site = Arc::new(Site::campaign());
    let honest = VisitorsConfig::honest(HONEST_RPS);
    let mix = ClientMix::everyday(&honest.mix, seed);
    let attack = CouncilConfig {
        start_ms: ATTACK_FROM_MS,
        end_ms: ATTACK_UNTIL_MS,
        disguise: Disguise::StolenAgents,
        ..CouncilConfig::default()
    };
    let council = Council::new(&attack, &site, &plan.attack, &mix, seed);
    let visits = SessionArrivals::new(honest, site, &plan.honest, seed);
    merge(vec![Box::new(OpenLoop::new(visits, 40.0, seed)), Box::new(council)])
}

fn line(planned: &Planned) -> String {
    let second = START_S + planned.at_ms / 1000;
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    let request = &planned.request;
    let query = request.query.as_ref().map_or(String::new(), |q| format!("?{}", q.as_str()));
    let header = |name| request.header(name).unwrap_or("-");
    format!(
        "{} - - [23/Nov/2026:{hour:02}:{minute:02}:{second:02} +0000] \"{} {}{query} HTTP/1.1\" \
         200 5120 \"{}\" \"{}\"",
        planned.source,
        request.method,
        request.path.as_str(),
        header("referer"),
        header("user-agent"),
    )
}
