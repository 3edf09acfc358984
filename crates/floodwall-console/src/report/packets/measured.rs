//! 2 and 9: how much came, with the window named, and what was not seen.

use super::super::page::Page;
use super::super::published;
use super::flood::Flood;
use super::names;
use crate::civil::utc;
use crate::words::{count, number, rate, volume};

/// Column of the values in tables of figures.
pub(super) const VALUE_COLUMN: usize = 44;

/// 2: how much.
pub(super) fn size(page: &mut Page, flood: &Flood<'_>) {
    let packets = flood.packets;
    page.heading("2. SIZE");
    page.paragraph(
        "As seen by this host: what was discarded before it, by a provider for instance, or by a \
         full line, is in no figure here. All packets together, those of visitors included:",
    );
    page.gap();
    let mut row = |name: &str, value: String| page.row(VALUE_COLUMN, name, &value);
    let or_unknown = |known: bool, value: String| {
        if known { value } else { "could not be assessed".into() }
    };
    let pps = |pps: f64| or_unknown(pps > 0.0, format!("{} packets/s", rate(pps)));
    row("highest mean over 1 second", pps(packets.peak_1s_pps));
    row("  in volume", or_unknown(packets.peak_1s_bps > 0.0, volume(packets.peak_1s_bps)));
    row("highest mean over 10 seconds", pps(packets.peak_10s_pps));
    row("highest mean over 1 minute", "not in this record".into());
    row("packets received", or_unknown(packets.received > 0, number(packets.received)));
    let counted = |n: u64| or_unknown(packets.received > 0, number(n));
    row("  dropped by a rule", counted(packets.dropped));
    let held_up = match flood.guards_uncounted() {
        true => "not in this record".into(),
        false => counted(flood.by_guards()),
    };
    row("  held up by a guard", held_up);
    row("  refused as nonsense or as banned", counted(flood.otherwise_refused()));
    row("  sent on", or_unknown(packets.received > 0, flood.passed().map_or_else(missing, number)));
    if flood.is_shadow() {
        row("would have been dropped by a rule", counted(packets.would_drop));
    }
    row(
        "expected of packets of no conversation",
        or_unknown(packets.expected_pps > 0.0, format!("{} packets/s", rate(packets.expected_pps))),
    );
    kinds(page, flood);
    the_attack_itself(page, flood);
    page.paragraph(
        "Volume counts whole frames as they came over the line. Neither figure says how bad it was: \
         that would take minutes of disturbed service and failed visits, which nothing here \
         measures.",
    );
    lost(page, flood);
}

fn missing() -> String {
    "could not be assessed".into()
}

fn kinds(page: &mut Page, flood: &Flood<'_>) {
    let mut kinds: Vec<_> = flood.packets.classes.iter().filter(|(_, n)| *n > 0).collect();
    if kinds.is_empty() {
        return page.paragraph("Which kinds of packets came could not be assessed.");
    }
    kinds.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    page.paragraph("What kinds of packets came, all together:");
    page.gap();
    for (name, n) in kinds {
        page.row(VALUE_COLUMN + 10, names::kind(name), &number(*n));
    }
}

fn the_attack_itself(page: &mut Page, flood: &Flood<'_>) {
    if !flood.account.is_attack() {
        return;
    }
    if flood.matched() > 0 {
        let like_visitors = flood.matched_like_visitors().unwrap_or(0);
        let beside = if flood.by_guards() > 0 { ", and what guards held up," } else { "" };
        page.paragraph(&format!(
            "The attack itself: at least {}. So many matched its rules, less those seen to be part \
             of a visitor's conversation. What came before the first rule{beside} is not in it.",
            count(flood.matched().saturating_sub(like_visitors), "packet")
        ));
    }
    let compared =
        published::compared_packets(flood.packets.peak_1s_pps, flood.packets.peak_1s_bps);
    page.paragraph(
        compared.as_deref().unwrap_or("Its place among published attacks could not be assessed."),
    );
}

fn lost(page: &mut Page, flood: &Flood<'_>) {
    let lost = flood.packets.samples_lost;
    if lost > 0 {
        page.paragraph(&format!(
            "Counts are of every packet. Of those chosen to be looked at whole, {} got lost on the \
             way; sources, tests and measured collateral rest on the rest.",
            number(lost)
        ));
    }
}

/// 9: what was not seen.
pub(super) fn unseen(page: &mut Page, flood: &Flood<'_>) {
    let incident = flood.account.incident;
    page.heading("9. WHAT WE COULD NOT SEE");
    for line in [
        "What leaves the site, and so whether data was taken.",
        "How fast pages were for visitors, and how many gave up.",
        "What happened inside of connections: requests have incidents of their own.",
        "Owners, networks and countries of the sources, and the way that packets took.",
        "Deployments, faults of the host or of the network, and events in the world near the first \
         sign.",
    ] {
        page.item(0, line);
    }
    if incident.blind_spots.is_empty() {
        page.item(0, "Traffic discarded before it reached this host.");
    }
    if flood.guards() > 0 && !flood.is_shadow() {
        page.item(0, "Whether a packet that a guard held up was a visitor's.");
    }
    let lost = flood.packets.samples_lost;
    if lost > 0 {
        page.item(0, &format!("The contents of {} that got lost.", count(lost, "sampled packet")));
    }
    if incident.rules_left_out > 0 {
        let rules = count(incident.rules_left_out, "rule");
        page.item(0, &format!("The particulars of {rules}: the record was full."));
    }
    if flood.account.is_open() && flood.account.now_ms > incident.updated_at_ms {
        let since = utc(incident.updated_at_ms);
        page.item(0, &format!("What happened since this record was brought up to date, {since}."));
    }
    for blind_spot in &incident.blind_spots {
        page.item(0, blind_spot);
    }
}
