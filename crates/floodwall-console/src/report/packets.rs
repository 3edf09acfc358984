//! The account of an incident of packets: the same nine sections, counted in packets.
//!
//! A packet's source is what the packet says, so this part must never call it a sender; and size in
//! packets or bits never becomes a word for how bad it was.

mod advice;
mod first_page;
mod flood;
mod measured;
mod names;
mod origin;
mod response;

use floodwall_model::packet::PacketAccount;

use super::account::Account;
use super::page::Page;
use super::{details, sophistication};
use crate::words::count;
use flood::Flood;

pub(super) use flood::is_reflection;

/// The whole report behind its title.
pub(super) fn write(page: &mut Page, account: &Account<'_>, packets: &PacketAccount) {
    let flood = Flood { account, packets };
    first_page::write(page, &flood);
    details::verdict(page, account);
    measured::size(page, &flood);
    sophistication::write(page, account);
    origin::sources(page, &flood);
    origin::who(page, &flood);
    response::write(page, &flood);
    details::data(page);
    details::timeline(page, account);
    measured::unseen(page, &flood);
}

/// What the judgement rests on: the end of section 1.
pub(super) fn basis(page: &mut Page, account: &Account<'_>, packets: &PacketAccount) {
    if account.verdict() != account.incident.verdict {
        page.paragraph(
            "The record itself says attack. A rise alone can open such a record, before anybody \
             knows what the packets are; for the word attack, two independent kinds of evidence \
             would have to be on record as well.",
        );
    }
    let known = account.incident.baseline_records;
    let own = if known == 0 {
        "no packet of this host's own past was known".to_owned()
    } else {
        format!("{} of this host's own past were known", count(known, "packet"))
    };
    page.paragraph(&if packets.neutral_profile {
        format!(
            "What is normal was not learned here, for the most part: {own}. In its place stood the \
             neutral profile, a collection of packets that comes with Floodwall and looks like an \
             ordinary server's. What is usual on this host and unusual elsewhere is not in it."
        )
    } else if known == 0 {
        format!("What the judgement rests on could not be assessed: {own}.")
    } else {
        format!("What is normal was learned here: {own}.")
    });
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
