//! What the engine's tests share: seeds, medians, and scenes put together in code. The runner and
//! the score are those of every evaluation, `floodwall_sim::trial`.
#![allow(unreachable_pub, dead_code, missing_docs)]

use std::sync::Arc;

use floodwall_engine::{Engine, EngineConfig};
use floodwall_sim::scene::{Cast, Moments};
use floodwall_sim::trial::run_tended;
use floodwall_sim::{
    AddressPlan, ClientMix, Council, CouncilConfig, Deaf, Label, OpenLoop, SessionArrivals, Site,
    Traffic, VisitorsConfig,
};

pub use floodwall_sim::trial::{Score, View};

/// Seeds to run with, printed so that a failure can be replayed: FLOODWALL_SEED fixes the one,
/// FLOODWALL_SEEDS says how many fresh ones (`usual` unless told).
pub fn seeds(usual: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    if let Some(seed) = number("FLOODWALL_SEED") {
        return vec![seed];
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let fresh = since.map_or(1, |d| d.as_nanos() as u64);
    let seeds: Vec<u64> =
        (0..number("FLOODWALL_SEEDS").unwrap_or(usual)).map(|n| fresh.wrapping_add(n)).collect();
    println!("seeds {seeds:?} (FLOODWALL_SEED=… replays one)");
    seeds
}

/// Runs `check` with every seed.
pub fn with_seeds(check: impl Fn(u64)) {
    for seed in seeds(2) {
        println!("seed {seed}");
        check(seed);
    }
}

/// The middle one of several figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The pieces a scene is put together from.
pub struct Stage0 {
    pub site: Arc<Site>,
    pub plan: AddressPlan,
    pub mix: ClientMix,
    pub seed: u64,
}

impl Stage0 {
    pub fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let plan = AddressPlan::scattered(&mut rng);
        let mix = ClientMix::everyday(&VisitorsConfig::honest(1.0).mix, seed);
        Stage0 { site: Arc::new(Site::campaign()), plan, mix, seed }
    }

    pub fn visitors(&self, config: VisitorsConfig) -> Box<dyn Traffic> {
        let pool = match config.label {
            Label::Crowd => &self.plan.crowd,
            _ => &self.plan.honest,
        };
        let arrivals = SessionArrivals::new(config, Arc::clone(&self.site), pool, self.seed);
        Box::new(OpenLoop::new(arrivals, 40.0, self.seed))
    }

    pub fn council(&self, config: CouncilConfig) -> Box<dyn Traffic> {
        let council = Council::new(&config, &self.site, &self.plan.attack, &self.mix, self.seed);
        Box::new(Deaf::new(council))
    }
}

/// Runs `streams` until `end_ms` and scores what the engine did. Everything from the beginning on
/// counts.
pub fn run(streams: Vec<Box<dyn Traffic>>, end_ms: u64, view: View, seed: u64) -> Score {
    run_told(streams, end_ms, view, seed, |_, _| ())
}

/// The same; `tell` tells the engine what no request does, before each step.
pub fn run_told(
    streams: Vec<Box<dyn Traffic>>,
    end_ms: u64,
    view: View,
    seed: u64,
    tell: impl FnMut(&mut Engine, u64),
) -> Score {
    let moments = Moments { end_ms, ..Moments::default() };
    let cast = Cast {
        streams,
        moments,
        victims: None,
        site_rps: 0.0,
        geography: None,
        capacity_times: None,
    };
    run_tended(cast, view, seed, EngineConfig::default(), tell)
}
