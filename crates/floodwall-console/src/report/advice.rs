//! What to do next: for each verdict the steps that the record supports, the most useful first.

use floodwall_model::IncidentVerdict;

use super::account::Account;
use crate::civil::utc;

/// Logs worth keeping begin and end so far from the incident.
const LOGS_AROUND_MS: u64 = 3_600_000;

/// The steps.
pub(super) fn next_steps(account: &Account<'_>) -> Vec<String> {
    let mut steps = Vec::new();
    match account.incident.verdict {
        IncidentVerdict::Attack => attack_steps(account, &mut steps),
        IncidentVerdict::Crowd => crowd_steps(account, &mut steps),
        IncidentVerdict::CannotTell => cannot_tell_steps(account, &mut steps),
    }
    steps.extend(account.incident.advice.iter().cloned());
    steps
}

fn attack_steps(account: &Account<'_>, steps: &mut Vec<String>) {
    if account.is_open() {
        steps.push("Leave Floodwall running; `floodwall status` shows how it stands.".into());
    }
    match (account.rules(), account.is_shadow()) {
        (0, _) => steps.push(
            "Ask your hosting provider to filter before this host, and make the pages named above \
             cheaper for now (serve them from a cache, or switch them off): no rule was found that \
             would spare visitors."
                .into(),
        ),
        (_, true) => steps.push(
            "Read the rules in section 6. If they describe nothing that is yours, set mode = \
             \"protect\", so that the next such rules act."
                .into(),
        ),
        (_, false) => {
            steps.push(
                "Open the site from another network, a telephone for instance, and try the pages \
                 named above."
                    .into(),
            );
            steps.push(
                "Read the rules in section 6: none should describe an app, a partner or a monitor \
                 of your own."
                    .into(),
            );
        }
    }
    after_an_attack(account, steps);
}

/// Whatever it was made of: whom to tell, and what not to say.
pub(super) fn after_an_attack(account: &Account<'_>, steps: &mut Vec<String>) {
    steps.push(keep_logs(account));
    steps.push(format!(
        "Report it where you have to (hosting provider, national cyber security centre, police) \
         with the output of `floodwall report {} --json`.",
        account.incident.id
    ));
    steps.push(
        "If people could not reach personal data that they need, ask your data protection officer: \
         in the EU and the UK such a loss may have to be notified within 72 hours."
            .into(),
    );
    steps.push(
        "In public, say what stands here, and nothing about skill, origin or data that does not."
            .into(),
    );
}

fn crowd_steps(account: &Account<'_>, steps: &mut Vec<String>) {
    steps.push("Do not report this as an attack.".into());
    if account.rules() > 0 {
        steps.push(format!(
            "Show the rules in section 6 to whoever looks after Floodwall, with the output of \
             `floodwall report {} --json`: against a crowd there should be none.",
            account.incident.id
        ));
    }
    steps.push(
        "If pages were slow, the site needs more room for days like this: a cache in front of the \
         pages named above first, then more capacity."
            .into(),
    );
    steps.push("Note what brought the visitors, so that you are ready when it comes again.".into());
}

fn cannot_tell_steps(account: &Account<'_>, steps: &mut Vec<String>) {
    let onset = utc(account.incident.onset_at_ms);
    steps.push("Call it neither an attack nor a rush of visitors in public yet.".into());
    steps.push(format!(
        "Look for what could have brought visitors shortly before {onset}: a mailing, a post, a \
         broadcast, an event."
    ));
    steps.push(
        "Ask whoever runs the site whether something was deployed or failed at that time; a page \
         that fails makes people and programs try again."
            .into(),
    );
    if account.is_shadow() && account.rules() > 0 {
        steps.push("Read the rules in section 6; in protect mode they would have acted.".into());
    }
    steps.push(keep_logs(account));
}

pub(super) fn keep_logs(account: &Account<'_>) -> String {
    let from = utc(account.incident.onset_at_ms.saturating_sub(LOGS_AROUND_MS));
    let until = match account.incident.closed_at_ms {
        Some(closed) => format!("to {}", utc(closed.saturating_add(LOGS_AROUND_MS))),
        None => "until an hour after the end".into(),
    };
    format!(
        "Keep the logs of web server, application, database and firewall from {from} {until}. They \
         alone can tell whether data left."
    )
}
