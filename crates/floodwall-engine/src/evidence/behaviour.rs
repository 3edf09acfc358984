//! E3: what sources do after their first page.
//!
//! Only of sources that had the chance: a drowning origin makes honest visitors look like bots. It
//! must never take somebody's silence for guilt where visitors are silent, too.

use std::collections::HashSet;

use floodwall_model::{Collateral, Evidence, Family, RequestKind};

use super::{Scene, Stratum};
use crate::ablation::{Ablation, granted};
use crate::record::Record;

/// How long after a page was answered its assets must have been asked for, tenths of a second.
const SETTLE_DS: u32 = 10;
/// How far back behaviour is looked at, ms, unless little comes.
pub const BEHAVIOUR_MS: u64 = 8_000;
/// Fewest sources with a settled page.
const BEHAVIOUR_SOURCES_MIN: u64 = 15;
/// Fewest past records to say what is normal.
const BEHAVIOUR_PAST_MIN: u64 = 50;
/// Where fewer visitors than this fetch sub-resources, their absence says nothing.
const BEHAVIOUR_NORMAL_MIN: f64 = 0.10;
/// Ratio to normal of an attack and of a crowd.
const BEHAVIOUR_ATTACK_MAX: f64 = 0.2;
const BEHAVIOUR_CROWD_MIN: f64 = 0.7;

/// Do its sources do what visitors do after a page: fetch what the page needs?
pub(super) fn behaviour(
    select: impl Fn(&Record) -> bool,
    stratum: &Stratum,
    scene: &Scene<'_>,
) -> Option<Evidence> {
    if scene.ablation == Some(Ablation::NoBehaviour) {
        return Some(granted(Family::Behaviour, 4.0));
    }
    let (engaged, looked_at) = scene.past.engaged_share(stratum.kind, |r| stratum.holds(r));
    let (engaged, looked_at) = if looked_at >= BEHAVIOUR_PAST_MIN {
        (engaged, looked_at)
    } else {
        scene.past.engaged_share(stratum.kind, |_| true)
    };
    let normal = engaged as f64 / looked_at.max(1) as f64;
    if looked_at < BEHAVIOUR_PAST_MIN || normal < BEHAVIOUR_NORMAL_MIN {
        return None;
    }
    let seen = settled_sources(select, stratum.kind, scene);
    if seen.records < BEHAVIOUR_SOURCES_MIN {
        return None;
    }
    let (share, at_most) = (seen.share(), seen.upper_bound());
    let at_least =
        1.0 - Collateral { hits: seen.records - seen.hits, records: seen.records }.upper_bound();
    let log_odds = if at_most < BEHAVIOUR_ATTACK_MAX * normal {
        4.0
    } else if at_most < 2.0 * BEHAVIOUR_ATTACK_MAX * normal {
        2.0
    } else if at_least > BEHAVIOUR_CROWD_MIN * normal {
        -4.0
    } else if share > 0.5 * normal {
        -1.0
    } else {
        0.0
    };
    let statement = format!(
        "of {} sources that got their page, {:.1} % went on to fetch what the page needs \
         (normally {:.0} %)",
        seen.records,
        share * 100.0,
        normal * 100.0
    );
    Some(Evidence { family: Family::Behaviour, log_odds, statement })
}

/// Distinct sources of the stratum that had time to behave: `hits` did, of `records`.
fn settled_sources(
    select: impl Fn(&Record) -> bool,
    kind: RequestKind,
    scene: &Scene<'_>,
) -> Collateral {
    let until_ms = scene.now_ms.saturating_sub(u64::from(SETTLE_DS) * 100);
    let from_ms =
        scene.now_ms.saturating_sub(scene.behaviour_ms).max(scene.onset_ms.saturating_sub(1_000));
    let mut looked_at = HashSet::new();
    let mut seen = Collateral::default();
    for record in scene.recent.between(from_ms, until_ms).flat_map(|e| e.records()) {
        let belongs = record.passed && record.kind == kind && select(record);
        if !belongs || !looked_at.insert(record.source) {
            continue;
        }
        let Some(state) = scene.sources.find(record.source) else { continue };
        // A source whose page is still on its way, or failed, had no chance to fetch anything.
        let had_a_chance = kind != RequestKind::Page || state.page_settled(scene.now_ds, SETTLE_DS);
        if had_a_chance {
            seen.records += 1;
            seen.hits += u64::from(state.engaged());
        }
    }
    seen
}
