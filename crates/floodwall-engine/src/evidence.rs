//! Attack or crowd? Independent kinds of evidence about one signature's target.
//!
//! Every family answers with capped log-odds or not at all; silence is not evidence of innocence
//! nor of guilt. The judgement rests on the stratum (what the signature aims at), never on the
//! incident as a whole, because crowds and attacks come together (design/detection.md § 3.4).

mod behaviour;
mod network;
mod occasion;
mod provenance;

pub use behaviour::BEHAVIOUR_MS;

use std::collections::{HashMap, HashSet};

use floodwall_model::{Attr, Claim, Evidence, Family, RequestKind, Signature, ValueId};

use crate::ablation::{Ablation, granted};
use crate::baseline::{Frozen, Learned};
use crate::calendar::Calendar;
use crate::random::Random;
use crate::recent::{Recent, Sample};
use crate::record::Record;
use crate::sources::Sources;

/// Divergence of client mixes: at most this is a crowd's (§ 3.4, E1).
const MIX_CROWD_MAX: f64 = 0.10;
/// Divergence of client mixes: at least this is an attack's.
const MIX_ATTACK_MIN: f64 = 0.25;
/// Records of excess needed before a mix is compared.
const MIX_RECORDS_MIN: f64 = 20.0;
/// Two honest samples that differ by more than this are too small to tell by them: even a mix that has
/// nothing in common with the site's would not stand out by what makes an attack.
const MIX_NOISE_MAX: f64 = 1.0 - MIX_ATTACK_MIN;
/// Records drawn to measure how far two honest samples of such sizes differ by chance.
const MIX_NOISE_RECORDS: usize = 1_000;
/// E2: share of the stratum sent by never-seen implementations.
const UNSEEN_ATTACK_MIN: f64 = 0.20;
/// E2: … and how many sources of them, if they may be browsers.
const UNSEEN_SOURCES_MIN: usize = 5;
/// Paths that make up a stratum. When there are more, the stratum is not restricted by path.
const STRATUM_PATHS_MAX: usize = 64;

/// Everything a family may look at.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Time, ms.
    pub now_ms: u64,
    /// The same in the source table's tenths of a second.
    pub now_ds: u32,
    /// When the rise began, ms.
    pub onset_ms: u64,
    /// What arrives now.
    pub now: &'a Sample,
    /// The last seconds, by epoch.
    pub recent: &'a Recent,
    /// How far back behaviour is looked at in them, ms.
    pub behaviour_ms: u64,
    /// The past.
    pub past: &'a Frozen,
    /// What sources did.
    pub sources: &'a Sources,
    /// Declared events.
    pub calendar: &'a Calendar,
    /// Rate of requests that no page asks for, expected without the rise, requests/s.
    pub expected_rps: f64,
    /// Most that honest sources send in ten seconds.
    pub per_source_per_10s: u32,
    /// How long the rise took from a tenth to nine tenths of its height, ms, if it is over.
    pub rise_ms: Option<u64>,
    /// For the noise measurement.
    pub seed: u64,
    /// What a measurement leaves out.
    pub ablation: Option<Ablation>,
}

/// All evidence about `signature`.
pub fn gather(signature: &Signature, scene: &Scene<'_>) -> Vec<Evidence> {
    let known = &scene.past.known;
    let matched: Vec<&Record> =
        scene.now.records.iter().filter(|r| signature.matches(&r.attrs, known)).collect();
    let stratum = Stratum::of(&matched);
    let mut evidence: Vec<Evidence> = [
        implementation_mix(&stratum, scene),
        inconsistency(&matched, scene),
        behaviour::behaviour(|r| signature.matches(&r.attrs, known), &stratum, scene),
        per_source(&matched, scene),
        network::network(&matched, &stratum, scene),
        ramp(scene),
    ]
    .into_iter()
    .flatten()
    .collect();
    // Last, since what the others have proved is not its to doubt.
    let declared = scene.calendar.provenance(&matched, &evidence);
    evidence.extend(declared.or_else(|| provenance::seen_before(&matched, scene)));
    evidence
}

/// Evidence about the rise as a whole, whatever would describe it: for the account, never for a
/// rule.
pub fn gather_overall(scene: &Scene<'_>) -> Vec<Evidence> {
    let all: Vec<&Record> = scene.now.records.iter().collect();
    let stratum = Stratum::of(&all);
    let everything = |_: &Record| true;
    [
        implementation_mix(&stratum, scene),
        behaviour::behaviour(everything, &stratum, scene),
        occasion::occasion(scene),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a signature aims at, whoever asks: the paths and the kind of its requests.
struct Stratum {
    paths: Option<HashSet<ValueId>>,
    kind: RequestKind,
}

impl Stratum {
    fn of(matched: &[&Record]) -> Self {
        let mut paths: HashMap<ValueId, usize> = HashMap::new();
        let mut kinds: HashMap<RequestKind, usize> = HashMap::new();
        for record in matched {
            *paths.entry(record.attrs[Attr::PathTemplate]).or_default() += 1;
            *kinds.entry(record.kind).or_default() += 1;
        }
        let kind = kinds.into_iter().max_by_key(|(_, n)| *n).map_or(RequestKind::Page, |k| k.0);
        let mut by_count: Vec<(usize, ValueId)> = paths.into_iter().map(|(v, n)| (n, v)).collect();
        by_count.sort_unstable_by(|a, b| b.cmp(a));
        let mut covered = 0;
        let mut chosen = HashSet::new();
        for (count, value) in by_count {
            if covered * 10 >= matched.len() * 9 {
                break;
            }
            covered += count;
            chosen.insert(value);
        }
        let paths = (chosen.len() <= STRATUM_PATHS_MAX).then_some(chosen);
        Stratum { paths, kind }
    }

    fn holds(&self, record: &Record) -> bool {
        record.kind == self.kind
            && self.paths.as_ref().is_none_or(|p| p.contains(&record.attrs[Attr::PathTemplate]))
    }
}

type Mix = HashMap<u64, f64>;

fn mix_of<'a>(records: impl Iterator<Item = &'a Record>) -> Mix {
    mix_by(records, Record::implementation)
}

fn mix_by<'a>(records: impl Iterator<Item = &'a Record>, key: impl Fn(&Record) -> u64) -> Mix {
    let mut mix = Mix::new();
    for record in records {
        *mix.entry(key(record)).or_default() += 1.0;
    }
    mix
}

/// Jensen–Shannon divergence of two unnormalised mixes, in bits: 0 equal, 1 disjoint.
fn divergence(a: &Mix, b: &Mix) -> f64 {
    let (sum_a, sum_b): (f64, f64) = (a.values().sum(), b.values().sum());
    if sum_a <= 0.0 || sum_b <= 0.0 {
        return 0.0;
    }
    let term = |p: f64, m: f64| if p > 0.0 { p * (p / m).log2() } else { 0.0 };
    let keys: HashSet<&u64> = a.keys().chain(b.keys()).collect();
    let total: f64 = keys
        .into_iter()
        .map(|key| {
            let p = a.get(key).unwrap_or(&0.0) / sum_a;
            let q = b.get(key).unwrap_or(&0.0) / sum_b;
            let m = (p + q) / 2.0;
            (term(p, m) + term(q, m)) / 2.0
        })
        .sum();
    total.clamp(0.0, 1.0)
}

/// E1: does the client software of the excess differ from the site's own?
fn implementation_mix(stratum: &Stratum, scene: &Scene<'_>) -> Option<Evidence> {
    if scene.ablation == Some(Ablation::NoGate) {
        return Some(granted(Family::Implementation, 3.0));
    }
    let past = || {
        let both = scene.past.mining.iter().chain(&scene.past.validation);
        both.map(|l| &l.record).filter(|r| !r.prompted)
    };
    let same_kind = |r: &&Record| r.kind == stratum.kind;
    let past_weight = scene.expected_rps / scene.past.unprompted_in_both().max(1) as f64;
    let now_weight = scene.now.weight_rps();
    let mut excess = mix_of(scene.now.records.iter().filter(|r| stratum.holds(r)));
    let before = mix_of(past().filter(|r| stratum.holds(r)));
    for (client, count) in &mut excess {
        let expected = before.get(client).unwrap_or(&0.0) * past_weight / now_weight.max(1e-9);
        *count = (*count - expected).max(0.0);
    }
    let records: f64 = excess.values().sum();
    let normal = mix_of(past().filter(same_kind));
    if records < MIX_RECORDS_MIN || normal.values().sum::<f64>() < MIX_RECORDS_MIN {
        return None;
    }
    let noise = noise_divergence(stratum.kind, records as usize, scene, Record::implementation);
    let (beyond_noise, log_odds) = mix_log_odds(divergence(&excess, &normal), noise)?;
    let statement = format!(
        "the client software asking for this differs from the site's own by {beyond_noise:.2} \
         (0 is the same, 1 has nothing in common; a crowd stays below {MIX_CROWD_MAX:.2})"
    );
    Some(Evidence { family: Family::Implementation, log_odds, statement })
}

/// What a divergence says beyond `noise`, by which two honest samples of such sizes differ, and its
/// log-odds.
fn mix_log_odds(measured: f64, noise: f64) -> Option<(f64, f64)> {
    if noise > MIX_NOISE_MAX {
        return None;
    }
    let beyond_noise = ((measured - noise) / (1.0 - noise)).max(0.0);
    let log_odds = if beyond_noise >= MIX_ATTACK_MIN {
        (1.5 + (beyond_noise - MIX_ATTACK_MIN) * 6.0).min(3.0)
    } else if beyond_noise < MIX_CROWD_MAX {
        -3.0
    } else {
        0.0
    };
    Some((beyond_noise, log_odds))
}

/// How far two honest samples of such sizes differ by chance: one half of the past against a draw
/// from the other half.
fn noise_divergence(
    kind: RequestKind,
    records: usize,
    scene: &Scene<'_>,
    key: impl Fn(&Record) -> u64,
) -> f64 {
    fn of_kind(half: &[Learned], kind: RequestKind) -> Vec<&Record> {
        half.iter().map(|l| &l.record).filter(|r| r.kind == kind && !r.prompted).collect()
    }
    let a = of_kind(&scene.past.mining, kind);
    let b = of_kind(&scene.past.validation, kind);
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let mut random = Random::new(scene.seed);
    let drawn: Vec<&Record> = (0..records.min(MIX_NOISE_RECORDS))
        .map(|_| b[random.below(b.len() as u64) as usize])
        .collect();
    divergence(&mix_by(drawn.into_iter(), &key), &mix_by(a.into_iter(), &key))
}

/// E2: is it sent by implementations that never came here before?
fn inconsistency(matched: &[&Record], scene: &Scene<'_>) -> Option<Evidence> {
    if (matched.len() as f64) < MIX_RECORDS_MIN || scene.past.validation.is_empty() {
        return None;
    }
    let unseen = |attr_known: &floodwall_model::KnownValues, r: &Record| {
        attr_known.is_unseen(Attr::Implementation, r.attrs[Attr::Implementation])
    };
    let strange = || matched.iter().filter(|r| unseen(&scene.past.known, r));
    // However much one machine sends, it is one client that was never here before; and a browser that
    // looks like one is perhaps a rare one.
    let strangers: HashSet<u64> = strange().map(|r| r.source).collect();
    let may_be_browser = |r: &&&Record| matches!(r.attrs[Attr::Claim], c if c == Claim::Browser.id() || !c.is_known());
    let browsers = strange().filter(may_be_browser).count() * 2 > strange().count();
    if browsers && strangers.len() < UNSEEN_SOURCES_MIN {
        return None;
    }
    let now = strange().count() as f64 / matched.len() as f64;
    let honest = scene
        .past
        .validation
        .iter()
        .filter(|l| unseen(&scene.past.known_to_mining, &l.record))
        .count() as f64
        / scene.past.validation.len() as f64;
    let remarkable = now >= UNSEEN_ATTACK_MIN && now >= 3.0 * honest + 0.1;
    if !remarkable {
        return None;
    }
    Some(Evidence {
        family: Family::Inconsistency,
        log_odds: if now >= 0.5 { 3.0 } else { 1.5 },
        statement: format!(
            "{:.0} % of it comes from combinations of software that never visited before \
             (normally {:.1} %)",
            now * 100.0,
            honest * 100.0
        ),
    })
}

/// E5: does each source send far more than visitors do? Only this direction is evidence: an attack
/// of one request per source and three seconds looks harmless by this measure.
fn per_source(matched: &[&Record], scene: &Scene<'_>) -> Option<Evidence> {
    if matched.is_empty() {
        return None;
    }
    let over = matched
        .iter()
        .filter(|r| {
            scene
                .sources
                .find(r.source)
                .is_some_and(|s| s.window_count() > scene.per_source_per_10s)
        })
        .count() as f64
        / matched.len() as f64;
    (over >= 0.5).then(|| Evidence {
        family: Family::PerSource,
        log_odds: 2.0,
        statement: format!(
            "{:.0} % of it comes from sources that send more than {} requests in ten seconds, \
             twice what the busiest visitors send",
            over * 100.0,
            scene.per_source_per_10s
        ),
    })
}

/// E8: people do not arrive within a second of each other.
fn ramp(scene: &Scene<'_>) -> Option<Evidence> {
    let rise_ms = scene.rise_ms?;
    let log_odds = if rise_ms < 1_000 {
        1.0
    } else if rise_ms > 10_000 {
        -1.0
    } else {
        return None;
    };
    let statement = format!("the rise took {:.1} s", rise_ms as f64 / 1000.0);
    Some(Evidence { family: Family::Ramp, log_odds, statement })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(parts: &[(u64, f64)]) -> Mix {
        parts.iter().copied().collect()
    }

    #[test]
    fn divergence_is_zero_for_equal_and_one_for_disjoint_mixes() {
        let a = mix(&[(1, 30.0), (2, 10.0)]);
        assert!(divergence(&a, &mix(&[(1, 3.0), (2, 1.0)])) < 1e-9);
        assert!((divergence(&a, &mix(&[(3, 1.0)])) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_moderate_shift_of_the_mix_stays_below_the_crowd_limit() {
        // Mobile share from 49 % to 75 %: the shift measured on a flash crowd.
        let before = mix(&[(1, 49.0), (2, 51.0)]);
        let crowd = mix(&[(1, 75.0), (2, 25.0)]);
        assert!(divergence(&before, &crowd) < MIX_CROWD_MAX);
    }

    /// On a site of 0.2 requests/s the two halves of ten minutes had no client in common, so noise
    /// was 1 and every attack was called a crowd: 10 of 60 tools in browsers' names went unstopped.
    #[test]
    fn samples_too_small_to_tell_by_say_nothing_instead_of_a_crowd() {
        let check = |measured: f64, noise: f64, expected: Option<f64>| {
            let log_odds = mix_log_odds(measured, noise).map(|(_, log_odds)| log_odds);
            assert_eq!(log_odds, expected, "{measured} with noise {noise}");
        };
        check(1.0, 1.0, None);
        check(0.8, 0.8, None);
        check(1.0, 0.7, Some(3.0));
        check(0.7, 0.7, Some(-3.0));
        check(0.05, 0.0, Some(-3.0));
        check(0.15, 0.0, Some(0.0));
        check(0.5, 0.0, Some(3.0));
    }

    #[test]
    fn a_single_tool_is_far_from_a_sites_mix() {
        let before = mix(&[(1, 20.0), (2, 20.0), (3, 20.0), (4, 40.0)]);
        assert!(divergence(&before, &mix(&[(9, 1.0)])) > 0.9);
        assert!(divergence(&before, &mix(&[(1, 1.0)])) > MIX_ATTACK_MIN);
    }
}
