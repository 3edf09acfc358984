//! The packets' part of the status, as named lines for the page.

use floodwall_model::Mode;
use floodwall_model::packet::Guards;

use super::packets::{PacketRuleStatus, PacketsStatus};
use super::text::{alarm_words, incident_words};
use crate::words::{collateral, count, duration, number, rate};

/// The lines: name and text. Weaknesses last.
pub(super) fn lines(status: &PacketsStatus, mode: Mode, at_ms: u64) -> Vec<(&'static str, String)> {
    let mut lines = vec![("packets", watched(status))];
    if let Some(incident) = &status.open_incident {
        lines.push(("", format!("incident {}", incident_words(Some(incident), at_ms))));
    }
    if let Some(alarm) = &status.alarm {
        lines.push(("", alarm_words(alarm, at_ms)));
    }
    for rule in &status.rules {
        lines.push(("", rule_words(rule, mode, status.neutral_profile, at_ms)));
    }
    let guards = guard_words(status.guards);
    if !guards.is_empty() {
        let verb = if mode == Mode::Shadow { "guards that would stand" } else { "guards standing" };
        lines.push(("", format!("{verb}: {}", guards.join("; "))));
    }
    lines.extend(refused(status).map(|text| ("", text)));
    lines.extend(status.not_carried_out_because.as_ref().map(|why| {
        ("", format!("rules and guards for packets are not carried out, because {why}"))
    }));
    if status.samples_lost > 0 {
        let lost = count(status.samples_lost, "sampled packet");
        lines.push(("", format!("{lost} lost: what is judged by them rests on fewer")));
    }
    lines
}

fn watched(status: &PacketsStatus) -> String {
    let expected = rate(status.expected_pps);
    let own = count(status.own_packets, "packet");
    let rests = if status.neutral_profile {
        format!("judged by the packaged neutral profile ({own} of its own past known)")
    } else {
        format!("judged by {own} of its own past")
    };
    let in_force = match (status.rules.len() as u64, guard_words(status.guards).len() as u64) {
        (0, 0) => "no rule and no guard in force".to_owned(),
        (rules, guards) => {
            format!("{} and {} in force", count(rules, "rule"), count(guards, "guard"))
        }
    };
    format!("{in_force}; {expected} packets/s of no conversation expected; {rests}")
}

fn rule_words(rule: &PacketRuleStatus, mode: Mode, neutral: bool, at_ms: u64) -> String {
    let action = if mode == Mode::Shadow { "would drop" } else { "drops" };
    let on = if neutral { "past and profile" } else { "the past" };
    let projected = match collateral(&rule.projected, "packet") {
        Some(projected) => format!("would have hit {projected} of {on}"),
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

fn guard_words(guards: Guards) -> Vec<&'static str> {
    [
        (guards.syn_proof, "new connections must prove themselves by a SYN cookie"),
        (guards.tcp_state, "TCP of no connection is dropped"),
        (guards.udp_solicited, "UDP that nobody here asked for is dropped"),
        (guards.icmp, "ICMP that the network can do without is held to a small rate"),
    ]
    .into_iter()
    .filter_map(|(stands, words)| stands.then_some(words))
    .collect()
}

fn refused(status: &PacketsStatus) -> Option<String> {
    let mut counted: Vec<_> = status.refused.iter().filter(|r| r.count > 0).collect();
    counted.sort_by_key(|r| (std::cmp::Reverse(r.count), r.reason));
    let words: Vec<String> =
        counted.iter().map(|r| format!("{} {}", r.reason.name(), number(r.count))).collect();
    (!words.is_empty()).then(|| format!("refused {}", words.join(", ")))
}
