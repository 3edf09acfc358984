//! Runs the scenes: starts origin, defence and traffic, watches, and puts everything away again.
//!
//! It must end by itself, also when Ctrl-C comes or something cannot start: whatever was started
//! is stopped on every way out, because [`Stage`] stops it when dropped.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use floodwall_sim::{AddressPlan, Label, Site};
use tokio::signal::unix::{SignalKind, signal};

use super::args::DemoArgs;
use super::defence::{Defence, DefenceCounters, RuleView};
use super::load::{LoadContext, LoadCounters};
use super::meter::{CurrentPhase, Meter, Phase, RECENT_S};
use super::origin::{Origin, OriginCounters};
use super::outcome::{Measured, Outcome, first_rule};
use super::schedule::{Scene, Schedule};
use super::screen::{Screen, View};
use super::stage::Stage;

/// How often the defence is asked for its rules. A request sent within this time after the rule
/// still counts as sent before it.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// The display is renewed every so many watches.
const WATCHES_PER_DRAW: u32 = 10;
/// Rules remembered. When full: later ones are not shown; a defence has 16 at once at most.
const RULES_SEEN_MAX: usize = 64;
/// Traffic begins this long after everything listens.
const BREATH: Duration = Duration::from_millis(300);

/// Why a demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// The refusal.
        source: io::Error,
    },
    /// The defence did not start.
    #[error("the gateway did not start: {0}")]
    Defence(String),
    /// Too few descriptors may be open.
    #[error(
        "the demo needs {needed} open files and {allowed} are allowed; \
         run `ulimit -n {needed}` first, or choose fewer --attack-sources"
    )]
    Descriptors {
        /// How many are needed.
        needed: u64,
        /// How many are allowed.
        allowed: u64,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted; everything was stopped")]
    Interrupted,
}

/// What the wiring needs to know to start the defence.
#[derive(Clone, Debug)]
pub struct DemoSite {
    /// The origin, listening already.
    pub origin: SocketAddr,
    /// The site's host name, as visitors ask for it.
    pub host: String,
}

/// What a demo that came to its end leaves behind.
#[derive(Debug)]
pub struct Finished {
    /// The figures.
    pub outcome: Outcome,
    /// The account of the attack, if the defence gave one.
    pub incident_report: Option<String>,
}

/// Plays the whole demo on `schedule`, showing its progress on `out`. `start` puts a defence in
/// front of the origin.
pub(super) fn play<S>(
    args: &DemoArgs,
    schedule: Schedule,
    out: Box<dyn Write + Send>,
    terminal: bool,
    start: S,
) -> Result<Finished, DemoError>
where
    S: FnOnce(&DemoSite) -> Result<Box<dyn Defence>, String>,
{
    let system = |what| move |source| DemoError::System { what, source };
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let (site, plan) = (Arc::new(Site::campaign()), AddressPlan::loopback());
    let phase = Arc::new(CurrentPhase::default());
    let origin = Origin::bind(&site, args.capacity, plan.clone(), Arc::clone(&phase))
        .map_err(system("cannot open a port for the sample site"))?;
    let address = origin.address().map_err(system("cannot learn the sample site's port"))?;
    let origin_counters = origin.counters();
    let mut stage = Stage::new(origin).map_err(system("cannot start the sample site"))?;
    let demo_site = DemoSite { origin: address, host: site.host.clone() };
    let gateway = stage.defend(start(&demo_site).map_err(DemoError::Defence)?);
    // After the defence started: it may have raised the limit.
    check_descriptors(args)?;

    let mut screen = Screen::new(out, terminal).map_err(system("cannot write"))?;
    let context = LoadContext {
        site: gateway,
        epoch: Instant::now() + BREATH,
        meter: Arc::default(),
        phase: Arc::clone(&phase),
        counters: Arc::default(),
        stop: stage.stop_signal(),
    };
    let epoch_wall_ms = wall_ms() + BREATH.as_millis() as u64;
    stage
        .start_traffic(args, &schedule, &site, &plan, &context, seed)
        .map_err(system("cannot start a thread"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start the director"))?;
    let mut watcher = Watcher {
        schedule,
        capacity_units_per_s: args.capacity,
        epoch: context.epoch,
        epoch_wall_ms,
        meter: context.meter,
        load: context.counters,
        origin: origin_counters,
        phase,
        rules: BTreeMap::new(),
        before: Lately::default(),
    };
    runtime.block_on(watcher.watch(&stage, &mut screen))?;
    drop(screen);
    // The load threads tell their processor time when they end.
    stage.end_traffic();
    Ok(watcher.finish(&stage, seed, args.fast))
}

/// Follows a run: sets the phases, collects the rules, makes the views.
struct Watcher {
    schedule: Schedule,
    capacity_units_per_s: u32,
    epoch: Instant,
    epoch_wall_ms: u64,
    meter: Arc<Meter>,
    load: Arc<LoadCounters>,
    origin: Arc<OriginCounters>,
    phase: Arc<CurrentPhase>,
    rules: BTreeMap<u32, RuleView>,
    before: Lately,
}

/// Totals at the last view, for the rates shown.
#[derive(Copy, Clone, Debug, Default)]
struct Lately {
    at_ms: u64,
    work_units: f64,
    attack_reached: u64,
}

impl Watcher {
    async fn watch<W: Write>(
        &mut self,
        stage: &Stage,
        screen: &mut Screen<W>,
    ) -> Result<(), DemoError> {
        let system = |what| move |source| DemoError::System { what, source };
        let signals = "cannot listen for signals";
        let mut interrupt = signal(SignalKind::interrupt()).map_err(system(signals))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(system(signals))?;
        let mut tick = tokio::time::interval(WATCH_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        for count in 0u32.. {
            tokio::select! {
                _ = tick.tick() => {}
                _ = interrupt.recv() => return Err(DemoError::Interrupted),
                _ = terminate.recv() => return Err(DemoError::Interrupted),
            }
            let now_ms = self.epoch.elapsed().as_millis() as u64;
            let Some(scene) = self.schedule.scene(now_ms) else { break };
            self.collect_rules(stage);
            self.phase.set(self.phase_of(scene));
            if count.is_multiple_of(WATCHES_PER_DRAW) {
                let counters = stage.defence().map(Defence::counters).unwrap_or_default();
                let view = self.view(now_ms, scene, counters);
                screen
                    .draw(&view)
                    .map_err(|source| DemoError::System { what: "cannot write", source })?;
            }
        }
        Ok(())
    }

    fn collect_rules(&mut self, stage: &Stage) {
        let Some(defence) = stage.defence() else { return };
        for rule in defence.rules() {
            if self.rules.len() < RULES_SEEN_MAX || self.rules.contains_key(&rule.id) {
                self.rules.insert(rule.id, rule);
            }
        }
    }

    fn phase_of(&self, scene: Scene) -> Phase {
        match scene {
            Scene::Quiet => Phase::Before,
            Scene::Attack if self.onset_to_rule_ms().is_some() => Phase::During,
            Scene::Attack => Phase::UntilRule,
            Scene::Calm => Phase::After,
            Scene::Crowd => Phase::Crowd,
        }
    }

    fn onset_wall_ms(&self) -> Option<u64> {
        self.load.first_attack_ms().map(|at_ms| self.epoch_wall_ms + at_ms)
    }

    fn onset_to_rule_ms(&self) -> Option<u64> {
        let onset_ms = self.onset_wall_ms()?;
        first_rule(&self.rules_by_age(), onset_ms).map(|rule| rule.placed_at_ms - onset_ms)
    }

    fn rules_by_age(&self) -> Vec<RuleView> {
        let mut rules: Vec<RuleView> = self.rules.values().cloned().collect();
        rules.sort_by_key(|rule| (rule.placed_at_ms, rule.id));
        rules
    }

    fn view(&mut self, now_ms: u64, scene: Scene, defence: DefenceCounters) -> View {
        let attack_reached = self.origin.reached_total(Label::Attack);
        let now = Lately { at_ms: now_ms, work_units: self.origin.work_units(), attack_reached };
        let passed_s = (now_ms.saturating_sub(self.before.at_ms)).max(1) as f64 / 1_000.0;
        let view = View {
            now_ms,
            end_ms: self.schedule.end_ms,
            scene,
            number: self.schedule.number(scene),
            recent: Label::ALL.map(|label| self.meter.recent(label, now_ms)),
            recent_s: RECENT_S as f64,
            attack_sent: self.meter.total(Label::Attack).sent,
            attack_reached,
            attack_reached_rps: (attack_reached - self.before.attack_reached) as f64 / passed_s,
            origin_units_per_s: (now.work_units - self.before.work_units) / passed_s,
            capacity_units_per_s: self.capacity_units_per_s,
            origin_backlog_ms: self.origin.backlog_ms(),
            origin_turned_away: self.origin.turned_away.load(Ordering::Relaxed),
            rules: self.rules_by_age(),
            onset_to_rule_ms: self.onset_to_rule_ms(),
            defence,
        };
        self.before = now;
        view
    }

    fn finish(&self, stage: &Stage, seed: u64, fast: bool) -> Finished {
        let crowd = self.schedule.end_ms > self.schedule.crowd_ms;
        let outcome = Outcome::new(&Measured {
            meter: &self.meter,
            origin: &self.origin,
            load: &self.load,
            rules: &self.rules_by_age(),
            defence: stage.defence().map(Defence::counters).unwrap_or_default(),
            onset_at_ms: self.onset_wall_ms(),
            crowd_at_ms: crowd.then(|| self.epoch_wall_ms + self.schedule.crowd_ms),
            seed,
            fast,
        });
        let incident_report = stage.defence().and_then(Defence::incident_report);
        Finished { outcome, incident_report }
    }
}

fn wall_ms() -> u64 {
    // A clock before 1970 gives figures that are odd, not a demo that fails.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A seed that differs from run to run: the standard library's own hash keys are random.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // Short enough to type again.
    RandomState::new().build_hasher().finish() % 1_000_000
}

/// The soft limit on open files, where the kernel tells it (proc_pid_limits(5)).
fn descriptors_allowed() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn check_descriptors(args: &DemoArgs) -> Result<(), DemoError> {
    match descriptors_allowed() {
        Some(allowed) if allowed < args.descriptors_min() => {
            Err(DemoError::Descriptors { needed: args.descriptors_needed(), allowed })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
