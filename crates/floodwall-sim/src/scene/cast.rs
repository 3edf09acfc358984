//! From a scene and a seed to streams of requests and the moments that the score needs.

use std::sync::Arc;

use fastrand::Rng;
use floodwall_model::{Geography, Prefix};

use super::file::{AimSpec, AttackSpec, CrowdKind, CrowdSpec, From, Look};
use super::range::Range;
use super::{Recording, Scene};
use crate::address::{AddressPlan, AddressPool};
use crate::assault::{Aim, Assault, AssaultConfig, Growth, Origin, Pace, Pulse, Replay};
use crate::attack::Disguise;
use crate::browsers::CHROMIUM_VERSIONS;
use crate::chance::stream;
use crate::mix::{ClientMix, MixConfig};
use crate::open_loop::OpenLoop;
use crate::request::Text;
use crate::rhythm::{BrowserUpdate, Rhythm};
use crate::site::{RESULTS, Site};
use crate::traffic::Traffic;
use crate::visitors::{SessionArrivals, VisitorsConfig};
use crate::world::{AttackFrom, CrowdFrom, World};

/// Mean time until a request is answered, ms.
const ANSWER_MS: f64 = 40.0;
/// What one user behind a shared address sends, requests/s: a page with its parts every 5 minutes.
const USER_RPS: f64 = 0.03;
/// How long a scene goes on after the last of its events, s.
const TAIL_S: f64 = 5.0;
/// Share of those with the newest browser who get its update.
const UPDATED: f64 = 0.95;

/// When what happens, ms after the beginning of the past.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// The end of the quiet past.
    pub past_ends_ms: u64,
    /// The attack's first request at or after this time; what trickled before does not count.
    pub attack_ms: Option<u64>,
    /// No request of the attack at or after this time.
    pub attack_ends_ms: Option<u64>,
    /// The end.
    pub end_ms: u64,
}

/// Everybody in a scene.
pub struct Cast {
    /// Their requests.
    pub streams: Vec<Box<dyn Traffic>>,
    /// When what happens.
    pub moments: Moments,
    /// Networks that the attacker shares with visitors, who are counted as a group.
    pub victims: Option<AddressPool>,
    /// Requests/s of the site, as drawn.
    pub site_rps: f64,
    /// Where addresses belong, for a view that has a database.
    pub geography: Option<Arc<dyn Geography>>,
    /// What the origin bears, as a multiple of the work of the past; `None`: all there is.
    pub capacity_times: Option<f64>,
}

impl Scene {
    /// Everybody, as `seed` draws them.
    pub fn cast(&self, seed: u64) -> Cast {
        Casting::new(self, seed, World::drawn).all()
    }

    /// The same, in a world with a crowd and an attack from there.
    pub fn cast_from(&self, crowd: CrowdFrom, attack: AttackFrom, seed: u64) -> Cast {
        let world = |plan: &AddressPlan, rng: &mut Rng| World::new(plan, crowd, attack, rng);
        Casting::new(self, seed, world).all()
    }
}

/// What the parts of a cast have in common.
struct Casting<'a> {
    scene: &'a Scene,
    seed: u64,
    rng: Rng,
    plan: AddressPlan,
    mix: ClientMix,
    everyday: VisitorsConfig,
    sites: Vec<Arc<Site>>,
    shared: AddressPool,
    framed: AddressPool,
    world: World,
    rps: f64,
    past_ms: u64,
    last_ms: u64,
}

impl<'a> Casting<'a> {
    fn new(
        scene: &'a Scene,
        seed: u64,
        world: impl FnOnce(&AddressPlan, &mut Rng) -> World,
    ) -> Self {
        // Two scenes of one seed must not be small sites both; two levels of one scene must.
        let seed = seed ^ purpose(&scene.file.title);
        let mut rng = stream(seed, 0x6361_7374);
        let spec = &scene.file.site;
        let plan = AddressPlan::scattered(&mut rng);
        let rps = spec.rps.draw(&mut rng);
        let past_ms = spec.past_s.draw_ms(&mut rng);
        let api_clients = spec.api_clients.draw(&mut rng).clamp(0.0, 0.5);
        let mix = MixConfig { api_clients, ..MixConfig::default() };
        let swing = spec.daily_swing.draw(&mut rng);
        let rhythm = (swing > 0.0).then(|| Rhythm::daily(swing, rng.f64()));
        let update = spec.browser_update_over_s.map(|over| BrowserUpdate {
            from_ms: past_ms,
            over_ms: over.draw_ms(&mut rng),
            share: UPDATED,
            version: CHROMIUM_VERSIONS,
        });
        let hosts = spec.hosts.draw(&mut rng).round().clamp(1.0, 64.0) as usize;
        let shared = loop {
            let address = plan.honest.draw(&mut rng);
            if address.is_ipv4() {
                break AddressPool::single(address);
            }
        };
        let framed = plan.honest.network(20, &mut rng);
        // From a stream of its own: whether anybody looks must not change what happens.
        let world = world(&plan, &mut stream(seed, 0x776f_726c));
        Casting {
            scene,
            seed,
            mix: ClientMix::everyday(&mix, seed),
            everyday: VisitorsConfig { mix, rhythm, update, ..VisitorsConfig::honest(rps) },
            sites: (0..hosts).map(site).collect(),
            plan,
            shared,
            framed,
            world,
            rps,
            past_ms,
            last_ms: past_ms,
            rng,
        }
    }

    fn all(mut self) -> Cast {
        let mut streams = self.everyday_visitors();
        let crowds: Vec<_> = self.scene.file.crowd.iter().collect();
        for (number, spec) in crowds.into_iter().enumerate() {
            streams.push(self.crowd(spec, number as u64));
        }
        let (mut from_ms, mut until_ms) = (None, None);
        for (number, spec) in self.scene.file.attack.iter().enumerate() {
            let pace = self.pace(spec);
            from_ms = Some(from_ms.unwrap_or(u64::MAX).min(pace.start_ms));
            until_ms = Some(until_ms.unwrap_or(0).max(pace.end_ms));
            self.last_ms = self.last_ms.max(pace.end_ms);
            let seed = self.seed.wrapping_add(1_000 * (number as u64 + 1));
            streams.push(self.attack(spec, pace, seed));
        }
        let tail_ms = (TAIL_S * 1_000.0) as u64;
        let end_ms = match &self.scene.file.lasts_s {
            Some(lasts) => self.past_ms + lasts.draw_ms(&mut self.rng),
            None => self.last_ms + tail_ms,
        };
        let framing = |spec: &AttackSpec| spec.from == From::VisitorsNetwork;
        let sharing = |spec: &AttackSpec| spec.from == From::SharedAddress;
        let attack = &self.scene.file.attack;
        let victims = if attack.iter().any(framing) {
            Some(self.framed)
        } else if attack.iter().any(sharing) {
            Some(self.shared)
        } else {
            None
        };
        let moments = Moments {
            past_ends_ms: self.past_ms,
            attack_ms: from_ms,
            attack_ends_ms: until_ms,
            end_ms,
        };
        let origin = self.scene.file.origin.as_ref();
        let capacity_times = origin.map(|origin| origin.capacity_times.draw(&mut self.rng));
        let geography: Option<Arc<dyn Geography>> = Some(Arc::new(self.world));
        let site_rps = self.rps;
        Cast { streams, moments, victims, site_rps, geography, capacity_times }
    }

    fn everyday_visitors(&mut self) -> Vec<Box<dyn Traffic>> {
        let share = self.rps / self.sites.len() as f64;
        let mut streams: Vec<Box<dyn Traffic>> = Vec::new();
        for (number, site) in self.sites.iter().enumerate() {
            let config = VisitorsConfig { rps: share, ..self.everyday.clone() };
            let seed = self.seed.wrapping_add(number as u64);
            streams.push(visits(config, site, &self.plan.honest, seed));
        }
        if let Some(users) = self.scene.file.site.users_behind_one_address {
            let config = VisitorsConfig {
                rps: users.draw(&mut self.rng) * USER_RPS,
                shared: 1.0,
                shared_addresses: 1,
                ..self.everyday.clone()
            };
            // Machines do not sit in offices: only what the shared pool gives is one address.
            streams.push(visits(config, &self.sites[0], &self.shared, self.seed ^ 0x6f66));
        }
        // Sessions of streams after the first are numbered from the same one: the score keeps
        // streams apart.
        streams
    }

    fn crowd(&mut self, spec: &CrowdSpec, number: u64) -> Box<dyn Traffic> {
        let rps = self.rps * spec.times.draw(&mut self.rng);
        let start_ms = self.past_ms + spec.start_s.draw_ms(&mut self.rng);
        let lasts_ms = spec.lasts_s.draw_ms(&mut self.rng);
        let ramp_ms = spec.ramp_s.draw_ms(&mut self.rng);
        let seed = self.seed.wrapping_add(77 * (number + 1));
        let page = spec.page.as_deref().unwrap_or(RESULTS);
        let config = match spec.kind {
            CrowdKind::Page => VisitorsConfig::crowd(rps, page),
            CrowdKind::App => VisitorsConfig::push_crowd(rps, page, seed),
            CrowdKind::Recorded => {
                let recording = self.scene.recording.as_deref();
                let rhythm = recording.and_then(|r: &Recording| r.rise(lasts_ms, &mut self.rng));
                // People who come to an event look around like those of every day.
                VisitorsConfig { rhythm, stays: 0.5, ..VisitorsConfig::crowd(rps, page) }
            }
        };
        let ramp_ms = if spec.kind == CrowdKind::Recorded { 0 } else { ramp_ms };
        let end_ms = start_ms + lasts_ms;
        self.last_ms = self.last_ms.max(end_ms);
        let config = VisitorsConfig { start_ms, end_ms, ramp_ms, ..config };
        visits(config, &self.sites[0], &self.plan.crowd, seed)
    }

    fn pace(&mut self, spec: &AttackSpec) -> Pace {
        let times = spec.times.or(self.scene.level.map(Range::fixed));
        let rps = match (spec.rps, times) {
            (Some(rps), _) => rps.draw(&mut self.rng),
            (None, Some(times)) => self.rps * times.draw(&mut self.rng),
            (None, None) => self.rps,
        };
        let start_ms = self.past_ms + spec.start_s.draw_ms(&mut self.rng);
        let end_ms = start_ms + spec.lasts_s.draw_ms(&mut self.rng);
        let ms = |s: f64| (s * 1_000.0) as u64;
        let pulse = spec.pulse_s.map(|(on, off)| Pulse { on_ms: ms(on), off_ms: ms(off) });
        let growth = spec.grows.as_ref().map(|grows| {
            let from = self.rps * grows.from_times.draw(&mut self.rng);
            let to = self.rps * grows.to_times.draw(&mut self.rng);
            let doublings = (to / from.max(1e-9)).log2().max(0.1);
            let doubling_ms = start_ms as f64 / doublings;
            Growth { from_ms: 0, rps: from, doubling_ms, rps_max: to }
        });
        Pace { pulse, growth, ..Pace::steady(rps, start_ms, end_ms) }
    }

    fn attack(&mut self, spec: &AttackSpec, pace: Pace, seed: u64) -> Box<dyn Traffic> {
        let sources = spec.sources.draw(&mut self.rng).round() as usize;
        if spec.look == Look::Replay {
            // What visitors sent while it listened: the last quarter of an hour of the past.
            let config = VisitorsConfig {
                start_ms: self.past_ms.saturating_sub(900_000),
                end_ms: self.past_ms,
                warm: false,
                ..self.everyday.clone()
            };
            let site = Arc::clone(&self.sites[0]);
            let arrivals = SessionArrivals::new(config, site, &self.plan.honest, self.seed);
            let recorded = OpenLoop::new(arrivals, ANSWER_MS, self.seed);
            return Box::new(Replay::new(recorded, pace, &self.plan.attack, sources, seed));
        }
        let config = AssaultConfig {
            disguise: disguise(spec.look),
            most_used_browser: spec.look == Look::MostUsedBrowser,
            aim: aim(spec.aim),
            sources,
            origin: self.origin(spec.from),
            pace,
            changes_after_ms: spec.changes_after_s.map(|range| {
                let ms = |s: f64| (s * 1_000.0) as u64;
                (ms(range.least()), ms(range.most()))
            }),
            hosts: self.sites.iter().map(|site| Text::from(site.host.clone())).collect(),
        };
        Box::new(Assault::new(config, Arc::clone(&self.sites[0]), &self.mix, seed))
    }

    fn origin(&mut self, from: From) -> Origin {
        match from {
            From::Anywhere => Origin::Pool(self.plan.attack.clone()),
            From::VisitorsNetwork => Origin::Pool(self.framed.clone()),
            From::SharedAddress => Origin::Pool(self.shared.clone()),
            From::NewNetwork => Origin::New64(v6_network(36, &mut self.rng)),
            From::NewHost => Origin::NewHost(v6_network(48, &mut self.rng)),
        }
    }
}

/// A number for a text (FNV-1a, draft-eastlake-fnv).
fn purpose(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn visits(
    config: VisitorsConfig,
    site: &Arc<Site>,
    pool: &AddressPool,
    seed: u64,
) -> Box<dyn Traffic> {
    let arrivals = SessionArrivals::new(config, Arc::clone(site), pool, seed);
    Box::new(OpenLoop::new(arrivals, ANSWER_MS, seed))
}

/// The first host is the site itself; others are sites of the same kind beside it.
fn site(number: usize) -> Arc<Site> {
    let mut site = Site::campaign();
    if number > 0 {
        site.host = format!("district-{number}.{}", site.host);
    }
    Arc::new(site)
}

fn v6_network(bits: u8, rng: &mut Rng) -> AddressPool {
    let address = std::net::Ipv6Addr::new(0x2a02, rng.u16(..), rng.u16(..), 0, 0, 0, 0, 0);
    let everywhere = AddressPool::new(vec![Prefix::new(address.into(), 32)]);
    everywhere.map_or_else(
        || AddressPool::single(address.into()),
        |everywhere| everywhere.network(bits, rng),
    )
}

const fn disguise(look: Look) -> Disguise {
    match look {
        Look::Tool => Disguise::PlainTool,
        Look::StolenAgents => Disguise::StolenAgents,
        Look::RandomAgents => Disguise::RandomAgent,
        Look::OneBrowser | Look::MostUsedBrowser => Disguise::OneBrowser,
        Look::CopiedMarginals => Disguise::CopiedMarginals,
        Look::Mimic | Look::Replay => Disguise::JointMimic,
    }
}

const fn aim(aim: AimSpec) -> Aim {
    match aim {
        AimSpec::Costly => Aim::Costly,
        AimSpec::Pages => Aim::Pages,
        AimSpec::CacheBust => Aim::CacheBust,
        AimSpec::Front => Aim::Front,
        AimSpec::Carpet => Aim::Carpet,
        AimSpec::Nowhere => Aim::Nowhere,
    }
}
