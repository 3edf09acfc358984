//! The first page: eight questions that a person responsible for the site has, in plain words.

use floodwall_model::IncidentVerdict;

use super::account::Account;
use super::advice;
use super::page::Page;
use crate::civil::utc;
use crate::words::{count, duration, list, number, share, was};

/// How many of the pages that were hit are named on the first page.
const PATHS_NAMED: usize = 3;

/// The page.
pub(super) fn write(page: &mut Page, account: &Account<'_>) {
    page.heading("IN SHORT");
    page.answer("What happened", what_happened(account));
    page.answer("When", &when(account));
    page.answer("What it hit", &what_it_hit(account));
    page.answer("What visitors noticed", &what_visitors_noticed(account));
    match account.incident.verdict {
        IncidentVerdict::Crowd => page.answer("What we did", &what_we_did_to_a_crowd(account)),
        _ => page.answer("What stopped it", &what_stopped_it(account)),
    }
    page.answer("Did data leave?", DATA);
    page.answer("What we do not know", &what_we_do_not_know(account));
    page.question("What to do next");
    for (index, step) in advice::next_steps(account).iter().enumerate() {
        page.step(index + 1, step);
    }
}

/// The short answer; section 7 has the long one.
pub(super) const DATA: &str = "We could not assess this. Nothing in this version of Floodwall watches what \
    leaves the site. So this report can say neither that data was taken nor that none was.";

fn what_happened(account: &Account<'_>) -> &'static str {
    match (account.incident.verdict, account.is_open()) {
        (IncidentVerdict::Attack, false) => {
            "Requests to the site rose. Two independent kinds of evidence agree that this was an \
             attack and not a rush of visitors (section 1)."
        }
        (IncidentVerdict::Attack, true) => {
            "Requests to the site have risen. Two independent kinds of evidence agree that this is \
             an attack and not a rush of visitors (section 1)."
        }
        (IncidentVerdict::Crowd, false) => {
            "Many visitors came at once. The evidence speaks for honest visitors and against an \
             attack (section 1)."
        }
        (IncidentVerdict::Crowd, true) => {
            "Many visitors are coming at once. The evidence speaks for honest visitors and against \
             an attack (section 1)."
        }
        (IncidentVerdict::CannotTell, false) => {
            "Requests to the site rose. Whether this was an attack or a rush of visitors, we cannot \
             tell: the evidence does not decide (section 1)."
        }
        (IncidentVerdict::CannotTell, true) => {
            "Requests to the site have risen. Whether this is an attack or a rush of visitors, we \
             cannot tell so far: the evidence does not decide (section 1)."
        }
    }
}

pub(super) fn when(account: &Account<'_>) -> String {
    let onset = utc(account.incident.onset_at_ms);
    let lasted = duration(account.lasted_ms());
    let when = match account.incident.closed_at_ms {
        None => format!("Since {onset}, {lasted} so far."),
        Some(closed) => format!(
            "First sign {onset}; closed {}, {lasted} later. An incident is closed only after a \
             quiet time, so the rise itself was shorter.",
            utc(closed)
        ),
    };
    format!("{when}{}", in_waves(account))
}

/// How many waves there were, and how soon those after the first were met.
fn in_waves(account: &Account<'_>) -> String {
    let incident = account.incident;
    let waves = incident.waves.len() as u64 + incident.waves_left_out;
    if waves < 2 {
        return String::new();
    }
    let later = incident.waves.iter().skip(1);
    let slowest = later.map(|w| w.met_at_ms.saturating_sub(w.began_at_ms)).max().unwrap_or(0);
    format!(
        " It came in {}; waves less than an hour apart are one incident. After the first, rules met \
         each within {} of its first sign.",
        count(waves, "wave"),
        duration(slowest)
    )
}

fn what_it_hit(account: &Account<'_>) -> String {
    let paths = &account.incident.top_paths;
    if paths.is_empty() {
        return "We could not assess which pages.".into();
    }
    let named: Vec<String> = paths
        .iter()
        .take(PATHS_NAMED)
        .map(|path| format!("{} ({} of the rise)", path.name, share(path.share)))
        .collect();
    format!("Most of all {}.", list(&named))
}

fn what_visitors_noticed(account: &Account<'_>) -> String {
    let mut text =
        "How fast or slow pages were for them, we could not assess: the record holds no response \
         times. "
            .to_owned();
    if account.is_shadow() {
        text.push_str(
            "No rule refused anybody, because Floodwall was in shadow mode (it decides, and does \
             not act).",
        );
    } else if account.rules() == 0 {
        text.push_str("No rule refused anybody, because none was placed.");
    } else {
        text.push_str(&match account.matched_like_people() {
            None => "How many visitors our rules refused, we could not assess: while they were in \
                     force, no source was seen that had behaved like a person before."
                .into(),
            Some(0) => "Nothing that our rules matched came from a source that had behaved like a \
                        person before."
                .into(),
            Some(hits) => format!(
                "Our rules matched {} from sources that had behaved like people before; section 6 \
                 says what this can mean.",
                count(hits, "request")
            ),
        });
    }
    let refused = account.incident.totals.refused;
    if refused > 0 {
        text.push_str(&format!(
            " For other reasons (site overloaded, request malformed or over a limit) {} {} \
             refused; how many of them were visitors', the record does not tell.",
            count(refused, "request"),
            was(refused)
        ));
    }
    text
}

fn what_we_did_to_a_crowd(account: &Account<'_>) -> String {
    let stopped = account.stopped();
    match (account.rules(), account.is_shadow()) {
        (0, _) => "No rule was placed, as it should be when visitors come.".into(),
        (rules, true) => format!(
            "Nothing: Floodwall was in shadow mode. It placed {} that would have stopped {}. If \
             these were visitors, as the evidence says, that would have been our mistake.",
            count(rules, "rule"),
            count(stopped, "request")
        ),
        (rules, false) => format!(
            "{} refused {}. If these were visitors, as the evidence says, that was our mistake.",
            count(rules, "rule"),
            count(stopped, "request")
        ),
    }
}

fn what_stopped_it(account: &Account<'_>) -> String {
    if account.rules() == 0 {
        let why = account.why_nothing_was_placed();
        let why = why.map_or_else(String::new, |why| format!(" The record says: {why}"));
        return format!("Nothing that Floodwall did: no rule was placed.{why}");
    }
    let totals = &account.incident.totals;
    let rules = count(account.rules(), "rule");
    let first = if account.rules() == 1 { "" } else { "the first " };
    let reaction = account
        .reaction_ms()
        .map_or_else(String::new, |ms| format!(", {first}{} after the first sign", duration(ms)));
    if account.is_shadow() {
        let would = match totals.would_stop {
            1 => "1 request would have been stopped".to_owned(),
            n => format!("{} would have been stopped", count(n, "request")),
        };
        return format!(
            "Nothing was stopped: Floodwall was in shadow mode. It wrote {rules}{reaction}; in \
             protect mode {would}."
        );
    }
    let mut text = format!("Floodwall wrote {rules} by itself{reaction}. ");
    text.push_str(&format!(
        "So {} {} refused",
        count(account.stopped(), "request"),
        was(account.stopped())
    ));
    if account.before_the_rules() > 0 {
        text.push_str(&format!(
            "; about {} of the same pattern reached the site before that",
            number(account.before_the_rules())
        ));
    }
    text.push('.');
    if totals.sources_banned > 0 {
        let banned = totals.sources_banned;
        text.push_str(&format!(" {} {} banned for a time", count(banned, "source"), was(banned)));
        if let Some(packets) = totals.kernel_dropped_packets {
            let dropped = count(packets, "packet");
            text.push_str(&format!("; the kernel dropped {dropped} from banned sources"));
        }
        text.push('.');
    }
    if !account.is_open() {
        text.push_str(" Whether it ended because of that or by itself, the record does not tell.");
    }
    text
}

fn what_we_do_not_know(account: &Account<'_>) -> String {
    let mut unknown = vec!["who sent it and why"];
    if !account.is_attack() {
        unknown = vec!["why so many requests came at this time"];
    }
    unknown.push("whether anything happened on ways that do not lead through Floodwall");
    unknown.push("how many visitors gave up");
    let unknown: Vec<String> = unknown.into_iter().map(String::from).collect();
    let mut text = list(&unknown);
    // The list starts a sentence.
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{text}. Section 9 has the whole list.")
}
