//! A signature on trial: it must match packets that it was not made from.

use super::mine::MinedPackets;

/// Matched packets that confirm a signature…
const CONFIRM_PACKETS: f64 = 12.0;
/// … at this share of the rate it was mined at.
const CONFIRM_SHARE: f64 = 0.4;
/// So many confirm it at any rate: floods come in bursts too.
const CONFIRM_PACKETS_ANY_RATE: f64 = 60.0;
/// What is less than this part of all that arrives must last, because honest bursts end soon, …
const STRONG_PART: f64 = 0.4;
/// … for so long, ms.
const LAST_MS: u64 = 800;
/// Without confirmation it is dropped after so long, ms.
const TRIAL_MS: u64 = 2_000;
/// Without evidence it is dropped after so long, ms; the next search proposes it anew.
const PATIENCE_MS: u64 = 1_500;

/// A signature on trial.
#[derive(Clone, Debug)]
pub struct PendingPackets {
    /// What was mined.
    pub mined: MinedPackets,
    /// Since when, ms.
    pub since_ms: u64,
    confirmed: bool,
}

/// How a trial stands.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Too few later packets yet.
    Waiting,
    /// It matches what came later.
    Confirmed,
    /// It does not.
    Failed,
}

impl PendingPackets {
    /// Begins a trial.
    pub const fn new(mined: MinedPackets, now_ms: u64) -> Self {
        PendingPackets { mined, since_ms: now_ms, confirmed: false }
    }

    /// Judges by `matched` packets that came since the trial began.
    /// `all_pps` is the rate of all packets, `lately` how many of the matched came in the last
    /// fifth of a second.
    pub fn trial(&mut self, matched: f64, lately: f64, all_pps: f64, now_ms: u64) -> Verdict {
        let age_ms = now_ms.saturating_sub(self.since_ms);
        let rate_pps = matched * 1000.0 / age_ms.max(1) as f64;
        if self.confirmed {
            return Verdict::Confirmed;
        }
        let strong = self.mined.matched_pps >= STRONG_PART * all_pps;
        let lasts = strong || (age_ms >= LAST_MS && lately > 0.0);
        let as_fast = rate_pps >= CONFIRM_SHARE * self.mined.matched_pps;
        if lasts && matched >= CONFIRM_PACKETS && (as_fast || matched >= CONFIRM_PACKETS_ANY_RATE) {
            self.confirmed = true;
            return Verdict::Confirmed;
        }
        if age_ms > TRIAL_MS { Verdict::Failed } else { Verdict::Waiting }
    }

    /// Whether evidence took too long.
    pub const fn given_up(&self, now_ms: u64) -> bool {
        now_ms >= self.since_ms + PATIENCE_MS
    }
}
