//! One attack as a stream of requests: how it looks, where it aims, from where, at what rate, and
//! what it does when it sees itself refused.
//!
//! Each of these is chosen by itself, so that every look can be tried at every pace. No source is
//! faster than the whole divided by the number of sources: what limits per source could see, the
//! caller decides by the number of sources.

mod pace;
mod replay;

use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;

use crate::address::AddressPool;
use crate::attack::{Disguise, Kit, RandomQuery, UrlPattern};
use crate::chance::stream;
use crate::mix::ClientMix;
use crate::profile::ClientProfile;
use crate::request::{Planned, Text};
use crate::site::{QueryKind, Site};
use crate::traffic::Traffic;

pub use pace::{Growth, Pace, Pulse};
pub use replay::Replay;

/// Sources at most. More are cut to it when the attack is made.
pub const SOURCES_MAX: usize = 65_536;
/// URL patterns at most that a carpet covers.
const PATTERNS_MAX: usize = 256;

/// What it asks for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Aim {
    /// The site's search with random words: the page that costs the origin most.
    Costly,
    /// Three popular patterns, the search among them.
    Pages,
    /// One popular page under a new address each time.
    CacheBust,
    /// The front page.
    Front,
    /// Every page alike.
    Carpet,
    /// Paths that nobody else asks for, most of which do not exist.
    Nowhere,
}

/// Where its sources are.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Addresses of this pool.
    Pool(AddressPool),
    /// A new /64 of this pool with every request.
    New64(AddressPool),
    /// A new host in one /64 of this pool with every request.
    NewHost(AddressPool),
}

/// An attack.
#[derive(Clone, Debug)]
pub struct AssaultConfig {
    /// How its clients look.
    pub disguise: Disguise,
    /// With [`Disguise::OneBrowser`]: the browser that most visitors use, to have them refused.
    pub most_used_browser: bool,
    /// What it asks for.
    pub aim: Aim,
    /// How many addresses, at most [`SOURCES_MAX`].
    pub sources: usize,
    /// Which.
    pub origin: Origin,
    /// When how much.
    pub pace: Pace,
    /// How soon after its first refusal it changes, ms; `None`: never.
    pub changes_after_ms: Option<(u64, u64)>,
    /// Host names it asks for; empty: the site's.
    pub hosts: Vec<Text>,
}

/// The attack under way.
#[derive(Debug)]
pub struct Assault {
    config: AssaultConfig,
    site: Arc<Site>,
    honest: ClientMix,
    kit: Kit,
    sources: Vec<(IpAddr, ClientProfile)>,
    turn: usize,
    rng: Rng,
    upcoming: Option<pace::Beat>,
    now_ms: u64,
    sent: u64,
    changes: u32,
    change_at_ms: Option<u64>,
}

impl Assault {
    /// The attack of `config` on `site`, copying from the `honest` mix as far as its look does.
    pub fn new(config: AssaultConfig, site: Arc<Site>, honest: &ClientMix, seed: u64) -> Self {
        let mut rng = stream(seed, 0x6173_7361);
        let kit = kit(&config, &site, honest, &mut rng);
        let mut assault = Assault {
            site,
            honest: honest.clone(),
            kit,
            sources: Vec::new(),
            turn: 0,
            rng,
            upcoming: None,
            now_ms: 0,
            sent: 0,
            changes: 0,
            change_at_ms: None,
            config,
        };
        assault.enlist();
        assault.upcoming = assault.config.pace.next(&mut assault.rng);
        assault
    }

    /// Draws the sources anew.
    fn enlist(&mut self) {
        let pool = self.config.origin.pool().clone();
        let count = self.config.sources.clamp(1, SOURCES_MAX);
        self.sources = (0..count)
            .map(|_| (pool.draw(&mut self.rng), self.kit.client(&mut self.rng)))
            .collect();
    }

    fn source(&mut self) -> (IpAddr, ClientProfile) {
        self.turn = (self.turn + 1) % self.sources.len();
        let (address, client) = &self.sources[self.turn];
        let address = match (&self.config.origin, address) {
            (Origin::Pool(_), address) | (_, address @ IpAddr::V4(_)) => *address,
            (Origin::New64(pool), _) => pool.draw(&mut self.rng),
            (Origin::NewHost(_), IpAddr::V6(_)) => {
                let (IpAddr::V6(home), host) = (self.sources[0].0, self.rng.u64(..)) else {
                    return (*address, client.clone());
                };
                let net = u128::from(home) >> 64 << 64;
                std::net::Ipv6Addr::from(net | u128::from(host)).into()
            }
        };
        (address, client.clone())
    }

    /// Takes up another technique: another tool, other pages, or both; sometimes other sources.
    fn change(&mut self) {
        let other = kit(&self.config, &self.site, &self.honest, &mut self.rng);
        self.kit = self.kit.changed(other, &mut self.rng);
        if self.rng.bool() {
            self.enlist();
        } else {
            for (_, client) in &mut self.sources {
                *client = self.kit.client(&mut self.rng);
            }
        }
        self.changes += 1;
        self.change_at_ms = None;
    }
}

impl Origin {
    fn pool(&self) -> &AddressPool {
        match self {
            Origin::Pool(pool) | Origin::New64(pool) | Origin::NewHost(pool) => pool,
        }
    }
}

impl Traffic for Assault {
    fn due_ms(&mut self) -> Option<u64> {
        self.upcoming.map(|beat| beat.at_ms)
    }

    fn take(&mut self) -> Option<Planned> {
        let beat = self.upcoming?;
        self.now_ms = beat.at_ms;
        if self.change_at_ms.is_some_and(|at_ms| at_ms <= beat.at_ms) {
            self.change();
        }
        self.upcoming = self.config.pace.next(&mut self.rng);
        self.sent += 1;
        let (source, client) = self.source();
        let planned = self.kit.planned(&client, source, beat.at_ms, self.sent, &mut self.rng);
        Some(Planned { wave: beat.wave + self.changes, ..planned })
    }

    fn told(&mut self, passed: bool) {
        let Some((soonest, latest)) = self.config.changes_after_ms else { return };
        if !passed && self.change_at_ms.is_none() {
            self.change_at_ms = Some(self.now_ms + self.rng.u64(soonest..=latest.max(soonest)));
        }
    }
}

fn kit(config: &AssaultConfig, site: &Site, honest: &ClientMix, rng: &mut Rng) -> Kit {
    let patterns = patterns(config.aim, site, rng);
    let kit = Kit::new(config.disguise, site, patterns, honest, rng);
    let kit = kit.with_hosts(config.hosts.clone());
    if config.most_used_browser { kit.with_most_used_browser(rng) } else { kit }
}

fn patterns(aim: Aim, site: &Site, rng: &mut Rng) -> Vec<UrlPattern> {
    let plain = |path: &str| UrlPattern { path: path.to_owned(), random_query: None };
    match aim {
        Aim::Costly => UrlPattern::drawn(site, 1, rng),
        Aim::Pages => UrlPattern::drawn(site, 3, rng),
        Aim::CacheBust => vec![UrlPattern::cache_bust(&site.pages[site.draw_page(rng)].path)],
        Aim::Front => vec![plain("/")],
        Aim::Carpet => site.pages.iter().take(PATTERNS_MAX).map(carpet).collect(),
        Aim::Nowhere => (0..PATTERNS_MAX)
            .map(|_| plain(&format!("/{}", crate::chance::word(rng, 3..=12))))
            .collect(),
    }
}

fn carpet(page: &crate::site::Page) -> UrlPattern {
    let key = page.query.map(|kind| match kind {
        QueryKind::Search => "q",
        QueryKind::PageNumber => "page",
    });
    let random_query = key.map(|key| RandomQuery {
        key: Some(key.to_owned()),
        letters_min: if key == "q" { 3 } else { 1 },
        letters_max: if key == "q" { 9 } else { 1 },
    });
    UrlPattern { path: page.path.clone(), random_query }
}

#[cfg(test)]
mod tests;
