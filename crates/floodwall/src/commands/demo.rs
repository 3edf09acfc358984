//! `floodwall demo`: the node in protect mode, in front of the sample site.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use floodwall_console::report_text;
use floodwall_engine::EngineConfig;
use floodwall_gateway::{GatewayConfig, Listener, Origin, Site};
use floodwall_model::{IncidentVerdict, Mode};

use super::Failure;
use crate::clock::now_ms;
use crate::demo::{Defence, DefenceCounters, DemoArgs, DemoSite, RuleView};
use crate::geography::GeographyConfig;
use crate::node::{KernelWishes, Node, NodeConfig, fresh_seed};

/// The demo's incidents close sooner than real ones, so that the crowd is judged by itself.
const INCIDENT_CLOSE_MS: u64 = 1_500;
/// A rule of the demo ends so long after the attack, so that its end can be watched.
const RULE_TTL_MS: u64 = 4_000;

/// `floodwall demo`.
pub(crate) fn run(args: DemoArgs) -> Result<(), Failure> {
    crate::demo::run(&args, |site| {
        let interface = args.interface.clone();
        let defence = NodeDefence::start(site, interface).map_err(|error| error.to_string())?;
        Ok(Box::new(defence))
    })?;
    Ok(())
}

/// A node as the demo sees it.
struct NodeDefence {
    node: Option<Node>,
    address: SocketAddr,
    /// Removed with everything in it when the demo ends.
    _state: StateDir,
}

impl NodeDefence {
    fn start(site: &DemoSite, interface: Option<String>) -> Result<NodeDefence, Failure> {
        let state = StateDir::create()?;
        let config = NodeConfig {
            gateway: GatewayConfig {
                listeners: vec![Listener { addr: (Ipv4Addr::LOCALHOST, 0).into(), tls: false }],
                sites: vec![Site {
                    names: Vec::new(),
                    origin: Origin { host: site.origin.ip().to_string(), port: site.origin.port() },
                    certificate: None,
                }],
                ..GatewayConfig::default()
            },
            engine: EngineConfig {
                incident_close_ms: INCIDENT_CLOSE_MS,
                rule_ttl_ms: RULE_TTL_MS,
                ..EngineConfig::default()
            },
            mode: Mode::Protect,
            geography: GeographyConfig::none(),
            // A demo that was given no interface stays on its own sockets: the host's firewall is
            // none of its business.
            nftables: interface.is_some(),
            interfaces: interface.into_iter().collect(),
            kernel: KernelWishes::default(),
            events: Vec::new(),
            database: state.0.join("floodwall.db"),
            control_socket: None,
            loopback_is_bannable: true,
            seed: fresh_seed(),
        };
        let node = Node::start(config)?;
        let address = node.gateway().local_addrs().first().copied().ok_or("nothing listens")?;
        Ok(NodeDefence { node: Some(node), address, _state: state })
    }
}

impl Defence for NodeDefence {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn rules(&self) -> Vec<RuleView> {
        let Some(node) = &self.node else { return Vec::new() };
        let view = node.view();
        let records = view.incidents.iter().flat_map(|i| &i.rules);
        records
            .map(|rule| RuleView {
                id: rule.id.0,
                words: rule.words.clone(),
                action: rule.action.name(),
                placed_at_ms: rule.first_at_ms,
                in_force: rule.ended_at_ms.is_none(),
            })
            .collect()
    }

    fn counters(&self) -> DefenceCounters {
        let Some(node) = &self.node else { return DefenceCounters::default() };
        let view = node.view();
        let totals = view.incidents.iter().map(|i| i.totals);
        let (blocked, throttled) =
            totals.fold((0, 0), |(b, t), totals| (b + totals.blocked, t + totals.throttled));
        drop(view);
        DefenceCounters {
            blocked,
            throttled,
            banned_sources: node.banned(),
            kernel_dropped_packets: node.kernel().dropped_packets(),
        }
    }

    fn incident_report(&self) -> Option<String> {
        let node = self.node.as_ref()?;
        let view = node.view();
        // The attack's account, if there is one; otherwise the newest.
        let attack = view.incidents.iter().find(|i| i.verdict == IncidentVerdict::Attack);
        attack.or_else(|| view.incidents.last()).map(|incident| report_text(incident, now_ms()))
    }

    fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop(Duration::from_secs(2));
        }
    }
}

/// A directory of its own under the system's temporary one.
struct StateDir(std::path::PathBuf);

impl StateDir {
    fn create() -> std::io::Result<StateDir> {
        let name = format!("floodwall-demo-{}-{:016x}", std::process::id(), fresh_seed());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(StateDir(path))
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // What cannot be removed is a few kilobytes in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
