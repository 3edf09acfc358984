//! Prints how much memory an engine takes that has met one million distinct sources, then ten
//! million. Not asserted. `cargo run --release -p floodwall-engine --example memory_cost`
//!
//! Resident memory of this process less what it was before the engine was made. The engine has the
//! default settings and an hour of everyday traffic behind it, so that its past is full, too. The
//! sources come 100,000 a second, half of them by IPv6 from networks of their own; each tenth
//! request wears a user agent that nobody had before.

use std::net::{Ipv4Addr, Ipv6Addr};

use floodwall_engine::{Engine, EngineConfig};
use floodwall_model::{Attr, AttrWriter, Observation, Source, Stage, ValueId, ValueKey};
use floodwall_sim::{AddressPlan, OpenLoop, SessionArrivals, Site, VisitorsConfig, observe};

const PAST_RPS: usize = 200;
const SOURCES_PER_STEP: usize = 10_000;

fn main() {
    let Some(_) = resident_mb() else {
        println!("SKIPPED: this system does not tell a process its resident memory");
        return;
    };
    let key = ValueKey::new(1, 2);
    let everyday = everyday(key);
    let mut batch: Vec<Observation> = Vec::with_capacity(SOURCES_PER_STEP);
    batch.extend(everyday.iter().cycle().take(SOURCES_PER_STEP));
    let before_mb = resident_mb().unwrap_or(0.0);
    let engine_mb = || resident_mb().unwrap_or(0.0) - before_mb;

    let mut engine = Engine::new(EngineConfig::default(), key, 1);
    println!("engine made: {:.0} MB", engine_mb());
    let mut now_ms = 1_000_000u64;
    for chunk in everyday.chunks(PAST_RPS / 10).cycle().take(36_000) {
        now_ms += 100;
        let part = &mut batch[..chunk.len()];
        part.copy_from_slice(chunk);
        part.iter_mut().for_each(|o| o.at_ms = now_ms - 50);
        engine.step(now_ms, part);
    }
    println!("an hour at {PAST_RPS} requests/s: {:.0} MB", engine_mb());
    let mut met = 0u32;
    for millions in [1, 2, 5, 10] {
        while met < millions * 1_000_000 {
            now_ms += 100;
            for (o, like) in batch.iter_mut().zip(everyday.iter().cycle().skip(met as usize % 997))
            {
                *o = *like;
                o.at_ms = now_ms - 50;
                o.source = source(met);
                if met.is_multiple_of(10) {
                    o.attrs[Attr::UserAgent] = ValueId(u64::from(met) << 20 | 1);
                }
                met += 1;
            }
            engine.step(now_ms, &batch);
        }
        println!("{millions} million sources met: {:.0} MB", engine_mb());
    }
    for table in engine.status().tables {
        println!(
            "  {}: {} of {} in use, {} displaced",
            table.name, table.used, table.max, table.displaced
        );
    }
}

/// The nth distinct source.
fn source(n: u32) -> Source {
    let scattered = n.wrapping_mul(0x9E37_79B1);
    if n.is_multiple_of(2) {
        return Source::new(Ipv4Addr::from(scattered).into());
    }
    let network = u128::from(0x2001_0db8_0000_0000u64 | u64::from(scattered));
    Source::new(Ipv6Addr::from(network << 64 | 1).into())
}

fn everyday(key: ValueKey) -> Vec<Observation> {
    let mut writer = AttrWriter::new(key);
    let plan = AddressPlan::scattered(&mut fastrand::Rng::with_seed(1));
    let arrivals = SessionArrivals::new(
        VisitorsConfig::honest(PAST_RPS as f64),
        std::sync::Arc::new(Site::campaign()),
        &plan.honest,
        1,
    );
    let arriving = OpenLoop::new(arrivals, 40.0, 1).take(20_000);
    arriving
        .map(|p| {
            let mut o = observe(&p.request, p.source, p.at_ms, &mut writer);
            o.stage = Stage::Whole;
            o
        })
        .collect()
}

/// Resident memory of this process; `None` where the kernel does not tell.
fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kb: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kb / 1_024.0)
}
