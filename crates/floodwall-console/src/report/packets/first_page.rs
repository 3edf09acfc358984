//! The first page on a flood of packets. Who reads it need not know what a packet is.

use floodwall_model::IncidentVerdict;

use super::super::first_page::{DATA, when};
use super::super::page::Page;
use super::flood::Flood;
use super::{advice, names};
use crate::words::{count, duration, list, rate, share, volume, was};

/// The page.
pub(super) fn write(page: &mut Page, flood: &Flood<'_>) {
    page.heading("IN SHORT");
    page.answer("What happened", &what_happened(flood));
    page.answer("When", &when(flood.account));
    page.answer("How much came", &how_much(flood));
    page.answer("What it hit", WHAT_IT_HIT);
    page.answer("What visitors noticed", &what_visitors_noticed(flood));
    page.answer("What stopped it", &what_stopped_it(flood));
    page.answer("Did data leave?", DATA);
    page.answer("What we do not know", &what_we_do_not_know(flood));
    page.question("What to do next");
    for (index, step) in advice::next_steps(flood).iter().enumerate() {
        page.step(index + 1, step);
    }
}

const WHAT_IT_HIT: &str = "The server as a whole: its network line, and the part of its system that \
    takes packets in, before any page is asked for. Which service was meant, the record tells only where a rule in section 6 names a destination port.";

fn what_happened(flood: &Flood<'_>) -> String {
    let open = flood.account.is_open();
    let parcel = "A packet is a small parcel, in which computers send each other everything.";
    let none = "belonged to no conversation that this server had";
    match (flood.account.verdict(), open) {
        (IncidentVerdict::Attack, false) => format!(
            "This server was flooded with packets. {parcel} The packets of the flood {none}. Two \
             independent kinds of evidence agree that this was an attack and not a rush of \
             visitors (section 1)."
        ),
        (IncidentVerdict::Attack, true) => format!(
            "This server is being flooded with packets. {parcel} The packets of the flood {none}. \
             Two independent kinds of evidence agree that this is an attack and not a rush of \
             visitors (section 1)."
        ),
        (IncidentVerdict::Crowd, _) => format!(
            "More packets came to this server than it expected. {parcel} The evidence speaks for \
             honest visitors and against an attack (section 1)."
        ),
        (IncidentVerdict::CannotTell, _) if flood.packets.received == 0 => format!(
            "Floodwall opened an incident of packets. {parcel} How many came, and of what kind, is \
             not on record. Whether it was an attack, a fault or a rush of visitors, we cannot \
             tell{}: the evidence does not decide (section 1).",
            if open { " so far" } else { "" }
        ),
        (IncidentVerdict::CannotTell, _) => format!(
            "More packets came to this server than it expected. {parcel} Some of them {none}. \
             Whether this was an attack, a fault or a rush of visitors, we cannot tell{}: the \
             evidence does not decide (section 1).",
            if open { " so far" } else { "" }
        ),
    }
}

fn how_much(flood: &Flood<'_>) -> String {
    let packets = flood.packets;
    let peak = packets.peak_1s_pps;
    if !peak.is_finite() || peak <= 0.0 {
        return "We could not assess this: the record holds no count of packets.".into();
    }
    let mut text = format!(
        "In the highest second {} packets ({} in all), those of visitors included.",
        rate(peak),
        volume(packets.peak_1s_bps)
    );
    if let Some((name, part)) = flood.main_kind() {
        text.push_str(&format!(
            " Of everything that arrived, {} were {}.",
            share(part),
            names::kind(name)
        ));
    }
    text.push_str(" How bad it was for visitors, size does not tell.");
    text
}

fn what_visitors_noticed(flood: &Flood<'_>) -> String {
    let mut text = "Whether the site was slow or gone for them, we could not assess: the record \
                    holds no response times. "
        .to_owned();
    let rules = flood.account.rules();
    text.push_str(&match (flood.is_shadow(), rules, flood.guards()) {
        (true, ..) => "No rule and no guard refused anybody, because Floodwall was in shadow mode \
                       (it decides, and does not act)."
            .into(),
        (false, 0, 0) => "No rule and no guard refused anybody, because none was in force.".into(),
        (false, 0, _) => COST_OF_GUARDS.into(),
        (false, _, guards) => {
            let cost = rules_on_visitors(flood);
            if guards == 0 { cost } else { format!("{cost} {COST_OF_GUARDS}") }
        }
    });
    text
}

const COST_OF_GUARDS: &str = "How many packets of visitors the guards held up, we could not assess: \
    nothing counts them.";

fn rules_on_visitors(flood: &Flood<'_>) -> String {
    match flood.matched_like_visitors() {
        None => "How many packets of visitors our rules dropped, we could not assess: no \
                 conversation of a visitor was seen beside the flood."
            .into(),
        Some(0) => {
            "Nothing that our rules matched was seen to be part of a visitor's conversation.".into()
        }
        Some(hits) => format!(
            "Our rules matched {} that {} seen to be part of a visitor's conversation; section 6 \
             says what this can mean.",
            count(hits, "packet"),
            was(hits)
        ),
    }
}

fn what_stopped_it(flood: &Flood<'_>) -> String {
    let (rules, guards) = (flood.account.rules(), flood.guards());
    let why = flood.account.why_nothing_was_placed();
    let why = why.map_or_else(String::new, |why| format!(" The record says: {why}"));
    if rules == 0 && guards == 0 {
        let nothing = "Nothing that Floodwall did: no rule was placed and no guard was raised.";
        return format!("{nothing}{why}");
    }
    let mut text = if flood.is_shadow() { in_shadow(flood) } else { in_force(flood) };
    if rules == 0 {
        text.push_str(&format!(" No rule was placed, so nothing describes the packets.{why}"));
    }
    if guards > 0 {
        text.push_str(
            " A guard asks every packet of its kind for what an honest sender has and a flood lacks \
             (section 6).",
        );
    }
    if !flood.is_shadow() && !flood.account.is_open() {
        text.push_str(" Whether it ended because of that or by itself, the record does not tell.");
    }
    text
}

fn in_shadow(flood: &Flood<'_>) -> String {
    let mut text =
        format!("Nothing was stopped: Floodwall was in shadow mode. It {}", measures(flood));
    if flood.account.rules() > 0 {
        let dropped = count(flood.by_rules(), "packet");
        text.push_str(&format!("; in protect mode {dropped} would have been dropped by rule"));
    }
    text.push('.');
    text
}

fn in_force(flood: &Flood<'_>) -> String {
    let mut text = format!("Floodwall {}.", measures(flood));
    let mut results = Vec::new();
    if flood.account.rules() > 0 {
        results.push(format!(
            "the {} dropped {}",
            if flood.account.rules() == 1 { "rule" } else { "rules" },
            count(flood.by_rules(), "packet")
        ));
    }
    if flood.guards() > 0 && !flood.guards_uncounted() {
        results.push(format!(
            "the {} held up {}",
            if flood.guards() == 1 { "guard" } else { "guards" },
            count(flood.by_guards(), "packet")
        ));
    }
    if !results.is_empty() {
        text.push_str(&format!(" So {}.", list(&results)));
    }
    if flood.guards_uncounted() {
        text.push_str(" How many packets guards held up is not on record.");
    }
    text
}

/// What was done and how soon: `wrote 1 rule and raised 2 guards by itself, the first of them …`.
fn measures(flood: &Flood<'_>) -> String {
    let (rules, guards) = (flood.account.rules(), flood.guards());
    let mut done = Vec::new();
    if rules > 0 {
        done.push(format!("wrote {}", count(rules, "rule")));
    }
    if guards > 0 {
        done.push(format!("raised {}", count(guards, "guard")));
    }
    let first = if rules + guards > 1 { "the first of them " } else { "" };
    let soon = flood
        .account
        .reaction_ms()
        .map_or_else(String::new, |ms| format!(", {first}{} after the first sign", duration(ms)));
    format!("{} by itself{soon}", list(&done))
}

fn what_we_do_not_know(flood: &Flood<'_>) -> String {
    let mut text = "Who sent it and why, what was discarded before it reached this server and how \
                    many visitors gave up."
        .to_owned();
    if !flood.account.is_attack() {
        text = "Why so many packets came at this time, what was discarded before it reached this \
                server and how many visitors gave up."
            .to_owned();
    }
    if flood.packets.neutral_profile {
        text.push_str(
            " Nor what is normal on this server: too little of its own past was known, and a \
             packaged profile stood in for it.",
        );
    }
    format!("{text} Section 9 has the whole list.")
}
