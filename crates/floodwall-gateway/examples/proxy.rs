//! A gateway without an engine, to be measured beside other proxies.
//!
//! `proxy LISTEN ORIGIN [WORKERS [AGENT]]`, for instance `proxy 127.0.0.1:8080 127.0.0.1:9000 1`.
//! Requests of the user agent AGENT are blocked by a rule, which lasts two minutes as every rule
//! does unless it is renewed. It runs until its input ends. Per-source limits are off, because a
//! load generator is one source.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use floodwall_gateway::{BanBoard, Gateway, GatewayConfig, Limits, Links, Listener, Origin, Site};
use floodwall_model::limits::RULE_TTL_MS_MAX;
use floodwall_model::{
    Action, Attr, CheckedPlan, Collateral, Evidence, Family, KnownValues, Mode, ObservationBatch,
    Plan, Predicate, Rule, RuleId, Signature, ValueKey,
};

const KEY: ValueKey = ValueKey::new(1, 2);

/// A plan that blocks one user agent.
fn blocking(agent: &str) -> CheckedPlan {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = since_1970.as_millis() as u64;
    let evidence = |family| Evidence { family, log_odds: 3.0, statement: String::new() };
    let agent = KEY.id(Attr::UserAgent, agent.as_bytes());
    let rule = Rule {
        id: RuleId(1),
        signature: Signature::new(vec![Predicate::Is(Attr::UserAgent, agent)]),
        known: KnownValues::none(),
        action: Action::Block,
        words: String::new(),
        predicates: Vec::new(),
        projected: Collateral { hits: 0, records: 30_000 },
        evidence: vec![evidence(Family::Implementation), evidence(Family::Behaviour)],
        placed_at_ms: now_ms,
        expires_at_ms: now_ms + RULE_TTL_MS_MAX,
    };
    let mode = Mode::Protect;
    Plan { made_at_ms: now_ms, mode, rules: vec![rule], ..Plan::default() }.check().0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(origin)) = (args.next(), args.next()) else {
        return Err("usage: proxy LISTEN ORIGIN [WORKERS]".into());
    };
    let workers = args.next().map_or(Ok(0), |n| n.parse())?;
    let plan = args.next().map_or_else(CheckedPlan::default, |agent| blocking(&agent));
    let origin: SocketAddr = origin.parse()?;
    let (sender, observations) = std::sync::mpsc::sync_channel::<ObservationBatch>(64);
    let counting = std::thread::spawn(move || -> u64 {
        observations.iter().map(|batch| batch.observations.len() as u64).sum()
    });
    let config = GatewayConfig {
        listeners: vec![Listener { addr: listen.parse()?, tls: false }],
        sites: vec![Site {
            names: Vec::new(),
            origin: Origin { host: origin.ip().to_string(), port: origin.port() },
            certificate: None,
        }],
        limits: Limits { connections_per_v4_max: 100_000, ..Limits::default() },
        workers,
        ..GatewayConfig::default()
    };
    let links = Links {
        value_key: KEY,
        plan: Arc::new(ArcSwap::from_pointee(plan)),
        bans: Arc::new(BanBoard::new()),
        observations: sender,
        geography: None,
    };
    let gateway = Gateway::start(config, links)?;
    println!("listening on {:?}", gateway.local_addrs());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    gateway.drain(Duration::from_secs(1));
    println!("{:#?}", gateway.counters());
    drop(gateway);
    println!("observations: {}", counting.join().map_err(|_| "the counting thread panicked")?);
    Ok(())
}
