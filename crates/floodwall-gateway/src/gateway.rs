//! The gateway as the binary sees it: start, reload, drain, count.
//!
//! It owns the worker threads and nothing else that moves. Whatever can fail is tried before
//! anything is changed.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustls::server::ProducesTickets;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::clock::now_ms;
use crate::config::{GatewayConfig, Links, Listener};
use crate::connection_table::ConnectionTable;
use crate::counters::{Counters, CountersSnapshot};
use crate::descriptors;
use crate::error::{ReloadError, StartError};
use crate::listen::{self, OpenListener};
use crate::snapshot::{OriginNumbers, Snapshot};
use crate::throttle::ThrottleTable;
use crate::trial::TrialBudget;
use crate::worker::{self, Command, Shared};

/// How often a drain looks whether the workers have ended.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// A running gateway. Dropped, it drains for the configured time.
pub struct Gateway {
    shared: Arc<Shared>,
    workers: usize,
    counters: Vec<Arc<Counters>>,
    inner: Mutex<Inner>,
}

struct Inner {
    commands: Vec<UnboundedSender<Command>>,
    threads: Vec<JoinHandle<()>>,
    listeners: Vec<HeldListener>,
    numbers: OriginNumbers,
    /// Kept over reloads, so that sessions can be resumed.
    ticketer: Option<Arc<dyn ProducesTickets>>,
    drain: Duration,
    is_stopping: bool,
}

/// A listener that is open, with a descriptor of each of its sockets.
struct HeldListener {
    listener: Listener,
    local: SocketAddr,
    sockets: Vec<std::net::TcpListener>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Starts a gateway. When it returns, every listener listens.
    pub fn start(config: GatewayConfig, links: Links) -> Result<Gateway, StartError> {
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let ticketer = rustls::crypto::ring::Ticketer::new()
            .inspect_err(|error| tracing::warn!(%error, "TLS sessions cannot be resumed"))
            .ok();
        let mut numbers = OriginNumbers::default();
        let snapshot = Snapshot::make(&config, workers, &mut numbers, ticketer.clone())?;
        let mut opened = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            opened.push(listen::open(*listener, workers, config.limits.defer_accept_s)?);
        }
        let connections_max = descriptors::connections_max(descriptors::raise_limit());
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            links,
            throttle: ThrottleTable::new(),
            trial: TrialBudget::new(now_ms()),
            connections: Arc::new(ConnectionTable::new(connections_max)),
            tunnels: AtomicUsize::new(0),
        });
        let mut inner = Inner {
            commands: Vec::with_capacity(workers),
            threads: Vec::with_capacity(workers),
            listeners: Vec::new(),
            numbers,
            ticketer,
            drain: Duration::from_millis(config.drain_ms),
            is_stopping: false,
        };
        let mut counters = Vec::with_capacity(workers);
        for index in 0..workers {
            // On an error the threads already running end, because their commands end.
            counters.push(inner.start_worker(index, &shared)?);
        }
        for listener in opened {
            inner.hand_out(listener).map_err(StartError::Worker)?;
        }
        Ok(Gateway { shared, workers, counters, inner: Mutex::new(inner) })
    }

    /// The addresses listened on, in the order configured, with the ports the kernel chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.inner().listeners.iter().map(|held| held.local).collect()
    }

    /// A descriptor of every listening socket, for a socket filter. Options set on one are set on
    /// the socket.
    pub fn listener_fds(&self) -> std::io::Result<Vec<OwnedFd>> {
        let inner = self.inner();
        let sockets = inner.listeners.iter().flat_map(|held| &held.sockets);
        sockets.map(|socket| socket.try_clone().map(OwnedFd::from)).collect()
    }

    /// Takes on `config`, all of it or nothing. Connections live on: their next requests meet the
    /// new sites and limits. The number of workers stays, and limits that say so take effect with
    /// new connections or listeners.
    pub fn reload(&self, config: GatewayConfig) -> Result<(), ReloadError> {
        let mut inner = self.inner();
        if inner.is_stopping {
            return Err(ReloadError::Stopping);
        }
        let ticketer = inner.ticketer.clone();
        // A number given to an origin of a configuration that then fails is merely never used.
        let snapshot = Snapshot::make(&config, self.workers, &mut inner.numbers, ticketer)?;
        let mut opened = Vec::new();
        for listener in &config.listeners {
            if !inner.listeners.iter().any(|held| held.listener == *listener) {
                let is_held =
                    inner.listeners.iter().any(|held| held.listener.addr == listener.addr);
                opened.push(if is_held {
                    // The same address with TLS instead of without, or the reverse: the old socket
                    // goes when the new one is there.
                    listen::open_beside(*listener, self.workers, config.limits.defer_accept_s)?
                } else {
                    listen::open(*listener, self.workers, config.limits.defer_accept_s)?
                });
            }
        }
        // From here on nothing fails.
        self.shared.snapshot.store(Arc::new(snapshot));
        for listener in opened {
            if let Err(error) = inner.hand_out(listener) {
                tracing::error!(%error, "a new listener could not be handed to a worker");
            }
        }
        inner.keep_only(&config.listeners);
        inner.drain = Duration::from_millis(config.drain_ms);
        Ok(())
    }

    /// Stops: takes no new connection, lets running requests finish until `deadline`, and returns
    /// when the workers have ended. Requests that still run then are cut.
    pub fn drain(&self, deadline: Duration) {
        self.inner().drain(deadline);
    }

    /// What was counted so far.
    pub fn counters(&self) -> CountersSnapshot {
        let mut snapshot = CountersSnapshot::default();
        for counters in &self.counters {
            snapshot.add(counters);
        }
        snapshot.bans = self.shared.links.bans.len() as u64;
        snapshot.bans_refused = self.shared.links.bans.refused();
        snapshot.throttle_evicted = self.shared.throttle.evicted();
        snapshot
    }

    /// Client connections open now, as the limit on all of them counts.
    pub fn connections_open(&self) -> usize {
        self.shared.connections.open()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing under this lock leaves a half-made state that the next holder could not bear.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn start_worker(
        &mut self,
        index: usize,
        shared: &Arc<Shared>,
    ) -> Result<Arc<Counters>, StartError> {
        let counters = Arc::new(Counters::default());
        let (commands, inbox) = unbounded_channel();
        let (shared, counted) = (shared.clone(), counters.clone());
        let (report, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(format!("floodwall-w{index}"))
            .spawn(move || {
                // A local runtime is made in the thread that it never leaves.
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_io()
                    .enable_time()
                    .build_local(LocalOptions::default());
                match runtime {
                    Ok(runtime) => {
                        let _ = report.send(Ok(()));
                        worker::run(runtime, index, shared, counted, inbox);
                    }
                    Err(error) => drop(report.send(Err(error))),
                }
            })
            .map_err(StartError::Worker)?;
        let ended = || std::io::Error::other("the worker ended at once");
        started.recv().map_err(|_| StartError::Worker(ended()))?.map_err(StartError::Worker)?;
        self.threads.push(thread);
        self.commands.push(commands);
        Ok(counters)
    }

    /// Gives each worker its socket of a listener.
    fn hand_out(&mut self, open: OpenListener) -> std::io::Result<()> {
        let OpenListener { listener, local, sockets } = open;
        let held = sockets.iter().map(|socket| socket.try_clone()).collect::<Result<_, _>>()?;
        for (commands, socket) in self.commands.iter().zip(sockets) {
            // A worker that has ended listens to nothing.
            let _ = commands.send(Command::Listen(listener, socket));
        }
        self.listeners.push(HeldListener { listener, local, sockets: held });
        Ok(())
    }

    /// Closes the listeners that are not in `listeners` and puts the others in its order.
    fn keep_only(&mut self, listeners: &[Listener]) {
        let place = |held: &HeldListener| listeners.iter().position(|l| *l == held.listener);
        for gone in self.listeners.iter().filter(|held| place(held).is_none()) {
            for commands in &self.commands {
                let _ = commands.send(Command::Unlisten(gone.listener));
            }
        }
        self.listeners.retain(|held| place(held).is_some());
        self.listeners.sort_by_key(place);
    }

    fn drain(&mut self, deadline: Duration) {
        self.is_stopping = true;
        // Our copies would keep the listening sockets open.
        self.listeners.clear();
        let end = Instant::now() + deadline;
        for commands in self.commands.drain(..) {
            let _ = commands.send(Command::Drain(end));
        }
        for thread in self.threads.drain(..) {
            while !thread.is_finished() {
                std::thread::sleep(DRAIN_POLL);
            }
            if thread.join().is_err() {
                tracing::error!("a worker had ended by a panic");
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let mut inner = self.inner();
        let deadline = inner.drain;
        inner.drain(deadline);
    }
}
