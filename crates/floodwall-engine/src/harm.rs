//! Does a rule in force hit visitors? Three estimators, none of which knows the others.
//!
//! Requests of known visitors that it matched; sources it let through for a trial that behaved like
//! visitors; visitors who no longer come. Each demotes a rule when it is sure that the cap is
//! exceeded, and withdraws it when it is exceeded by far (design/detection.md § 3.6). It must never
//! act on a single visitor: one who shares an attacker's software is what the cap allows.

use floodwall_model::Collateral;
use floodwall_model::plan::BLOCK_COLLATERAL_MAX;

use crate::ending::Harm;

/// A rule is withdrawn at this multiple of the cap.
const FAR: f64 = 3.0;
/// Known visitors' requests hit without which a rule is not demoted…
const DEMOTE_HITS_MIN: u64 = 5;
/// … and not withdrawn.
const WITHDRAW_HITS_MIN: u64 = 10;
/// Sources on trial that behaved like visitors, without which nothing is concluded.
const BEHAVED_MIN: u64 = 3;
/// Part of what is normal among visitors at which those on trial are no attack: beyond what any
/// evidence for a rule allowed, …
const BEHAVED_DEMOTE: f64 = 0.4;
/// … and at which they are a crowd (§ 3.4, E3).
const BEHAVED_WITHDRAW: f64 = 0.7;
/// Where fewer visitors than this fetch sub-resources, a trial says nothing.
const NORMAL_MIN: f64 = 0.10;

/// What is known of whom a block rule hits.
#[derive(Copy, Clone, Debug)]
pub struct Witness {
    /// Known visitors' requests: matched, and all.
    pub visitors: Collateral,
    /// Sources let through for a trial: behaved like visitors, and all.
    pub trial: Collateral,
    /// Share of visitors' sources that behave so in quiet times.
    pub normal_behaving: f64,
    /// Requests/s that it matches.
    pub matched_rps: f64,
    /// Requests/s expected of visitors.
    pub expected_rps: f64,
    /// Visitors came until the rule did, and do not now, although the site is well.
    pub visitors_missing: bool,
}

/// How far the harm goes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// None is shown.
    None,
    /// More than may be, if it lasts.
    Excess(Harm),
    /// Far more than may be.
    Gross(Harm),
}

/// The gravest that is shown.
pub fn judge(witness: &Witness) -> Verdict {
    let verdicts = [known_visitors(witness), trial(witness), missing(witness)];
    let gross = verdicts.iter().find(|v| matches!(v, Verdict::Gross(_)));
    let excess = verdicts.iter().find(|v| matches!(v, Verdict::Excess(_)));
    *gross.or(excess).unwrap_or(&Verdict::None)
}

fn known_visitors(witness: &Witness) -> Verdict {
    let visitors = witness.visitors;
    let far = FAR * BLOCK_COLLATERAL_MAX;
    if visitors.hits >= WITHDRAW_HITS_MIN && visitors.share() > far {
        Verdict::Gross(Harm::VisitorsHit)
    } else if visitors.hits >= DEMOTE_HITS_MIN && visitors.lower_bound() > BLOCK_COLLATERAL_MAX {
        Verdict::Excess(Harm::VisitorsHit)
    } else {
        Verdict::None
    }
}

fn trial(witness: &Witness) -> Verdict {
    let (trial, normal) = (witness.trial, witness.normal_behaving);
    if trial.hits < BEHAVED_MIN || normal < NORMAL_MIN {
        return Verdict::None;
    }
    let at_least = trial.lower_bound();
    // Visitors among those refused, against visitors in all.
    let refused_rps = witness.matched_rps * (at_least / normal).min(1.0);
    let share = refused_rps / (witness.expected_rps + refused_rps).max(f64::MIN_POSITIVE);
    if at_least > BEHAVED_WITHDRAW * normal && share > FAR * BLOCK_COLLATERAL_MAX {
        Verdict::Gross(Harm::HeldBackBehaved)
    } else if at_least > BEHAVED_DEMOTE * normal && share > BLOCK_COLLATERAL_MAX {
        Verdict::Excess(Harm::HeldBackBehaved)
    } else {
        Verdict::None
    }
}

const fn missing(witness: &Witness) -> Verdict {
    if witness.visitors_missing { Verdict::Excess(Harm::VisitorsMissing) } else { Verdict::None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Witness {
        Witness {
            visitors: Collateral { hits: 0, records: 10_000 },
            trial: Collateral { hits: 0, records: 40 },
            normal_behaving: 0.7,
            matched_rps: 1_000.0,
            expected_rps: 100.0,
            visitors_missing: false,
        }
    }

    fn check(witness: Witness, expected: Verdict) {
        assert_eq!(judge(&witness), expected, "{witness:?}");
    }

    #[test]
    fn a_rule_that_hits_nobody_stays() {
        check(quiet(), Verdict::None);
    }

    #[test]
    fn a_visitor_with_the_attackers_software_is_what_the_cap_allows() {
        let visitors = Collateral { hits: 4, records: 1_000 };
        check(Witness { visitors, ..quiet() }, Verdict::None);
        let visitors = Collateral { hits: 10, records: 10_000 };
        check(Witness { visitors, ..quiet() }, Verdict::None);
    }

    #[test]
    fn visitors_hit_beyond_the_cap_demote_and_far_beyond_withdraw() {
        let visitors = Collateral { hits: 25, records: 10_000 };
        check(Witness { visitors, ..quiet() }, Verdict::Excess(Harm::VisitorsHit));
        let visitors = Collateral { hits: 40, records: 10_000 };
        check(Witness { visitors, ..quiet() }, Verdict::Gross(Harm::VisitorsHit));
    }

    #[test]
    fn one_stray_browser_on_trial_proves_nothing() {
        let trial = Collateral { hits: 1, records: 3 };
        check(Witness { trial, ..quiet() }, Verdict::None);
    }

    #[test]
    fn a_crowd_on_trial_withdraws_the_rule_that_took_it_for_an_attack() {
        let trial = Collateral { hits: 6, records: 9 };
        check(Witness { trial, ..quiet() }, Verdict::Excess(Harm::HeldBackBehaved));
        let trial = Collateral { hits: 28, records: 40 };
        check(Witness { trial, ..quiet() }, Verdict::Gross(Harm::HeldBackBehaved));
    }

    #[test]
    fn where_visitors_never_fetch_anything_a_trial_says_nothing() {
        let trial = Collateral { hits: 7, records: 9 };
        check(Witness { trial, normal_behaving: 0.05, ..quiet() }, Verdict::None);
    }

    #[test]
    fn visitors_who_stay_away_demote() {
        let witness = Witness { visitors_missing: true, ..quiet() };
        check(witness, Verdict::Excess(Harm::VisitorsMissing));
    }
}
