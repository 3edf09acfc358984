//! E7: where requests come from, as far as this site has met it before.
//!
//! It must never carry a rule: it is trivially forged by whoever rents visitors' lines, and its cap
//! says so.

use std::collections::HashSet;

use floodwall_model::{Evidence, Family};

use super::Scene;
use crate::record::Record;

/// Days and networks that must be known before networks say anything, and sources asked about.
const PROVENANCE_DAYS_MIN: usize = 3;
const PROVENANCE_NETWORKS_MIN: usize = 1_000;
const PROVENANCE_SOURCES_MIN: usize = 50;
/// Share of sources in known networks, of a crowd and of an attack.
const PROVENANCE_CROWD_MIN: f64 = 0.4;
const PROVENANCE_ATTACK_MAX: f64 = 0.14;

/// Do its sources come from networks in which visitors were met lately? Of the client clusters of
/// flash events 43 to 83 % had been seen before, of attacks 0.6 to 14 % (Jung, Krishnamurthy and
/// Rabinovich, WWW 2002). Attackers who rent visitors' lines have weakened that, so it says little.
pub(super) fn seen_before(matched: &[&Record], scene: &Scene<'_>) -> Option<Evidence> {
    let networks = scene.past.networks();
    let (noted, _, _) = networks.occupancy();
    if networks.days() < PROVENANCE_DAYS_MIN || noted < PROVENANCE_NETWORKS_MIN {
        return None;
    }
    let sources: HashSet<u64> = matched.iter().map(|r| r.source).collect();
    if sources.len() < PROVENANCE_SOURCES_MIN {
        return None;
    }
    let seen = sources.iter().filter(|source| networks.contains(**source)).count();
    let share = seen as f64 / sources.len() as f64;
    let log_odds = log_odds(share)?;
    let statement = format!(
        "{:.0} % of its {} sources are in networks from which visitors came in the last seven days",
        share * 100.0,
        sources.len()
    );
    Some(Evidence { family: Family::Provenance, log_odds, statement })
}

/// What a share of sources in known networks says.
fn log_odds(share: f64) -> Option<f64> {
    if share >= PROVENANCE_CROWD_MIN {
        Some(-1.0)
    } else if share <= PROVENANCE_ATTACK_MAX {
        Some(0.5)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_comes_from_known_networks_and_in_between_nothing_is_said() {
        for (share, expected) in [
            (0.0, Some(0.5)),
            (0.14, Some(0.5)),
            (0.25, None),
            (0.43, Some(-1.0)),
            (1.0, Some(-1.0)),
        ] {
            assert_eq!(log_odds(share), expected, "{share}");
            assert!(expected.is_none_or(|l: f64| l.abs() <= Family::Provenance.log_odds_cap()));
        }
    }
}
