//! The status for people: one aligned page, weaknesses last and never left out.

use floodwall_model::Mode;

use super::{
    AlarmStatus, BaselineState, BaselineStatus, EventStatus, Health, InterfaceStatus, KernelStatus,
    KernelTier, PacketsStatus, Rates, ReasonCount, RuleStatus, Status, packets_text,
};
use crate::summary::{IncidentKind, IncidentSummary};
use crate::verdict;
use crate::words::{collateral, count, duration, number, rate, share};
use crate::wrap::{NO_BREAK, visible, wrap};

/// From this share on, a table is worth a line for people.
const TABLE_SHOWN_FROM: f64 = 0.5;
/// From this lag on, judgements come late.
const LAG_SHOWN_FROM_MS: u64 = 1_000;

/// The status for people, 80 columns.
pub fn status_text(status: &Status) -> String {
    status_text_with(status, status.packets.as_ref())
}

/// The status for people with what is done about packets, where packets are watched; 80 columns.
pub fn status_text_with(status: &Status, packets: Option<&PacketsStatus>) -> String {
    let mut page = String::new();
    let mut line = |name: &str, text: String| {
        page.push_str(&wrap(&format!("{name:<11}"), 11, &visible(&text)));
    };
    let up = status.at_ms.saturating_sub(status.started_at_ms);
    line("Floodwall", format!("{}, running for {}", status.version, duration(up)));
    line("mode", mode_words(status.mode).into());
    for (index, site) in status.sites.iter().enumerate() {
        let name = if index == 0 { "sites" } else { "" };
        line(name, format!("{} -> {}", site.name, site.origin));
    }
    let listeners: Vec<String> = status
        .listeners
        .iter()
        .map(|l| format!("{}{}", l.address, if l.tls { " (TLS)" } else { "" }))
        .collect();
    line("listening", listeners.join(", "));
    line("kernel", kernel_words(&status.kernel));
    for interface in &status.kernel.interfaces {
        line("", interface_words(interface));
    }
    if !status.kernel.not_done.is_empty() {
        let several = !status.kernel.interfaces.is_empty();
        let there = if several { "where it is weakest" } else { "there" };
        line("", format!("not done {there}: {}", status.kernel.not_done.join("; ")));
    }
    line("traffic", traffic_words(&status.rates));
    line("baseline", baseline_words(&status.baseline));
    for (index, event) in status.events.iter().enumerate() {
        line(if index == 0 { "event" } else { "" }, event_words(event, status.at_ms));
    }
    line("incident", incident_words(status.open_incident.as_ref(), status.at_ms));
    if let Some(alarm) = &status.alarm {
        line("alarm", alarm_words(alarm, status.at_ms));
    }
    if status.rules.is_empty() {
        line("rules", "none in force".into());
    }
    for (index, rule) in status.rules.iter().enumerate() {
        let name = if index == 0 { "rules" } else { "" };
        line(name, rule_words(rule, status.mode, status.at_ms));
    }
    let packets = packets.map(|p| packets_text::lines(p, status.mode, status.at_ms));
    for (name, text) in packets.unwrap_or_default() {
        line(name, text);
    }
    line("bans", if status.bans == 0 { "none".into() } else { count(status.bans, "source") });
    line("refused", reasons_words(&status.reasons));
    let health = health_words(&status.health);
    let none = || "every request observed, no table half full, every record on disk".into();
    line("health", health.first().cloned().unwrap_or_else(none));
    for weakness in health.iter().skip(1) {
        line("", weakness.clone());
    }
    page
}

const fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode::Shadow => "shadow: decides and records, refuses nobody by a rule",
        Mode::Protect => "protect: rules are carried out",
    }
}

fn kernel_words(kernel: &KernelStatus) -> String {
    let dropped = kernel
        .dropped_packets
        .map_or(String::new(), |packets| format!("; {} dropped", count(packets, "packet")));
    // Of several interfaces each has a line of its own, with its own reason.
    if !kernel.interfaces.is_empty() {
        return format!("banned sources are dropped on each interface by itself{dropped}");
    }
    let mut text = match kernel.tier {
        KernelTier::None => {
            "no filter: banned sources are closed by the gateway after they have connected".into()
        }
        tier => format!("banned sources are dropped {}", tier_words(tier)),
    };
    // The lower tiers sit on no interface.
    if let (Some(interface), KernelTier::XdpNative | KernelTier::XdpGeneric) =
        (&kernel.interface, kernel.tier)
    {
        text.push_str(&format!(" on {interface}"));
    }
    text.push_str(&dropped);
    if let Some(why) = &kernel.why_not_better {
        text.push_str(&format!("; not better because {why}"));
    }
    text
}

fn interface_words(interface: &InterfaceStatus) -> String {
    let why = interface.why_not_better.as_ref();
    let why = why.map_or(String::new(), |why| format!("; not better because {why}"));
    format!("{}: {}{why}", interface.name, tier_words(interface.tier))
}

const fn tier_words(tier: KernelTier) -> &'static str {
    match tier {
        KernelTier::XdpNative => "in the network driver (XDP, native)",
        KernelTier::XdpGeneric => "at the head of the network stack (XDP, generic)",
        KernelTier::SocketFilter => "at the listening socket",
        KernelTier::Nftables => "in an nftables set",
        KernelTier::None => "nowhere in the kernel",
    }
}

fn traffic_words(rates: &Rates) -> String {
    format!(
        "{} requests/s over 1{NO_BREAK}s, {} over 10{NO_BREAK}s, {} expected",
        rate(rates.per_1s),
        rate(rates.per_10s),
        rate(rates.expected)
    )
}

fn baseline_words(baseline: &BaselineStatus) -> String {
    let rests = format!(
        "{} over {}",
        count(baseline.records, "past request"),
        duration(baseline.span_s.saturating_mul(1_000))
    );
    let drift = baseline.drift.map_or(String::new(), |drift| {
        format!(
            "; the software that visits has changed much within four weeks ({drift:.2} of 1): was \
             the site relaunched?"
        )
    });
    let state = match baseline.state {
        BaselineState::Learning => {
            let needed = number(baseline.records_min);
            format!(
                "still learning: {rests}; on fewer than {needed} only what no browser sends is \
                 refused"
            )
        }
        BaselineState::Ready => format!("ready: {rests}"),
        BaselineState::Frozen => format!("held as it was before the incident: {rests}"),
    };
    state + &drift
}

fn event_words(event: &EventStatus, at_ms: u64) -> String {
    let when = if at_ms < event.from_ms {
        format!("begins in {}", duration(event.from_ms - at_ms))
    } else {
        format!("ends in {}", duration(event.until_ms.saturating_sub(at_ms)))
    };
    let expected = match event.expected_factor {
        Some(factor) => format!(", {factor} times the usual traffic"),
        None => String::new(),
    };
    let paths = event.paths.join(", ");
    format!("“{}” {when}; visitors are expected on {paths}{expected}", event.name)
}

pub(super) fn incident_words(incident: Option<&IncidentSummary>, at_ms: u64) -> String {
    let Some(incident) = incident else { return "none open".into() };
    let noun = incident.kind.noun();
    let stopped = match (incident.mode, incident.kind) {
        (Mode::Protect, _) => format!("{} stopped", count(incident.stopped, noun)),
        // What guards would have refused, nothing counts.
        (Mode::Shadow, IncidentKind::Packets) => {
            format!("rules would have stopped {}", count(incident.would_stop, noun))
        }
        (Mode::Shadow, IncidentKind::Requests) => {
            format!("{} would have been stopped", count(incident.would_stop, noun))
        }
    };
    format!(
        "{} open for {}; so far: {}; peak {} {noun}s/s (1{NO_BREAK}s); {stopped}; more: \
         floodwall report {}",
        incident.id,
        duration(at_ms.saturating_sub(incident.onset_at_ms)),
        verdict::name(incident.verdict),
        rate(incident.peak_per_1s()),
        incident.id,
    )
}

pub(super) fn alarm_words(alarm: &AlarmStatus, at_ms: u64) -> String {
    let since = duration(at_ms.saturating_sub(alarm.since_ms));
    match &alarm.nothing_placed_because {
        Some(why) => format!("a rise looked into for {since}; nothing placed because {why}"),
        None => format!("a rise looked into for {since}"),
    }
}

fn rule_words(rule: &RuleStatus, mode: Mode, at_ms: u64) -> String {
    let action = match mode {
        Mode::Protect => format!("{}s", rule.action.name()),
        Mode::Shadow => format!("would {}", rule.action.name()),
    };
    let projected = match collateral(&rule.projected, "request") {
        Some(projected) => format!("would have hit {projected} before the incident"),
        None => "what it would have hit before could not be assessed".into(),
    };
    format!(
        "{} {action} {}; {} matched; {projected}; ends in {} unless renewed",
        rule.id,
        rule.words,
        number(rule.matched),
        duration(rule.expires_at_ms.saturating_sub(at_ms)),
    )
}

fn reasons_words(reasons: &[ReasonCount]) -> String {
    let mut counted: Vec<&ReasonCount> = reasons.iter().filter(|r| r.count > 0).collect();
    counted.sort_by_key(|r| (std::cmp::Reverse(r.count), r.reason));
    if counted.is_empty() {
        return "nothing since the start".into();
    }
    let words: Vec<String> =
        counted.iter().map(|r| format!("{} {}", r.reason.name(), number(r.count))).collect();
    words.join(", ")
}

fn health_words(health: &Health) -> Vec<String> {
    let mut weaknesses = Vec::new();
    if health.observations_lost > 0 {
        weaknesses.push(format!(
            "{} not observed: counts are lower bounds",
            count(health.observations_lost, "request")
        ));
    }
    weaknesses.extend(health.blindness.clone());
    if health.lag_ms >= LAG_SHOWN_FROM_MS {
        weaknesses.push(format!("judgements come {} late", duration(health.lag_ms)));
    } else if health.lag_60s_ms_max >= LAG_SHOWN_FROM_MS {
        let late = duration(health.lag_60s_ms_max);
        weaknesses.push(format!("within the last minute, judgements came up to {late} late"));
    }
    for shed in health.shed.iter().filter(|shed| shed.now || shed.times > 0) {
        let when =
            if shed.now { "given up now, to keep up" } else { "given up at times, and not now" };
        let times = count(shed.times, "time");
        weaknesses.push(format!("{when}: {} ({times} since the start)", shed.words));
    }
    for table in &health.tables {
        let used = if table.max == 0 { 1.0 } else { table.used as f64 / table.max as f64 };
        if used >= TABLE_SHOWN_FROM || table.displaced > 0 {
            let places = format!("{} of {}", number(table.used), number(table.max));
            let displaced = match table.displaced {
                0 => String::new(),
                n => format!("; {} gave way to others", count(n, "entry|entries")),
            };
            let name = &table.name;
            weaknesses.push(format!("{name}: {places} places used ({}){displaced}", share(used)));
        }
    }
    if health.bans_refused > 0 {
        let bans = count(health.bans_refused, "ban");
        weaknesses.push(format!("{bans} not carried out, or not in the kernel"));
    }
    if health.records_unsaved > 0 && health.store_failures > 0 {
        let records = count(health.records_unsaved, "incident record");
        weaknesses.push(format!("{records} in memory only: the disk refused to take them"));
    }
    if health.records_lost > 0 {
        weaknesses.push(format!("{} lost", count(health.records_lost, "incident record")));
    }
    weaknesses
}
