//! The account of an incident, for a person who is not technical first and an expert after.
//!
//! Each sentence is made from the record and from nothing else. What the record does not hold is
//! "could not be assessed"; "no evidence of" is never printed, since no record yet carries the
//! observable, the instrument, its coverage and its control that such a sentence needs. It must
//! never name a culprit, and never turn size into skill.

mod account;
mod advice;
mod details;
mod first_page;
mod page;
mod published;
mod response;
mod sophistication;

use floodwall_model::Incident;

use account::Account;
use page::Page;

use crate::civil::utc;

/// The report on `incident` as it stands at `now_ms` (ms since the epoch), 80 columns.
pub fn report_text(incident: &Incident, now_ms: u64) -> String {
    let account = Account { incident, now_ms };
    let mut page = Page::default();
    page.paragraph(&format!("FLOODWALL: REPORT ON INCIDENT {}", incident.id));
    page.paragraph(&state(&account));
    first_page::write(&mut page, &account);
    details::verdict(&mut page, &account);
    details::size(&mut page, &account);
    sophistication::write(&mut page, &account);
    details::sources(&mut page, &account);
    details::who(&mut page);
    response::write(&mut page, &account);
    details::data(&mut page);
    details::timeline(&mut page, &account);
    details::unseen(&mut page, &account);
    page.finish()
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
#[path = "report/tests.rs"]
mod tests;
