//! The status of a node, put together from its parts for the console.

use floodwall_console::status::{
    AlarmStatus, BaselineState, BaselineStatus, Health, KernelStatus, KernelTier, ListenerStatus,
    PacketReasonCount, PacketRuleStatus, PacketsStatus, Rates, ReasonCount, RuleStatus, SiteStatus,
    Status, TableUse,
};
use floodwall_model::{Mode, Reason};
use floodwall_xdp::Tier;

use super::engine_loop::View;
use super::{Parts, lock};
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
        kernel: KernelStatus {
            tier: match parts.kernel.tier() {
                Some(Tier::XdpNative) => KernelTier::XdpNative,
                Some(Tier::XdpGeneric) => KernelTier::XdpGeneric,
                Some(Tier::SocketFilter) => KernelTier::SocketFilter,
                None => KernelTier::None,
            },
            interface: parts.kernel.interface().map(str::to_owned),
            why_not_better: parts.kernel.why_not_better(),
            dropped_packets: parts.kernel.dropped_packets(),
        },
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
        packets: packets(parts, &view, mode),
        reasons: Reason::ALL
            .iter()
            .map(|reason| ReasonCount { reason: *reason, count: counters.reason(*reason) })
            .filter(|counted| counted.count > 0)
            .collect(),
        health: Health {
            observations_lost: counters.observations_lost,
            lag_ms: view.lag_ms,
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
        },
    }
}

/// `None` where no interface was given: nobody expects packets to be watched there.
fn packets(parts: &Parts, view: &View, mode: Mode) -> Option<PacketsStatus> {
    parts.kernel.interface()?;
    let refused = parts.kernel.refused().unwrap_or_default();
    let refused =
        refused.into_iter().map(|(reason, count)| PacketReasonCount { reason, count }).collect();
    let not_carried_out_because = if parts.kernel.sees_packets() {
        let refused = &view.packets.guards_refused;
        (!refused.is_empty()).then(|| format!("not all guards can stand: {}", refused.join("; ")))
    } else {
        let why = parts.kernel.why_not_better();
        Some(why.unwrap_or_else(|| "the kernel filter is not on an interface".to_owned()))
    };
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

fn baseline(engine: Option<&floodwall_engine::EngineStatus>) -> BaselineStatus {
    let Some(engine) = engine else {
        return BaselineStatus {
            state: BaselineState::Learning,
            records: 0,
            records_min: 0,
            span_s: 0,
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
    }
}
