//! The engine's thread: gathers what arrived, steps the engine ten times a second, applies what it
//! wants done.
//!
//! It must never wait for anything but the next tick: the store has a mailbox, the control socket
//! reads a copy, the kernel's maps answer at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use floodwall_engine::{Effect, Engine, EngineConfig, EngineStatus, OriginCounts, OriginWatch};
use floodwall_model::{
    Ban, CheckedPlan, Incident, Mode, Observation, ObservationBatch, Reason, Source, ValueKey,
};
use floodwall_store::StoreError;

use super::memory::{self, MemoryKeeper};
use super::numbers::IncidentNumbers;
use super::pace::{Durations, Shown};
use super::packet_loop::PacketsView;
use super::{Parts, lock};
use crate::clock::now_ms;

/// Length of a tick, ms.
const TICK_MS: u64 = 100;
/// Observations taken into one tick. When over: the rest waits in the channel for the next, which
/// follows at once.
const OBSERVATIONS_PER_TICK_MAX: usize = 262_144;
/// How often the kernel's counters are read and its ended bans swept, ms.
const KERNEL_EVERY_MS: u64 = 1_000;
/// Between two warnings about one thing, ms.
const WARN_EVERY_MS: u64 = 60_000;
/// Incidents kept in memory for the demo and the status. When over: the oldest is dropped; the
/// store has it.
const INCIDENTS_SHOWN_MAX: usize = 16;

/// What the engine's thread shows to others.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The engine's state after its last step.
    pub(crate) status: Option<EngineStatus>,
    /// How long the engine's steps take.
    pub(crate) steps: Shown,
    /// How long those take in which signatures are searched for.
    pub(crate) searches: Shown,
    /// Observations lost before the engine.
    pub(crate) lost: u64,
    /// The latest incidents since the start, oldest first.
    pub(crate) incidents: Vec<Incident>,
    /// Bans that were refused by their check or found a table full.
    pub(crate) bans_refused: u64,
    /// What the packet engine's thread shows.
    pub(crate) packets: PacketsView,
}

impl View {
    /// Shows `incident`, in place of an older state of it.
    pub(crate) fn show(&mut self, incident: Incident) {
        self.incidents.retain(|i| i.id != incident.id);
        if self.incidents.len() >= INCIDENTS_SHOWN_MAX {
            self.incidents.remove(0);
        }
        self.incidents.push(incident);
    }
}

/// The thread's state.
pub(crate) struct EngineLoop {
    engine: Engine,
    batches: Receiver<ObservationBatch>,
    plan: Arc<ArcSwap<CheckedPlan>>,
    observations: Vec<Observation>,
    lost: u64,
    kernel_read_ms: u64,
    origin_failed: u64,
    origin: OriginWatch,
    /// Answers of 5xx that the origin gave, since the start.
    origin_5xx: u64,
    origin_warned_ms: Option<u64>,
    mode: Mode,
    /// Bans in force, at most as many as the board holds, so that all can be lifted at once, and
    /// given to a kernel filter that was put in place later.
    banned: HashMap<Source, Ban>,
    /// The kernel filter that has them.
    fillings: u64,
    numbers: IncidentNumbers,
    keeper: MemoryKeeper,
    steps: Durations,
    searches: Durations,
}

impl EngineLoop {
    pub(crate) fn new(
        config: EngineConfig,
        key: ValueKey,
        seed: u64,
        batches: Receiver<ObservationBatch>,
        plan: Arc<ArcSwap<CheckedPlan>>,
        numbers: IncidentNumbers,
    ) -> Self {
        EngineLoop {
            origin_failed: 0,
            origin: OriginWatch::default(),
            origin_5xx: 0,
            origin_warned_ms: None,
            mode: config.mode,
            banned: HashMap::new(),
            fillings: 0,
            numbers,
            keeper: MemoryKeeper::new(now_ms()),
            engine: Engine::new(config, key, seed),
            batches,
            plan,
            observations: Vec::new(),
            steps: Durations::default(),
            searches: Durations::default(),
            lost: 0,
            kernel_read_ms: 0,
        }
    }

    /// Goes on from what the store kept.
    pub(crate) fn recall(&mut self, kept: Result<Option<Vec<u8>>, StoreError>) {
        memory::recall(&mut self.engine, kept, now_ms());
    }

    /// Runs until told to stop and the channel is empty or closed.
    pub(crate) fn run(mut self, parts: &Parts) {
        let mut next_ms = now_ms() + TICK_MS;
        loop {
            let stopping = parts.stopping.load(Ordering::Relaxed);
            self.gather(next_ms);
            self.tick(parts);
            if stopping {
                break;
            }
            // After a stall the missed ticks are not made up: the next one is a tick away.
            next_ms = (next_ms + TICK_MS).max(now_ms() + TICK_MS / 2);
        }
        for effect in self.engine.finish() {
            self.apply(effect, parts);
        }
        memory::hand_over(&self.engine, &parts.writer);
    }

    /// Takes batches until `until_ms` or until one tick's worth is there.
    fn gather(&mut self, until_ms: u64) {
        loop {
            let wait_ms = until_ms.saturating_sub(now_ms());
            let received = self.batches.recv_timeout(Duration::from_millis(wait_ms));
            match received {
                Ok(batch) => {
                    self.lost += batch.lost;
                    self.engine.observations_lost(batch.lost);
                    self.engine.learn_names(&batch.names);
                    self.observations.extend(batch.observations);
                    if self.observations.len() >= OBSERVATIONS_PER_TICK_MAX {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(Duration::from_millis(wait_ms));
                    return;
                }
            }
        }
    }

    fn tick(&mut self, parts: &Parts) {
        let now_ms = now_ms();
        self.follow_mode(*lock(&parts.mode), parts);
        if let Some(events) = lock(&parts.events).take() {
            self.engine.declare(events);
        }
        self.read_kernel(parts, now_ms);
        self.origin_5xx += answers_5xx(&self.observations);
        let effects = self.timed_step(now_ms);
        self.observations.clear();
        for effect in effects {
            self.apply(effect, parts);
        }
        self.keeper.tick(&self.engine, &parts.writer, now_ms);
        let mut status = self.engine.status();
        status.incident = status.incident.map(|own| self.numbers.exchange(own));
        let mut view = lock(&parts.view);
        view.status = Some(status);
        view.steps = self.steps.shown(now_ms);
        view.searches = self.searches.shown(now_ms);
        view.lost = self.lost;
    }

    /// One step of the engine, which is told how long it took.
    fn timed_step(&mut self, now_ms: u64) -> Vec<Effect> {
        let searched = self.engine.minings();
        let began = Instant::now();
        let effects = self.engine.step(now_ms, &self.observations);
        let took = began.elapsed();
        self.steps.note(now_ms, took);
        if self.engine.minings() > searched {
            self.searches.note(now_ms, took);
        }
        self.engine.step_took(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        effects
    }

    /// Whoever switches to shadow wants nobody refused from this moment: the bans go too.
    fn follow_mode(&mut self, mode: Mode, parts: &Parts) {
        if mode == Mode::Shadow && self.mode == Mode::Protect {
            let mut lifted = Vec::with_capacity(self.banned.len());
            for (source, _) in self.banned.drain() {
                parts.bans.unban(source);
                lifted.push(source.counted());
            }
            parts.kernel.unban_all(lifted);
        }
        self.mode = mode;
        self.engine.set_mode(mode);
    }

    fn read_kernel(&mut self, parts: &Parts, now_ms: u64) {
        if now_ms < self.kernel_read_ms + KERNEL_EVERY_MS {
            return;
        }
        self.kernel_read_ms = now_ms;
        if let Some(dropped) = parts.kernel.dropped_packets() {
            self.engine.kernel_dropped(dropped);
        }
        parts.kernel.sweep();
        self.fill_kernel(parts, now_ms);
        self.watch_origin(parts, now_ms);
        self.tell_stress(parts);
        self.banned.retain(|_, ban| now_ms < ban.until_ms);
    }

    /// A kernel filter that came later, after its interface, knows of no ban.
    fn fill_kernel(&mut self, parts: &Parts, now_ms: u64) {
        let fillings = parts.kernel.fillings();
        if fillings == self.fillings {
            return;
        }
        self.fillings = fillings;
        let protected = lock(&parts.protected).clone();
        let lasting = self.banned.values().filter(|ban| now_ms < ban.until_ms);
        let bans = lasting.filter_map(|ban| ban.check(&protected).ok()).collect();
        parts.kernel.ban_all(bans, now_ms);
    }

    /// Says that an origin fails requests, at most once a minute: nobody looks at counters first.
    fn watch_origin(&mut self, parts: &Parts, now_ms: u64) {
        const FAILURES: [Reason; 3] =
            [Reason::OriginUnreachable, Reason::OriginTimeout, Reason::OriginMalformed];
        let counters = parts.gateway.counters();
        let failed: u64 = FAILURES.iter().map(|reason| counters.reason(*reason)).sum();
        let due = self.origin_warned_ms.is_none_or(|at_ms| now_ms >= at_ms + WARN_EVERY_MS);
        if failed > self.origin_failed && due {
            self.origin_warned_ms = Some(now_ms);
            tracing::warn!(
                requests = failed - self.origin_failed,
                "the site behind does not answer: visitors got 502 or 504. Is it running, and is \
                 its address right? `floodwall status` shows both"
            );
            self.origin_failed = failed;
        }
    }

    fn tell_stress(&mut self, parts: &Parts) {
        const FAILURES: [Reason; 4] = [
            Reason::OriginSaturated,
            Reason::OriginUnreachable,
            Reason::OriginTimeout,
            Reason::OriginMalformed,
        ];
        let counters = parts.gateway.counters();
        let failed: u64 = FAILURES.iter().map(|reason| counters.reason(*reason)).sum();
        let stress = self.origin.look(OriginCounts {
            passed: counters.passed,
            failed: failed + self.origin_5xx,
            in_flight: counters.upstream_in_flight,
            waiting: counters.upstream_waiting,
        });
        self.engine.origin_stress(stress);
    }

    fn apply(&mut self, effect: Effect, parts: &Parts) {
        match effect {
            Effect::Publish(plan) => self.plan.store(plan),
            Effect::Ban(ban) => self.ban(ban, parts),
            Effect::Incident(mut incident) => {
                incident.id = self.numbers.exchange(incident.id);
                lock(&parts.view).show((*incident).clone());
                parts.writer.submit(*incident);
            }
        }
    }

    /// Ban → CheckedBan → board and kernel. The board closes in user space what the kernel, for
    /// whatever reason, lets through.
    fn ban(&mut self, ban: Ban, parts: &Parts) {
        let checked = ban.check(&lock(&parts.protected));
        let enforced = match checked {
            Ok(checked) => {
                let on_board = parts.bans.ban(&checked).is_ok();
                if on_board {
                    self.banned.insert(ban.source, ban);
                }
                parts.kernel.ban(&checked, now_ms()) && on_board
            }
            Err(_) => false,
        };
        if !enforced {
            lock(&parts.view).bans_refused += 1;
        }
    }
}

/// Answers of 5xx that the origin itself gave.
fn answers_5xx(observations: &[Observation]) -> u64 {
    let failed = |o: &&Observation| {
        o.outcome.is_some_and(|outcome| outcome.status >= 500 && outcome.origin_ms.is_some())
    };
    observations.iter().filter(failed).count() as u64
}
