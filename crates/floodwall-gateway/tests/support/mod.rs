//! What the tests over real sockets share: an origin, a gateway in front of it, raw clients.
#![allow(dead_code)] // Each test file uses its part.

pub mod client;
pub mod origin;
pub mod plan;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use floodwall_gateway::{
    BanBoard, CountersSnapshot, Gateway, GatewayConfig, Limits, Links, Listener, Origin as To, Site,
};
use floodwall_model::{
    CheckedPlan, Geography, Observation, ObservationBatch, Reason, Stage, ValueKey, ValueName,
};

pub const KEY: ValueKey = ValueKey::new(11, 22);

/// A gateway under test and what hangs on it.
pub struct Bench {
    pub gateway: Gateway,
    pub config: GatewayConfig,
    pub plan: Arc<ArcSwap<CheckedPlan>>,
    pub bans: Arc<BanBoard>,
    observations: Receiver<ObservationBatch>,
}

/// Limits for tests: what is waited for is short.
pub fn limits() -> Limits {
    Limits { defer_accept_s: 0, ..Limits::default() }
}

pub fn site(names: &[&str], origin: SocketAddr) -> Site {
    Site {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        origin: To { host: origin.ip().to_string(), port: origin.port() },
        certificate: None,
    }
}

pub fn plain() -> Listener {
    Listener { addr: "127.0.0.1:0".parse().unwrap(), tls: false }
}

/// One site for every host, one plain listener.
pub fn config(origin: SocketAddr, limits: Limits) -> GatewayConfig {
    GatewayConfig {
        listeners: vec![plain()],
        sites: vec![site(&[], origin)],
        limits,
        workers: 2,
        ..GatewayConfig::default()
    }
}

impl Bench {
    pub fn start(config: GatewayConfig) -> Bench {
        Bench::placed(config, None)
    }

    /// One that knows where addresses belong.
    pub fn placed(config: GatewayConfig, geography: Option<Arc<dyn Geography>>) -> Bench {
        let plan = Arc::new(ArcSwap::from_pointee(CheckedPlan::default()));
        let bans = Arc::new(BanBoard::new());
        let (sender, observations) = sync_channel(10_000);
        let links = Links {
            value_key: KEY,
            plan: plan.clone(),
            bans: bans.clone(),
            observations: sender,
            geography,
        };
        let gateway = Gateway::start(config.clone(), links).expect("the gateway starts");
        Bench { gateway, config, plan, bans, observations }
    }

    /// A gateway with ordinary limits in front of `origin`.
    pub fn before(origin: SocketAddr) -> Bench {
        Bench::start(config(origin, limits()))
    }

    pub fn addr(&self) -> SocketAddr {
        self.gateway.local_addrs()[0]
    }

    pub fn counters(&self) -> CountersSnapshot {
        self.gateway.counters()
    }

    pub fn count(&self, reason: Reason) -> u64 {
        self.counters().reason(reason)
    }

    /// Waits until `done` holds of the counters.
    #[track_caller]
    pub fn until(&self, what: &str, done: impl Fn(&CountersSnapshot) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !done(&self.counters()) {
            assert!(Instant::now() < end, "in vain: {what}: {:#?}", self.counters());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until `reason` was counted `n` times.
    #[track_caller]
    pub fn until_counted(&self, reason: Reason, n: u64) {
        self.until(reason.name(), |counters| counters.reason(reason) >= n);
        assert_eq!(self.count(reason), n, "{}", reason.name());
    }

    /// Ends the gateway and returns everything that was observed.
    pub fn finish(self) -> Observed {
        self.gateway.drain(Duration::from_secs(5));
        let counters = self.gateway.counters();
        drop(self.gateway);
        let mut observed = Observed { counters, records: Vec::new(), names: Vec::new(), lost: 0 };
        for batch in self.observations.iter() {
            observed.records.extend(batch.observations);
            observed.names.extend(batch.names);
            observed.lost += batch.lost;
        }
        observed
    }
}

/// What was observed over the life of a gateway.
pub struct Observed {
    pub counters: CountersSnapshot,
    pub records: Vec<Observation>,
    pub names: Vec<ValueName>,
    pub lost: u64,
}

impl Observed {
    /// The requests, each once: whole ones, and those that finished later with their outcome. With
    /// one worker, requests sent one after another are in their order.
    #[track_caller]
    pub fn requests(&self) -> Vec<Observation> {
        let of = |stage| self.records.iter().filter(move |r| r.stage == stage);
        assert_eq!(
            of(Stage::Arrived).count(),
            of(Stage::Finished).count(),
            "every request that was announced ended"
        );
        let requests: Vec<Observation> =
            self.records.iter().filter(|r| r.stage != Stage::Arrived).copied().collect();
        assert_eq!(requests.len() as u64, self.counters.requests, "each counted once");
        requests
    }

    /// The text of a value.
    pub fn name(&self, id: floodwall_model::ValueId) -> Option<&str> {
        self.names.iter().find(|name| name.id == id).map(|name| &*name.text)
    }
}

/// A runtime for the client side of a test.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs the client side of a test, which must not take long.
#[track_caller]
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let caller = std::panic::Location::caller();
    runtime().block_on(async {
        tokio::time::timeout(Duration::from_secs(30), test)
            .await
            .unwrap_or_else(|_| panic!("the test at {caller} hangs"))
    })
}
