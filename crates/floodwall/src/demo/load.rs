//! The demo's traffic on real sockets: visitors, the attack, the crowd.
//!
//! Visits are closed loops: nothing a page needs is asked for before the page has come, as with
//! people. The attack is not: each source sends on its period whether or not it was answered, and
//! gives up on what is still open by then. Nobody ever sends more than the model planned.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use floodwall_sim::{Answer, Member, Session, SessionArrivals, Step, Text};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::connection::Client;
use super::meter::{CurrentPhase, Ending, Meter};

/// Visits at once. When full: a visitor does not come; counted in [`LoadCounters::visits_skipped`].
/// The crowd of a run keeps about 1,500 going.
const VISITS_LIVE_MAX: usize = 6_000;
/// A visitor waits this long for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// An attacking source gives up this long before its next request is due, ms.
const ATTACK_GIVES_UP_BEFORE_MS: u64 = 50;
/// An attacking request that is later than this is left out, so that a slow machine thins the
/// attack out instead of sending it in bursts, ms.
const ATTACK_LATE_MS_MAX: u64 = 1_000;

/// What went otherwise than planned.
#[derive(Debug, Default)]
pub(super) struct LoadCounters {
    /// Visits that did not take place because [`VISITS_LIVE_MAX`] were going on.
    pub(super) visits_skipped: AtomicU64,
    /// Attacking requests left out because the machine was late.
    pub(super) attack_skipped: AtomicU64,
    /// When the first attacking request was sent, ms since the start, plus one; 0 before.
    first_attack: AtomicU64,
    /// Processor time of the load threads that have ended, ns.
    cpu_ns: AtomicU64,
}

impl LoadCounters {
    /// When the first attacking request was sent, ms since the start.
    pub(super) fn first_attack_ms(&self) -> Option<u64> {
        self.first_attack.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Processor time of the load threads that have ended; `None` where the kernel does not tell.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let ns = self.cpu_ns.load(Ordering::Relaxed);
        (ns > 0).then(|| Duration::from_nanos(ns))
    }
}

/// Everything a load thread needs.
#[derive(Clone, Debug)]
pub(super) struct LoadContext {
    /// Where visitors connect to.
    pub(super) site: SocketAddr,
    /// The start; all times of the model count from here.
    pub(super) epoch: Instant,
    /// Where endings are counted.
    pub(super) meter: Arc<Meter>,
    /// The phase that is on.
    pub(super) phase: Arc<CurrentPhase>,
    /// What went otherwise than planned.
    pub(super) counters: Arc<LoadCounters>,
    /// Turns true when everything shall end.
    pub(super) stop: watch::Receiver<bool>,
}

impl LoadContext {
    fn now_ms(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }

    async fn sleep_until(&self, at_ms: u64) {
        tokio::time::sleep_until((self.epoch + Duration::from_millis(at_ms)).into()).await;
    }
}

/// Lets visits take place on a thread of their own until told to stop.
pub(super) fn spawn_visitors(
    context: LoadContext,
    arrivals: Vec<SessionArrivals>,
) -> io::Result<JoinHandle<()>> {
    spawn("demo-visitors", context, move |context| async move {
        for arrivals in arrivals {
            tokio::task::spawn_local(receive(context.clone(), arrivals));
        }
    })
}

/// Lets the attack take place on a thread of its own until told to stop. With `reconnects`, every
/// request has a connection of its own.
pub(super) fn spawn_attack(
    context: LoadContext,
    members: Vec<Member>,
    period_ms: u64,
    reconnects: bool,
) -> io::Result<JoinHandle<()>> {
    spawn("demo-attack", context, move |context| async move {
        for member in members {
            tokio::task::spawn_local(attack(context.clone(), member, period_ms, reconnects));
        }
    })
}

/// A thread with its own runtime. Its tasks end when the context says so.
fn spawn<F, S>(name: &str, context: LoadContext, start: S) -> io::Result<JoinHandle<()>>
where
    F: Future<Output = ()>,
    S: FnOnce(LoadContext) -> F + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut stop = context.stop.clone();
        let counters = Arc::clone(&context.counters);
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, async {
            start(context).await;
            // An error means that the director is gone, which is as good a reason to stop.
            let _ = stop.wait_for(|stop| *stop).await;
        });
        drop(tasks);
        if let Some(cpu_ns) = thread_cpu_ns() {
            counters.cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
        }
    })
}

/// Processor time of this thread, ns: first field of schedstat (Linux,
/// Documentation/scheduler/sched-stats.rst).
fn thread_cpu_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Starts each visit when it begins.
async fn receive(context: LoadContext, arrivals: SessionArrivals) {
    let arrivals = Rc::new(RefCell::new(arrivals));
    let live = Rc::new(Cell::new(0));
    loop {
        let next = arrivals.borrow_mut().next_session();
        let Some(session) = next else { return };
        context.sleep_until(session.starts_at_ms()).await;
        if live.get() >= VISITS_LIVE_MAX {
            context.counters.visits_skipped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        live.set(live.get() + 1);
        let (context, arrivals, live) = (context.clone(), Rc::clone(&arrivals), Rc::clone(&live));
        tokio::task::spawn_local(async move {
            let session = visit(&context, session).await;
            arrivals.borrow_mut().remember(session, context.now_ms());
            live.set(live.get() - 1);
        });
    }
}

/// One visit over one connection.
async fn visit(context: &LoadContext, mut session: Session) -> Session {
    let mut client = Client::new(session.source(), context.site);
    let mut answer = Answer::ok(context.now_ms());
    let mut wire = Vec::with_capacity(1_024);
    while let Step::Send(planned) = session.next(&answer) {
        context.sleep_until(planned.at_ms).await;
        wire.clear();
        planned.request.write_http1(&mut wire);
        let (phase, begun) = (context.phase.get(), Instant::now());
        let exchange = client.exchange(&wire, PATIENCE).await;
        let latency_us = begun.elapsed().as_micros() as u64;
        let now_ms = context.now_ms();
        context.meter.count(planned.label, phase, exchange.ending, latency_us, now_ms);
        answer = Answer {
            at_ms: now_ms,
            ok: exchange.ending == Ending::Well,
            cookie: exchange.cookie.map(Text::from),
        };
    }
    session
}

/// One source of the attack.
async fn attack(context: LoadContext, member: Member, period_ms: u64, reconnects: bool) {
    let mut client = Client::new(member.source(), context.site);
    let patience = Duration::from_millis(period_ms.saturating_sub(ATTACK_GIVES_UP_BEFORE_MS));
    let mut wire = Vec::new();
    for planned in member {
        context.sleep_until(planned.at_ms).await;
        if context.now_ms() > planned.at_ms + ATTACK_LATE_MS_MAX.min(period_ms) {
            context.counters.attack_skipped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        note_first_attack(&context);
        wire.clear();
        planned.request.write_http1(&mut wire);
        let (phase, begun) = (context.phase.get(), Instant::now());
        let ending = client.exchange(&wire, patience).await.ending;
        let latency_us = begun.elapsed().as_micros() as u64;
        context.meter.count(planned.label, phase, ending, latency_us, context.now_ms());
        if reconnects {
            client.close();
        }
        // Between its requests a source keeps no buffer.
        wire = Vec::new();
    }
}

fn note_first_attack(context: &LoadContext) {
    let first = &context.counters.first_attack;
    if first.load(Ordering::Relaxed) == 0 {
        let now = context.now_ms() + 1;
        let _ = first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
