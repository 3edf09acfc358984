//! The result of a capture replay in words.

use std::fmt::{self, Write as _};

use floodwall_model::IncidentVerdict;
use floodwall_model::packet::{PacketAccount, SourceTest};

use super::super::summary::{RuleSummary, duration, grouped, plural};
use super::summary::{CaptureSummary, PacketIncidentSummary, RefusalSummary};

/// The result in words.
pub(crate) fn text(summary: &CaptureSummary) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut out, summary);
    out
}

fn write_text(out: &mut String, s: &CaptureSummary) -> fmt::Result {
    write_head(out, s)?;
    writeln!(out)?;
    if s.incidents.is_empty() {
        writeln!(out, "Nothing in this capture was taken for an incident.")?;
    }
    for incident in &s.incidents {
        write_incident(out, incident)?;
    }
    if s.incidents_left_out > 0 {
        writeln!(out, "{} further incidents are not listed.", grouped(s.incidents_left_out))?;
    }
    write_decisions(out, s)?;
    if !s.notes.is_empty() {
        writeln!(out, "\nTo know:")?;
    }
    for note in &s.notes {
        writeln!(out, "- {note}")?;
    }
    Ok(())
}

fn write_head(out: &mut String, s: &CaptureSummary) -> fmt::Result {
    writeln!(
        out,
        "{} packets ({} bytes) in {}, {} not looked at ({:.1} s, {} packets/s read).",
        grouped(s.packets),
        grouped(s.bytes),
        plural(s.files.len() as u64, "file"),
        grouped(s.skipped),
        s.elapsed_s,
        grouped(s.packets_per_second as u64),
    )?;
    if let (Some(from), Some(to), Some(peak_at)) = (&s.from, &s.to, &s.peak_at) {
        writeln!(out, "From {from} to {to} ({}).", duration(s.span_s))?;
        let mean_pps = s.packets as f64 / s.span_s.max(1.0);
        let peak = grouped(s.peak_per_second);
        writeln!(
            out,
            "{mean_pps:.1} packets/s on average, {peak} in the busiest second ({peak_at})."
        )?;
    }
    let classes: Vec<String> =
        s.classes.iter().map(|c| format!("{} {}", grouped(c.packets), c.words)).collect();
    if !classes.is_empty() {
        writeln!(out, "By kind: {}.", classes.join(", "))?;
    }
    let p = s.parsed;
    if p.truncated + p.malformed + p.cut_by_recorder > 0 {
        writeln!(
            out,
            "Not readable: {} end before their IP header says, {} contradict themselves, {} were \
             cut too short by the recorder. They pass.",
            grouped(p.truncated),
            grouped(p.malformed),
            grouped(p.cut_by_recorder),
        )?;
    }
    Ok(())
}

fn write_decisions(out: &mut String, s: &CaptureSummary) -> fmt::Result {
    let d = s.decisions;
    writeln!(
        out,
        "In all: {} packets passed, {} dropped ({} by rules), {} asked for a SYN cookie.",
        grouped(d.pass),
        grouped(d.drop),
        grouped(d.by_rules),
        grouped(d.challenge),
    )?;
    if !s.sanity.is_empty() {
        writeln!(out, "Dropped at any time, attack or not:")?;
    }
    for refusal in &s.sanity {
        write_refusal(out, refusal)?;
    }
    if !s.guarded.is_empty() {
        writeln!(out, "Held back by guards:")?;
    }
    for refusal in &s.guarded {
        write_refusal(out, refusal)?;
    }
    for span in &s.guards {
        let until = span.until.as_deref().unwrap_or("the end");
        writeln!(out, "  {} stood from {} to {until}", span.guards.join(", "), span.from)?;
    }
    if s.guard_limits.unjudged > 0 {
        let count = grouped(s.guard_limits.unjudged);
        writeln!(out, "  {count} packets could not be judged by them and passed")?;
    }
    Ok(())
}

fn write_refusal(out: &mut String, refusal: &RefusalSummary) -> fmt::Result {
    let RefusalSummary { reason, first_number, first_source, first_destination, why, .. } = refusal;
    writeln!(
        out,
        "  {} {reason}: {why} (first: packet {first_number}, {first_source} to \
         {first_destination})",
        grouped(refusal.packets),
    )
}

fn write_incident(out: &mut String, told: &PacketIncidentSummary) -> fmt::Result {
    let incident = &told.incident;
    let verdict = match incident.verdict {
        IncidentVerdict::Attack => "an attack",
        IncidentVerdict::Crowd => "a crowd of honest visitors",
        IncidentVerdict::CannotTell => "cannot tell whether an attack or a crowd",
    };
    let end = match (&incident.closed_at, incident.closed_after_log_end) {
        (None, _) => "still on when the capture ended".to_owned(),
        (Some(at), false) => format!("closed {at}"),
        (Some(_), true) => "over before the capture ended".to_owned(),
    };
    writeln!(out, "Incident {}, opened {}, {end}: {verdict}.", incident.id, incident.opened_at)?;
    if let Some(account) = &told.packets {
        write_account(out, account)?;
    }
    match told.onset_to_rule_s {
        Some(seconds) => writeln!(out, "  First rule {seconds:.2} s after the onset.")?,
        None => writeln!(out, "  No rule would have been placed.")?,
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

fn write_account(out: &mut String, account: &PacketAccount) -> fmt::Result {
    writeln!(
        out,
        "  Up to {} packets/s ({:.1} Mbit/s) in one second; {:.1} packets/s of no conversation were \
         expected.",
        grouped(account.peak_1s_pps as u64),
        account.peak_1s_bps / 1e6,
        account.expected_pps,
    )?;
    let refused: u64 = account.refused.iter().map(|(_, packets)| packets).sum();
    writeln!(
        out,
        "  {} packets arrived; rules dropped {}, from about {} sources; {} were refused otherwise.",
        grouped(account.received),
        grouped(account.dropped),
        grouped(account.sources),
        grouped(refused),
    )?;
    for guard in &account.guards {
        writeln!(out, "  Meanwhile {guard}.")?;
    }
    writeln!(
        out,
        "  Forged sources: {} (from {} packets).",
        account.spoofing.words(),
        grouped(account.tested_packets),
    )?;
    for test in &account.tests {
        let SourceTest { name, value, speaks_for_spoofing, says } = test;
        let mark = if *speaks_for_spoofing { "a mark of forgery" } else { "no mark of forgery" };
        writeln!(out, "    {name} {value:.3}: {says} ({mark})")?;
    }
    for hypothesis in &account.consistent_with {
        let because = hypothesis.indicators.join("; ");
        writeln!(out, "    consistent with {}: {because}", hypothesis.name)?;
    }
    Ok(())
}

fn write_rule(out: &mut String, rule: &RuleSummary) -> fmt::Result {
    writeln!(out, "  Rule {} from {}: drop {}", rule.id, rule.first_at, rule.words)?;
    writeln!(out, "    matched {} packets", grouped(rule.matched))?;
    let p = rule.projected;
    match p.records {
        0 => writeln!(out, "    whom it would have hit before cannot be told")?,
        records => writeln!(
            out,
            "    would have hit {} of {} honest packets (with 95 % certainty at most {:.3} %)",
            grouped(p.hits),
            grouped(records),
            p.upper_bound() * 100.0,
        )?,
    }
    for statement in rule.evidence.iter().filter(|statement| !statement.is_empty()) {
        writeln!(out, "    because {statement}")?;
    }
    Ok(())
}
