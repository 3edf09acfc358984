//! Runs traffic models against the engine under a virtual clock and scores the result.
#![allow(unreachable_pub, dead_code, missing_docs)]

use std::collections::HashMap;
use std::sync::Arc;

use floodwall_engine::{Effect, Engine, EngineConfig};
use floodwall_model::{
    Action, Attr, AttrWriter, Attrs, CheckedPlan, Handling, Incident, Mode, Observation, Outcome,
    Stage, ValueId, ValueKey,
};
use floodwall_sim::{
    AddressPlan, ClientMix, Council, CouncilConfig, Label, OpenLoop, Planned, SessionArrivals,
    Site, VisitorsConfig, merge, observe,
};

/// Start of every scene: any round time will do, but not zero.
pub const T0_MS: u64 = 1_700_000_000_000;

/// What an observer can see of a request.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum View {
    /// Everything a gateway sees.
    Gateway,
    /// What an access log in combined format keeps.
    AccessLog,
}

/// Seeds to run with, printed so that a failure can be replayed: FLOODWALL_SEED fixes the one,
/// FLOODWALL_SEEDS says how many fresh ones (`usual` unless told).
pub fn seeds(usual: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    if let Some(seed) = number("FLOODWALL_SEED") {
        return vec![seed];
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let fresh = since.map_or(1, |d| d.as_nanos() as u64);
    let seeds: Vec<u64> =
        (0..number("FLOODWALL_SEEDS").unwrap_or(usual)).map(|n| fresh.wrapping_add(n)).collect();
    println!("seeds {seeds:?} (FLOODWALL_SEED=… replays one)");
    seeds
}

/// Runs `check` with every seed.
pub fn with_seeds(check: impl Fn(u64)) {
    for seed in seeds(2) {
        println!("seed {seed}");
        check(seed);
    }
}

/// The middle one of several figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The pieces a scene is put together from.
pub struct Stage0 {
    pub site: Arc<Site>,
    pub plan: AddressPlan,
    pub mix: ClientMix,
    pub seed: u64,
}

impl Stage0 {
    pub fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let plan = AddressPlan::scattered(&mut rng);
        let mix = ClientMix::everyday(&VisitorsConfig::honest(1.0).mix, seed);
        Stage0 { site: Arc::new(Site::campaign()), plan, mix, seed }
    }

    pub fn visitors(&self, config: VisitorsConfig) -> Box<dyn Iterator<Item = Planned> + Send> {
        let pool = match config.label {
            Label::Crowd => &self.plan.crowd,
            _ => &self.plan.honest,
        };
        let arrivals = SessionArrivals::new(config, Arc::clone(&self.site), pool, self.seed);
        Box::new(OpenLoop::new(arrivals, 40.0, self.seed))
    }

    pub fn council(&self, config: CouncilConfig) -> Box<dyn Iterator<Item = Planned> + Send> {
        Box::new(Council::new(&config, &self.site, &self.plan.attack, &self.mix, self.seed))
    }
}

/// What came of a scene.
#[derive(Debug, Default)]
pub struct Score {
    /// First rule in force, ms after the scene's start.
    pub first_rule_ms: Option<u64>,
    /// Rules that ever were in force, in words, with their action.
    pub rules: Vec<String>,
    pub block_rules: usize,
    /// Requests after the first rule, by label: (let through, refused).
    pub after: HashMap<Label, (u64, u64)>,
    /// Requests in all, by label: (let through, refused).
    pub all: HashMap<Label, (u64, u64)>,
    pub bans: u64,
    pub incidents: HashMap<u64, Incident>,
    /// Why nothing was placed, whenever that changed.
    pub refusals: Vec<(u64, String)>,
    pub alarms: u64,
}

impl Score {
    pub fn refused_share(&self, label: Label) -> f64 {
        share(self.all.get(&label))
    }

    /// Refused and received requests of a label.
    pub fn refused(&self, label: Label) -> (u64, u64) {
        self.all.get(&label).map_or((0, 0), |(passed, refused)| (*refused, passed + refused))
    }

    pub fn leakage(&self) -> f64 {
        1.0 - share(self.after.get(&Label::Attack))
    }
}

fn share(counts: Option<&(u64, u64)>) -> f64 {
    counts.map_or(0.0, |(passed, refused)| *refused as f64 / (passed + refused).max(1) as f64)
}

/// Runs `streams` until `end_ms` and scores what the engine did.
pub fn run(
    streams: Vec<Box<dyn Iterator<Item = Planned> + Send>>,
    end_ms: u64,
    view: View,
    seed: u64,
) -> Score {
    let key = ValueKey::new(seed, seed ^ 0x5555);
    let config = EngineConfig { mode: Mode::Protect, ..EngineConfig::default() };
    let mut engine = Engine::new(config, key, seed);
    let mut writer = AttrWriter::new(key);
    let mut plan = Arc::new(CheckedPlan::default());
    let mut score = Score::default();
    let mut stream = merge(streams).peekable();
    let mut batch = Vec::new();
    let mut was_alarmed = false;
    let mut now_ms = 0;
    while now_ms < end_ms {
        now_ms += 100;
        batch.clear();
        while let Some(planned) = stream.next_if(|p| p.at_ms < now_ms) {
            let mut observation = see(&planned, view, &mut writer);
            let rule = plan.decide(&observation.attrs, T0_MS + planned.at_ms);
            observation.handling = match rule {
                Some(rule) if rule.action == Action::Block => Handling::Blocked(rule.id),
                // The throttle's arithmetic is the gateway's; here its limit is never reached.
                _ => Handling::Passed,
            };
            let refused = !observation.handling.passed();
            let count = |counts: &mut HashMap<Label, (u64, u64)>| {
                let entry = counts.entry(planned.label).or_default();
                if refused { entry.1 += 1 } else { entry.0 += 1 }
            };
            count(&mut score.all);
            if score.first_rule_ms.is_some() {
                count(&mut score.after);
            }
            batch.push(observation);
        }
        engine.learn_names(&writer.take_names());
        for effect in engine.step(T0_MS + now_ms, &batch) {
            match effect {
                Effect::Publish(new) => {
                    if score.first_rule_ms.is_none() && !new.rules().is_empty() {
                        score.first_rule_ms = Some(now_ms);
                    }
                    plan = new;
                }
                Effect::Ban(_) => score.bans += 1,
                Effect::Incident(incident) => {
                    score.incidents.insert(incident.id, *incident);
                }
            }
        }
        let status = engine.status();
        score.alarms += u64::from(status.alarmed_since_ms.is_some() && !was_alarmed);
        was_alarmed = status.alarmed_since_ms.is_some();
        if let Some(why) = status.nothing_placed_because
            && score.refusals.last().is_none_or(|(_, last)| *last != why)
            && score.refusals.len() < 40
        {
            score.refusals.push((now_ms, why));
        }
    }
    for incident in score.incidents.values() {
        for rule in &incident.rules {
            score.block_rules += usize::from(rule.action == Action::Block);
            score.rules.push(format!("{} {} {:?}", rule.action.name(), rule.words, rule.projected));
        }
    }
    score
}

fn see(planned: &Planned, view: View, writer: &mut AttrWriter) -> Observation {
    let mut observation = observe(&planned.request, planned.source, T0_MS + planned.at_ms, writer);
    observation.stage = Stage::Whole;
    observation.kind = planned.kind;
    observation.outcome = Some(Outcome { status: 200, bytes: 5_000, origin_ms: Some(20) });
    if view == View::AccessLog {
        observation.attrs = as_logged(&observation.attrs);
    }
    observation
}

/// A combined log keeps no header order, language or cookie.
fn as_logged(attrs: &Attrs) -> Attrs {
    let mut logged = *attrs;
    for attr in [
        Attr::HeaderOrder,
        Attr::Language,
        Attr::CookieState,
        Attr::Host,
        Attr::Accept,
        Attr::ClientHints,
        Attr::Claim,
    ] {
        logged[attr] = ValueId::UNKNOWN;
    }
    let key = ValueKey::new(3, 4);
    let version = logged[Attr::HttpVersion];
    for (whole, part) in [(Attr::Implementation, Attr::UserAgent), (Attr::Stack, Attr::AgentShape)]
    {
        logged[whole] = key.combine(whole, &[logged[part], version]);
    }
    logged
}
