//! One visit, as a state machine: a page, what the page needs, a pause, the next page.
//!
//! It holds no clock. Whoever drives it says when each answer arrived, in virtual or in real time,
//! and is told what to send next and when. It never sends what a page needs before the page was
//! answered: that order is one of the things that tell people from floods.

use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;
use floodwall_model::RequestKind;

use crate::chance::{exponential_ms, happens};
use crate::profile::{ClientClass, ClientProfile, Context, Target};
use crate::request::{Label, Planned, RequestSpec, Text};
use crate::site::{Freshness, Site};
use crate::who::Who;

/// Most pages one visit looks at.
pub const VIEWS_MAX: u32 = 6;
/// How often a person reloads a page that failed before leaving.
const RELOADS_MAX: u32 = 2;
/// Shortest pause between two pages, ms.
const THINK_MS_MIN: f64 = 2_000.0;
/// Longest pause between two pages, ms.
const THINK_MS_MAX: f64 = 15_000.0;
/// Mean of the exponential part of the pause, ms.
const THINK_MS_MEAN_BEYOND_MIN: f64 = 5_000.0;
/// How often an open page asks for fresh data, ms.
const POLL_EVERY_MS: u64 = 5_000;

/// Who visits, and what he keeps between visits.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Address he comes from.
    pub source: IpAddr,
    /// His client.
    pub profile: ClientProfile,
    /// Cookie the site gave him, `name=value`.
    pub cookie: Option<Text>,
    /// Bit per asset of the site that his client holds.
    pub held: u64,
    /// His groups, for the score.
    pub who: Who,
}

/// How the request sent last was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When the answer was complete, ms.
    pub at_ms: u64,
    /// Whether it was what he wanted: 2xx or 3xx, whole.
    pub ok: bool,
    /// Cookie the site set, `name=value`.
    pub cookie: Option<Text>,
}

impl Answer {
    /// A good answer without a cookie.
    pub const fn ok(at_ms: u64) -> Self {
        Answer { at_ms, ok: true, cookie: None }
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this at its time, then call [`Session::next`] with its answer.
    Send(Planned),
    /// The visit is over.
    Done,
}

/// How a visit goes, apart from who makes it.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Page he lands on; `None`: any, as popular as it is.
    pub landing: Option<usize>,
    /// Chance that one page is followed by another.
    pub stays: f64,
    /// Chance that the next page is the landing page again.
    pub returns_to_landing: f64,
    /// Chance that he comes by a link on a social network; else by a search or by himself.
    pub social: f64,
}

/// One visit.
#[derive(Debug)]
pub struct Session {
    id: u64,
    label: Label,
    site: Arc<Site>,
    host: Text,
    visitor: Visitor,
    outline: Outline,
    rng: Rng,
    state: State,
    /// Computed ahead of its turn, when the visit began before the scene did.
    ahead: Option<Intent>,
    views: u32,
    page: usize,
    query: Option<Text>,
    /// Address of the page in the window.
    url: Option<Text>,
    referer: Option<Text>,
    /// What the page in the window still needs, last first.
    fetches: Vec<Intent>,
    next_page_at_ms: u64,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum State {
    Arriving { at_ms: u64 },
    AwaitingPage { reloads: u32 },
    Fetching { last: What },
    Over,
}

#[derive(Copy, Clone, Debug)]
struct Intent {
    at_ms: u64,
    what: What,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum What {
    Page,
    Feed,
    Asset(usize),
    Data(&'static str),
}

/// What programs ask the site's interface for.
const INTERFACE: &str = "/api/count.json";

impl Session {
    /// A visit that begins at `at_ms`. `id` is unique within its stream.
    pub fn new(
        id: u64,
        at_ms: u64,
        label: Label,
        site: Arc<Site>,
        visitor: Visitor,
        outline: Outline,
        rng: Rng,
    ) -> Self {
        let host = Text::from(site.host.clone());
        Session {
            id,
            label,
            site,
            host,
            visitor,
            outline,
            rng,
            state: State::Arriving { at_ms },
            ahead: None,
            views: 0,
            page: 0,
            query: None,
            url: None,
            referer: None,
            fetches: Vec::new(),
            next_page_at_ms: 0,
        }
    }

    /// The source address.
    pub fn source(&self) -> IpAddr {
        self.visitor.source
    }

    /// Who it really is.
    pub fn label(&self) -> Label {
        self.label
    }

    /// When its first request is due, ms.
    pub fn starts_at_ms(&self) -> u64 {
        match (&self.ahead, self.state) {
            (Some(intent), _) => intent.at_ms,
            (None, State::Arriving { at_ms }) => at_ms,
            (None, _) => 0,
        }
    }

    /// The visitor with what he has got, for his next visit.
    pub fn into_visitor(self) -> Visitor {
        self.visitor
    }

    /// Lives through everything before `start_ms` with answers that come at once. `false` if the
    /// visit is over by then.
    pub fn catch_up(&mut self, start_ms: u64) -> bool {
        let mut answer = Answer::ok(0);
        while let Some(intent) = self.intend(&answer) {
            if intent.at_ms >= start_ms {
                self.ahead = Some(intent);
                return true;
            }
            answer.at_ms = intent.at_ms;
        }
        false
    }

    /// Moves everything still to come `by_ms` earlier. Only before the first [`Session::next`].
    pub(crate) fn shift_earlier(&mut self, by_ms: u64) {
        let intents = self.ahead.iter_mut().chain(&mut self.fetches);
        intents.for_each(|intent| intent.at_ms = intent.at_ms.saturating_sub(by_ms));
        self.next_page_at_ms = self.next_page_at_ms.saturating_sub(by_ms);
        if let State::Arriving { at_ms } = &mut self.state {
            *at_ms = at_ms.saturating_sub(by_ms);
        }
    }

    /// How many requests the visit makes before `end_ms` if all goes well. Uses the visit up.
    pub fn count_requests(mut self, end_ms: u64) -> u64 {
        let (mut count, mut answer) = (0, Answer::ok(0));
        while let Some(intent) = self.intend(&answer) {
            count += u64::from(intent.at_ms < end_ms);
            answer.at_ms = intent.at_ms;
        }
        count
    }

    /// What to do after `answer` to the request sent last. The answer given at the first call is
    /// ignored. Requests for what a page needs come one by one, but their times count from the
    /// page's answer, not from each other's.
    pub fn next(&mut self, answer: &Answer) -> Step {
        let intent = match self.ahead.take() {
            Some(intent) => Some(intent),
            None => self.intend(answer),
        };
        intent.map_or(Step::Done, |intent| Step::Send(self.plan(intent)))
    }

    fn intend(&mut self, answer: &Answer) -> Option<Intent> {
        match self.state {
            State::Arriving { at_ms } => Some(self.arrive(at_ms)),
            State::AwaitingPage { reloads } if !answer.ok => self.reload_or_leave(answer, reloads),
            State::AwaitingPage { .. } => {
                self.read_page(answer);
                self.fetch_or_move_on(answer.at_ms)
            }
            State::Fetching { last } => {
                if let (What::Asset(asset), true) = (last, answer.ok) {
                    self.visitor.held |= 1 << asset;
                }
                self.fetch_or_move_on(answer.at_ms)
            }
            State::Over => None,
        }
    }

    fn arrive(&mut self, at_ms: u64) -> Intent {
        let class = self.class();
        if class == ClientClass::FeedReader {
            self.state = State::AwaitingPage { reloads: RELOADS_MAX };
            return Intent { at_ms, what: What::Feed };
        }
        if class == ClientClass::ApiClient {
            return self.poll_interface(at_ms);
        }
        let front = class == ClientClass::Monitor || happens(&mut self.rng, 0.35);
        self.page = match self.outline.landing {
            Some(page) => page,
            None if front => 0,
            None => self.site.draw_page(&mut self.rng),
        };
        if matches!(class, ClientClass::Browser | ClientClass::TextBrowser) {
            self.referer = self.arrives_from();
        }
        self.open_page(at_ms)
    }

    /// A program asks at even intervals and nothing else.
    fn poll_interface(&mut self, at_ms: u64) -> Intent {
        let every_ms = self.rng.u64(1..=4) * POLL_EVERY_MS;
        let times = self.rng.u64(2..=6);
        for poll in 1..times {
            let at_ms = at_ms + poll * every_ms;
            self.fetches.push(Intent { at_ms, what: What::Data(INTERFACE) });
        }
        self.fetches.reverse();
        self.views = VIEWS_MAX;
        let what = What::Data(INTERFACE);
        self.state = State::Fetching { last: what };
        Intent { at_ms, what }
    }

    fn arrives_from(&mut self) -> Option<Text> {
        const SEARCH: [&str; 4] = [
            "https://www.google.com/",
            "https://www.google.co.uk/",
            "https://duckduckgo.com/",
            "https://www.bing.com/",
        ];
        const SOCIAL: [&str; 5] = [
            "https://l.facebook.com/",
            "https://www.facebook.com/",
            "https://t.co/",
            "https://www.reddit.com/",
            "https://l.instagram.com/",
        ];
        if happens(&mut self.rng, self.outline.social) {
            Some(SOCIAL[self.rng.usize(..SOCIAL.len())].into())
        } else if happens(&mut self.rng, 0.5) {
            // The first is by far the most used.
            let which = self.rng.usize(..SEARCH.len()).min(self.rng.usize(..SEARCH.len()));
            Some(SEARCH[which].into())
        } else {
            None
        }
    }

    /// Sets the window to the page chosen and asks for it.
    fn open_page(&mut self, at_ms: u64) -> Intent {
        self.views += 1;
        self.query = self.site.draw_query(self.page, &mut self.rng);
        let path = &self.site.pages[self.page].path;
        let host = &self.site.host;
        self.url = Some(match &self.query {
            Some(query) => format!("https://{host}{path}?{}", query.as_str()).into(),
            None => format!("https://{host}{path}").into(),
        });
        self.state = State::AwaitingPage { reloads: 0 };
        Intent { at_ms, what: What::Page }
    }

    fn reload_or_leave(&mut self, answer: &Answer, reloads: u32) -> Option<Intent> {
        let person = matches!(self.class(), ClientClass::Browser | ClientClass::TextBrowser);
        if !person || reloads >= RELOADS_MAX || happens(&mut self.rng, 0.5) {
            self.state = State::Over;
            return None;
        }
        self.state = State::AwaitingPage { reloads: reloads + 1 };
        Some(Intent { at_ms: answer.at_ms + self.rng.u64(2_000..6_000), what: What::Page })
    }

    /// Takes the cookie, lists what the page needs, decides how long it is read.
    fn read_page(&mut self, answer: &Answer) {
        let class = self.class();
        if class == ClientClass::FeedReader {
            self.views = VIEWS_MAX;
            return;
        }
        if matches!(class, ClientClass::Browser | ClientClass::TextBrowser) {
            if let Some(cookie) = &answer.cookie {
                self.visitor.cookie = Some(cookie.clone());
            } else if self.visitor.cookie.is_none() {
                self.visitor.cookie = Some(format!("sid={:016x}", self.rng.u64(..)).into());
            }
        }
        let beyond = exponential_ms(&mut self.rng, THINK_MS_MEAN_BEYOND_MIN);
        let think_ms = (THINK_MS_MIN + beyond).min(THINK_MS_MAX) as u64;
        self.next_page_at_ms = answer.at_ms + think_ms;
        if class == ClientClass::Browser {
            self.list_fetches(answer.at_ms, think_ms);
        }
    }

    fn list_fetches(&mut self, answered_ms: u64, think_ms: u64) {
        let page = &self.site.pages[self.page];
        // Parsing the head of the page, then one request close upon the other.
        let mut at_ms = answered_ms as f64 + 8.0 + exponential_ms(&mut self.rng, 20.0);
        for asset in &page.assets {
            let held = self.visitor.held & (1 << asset) != 0;
            if held && self.site.assets[*asset].freshness == Freshness::Immutable {
                continue;
            }
            let what = What::Asset(*asset);
            self.fetches.push(Intent { at_ms: at_ms as u64, what });
            at_ms += exponential_ms(&mut self.rng, 9.0);
        }
        if let Some(path) = page.poll {
            for poll in 1..=think_ms / POLL_EVERY_MS {
                let at_ms = answered_ms + poll * POLL_EVERY_MS;
                self.fetches.push(Intent { at_ms, what: What::Data(path) });
            }
        }
        self.fetches.sort_by_key(|intent| std::cmp::Reverse(intent.at_ms));
    }

    fn fetch_or_move_on(&mut self, answered_ms: u64) -> Option<Intent> {
        if let Some(intent) = self.fetches.pop() {
            self.state = State::Fetching { last: intent.what };
            return Some(intent);
        }
        let one_page = matches!(
            self.class(),
            ClientClass::Monitor | ClientClass::LinkPreview | ClientClass::Tool
        );
        if one_page || self.views >= VIEWS_MAX || !happens(&mut self.rng, self.outline.stays) {
            self.state = State::Over;
            return None;
        }
        self.page = match self.outline.landing {
            Some(page) if happens(&mut self.rng, self.outline.returns_to_landing) => page,
            _ => self.site.draw_page(&mut self.rng),
        };
        self.referer = match self.class() {
            ClientClass::Browser | ClientClass::TextBrowser => self.url.clone(),
            _ => None,
        };
        Some(self.open_page(self.next_page_at_ms.max(answered_ms)))
    }

    fn plan(&self, intent: Intent) -> Planned {
        let path = match intent.what {
            What::Page => self.site.pages[self.page].path.clone().into(),
            What::Feed => Text::Fixed(self.site.feed),
            What::Asset(asset) => self.site.assets[asset].path.clone().into(),
            What::Data(path) => Text::Fixed(path),
        };
        let (target, kind) = match intent.what {
            What::Page => (Target::Document, RequestKind::Page),
            What::Feed => (Target::Feed, RequestKind::Other),
            What::Asset(asset) => (self.site.assets[asset].target, RequestKind::Asset),
            What::Data(_) => (Target::Data, RequestKind::Other),
        };
        let page = intent.what == What::Page;
        let own_page = |url: &Text| url.as_str().contains(&self.site.host);
        let etag = match intent.what {
            What::Asset(asset) if self.visitor.held & (1 << asset) != 0 => {
                Some(self.site.assets[asset].etag.clone().into())
            }
            _ => None,
        };
        let context = Context {
            target,
            host: &self.host,
            referer: if page { self.referer.clone() } else { self.url.clone() },
            from_this_site: !page || self.referer.as_ref().is_some_and(own_page),
            cookie: self.visitor.cookie.clone(),
            etag,
        };
        let request = RequestSpec {
            method: "GET",
            path,
            query: if page { self.query.clone() } else { None },
            version: "HTTP/1.1",
            headers: self.visitor.profile.headers(&context),
        };
        Planned {
            at_ms: intent.at_ms,
            source: self.visitor.source,
            request,
            kind,
            label: self.label,
            page_view: self.id * u64::from(VIEWS_MAX + 1) + u64::from(self.views),
            who: self.visitor.who,
            wave: 0,
        }
    }

    fn class(&self) -> ClientClass {
        self.visitor.profile.implementation.class
    }
}

#[cfg(test)]
mod tests;
