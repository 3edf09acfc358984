//! Prints what remembering costs after four weeks of a site's life: taking the memory between two
//! steps, the first steps after it, making its bytes, reading them back. Not asserted: compare runs of
//! one machine only. `cargo run --release -p floodwall-engine --example memory_cost`

use std::time::{Duration, Instant};

use floodwall_engine::{Engine, EngineConfig};
use floodwall_model::{AttrWriter, Observation, Outcome, Stage, ValueKey};
use floodwall_sim::{AddressPlan, OpenLoop, SessionArrivals, Site, VisitorsConfig, observe};

const T0_MS: u64 = 1_700_000_000_000;
const DAYS: u64 = 28;
/// Requests in each of the engine's steps, of which there is one a second.
const PER_STEP: usize = 20;

fn main() {
    let key = ValueKey::new(1, 2);
    let mut writer = AttrWriter::new(key);
    let plan = AddressPlan::scattered(&mut fastrand::Rng::with_seed(1));
    let site = std::sync::Arc::new(Site::campaign());
    let arrivals = SessionArrivals::new(VisitorsConfig::honest(2_000.0), site, &plan.honest, 1);
    let sample: Vec<Observation> = OpenLoop::new(arrivals, 40.0, 1)
        .take(400_000)
        .map(|p| {
            let mut o = observe(&p.request, p.source, p.at_ms, &mut writer);
            o.stage = Stage::Whole;
            o.kind = p.kind;
            o.outcome = Some(Outcome { status: 200, ..Outcome::default() });
            o
        })
        .collect();
    let mut engine = Engine::new(EngineConfig::default(), key, 1);
    engine.learn_names(&writer.take_names());
    let mut now_ms = T0_MS;
    let mut slowest = (Duration::ZERO, 0, None);
    let mut step = |engine: &mut Engine, n: u64| {
        now_ms += 1_000;
        let at = n as usize * PER_STEP % (sample.len() - PER_STEP);
        let started = Instant::now();
        engine.step(now_ms, &sample[at..at + PER_STEP]);
        started.elapsed()
    };
    let steps = DAYS * 24 * 3_600;
    for n in 0..steps {
        let took = step(&mut engine, n);
        if took > slowest.0 {
            slowest = (took, n, engine.status().alarmed_since_ms);
        }
    }
    let status = engine.status();
    for table in &status.tables {
        println!(
            "{:<30} {:>9} of {:>9}, {} displaced",
            table.name, table.used, table.max, table.displaced
        );
    }
    println!("drift {:?}, slowest step, its number, alarm: {slowest:?}", status.baseline_drift);
    let started = Instant::now();
    let memory = engine.snapshot();
    println!("taking the memory: {:?}", started.elapsed());
    let after: Vec<Duration> = (0..20).map(|n| step(&mut engine, n)).collect();
    println!("the slowest of twenty steps after it: {:?}", after.iter().max());
    let started = Instant::now();
    let bytes = memory.to_bytes();
    println!("making {} bytes: {:?}", bytes.len(), started.elapsed());
    let mut restarted = Engine::new(EngineConfig::default(), key, 2);
    let started = Instant::now();
    let recalled = restarted.restore(&bytes, now_ms);
    println!("reading them back: {:?}, {recalled:?}", started.elapsed());
}
