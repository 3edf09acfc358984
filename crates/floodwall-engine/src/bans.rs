//! Which sources the kernel shall drop: those that keep sending what a rule blocks.
//!
//! Only sources that completed a handshake, because others may be forged; never one that was seen
//! behaving like a visitor, because the address may be shared; always for a limited time.

use floodwall_model::limits::BAN_TTL_MS_MAX;
use floodwall_model::{Ban, Handling, Observation};

use crate::sources::SourceState;

/// First ban, ms; every repetition doubles it up to [`BAN_TTL_MS_MAX`].
const BAN_MS: u64 = 60_000;
/// Blocked in a row, however fast.
const STREAK_FAST: u32 = 20;
/// Blocked in a row by a source that takes its time, …
const STREAK_SLOW: u32 = 4;
/// … over at least this long, tenths of a second. A visitor who meets a block page reloads a few
/// times at once and leaves; a tool comes back on schedule.
const STREAK_SLOW_DS: u32 = 60;

/// Whether the source that sent `observation` shall be banned, and for how long.
pub fn due(observation: &Observation, state: &SourceState, now_ms: u64) -> Option<Ban> {
    if !matches!(observation.handling, Handling::Blocked(_)) || !observation.handshake {
        return None;
    }
    let (streak, span_ds) = state.blocked_streak();
    let persistent = streak >= STREAK_FAST || (streak >= STREAK_SLOW && span_ds >= STREAK_SLOW_DS);
    if !persistent || state.engaged() {
        return None;
    }
    let ttl_ms = (BAN_MS << state.bans().min(8)).min(BAN_TTL_MS_MAX);
    Some(Ban {
        source: observation.source,
        from_ms: now_ms,
        until_ms: now_ms + ttl_ms,
        handshake: true,
        blocked: streak,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Sources;
    use floodwall_model::{Attrs, RequestKind, RuleId, Source, Stage};

    fn observation(kind: RequestKind, handling: Handling) -> Observation {
        Observation {
            at_ms: 0,
            source: Source::new(std::net::Ipv4Addr::new(203, 0, 113, 9).into()),
            attrs: Attrs::default(),
            kind,
            handling,
            stage: Stage::Whole,
            outcome: None,
            handshake: true,
        }
    }

    /// Sends blocked requests every `gap_ds`; returns after how many the source is banned.
    fn requests_until_ban(sources: &mut Sources, gap_ds: u32, handshake: bool) -> Option<u32> {
        let mut blocked = observation(RequestKind::Page, Handling::Blocked(RuleId(1)));
        blocked.handshake = handshake;
        (1..=30).find(|n| {
            let (state, _) = sources.observe(&blocked, 100 + n * gap_ds);
            due(&blocked, state, 0).is_some()
        })
    }

    #[test]
    fn one_request_every_three_seconds_is_banned_at_the_fourth() {
        assert_eq!(requests_until_ban(&mut Sources::new(64), 30, true), Some(4));
    }

    #[test]
    fn a_visitor_who_reloads_a_block_page_is_not_banned() {
        let mut sources = Sources::new(64);
        let blocked = observation(RequestKind::Page, Handling::Blocked(RuleId(1)));
        for n in 0..6 {
            let (state, _) = sources.observe(&blocked, 100 + n * 5);
            assert!(due(&blocked, state, 0).is_none());
        }
    }

    #[test]
    fn a_source_that_could_be_forged_is_never_banned() {
        assert_eq!(requests_until_ban(&mut Sources::new(64), 30, false), None);
    }

    #[test]
    fn an_address_where_a_visitor_was_seen_is_never_banned() {
        let mut sources = Sources::new(64);
        sources.observe(&observation(RequestKind::Page, Handling::Passed), 10);
        sources.observe(&observation(RequestKind::Asset, Handling::Passed), 11);
        assert_eq!(requests_until_ban(&mut sources, 30, true), None);
    }

    #[test]
    fn repeated_bans_grow_to_the_maximum() {
        let mut sources = Sources::new(64);
        let blocked = observation(RequestKind::Page, Handling::Blocked(RuleId(1)));
        let mut longest = 0;
        for n in 0..200 {
            let (state, _) = sources.observe(&blocked, 100 + n * 30);
            if let Some(ban) = due(&blocked, state, 0) {
                state.note_ban();
                assert!(ban.until_ms >= longest);
                longest = ban.until_ms;
            }
        }
        assert_eq!(longest, BAN_TTL_MS_MAX);
    }
}
