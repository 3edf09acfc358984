//! 6: what Floodwall did, rule by rule, and whom it may have cost.

use floodwall_model::{Action, RuleRecord};

use super::account::Account;
use super::details::finding;
use super::page::Page;
use crate::civil::utc;
use crate::words::{collateral, count, duration, number};

/// The section.
pub(super) fn write(page: &mut Page, account: &Account<'_>) {
    page.heading("6. WHAT WE DID");
    if account.rules() == 0 {
        let why = account.why_nothing_was_placed();
        let why = why.map_or_else(String::new, |why| format!(" The record says: {why}"));
        return page.paragraph(&format!("No rule was placed.{why}"));
    }
    if account.is_shadow() {
        page.paragraph(
            "Floodwall was in shadow mode: the following is what it would have done. Nobody was \
             refused by a rule.",
        );
    }
    for rule in &account.incident.rules {
        one_rule(page, rule, account);
    }
    if account.incident.rules_left_out > 0 {
        page.paragraph(&format!(
            "{} left out: the record was full.",
            count(account.incident.rules_left_out, "further rule")
        ));
    }
    page.paragraph(
        "Projected figures rest on requests seen before the first sign, taken as honest. Measured \
         figures rest on sources that had behaved like people. They can be too high: such a source \
         may have become part of the attack (a shared address, an infected device). They can be too \
         low: visitors who came for the first time are not in them.",
    );
}

fn one_rule(page: &mut Page, rule: &RuleRecord, account: &Account<'_>) {
    page.paragraph(&format!("Rule {}: {}", rule.id, action(rule.action, account.is_shadow())));
    page.gap();
    page.item(0, &format!("It matches: {}", rule.words));
    page.item(0, &lifetime(rule, account));
    page.item(0, &format!("Requests matched: {}.", number(rule.matched)));
    page.item(0, &projected(rule));
    page.item(0, &measured(rule));
    for text in [held_back(rule), forecast(rule)].into_iter().flatten() {
        page.item(0, &text);
    }
    placed_because(page, rule, account);
}

/// The evidence that spoke for a rule, each kind with its weight.
pub(super) fn placed_because(page: &mut Page, rule: &RuleRecord, account: &Account<'_>) {
    if rule.evidence.is_empty() {
        page.item(0, "Why it was placed is not on record.");
        return;
    }
    page.item(0, "Placed because of:");
    for evidence in &rule.evidence {
        page.item(1, &finding(evidence, account.kind()));
    }
}

fn action(action: Action, shadow: bool) -> String {
    match (action, shadow) {
        (Action::Block, false) => "blocked what it matches.".into(),
        (Action::Block, true) => "would have blocked what it matches.".into(),
        (Action::Throttle { per_source_per_10s }, shadow) => format!(
            "{} what goes beyond {} per source in ten seconds.",
            if shadow { "would have refused" } else { "refused" },
            count(u64::from(per_source_per_10s), "request")
        ),
    }
}

pub(super) fn lifetime(rule: &RuleRecord, account: &Account<'_>) -> String {
    let from = utc(rule.first_at_ms);
    let verb = if account.is_shadow() { "Would have been in force" } else { "In force" };
    let returns = match rule.returns {
        0 => String::new(),
        n => format!(
            " Not all the while: it rested when its attack did and came back with it {}.",
            count(u64::from(n), "time")
        ),
    };
    let Some(ended) = rule.ended_at_ms else {
        return format!("{verb} since {from}.{returns}");
    };
    let lasted = duration(ended.saturating_sub(rule.first_at_ms));
    let why = rule.ended_why.as_deref().unwrap_or("the reason is not on record");
    format!("{verb} from {from} to {} ({lasted}). Ended: {why}.{returns}", utc(ended))
}

fn projected(rule: &RuleRecord) -> String {
    match collateral(&rule.projected, "request") {
        Some(text) => format!("Projected, on past requests: it would have hit {text}."),
        None => "Projected: could not be assessed, no past request was examined.".into(),
    }
}

/// What those let through for a trial did; nothing where nobody was.
fn held_back(rule: &RuleRecord) -> Option<String> {
    let live = rule.live;
    if live.held_back_requests == 0 {
        return None;
    }
    let let_through = count(live.held_back_requests, "request");
    let behaved = match live.held_back.records {
        0 => "none of their sources got a page in time to be judged".to_owned(),
        judged => format!(
            "of {} judged, {} went on as visitors do",
            count(judged, "source"),
            number(live.held_back.hits)
        ),
    };
    Some(format!("Trial: {let_through} that it matches were let through on purpose; {behaved}."))
}

/// How many requests of known visitors got through while it was in force, against how many should.
fn forecast(rule: &RuleRecord) -> Option<String> {
    let visitors = rule.live.visitors?;
    Some(format!(
        "Visitors: {:.1} requests a second of sources known as such got through, {:.1} were expected.",
        visitors.observed_rps, visitors.expected_rps
    ))
}

fn measured(rule: &RuleRecord) -> String {
    match collateral(&rule.measured, "request") {
        Some(text) => {
            format!("Measured, while in force: of sources that had behaved like people, {text}.")
        }
        None => "Measured: could not be assessed; while it was in force, no source was seen that \
                 had behaved like a person before."
            .into(),
    }
}
