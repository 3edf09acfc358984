//! Who arrives when: everyday visitors, and crowds.
//!
//! Visits begin as a Poisson process whose rate is chosen so that *requests* come at the rate asked
//! for. A crowd is the same thing with another rate, another landing page and more telephones:
//! there is no second model of honest people that could differ from the first.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;

use crate::address::AddressPool;
use crate::browsers::unseen_webview;
use crate::chance::{Weighted, exponential_ms, happens, stream};
use crate::mix::{ClientMix, MixConfig};
use crate::profile::{ClientClass, Implementation};
use crate::request::{Label, Text};
use crate::rhythm::{BrowserUpdate, Rhythm};
use crate::session::{Outline, Session, VIEWS_MAX, Visitor};
use crate::site::Site;
use crate::who::Who;

/// Visitors remembered for a later visit. When full: the one who left longest ago is forgotten;
/// counted in [`SessionArrivals::visitors_forgotten`].
pub const VISITORS_REMEMBERED_MAX: usize = 4_096;
/// How far back visits may have begun that are still going on when the scene starts, ms. Beyond
/// it (six pages, fifteen seconds each) hardly any visit lasts.
const WARM_MS: u64 = 60_000;
/// A visitor stays away at least this long, ms.
const AWAY_MS_MIN: u64 = 20_000;
/// A crowd is judged by its first moments: only what a visit sends this soon counts towards its
/// rate, ms. What visits send later comes on top, at most a tenth.
const CROWD_WITHIN_MS: u64 = 10_000;
/// Visits looked at to learn how many requests a visit makes.
const VISITS_SAMPLED: u32 = 1_500;

/// What kind of visitors, and how many.
#[derive(Clone, Debug)]
pub struct VisitorsConfig {
    /// Requests per second, on average, once under way.
    pub rps: f64,
    /// When the scene starts, ms.
    pub start_ms: u64,
    /// When nobody arrives any more, ms. Visits begun before go on.
    pub end_ms: u64,
    /// Time over which the rate of arrivals rises from nothing, ms.
    pub ramp_ms: u64,
    /// Whether visits were already going on when the scene starts.
    pub warm: bool,
    /// Who they are.
    pub label: Label,
    /// Their clients.
    pub mix: MixConfig,
    /// Instead of `mix`: one software for all.
    pub single: Option<Implementation>,
    /// Share who were here before.
    pub returning: f64,
    /// Share who come from an address that others use too.
    pub shared: f64,
    /// How many such addresses there are.
    pub shared_addresses: usize,
    /// Path of the page all land on.
    pub landing: Option<String>,
    /// Chance that one page is followed by another.
    pub stays: f64,
    /// How the rate of arrivals changes; `None`: not at all.
    pub rhythm: Option<Rhythm>,
    /// A release of the most used browser that comes out during the scene.
    pub update: Option<BrowserUpdate>,
}

impl VisitorsConfig {
    /// An ordinary day at `rps` requests a second.
    pub fn honest(rps: f64) -> Self {
        VisitorsConfig {
            rps,
            start_ms: 0,
            end_ms: u64::MAX,
            ramp_ms: 0,
            warm: true,
            label: Label::Honest,
            mix: MixConfig::default(),
            single: None,
            returning: 0.35,
            shared: 0.12,
            shared_addresses: 60,
            landing: None,
            stays: 0.6,
            rhythm: None,
            update: None,
        }
    }

    /// A crowd at one page: `rps` requests a second after a ramp of five seconds.
    pub fn crowd(rps: f64, landing: &str) -> Self {
        VisitorsConfig {
            ramp_ms: 5_000,
            warm: false,
            label: Label::Crowd,
            mix: MixConfig::crowd(),
            returning: 0.12,
            shared: 0.15,
            shared_addresses: 400,
            landing: Some(landing.to_owned()),
            stays: 0.3,
            ..VisitorsConfig::honest(rps)
        }
    }

    /// The crowd that a push message brings: all through one app that was never seen before.
    pub fn push_crowd(rps: f64, landing: &str, seed: u64) -> Self {
        let mut rng = stream(seed, 0x7075_7368);
        let single = Some(unseen_webview(rng.u32(136..=142), rng.u32(1_000..9_999)));
        VisitorsConfig { single, ..VisitorsConfig::crowd(rps, landing) }
    }
}

/// The stream of visits, in the order they begin.
#[derive(Debug)]
pub struct SessionArrivals {
    config: VisitorsConfig,
    site: Arc<Site>,
    mix: ClientMix,
    outline: Outline,
    addresses: AddressPool,
    shared: Weighted<IpAddr>,
    machines: [(ClientClass, Vec<IpAddr>); 6],
    rng: Rng,
    next_id: u64,
    requests_per_visit: f64,
    mean_gap_ms: f64,
    clock_ms: f64,
    /// Visits under way when the scene starts, the first to send last.
    warm: Vec<Session>,
    upcoming: Option<Session>,
    remembered: VecDeque<(u64, Visitor)>,
    forgotten: u64,
}

impl SessionArrivals {
    /// Visits to `site` from `addresses`. One `seed` gives one history.
    pub fn new(
        config: VisitorsConfig,
        site: Arc<Site>,
        addresses: &AddressPool,
        seed: u64,
    ) -> Self {
        let mut rng = stream(seed, config.label as u64);
        let mix = match &config.single {
            Some(single) => ClientMix::single(single.clone()),
            None => ClientMix::everyday(&config.mix, seed),
        };
        let outline = Outline {
            landing: config.landing.as_deref().and_then(|path| site.landing(path)),
            stays: config.stays,
            returns_to_landing: 0.5,
            social: if config.label == Label::Crowd { 0.55 } else { 0.25 },
        };
        let shared = (0..config.shared_addresses.max(1))
            .map(|rank| (addresses.draw(&mut rng), (1.0 + rank as f64).powf(-0.7)));
        let shared = Weighted::new(shared.collect::<Vec<_>>()).expect("at least one, above zero");
        // How many addresses each kind of machine uses.
        let machines = [
            (ClientClass::FeedReader, 30),
            (ClientClass::SearchBot, 12),
            (ClientClass::LinkPreview, 10),
            (ClientClass::Monitor, 5),
            (ClientClass::Tool, 6),
            (ClientClass::ApiClient, 40),
        ]
        .map(|(class, count)| {
            (class, (0..count).map(|_| addresses.draw(&mut rng)).collect::<Vec<_>>())
        });
        let clock_ms = config.start_ms as f64;
        let mut arrivals = SessionArrivals {
            config,
            site,
            mix,
            outline,
            addresses: addresses.clone(),
            shared,
            machines,
            rng,
            next_id: 0,
            requests_per_visit: 1.0,
            mean_gap_ms: f64::INFINITY,
            clock_ms,
            warm: Vec::new(),
            upcoming: None,
            remembered: VecDeque::new(),
            forgotten: 0,
        };
        arrivals.learn_rate();
        if arrivals.config.warm {
            arrivals.begin_warm();
        }
        arrivals.upcoming = arrivals.arrive();
        arrivals
    }

    /// The next visit to begin; `None` after the end of the scene.
    pub fn next_session(&mut self) -> Option<Session> {
        let warm_ms = self.warm.last().map(Session::starts_at_ms);
        let fresh_ms = self.upcoming.as_ref().map(Session::starts_at_ms);
        match (warm_ms, fresh_ms) {
            (Some(warm), fresh) if fresh.is_none_or(|fresh| warm <= fresh) => self.warm.pop(),
            _ => {
                let session = self.upcoming.take()?;
                self.upcoming = self.arrive();
                Some(session)
            }
        }
    }

    /// When the next visit begins, ms.
    pub fn next_at_ms(&self) -> Option<u64> {
        let warm = self.warm.last().map(Session::starts_at_ms);
        let fresh = self.upcoming.as_ref().map(Session::starts_at_ms);
        warm.into_iter().chain(fresh).min()
    }

    /// Keeps the visitor of a visit that ended at `now_ms` for a later one.
    pub fn remember(&mut self, session: Session, now_ms: u64) {
        let visitor = session.into_visitor();
        if visitor.profile.implementation.class != ClientClass::Browser {
            return;
        }
        if self.remembered.len() >= VISITORS_REMEMBERED_MAX {
            self.remembered.pop_front();
            self.forgotten += 1;
        }
        self.remembered.push_back((now_ms, visitor));
    }

    /// Visitors that were forgotten for want of room.
    pub fn visitors_forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Requests a visit makes on average, as far as they count towards the rate.
    pub fn requests_per_visit(&self) -> f64 {
        self.requests_per_visit
    }

    /// The clients' mix, for attackers that copy it.
    pub fn mix(&self) -> &ClientMix {
        &self.mix
    }

    fn learn_rate(&mut self) {
        let mut rng = self.rng.fork();
        std::mem::swap(&mut rng, &mut self.rng);
        let within_ms = if self.config.warm { u64::MAX } else { CROWD_WITHIN_MS };
        let total: u64 =
            (0..VISITS_SAMPLED).map(|_| self.session(0).count_requests(within_ms)).sum();
        std::mem::swap(&mut rng, &mut self.rng);
        self.next_id = 0;
        self.requests_per_visit = total as f64 / f64::from(VISITS_SAMPLED);
        self.mean_gap_ms = 1_000.0 * self.requests_per_visit / self.config.rps.max(1e-6);
    }

    fn begin_warm(&mut self) {
        let start_ms = self.config.start_ms;
        let mut ago_ms = 0.0;
        loop {
            ago_ms += exponential_ms(&mut self.rng, self.mean_gap_ms);
            if ago_ms > WARM_MS as f64 {
                break;
            }
            // Shifted so that the past is not before zero.
            let mut session = self.session(start_ms + WARM_MS - ago_ms as u64);
            if session.catch_up(start_ms + WARM_MS) {
                session.shift_earlier(WARM_MS);
                self.warm.push(session);
            }
        }
        self.warm.sort_by_key(|session| std::cmp::Reverse(session.starts_at_ms()));
    }

    /// The next arrival by thinning (Lewis and Shedler 1979): candidates come at the full rate and
    /// are kept with the share of it that the ramp has reached.
    fn arrive(&mut self) -> Option<Session> {
        loop {
            let rhythm = self.config.rhythm.as_ref();
            let peak = rhythm.map_or(1.0, Rhythm::peak);
            self.clock_ms += exponential_ms(&mut self.rng, self.mean_gap_ms / peak);
            if self.clock_ms >= self.config.end_ms as f64 {
                return None;
            }
            let since_ms = self.clock_ms - self.config.start_ms as f64;
            let factor = rhythm.map_or(1.0, |rhythm| rhythm.factor(since_ms));
            if factor < peak && !happens(&mut self.rng, factor / peak) {
                continue;
            }
            if self.config.ramp_ms == 0
                || happens(&mut self.rng, since_ms / self.config.ramp_ms as f64)
            {
                return Some(self.session(self.clock_ms as u64));
            }
        }
    }

    fn session(&mut self, at_ms: u64) -> Session {
        let visitor = self.visitor(at_ms);
        self.next_id += 1;
        let site = Arc::clone(&self.site);
        let (label, outline) = (self.config.label, self.outline.clone());
        Session::new(self.next_id, at_ms, label, site, visitor, outline, self.rng.fork())
    }

    fn visitor(&mut self, at_ms: u64) -> Visitor {
        let returning = happens(&mut self.rng, self.config.returning);
        if returning
            && let Some((left_ms, _)) = self.remembered.front()
            && left_ms + AWAY_MS_MIN <= at_ms
            && let Some((_, visitor)) = self.remembered.pop_front()
        {
            let who = Who { returning: true, ..visitor.who };
            return Visitor { who, ..visitor };
        }
        let mut profile = self.mix.draw(&mut self.rng);
        if let Some(update) = &self.config.update {
            update.apply(&mut profile, at_ms, &mut self.rng);
        }
        let class = profile.implementation.class;
        let (source, shared) = self.source(class);
        let before = returning && class == ClientClass::Browser;
        let cookie = before.then(|| Text::from(format!("sid={:016x}", self.rng.u64(..))));
        // He was here before the scene began and still holds what he saw.
        let all_assets = u64::MAX >> (64 - self.site.assets.len().clamp(1, 64));
        let who = Who::of(&profile, shared, before);
        Visitor { source, profile, cookie, held: if before { all_assets } else { 0 }, who }
    }

    /// An address, and whether others use it too.
    fn source(&mut self, class: ClientClass) -> (IpAddr, bool) {
        if let Some((_, sources)) = self.machines.iter().find(|(of, _)| *of == class) {
            return (sources[self.rng.usize(..sources.len())], false);
        }
        if happens(&mut self.rng, self.config.shared) {
            return (*self.shared.draw(&mut self.rng), true);
        }
        (self.addresses.draw(&mut self.rng), false)
    }
}

// Page views are numbered by session id and view.
const _: () = assert!(VIEWS_MAX < 64);

#[cfg(test)]
mod tests;
