//! The result of a replay, as one JSON object or as text for people.
//!
//! Figures are what was measured; what the log cannot tell is said in words. Times are the log's,
//! in UTC.

use std::fmt::Write as _;

use floodwall_model::{Action, Collateral, Incident, IncidentVerdict, RuleRecord, Totals};
use serde::Serialize;

use super::enforce::DecisionTally;
use super::incidents::Told;
use super::input;
use super::log::LogTally;
use super::session::Outcomes;
use super::stamp::rfc3339;

/// The whole result.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Requests read.
    pub(crate) records: u64,
    /// Lines that were no request.
    pub(crate) skipped: u64,
    /// From the first to the last request, s.
    pub(crate) span_s: f64,
    /// Distinct sources, estimated (IPv6 by /64).
    pub(crate) sources: u64,
    /// Records read in one second of our time.
    pub(crate) records_per_second: f64,
    /// What would have been seen and done.
    pub(crate) incidents: Vec<IncidentSummary>,
    /// First and last request.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// Our time, s.
    pub(crate) elapsed_s: f64,
    /// Records in the busiest second, and when that was.
    pub(crate) peak_per_second: u64,
    pub(crate) peak_at: Option<String>,
    /// Records whose time lay too far back and was moved forward.
    pub(crate) late: u64,
    /// Records whose client was logged by name.
    pub(crate) named_clients: u64,
    pub(crate) decisions: DecisionTally,
    pub(crate) incidents_left_out: u64,
    /// Past requests to judge by, at the log's end, and how many are needed.
    pub(crate) baseline_records: u64,
    pub(crate) baseline_records_min: u64,
    pub(crate) files: Vec<FileSummary>,
    /// What the reader must know about this result.
    pub(crate) notes: Vec<String>,
}

/// One input.
#[derive(Debug, Serialize)]
pub(crate) struct FileSummary {
    pub(crate) file: String,
    pub(crate) format: &'static str,
    pub(crate) records: u64,
    pub(crate) skipped: u64,
    /// Why reading ended before the end.
    pub(crate) broke_off: Option<String>,
}

/// One incident.
#[derive(Debug, Serialize)]
pub(crate) struct IncidentSummary {
    pub(crate) id: u64,
    pub(crate) onset_at: String,
    pub(crate) opened_at: String,
    /// `null` if the log ended before.
    pub(crate) closed_at: Option<String>,
    /// Calm at the log's end, closed in the silence assumed after it.
    pub(crate) closed_after_log_end: bool,
    pub(crate) verdict: IncidentVerdict,
    pub(crate) peak_per_second: f64,
    pub(crate) expected_per_second: f64,
    pub(crate) sources: u64,
    pub(crate) attack_sources: u64,
    /// Requests; packets have their own account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) totals: Option<Totals>,
    pub(crate) rules: Vec<RuleSummary>,
    pub(crate) timeline: Vec<TimelineSummary>,
    pub(crate) blind_spots: Vec<String>,
}

/// One line of an incident's timeline.
#[derive(Debug, Serialize)]
pub(crate) struct TimelineSummary {
    pub(crate) at: String,
    pub(crate) text: String,
}

/// One rule.
#[derive(Debug, Serialize)]
pub(crate) struct RuleSummary {
    pub(crate) id: String,
    pub(crate) words: String,
    pub(crate) predicates: Vec<String>,
    pub(crate) action: &'static str,
    /// For a throttle: requests one source may send in ten seconds.
    pub(crate) per_source_per_10s: Option<u32>,
    pub(crate) first_at: String,
    pub(crate) ended_at: Option<String>,
    pub(crate) matched: u64,
    /// Share of the honest requests before onset that it would have hit. 1 if none were known.
    pub(crate) projected_collateral: f64,
    pub(crate) projected: Collateral,
    pub(crate) measured: Collateral,
    pub(crate) evidence: Vec<String>,
}

/// What the reading side knows at the end.
pub(crate) struct ReadSide {
    pub(crate) logs: Vec<(std::path::PathBuf, LogTally)>,
    pub(crate) lost: Vec<String>,
    pub(crate) records: u64,
    pub(crate) named_clients: u64,
    pub(crate) elapsed_s: f64,
}

/// Share of records from which being late is worth a note.
const LATE_NOTE_SHARE: f64 = 0.001;
/// Records from which a single source is worth a note.
const ONE_SOURCE_NOTE_RECORDS: u64 = 1_000;

impl Summary {
    /// Puts both sides together.
    pub(crate) fn new(read: &ReadSide, outcomes: &Outcomes) -> Self {
        let first_last = outcomes.span.first_last_ms;
        let seconds = |ms: u64| ms as f64 / 1e3;
        let mut summary = Summary {
            records: read.records,
            skipped: read.logs.iter().map(|(_, tally)| tally.skipped).sum(),
            span_s: first_last.map_or(0.0, |(first, last)| seconds(last - first)),
            sources: outcomes.status.sources,
            records_per_second: (read.records as f64 / read.elapsed_s.max(1e-9)).round(),
            incidents: outcomes.incidents.iter().map(told).collect(),
            from: first_last.map(|(first, _)| rfc3339(first)),
            to: first_last.map(|(_, last)| rfc3339(last)),
            elapsed_s: read.elapsed_s,
            peak_per_second: outcomes.span.peak_per_s,
            peak_at: first_last.map(|_| rfc3339(outcomes.span.peak_at_s * 1_000)),
            late: outcomes.reorder.late,
            named_clients: read.named_clients,
            decisions: outcomes.decisions,
            incidents_left_out: outcomes.incidents_left_out,
            baseline_records: outcomes.status.baseline_records,
            baseline_records_min: outcomes.status.baseline_records_min,
            files: read.logs.iter().map(file_summary).collect(),
            notes: Vec::new(),
        };
        summary.notes = notes(&summary, read, outcomes);
        summary
    }
}

fn file_summary((path, tally): &(std::path::PathBuf, LogTally)) -> FileSummary {
    FileSummary {
        file: input::shown(path).display().to_string(),
        format: tally.format_name(),
        records: tally.records,
        skipped: tally.skipped,
        broke_off: tally.broke_off.clone(),
    }
}

fn told(told: &Told) -> IncidentSummary {
    incident_summary(&told.incident, told.closed_at_ms, told.closed_after_end)
}

/// An incident, and when it closed as far as the recording tells.
pub(crate) fn incident_summary(
    incident: &Incident,
    closed_at_ms: Option<u64>,
    closed_after_log_end: bool,
) -> IncidentSummary {
    let entry = |entry: &floodwall_model::TimelineEntry| TimelineSummary {
        at: rfc3339(entry.at_ms),
        text: entry.text.clone(),
    };
    let packets = incident.packets.as_ref();
    IncidentSummary {
        id: incident.id,
        onset_at: rfc3339(incident.onset_at_ms),
        opened_at: rfc3339(incident.opened_at_ms),
        closed_at: closed_at_ms.map(rfc3339),
        closed_after_log_end,
        verdict: incident.verdict,
        peak_per_second: packets.map_or(incident.peaks.per_1s, |account| account.peak_1s_pps),
        expected_per_second: packets.map_or(incident.expected_rps, |account| account.expected_pps),
        sources: incident.sources,
        attack_sources: incident.attack_sources,
        totals: packets.is_none().then_some(incident.totals),
        rules: incident.rules.iter().map(rule_summary).collect(),
        timeline: incident.timeline.iter().map(entry).collect(),
        blind_spots: incident.blind_spots.clone(),
    }
}

fn rule_summary(rule: &RuleRecord) -> RuleSummary {
    RuleSummary {
        id: rule.id.to_string(),
        words: rule.words.clone(),
        predicates: rule.predicates.clone(),
        action: rule.action.name(),
        per_source_per_10s: match rule.action {
            Action::Block => None,
            Action::Throttle { per_source_per_10s } => Some(per_source_per_10s),
        },
        first_at: rfc3339(rule.first_at_ms),
        ended_at: rule.ended_at_ms.map(rfc3339),
        matched: rule.matched,
        projected_collateral: rule.projected.share(),
        projected: rule.projected,
        measured: rule.measured,
        evidence: rule.evidence.iter().map(|e| e.statement.clone()).collect(),
    }
}

/// What the reader must know to judge the result.
fn notes(summary: &Summary, read: &ReadSide, outcomes: &Outcomes) -> Vec<String> {
    let mut notes = read.lost.clone();
    for (path, tally) in &read.logs {
        let file = input::shown(path);
        if let Some(why) = &tally.broke_off {
            let count = tally.records;
            notes.push(format!(
                "{}: reading broke off after {count} records: {why}",
                file.display()
            ));
        } else if let Some((number, excerpt)) = &tally.first_broken {
            let count = tally.skipped;
            notes.push(format!(
                "{}: {count} broken lines, the first is line {number}: {excerpt}",
                file.display()
            ));
        }
    }
    if summary.late as f64 > summary.records as f64 * LATE_NOTE_SHARE {
        notes.push(format!(
            "{} records lay further back in time than could be put in order and were moved forward",
            summary.late
        ));
    }
    if summary.named_clients > 0 {
        notes.push(format!(
            "{} records name their client by host name; each name counts as one source",
            summary.named_clients
        ));
    }
    if summary.sources <= 2 && summary.records >= ONE_SOURCE_NOTE_RECORDS {
        notes.push(
            "nearly everything came from one address: if that is a proxy, nothing about single \
             sources can be told; log the client's address (in JSON logs: --field source=NAME)"
                .to_owned(),
        );
    }
    if summary.incidents.is_empty() && summary.baseline_records < summary.baseline_records_min {
        notes.push(format!(
            "the log holds too little ordinary traffic to judge by: {} requests learned, {} needed",
            summary.baseline_records, summary.baseline_records_min
        ));
    }
    if outcomes.decisions_out_of_order > 0 {
        let count = outcomes.decisions_out_of_order;
        notes.push(format!("{count} lines of the decisions file are out of order"));
    }
    notes
}

/// The result in words.
pub(crate) fn text(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut out, summary);
    out
}

fn write_text(out: &mut String, s: &Summary) -> std::fmt::Result {
    writeln!(
        out,
        "{} requests from {} sources in {}, {} lines skipped ({:.1} s, {} requests/s read).",
        grouped(s.records),
        grouped(s.sources),
        plural(s.files.len() as u64, "file"),
        grouped(s.skipped),
        s.elapsed_s,
        grouped(s.records_per_second as u64),
    )?;
    if let (Some(from), Some(to), Some(peak_at)) = (&s.from, &s.to, &s.peak_at) {
        writeln!(out, "From {from} to {to} ({}).", duration(s.span_s))?;
        let mean_rps = s.records as f64 / s.span_s.max(1.0);
        let peak = grouped(s.peak_per_second);
        writeln!(
            out,
            "{mean_rps:.1} requests/s on average, {peak} in the busiest second ({peak_at})."
        )?;
    }
    writeln!(out)?;
    if s.incidents.is_empty() {
        writeln!(
            out,
            "Nothing in this log was taken for an incident: no rule would have been placed,"
        )?;
        writeln!(out, "nobody would have been blocked.")?;
    }
    for incident in &s.incidents {
        write_incident(out, incident)?;
    }
    if s.incidents_left_out > 0 {
        writeln!(out, "{} further incidents are not listed.", grouped(s.incidents_left_out))?;
    }
    if !s.incidents.is_empty() {
        let d = &s.decisions;
        writeln!(
            out,
            "In all: {} requests passed, {} blocked, {} throttled, {} kept out by {}.",
            grouped(d.pass),
            grouped(d.block),
            grouped(d.throttle),
            grouped(d.ban),
            plural(d.bans, "ban"),
        )?;
    }
    if !s.notes.is_empty() {
        writeln!(out, "\nTo know:")?;
    }
    for note in &s.notes {
        writeln!(out, "- {note}")?;
    }
    Ok(())
}

fn write_incident(out: &mut String, incident: &IncidentSummary) -> std::fmt::Result {
    let verdict = match incident.verdict {
        IncidentVerdict::Attack => "an attack",
        IncidentVerdict::Crowd => "a crowd of honest visitors",
        IncidentVerdict::CannotTell => "cannot tell whether an attack or a crowd",
    };
    let end = match (&incident.closed_at, incident.closed_after_log_end) {
        (None, _) => "still on when the log ended".to_owned(),
        (Some(at), false) => format!("closed {at}"),
        (Some(_), true) => "over before the log ended".to_owned(),
    };
    writeln!(out, "Incident {}, opened {}, {end}: {verdict}.", incident.id, incident.opened_at)?;
    writeln!(
        out,
        "  Up to {:.0} requests/s where {:.1} were expected, from {} sources.",
        incident.peak_per_second,
        incident.expected_per_second,
        grouped(incident.sources),
    )?;
    if incident.rules.is_empty() {
        writeln!(out, "  No rule would have been placed.")?;
    }
    for rule in &incident.rules {
        write_rule(out, rule)?;
    }
    for entry in &incident.timeline {
        writeln!(out, "  {}  {}", entry.at, entry.text)?;
    }
    for blind in &incident.blind_spots {
        writeln!(out, "  Not visible: {blind}")?;
    }
    writeln!(out)
}

fn write_rule(out: &mut String, rule: &RuleSummary) -> std::fmt::Result {
    let action = match rule.per_source_per_10s {
        Some(limit) => format!("throttle to {limit} requests in 10 s per source"),
        None => rule.action.to_owned(),
    };
    writeln!(out, "  Rule {} from {}: {action} {}", rule.id, rule.first_at, rule.words)?;
    writeln!(out, "    matched {} requests", grouped(rule.matched))?;
    let p = rule.projected;
    match p.records {
        0 => writeln!(out, "    whom it would have hit before cannot be told")?,
        records => writeln!(
            out,
            "    would have hit {} of {} earlier requests (with 95 % certainty at most {:.2} %)",
            grouped(p.hits),
            grouped(records),
            p.upper_bound() * 100.0,
        )?,
    }
    if rule.measured.records > 0 {
        let m = rule.measured;
        writeln!(
            out,
            "    hit {} of {} requests from sources that had behaved like visitors",
            grouped(m.hits),
            grouped(m.records),
        )?;
    }
    for statement in rule.evidence.iter().filter(|statement| !statement.is_empty()) {
        writeln!(out, "    because {statement}")?;
    }
    Ok(())
}

/// `2 files`, `1 file`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `1234567` → `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A length of time in the two largest units that say something.
pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds as u64;
    match (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60) {
        (0, 0, 0, _) => format!("{seconds:.0} s"),
        (0, 0, minutes, s) => format!("{minutes} min {s} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{} {hours} h", plural(days, "day")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(duration(7.4), "7 s");
        assert_eq!(duration(61.0), "1 min 1 s");
        assert_eq!(duration(7_260.0), "2 h 1 min");
        assert_eq!(duration(90_000.0), "1 day 1 h");
    }
}
