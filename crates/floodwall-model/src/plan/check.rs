//! What a rule must fulfil to be enforced. It decides and changes nothing.
//!
//! The last gate before honest people could be refused: when in doubt the answer is no.

use super::*;

pub(super) fn check_rule(
    rule: &Rule,
    made_at_ms: u64,
    kept: usize,
    collateral_total: f64,
) -> Result<(), Rejection> {
    let predicates = rule.signature.predicates();
    if kept >= RULES_MAX {
        return Err(Rejection::TooManyRules);
    }
    if predicates.is_empty() || predicates.len() > PREDICATES_MAX {
        return Err(Rejection::SignatureSize);
    }
    if !ends_in_time(made_at_ms, rule.expires_at_ms) {
        return Err(Rejection::Expiry);
    }
    match rule.action {
        Action::Block => check_block(rule, collateral_total),
        Action::Throttle { per_source_per_10s } => check_throttle(rule, per_source_per_10s),
    }
}

fn check_block(rule: &Rule, collateral_total: f64) -> Result<(), Rejection> {
    let predicates = rule.signature.predicates();
    if !predicates.iter().any(|p| p.names_software()) {
        return Err(Rejection::ContextOnly);
    }
    let speaks = |is: &dyn Fn(Family) -> bool| {
        rule.evidence.iter().any(|e| e.log_odds >= 1.0 && is(e.family))
    };
    let identity = speaks(&Family::is_identity);
    let conduct = speaks(&|f| matches!(f, Family::Behaviour | Family::Probe));
    // A few busy machines with real browsers are perhaps a few offices: the answer to what they
    // send is a limit per source, unless their software is one that never came here before.
    let busy_strangers =
        speaks(&|f| f == Family::PerSource) && speaks(&|f| f == Family::Inconsistency);
    if !(identity && (conduct || busy_strangers)) {
        return Err(Rejection::OneFamily);
    }
    let contradicted = rule.evidence.iter().any(|e| e.log_odds <= -2.0);
    if contradicted || rule.log_odds() < BLOCK_LOG_ODDS_MIN {
        return Err(Rejection::WeakEvidence);
    }
    let exact = predicates.iter().all(|p| matches!(p, Predicate::Is(..)));
    let records_min =
        if exact { SMALL_BASELINE_RECORDS_MIN } else { SMALL_BASELINE_UNSEEN_RECORDS_MIN };
    let small_but_clean = rule.projected.hits == 0
        && rule.projected.records >= records_min
        && rule.log_odds() >= SMALL_BASELINE_LOG_ODDS_MIN;
    let bounded = rule.projected.upper_bound() <= BLOCK_COLLATERAL_MAX;
    if !bounded && !small_but_clean && !is_thin_but_plain(rule) {
        return Err(Rejection::Collateral);
    }
    // Nothing examined counts as a share of one; what was not hit in nothing adds nothing.
    let share = if rule.projected.records == 0 { 0.0 } else { rule.projected.share() };
    if collateral_total + share > BLOCK_COLLATERAL_TOTAL_MAX {
        return Err(Rejection::CollateralTotal);
    }
    Ok(())
}

/// Whether a rule may stand on next to no past: what it aims at then has to speak for itself.
fn is_thin_but_plain(rule: &Rule) -> bool {
    let predicates = rule.signature.predicates();
    let exact = predicates.iter().all(|p| matches!(p, Predicate::Is(..)));
    let no_browser =
        predicates.iter().any(|p| matches!(p, Predicate::Is(Attr::Claim, _)) && p.names_software());
    let behaves_like_nobody = rule
        .evidence
        .iter()
        .any(|e| e.family == Family::Behaviour && e.log_odds >= Family::Behaviour.log_odds_cap());
    let contradicted = rule.evidence.iter().any(|e| e.log_odds < 0.0);
    rule.projected.hits == 0
        && exact
        && no_browser
        && behaves_like_nobody
        && !contradicted
        && rule.log_odds() >= THIN_BASELINE_LOG_ODDS_MIN
}

fn check_throttle(rule: &Rule, per_source_per_10s: u32) -> Result<(), Rejection> {
    if per_source_per_10s < THROTTLE_PER_10S_MIN {
        return Err(Rejection::LimitTooLow);
    }
    if rule.log_odds() < THROTTLE_LOG_ODDS_MIN {
        return Err(Rejection::WeakEvidence);
    }
    if rule.projected.upper_bound() > THROTTLE_COLLATERAL_MAX {
        return Err(Rejection::Collateral);
    }
    Ok(())
}
