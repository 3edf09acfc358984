//! What attackers' requests look like, and two simple floods.
//!
//! None of them fetches what a page needs, keeps a cookie or follows a link. How well they copy a
//! browser's headers is their [`Disguise`]; which agents, orders, pages and keys they use is drawn
//! from the seed, so that no rule can be written for this file.

use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;
use floodwall_model::RequestKind;

use crate::address::AddressPool;
use crate::chance::{exponential_ms, stream, word};
use crate::layouts::{Engine, TOOLS};
use crate::mix::ClientMix;
use crate::profile::{ClientClass, ClientProfile, Context, Implementation, Target};
use crate::request::{Label, Planned, RequestSpec, Text};
use crate::site::{QueryKind, Site};
use crate::who::Who;

/// User agents in the list that [`Disguise::RandomAgent`] draws from.
const AGENTS_LISTED: usize = 800;

/// How an attacker's client looks.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Disguise {
    /// A tool under its own name: one header order, one user agent, no language.
    PlainTool,
    /// A tool's own header order under one or a few stolen browser user agents.
    StolenAgents,
    /// A tool's own header order, a user agent from a long list for every request.
    RandomAgent,
    /// One browser, copied exactly, in a few languages.
    OneBrowser,
    /// Browsers' header orders, user agents and languages, each as frequent as among honest
    /// visitors but combined at random.
    CopiedMarginals,
    /// Whole honest clients, as frequent as among honest visitors. No headers give it away.
    JointMimic,
}

impl Disguise {
    /// All of them, from the crudest to the best.
    pub const ALL: [Disguise; 6] = [
        Disguise::PlainTool,
        Disguise::StolenAgents,
        Disguise::RandomAgent,
        Disguise::OneBrowser,
        Disguise::CopiedMarginals,
        Disguise::JointMimic,
    ];
}

/// A query that differs with every request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RandomQuery {
    /// The key; `None`: a random key too, which defeats caches.
    pub key: Option<String>,
    /// Shortest value, letters.
    pub letters_min: usize,
    /// Longest value, letters.
    pub letters_max: usize,
}

/// What an attacker asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UrlPattern {
    /// Path.
    pub path: String,
    /// Query, if any.
    pub random_query: Option<RandomQuery>,
}

impl UrlPattern {
    /// `count` patterns on `site`: popular pages, the last one its search with random words.
    pub fn drawn(site: &Site, count: usize, rng: &mut Rng) -> Vec<UrlPattern> {
        let mut patterns: Vec<UrlPattern> = Vec::new();
        while patterns.len() + 1 < count.min(site.pages.len()) {
            let page = &site.pages[site.draw_page(rng)];
            let plain = UrlPattern { path: page.path.clone(), random_query: None };
            if page.query.is_none() && !patterns.contains(&plain) {
                patterns.push(plain);
            }
        }
        let search = site.pages.iter().find(|page| page.query == Some(QueryKind::Search));
        if let (true, Some(page)) = (count > 0, search) {
            let letters_min = rng.usize(3..=8);
            let letters_max = letters_min + rng.usize(0..=8);
            let key = Some("q".to_owned());
            let random_query = Some(RandomQuery { key, letters_min, letters_max });
            patterns.push(UrlPattern { path: page.path.clone(), random_query });
        }
        patterns
    }

    /// One page under a new address each time, so that no cache can answer.
    pub fn cache_bust(path: &str) -> UrlPattern {
        let random_query = Some(RandomQuery { key: None, letters_min: 4, letters_max: 12 });
        UrlPattern { path: path.to_owned(), random_query }
    }

    fn draw_query(&self, rng: &mut Rng) -> Option<Text> {
        let query = self.random_query.as_ref()?;
        let value = word(rng, query.letters_min..=query.letters_max.max(query.letters_min));
        Some(match &query.key {
            Some(key) => format!("{key}={value}").into(),
            None => format!("{}={value}", word(rng, 3..=9)).into(),
        })
    }
}

/// Makes attackers' clients and requests.
#[derive(Clone, Debug)]
pub struct Kit {
    disguise: Disguise,
    hosts: Vec<Text>,
    patterns: Vec<UrlPattern>,
    honest: ClientMix,
    tool: Implementation,
    agents: Vec<Text>,
    language: Text,
    /// For [`Disguise::OneBrowser`], in each language it comes in.
    copies: Vec<ClientProfile>,
    /// Whether [`Disguise::CopiedMarginals`] combines anew for every request.
    per_request: bool,
}

impl Kit {
    /// A kit against `site`, copying from the `honest` mix as far as its disguise does.
    pub fn new(
        disguise: Disguise,
        site: &Site,
        patterns: Vec<UrlPattern>,
        honest: &ClientMix,
        rng: &mut Rng,
    ) -> Self {
        let layout = &TOOLS[rng.usize(..TOOLS.len())];
        let stolen = rng.usize(1..=4);
        let agents = match disguise {
            Disguise::PlainTool => vec![tool_agent(rng)],
            Disguise::RandomAgent => {
                (0..AGENTS_LISTED).map(|_| listed_agent(honest, rng)).collect()
            }
            _ => (0..stolen).map(|_| listed_agent(honest, rng)).collect(),
        };
        let languages =
            ["en-US,en;q=0.9", "en-US,en;q=0.5", "en-GB,en;q=0.9", "ru-RU,ru;q=0.9", "*"];
        let copies = match disguise {
            Disguise::OneBrowser => copies_of(&browser_of(honest, rng), honest, rng),
            _ => Vec::new(),
        };
        Kit {
            disguise,
            hosts: vec![site.host.clone().into()],
            patterns,
            honest: honest.clone(),
            tool: Implementation {
                class: ClientClass::Tool,
                mobile: false,
                engine: Engine::Plain,
                layout,
                user_agent: Text::Fixed(""),
                hints: None,
                app: None,
                from: None,
            },
            agents,
            language: languages[rng.usize(..languages.len())].into(),
            copies,
            per_request: rng.bool(),
        }
    }

    /// The same against several hosts, evenly.
    pub fn with_hosts(mut self, hosts: Vec<Text>) -> Self {
        if !hosts.is_empty() {
            self.hosts = hosts;
        }
        self
    }

    /// The same with the browser that most honest visitors use, for [`Disguise::OneBrowser`].
    pub fn with_most_used_browser(mut self, rng: &mut Rng) -> Self {
        let browsers = self.honest.shares().filter(|(one, _)| one.class == ClientClass::Browser);
        if let Some((most, _)) = browsers.max_by(|a, b| a.1.total_cmp(&b.1)) {
            let like = ClientProfile { implementation: Arc::clone(most), language: "en".into() };
            self.copies = copies_of(&like, &self.honest, rng);
        }
        self
    }

    /// What an attacker does who sees himself refused: takes something of `other`, or all.
    pub fn changed(&self, other: Kit, rng: &mut Rng) -> Kit {
        match rng.u32(..3) {
            0 => Kit { patterns: self.patterns.clone(), ..other },
            1 => Kit { tool: self.tool.clone(), hosts: self.hosts.clone(), ..other },
            _ => Kit { hosts: self.hosts.clone(), ..other },
        }
    }

    /// The client of one source.
    pub fn client(&self, rng: &mut Rng) -> ClientProfile {
        match self.disguise {
            Disguise::OneBrowser if !self.copies.is_empty() => {
                self.copies[rng.usize(..self.copies.len())].clone()
            }
            Disguise::PlainTool | Disguise::StolenAgents | Disguise::RandomAgent => {
                let user_agent = self.agents[rng.usize(..self.agents.len())].clone();
                let implementation = Implementation { user_agent, ..self.tool.clone() };
                let language = self.language.clone();
                ClientProfile { implementation: Arc::new(implementation), language }
            }
            Disguise::CopiedMarginals => {
                let order = self.browser(rng);
                let agent = self.browser(rng);
                let language = self.browser(rng).language;
                let implementation = Implementation {
                    user_agent: agent.implementation.user_agent.clone(),
                    ..(*order.implementation).clone()
                };
                ClientProfile { implementation: Arc::new(implementation), language }
            }
            Disguise::OneBrowser | Disguise::JointMimic => self.browser(rng),
        }
    }

    /// What a source with this client sends next.
    pub fn request(&self, client: &ClientProfile, rng: &mut Rng) -> RequestSpec {
        let anew = self.disguise == Disguise::RandomAgent
            || (self.disguise == Disguise::CopiedMarginals && self.per_request);
        let fresh = anew.then(|| self.client(rng));
        let client = fresh.as_ref().unwrap_or(client);
        let context = Context {
            target: Target::Document,
            host: &self.hosts[if self.hosts.len() > 1 { rng.usize(..self.hosts.len()) } else { 0 }],
            referer: None,
            from_this_site: false,
            cookie: None,
            etag: None,
        };
        let headers = client.headers(&context);
        let (path, query) = match self.patterns.len() {
            0 => (Text::Fixed("/"), None),
            count => {
                let pattern = &self.patterns[rng.usize(..count)];
                (Text::from(pattern.path.clone()), pattern.draw_query(rng))
            }
        };
        RequestSpec { method: "GET", path, query, version: "HTTP/1.1", headers }
    }

    /// A planned request of one source.
    pub fn planned(
        &self,
        client: &ClientProfile,
        source: IpAddr,
        at_ms: u64,
        page_view: u64,
        rng: &mut Rng,
    ) -> Planned {
        Planned {
            at_ms,
            source,
            request: self.request(client, rng),
            kind: RequestKind::Page,
            label: Label::Attack,
            page_view,
            who: Who::default(),
            wave: 0,
        }
    }

    fn browser(&self, rng: &mut Rng) -> ClientProfile {
        browser_of(&self.honest, rng)
    }
}

fn browser_of(honest: &ClientMix, rng: &mut Rng) -> ClientProfile {
    // Bounded: a mix of machines only ends after a few draws with one of them.
    let mut drawn = honest.draw(rng);
    for _ in 0..32 {
        if drawn.implementation.class == ClientClass::Browser {
            break;
        }
        drawn = honest.draw(rng);
    }
    drawn
}

/// The software of `like` in one to three languages, as its engine words them.
fn copies_of(like: &ClientProfile, honest: &ClientMix, rng: &mut Rng) -> Vec<ClientProfile> {
    let engine = like.implementation.engine;
    let copy = |rng: &mut Rng| ClientProfile {
        implementation: Arc::clone(&like.implementation),
        language: honest.draw_language(engine, rng),
    };
    (0..rng.usize(1..=3)).map(|_| copy(rng)).collect()
}

/// What a tool calls itself when nobody told it to lie.
fn tool_agent(rng: &mut Rng) -> Text {
    match rng.u32(..4) {
        0 => Text::Fixed("Go-http-client/1.1"),
        1 => format!("python-requests/2.{}.{}", rng.u32(20..=31), rng.u32(0..=5)).into(),
        2 => format!("okhttp/{}.{}.0", rng.u32(3..=5), rng.u32(0..=12)).into(),
        _ => format!("{}/{}.{}", word(rng, 4..=9), rng.u32(0..=3), rng.u32(0..=9)).into(),
    }
}

/// A user agent as lists on the internet have them: some current, most out of date.
fn listed_agent(honest: &ClientMix, rng: &mut Rng) -> Text {
    if rng.u32(..4) == 0 {
        return honest.draw(rng).implementation.user_agent.clone();
    }
    let platforms = [
        "Windows NT 10.0; Win64; x64",
        "Windows NT 6.1; WOW64",
        "Macintosh; Intel Mac OS X 10_15_7",
        "X11; Linux x86_64",
    ];
    let platform = platforms[rng.usize(..platforms.len())];
    let version = rng.u32(70..=131);
    if rng.u32(..4) == 0 {
        return format!(
            "Mozilla/5.0 ({platform}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
        )
        .into();
    }
    let build = rng.u32(3_000..=6_700);
    format!(
        "Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/{version}.0.{build}.{} Safari/537.36",
        rng.u32(10..=199)
    )
    .into()
}

/// A flood from few sources, each far faster than any person.
#[derive(Debug)]
pub struct FloodFew {
    kit: Kit,
    sources: Vec<(IpAddr, ClientProfile)>,
    rng: Rng,
    clock_ms: f64,
    mean_gap_ms: f64,
    end_ms: u64,
    sent: u64,
}

impl FloodFew {
    /// `rps` requests a second in all from `sources` addresses between the two times.
    pub fn new(
        kit: Kit,
        addresses: &AddressPool,
        sources: usize,
        rps: f64,
        (start_ms, end_ms): (u64, u64),
        seed: u64,
    ) -> Self {
        let mut rng = stream(seed, 0x0066_6577);
        let draw = |_| (addresses.draw(&mut rng), kit.client(&mut rng));
        let sources = (0..sources.max(1)).map(draw).collect();
        let mean_gap_ms = 1_000.0 / rps.max(1e-6);
        FloodFew { kit, sources, rng, clock_ms: start_ms as f64, mean_gap_ms, end_ms, sent: 0 }
    }
}

impl Iterator for FloodFew {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        self.clock_ms += exponential_ms(&mut self.rng, self.mean_gap_ms);
        let at_ms = self.clock_ms as u64;
        if at_ms >= self.end_ms {
            return None;
        }
        self.sent += 1;
        let (source, client) = &self.sources[self.rng.usize(..self.sources.len())];
        Some(self.kit.planned(client, *source, at_ms, self.sent, &mut self.rng))
    }
}
