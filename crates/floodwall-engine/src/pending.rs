//! Signatures that were found and are being confirmed: the shadow before a rule.
//!
//! A signature must describe the next sample as well as the one it was found in; chance does not
//! repeat itself. Meanwhile evidence is gathered anew, because behaviour takes a second to show.

use floodwall_model::{Evidence, Rejection};

use crate::miner::{Mined, Tier};

/// Confirmation needs at least this long, ms, …
const CONFIRM_MS_MIN: u64 = 400;
/// … and this many requests matched since, or …
const CONFIRM_MATCHED_MIN: f64 = 500.0;
/// … this long, ms.
const CONFIRM_MS: u64 = 1_000;
/// Share of the rate it was found with that must still match.
const CONFIRM_COVERAGE: f64 = 0.8;
/// … less so many standard deviations of the count expected.
const CONFIRM_SIGMAS: f64 = 1.65;
/// Fewest requests that confirm anything.
const CONFIRM_MATCHED_LEAST: f64 = 2.0;
/// A signature that evidence does not decide upon is dropped after this long, ms.
const UNDECIDED_MS_MAX: u64 = 20_000;

/// What a signature was found by.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Measure {
    /// The number of requests, over the last seconds.
    Requests,
    /// What they cost the origin, over the last minute.
    Cost,
}

/// A signature on trial.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The signature and how it was found.
    pub mined: Mined,
    /// What it shall be used for.
    pub tier: Tier,
    /// What it was found by.
    pub measure: Measure,
    /// When it was found, ms.
    pub since_ms: u64,
    /// The latest evidence.
    pub evidence: Vec<Evidence>,
    /// Why it was not placed when last tried.
    pub rejection: Option<Rejection>,
}

/// How the trial stands.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Trial {
    /// Not enough seen since.
    Waiting,
    /// It describes the next sample too.
    Confirmed,
    /// It does not, or it could not be decided in time.
    Failed,
}

impl Pending {
    /// Judges by `matched_rps`, the rate that matches now.
    pub fn trial(&self, matched_rps: f64, now_ms: u64) -> Trial {
        let since_ms = now_ms.saturating_sub(self.since_ms);
        if since_ms > UNDECIDED_MS_MAX {
            return Trial::Failed;
        }
        let since_s = since_ms as f64 / 1000.0;
        let matched = matched_rps * since_s;
        let enough = since_ms >= CONFIRM_MS_MIN
            && (matched >= CONFIRM_MATCHED_MIN || since_ms >= CONFIRM_MS);
        // Few requests come irregularly: what chance alone may leave out is not held against it.
        let expected = self.mined.matched_rps * since_s;
        let covers = matched >= CONFIRM_COVERAGE * expected - CONFIRM_SIGMAS * expected.sqrt()
            && matched >= CONFIRM_MATCHED_LEAST;
        match (enough, covers) {
            (false, _) => Trial::Waiting,
            (true, true) => Trial::Confirmed,
            (true, false) => Trial::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{Collateral, Signature};

    fn check(since_ms: u64, found_rps: f64, matched_rps: f64, expected: Trial) {
        let pending = Pending {
            mined: Mined {
                signature: Signature::default(),
                matched_rps: found_rps,
                projected: Collateral::default(),
            },
            tier: Tier::Block,
            measure: Measure::Requests,
            since_ms: 0,
            evidence: Vec::new(),
            rejection: None,
        };
        assert_eq!(pending.trial(matched_rps, since_ms), expected, "after {since_ms} ms");
    }

    #[test]
    fn a_strong_attack_is_confirmed_in_half_a_second_a_weak_one_in_one() {
        check(300, 1_000.0, 1_000.0, Trial::Waiting);
        check(500, 1_000.0, 1_000.0, Trial::Confirmed);
        check(500, 30.0, 30.0, Trial::Waiting);
        check(1_000, 30.0, 30.0, Trial::Confirmed);
    }

    /// Three requests a second that a tool adds to a small site were found and failed again and
    /// again: in some second there are only two.
    #[test]
    fn few_requests_may_come_irregularly() {
        check(1_000, 3.0, 2.0, Trial::Confirmed);
        check(1_000, 3.0, 0.0, Trial::Failed);
        check(1_000, 30.0, 20.0, Trial::Confirmed);
        check(1_000, 30.0, 14.0, Trial::Failed);
    }

    #[test]
    fn a_signature_that_no_longer_matches_fails() {
        check(1_000, 1_000.0, 100.0, Trial::Failed);
    }

    #[test]
    fn nobody_stays_on_trial_for_ever() {
        check(21_000, 1_000.0, 1_000.0, Trial::Failed);
    }
}
