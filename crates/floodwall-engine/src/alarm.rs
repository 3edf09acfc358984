//! An open alarm: from the first sign until it was explained or went away.
//!
//! Holds the frozen past, the signatures on trial and when to mine next. What to do about them is
//! decided by the engine's step.

use std::sync::Arc;

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
    opened_ms: u64,
    hot_ms: u64,
    next_mining_ms: u64,
    fruitless: u32,
}

impl Alarm {
    /// Opens an alarm at `now_ms`.
    pub fn new(finding: Finding, past: Arc<Frozen>, now_ms: u64) -> Self {
        Alarm {
            finding,
            past,
            pending: Vec::new(),
            memo: Memo::default(),
            refusal: None,
            opened_ms: now_ms,
            hot_ms: now_ms,
            next_mining_ms: now_ms,
            fruitless: 0,
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
