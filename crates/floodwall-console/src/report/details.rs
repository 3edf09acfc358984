//! The sections for those who check: verdict, size, sources, who, data, timeline, what was unseen.

use std::collections::BTreeSet;

use floodwall_model::incident::Counted;
use floodwall_model::{Evidence, Family, IncidentVerdict};

use super::account::Account;
use super::packets;
use super::page::Page;
use super::published;
use crate::civil::{utc, utc_bare};
use crate::summary::IncidentKind;
use crate::words::{count, duration, number, rate, share};

/// Findings shown under the verdict; those beyond stand with their rules.
const EVIDENCE_SHOWN: usize = 12;
/// Lines of a table of networks or paths.
const COUNTED_SHOWN: usize = 10;
/// Column of the values in tables of figures.
const VALUE_COLUMN: usize = 44;

/// 1: what it was, among four hypotheses.
pub(super) fn verdict(page: &mut Page, account: &Account<'_>) {
    let incident = account.incident;
    page.heading("1. VERDICT");
    page.paragraph(match account.verdict() {
        IncidentVerdict::Attack => "Attack.",
        IncidentVerdict::Crowd => "A rush of honest visitors.",
        IncidentVerdict::CannotTell => "Cannot tell. Naming one of the following would be a guess.",
    });
    page.gap();
    let findings = distinct_evidence(
        incident.rules.iter().flat_map(|rule| &rule.evidence).chain(&incident.evidence),
    );
    if findings.is_empty() {
        page.item(
            0,
            "Attack, or rush of visitors: there is no finding on record. What else was noted stands \
             in the timeline (section 8).",
        );
    } else {
        let (for_attack, for_crowd): (Vec<&Evidence>, Vec<&Evidence>) =
            findings.iter().partition(|evidence| evidence.log_odds > 0.0);
        hypothesis(page, account, "an attack, and against a rush of visitors", &for_attack);
        hypothesis(page, account, "a rush of visitors, and against an attack", &for_crowd);
    }
    page.item(
        0,
        "Our own measures or a deployment: could not be assessed; the record holds no deployments.",
    );
    page.item(
        0,
        "A fault of the site or of the network before it: could not be assessed; the record holds \
         no faults.",
    );
    if account.is_attack() {
        page.paragraph(
            "Intent is not in the record. A program of somebody's that runs wild by mistake would \
             leave the same traces.",
        );
    }
    match account.packets() {
        None => page.paragraph(&basis(account)),
        Some(packets) => packets::basis(page, account, packets),
    }
}

fn hypothesis(page: &mut Page, account: &Account<'_>, name: &str, findings: &[&Evidence]) {
    let kind = account.kind();
    if findings.is_empty() {
        return page.item(0, &format!("For {name}: nothing on record."));
    }
    page.item(0, &format!("For {name}:"));
    for evidence in findings.iter().take(EVIDENCE_SHOWN) {
        page.item(1, &finding(evidence, kind));
    }
    let more = findings.len().saturating_sub(EVIDENCE_SHOWN) as u64;
    if more > 0 {
        page.item(1, &format!("and {}, with the rules in section 6", count(more, "more finding")));
    }
}

/// The same finding is made for each rule of a tool; it is told once.
fn distinct_evidence<'a>(all: impl Iterator<Item = &'a Evidence>) -> Vec<&'a Evidence> {
    let mut seen = BTreeSet::new();
    all.filter(|evidence| seen.insert((evidence.family, evidence.statement.as_str()))).collect()
}

/// One finding with its kind and weight.
pub(super) fn finding(evidence: &Evidence, kind: IncidentKind) -> String {
    let kind = match evidence.family {
        Family::Implementation if kind == IncidentKind::Packets => "which kind of packet",
        Family::Inconsistency if kind == IncidentKind::Packets => "marks of a generator",
        Family::Implementation => "which software",
        Family::Inconsistency => "contradictions",
        Family::Behaviour => "behaviour",
        Family::Probe => "answer to a probe",
        Family::PerSource => "amount per source",
        Family::Network => "networks and countries",
        Family::Provenance => "announced or not",
        Family::Ramp => "speed of the rise",
    };
    let cap = evidence.family.log_odds_cap();
    let weight = evidence.log_odds.clamp(-cap, cap);
    format!("{kind}: {} (weight {weight:+.1}, at most {cap})", evidence.statement)
}

fn basis(account: &Account<'_>) -> String {
    let incident = account.incident;
    if incident.baseline_records == 0 {
        return "The judgement could not rest on past traffic: none had been seen.".into();
    }
    format!(
        "The judgement rests on {} over {} before the first sign.",
        count(incident.baseline_records, "past request"),
        duration(incident.baseline_span_s.saturating_mul(1_000))
    )
}

/// 2: how much, with the window named.
pub(super) fn size(page: &mut Page, account: &Account<'_>) {
    let incident = account.incident;
    let totals = &incident.totals;
    page.heading("2. SIZE");
    page.paragraph(
        "As seen by this host: what was discarded before it, by a provider for instance, is in no \
         figure here. All traffic together, visitors included:",
    );
    page.gap();
    let mut row = |name: &str, value: String| page.row(VALUE_COLUMN, name, &value);
    row("highest mean over 1 second", format!("{} requests/s", rate(incident.peaks.per_1s)));
    row("highest mean over 10 seconds", format!("{} requests/s", rate(incident.peaks.per_10s)));
    row("highest mean over 1 minute", format!("{} requests/s", rate(incident.peaks.per_60s)));
    row("expected at the first sign", format!("{} requests/s", rate(incident.expected_rps)));
    row("requests received", number(totals.received));
    row("  sent on to the site", number(totals.passed));
    row("  blocked by a rule", number(totals.blocked));
    row("  over the limit of a rule", number(totals.throttled));
    row("  refused for another reason", number(totals.refused));
    if account.is_shadow() {
        row("would have been stopped by a rule", number(totals.would_stop));
    }
    row("like a rule, sent on before there was one", about(account.before_the_rules()));
    row(
        "packets dropped by the kernel",
        totals.kernel_dropped_packets.map_or_else(|| "could not be assessed".into(), number),
    );
    if account.is_attack() && account.counted_by_rules() > 0 {
        page.paragraph(&format!(
            "The attack itself: at least {}. So many matched its rules, less those of sources that \
             had behaved like people before. What came before the first rule, and packets that the \
             kernel dropped, are not in it.",
            count(account.attack_at_least(), "request")
        ));
    }
    if account.is_attack() {
        let compared = published::compared(incident.peaks.per_1s);
        page.paragraph(
            compared
                .as_deref()
                .unwrap_or("Its place among published attacks could not be assessed."),
        );
    }
    if totals.observations_lost > 0 {
        page.paragraph(&format!(
            "{} could not be observed, so every count here is a lower bound.",
            count(totals.observations_lost, "request")
        ));
    }
}

/// An estimate.
fn about(n: u64) -> String {
    if n == 0 { "0".into() } else { format!("about {}", number(n)) }
}

/// 4: where it came from.
pub(super) fn sources(page: &mut Page, account: &Account<'_>) {
    let incident = account.incident;
    page.heading("4. SOURCES");
    page.paragraph(
        "A source is an IPv4 address or an IPv6 network of /64. Numbers of sources are estimates.",
    );
    page.gap();
    page.row(VALUE_COLUMN, "sources during the incident", &number(incident.sources));
    page.row(VALUE_COLUMN, "sources that matched a rule", &number(incident.attack_sources));
    if incident.attack_sources > 0 {
        let per_source = account.counted_by_rules() as f64 / incident.attack_sources as f64;
        page.row(VALUE_COLUMN, "requests of each that matched, on average", &rate(per_source));
    }
    counted(page, "Networks with the largest share of what matched:", &incident.top_networks);
    counted(page, "Paths with the largest share of the rise:", &incident.top_paths);
    page.paragraph(
        "The address of a web request is that of something real, since a connection had to be made \
         (where a trusted proxy stands in between: as that proxy says). It can be a proxy, a VPN or \
         a device whose owner knows nothing.",
    );
    if account.is_attack() {
        page.paragraph(
            "MITRE ATT&CK: consistent with T1499.002 (service exhaustion flood). What kind of \
             machines or service sent it could not be assessed: the record holds no owners of \
             networks and no fingerprints.",
        );
    }
}

fn counted(page: &mut Page, title: &str, counted: &[Counted]) {
    if counted.is_empty() {
        return;
    }
    page.paragraph(title);
    for entry in counted.iter().take(COUNTED_SHOWN) {
        page.row(VALUE_COLUMN, &entry.name, &share(entry.share));
    }
}

/// 5: who.
pub(super) fn who(page: &mut Page) {
    page.heading("5. WHO");
    page.paragraph(
        "No attribution is produced. Nothing in this record identifies a person, a group or a \
         state, and nothing excludes one. It would take records from outside: of the networks the \
         sources belong to, of the tool, of payments or of claims that can be checked.",
    );
}

/// 7: whether data left.
pub(super) fn data(page: &mut Page) {
    page.heading("7. DID DATA LEAVE?");
    page.paragraph(
        "We could not assess whether data left. To say more, this report would need a measure of \
         what the site sends (by kind of page, against the same hours before), a test showing that \
         the measure works, and its coverage. None of these is in the record.",
    );
}

/// 8: what happened when.
pub(super) fn timeline(page: &mut Page, account: &Account<'_>) {
    let incident = account.incident;
    page.heading("8. TIMELINE (UTC)");
    if incident.timeline.is_empty() {
        page.paragraph("Empty.");
    }
    for entry in &incident.timeline {
        let text = format!("{}  {}", offset(entry.at_ms, incident.onset_at_ms), entry.text);
        page.row(21, &utc_bare(entry.at_ms), &text);
    }
    if incident.timeline_left_out > 0 {
        page.paragraph(&format!(
            "{} left out: the timeline was full.",
            count(incident.timeline_left_out, "further entry|further entries")
        ));
    }
}

/// Seconds from the first sign, held together by no-break spaces.
fn offset(at_ms: u64, onset_at_ms: u64) -> String {
    let (sign, ms) =
        if at_ms >= onset_at_ms { ('+', at_ms - onset_at_ms) } else { ('-', onset_at_ms - at_ms) };
    let text = format!("{sign}{}.{} s", ms / 1_000, ms / 100 % 10);
    format!("{text:>9}").replace(' ', "\u{a0}")
}

/// 9: what was not seen.
pub(super) fn unseen(page: &mut Page, account: &Account<'_>) {
    let incident = account.incident;
    page.heading("9. WHAT WE COULD NOT SEE");
    for line in [
        "What leaves the site, and so whether data was taken.",
        "How fast pages were for visitors, and how many gave up.",
        "Traffic discarded before it reached this host.",
        "Services of this host, or ways to the site, that do not lead through Floodwall.",
        "Deployments, faults of the site, and events in the world near the first sign.",
    ] {
        page.item(0, line);
    }
    let totals = &incident.totals;
    if totals.observations_lost > 0 {
        let lost = count(totals.observations_lost, "request");
        page.item(0, &format!("{lost} that could not be observed because too many came at once."));
    }
    if totals.kernel_dropped_packets.is_none() {
        page.item(0, "Packets that never became requests: no kernel filter counted them.");
    }
    if incident.rules_left_out > 0 {
        let rules = count(incident.rules_left_out, "rule");
        page.item(0, &format!("The particulars of {rules}: the record was full."));
    }
    if account.is_open() && account.now_ms > incident.updated_at_ms {
        let since = utc(incident.updated_at_ms);
        page.item(0, &format!("What happened since this record was brought up to date, {since}."));
    }
    for blind_spot in &incident.blind_spots {
        page.item(0, blind_spot);
    }
}
