//! 6: what Floodwall did with packets: rules, guards, refusals, and whom they may have cost.

use floodwall_model::{Collateral, RuleRecord};

use super::super::page::Page;
use super::super::response::{lifetime, placed_because};
use super::flood::Flood;
use super::measured::VALUE_COLUMN;
use super::names;
use crate::summary::is_a_guards;
use crate::words::{collateral, count, number};

/// The section.
pub(super) fn write(page: &mut Page, flood: &Flood<'_>) {
    page.heading("6. WHAT WE DID");
    if flood.is_shadow() && (flood.account.rules() > 0 || flood.guards() > 0) {
        page.paragraph(
            "Floodwall was in shadow mode: the following is what it would have done. No rule and no \
             guard refused anybody.",
        );
    }
    rules(page, flood);
    guards(page, flood);
    refusals(page, flood);
}

fn rules(page: &mut Page, flood: &Flood<'_>) {
    if flood.account.rules() == 0 {
        let why = flood.account.why_nothing_was_placed();
        let why = why.map_or_else(String::new, |why| format!(" The record says: {why}"));
        return page.paragraph(&format!("No rule was placed.{why}"));
    }
    for rule in &flood.account.incident.rules {
        one_rule(page, rule, flood);
    }
    let left_out = flood.account.incident.rules_left_out;
    if left_out > 0 {
        let rules = count(left_out, "further rule");
        page.paragraph(&format!("{rules} left out: the record was full."));
    }
    page.paragraph(&format!(
        "Projected figures rest on {}. Measured figures rest on packets of conversations, and on \
         sources that had completed a handshake, as far as packets were looked at whole. They can \
         be too high: the address may be borrowed. They can be too low: visitors who came for the \
         first time are not in them.",
        if flood.packets.neutral_profile {
            "the packaged neutral profile and on what was known of this host's own past"
        } else {
            "packets seen before the first sign, taken as honest"
        }
    ));
}

fn one_rule(page: &mut Page, rule: &RuleRecord, flood: &Flood<'_>) {
    let verb = if flood.is_shadow() { "would have dropped" } else { "dropped" };
    page.paragraph(&format!("Rule {}: {verb} what it matches.", rule.id));
    page.gap();
    page.item(0, &format!("It matches: {}", rule.words));
    page.item(0, &lifetime(rule, flood.account));
    page.item(0, &format!("Packets matched: {}.", number(rule.matched)));
    page.item(0, &projected(rule, flood));
    page.item(0, &measured(rule));
    placed_because(page, rule, flood.account);
}

fn projected(rule: &RuleRecord, flood: &Flood<'_>) -> String {
    let on = if flood.packets.neutral_profile {
        "on the neutral profile and the past together"
    } else {
        "on past packets"
    };
    match collateral(&rule.projected, "packet") {
        Some(text) => format!("Projected, {on}: it would have hit {text}."),
        None => "Projected: could not be assessed, no packet of the past was examined.".into(),
    }
}

fn measured(rule: &RuleRecord) -> String {
    let Collateral { hits, records } = rule.measured;
    // Packets of sources known from a handshake are among the hits and not among the records, so
    // the first can be the larger number, and no share of it.
    match collateral(&rule.measured, "packet") {
        Some(text) if hits <= records => {
            format!("Measured: of packets of conversations seen during the incident, {text}.")
        }
        Some(_) => format!(
            "Measured: {} of visitors, where {} of conversations {} seen during the incident.",
            count(hits, "packet"),
            number(records),
            crate::words::was(records)
        ),
        None => "Measured: could not be assessed; no packet of a conversation was seen during the \
                 incident."
            .into(),
    }
}

fn guards(page: &mut Page, flood: &Flood<'_>) {
    let guards = &flood.packets.guards;
    if guards.is_empty() {
        return page.paragraph("No guard was raised.");
    }
    page.paragraph(if flood.is_shadow() {
        "Guards that would have been raised, and what they would have meant:"
    } else {
        "Guards raised, and what they meant:"
    });
    page.gap();
    for guard in guards {
        page.item(0, guard);
    }
    page.paragraph(
        "Guards are for packets that no rule describes: each asks for what an honest sender has and \
         a flood lacks. When each was raised and lowered stands in the timeline (section 8). What they would cost visitors is not \
         projected, and what they cost is not measured.",
    );
}

fn refusals(page: &mut Page, flood: &Flood<'_>) {
    let refusals = flood.refusals();
    if refusals.is_empty() {
        return;
    }
    page.paragraph("Packets held up or refused without a rule:");
    page.gap();
    for (reason, name, n) in refusals {
        let who = if reason.is_some_and(is_a_guards) { "guard: " } else { "" };
        let words = format!("{who}{}", names::refusal(reason, name));
        page.row(VALUE_COLUMN, &words, &number(n));
    }
}
