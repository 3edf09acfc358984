//! How much skill the record shows, by the rubric of design/detection.md § 3.8, never by size.
//!
//! S0 accident · S1 one fixed pattern · S2 preset patterns, off the shelf · S3 deliberate variation,
//! residential proxies or browser-grade software · S4 probing beforehand, reaction to us, solving
//! challenges, mimicry (two of them) · S5 new protocol abuse or a proven intrusion. The record
//! carries patterns and their times only, so nothing above S2 can come from here. The word for a skilled attack is not
//! in this file: it may be printed from S4 on.

use super::account::Account;
use super::packets;
use super::page::Page;
use crate::words::{count, duration};

/// Patterns found later than this after the first rule may be an answer to it.
const PRESET_WITHIN_MS: u64 = 60_000;

/// What the record carries.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Level {
    /// No attack is established, so there is nothing to grade.
    NotAnAttack,
    /// An attack without a pattern on record.
    CannotTell,
    /// Packets bounced off other people's servers: a preset method, off the shelf.
    S2Reflection,
    /// One pattern described it throughout.
    S1,
    /// Several patterns: one tool with several targets (S1) or several preset ones (S2).
    S1OrS2 {
        /// How many patterns.
        patterns: u64,
        /// When the last one came, after the first, ms.
        last_after_ms: u64,
    },
}

fn level(account: &Account<'_>) -> Level {
    if !account.is_attack() {
        return Level::NotAnAttack;
    }
    if account.packets().is_some_and(packets::is_reflection) {
        return Level::S2Reflection;
    }
    let starts = || account.incident.rules.iter().map(|rule| rule.first_at_ms);
    match (account.rules(), starts().min(), starts().max()) {
        (1, _, _) => Level::S1,
        (patterns, Some(first), Some(last)) => {
            Level::S1OrS2 { patterns, last_after_ms: last - first }
        }
        _ => Level::CannotTell,
    }
}

/// The section.
pub(super) fn write(page: &mut Page, account: &Account<'_>) {
    page.heading("3. SOPHISTICATION");
    let scale = "The scale goes from S0 (an accident) to S5 (new methods); size does not count.";
    let proxies = if account.packets().is_none() { ", of residential proxies" } else { "" };
    let limits = format!(
        "Levels from S3 on could not be assessed: the record has no measure of deliberate \
         variation{proxies}, of probing beforehand or of reactions to our rules."
    );
    let guarded = account.packets().is_some_and(|p| !p.guards.is_empty());
    let beside = if guarded { " What guards held up besides, no pattern describes." } else { "" };
    match level(account) {
        Level::NotAnAttack => {
            page.paragraph("Not graded: the record does not establish that this was an attack.");
        }
        Level::CannotTell => {
            page.paragraph(&format!("Cannot tell: no pattern of the attack is on record. {scale}"));
        }
        Level::S2Reflection => page.paragraph(&format!(
            "S2 on the evidence in hand: what was measured is consistent with packets bounced off \
             other people's servers, which programs and services for hire do ready-made. {scale} \
             {limits}"
        )),
        Level::S1 => page.paragraph(&format!(
            "S1 on the evidence in hand: one fixed pattern described the attack, and no second one \
             was found.{beside} An accident (S0) is not excluded. {scale} {limits}"
        )),
        Level::S1OrS2 { patterns, last_after_ms } => {
            let found = count(patterns, "pattern");
            page.paragraph(&format!(
                "S1 or S2 on the evidence in hand: {found} were found. That can be one tool with \
                 several targets (S1) or several tools made ready beforehand (S2); the record does \
                 not decide.{beside} {} {scale} {limits}",
                late_pattern(last_after_ms)
            ));
        }
    }
}

fn late_pattern(last_after_ms: u64) -> String {
    if last_after_ms <= PRESET_WITHIN_MS {
        return "All came within a minute of the first.".into();
    }
    format!(
        "The last one came {} after the first; whether somebody answered our rules or this was \
         planned, one such change cannot show.",
        duration(last_after_ms)
    )
}
