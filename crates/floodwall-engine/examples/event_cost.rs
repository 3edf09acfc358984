//! Prints what one observation costs the engine, in quiet and under attack, and how long a search
//! takes. Not asserted: compare
//! runs of one machine only. `cargo run --release -p floodwall-engine --example event_cost`; with
//! `-- --geography` the countries and networks of the addresses are known.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use floodwall_engine::{Effect, Engine, EngineConfig};
use floodwall_model::{
    AttrWriter, CheckedPlan, Geography, Handling, Mode, Observation, Outcome, Source, Stage,
    ValueKey,
};
use floodwall_sim::{
    AddressPlan, ClientMix, Council, CouncilConfig, OpenLoop, Planned, SessionArrivals, Site,
    VisitorsConfig, World, observe,
};

fn main() {
    let key = ValueKey::new(1, 2);
    let plan = AddressPlan::scattered(&mut fastrand::Rng::with_seed(1));
    let mut writer = writer(key, &plan);
    let arrivals = SessionArrivals::new(
        VisitorsConfig::honest(2_000.0),
        Arc::new(Site::campaign()),
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
    for rate_rps in [2_000usize, 50_000, 500_000, 1_000_000] {
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
            "{rate_rps:>7} requests/s: {ns:.0} ns per observation over {events}, {:.1} % of one core, \
             {} searches",
            ns * rate_rps as f64 / 1e7,
            engine.status().minings
        );
    }
    flood(&sample, &plan);
    with_rules_asleep(&sample, &plan);
    for site_rps in [20, 2_000] {
        searches(&sample, &plan, site_rps);
    }
}

/// With `--geography`, one that knows where the plan's addresses belong.
fn writer(key: ValueKey, plan: &AddressPlan) -> AttrWriter {
    let asked = std::env::args().any(|arg| arg == "--geography");
    let geography = asked.then(|| -> Arc<dyn Geography> {
        Arc::new(World::drawn(plan, &mut fastrand::Rng::with_seed(1)))
    });
    AttrWriter::new(key).with_geography(geography)
}

/// A flood of a million requests a second, each from another of a million sources, on a site with
/// ten minutes of past: no place of the table of sources is in a cache, each takes the place of
/// another, and signatures are searched and rules in force.
fn flood(sample: &[Observation], plan: &AddressPlan) {
    const PER_STEP: usize = 100_000;
    let key = ValueKey::new(1, 2);
    let mix = ClientMix::everyday(&VisitorsConfig::honest(1.0).mix, 1);
    let config = EngineConfig { mode: Mode::Protect, ..EngineConfig::default() };
    let (mut engine, mut rules) = (Engine::new(config, key, 1), CheckedPlan::default());
    let mut now_ms = 1_000_000;
    for chunk in sample.chunks(200).cycle().take(6_000) {
        now_ms += 100;
        step(&mut engine, now_ms, chunk, &mut rules);
    }
    let config = CouncilConfig { start_ms: now_ms, end_ms: now_ms + 20_000, ..Default::default() };
    let mut writer = writer(key, plan);
    let attack: Vec<Observation> = Council::new(&config, &Site::campaign(), &plan.attack, &mix, 1)
        .map(|planned| attacking(&planned, &mut writer, &rules, now_ms))
        .collect();
    let mut batch: Vec<Observation> = attack.iter().cycle().take(PER_STEP).copied().collect();
    let (mut spent, mut slowest, mut refused) = (Duration::ZERO, Duration::ZERO, 0usize);
    let searches = engine.minings();
    for tick in 1..=100u32 {
        now_ms += 100;
        for (n, o) in (0u32..).zip(&mut batch) {
            let of_a_million = (tick % 10) * PER_STEP as u32 + n;
            o.source = Source::new(Ipv4Addr::from(of_a_million.wrapping_mul(0x9E37_79B1)).into());
            o.at_ms = now_ms - 50;
            let rule = rules.decide(&o.attrs, now_ms).map(|rule| rule.id);
            o.handling = rule.map_or(Handling::Passed, Handling::Blocked);
            refused += usize::from(rule.is_some());
        }
        let started = Instant::now();
        step(&mut engine, now_ms, &batch, &mut rules);
        slowest = slowest.max(started.elapsed());
        spent += started.elapsed();
    }
    let requests = (100 * PER_STEP) as f64;
    let ns = spent.as_nanos() as f64 / requests;
    println!(
        "1000000 requests/s, a flood from a million sources: {ns:.0} ns per observation, {:.1} % of \
         one core, slowest step of 100 ms: {:.0} ms; {} searches, {:.1} % refused",
        ns / 10.0,
        slowest.as_secs_f64() * 1e3,
        engine.minings() - searches,
        refused as f64 * 100.0 / requests
    );
}

/// How long the steps take that search, during attacks as the council's.
fn searches(sample: &[Observation], plan: &AddressPlan, site_rps: usize) {
    let key = ValueKey::new(1, 2);
    let site = Site::campaign();
    let mix = ClientMix::everyday(&VisitorsConfig::honest(1.0).mix, 1);
    let (mut searching_ms, mut searches) = (Vec::new(), 0);
    for seed in 0..12 {
        let config = EngineConfig { mode: Mode::Protect, ..EngineConfig::default() };
        let (mut engine, mut writer) = (Engine::new(config, key, seed), writer(key, plan));
        let mut quiet = sample.chunks(site_rps / 10).cycle();
        let (mut now_ms, mut rules) = (1_000_000, CheckedPlan::default());
        for _ in 0..6_000 {
            now_ms += 100;
            step(&mut engine, now_ms, quiet.next().unwrap_or_default(), &mut rules);
        }
        let config =
            CouncilConfig { start_ms: now_ms, end_ms: now_ms + 20_000, ..Default::default() };
        let mut attack = Council::new(&config, &site, &plan.attack, &mix, seed).peekable();
        while attack.peek().is_some() {
            now_ms += 100;
            let mut batch = quiet.next().unwrap_or_default().to_vec();
            while let Some(planned) = attack.next_if(|p| p.at_ms < now_ms) {
                batch.push(attacking(&planned, &mut writer, &rules, now_ms));
            }
            let (before, started) = (engine.minings(), Instant::now());
            step(&mut engine, now_ms, &batch, &mut rules);
            if engine.minings() > before {
                searching_ms.push(started.elapsed().as_secs_f64() * 1e3);
                searches += engine.minings() - before;
            }
        }
    }
    searching_ms.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = searching_ms.len().saturating_sub(1);
        searching_ms.get((last as f64 * share) as usize).copied().unwrap_or(f64::NAN)
    };
    println!(
        "council attacks on {site_rps} requests/s: {searches} searches; a step that searches takes \
         {:.1} ms typically, {:.1} ms at the 95th percentile, {:.1} ms at worst",
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

/// What a gateway that follows `rules` would tell of a request.
fn attacking(
    planned: &Planned,
    writer: &mut AttrWriter,
    rules: &CheckedPlan,
    now_ms: u64,
) -> Observation {
    let mut o = observe(&planned.request, planned.source, planned.at_ms, writer);
    o.stage = Stage::Whole;
    o.kind = planned.kind;
    o.outcome = Some(Outcome { status: 200, ..Outcome::default() });
    if let Some(rule) = rules.decide(&o.attrs, now_ms) {
        o.handling = Handling::Blocked(rule.id);
    }
    o
}

/// The same in quiet after attacks by many tools, whose rules are all kept ready.
fn with_rules_asleep(sample: &[Observation], plan: &AddressPlan) {
    let key = ValueKey::new(1, 2);
    let mut writer = writer(key, plan);
    let mut engine =
        Engine::new(EngineConfig { mode: Mode::Protect, ..EngineConfig::default() }, key, 1);
    let site = Site::campaign();
    let mix = ClientMix::everyday(&VisitorsConfig::honest(1.0).mix, 1);
    let mut quiet = sample.chunks(200).cycle();
    let mut now_ms = 1_000_000;
    let mut rules = CheckedPlan::default();
    for seed in 0..24 {
        // A minute of quiet before, and rules that nobody needs end a minute after.
        for _ in 0..700 {
            now_ms += 100;
            step(&mut engine, now_ms, quiet.next().unwrap_or_default(), &mut rules);
        }
        let config =
            CouncilConfig { start_ms: now_ms, end_ms: now_ms + 5_000, ..Default::default() };
        let mut attack = Council::new(&config, &site, &plan.attack, &mix, seed).peekable();
        while attack.peek().is_some() {
            now_ms += 100;
            let mut batch = quiet.next().unwrap_or_default().to_vec();
            while let Some(planned) = attack.next_if(|p| p.at_ms < now_ms) {
                batch.push(attacking(&planned, &mut writer, &rules, now_ms));
            }
            step(&mut engine, now_ms, &batch, &mut rules);
        }
    }
    for _ in 0..700 {
        now_ms += 100;
        step(&mut engine, now_ms, quiet.next().unwrap_or_default(), &mut rules);
    }
    let ready = engine.status().ready.len();
    for rate_rps in [2_000usize, 50_000] {
        let (mut events, started) = (0usize, Instant::now());
        for chunk in sample.chunks(rate_rps / 10).cycle().take(30_000_000 / rate_rps) {
            now_ms += 100;
            engine.step(now_ms, chunk);
            events += chunk.len();
        }
        let ns = started.elapsed().as_nanos() as f64 / events as f64;
        println!("{rate_rps:>7} requests/s, {ready} signatures ready: {ns:.0} ns per observation");
    }
}

fn step(engine: &mut Engine, now_ms: u64, batch: &[Observation], rules: &mut CheckedPlan) {
    for effect in engine.step(now_ms, batch) {
        if let Effect::Publish(plan) = effect {
            *rules = (*plan).clone();
        }
    }
}
