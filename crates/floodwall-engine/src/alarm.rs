//! An open alarm: from the first sign until it was explained or went away.
//!
//! Holds the frozen past, the signatures on trial and when to mine next. What to do about them is
//! decided by the engine's step.

use std::collections::VecDeque;
use std::sync::Arc;

use floodwall_model::RequestKind;

use crate::baseline::Frozen;
use crate::miner::Memo;
use crate::onset::Finding;
use crate::pending::Pending;

/// Pause between two searches while nothing is on trial, ms.
const MINE_EVERY_MS: u64 = 200;
/// Pause between two searches for what the rules in force leave over, ms.
const MINE_RESIDUAL_MS: u64 = 1_000;
/// Longest pause, reached by searches that find nothing: a crowd need not be searched five times a
/// second for an hour.
const MINE_PAUSE_MS_MAX: u64 = 2_000;
/// Between two searches for backups, ms: a search may take half a tick.
const BACKUP_EVERY_MS: u64 = 200;
/// Before one that failed is tried again, ms.
const BACKUP_AGAIN_MS: u64 = 1_000;
/// Backups are looked for so long after a rule was placed, ms: afterwards nothing of the attack is
/// let through any more whose behaviour could be judged.
const BACKUPS_WITHIN_MS: u64 = 6_000;
/// The alarm ends after so long without anything alarming, ms.
const COLD_MS: u64 = 10_000;

/// An open alarm.
#[derive(Debug)]
pub struct Alarm {
    /// The first sign.
    pub finding: Finding,
    /// The past as it was before.
    pub past: Arc<Frozen>,
    /// Signatures on trial.
    pub pending: Vec<Pending>,
    /// What searches have looked up in the past.
    pub memo: Memo,
    /// Why nothing was placed, when last tried.
    pub refusal: Option<String>,
    /// Share of what is unexplained that comes from sources above the limit per source.
    pub heavy_share: f64,
    /// No more rules are added: those in force explain too little.
    pub stopped_adding: bool,
    /// The past weighed by cost, once it was needed; when it was last searched by cost, and when
    /// what was found by cost was last judged, ms.
    pub dear_past: Option<Box<Frozen>>,
    pub dear_ms: u64,
    pub dear_judged_ms: u64,
    /// Share of visitors' sources that fetch what their pages need.
    pub normal_behaving: f64,
    opened_ms: u64,
    hot_ms: u64,
    next_mining_ms: u64,
    fruitless: u32,
    /// Backups to be looked for: which change each is for, and when, ms.
    backups: VecDeque<(usize, u64)>,
    backups_until_ms: u64,
}

impl Alarm {
    /// Opens an alarm at `now_ms`.
    pub fn new(finding: Finding, past: Arc<Frozen>, now_ms: u64) -> Self {
        let (engaged, looked_at) = past.engaged_share(RequestKind::Page, |_| true);
        Alarm {
            normal_behaving: engaged as f64 / looked_at.max(1) as f64,
            finding,
            past,
            pending: Vec::new(),
            memo: Memo::default(),
            refusal: None,
            heavy_share: 0.0,
            stopped_adding: false,
            dear_past: None,
            dear_ms: 0,
            dear_judged_ms: 0,
            opened_ms: now_ms,
            hot_ms: now_ms,
            next_mining_ms: now_ms,
            fruitless: 0,
            backups: VecDeque::new(),
            backups_until_ms: 0,
        }
    }

    /// A rule was placed: backups for `changes` are looked for from now on.
    pub fn want_backups(&mut self, changes: usize, now_ms: u64) {
        let first_ms = now_ms + BACKUP_EVERY_MS;
        self.backups = (0..changes).map(|n| (n, first_ms + n as u64 * BACKUP_EVERY_MS)).collect();
        self.backups_until_ms = now_ms + BACKUPS_WITHIN_MS;
    }

    /// No backups are wanted after all.
    pub fn want_no_backups(&mut self) {
        self.backups.clear();
    }

    /// The change that a backup is due for.
    pub fn backup_due(&mut self, now_ms: u64) -> Option<usize> {
        self.backups.pop_front_if(|(_, at_ms)| now_ms >= *at_ms).map(|(change, _)| change)
    }

    /// The backup for `change` could not be kept; it is looked for again while that makes sense.
    pub fn backup_again(&mut self, change: usize, now_ms: u64) {
        if now_ms < self.backups_until_ms {
            self.backups.push_back((change, now_ms + BACKUP_AGAIN_MS));
        }
    }

    /// When it was opened, ms.
    pub const fn opened_ms(&self) -> u64 {
        self.opened_ms
    }

    /// Something is alarming at `now_ms`.
    pub const fn keep_hot(&mut self, now_ms: u64) {
        self.hot_ms = now_ms;
    }

    /// Whether something was alarming lately.
    pub const fn hot(&self, now_ms: u64) -> bool {
        now_ms < self.hot_ms + COLD_MS
    }

    /// Whether it is time to search.
    pub const fn mining_due(&self, now_ms: u64) -> bool {
        now_ms >= self.next_mining_ms
    }

    /// Notes a search; the next one comes later the less the last ones found.
    pub fn mined(&mut self, now_ms: u64, found: bool, rules_in_force: bool) {
        self.fruitless = if found { 0 } else { self.fruitless.saturating_add(1) };
        let pause_ms = if rules_in_force { MINE_RESIDUAL_MS } else { MINE_EVERY_MS };
        let patience = u64::from(self.fruitless / 10).min(10);
        self.next_mining_ms = now_ms + (pause_ms * (1 + patience)).min(MINE_PAUSE_MS_MAX);
    }
}
