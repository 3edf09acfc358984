//! A gateway without an engine, to be measured beside other proxies.
//!
//! `proxy LISTEN ORIGIN [WORKERS]`, for instance `proxy 127.0.0.1:8080 127.0.0.1:9000 1`. It runs
//! until its input ends. Per-source limits are off, because a load generator is one source.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use floodwall_gateway::{BanBoard, Gateway, GatewayConfig, Limits, Links, Listener, Origin, Site};
use floodwall_model::{CheckedPlan, ValueKey};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(origin)) = (args.next(), args.next()) else {
        return Err("usage: proxy LISTEN ORIGIN [WORKERS]".into());
    };
    let workers = args.next().map_or(Ok(0), |n| n.parse())?;
    let origin: SocketAddr = origin.parse()?;
    let (sender, observations) = std::sync::mpsc::sync_channel(64);
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
        value_key: ValueKey::new(1, 2),
        plan: Arc::new(ArcSwap::from_pointee(CheckedPlan::default())),
        bans: Arc::new(BanBoard::new()),
        observations: sender,
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
