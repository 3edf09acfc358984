//! The neutral prior: what holds of browsers and of floods on any site, for judging where hardly any
//! past is known. It names no site, no tool and no browser.
//!
//! A rule that refuses anybody on so little must aim at what no browser sends (a browser's name
//! without a browser's headers, or contradicted by them), must have hit nothing in whatever past
//! there is, must answer a rise that drowns the site, and its senders must leave out what visitors
//! of this very site do. A crowd fulfils none of the first and the last, whichever app brings it. Where
//! one is missing there is no rule: limits per source remain.
//!
//! It must never be used where the past suffices, and it cannot be: the plan's check lets its rules
//! pass only with the predicate that aims at such requests.

use std::collections::HashSet;

use floodwall_model::limits::PREDICATES_MAX;
use floodwall_model::plan::SMALL_BASELINE_RECORDS_MIN;
use floodwall_model::{
    Attr, Claim, Collateral, Evidence, Family, Predicate, RequestKind, Signature,
};

use crate::baseline::Frozen;
use crate::evidence::Scene;
use crate::miner::{Mined, anywhere, validate};
use crate::recent::Sample;
use crate::record::Record;

/// A rise that drowns a site is this multiple of what was expected…
const RISE_FACTOR_MIN: f64 = 20.0;
/// … and at least so many requests/s: below, hardly any site drowns.
const RISE_RPS_MIN: f64 = 50.0;
/// Share of what a signature matches that must be what no browser sends.
const CLAIM_SHARE_MIN: f64 = 0.95;
/// Visitors of whom it was seen that they fetch what pages need: the site has such things.
const ENGAGED_SOURCES_MIN: u64 = 2;
/// Beta prior of the share of visitors who fetch what their page needs, on a site that has such
/// things: four in five, as firm as five visitors.
const ENGAGED_PRIOR: f64 = 4.0;
const NOT_ENGAGED_PRIOR: f64 = 1.0;
/// How long after its page a source must have asked for more, tenths of a second.
const SETTLE_DS: u32 = 10;
/// Fewest sources with a settled page.
const SOURCES_MIN: u64 = 15;
/// Sources that fetch what pages need, as a part of normal: a flood's, and where doubt ends.
const FLOOD_MAX: f64 = 0.2;
const VISITORS_MIN: f64 = 0.5;

/// Whether so little is known that rules cannot be measured on it.
pub fn is_thin(past: &Frozen, records_min: usize) -> bool {
    past.records() < records_min || (past.validation.len() as u64) < SMALL_BASELINE_RECORDS_MIN
}

/// Whether a rise is large enough to act on a thin past.
pub fn drowns(observed_rps: f64, expected_rps: f64) -> bool {
    let excess_rps = observed_rps - expected_rps;
    excess_rps >= RISE_RPS_MIN && excess_rps >= RISE_FACTOR_MIN * expected_rps
}

/// The signature narrowed down to what no browser sends; nothing if it is not about such requests,
/// or hits the past that there is.
pub fn narrowed(mined: Mined, sample: &Sample, past: &Frozen) -> Option<Mined> {
    let matched: Vec<&Record> =
        sample.records.iter().filter(|r| mined.signature.matches(&r.attrs, &past.known)).collect();
    let claim = [Claim::Contradicted, Claim::Undressed].into_iter().find(|claim| {
        let such = matched.iter().filter(|r| r.attrs[Attr::Claim] == claim.id()).count() as f64;
        such > 0.0 && such >= CLAIM_SHARE_MIN * matched.len() as f64
    })?;
    let mut predicates = mined.signature.predicates().to_vec();
    if !predicates.iter().any(|p| p.attr() == Attr::Claim) {
        if predicates.len() == PREDICATES_MAX {
            give_way(&mut predicates, past);
        }
        predicates.push(Predicate::Is(Attr::Claim, claim.id()));
    }
    let signature = Signature::new(predicates);
    let untouched = |half: &[crate::baseline::Learned]| {
        !half.iter().any(|l| signature.matches(&l.record.attrs, &past.known))
    };
    (untouched(&past.mining) && untouched(&past.validation)).then(|| Mined {
        projected: validate(&anywhere(signature.predicates()), past),
        matched_rps: mined.matched_rps,
        signature,
    })
}

/// Takes away the condition that most of the past fulfils: it spares the fewest visitors. What the
/// signature hits without it is counted as ever.
fn give_way(predicates: &mut Vec<Predicate>, past: &Frozen) {
    let fulfilled = |predicate: &Predicate| {
        let both = past.mining.iter().chain(&past.validation);
        both.filter(|l| predicate.matches(&l.record.attrs, &past.known)).count()
    };
    let widest = (0..predicates.len()).max_by_key(|at| fulfilled(&predicates[*at]));
    if let Some(widest) = widest {
        predicates.remove(widest);
    }
}

/// What the prior adds to `evidence`, where that has nothing to say.
pub fn completed(
    mut evidence: Vec<Evidence>,
    signature: &Signature,
    scene: &Scene<'_>,
) -> Vec<Evidence> {
    let silent = |evidence: &[Evidence], family| !evidence.iter().any(|e| e.family == family);
    if silent(&evidence, Family::Inconsistency) {
        evidence.extend(claims(signature));
    }
    if silent(&evidence, Family::Behaviour) {
        evidence.extend(behaviour(signature, scene));
    }
    evidence
}

fn claims(signature: &Signature) -> Option<Evidence> {
    let aimed = signature.predicates().iter().find_map(|predicate| match predicate {
        Predicate::Is(Attr::Claim, id) => Claim::of(*id).filter(|c| *c != Claim::Browser),
        _ => None,
    })?;
    Some(Evidence {
        family: Family::Inconsistency,
        log_odds: 3.0,
        statement: format!("all of it has {}, which no browser sends", aimed.words()),
    })
}

/// Do its sources leave out what visitors of this site do after a page?
fn behaviour(signature: &Signature, scene: &Scene<'_>) -> Option<Evidence> {
    let is_of = |r: &Record| signature.matches(&r.attrs, &scene.past.known);
    let visitors = visitors(&is_of, scene);
    if visitors.hits < ENGAGED_SOURCES_MIN {
        return None;
    }
    let normal = (visitors.hits as f64 + ENGAGED_PRIOR)
        / (visitors.records as f64 + ENGAGED_PRIOR + NOT_ENGAGED_PRIOR);
    let seen = settled(&is_of, scene);
    if seen.records < SOURCES_MIN {
        return None;
    }
    let log_odds = if seen.upper_bound() < FLOOD_MAX * normal {
        4.0
    } else if seen.share() > VISITORS_MIN * normal {
        -4.0
    } else {
        0.0
    };
    let statement = format!(
        "of {} sources that got their page, {:.1} % went on to fetch what the page needs ({} of {} \
         others here did; {:.0} % are to be expected)",
        seen.records,
        seen.share() * 100.0,
        visitors.hits,
        visitors.records,
        normal * 100.0
    );
    Some(Evidence { family: Family::Behaviour, log_odds, statement })
}

/// Sources of the past, and those of now that the signature does not match: how many asked for a
/// page, and how many of them for what it needs.
fn visitors(is_of: &impl Fn(&Record) -> bool, scene: &Scene<'_>) -> Collateral {
    let (mut looked_at, mut visitors) = (HashSet::new(), Collateral::default());
    let mut count = |source: u64, engaged: bool| {
        if looked_at.insert(source) {
            visitors.records += 1;
            visitors.hits += u64::from(engaged);
        }
    };
    for learned in scene.past.mining.iter().chain(&scene.past.validation) {
        if let Some(engaged) = learned.engaged
            && learned.record.kind == RequestKind::Page
        {
            count(learned.record.source, engaged);
        }
    }
    let settled = |r: &&Record| r.kind == RequestKind::Page && r.passed && !is_of(r);
    for record in scene.recent.between(0, scene.now_ms).flat_map(|e| e.records()).filter(settled) {
        let state = scene.sources.find(record.source);
        if let Some(state) = state.filter(|s| s.page_settled(scene.now_ds, SETTLE_DS)) {
            count(record.source, state.engaged());
        }
    }
    visitors
}

/// Sources of the signature that got a page and had time to go on: `hits` did, of `records`.
fn settled(is_of: &impl Fn(&Record) -> bool, scene: &Scene<'_>) -> Collateral {
    let (mut looked_at, mut seen) = (HashSet::new(), Collateral::default());
    let from_ms = scene.onset_ms.saturating_sub(1_000);
    let records = scene.recent.between(from_ms, scene.now_ms).flat_map(|e| e.records());
    for record in records.filter(|r| r.kind == RequestKind::Page && r.passed && is_of(r)) {
        if !looked_at.insert(record.source) {
            continue;
        }
        let state = scene.sources.find(record.source);
        if let Some(state) = state.filter(|s| s.page_settled(scene.now_ds, SETTLE_DS)) {
            seen.records += 1;
            seen.hits += u64::from(state.engaged());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Learned;
    use floodwall_model::{Attrs, ValueId};

    fn record(order: u64, claim: ValueId) -> Record {
        let mut attrs = Attrs::default();
        attrs[Attr::HeaderOrder] = ValueId(order);
        attrs[Attr::Claim] = claim;
        let kind = RequestKind::Page;
        Record {
            at_ms: 0,
            source: order,
            attrs,
            kind,
            explained: false,
            passed: true,
            prompted: false,
        }
    }

    #[test]
    fn only_a_rise_that_drowns_a_site_is_answered_on_a_thin_past() {
        let check = |observed_rps: f64, expected_rps: f64, expected: bool| {
            assert_eq!(drowns(observed_rps, expected_rps), expected, "{observed_rps}");
        };
        check(49.0, 0.0, false);
        check(51.0, 0.2, true);
        check(100.0, 5.0, false);
        check(110.0, 5.0, true);
    }

    #[test]
    fn a_signature_is_narrowed_to_what_no_browser_sends_or_dropped() {
        let undressed = Claim::Undressed.id();
        let check = |now: &[Record], past: &[Record], expected: bool, what: &str| {
            let learned = |r: &Record| Learned { record: *r, engaged: Some(true) };
            let past = Frozen::for_tests(past.iter().map(learned).collect(), Vec::new());
            let sample = Sample { records: now.to_vec(), count: now.len() as u64, span_ms: 1_000 };
            let mined = Mined {
                signature: Signature::new(vec![Predicate::Is(Attr::HeaderOrder, ValueId(7))]),
                matched_rps: 1_000.0,
                projected: Collateral::default(),
            };
            let narrowed = narrowed(mined, &sample, &past);
            assert_eq!(narrowed.is_some(), expected, "{what}");
            if let Some(narrowed) = narrowed {
                let aims = Predicate::Is(Attr::Claim, undressed);
                assert!(narrowed.signature.predicates().contains(&aims), "{what}");
            }
        };
        let tool = vec![record(7, undressed); 100];
        let browser = vec![record(7, Claim::Browser.id()); 10];
        check(&tool, &[], true, "a browser's name without its headers");
        check(&browser, &[], false, "a browser");
        check(&[record(7, ValueId::ABSENT)], &[], false, "what claims nothing");
        check(&[&tool[..], &browser[..]].concat(), &[], false, "one in eleven is a browser");
        check(&tool, &browser, true, "its browsers are not hit by what is narrowed");
        check(&tool, &tool[..1], false, "it came before");
        check(&[], &[], false, "nothing is matched");
    }

    /// A signature that named the release of the software had no place left for what no browser
    /// sends, and was dropped without a word: 20 of 60 attacks on a small site went unstopped.
    #[test]
    fn a_full_signature_gives_up_what_most_of_the_past_fulfils() {
        let absent = |attr| Predicate::Is(attr, ValueId::ABSENT);
        let of_software = Predicate::Is(Attr::HeaderOrder, ValueId(7));
        let agent = Predicate::Is(Attr::UserAgent, ValueId(9));
        let language = Predicate::Is(Attr::Language, ValueId(5));
        let (cookie, referer) = (absent(Attr::CookieState), absent(Attr::RefererClass));
        let mut flood = record(7, Claim::Undressed.id());
        flood.attrs[Attr::UserAgent] = ValueId(9);
        flood.attrs[Attr::Language] = ValueId(5);
        flood.attrs[Attr::CookieState] = ValueId::ABSENT;
        flood.attrs[Attr::RefererClass] = ValueId::ABSENT;
        let visitor = |number: u64| {
            let mut record = record(100 + number, Claim::Browser.id());
            record.attrs[Attr::CookieState] = ValueId::ABSENT;
            record.attrs[Attr::RefererClass] = ValueId(40 + number % 2 * 3);
            Learned { record, engaged: Some(true) }
        };
        let past = Frozen::for_tests((0..30).map(visitor).collect(), Vec::new());
        let sample = Sample { records: vec![flood; 100], count: 100, span_ms: 1_000 };
        let mined = Mined {
            signature: Signature::new(vec![of_software, agent, language, cookie, referer]),
            matched_rps: 1_000.0,
            projected: Collateral::default(),
        };
        let narrowed = narrowed(mined, &sample, &past).expect("a signature");
        let aims = Predicate::Is(Attr::Claim, Claim::Undressed.id());
        let expected = Signature::new(vec![of_software, agent, language, referer, aims]);
        assert_eq!(narrowed.signature, expected);
    }
}
