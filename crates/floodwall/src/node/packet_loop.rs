//! The packet engine's thread: reads what the kernel filter saw, steps the engine 20 times a
//! second, applies what it wants done.
//!
//! Each reading renews the filter's lease, so that a node that hangs stops dropping within a
//! minute. It must never wait for anything but the kernel's own answer and the next tick.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use floodwall_engine::packet::{PacketEffect, PacketEngine, PacketEngineConfig, PacketStatus};
use floodwall_model::RuleId;
use floodwall_model::packet::{CheckedPacketPlan, Guards};
use floodwall_xdp::{BanError, PlanApplied, Services};

use super::numbers::IncidentNumbers;
use super::{Parts, is_loopback, lock, neighbours, ports};
use crate::clock::now_ms;

/// Length of a tick.
const TICK: Duration = Duration::from_millis(50);
/// How often the interface is looked at, ms.
const INTERFACE_EVERY_MS: u64 = 500;
/// How often open ports, gateways and own links are looked up, ms.
const HOST_EVERY_MS: u64 = 10_000;
/// Between two warnings about one thing, ms.
const WARN_EVERY_MS: u64 = 60_000;

/// What the thread shows to others.
#[derive(Debug, Default)]
pub(crate) struct PacketsView {
    /// The engine's state after its last step; `None` while no packets are seen.
    pub(crate) status: Option<PacketStatus>,
    /// The guards that stand in the kernel.
    pub(crate) guards: Guards,
    /// Why others that are wanted do not.
    pub(crate) guards_refused: Vec<String>,
    /// Rules of the plan that the tier in force cannot hold.
    pub(crate) rules_refused: Vec<RuleId>,
}

/// The thread's state.
pub(crate) struct PacketLoop {
    engine: PacketEngine,
    numbers: IncidentNumbers,
    /// The plan in force.
    plan: Option<Arc<CheckedPacketPlan>>,
    /// Whether the kernel has it.
    applied: bool,
    standing: Guards,
    refused: Vec<String>,
    rules_refused: Vec<RuleId>,
    interface_ms: u64,
    host_ms: u64,
    warned_ms: Option<u64>,
}

impl PacketLoop {
    pub(crate) fn new(config: PacketEngineConfig, seed: u64, numbers: IncidentNumbers) -> Self {
        PacketLoop {
            engine: PacketEngine::new(config, seed),
            numbers,
            plan: None,
            applied: true,
            standing: Guards::default(),
            refused: Vec::new(),
            rules_refused: Vec::new(),
            interface_ms: 0,
            host_ms: now_ms(),
            warned_ms: None,
        }
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self, parts: &Parts) {
        let mut next = Instant::now();
        loop {
            let stopping = parts.stopping.load(Ordering::Relaxed);
            self.tick(parts, now_ms());
            if stopping {
                break;
            }
            // After a stall the missed ticks are not made up.
            next = (next + TICK).max(Instant::now() + TICK / 10);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        for effect in self.engine.finish() {
            self.take(effect, parts);
        }
    }

    fn tick(&mut self, parts: &Parts, now_ms: u64) {
        if now_ms >= self.interface_ms + INTERFACE_EVERY_MS {
            self.interface_ms = now_ms;
            self.applied &= !parts.kernel.follow_interfaces(now_ms);
        }
        if now_ms >= self.host_ms + HOST_EVERY_MS {
            self.host_ms = now_ms;
            refresh(parts);
        }
        self.engine.set_mode(*lock(&parts.mode));
        match parts.kernel.read_batch(now_ms) {
            Some(reading) => {
                if let Some(error) = reading.error {
                    self.warn(now_ms, &error);
                }
                if let Some(batch) = reading.batch {
                    for effect in self.engine.step(now_ms, &batch) {
                        self.take(effect, parts);
                    }
                    self.applied &= !parts.kernel.needs_apply();
                    self.enforce(parts, now_ms);
                    self.show(parts);
                }
            }
            // The engine is not told of silence that is only blindness.
            None => {
                // No new plan comes, but what the last one wanted ends.
                self.applied = false;
                self.enforce(parts, now_ms);
                self.show_nothing(parts);
            }
        }
    }

    fn take(&mut self, effect: PacketEffect, parts: &Parts) {
        match effect {
            PacketEffect::Publish(plan) => {
                self.plan = Some(plan);
                self.applied = false;
            }
            PacketEffect::Incident(mut incident) => {
                incident.id = self.numbers.exchange(incident.id);
                lock(&parts.view).show((*incident).clone());
                parts.writer.submit(*incident);
            }
        }
    }

    /// Plan → kernel; what fails is tried again in the next tick.
    fn enforce(&mut self, parts: &Parts, now_ms: u64) {
        let (false, Some(plan)) = (self.applied, &self.plan) else { return };
        match parts.kernel.apply(plan, now_ms) {
            Ok(applied) => {
                self.applied = true;
                self.tell(applied);
            }
            Err(error) => self.warn(now_ms, &error),
        }
    }

    /// Says what came to stand and what does not. Guards rise and fall no faster than the engine's
    /// patience, so that these lines are few.
    fn tell(&mut self, applied: PlanApplied) {
        if applied.rules_refused != self.rules_refused {
            if !applied.rules_refused.is_empty() {
                let ids: Vec<String> =
                    applied.rules_refused.iter().map(|rule| rule.to_string()).collect();
                tracing::warn!(
                    "rules for packets not carried out, or not on every interface: {}; `floodwall \
                     status` says why",
                    ids.join(", ")
                );
            }
            self.rules_refused = applied.rules_refused;
        }
        if applied.guards != self.standing {
            let names = applied.guards.names().join(", ");
            let names = if names.is_empty() { "none" } else { &names };
            tracing::info!(guards = names, "guards");
            self.standing = applied.guards;
        }
        if applied.guards_refused != self.refused {
            if !applied.guards_refused.is_empty() {
                tracing::warn!("not all guards stand: {}", applied.guards_refused.join("; "));
            }
            self.refused = applied.guards_refused;
        }
    }

    fn warn(&mut self, now_ms: u64, error: &BanError) {
        if self.warned_ms.is_none_or(|at_ms| now_ms >= at_ms + WARN_EVERY_MS) {
            self.warned_ms = Some(now_ms);
            tracing::warn!("the kernel filter does not answer and is asked again: {error}");
        }
    }

    fn show(&mut self, parts: &Parts) {
        let mut status = self.engine.status();
        status.incident = status.incident.map(|own| self.numbers.exchange(own));
        let mut view = lock(&parts.view);
        view.packets.status = Some(status);
        view.packets.guards = self.standing;
        if view.packets.guards_refused != self.refused {
            view.packets.guards_refused.clone_from(&self.refused);
        }
        view.packets.rules_refused.clone_from(&self.rules_refused);
    }

    fn show_nothing(&mut self, parts: &Parts) {
        self.standing = Guards::default();
        lock(&parts.view).packets = PacketsView {
            guards_refused: self.refused.clone(),
            rules_refused: self.rules_refused.clone(),
            ..PacketsView::default()
        };
    }
}

/// Looks up what changes on the host by itself, and tells the kernel filter and the check of bans.
pub(crate) fn refresh(parts: &Parts) {
    let wishes = lock(&parts.wishes).clone();
    let loopback = is_loopback(parts.kernel.interfaces());
    parts.kernel.set_services(services(&wishes.udp_services, loopback, &parts.gateway));
    parts.kernel.set_source_rates(wishes.source_rates);
    let mut protected = wishes.protected;
    protected.prefixes.extend(neighbours::neighbours());
    *lock(&parts.protected) = protected;
}

/// The ports that guards must know: those configured and those that are open.
pub(crate) fn services(
    udp_services: &[u16],
    loopback: bool,
    gateway: &floodwall_gateway::Gateway,
) -> Services {
    let mut services = ports::listening(loopback);
    services.tcp.extend(gateway.local_addrs().iter().map(std::net::SocketAddr::port));
    services.udp.extend(udp_services);
    Services { tcp: ports::sorted(services.tcp), udp: ports::sorted(services.udp) }
}
