//! E6: the countries and networks that requests come from, against those of the site's own visitors.
//!
//! Where no database is read, nothing is said. It must never carry a rule: lines in homes are for
//! rent, and a newspaper abroad that links to a page sends people whom the site never saw. Its cap
//! says so, what countries and networks say counts a third of it, and it is none of the two kinds of
//! evidence that a block needs.

use std::collections::HashSet;

use floodwall_model::{Attr, Evidence, Family, NetworkClass, ValueId};

use super::{MIX_ATTACK_MIN, MIX_CROWD_MAX, Mix, Scene, Stratum, divergence};
use crate::baseline::Learned;
use crate::random::Random;
use crate::record::Record;

/// Sources whose place is known, of now and of the past, before anything is said.
const SOURCES_MIN: usize = 30;
const PAST_SOURCES_MIN: usize = 100;
/// Records looked at of each half of the past. When there are more: an even subset.
const PAST_RECORDS_MAX: usize = 8_192;
/// Sources drawn to measure how far two honest samples of such sizes differ by chance.
const NOISE_SOURCES: usize = 1_000;
/// Sources in hosting networks are an attack's if they are so many times the usual share (§ 3.4), …
const HOSTING_TIMES_MIN: f64 = 3.0;
/// … and so much more of all: three times next to nothing is next to nothing.
const HOSTING_MORE_MIN: f64 = 0.15;
/// Up to so much more than usual a crowd may have.
const HOSTING_CROWD_MAX: f64 = 0.05;

/// Do its sources come from where visitors come from? `matched` is what a signature matches, and each
/// source counts once, however much it sends.
pub(super) fn network(
    matched: &[&Record],
    stratum: &Stratum,
    scene: &Scene<'_>,
) -> Option<Evidence> {
    let now = Origins::of(matched.iter().copied());
    // Asked first: the past is only gone through where a database is read.
    if now.sources.len() < SOURCES_MIN {
        return None;
    }
    let half = |half: &[Learned]| {
        let step = half.len().div_ceil(PAST_RECORDS_MAX).max(1);
        let records = half.iter().step_by(step).map(|l| l.record);
        let of_kind = |r: &Record| r.kind == stratum.kind && !r.prompted;
        records.filter(of_kind).collect::<Vec<Record>>()
    };
    let (a, b) = (half(&scene.past.mining), half(&scene.past.validation));
    let past = Origins::of(a.iter().chain(&b));
    if past.sources.len() < PAST_SOURCES_MIN {
        return None;
    }
    let chance = Chance::of(&a, &b, now.sources.len(), scene.seed);
    let found = Found {
        hosting: now.hosting_share(),
        hosting_before: past.hosting_share(),
        countries: beyond(divergence(&now.countries, &past.countries), chance.countries),
        networks: beyond(divergence(&now.networks, &past.networks), chance.networks),
    };
    let statement = statement(&now, &past, &found);
    Some(Evidence { family: Family::Network, log_odds: found.log_odds()?, statement })
}

/// Only what the databases know is spoken of.
fn statement(now: &Origins, past: &Origins, found: &Found) -> String {
    let mut parts = Vec::new();
    if now.classed + past.classed > 0 {
        let (is, was) = (found.hosting * 100.0, found.hosting_before * 100.0);
        parts.push(format!("{is:.0} % are in hosting networks (normally {was:.1} %)"));
    }
    for (what, mix, differs) in [
        ("countries", &past.countries, found.countries),
        ("networks", &past.networks, found.networks),
    ] {
        if !mix.is_empty() {
            parts.push(format!("their {what} differ from the visitors' by {differs:.2}"));
        }
    }
    let scale = if parts.len() > 1 { " (0 is the same, 1 has nothing in common)" } else { "" };
    format!("of its {} sources, {}{scale}", now.sources.len(), parts.join("; "))
}

/// What was measured.
#[derive(Copy, Clone, Debug)]
struct Found {
    hosting: f64,
    hosting_before: f64,
    countries: f64,
    networks: f64,
}

impl Found {
    fn log_odds(&self) -> Option<f64> {
        let more = self.hosting - self.hosting_before;
        let hosted =
            self.hosting >= HOSTING_TIMES_MIN * self.hosting_before && more >= HOSTING_MORE_MIN;
        let farthest = self.countries.max(self.networks);
        match (hosted, farthest >= MIX_ATTACK_MIN) {
            (true, _) => Some(1.5),
            (false, true) => Some(0.5),
            // Half of what provenance takes off for known networks: the two are nearly the same.
            _ if more <= HOSTING_CROWD_MAX && farthest < MIX_CROWD_MAX => Some(-0.5),
            _ => None,
        }
    }
}

/// Where sources are whose place is known.
#[derive(Default)]
struct Origins {
    sources: HashSet<u64>,
    classed: usize,
    hosting: usize,
    countries: Mix,
    networks: Mix,
}

impl Origins {
    fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut origins = Origins::default();
        let placed = |r: &&Record| Attr::ALL.iter().any(|a| a.is_place() && r.attrs[*a].is_known());
        for record in records.filter(placed) {
            if !origins.sources.insert(record.source) {
                continue;
            }
            origins.classed += usize::from(record.attrs[Attr::NetworkClass].is_known());
            origins.hosting +=
                usize::from(record.attrs[Attr::NetworkClass] == NetworkClass::Hosting.id());
            for (mix, attr) in
                [(&mut origins.countries, Attr::Country), (&mut origins.networks, Attr::Network)]
            {
                let ValueId(id) = record.attrs[attr];
                if record.attrs[attr].is_known() {
                    *mix.entry(id).or_default() += 1.0;
                }
            }
        }
        origins
    }

    fn hosting_share(&self) -> f64 {
        self.hosting as f64 / self.sources.len().max(1) as f64
    }
}

/// How far two honest samples differ by chance: one half of the past against a draw from the other.
struct Chance {
    countries: f64,
    networks: f64,
}

impl Chance {
    fn of(a: &[Record], b: &[Record], sources: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let drawn = (0..sources.min(NOISE_SOURCES))
            .filter_map(|n| {
                let at = random.below(b.len().max(1) as u64) as usize;
                // Each draw is a source of its own, as each of those that arrive is.
                b.get(at).map(|record| Record { source: n as u64, ..*record })
            })
            .collect::<Vec<_>>();
        let (drawn, rest) = (Origins::of(drawn.iter()), Origins::of(a.iter()));
        Chance {
            countries: divergence(&drawn.countries, &rest.countries),
            networks: divergence(&drawn.networks, &rest.networks),
        }
    }
}

/// What of a divergence chance does not explain.
fn beyond(measured: f64, by_chance: f64) -> f64 {
    ((measured - by_chance) / (1.0 - by_chance).max(0.01)).max(0.0)
}

#[cfg(test)]
mod tests;
