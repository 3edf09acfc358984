//! Prints what one observation costs the engine, in quiet and under attack. Not asserted: compare
//! runs of one machine only. `cargo run --release -p floodwall-engine --example event_cost`

use std::time::Instant;

use floodwall_engine::{Engine, EngineConfig};
use floodwall_model::{AttrWriter, Observation, Stage, ValueKey};
use floodwall_sim::{AddressPlan, OpenLoop, SessionArrivals, Site, VisitorsConfig, observe};

fn main() {
    let key = ValueKey::new(1, 2);
    let mut writer = AttrWriter::new(key);
    let plan = AddressPlan::scattered(&mut fastrand::Rng::with_seed(1));
    let arrivals = SessionArrivals::new(
        VisitorsConfig::honest(2_000.0),
        std::sync::Arc::new(Site::campaign()),
        &plan.honest,
        1,
    );
    let sample: Vec<Observation> = OpenLoop::new(arrivals, 40.0, 1)
        .take(200_000)
        .map(|p| {
            let mut o = observe(&p.request, p.source, p.at_ms, &mut writer);
            o.stage = Stage::Whole;
            o
        })
        .collect();
    for rate_rps in [2_000usize, 50_000, 500_000] {
        let mut engine = Engine::new(EngineConfig::default(), key, 1);
        let per_tick = rate_rps / 10;
        let (mut events, mut now_ms) = (0usize, 1_000_000u64);
        let started = Instant::now();
        for chunk in sample.chunks(per_tick).cycle().take(3_000_000 / per_tick) {
            now_ms += 100;
            engine.step(now_ms, chunk);
            events += chunk.len();
        }
        let ns = started.elapsed().as_nanos() as f64 / events as f64;
        println!(
            "{rate_rps:>7} requests/s: {ns:.0} ns per observation over {events}, {} searches",
            engine.status().minings
        );
    }
}
