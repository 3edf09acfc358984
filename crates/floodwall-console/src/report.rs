//! The account of an incident, for a person who is not technical first and an expert after.
//!
//! Each sentence is made from the record and from nothing else. What the record does not hold is
//! "could not be assessed"; "no evidence of" is never printed, since no record yet carries the
//! observable, the instrument, its coverage and its control that such a sentence needs. It must
//! never name a culprit, and never turn size into skill. An incident of packets has no requests:
//! its sections of figures are written in `packets`, and no sum of requests is printed for it.

mod account;
mod advice;
mod details;
mod first_page;
mod json;
mod packets;
mod page;
mod published;
mod response;
mod sophistication;

use floodwall_model::Incident;

use account::Account;
use page::Page;

use crate::civil::utc;

pub use json::report_json;

/// The report on `incident` as it stands at `now_ms` (ms since the epoch), 80 columns.
pub fn report_text(incident: &Incident, now_ms: u64) -> String {
    let account = Account { incident, now_ms };
    let mut page = Page::default();
    page.paragraph(&format!("FLOODWALL: REPORT ON INCIDENT {}", incident.id));
    page.paragraph(&state(&account));
    match account.packets() {
        None => of_requests(&mut page, &account),
        Some(packets) => packets::write(&mut page, &account, packets),
    }
    page.finish()
}

fn of_requests(page: &mut Page, account: &Account<'_>) {
    first_page::write(page, account);
    details::verdict(page, account);
    details::size(page, account);
    sophistication::write(page, account);
    details::sources(page, account);
    details::who(page);
    response::write(page, account);
    details::data(page);
    details::timeline(page, account);
    details::unseen(page, account);
}

fn state(account: &Account<'_>) -> String {
    let written = utc(account.now_ms);
    if account.is_open() {
        format!(
            "The incident is still open, so everything below can change. Written {written} from \
             the record as it stood at {}.",
            utc(account.incident.updated_at_ms)
        )
    } else {
        format!("The incident is closed. Written {written}.")
    }
}

#[cfg(test)]
mod reading;
#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
