//! One rule in force: what it matches, whom it hits, how long it is needed.
//!
//! It judges itself and never ends itself: the book of rules does.

use floodwall_model::{Action, Collateral, Forecast, Handling, LiveEstimates, Observation, Rule};

use crate::ending::Ending;
use crate::harm::{self, Verdict, Witness};
use crate::sources::Sources;
use crate::trial::Trial;

/// Time constant of a rule's matched rate, s.
const MATCH_TRACK_S: f64 = 5.0;
/// Time constant of the rate that ends with its attack, s. The slower one still remembers a large
/// attack half a minute later, when a single stray visitor would renew the rule.
const LATELY_TRACK_S: f64 = 0.5;
/// A rule is renewed while both its rates are above this multiple of what matched before onset…
const RENEW_BASELINE_FACTOR: f64 = 3.0;
/// … above this share of its own peak, …
const RENEW_PEAK_SHARE: f64 = 0.01;
/// … and above these rates, requests/s: three within seconds, two of them within one. A visitor a
/// minute whom it matches must not keep it in force for ever.
const RENEW_RPS_MIN: f64 = 0.5;
const RENEW_LATELY_RPS_MIN: f64 = 2.5;
/// Harm beyond the cap that lasts so long demotes a rule, ms.
const DEMOTE_AFTER_MS: u64 = 3_000;
/// Visitors who stay away are laid to a rule's charge from this age of it on, ms, because an origin
/// that was down needs as long to get its visitors back, …
const MISSED_FROM_MS: u64 = 30_000;
/// … and up to this age, ms: beyond, the day's course may be the reason.
const MISSED_UNTIL_MS: u64 = 600_000;
/// Next to nothing: this share of what arrives beyond expectation, …
const IDLE_SHARE: f64 = 0.05;
/// … for so long, ms.
const IDLE_MS: u64 = 30_000;

/// A rule in force.
#[derive(Clone, Debug)]
pub struct ActiveRule {
    /// The rule, with its current expiry.
    pub rule: Rule,
    /// Requests that it matched.
    pub matched: u64,
    /// Requests of known visitors that it matched.
    visitor_hits: u64,
    /// Visitors' requests counted in all while it was in force.
    visitors_seen: u64,
    tick_matched: u64,
    matched_rps: f64,
    lately_rps: f64,
    peak_rps: f64,
    normal_rps: f64,
    matched_at_ms: u64,
    trial: Trial,
    /// Visitors came as usual when it was placed.
    visitors_came: bool,
    forecast: Option<Forecast>,
    harmful_since_ms: Option<u64>,
    idle_since_ms: Option<u64>,
}

/// What a tick knows beside the requests.
#[derive(Copy, Clone, Debug)]
pub struct Surroundings {
    /// Time, ms.
    pub now_ms: u64,
    /// Length of the tick, s.
    pub interval_s: f64,
    /// How long a rule lives without requests that match, ms.
    pub ttl_ms: u64,
    /// When the kernel last dropped much of what banned sources send, which no rule sees any more,
    /// ms; `None` if it no longer does.
    pub kernel_active_ms: Option<u64>,
    /// Requests/s expected of visitors.
    pub expected_rps: f64,
    /// Requests/s that arrive beyond that.
    pub excess_rps: f64,
    /// Share of visitors' sources that fetch what their pages need.
    pub normal_behaving: f64,
    /// Known visitors' requests that get through; `None` where it cannot be told.
    pub visitors: Option<Forecast>,
    /// Remarkably few of them do.
    pub visitors_fall_short: bool,
}

impl ActiveRule {
    /// A rule that matched `normal_rps` before the attack and matches `peak_rps` now.
    pub fn new(rule: Rule, normal_rps: f64, peak_rps: f64, now_ms: u64) -> Self {
        ActiveRule {
            rule,
            matched: 0,
            visitor_hits: 0,
            visitors_seen: 0,
            tick_matched: 0,
            matched_rps: 0.0,
            lately_rps: 0.0,
            peak_rps,
            normal_rps,
            matched_at_ms: now_ms,
            trial: Trial::default(),
            visitors_came: false,
            forecast: None,
            harmful_since_ms: None,
            idle_since_ms: None,
        }
    }

    /// Most it ever matched, and what it matched before the attack, requests/s.
    pub const fn peak_and_normal_rps(&self) -> (f64, f64) {
        (self.peak_rps, self.normal_rps)
    }

    /// Known visitors' requests that it matched, among all of theirs while it was in force.
    pub const fn measured(&self) -> Collateral {
        Collateral { hits: self.visitor_hits, records: self.visitors_seen }
    }

    /// What else was measured of whom it hits.
    pub const fn live(&self) -> LiveEstimates {
        LiveEstimates {
            held_back_requests: self.trial.requests(),
            held_back: self.trial.seen(),
            visitors: self.forecast,
        }
    }

    /// Whether requests still come that it matches.
    pub(super) fn matching(&self) -> bool {
        self.matched_rps > self.peak_rps * RENEW_PEAK_SHARE
    }

    /// When requests last came that it is needed for, ms.
    pub(super) const fn matched_at_ms(&self) -> u64 {
        self.matched_at_ms
    }

    /// The sources it lets through for a trial.
    pub(super) const fn trial(&self) -> &Trial {
        &self.trial
    }

    /// Judges them.
    pub(super) fn judge_trial(&mut self, sources: &Sources, now_ds: u32) {
        self.trial.judge(sources, now_ds);
    }

    /// It is in force again from now on, for `ttl_ms` at least.
    pub(super) fn back(&mut self, now_ms: u64, ttl_ms: u64) {
        self.rule.expires_at_ms = now_ms + ttl_ms;
        self.matched_at_ms = now_ms;
        self.matched_rps = self.peak_rps * RENEW_PEAK_SHARE * 2.0;
    }

    /// Takes note of a request of a known visitor that arrived, whether it matches or not.
    pub(super) const fn note_visitor(&mut self) {
        self.visitors_seen += 1;
    }

    /// Takes note of a request that it matched.
    pub(super) fn note_match(&mut self, observation: &Observation, visitor: bool, now_ds: u32) {
        self.note_late();
        self.visitor_hits += u64::from(visitor);
        if let Handling::HeldBack(_) = observation.handling {
            self.trial.note(observation, now_ds);
        }
    }

    /// A request that had been let through met it while that waited.
    pub(super) const fn note_late(&mut self) {
        self.matched += 1;
        self.tick_matched += 1;
    }

    /// Visitors come as usual: should they stay away from now on, it will have to do with it.
    pub(super) const fn visitors_came(&mut self) {
        self.visitors_came = true;
    }

    /// Ends a tick: what matched in it counts for its rates.
    pub(super) fn tick(&mut self, around: &Surroundings) {
        let events = std::mem::take(&mut self.tick_matched) as f64;
        let track = |rps: &mut f64, constant_s: f64| {
            *rps = *rps * (-around.interval_s / constant_s).exp() + events / constant_s;
        };
        track(&mut self.matched_rps, MATCH_TRACK_S);
        track(&mut self.lately_rps, LATELY_TRACK_S);
        self.peak_rps = self.peak_rps.max(self.matched_rps);
        let floor_rps =
            (self.normal_rps * RENEW_BASELINE_FACTOR).max(self.peak_rps * RENEW_PEAK_SHARE);
        let matches = events > 0.0
            && self.matched_rps > floor_rps.max(RENEW_RPS_MIN)
            && self.lately_rps > floor_rps.max(RENEW_LATELY_RPS_MIN);
        let needed_ms = if matches { Some(around.now_ms) } else { around.kernel_active_ms };
        if let Some(at_ms) = needed_ms {
            self.rule.expires_at_ms = self.rule.expires_at_ms.max(at_ms + around.ttl_ms);
            self.matched_at_ms = self.matched_at_ms.max(at_ms);
        }
        if self.visitors_came {
            self.forecast = around.visitors;
        }
    }

    /// Whether it ends, and why.
    pub(super) fn ending(&mut self, around: &Surroundings, crowded: bool) -> Option<Ending> {
        let now_ms = around.now_ms;
        if self.rule.action == Action::Block {
            match harm::judge(&self.witness(around)) {
                Verdict::Gross(harm) => return Some(Ending::Withdrawn(harm)),
                Verdict::Excess(harm) => {
                    let since_ms = *self.harmful_since_ms.get_or_insert(now_ms);
                    if now_ms >= since_ms + DEMOTE_AFTER_MS {
                        return Some(Ending::Demoted(harm));
                    }
                }
                Verdict::None => self.harmful_since_ms = None,
            }
        }
        if self.rule.expires_at_ms <= now_ms {
            return Some(Ending::Stopped);
        }
        let idle = crowded && self.matched_rps < IDLE_SHARE * around.excess_rps;
        if !idle {
            self.idle_since_ms = None;
            return None;
        }
        let since_ms = *self.idle_since_ms.get_or_insert(now_ms);
        (now_ms >= since_ms + IDLE_MS).then_some(Ending::Idle)
    }

    fn witness(&self, around: &Surroundings) -> Witness {
        let age_ms = around.now_ms.saturating_sub(self.rule.placed_at_ms);
        let answerable = (MISSED_FROM_MS..MISSED_UNTIL_MS).contains(&age_ms);
        Witness {
            visitors: self.measured(),
            trial: self.trial.seen_lately(),
            normal_behaving: around.normal_behaving,
            matched_rps: self.matched_rps,
            expected_rps: around.expected_rps,
            visitors_missing: self.visitors_came && answerable && around.visitors_fall_short,
        }
    }
}
