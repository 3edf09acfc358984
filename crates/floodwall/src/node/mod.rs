//! A running Floodwall: gateway, engine, kernel filter, store and control socket, wired together.
//!
//! The only file that holds all of them. Each part knows nothing of the others: observations go
//! over a bounded channel to the engine's thread, plans come back through one shared pointer, bans
//! over a board, records to the store's mailbox.

mod engine_loop;
mod error;
mod kernel;
mod limits;
mod link;
mod memory;
mod neighbours;
mod nft_keeper;
mod numbers;
mod pace;
mod packet_loop;
mod ports;
mod seat;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use floodwall_console::control::{ControlServer, ErrorKind, Request, Response};
use floodwall_engine::EngineConfig;
use floodwall_engine::packet::PacketEngineConfig;
use floodwall_gateway::{
    BanBoard, CertificateFiles, Gateway, GatewayConfig, Links, Listener, Origin, Site,
};
use floodwall_model::{CheckedPlan, Event, Incident, Mode, Prefix, Protected};
use floodwall_store::{Store, Writer};
use floodwall_xdp::SourceRates;

use crate::clock::now_ms;
use crate::config::{Config, SiteConfig};
use crate::geography::{Databases, GeographyConfig, Opened};
use engine_loop::{EngineLoop, View};
pub use error::NodeError;
use kernel::FilterRequest;
pub use kernel::{InterfaceTier, Kernel};
use numbers::{IncidentNumbers, rule_ids};
use packet_loop::PacketLoop;

/// Batches waiting for the engine. When full: the gateway drops batches and counts what they held.
const BATCHES_WAITING_MAX: usize = 256;

/// The database's name in the state directory.
pub(crate) const DATABASE: &str = "floodwall.db";

/// Beside the database: the value of net.ipv4.tcp_syncookies to put back after a kill -9.
const SYNCOOKIES_NOTE: &str = "tcp_syncookies";

/// What a node is made from.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The gateway's part.
    pub gateway: GatewayConfig,
    /// The engine's part; its mode and next numbers are set by the node.
    pub engine: EngineConfig,
    /// Whether to act.
    pub mode: Mode,
    /// Where to put the kernel filter; none: on the listening sockets.
    pub interfaces: Vec<String>,
    /// Whether a table of the host's nftables may be made where BPF cannot be had.
    pub nftables: bool,
    /// What the kernel filter has to know.
    pub kernel: KernelWishes,
    /// Databases that say where addresses belong.
    pub geography: GeographyConfig,
    /// Declared events.
    pub events: Vec<Event>,
    /// The database.
    pub database: PathBuf,
    /// The control socket; `None`: none.
    pub control_socket: Option<PathBuf>,
    /// Loopback addresses may be banned though the filter is not on the loopback interface: for
    /// the demo, whose visitors all have one.
    pub loopback_is_bannable: bool,
    /// Seed of the engine's chance.
    pub seed: u64,
}

/// What the kernel filter has to know beside where it sits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KernelWishes {
    /// Whose packets are never dropped.
    pub allow: Vec<Prefix>,
    /// UDP ports that are open although no program on this host is bound to them.
    pub udp_services: Vec<u16>,
    /// What one source may send while acting.
    pub source_rates: Option<SourceRates>,
    /// Drop packets that no working stack sends.
    pub sanity: bool,
}

impl Default for KernelWishes {
    fn default() -> Self {
        KernelWishes {
            allow: Vec::new(),
            udp_services: Vec::new(),
            source_rates: None,
            sanity: true,
        }
    }
}

/// A running node. Stop it with [`Node::stop`]; dropping it stops it too, without waiting for
/// requests that are under way.
pub struct Node {
    parts: Arc<Parts>,
    control: Option<ControlServer>,
    engine: Option<JoinHandle<()>>,
    packets: Option<JoinHandle<()>>,
    config: NodeConfig,
}

/// What the control socket and the node both reach.
pub(crate) struct Parts {
    gateway: Gateway,
    geography: Arc<Databases>,
    kernel: Kernel,
    bans: Arc<BanBoard>,
    view: Mutex<View>,
    store: Mutex<Store>,
    writer: Writer,
    stopping: AtomicBool,
    mode: Mutex<Mode>,
    /// Whom no ban may hit: the operators', and the neighbours found last.
    protected: Mutex<Protected>,
    wishes: Mutex<Wishes>,
    /// Declared events that the engine has not taken over yet.
    events: Mutex<Option<Vec<Event>>>,
    sites: Mutex<Vec<(String, String)>>,
    /// Whether TLS is spoken, per listener in the order configured.
    tls: Mutex<Vec<bool>>,
    started_at_ms: u64,
}

/// The part of the configuration that is put together with what the host says by itself.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    protected: Protected,
    udp_services: Vec<u16>,
    source_rates: Option<SourceRates>,
}

impl Wishes {
    fn of(config: &NodeConfig) -> Wishes {
        Wishes {
            protected: protected(config),
            udp_services: config.kernel.udp_services.clone(),
            source_rates: source_rates(config),
        }
    }
}

impl Parts {
    fn listening(&self) -> Vec<(SocketAddr, bool)> {
        let tls = lock(&self.tls);
        self.gateway.local_addrs().into_iter().zip(tls.iter().copied()).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked while holding the lock left plain data; going on beats falling over.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NodeConfig {
    /// What a checked configuration says.
    pub fn from_config(config: &Config) -> NodeConfig {
        let plain = config.listen.iter().map(|addr| Listener { addr: *addr, tls: false });
        let tls = config.listen_tls.iter().map(|addr| Listener { addr: *addr, tls: true });
        NodeConfig {
            gateway: GatewayConfig {
                listeners: plain.chain(tls).collect(),
                sites: config.sites.iter().map(site).collect(),
                limits: limits::limits(&config.limits),
                operators: config.operators.clone(),
                trusted_proxies: config.trusted_proxies.clone(),
                ..GatewayConfig::default()
            },
            engine: EngineConfig::default(),
            mode: config.mode,
            interfaces: config.interfaces.clone(),
            nftables: true,
            kernel: KernelWishes {
                allow: config.allowed(),
                udp_services: config.kernel.udp_services.clone(),
                source_rates: SourceRates::of(
                    config.kernel.source_rate,
                    config.kernel.source_connection_rate,
                ),
                sanity: config.kernel.sanity,
            },
            geography: config.geography.clone(),
            events: config.events.clone(),
            database: config.state_dir.join(DATABASE),
            control_socket: Some(config.control_socket.clone()),
            loopback_is_bannable: false,
            seed: fresh_seed(),
        }
    }
}

fn site(site: &SiteConfig) -> Site {
    Site {
        names: site.names.clone(),
        origin: Origin { host: site.origin.host.clone(), port: site.origin.port },
        certificate: site.certificate.as_ref().map(|certificate| CertificateFiles {
            chain: certificate.chain.clone(),
            key: certificate.key.clone(),
        }),
    }
}

/// A seed that nobody outside can know: the standard library keys its hash maps from the system's
/// random source.
pub fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

impl Node {
    /// Starts everything, or nothing: whatever was started before a failure is stopped again.
    pub fn start(config: NodeConfig) -> Result<Node, NodeError> {
        let started_at_ms = now_ms();
        let mut store = Store::open(&config.database)?;
        for id in store.mark_unclosed(started_at_ms)? {
            tracing::warn!(incident = id, "closed an incident that the last run left open");
        }
        let value_key = store.value_key()?;
        let incidents = Arc::new(AtomicU64::new(store.next_incident_id()?));
        let (request_rule_ids, packet_rule_ids) = rule_ids(&mut store)?;
        let packet_config = PacketEngineConfig {
            mode: config.mode,
            incident_close_ms: config.engine.incident_close_ms,
            rule_ids: packet_rule_ids,
            ..PacketEngineConfig::default()
        };
        let engine_config =
            EngineConfig { mode: config.mode, rule_ids: request_rule_ids, ..config.engine.clone() };
        let kept = store.memory();
        let reader = Store::open_read_only(&config.database)?;
        let plan = Arc::new(ArcSwap::from_pointee(CheckedPlan::default()));
        let bans = Arc::new(BanBoard::new());
        let (observations, batches) = sync_channel(BATCHES_WAITING_MAX);
        let geography = Arc::new(Databases::new(open_geography(&config.geography)?));
        let links = Links {
            value_key,
            plan: Arc::clone(&plan),
            bans: Arc::clone(&bans),
            observations,
            geography: Some(geography.clone()),
        };
        let gateway = Gateway::start(config.gateway.clone(), links)?;
        let kernel = attach_kernel(&config, &gateway)?;
        let writer = Writer::start(store).map_err(NodeError::Thread)?;
        let parts = Arc::new(Parts {
            view: Mutex::new(View::default()),
            stopping: AtomicBool::new(false),
            mode: Mutex::new(config.mode),
            protected: Mutex::new(protected(&config)),
            wishes: Mutex::new(Wishes::of(&config)),
            events: Mutex::new(Some(config.events.clone())),
            sites: Mutex::new(site_names(&config.gateway)),
            tls: Mutex::new(config.gateway.listeners.iter().map(|l| l.tls).collect()),
            store: Mutex::new(reader),
            gateway,
            geography,
            kernel,
            bans,
            writer,
            started_at_ms,
        });
        packet_loop::refresh(&parts);
        let numbers = IncidentNumbers::new(Arc::clone(&incidents));
        let mut engine =
            EngineLoop::new(engine_config, value_key, config.seed, batches, plan, numbers);
        engine.recall(kept);
        let packets = PacketLoop::new(packet_config, config.seed, IncidentNumbers::new(incidents));
        let mut node = Node { parts, control: None, engine: None, packets: None, config };
        node.engine = Some(node.spawn("floodwall-engine", move |parts| engine.run(parts))?);
        node.packets = Some(node.spawn("floodwall-packets", move |parts| packets.run(parts))?);
        if let Some(path) = node.config.control_socket.clone() {
            let parts = Arc::clone(&node.parts);
            node.control =
                Some(ControlServer::start(&path, move |request| answer(&parts, request))?);
        }
        Ok(node)
    }

    fn spawn(
        &self,
        name: &str,
        work: impl FnOnce(&Parts) + Send + 'static,
    ) -> Result<JoinHandle<()>, NodeError> {
        let parts = Arc::clone(&self.parts);
        let thread = std::thread::Builder::new().name(name.into());
        thread.spawn(move || work(&parts)).map_err(NodeError::Thread)
    }

    /// The gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.parts.gateway
    }

    /// Where it listens, with the ports the kernel chose, and whether TLS is spoken there.
    pub fn listening(&self) -> Vec<(SocketAddr, bool)> {
        self.parts.listening()
    }

    /// The kernel filter.
    pub fn kernel(&self) -> &Kernel {
        &self.parts.kernel
    }

    /// What the engine's thread showed last.
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        lock(&self.parts.view)
    }

    /// Whether it acts.
    pub fn mode(&self) -> Mode {
        *lock(&self.parts.mode)
    }

    /// How many sites it stands in front of.
    pub fn sites(&self) -> usize {
        lock(&self.parts.sites).len()
    }

    /// Sources banned now.
    pub fn banned(&self) -> u64 {
        self.parts.bans.len() as u64
    }

    /// The newest state of the newest incident since the start.
    pub fn newest_incident(&self) -> Option<Incident> {
        self.view().incidents.last().cloned()
    }

    /// Changes to another configuration. What cannot be changed while running (database, control
    /// socket, interface) is named in the error and nothing is changed.
    pub fn reload(&mut self, config: NodeConfig) -> Result<(), NodeError> {
        let fixed = [
            ("state_dir", config.database != self.config.database),
            ("control_socket", config.control_socket != self.config.control_socket),
            ("interface", config.interfaces != self.config.interfaces),
            ("sanity", config.kernel.sanity != self.config.kernel.sanity),
        ];
        if let Some((key, _)) = fixed.iter().find(|(_, changed)| *changed) {
            return Err(NodeError::NeedsRestart(key));
        }
        let geography = open_geography(&config.geography)?;
        self.parts.gateway.reload(config.gateway.clone())?;
        self.parts.geography.replace(geography);
        self.parts.kernel.follow_listeners(&self.parts.gateway);
        *lock(&self.parts.mode) = config.mode;
        *lock(&self.parts.sites) = site_names(&config.gateway);
        *lock(&self.parts.tls) = config.gateway.listeners.iter().map(|l| l.tls).collect();
        *lock(&self.parts.wishes) = Wishes::of(&config);
        *lock(&self.parts.events) = Some(config.events.clone());
        self.parts.kernel.set_allow(config.kernel.allow.clone());
        packet_loop::refresh(&self.parts);
        self.config = config;
        Ok(())
    }

    /// Stops: no new connections, requests under way get `drain` to finish, the records are
    /// written.
    pub fn stop(mut self, drain: Duration) {
        self.control = None;
        self.parts.gateway.drain(drain);
        self.end();
    }

    fn end(&mut self) {
        self.parts.stopping.store(true, Ordering::Relaxed);
        for thread in [self.engine.take(), self.packets.take()].into_iter().flatten() {
            // The engines' threads never panic on input; if one did, stopping goes on regardless.
            let _ = thread.join();
        }
        self.parts.kernel.detach();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads the databases and says which.
fn open_geography(config: &GeographyConfig) -> Result<Opened, NodeError> {
    let opened = Opened::open(config)?;
    for (database, roles) in opened.databases() {
        let holds: Vec<&str> = roles.iter().map(|role| role.words()).collect();
        tracing::info!(
            database = %database.path().display(),
            made = floodwall_console::utc(database.built_s().saturating_mul(1_000)),
            "reading {} from it", holds.join(" and "),
        );
    }
    for error in opened.passed_over() {
        tracing::warn!("passed over: {error}");
    }
    Ok(opened)
}

fn attach_kernel(config: &NodeConfig, gateway: &Gateway) -> Result<Kernel, NodeError> {
    let request = FilterRequest {
        interfaces: config.interfaces.clone(),
        sanity: config.kernel.sanity,
        nftables: config.nftables,
        state_file: config.database.with_file_name(SYNCOOKIES_NOTE),
        features: None,
    };
    let loopback = is_loopback(&config.interfaces);
    let services = packet_loop::services(&config.kernel.udp_services, loopback, gateway);
    Ok(Kernel::attach(request, config.kernel.allow.clone(), services, gateway)?)
}

/// Shadow mode drops nothing on the operator's word either.
fn source_rates(config: &NodeConfig) -> Option<SourceRates> {
    config.kernel.source_rates.filter(|_| config.mode == Mode::Protect)
}

fn site_names(gateway: &GatewayConfig) -> Vec<(String, String)> {
    let name = |names: &[String]| match names {
        [] => "every host".to_owned(),
        names => names.join(", "),
    };
    gateway.sites.iter().map(|s| (name(&s.names), s.origin.to_string())).collect()
}

fn protected(config: &NodeConfig) -> Protected {
    let mut prefixes = config.gateway.operators.clone();
    prefixes.extend(&config.gateway.trusted_proxies);
    prefixes.extend(&config.kernel.allow);
    Protected {
        prefixes,
        // On the loopback interface everybody has a loopback address.
        loopback_is_bannable: config.loopback_is_bannable || is_loopback(&config.interfaces),
    }
}

/// Whether the filter sits on the loopback interface too.
fn is_loopback(interfaces: &[String]) -> bool {
    interfaces.iter().any(|name| name == "lo")
}

/// Answers what is asked over the control socket.
fn answer(parts: &Parts, request: Request) -> Response {
    let failed = |error: floodwall_store::StoreError| Response::Error {
        kind: ErrorKind::Internal,
        message: error.to_string(),
    };
    match request {
        Request::Status => Response::Status { status: Box::new(status::status(parts)) },
        Request::Incidents { limit } => match lock(&parts.store).incidents(limit) {
            Ok(listed) => {
                let mut incidents = listed.incidents;
                for unsaved in parts.writer.all_unsaved() {
                    incidents.retain(|i| i.id != unsaved.id);
                    incidents.insert(0, (*unsaved).clone());
                }
                incidents.sort_by_key(|i| std::cmp::Reverse(i.id));
                incidents.truncate(limit);
                Response::Incidents {
                    incidents: incidents.iter().map(Into::into).collect(),
                    unreadable: listed.unreadable,
                }
            }
            Err(error) => failed(error),
        },
        Request::Incident { id } => {
            if let Some(unsaved) = parts.writer.unsaved(id) {
                return Response::Incident { incident: Box::new((*unsaved).clone()) };
            }
            match lock(&parts.store).incident(id) {
                Ok(Some(incident)) => Response::Incident { incident: Box::new(incident) },
                Ok(None) => Response::Error {
                    kind: ErrorKind::NotFound,
                    message: format!(
                        "there is no incident {id}; `floodwall incidents` lists those there are"
                    ),
                },
                Err(error) => failed(error),
            }
        }
    }
}
