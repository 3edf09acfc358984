//! The status of a node, put together from its parts for the console.

use floodwall_console::status::{
    AlarmStatus, BaselineState, BaselineStatus, Counts, EventStatus, Health, InterfaceStatus,
    KernelStatus, KernelTier, ListenerStatus, PacketReasonCount, PacketRuleStatus, PacketsStatus,
    Rates, ReasonCount, RuleStatus, ShedStatus, SiteStatus, Status, TableUse,
};
use floodwall_engine::{BASELINE_DRIFT_MAX, DeclaredEvent, EngineStatus, Shed};
use floodwall_model::{Mode, Reason};
use floodwall_xdp::Tier;

use super::engine_loop::View;
use super::{InterfaceTier, Kernel, Parts, lock};
use crate::clock::now_ms;

/// What the node is doing now.
pub(crate) fn status(parts: &Parts) -> Status {
    let counters = parts.gateway.counters();
    let stored = parts.writer.counters();
    // Taken here: in the literal it would stay locked until the end of it.
    let mode = *lock(&parts.mode);
    let view = lock(&parts.view);
    let engine = view.status.clone();
    let engine = engine.as_ref();
    let open = engine.and_then(|e| e.incident);
    let tables = engine.map_or(&[][..], |e| &e.tables);
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode,
        started_at_ms: parts.started_at_ms,
        at_ms: now_ms(),
        sites: lock(&parts.sites)
            .iter()
            .map(|(name, origin)| SiteStatus { name: name.clone(), origin: origin.clone() })
            .collect(),
        listeners: parts
            .listening()
            .into_iter()
            .map(|(address, tls)| ListenerStatus { address: address.to_string(), tls })
            .collect(),
        kernel: kernel(&parts.kernel),
        rates: engine.map_or_else(Rates::default, |e| Rates {
            per_1s: e.per_1s_rps,
            per_10s: e.per_10s_rps,
            expected: e.expected_rps,
        }),
        baseline: baseline(engine),
        alarm: engine.and_then(|e| {
            e.alarmed_since_ms.map(|since_ms| AlarmStatus {
                since_ms,
                nothing_placed_because: e.nothing_placed_because.clone(),
            })
        }),
        rules: engine
            .map(|e| {
                e.rules.iter().map(|(rule, matched)| RuleStatus::new(rule, *matched)).collect()
            })
            .unwrap_or_default(),
        bans: parts.bans.len() as u64,
        open_incident: view.incidents.iter().rev().find(|i| Some(i.id) == open).map(Into::into),
        events: engine.map(events).unwrap_or_default(),
        counts: Counts {
            requests: counters.requests,
            passed: counters.passed,
            would_refuse: counters.would_refuse,
            alarms: engine.map_or(0, |e| e.alarms),
            incidents: engine.map_or(0, |e| e.incidents),
            searches: engine.map_or(0, |e| e.minings),
        },
        packets: packets(parts, &view, mode),
        reasons: Reason::ALL
            .iter()
            .map(|reason| ReasonCount { reason: *reason, count: counters.reason(*reason) })
            .filter(|counted| counted.count > 0)
            .collect(),
        health: Health {
            observations_lost: counters.observations_lost,
            lost_10s_share: engine.map_or(0.0, |e| e.health.lost_10s_share),
            blindness: engine.and_then(|e| e.health.blindness.clone()),
            lag_ms: engine.map_or(0, |e| e.health.lag_ms),
            lag_60s_ms_max: engine.map_or(0, |e| e.health.lag_60s_ms_max),
            step_ms: view.steps.last_ms,
            step_60s_ms_max: view.steps.max_60s_ms,
            search_ms: view.searches.last_ms,
            search_60s_ms_max: view.searches.max_60s_ms,
            shed: engine.map(shed).unwrap_or_default(),
            tables: tables
                .iter()
                .map(|t| TableUse {
                    name: t.name.to_owned(),
                    used: t.used,
                    max: t.max,
                    displaced: t.displaced,
                })
                .collect(),
            records_unsaved: stored.pending,
            records_lost: stored.lost,
            store_failures: stored.failed,
            bans_refused: view.bans_refused + parts.kernel.refused_later(),
        },
    }
}

fn kernel(kernel: &Kernel) -> KernelStatus {
    let interface = |found: InterfaceTier| InterfaceStatus {
        name: found.name,
        tier: tier(found.tier),
        why_not_better: found.why_not_better,
    };
    let names = kernel.interfaces();
    let several = names.len() > 1;
    KernelStatus {
        tier: tier(kernel.tier()),
        interface: (!names.is_empty()).then(|| names.join(", ")),
        interfaces: if several {
            kernel.interface_tiers().into_iter().map(interface).collect()
        } else {
            Vec::new()
        },
        not_done: kernel
            .tier()
            .map_or(&[][..], Tier::cannot)
            .iter()
            .map(|w| w.to_string())
            .collect(),
        why_not_better: kernel.why_not_better(),
        dropped_packets: kernel.dropped_packets(),
    }
}

fn tier(tier: Option<Tier>) -> KernelTier {
    match tier {
        Some(Tier::XdpNative) => KernelTier::XdpNative,
        Some(Tier::XdpGeneric) => KernelTier::XdpGeneric,
        Some(Tier::SocketFilter) => KernelTier::SocketFilter,
        Some(Tier::Nftables) => KernelTier::Nftables,
        None => KernelTier::None,
    }
}

/// What of the plan is not carried out; `None` where all of it is.
fn not_carried_out(parts: &Parts, view: &View) -> Option<String> {
    let mut why = Vec::new();
    let below_xdp = parts.kernel.tier().filter(|tier| !tier.is_xdp());
    if let (Some(tier), false) = (below_xdp, parts.kernel.sees_packets()) {
        why.push(format!("the tier in force ({}) has none", tier.name()));
    }
    if !parts.kernel.sees_packets() {
        let reason = parts.kernel.why_not_better();
        why.push(reason.unwrap_or_else(|| "the kernel filter is not on an interface".to_owned()));
    } else {
        // Some have it and others do not; nothing comes over those that are gone.
        let without =
            |found: &InterfaceTier| !found.is_gone && !found.tier.is_some_and(Tier::is_xdp);
        for found in parts.kernel.interface_tiers().into_iter().filter(without) {
            let reason = found.why_not_better.unwrap_or_default();
            why.push(format!(
                "{} has no filter that could (the others carry them out): {reason}",
                found.name
            ));
        }
    }
    let packets = &view.packets;
    if !packets.rules_refused.is_empty() {
        let ids: Vec<String> = packets.rules_refused.iter().map(|id| id.to_string()).collect();
        why.push(format!("rules of the plan that no filter holds: {}", ids.join(", ")));
    }
    if !packets.guards_refused.is_empty() {
        why.push(format!("not all guards can stand: {}", packets.guards_refused.join("; ")));
    }
    (!why.is_empty()).then(|| why.join("; "))
}

/// `None` where no interface was given: nobody expects packets to be watched there.
fn packets(parts: &Parts, view: &View, mode: Mode) -> Option<PacketsStatus> {
    if parts.kernel.interfaces().is_empty() {
        return None;
    }
    let refused = parts.kernel.refused().unwrap_or_default();
    let refused =
        refused.into_iter().map(|(reason, count)| PacketReasonCount { reason, count }).collect();
    let not_carried_out_because = not_carried_out(parts, view);
    let Some(engine) = &view.packets.status else {
        return Some(PacketsStatus {
            not_carried_out_because,
            refused,
            ..PacketsStatus::default()
        });
    };
    let open = engine.incident;
    Some(PacketsStatus {
        not_carried_out_because,
        expected_pps: engine.expected_pps,
        own_packets: engine.own_packets as u64,
        neutral_profile: engine.neutral_profile,
        alarm: engine.alarmed_since_ms.map(|since_ms| AlarmStatus {
            since_ms,
            nothing_placed_because: engine.nothing_placed_because.clone(),
        }),
        rules: engine
            .rules
            .iter()
            .map(|(rule, matched)| PacketRuleStatus::new(rule, *matched))
            .collect(),
        // In shadow mode none stands, and what is shown is which would.
        guards: match mode {
            Mode::Shadow => engine.guards,
            Mode::Protect => view.packets.guards,
        },
        open_incident: view.incidents.iter().rev().find(|i| Some(i.id) == open).map(Into::into),
        refused,
        samples_lost: engine.samples_lost,
    })
}

fn events(engine: &EngineStatus) -> Vec<EventStatus> {
    let shown = |event: &DeclaredEvent| EventStatus {
        name: event.name.clone(),
        from_ms: event.from_ms,
        until_ms: event.until_ms,
        paths: event.paths.clone(),
        expected_factor: event.expected_factor,
    };
    engine.events.iter().map(shown).collect()
}

fn shed(engine: &EngineStatus) -> Vec<ShedStatus> {
    let shown = |(shed, times): &(Shed, u64)| ShedStatus {
        name: shed.name().to_owned(),
        words: shed.words().to_owned(),
        now: engine.health.shed.contains(shed),
        times: *times,
    };
    engine.health.given_up.iter().map(shown).collect()
}

fn baseline(engine: Option<&EngineStatus>) -> BaselineStatus {
    let Some(engine) = engine else {
        return BaselineStatus {
            state: BaselineState::Learning,
            records: 0,
            records_min: 0,
            span_s: 0,
            drift: None,
        };
    };
    let state = if engine.baseline_records < engine.baseline_records_min {
        BaselineState::Learning
    } else if engine.alarmed_since_ms.is_some() {
        BaselineState::Frozen
    } else {
        BaselineState::Ready
    };
    BaselineStatus {
        state,
        records: engine.baseline_records,
        records_min: engine.baseline_records_min,
        span_s: engine.baseline_span_s,
        drift: engine.baseline_drift.filter(|drift| *drift > BASELINE_DRIFT_MAX),
    }
}
