//! A worker: one thread, one runtime, its own listeners, pools and batch.
//!
//! Workers share only what is written seldom or counted per connection ([`Shared`]). Everything a
//! request touches lies in [`Worker`], which never leaves its thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use floodwall_model::AttrWriter;
use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::accept;
use crate::clock::now_ms;
use crate::config::{Links, Listener};
use crate::connection_table::ConnectionTable;
use crate::counters::Counters;
use crate::deadlines::{Deadlines, TICK_MS};
use crate::observer::Observer;
use crate::snapshot::Snapshot;
use crate::throttle::ThrottleTable;
use crate::trial::TrialBudget;
use crate::upstream::Origins;

/// Bytes read from a socket at once. One such buffer per worker serves all its connections.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Ticks between the chores that need not be done at every tick.
const CHORE_TICKS: u64 = 20;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) links: Links,
    pub(crate) throttle: ThrottleTable,
    pub(crate) trial: TrialBudget,
    pub(crate) connections: Arc<ConnectionTable>,
    pub(crate) tunnels: AtomicUsize,
}

/// What a worker is told.
pub(crate) enum Command {
    /// Listen here too.
    Listen(Listener, std::net::TcpListener),
    /// Listen there no longer.
    Unlisten(Listener),
    /// Take no new connection, finish what runs, end by then.
    Drain(Instant),
}

/// One worker's own.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) observer: RefCell<Observer>,
    pub(crate) origins: Origins,
    pub(crate) scratch: Rc<RefCell<Box<[u8]>>>,
    pub(crate) draining: Cell<bool>,
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>, counters: Arc<Counters>) -> Rc<Self> {
        let deadlines = Deadlines::new();
        let scratch: Rc<RefCell<Box<[u8]>>> =
            Rc::new(RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()));
        let links = &shared.links;
        let writer = AttrWriter::new(links.value_key).with_geography(links.geography.clone());
        let observer = Observer::new(index as u16, writer, links.observations.clone());
        Rc::new(Worker {
            origins: Origins::new(deadlines.clone(), scratch.clone(), counters.clone()),
            shared,
            counters,
            deadlines,
            observer: RefCell::new(observer),
            scratch,
            draining: Cell::new(false),
        })
    }

    fn flush(&self) {
        self.observer.borrow_mut().flush(&self.counters);
    }
}

/// Runs a worker to its end. The body of its thread.
pub(crate) fn run(
    runtime: LocalRuntime,
    index: usize,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    commands: UnboundedReceiver<Command>,
) {
    let worker = Worker::new(index, shared, counters);
    runtime.block_on(serve(worker.clone(), index, commands));
    // Whatever still ran ends here, and its records still belong into a batch.
    drop(runtime);
    worker.flush();
}

async fn serve(worker: Rc<Worker>, index: usize, mut commands: UnboundedReceiver<Command>) {
    let mut accepting: HashMap<Listener, Accepting> = HashMap::new();
    let mut end: Option<Instant> = None;
    let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0u64;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                worker.deadlines.tick();
                worker.flush();
                ticks += 1;
                if ticks.is_multiple_of(CHORE_TICKS) {
                    worker.origins.sweep(&worker.shared.snapshot.load().limits);
                    if index == 0 {
                        worker.shared.links.bans.sweep(now_ms());
                    }
                }
                if let Some(end) = end
                    && (worker.counters.connections_open.load() == 0 || Instant::now() >= end)
                {
                    return;
                }
            }
            // Behind a drain nothing more is said.
            command = commands.recv(), if end.is_none() => match command {
                Some(Command::Listen(listener, socket)) => {
                    if let Some(task) = Accepting::start(&worker, listener, socket) {
                        accepting.insert(listener, task);
                    }
                }
                Some(Command::Unlisten(listener)) => drop(accepting.remove(&listener)),
                Some(Command::Drain(at)) => {
                    end = Some(at);
                    accepting.clear();
                    worker.draining.set(true);
                    worker.deadlines.wake_all();
                }
                // The gateway is gone without a word: nobody will ask again.
                None => return,
            },
        }
    }
}

/// A running accept loop, ended on drop after it has taken what the kernel had ready.
struct Accepting {
    worker: Rc<Worker>,
    listener: Rc<accept::AcceptingListener>,
    task: AbortHandle,
}

impl Accepting {
    fn start(
        worker: &Rc<Worker>,
        listener: Listener,
        socket: std::net::TcpListener,
    ) -> Option<Self> {
        // Fails only when the event queue does; the other workers still listen.
        let socket = tokio::net::TcpListener::from_std(socket)
            .inspect_err(
                |error| tracing::error!(%error, addr = %listener.addr, "cannot poll a listener"),
            )
            .ok()?;
        let listener = Rc::new(accept::AcceptingListener { socket, tls: listener.tls });
        let task = tokio::task::spawn_local(accept::run(worker.clone(), listener.clone()));
        Some(Accepting { worker: worker.clone(), listener, task: task.abort_handle() })
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        accept::take_ready(&self.worker, &self.listener);
        self.task.abort();
    }
}
