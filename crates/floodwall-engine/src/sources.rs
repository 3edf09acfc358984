//! What each source has done lately, in a table of fixed size.
//!
//! Serves three questions: does this source behave like a browser (a page, then what the page asks
//! for)? how much does it send in ten seconds? does it keep sending what a rule blocks? Only facts
//! are kept here; what follows from them is decided in `evidence` and `bans`.

use floodwall_model::{Attr, Handling, Observation, RequestKind, Stage, ValueId};

use crate::random::mix;

/// Places per set. When a set is full, the place unused for longest is taken over.
const WAYS: usize = 4;
/// Length of the per-source counting window, in tenths of a second.
const WINDOW_DS: u32 = 100;
/// An asset counts as the consequence of a page requested at most this long before.
const FOLLOW_UP_DS: u32 = 300;
/// Requests that one page may cause. What comes beyond counts for itself: a flood that begins with a
/// page is no page load.
const FOLLOW_UPS_MAX: u16 = 128;
/// Who is seen over more than this, in tenths of a second, stayed: ten minutes.
const STAYED_DS: u32 = 6_000;

/// Blocked requests with a longer silence between them are no streak, tenths of a second: a monitor
/// that asks once an hour is not an attack that keeps coming.
const STREAK_GAP_DS: u32 = 600;

/// What is known of one source. Times are tenths of a second since the engine's epoch, from 1.
#[derive(Copy, Clone, Debug, Default)]
pub struct SourceState {
    key: u64,
    first_ds: u32,
    last_ds: u32,
    window_ds: u32,
    window_count: u32,
    page_asked_ds: u32,
    page_done_ds: u32,
    /// Low half of the user-agent id with which the source behaved like a browser.
    engaged_agent: u32,
    blocked_since_ds: u32,
    blocked: u16,
    follow_ups: u16,
    bans: u8,
    engaged: bool,
    prompted: bool,
    cookie: Cookie,
}

/// What a source did with cookies.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
enum Cookie {
    /// It was never seen without one: perhaps it sends the same always.
    #[default]
    Untold,
    /// It came without.
    Without,
    /// It came without and later with one: it keeps what it is given.
    Brought,
}

impl SourceState {
    /// Whether the source has fetched what its pages ask for.
    pub const fn engaged(&self) -> bool {
        self.engaged
    }

    /// Whether it did so with this very user agent: an address may be shared by a visitor and a
    /// bot, and the bot must not lend from the visitor's good name.
    pub fn engaged_as(&self, observation: &Observation) -> bool {
        self.engaged_with(agent_tag(observation))
    }

    /// The same for the user agent with this [`agent_tag`].
    pub const fn engaged_with(&self, tag: u32) -> bool {
        self.engaged && self.engaged_agent == tag
    }

    /// Whether the source behaved like a browser with this very user agent, and either stayed for
    /// more than ten minutes or came without a cookie first and with one later: somebody who keeps
    /// what he is given.
    pub const fn proved_itself(&self, ValueId(user_agent): ValueId) -> bool {
        let stayed = self.last_ds.saturating_sub(self.first_ds) > STAYED_DS;
        self.engaged
            && self.engaged_agent == user_agent as u32
            && (stayed || matches!(self.cookie, Cookie::Brought))
    }

    /// Whether its latest request was caused by a page it had asked for: a picture, a script, what a
    /// script fetches. Visitors come and read one by one; what their browsers fetch comes in bursts.
    pub const fn prompted(&self) -> bool {
        self.prompted
    }

    /// Whether the source behaved like a browser with this very user agent and was met for the first
    /// time at least `ago_ds` ago: whoever came with an attack that has just begun was not.
    pub const fn is_visitor(&self, ValueId(user_agent): ValueId, now_ds: u32, ago_ds: u32) -> bool {
        self.engaged
            && self.engaged_agent == user_agent as u32
            && now_ds >= self.first_ds.saturating_add(ago_ds)
    }

    /// Requests in the current window of ten seconds.
    pub const fn window_count(&self) -> u32 {
        self.window_count
    }

    /// Whether a page was answered to it at least `settle_ds` ago.
    pub const fn page_settled(&self, now_ds: u32, settle_ds: u32) -> bool {
        self.page_done_ds > 0 && now_ds >= self.page_done_ds.saturating_add(settle_ds)
    }

    /// Blocked requests since the last one that passed, and over how long, tenths of a second.
    pub const fn blocked_streak(&self) -> (u32, u32) {
        (self.blocked as u32, self.last_ds.saturating_sub(self.blocked_since_ds))
    }

    /// How often it has been banned.
    pub const fn bans(&self) -> u8 {
        self.bans
    }

    /// Notes a ban; the streak of blocked requests starts over.
    pub const fn note_ban(&mut self) {
        self.bans = self.bans.saturating_add(1);
        self.blocked = 0;
    }
}

const _: () = assert!(size_of::<SourceState>() == 48);

/// A finished window of one source: how many requests it held.
pub type FinishedWindow = Option<u32>;

/// The table. Memory is fixed: `slots` × 48 bytes.
#[derive(Debug)]
pub struct Sources {
    slots: Vec<SourceState>,
    mask: usize,
    used: usize,
    evicted: u64,
}

impl Sources {
    /// A table of at least `slots` places, rounded up to a power of two.
    pub fn new(slots: usize) -> Self {
        let slots = slots.next_power_of_two().max(WAYS);
        Sources {
            slots: vec![SourceState::default(); slots],
            mask: slots / WAYS - 1,
            used: 0,
            evicted: 0,
        }
    }

    fn set(&self, key: u64) -> std::ops::Range<usize> {
        let start = (mix(key) as usize & self.mask) * WAYS;
        start..start + WAYS
    }

    /// The state of the source with `key`.
    pub fn find(&self, key: u64) -> Option<&SourceState> {
        self.slots[self.set(key)].iter().find(|s| s.first_ds != 0 && s.key == key)
    }

    /// Places in use, places in all, and sources forgotten because their set was full.
    pub const fn occupancy(&self) -> (usize, usize, u64) {
        (self.used, self.slots.len(), self.evicted)
    }

    /// Takes in an observation at `now_ds` (from 1). Returns the source's state and, if a counting
    /// window of it ended, how many requests that window held.
    pub fn observe(
        &mut self,
        observation: &Observation,
        now_ds: u32,
    ) -> (&mut SourceState, FinishedWindow) {
        let slot = self.slot_for(observation.source.key(), now_ds);
        let state = &mut self.slots[slot];
        if now_ds.saturating_sub(state.last_ds) > STREAK_GAP_DS {
            state.blocked = 0;
        }
        state.last_ds = now_ds;
        note_page_answer(state, observation, now_ds);
        if observation.stage == Stage::Finished {
            return (state, None);
        }
        note_follow_up(state, observation, now_ds);
        note_cookie(state, observation);
        match observation.handling {
            Handling::Blocked(_) => {
                if state.blocked == 0 {
                    state.blocked_since_ds = now_ds;
                }
                state.blocked = state.blocked.saturating_add(1);
            }
            handling if handling.passed() => {
                state.blocked = 0;
            }
            _ => {}
        }
        let mut finished = None;
        if now_ds >= state.window_ds.saturating_add(WINDOW_DS) {
            finished = (state.window_count > 0).then_some(state.window_count);
            state.window_ds = now_ds;
            state.window_count = 0;
        }
        state.window_count += 1;
        (state, finished)
    }

    fn slot_for(&mut self, key: u64, now_ds: u32) -> usize {
        let set = self.set(key);
        let mut oldest = set.start;
        for index in set {
            let state = &self.slots[index];
            if state.first_ds != 0 && state.key == key {
                return index;
            }
            if state.last_ds < self.slots[oldest].last_ds {
                oldest = index;
            }
        }
        if self.slots[oldest].first_ds == 0 {
            self.used += 1;
        } else {
            self.evicted += 1;
        }
        self.slots[oldest] =
            SourceState { key, first_ds: now_ds, window_ds: now_ds, ..SourceState::default() };
        oldest
    }
}

fn note_page_answer(state: &mut SourceState, observation: &Observation, now_ds: u32) {
    let answered = observation
        .outcome
        .is_some_and(|o| (200..400).contains(&o.status) && observation.handling.passed());
    if answered && observation.kind == RequestKind::Page && state.page_done_ds == 0 {
        state.page_done_ds = now_ds;
    }
}

fn note_follow_up(state: &mut SourceState, observation: &Observation, now_ds: u32) {
    if observation.kind == RequestKind::Page {
        state.page_asked_ds = now_ds;
        state.follow_ups = 0;
        state.prompted = false;
        return;
    }
    let recent = state.page_asked_ds > 0 && now_ds - state.page_asked_ds <= FOLLOW_UP_DS;
    state.prompted = recent && state.follow_ups < FOLLOW_UPS_MAX;
    state.follow_ups = state.follow_ups.saturating_add(1);
    if recent && observation.kind == RequestKind::Asset {
        state.engaged = true;
        state.engaged_agent = agent_tag(observation);
    }
}

fn note_cookie(state: &mut SourceState, observation: &Observation) {
    match observation.attrs[Attr::CookieState] {
        ValueId::UNKNOWN => {}
        ValueId::ABSENT if state.cookie == Cookie::Untold => state.cookie = Cookie::Without,
        ValueId::ABSENT => {}
        _ if state.cookie == Cookie::Without => state.cookie = Cookie::Brought,
        _ => {}
    }
}

/// What is kept of a user agent: the low half of its id.
pub fn agent_tag(observation: &Observation) -> u32 {
    observation.attrs[Attr::UserAgent].0 as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{Attrs, Outcome, RuleId, Source};

    fn observation(n: u32, kind: RequestKind, handling: Handling) -> Observation {
        Observation {
            at_ms: 0,
            source: Source::new(std::net::Ipv4Addr::from(n).into()),
            attrs: Attrs::default(),
            kind,
            handling,
            stage: Stage::Whole,
            outcome: Some(Outcome { status: 200, ..Outcome::default() }),
            handshake: true,
        }
    }

    #[test]
    fn a_page_then_an_asset_is_a_browser_and_an_asset_alone_is_not() {
        let mut sources = Sources::new(64);
        let page = observation(1, RequestKind::Page, Handling::Passed);
        let asset = observation(1, RequestKind::Asset, Handling::Passed);
        let lone = observation(2, RequestKind::Asset, Handling::Passed);
        assert!(!sources.observe(&page, 10).0.engaged());
        assert!(sources.observe(&asset, 12).0.engaged());
        assert!(!sources.observe(&lone, 12).0.engaged());
    }

    #[test]
    fn what_a_page_asks_for_is_prompted_and_a_flood_of_it_is_not() {
        let mut sources = Sources::new(64);
        let page = observation(1, RequestKind::Page, Handling::Passed);
        let asset = observation(1, RequestKind::Asset, Handling::Passed);
        assert!(!sources.observe(&asset, 9).0.prompted(), "nobody asked for a page");
        assert!(!sources.observe(&page, 10).0.prompted());
        for _ in 0..FOLLOW_UPS_MAX {
            assert!(sources.observe(&asset, 11).0.prompted());
        }
        assert!(!sources.observe(&asset, 12).0.prompted(), "no page asks for so much");
        sources.observe(&page, 20);
        assert!(!sources.observe(&asset, 20 + FOLLOW_UP_DS + 1).0.prompted(), "much later");
    }

    #[test]
    fn a_bot_behind_a_visitors_address_does_not_share_his_good_name() {
        let mut sources = Sources::new(64);
        sources.observe(&observation(1, RequestKind::Page, Handling::Passed), 10);
        sources.observe(&observation(1, RequestKind::Asset, Handling::Passed), 11);
        let mut bot = observation(1, RequestKind::Page, Handling::Passed);
        bot.attrs[Attr::UserAgent] = floodwall_model::ValueId(99);
        assert!(!sources.observe(&bot, 12).0.engaged_as(&bot));
    }

    #[test]
    fn a_visitor_proves_himself_by_staying_or_by_the_cookie_he_was_given() {
        let check = |with_assets: bool, cookies: &[ValueId], until_ds: u32, expected: bool| {
            let mut sources = Sources::new(64);
            let mut seen = observation(1, RequestKind::Page, Handling::Passed);
            for (n, cookie) in cookies.iter().enumerate() {
                seen.attrs[Attr::CookieState] = *cookie;
                seen.kind = RequestKind::Page;
                sources.observe(&seen, 10 + n as u32);
                if with_assets {
                    seen.kind = RequestKind::Asset;
                    sources.observe(&seen, 11 + n as u32);
                }
            }
            let state = sources.observe(&seen, until_ds).0;
            let agent = seen.attrs[Attr::UserAgent];
            assert_eq!(state.proved_itself(agent), expected, "{cookies:?} until {until_ds}");
            assert!(!state.proved_itself(ValueId(77)), "another agent did not");
        };
        let (none, one) = (ValueId::ABSENT, ValueId(9));
        check(true, &[none, one], 20, true);
        check(true, &[none, none], 20, false);
        check(true, &[none], 6_100, true);
        check(true, &[one, one], 20, false);
        check(true, &[ValueId::UNKNOWN, one], 20, false);
        check(false, &[none, one], 6_100, false);
    }

    #[test]
    fn windows_of_ten_seconds_are_reported_once() {
        let mut sources = Sources::new(64);
        let page = observation(1, RequestKind::Page, Handling::Passed);
        for ds in 1..=100 {
            assert_eq!(sources.observe(&page, ds).1, None);
        }
        assert_eq!(sources.observe(&page, 101).1, Some(100));
        assert_eq!(sources.observe(&page, 102).1, None);
    }

    #[test]
    fn a_request_that_passes_ends_the_streak_of_blocked_ones() {
        let mut sources = Sources::new(64);
        let blocked = observation(1, RequestKind::Page, Handling::Blocked(RuleId(1)));
        for ds in [10, 20, 30] {
            sources.observe(&blocked, ds);
        }
        assert_eq!(sources.find(blocked.source.key()).unwrap().blocked_streak(), (3, 20));
        sources.observe(&observation(1, RequestKind::Page, Handling::Passed), 40);
        assert_eq!(sources.find(blocked.source.key()).unwrap().blocked_streak().0, 0);
    }

    /// Four blocked requests over six seconds are a ban's schedule; three on Monday and one on Tuesday
    /// were one, too.
    #[test]
    fn blocked_requests_hours_apart_are_no_streak() {
        let mut sources = Sources::new(64);
        let blocked = observation(1, RequestKind::Page, Handling::Blocked(RuleId(1)));
        for hour in 0..10 {
            let (state, _) = sources.observe(&blocked, 10 + hour * 36_000);
            assert_eq!(state.blocked_streak().0, 1, "hour {hour}");
        }
    }

    #[test]
    fn a_full_table_forgets_the_longest_unused_and_counts_it() {
        let mut sources = Sources::new(4);
        for n in 1..=5u32 {
            sources.observe(&observation(n, RequestKind::Page, Handling::Passed), n);
        }
        assert_eq!(sources.occupancy(), (4, 4, 1));
        let key = |n: u32| Source::new(std::net::Ipv4Addr::from(n).into()).key();
        assert!(sources.find(key(1)).is_none());
        assert!(sources.find(key(5)).is_some());
    }
}
