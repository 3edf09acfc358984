//! Signatures kept ready: matched in shadow, named as due the moment their attack shows.
//!
//! Two kinds wait here. A rule whose attack went quiet is *dormant*: attacks come in pulses, and what
//! was found once need not be searched again. A *backup* describes an attack in force by other marks
//! than its rule does: whoever changes the one is met by the other.
//!
//! Nothing here refuses anybody, and nothing is decided from scratch: what is named as due carries
//! the evidence it was found with, and the plan's check has the last word. It must never take a
//! crowd for an attack that resembled it; that is what [`is_back`] is about.

use floodwall_model::{Attr, Attrs, Predicate, Rule, Signature, ValueId};

use crate::blamed::Blamed;
use crate::rules::ActiveRule;

/// Signatures kept ready, of both kinds. When full: the one that would be kept for the shortest
/// time gives way, counted.
pub const STANDBY_MAX: usize = 20;
/// Of them backups. When full: the oldest gives way, counted.
pub const BACKUPS_MAX: usize = 4;
/// A dormant rule is kept for this multiple of the gap between pulses, …
const GAP_FACTOR: u64 = 2;
/// … at least this long, ms, …
const DORMANT_MS_MIN: u64 = 600_000;
/// … and at most this long, ms (design/detection.md § 3.6).
const DORMANT_MS_MAX: u64 = 24 * 3_600_000;
/// Window over which matches are counted, s.
const WINDOW_S: f64 = 1.0;
/// Fewer requests than this within the window never bring a rule back.
const REQUESTS_MIN: f64 = 5.0;
/// It is back when this share of its old peak matches, over the window or, of at least
/// [`BURST_MIN`] requests, in one tick…
const PEAK_SHARE: f64 = 0.20;
/// A tick with so many says enough by itself.
const BURST_MIN: u32 = 20;
/// … and the match is at least this share of all that arrives: a crowd in which some resemble an
/// attack is a crowd.
const ARRIVALS_SHARE_MIN: f64 = 0.05;
/// Below that part of its peak it is back if this multiple of its match before the first onset…
const BASELINE_FACTOR: f64 = 3.0;
/// … and at least so many requests/s match, …
const WEAK_RPS_MIN: f64 = 5.0;
/// … and they make up at least this part of what arrives beyond expectation.
const WEAK_RISE_SHARE_MIN: f64 = 0.5;
/// A signature that names no software of its own ("whoever is new here") is back only if at least
/// this share of what matches comes from the sources that were refused before.
const SAME_SOURCES_MIN: f64 = 0.5;

/// Why a signature waits.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It was in force, and its attack went quiet.
    Dormant,
    /// It describes an attack in force by other marks.
    Backup,
}

/// A signature that waits.
#[derive(Clone, Debug)]
pub struct Standby {
    /// The rule as it was or would be, with its history.
    pub active: ActiveRule,
    /// Why it waits.
    pub kind: Kind,
    until_ms: u64,
    tick: u32,
    tick_same: u32,
    lately: f64,
    lately_same: f64,
}

/// What arrived in the tick that ends.
#[derive(Copy, Clone, Debug)]
pub struct Arrivals {
    /// Length of the tick, s.
    pub interval_s: f64,
    /// Requests that arrived, whatever was done with them.
    pub requests: u64,
    /// Requests/s expected.
    pub expected_rps: f64,
}

/// The rarest condition of a signature, by which most requests are told at once that they do not
/// match: matching in full would chase pointers for every request and signature.
#[derive(Copy, Clone, Debug)]
struct Key {
    /// `None`: the signature names no value at all.
    condition: Option<(Attr, ValueId)>,
    at: usize,
}

impl Key {
    fn of(at: usize, rule: &Rule) -> Self {
        let named = rule.signature.predicates().iter().filter_map(|p| match p {
            Predicate::Is(attr, value) => Some((*attr, *value)),
            Predicate::Unseen(_) => None,
        });
        Key { condition: named.min_by_key(|(attr, _)| commonness(*attr)), at }
    }
}

/// How many ordinary requests share a value of the attribute, by rank.
const fn commonness(attr: Attr) -> u8 {
    match attr {
        _ if attr.is_implementation() => 0,
        Attr::PathTemplate | Attr::QueryShape => 1,
        Attr::Language | Attr::Accept => 2,
        _ => 3,
    }
}

/// The signatures that wait.
#[derive(Debug, Default)]
pub struct StandbyTable {
    waiting: Vec<Standby>,
    keys: Vec<Key>,
    arrivals: f64,
    displaced: u64,
}

impl StandbyTable {
    /// Whether none waits. The question that is asked for every request.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those that wait.
    pub fn waiting(&self) -> &[Standby] {
        &self.waiting
    }

    /// Backups among them.
    pub fn backups(&self) -> usize {
        self.waiting.iter().filter(|s| s.kind == Kind::Backup).count()
    }

    /// Whether this very signature waits.
    pub fn has(&self, signature: &Signature) -> bool {
        self.waiting.iter().any(|s| s.active.rule.signature == *signature)
    }

    /// Keeps a rule ready whose attack went quiet at `now_ms`. `gap_ms` is the longest gap between
    /// pulses seen so far.
    pub fn put_to_sleep(&mut self, active: ActiveRule, gap_ms: u64, now_ms: u64) {
        let keep_ms = (GAP_FACTOR * gap_ms).clamp(DORMANT_MS_MIN, DORMANT_MS_MAX);
        self.admit(Kind::Dormant, active, now_ms + keep_ms);
    }

    /// Keeps a backup ready for as long as a dormant rule at least.
    pub fn keep_backup(&mut self, active: ActiveRule, now_ms: u64) {
        if self.backups() >= BACKUPS_MAX
            && let Some(oldest) = self.waiting.iter().position(|s| s.kind == Kind::Backup)
        {
            self.waiting.remove(oldest);
            self.displaced += 1;
        }
        self.admit(Kind::Backup, active, now_ms + DORMANT_MS_MIN);
    }

    fn admit(&mut self, kind: Kind, active: ActiveRule, until_ms: u64) {
        self.waiting.retain(|s| s.active.rule.signature != active.rule.signature);
        if self.waiting.len() >= STANDBY_MAX {
            let first = (0..self.waiting.len()).min_by_key(|at| self.waiting[*at].until_ms);
            if let Some(first) = first {
                self.waiting.remove(first);
                self.displaced += 1;
            }
        }
        self.waiting.push(Standby {
            active,
            kind,
            until_ms,
            tick: 0,
            tick_same: 0,
            lately: 0.0,
            lately_same: 0.0,
        });
        self.index();
    }

    /// Takes out what has this signature: it was found to hit visitors.
    pub fn remove(&mut self, signature: &Signature) {
        self.waiting.retain(|s| s.active.rule.signature != *signature);
        self.index();
    }

    /// Takes out all backups: what they describe was found to be visitors.
    pub fn forget_backups(&mut self) {
        self.waiting.retain(|s| s.kind != Kind::Backup);
        self.index();
    }

    /// Must follow every change of who waits.
    fn index(&mut self) {
        self.keys.clear();
        let rules = self.waiting.iter().map(|s| &s.active.rule);
        self.keys.extend(rules.enumerate().map(|(at, rule)| Key::of(at, rule)));
    }

    /// Looks at a request that no rule in force spoke about.
    pub fn watch(&mut self, attrs: &Attrs, source: u64, blamed: &Blamed) {
        for key in &self.keys {
            if key.condition.is_none_or(|(attr, value)| attrs[attr] == value)
                && let Some(standby) = self.waiting.get_mut(key.at)
                && standby.active.rule.matches(attrs)
            {
                standby.tick += 1;
                standby.tick_same += u32::from(blamed.contains(source));
            }
        }
    }

    /// Ends a tick at `now_ms`: takes out and returns those whose attack is back, and forgets those
    /// whose time is over. `in_force` keeps backups: what they stand behind is there.
    pub fn tick(&mut self, arrivals: Arrivals, in_force: bool, now_ms: u64) -> Vec<Standby> {
        let keep = (-arrivals.interval_s / WINDOW_S).exp();
        self.arrivals = self.arrivals * keep + arrivals.requests as f64;
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let all = self.arrivals;
        for standby in &mut self.waiting {
            if in_force && standby.kind == Kind::Backup {
                standby.until_ms = now_ms + DORMANT_MS_MIN;
            }
            standby.lately = standby.lately * keep + f64::from(standby.tick);
            standby.lately_same = standby.lately_same * keep + f64::from(standby.tick_same);
        }
        let (back, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter(|s| now_ms < s.until_ms)
            .partition(|s| is_back(s, all, arrivals));
        self.waiting = rest;
        for standby in &mut self.waiting {
            (standby.tick, standby.tick_same) = (0, 0);
        }
        // A backup stands behind a rule: where the rule itself comes back, it goes on waiting.
        let (rules, backups): (Vec<_>, Vec<_>) =
            back.into_iter().partition(|s| s.kind == Kind::Dormant);
        let back = if rules.is_empty() {
            self.best(backups)
        } else {
            self.waiting.extend(backups.into_iter().map(at_rest));
            rules
        };
        self.index();
        back
    }

    /// One backup at a time, the one that matches most: they describe the same requests.
    fn best(&mut self, mut backups: Vec<Standby>) -> Vec<Standby> {
        backups.sort_by(|a, b| b.lately.total_cmp(&a.lately));
        let rest = backups.split_off(backups.len().min(1));
        self.waiting.extend(rest.into_iter().map(at_rest));
        backups
    }

    /// Puts back one that could not be placed for want of room.
    pub fn put_back(&mut self, standby: Standby) {
        self.waiting.push(at_rest(standby));
        self.index();
    }

    /// Signatures that wait, most that fit, and how many gave way.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        (self.waiting.len(), STANDBY_MAX, self.displaced)
    }
}

fn at_rest(mut standby: Standby) -> Standby {
    (standby.tick, standby.tick_same) = (0, 0);
    (standby.lately, standby.lately_same) = (0.0, 0.0);
    standby
}

/// Whether the attack that `standby` was placed against is back. `all` is what arrived within the
/// window.
fn is_back(standby: &Standby, all: f64, arrivals: Arrivals) -> bool {
    if standby.lately < REQUESTS_MIN {
        return false;
    }
    let burst = if standby.tick >= BURST_MIN { f64::from(standby.tick) } else { 0.0 };
    let now_rps = burst / arrivals.interval_s.max(0.001);
    let window_rps = standby.lately / WINDOW_S;
    let (peak_rps, normal_rps) = standby.active.peak_and_normal_rps();
    let strong = now_rps.max(window_rps) >= PEAK_SHARE * peak_rps
        && standby.lately >= ARRIVALS_SHARE_MIN * all;
    let beyond_rps = all / WINDOW_S - arrivals.expected_rps;
    let weak = standby.kind == Kind::Dormant
        && window_rps >= WEAK_RPS_MIN.max(BASELINE_FACTOR * normal_rps)
        && beyond_rps >= WEAK_RPS_MIN
        && window_rps >= WEAK_RISE_SHARE_MIN * beyond_rps;
    let same_sources = standby.lately_same >= SAME_SOURCES_MIN * standby.lately;
    (strong || weak) && (names_software(&standby.active.rule) || same_sources)
}

/// Whether a rule names software by a value of its own, not only as "new here" or as "not what it
/// says it is": both are true of some new application every year.
fn names_software(rule: &Rule) -> bool {
    let names = |p: &Predicate| matches!(p, Predicate::Is(attr, _) if attr.is_implementation() && *attr != Attr::Claim);
    rule.signature.predicates().iter().any(names)
}

#[cfg(test)]
mod tests;
