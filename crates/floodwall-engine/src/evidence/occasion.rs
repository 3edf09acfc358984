//! E7, for the account: did something draw them here?
//!
//! A crowd comes because of something: results, a manifesto, a link on another site. So it asks for
//! one thing, or for few. A rise of ordinary visits in ordinary proportions has no occasion: recorded
//! visits that are played again look like that. It must never speak for a rule: an attack on one page
//! has an occasion, too.

use floodwall_model::{Attr, Evidence, Family, RequestKind};

use super::{MIX_RECORDS_MIN, Scene, divergence, mix_by, noise_divergence};
use crate::record::Record;

/// Pages asked for differ from everyday by at least this much where something draws people. A page
/// that half of a rise asks for and one in twenty visitors otherwise differs by 0.2.
const DRAWN_MIN: f64 = 0.15;
const LOG_ODDS: f64 = -1.0;

/// Whether the pages that the rise asks for are others than everyday.
pub(super) fn occasion(scene: &Scene<'_>) -> Option<Evidence> {
    let page = |r: &Record| r.attrs[Attr::PathTemplate].0;
    let alone = |r: &&Record| r.kind == RequestKind::Page && !r.prompted;
    let past = scene.past.mining.iter().chain(&scene.past.validation).map(|l| &l.record);
    let normal = mix_by(past.filter(alone), page);
    let past_weight = scene.expected_rps / scene.past.unprompted_in_both().max(1) as f64;
    let now_weight = scene.now.weight_rps().max(1e-9);
    let mut excess = mix_by(scene.now.records.iter().filter(alone), page);
    for (page, count) in &mut excess {
        let expected = normal.get(page).unwrap_or(&0.0) * past_weight / now_weight;
        *count = (*count - expected).max(0.0);
    }
    let records: f64 = excess.values().sum();
    if records < MIX_RECORDS_MIN || normal.values().sum::<f64>() < MIX_RECORDS_MIN {
        return None;
    }
    let noise = noise_divergence(RequestKind::Page, records as usize, scene, page);
    let differs = ((divergence(&excess, &normal) - noise) / (1.0 - noise).max(0.01)).max(0.0);
    let (log_odds, what) = if differs >= DRAWN_MIN {
        (LOG_ODDS, "something draws them")
    } else {
        (0.0, "nothing in particular draws them")
    };
    let statement = format!(
        "the pages they ask for differ from everyday by {differs:.2} (0 is the same, 1 has nothing \
         in common): {what}"
    );
    Some(Evidence { family: Family::Provenance, log_odds, statement })
}
