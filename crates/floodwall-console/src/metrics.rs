//! The status as metrics: Prometheus text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! A pure function of a status, so that whoever scrapes and whoever looks see the same figures. There
//! is no listener: `floodwall status --metrics` writes them for a collector that reads text files or
//! runs commands. Labels take few values, all of closed lists or of tables that this program names;
//! nothing that visitors send becomes a label.

use floodwall_model::packet::PacketReason;
use floodwall_model::{Action, Mode, Reason};

use crate::status::{Status, TableUse};

/// The status as metrics.
pub fn metrics_text(status: &Status) -> String {
    let mut page = Page::default();
    what_runs(&mut page, status);
    requests(&mut page, status);
    defence(&mut page, status);
    packets(&mut page, status);
    tables(&mut page, status);
    health(&mut page, status);
    page.text
}

/// What a family's figures are.
#[derive(Copy, Clone)]
enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
}

#[derive(Default)]
struct Page {
    text: String,
}

/// Labels of one figure: names and values.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// One family: its name, its help and its figures.
    fn family<'a>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        figures: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, f64)>,
    ) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.text.push_str(&format!("# HELP floodwall_{name} {help}\n"));
        self.text.push_str(&format!("# TYPE floodwall_{name} {kind}\n"));
        for (labels, value) in figures {
            self.text.push_str(&format!("floodwall_{name}{} {value}\n", in_braces(&labels)));
        }
    }

    /// A family of one figure without labels.
    fn one(&mut self, kind: Kind, name: &str, help: &str, value: f64) {
        self.family(kind, name, help, [(Vec::new(), value)]);
    }
}

fn in_braces(labels: Labels<'_>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// A label's value: backslash, quotation mark and line feed are escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

fn what_runs(page: &mut Page, status: &Status) {
    let mode = match status.mode {
        Mode::Shadow => "shadow",
        Mode::Protect => "protect",
    };
    let labels = vec![("version", status.version.as_str()), ("mode", mode)];
    page.family(Kind::Gauge, "info", "Version and mode; always 1.", [(labels, 1.0)]);
    let started = seconds(status.started_at_ms);
    page.one(Kind::Gauge, "start_time_seconds", "When it was started, Unix time.", started);
    let events = status.events.len() as f64;
    page.one(Kind::Gauge, "declared_events", "Declared events that last or begin soon.", events);
}

fn requests(page: &mut Page, status: &Status) {
    let by_reason = |reason| {
        let counted = status.reasons.iter().filter(|counted| counted.reason == reason);
        counted.map(|counted| counted.count).sum::<u64>()
    };
    let counts = &status.counts;
    let (blocked, throttled) = (by_reason(Reason::RuleBlocked), by_reason(Reason::RuleThrottled));
    let handled = counts.passed.saturating_add(blocked).saturating_add(throttled);
    let handlings = [
        ("passed", counts.passed),
        ("blocked", blocked),
        ("throttled", throttled),
        ("refused", counts.requests.saturating_sub(handled)),
    ];
    page.family(
        Kind::Counter,
        "requests_total",
        "Requests by what was done with them.",
        handlings.map(|(handling, count)| (vec![("handling", handling)], count as f64)),
    );
    let would = counts.would_refuse as f64;
    let help = "Requests passed that a rule would have refused: shadow mode.";
    page.one(Kind::Counter, "requests_would_refuse_total", help, would);
    page.family(
        Kind::Counter,
        "refusals_total",
        "Requests and connections refused, by reason.",
        Reason::ALL.iter().map(|r| (vec![("reason", r.name())], by_reason(*r) as f64)),
    );
    let rates = [("1s", status.rates.per_1s), ("10s", status.rates.per_10s)];
    page.family(
        Kind::Gauge,
        "requests_per_second",
        "Requests per second, mean over a window.",
        rates.map(|(window, rate)| (vec![("window", window)], rate)),
    );
    let help = "Requests per second expected at this time.";
    page.one(Kind::Gauge, "expected_requests_per_second", help, status.rates.expected);
    let records = status.baseline.records as f64;
    page.one(Kind::Gauge, "baseline_records", "Past requests to judge by.", records);
}

fn defence(page: &mut Page, status: &Status) {
    let blocks = status.rules.iter().filter(|rule| rule.action == Action::Block).count();
    let actions = [("block", blocks), ("throttle", status.rules.len() - blocks)];
    page.family(
        Kind::Gauge,
        "rules",
        "Rules for requests in force.",
        actions.map(|(action, count)| (vec![("action", action)], count as f64)),
    );
    page.one(Kind::Gauge, "bans", "Sources banned now.", status.bans as f64);
    let help = "Bans that were not carried out.";
    page.one(Kind::Counter, "bans_refused_total", help, status.health.bans_refused as f64);
    let open = f64::from(u8::from(status.alarm.is_some()));
    page.one(Kind::Gauge, "alarm_open", "1 while a rise is looked into.", open);
    page.one(Kind::Counter, "alarms_total", "Alarms opened.", status.counts.alarms as f64);
    let open = f64::from(u8::from(status.open_incident.is_some()));
    page.one(Kind::Gauge, "incident_open", "1 while an incident of requests lasts.", open);
    let help = "Incidents of requests opened.";
    page.one(Kind::Counter, "incidents_total", help, status.counts.incidents as f64);
    let searches = status.counts.searches as f64;
    page.one(Kind::Counter, "searches_total", "Searches for signatures.", searches);
}

fn packets(page: &mut Page, status: &Status) {
    if let Some(dropped) = status.kernel.dropped_packets {
        let help = "Packets of banned sources dropped in the kernel.";
        page.one(Kind::Counter, "kernel_ban_packets_total", help, dropped as f64);
    }
    let Some(packets) = &status.packets else { return };
    page.one(
        Kind::Gauge,
        "packet_rules",
        "Rules for packets in force.",
        packets.rules.len() as f64,
    );
    let open = f64::from(u8::from(packets.open_incident.is_some()));
    page.one(Kind::Gauge, "packet_incident_open", "1 while an incident of packets lasts.", open);
    let by_reason = |reason| {
        let counted = packets.refused.iter().filter(|counted| counted.reason == reason);
        counted.map(|counted| counted.count).sum::<u64>()
    };
    page.family(
        Kind::Counter,
        "kernel_packets_refused_total",
        "Packets refused by the kernel filter, by reason.",
        PacketReason::ALL.iter().map(|r| (vec![("reason", r.name())], by_reason(*r) as f64)),
    );
    let help = "Packets chosen to be looked at whole and lost on the way.";
    page.one(Kind::Counter, "packet_samples_lost_total", help, packets.samples_lost as f64);
}

fn tables(page: &mut Page, status: &Status) {
    let tables = &status.health.tables;
    let figures = |figure: fn(&TableUse) -> u64| {
        tables.iter().map(move |table| (vec![("table", table.name.as_str())], figure(table) as f64))
    };
    page.family(Kind::Gauge, "table_used", "Places taken of a bounded table.", figures(|t| t.used));
    page.family(Kind::Gauge, "table_places", "Places of a bounded table.", figures(|t| t.max));
    let help = "Entries that gave way to others because a table was full.";
    page.family(Kind::Counter, "table_displaced_total", help, figures(|t| t.displaced));
}

fn health(page: &mut Page, status: &Status) {
    let health = &status.health;
    for (name, help, ms) in [
        ("lag_seconds", "Age of the oldest request when it was judged.", health.lag_ms),
        ("lag_60s_max_seconds", "The largest lag of a minute.", health.lag_60s_ms_max),
        ("step_seconds", "Duration of the engine's last step.", health.step_ms),
        ("step_60s_max_seconds", "The longest step of a minute.", health.step_60s_ms_max),
        ("search_seconds", "Duration of the last step with a search.", health.search_ms),
        ("search_60s_max_seconds", "The longest of these of a minute.", health.search_60s_ms_max),
    ] {
        page.one(Kind::Gauge, name, help, seconds(ms));
    }
    let help = "Requests served and not observed.";
    page.one(Kind::Counter, "observations_lost_total", help, health.observations_lost as f64);
    let help = "Share of the last ten seconds' requests that was not observed.";
    page.one(Kind::Gauge, "observations_lost_ratio", help, health.lost_10s_share);
    let help = "1 while so much is lost that nobody new is blocked.";
    let blind = f64::from(u8::from(health.blindness.is_some()));
    page.one(Kind::Gauge, "blind", help, blind);
    let level = health.shed.iter().filter(|shed| shed.now).count() as f64;
    page.one(Kind::Gauge, "shed_level", "How many things are given up to keep up.", level);
    page.family(
        Kind::Counter,
        "shed_total",
        "How often something was given up to keep up.",
        health.shed.iter().map(|shed| (vec![("what", shed.name.as_str())], shed.times as f64)),
    );
    let help = "Incident records that are not on disk yet.";
    page.one(Kind::Gauge, "records_unsaved", help, health.records_unsaved as f64);
    page.one(Kind::Counter, "records_lost_total", "Records given up.", health.records_lost as f64);
    let help = "Writes of records that failed.";
    page.one(Kind::Counter, "store_failures_total", help, health.store_failures as f64);
}

#[cfg(test)]
mod tests;
