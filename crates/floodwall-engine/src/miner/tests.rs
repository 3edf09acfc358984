//! The miner against a plain statement of what it should find, and against an exhaustive search.

use floodwall_model::{Attrs, RequestKind, ValueId};
use proptest::prelude::*;

use super::*;
use crate::baseline::Baseline;
use crate::random::Random;

const PAST_RPS: f64 = 100.0;

fn record(source: u64, path: u64, agent: u64, order: u64) -> Record {
    let mut attrs = Attrs::default();
    attrs[Attr::PathTemplate] = ValueId(path);
    attrs[Attr::UserAgent] = ValueId(agent);
    attrs[Attr::HeaderOrder] = ValueId(order);
    attrs[Attr::Method] = ValueId(7);
    attrs[Attr::Implementation] = ValueId(agent * 1_000 + order);
    Record {
        at_ms: 0,
        source,
        attrs,
        kind: RequestKind::Page,
        explained: false,
        passed: true,
        prompted: false,
    }
}

/// A visitor's request: one of ten paths, five agents, an order that follows from the agent.
fn honest(random: &mut Random) -> Record {
    let agent = 100 + random.below(5);
    record(random.below(500), 10 + random.below(10), agent, agent + 50)
}

fn past(random: &mut Random, records: usize) -> Frozen {
    let learned = |random: &mut Random| Learned { record: honest(random), engaged: Some(true) };
    let mining = (0..records).map(|_| learned(random)).collect();
    let validation = (0..records).map(|_| learned(random)).collect();
    Frozen::for_tests(mining, validation)
}

/// One second of visitors and of `attack` requests.
fn now(random: &mut Random, attack: impl Fn(&mut Random) -> Record, attack_rps: usize) -> Sample {
    let mut records: Vec<Record> = (0..PAST_RPS as usize).map(|_| honest(random)).collect();
    records.extend((0..attack_rps).map(|_| attack(random)));
    Sample { count: records.len() as u64, records, span_ms: 1_000 }
}

fn mined(attack: impl Fn(&mut Random) -> Record, attack_rps: usize, tier: Tier) -> Vec<Mined> {
    mined_without(None, attack, attack_rps, tier)
}

fn mined_without(
    ablation: Option<Ablation>,
    attack: impl Fn(&mut Random) -> Record,
    attack_rps: usize,
    tier: Tier,
) -> Vec<Mined> {
    let mut random = Random::new(5);
    let past = past(&mut random, 4_000);
    let sample = now(&mut random, attack, attack_rps);
    let (now, past, expected_rps) = (&sample, &past, PAST_RPS);
    let rise = Rise { now, expected_rps, past, without: &[], present: &[], ablation };
    mine(&rise, tier, 4, &mut Memo::default())
}

#[test]
fn one_tool_is_described_by_what_is_its_own() {
    let found = mined(|r| record(r.below(3_000), 10 + r.below(3), 900, 901), 500, Tier::Block);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].signature.predicates().iter().any(|p| p.attr().is_implementation()));
    assert_eq!(found[0].projected.hits, 0);
    assert!(found[0].matched_rps >= 0.95 * 500.0);
}

#[test]
fn agents_that_change_with_every_request_are_described_as_never_seen() {
    let found =
        mined(|r| record(r.below(3_000), 10, 10_000 + r.below(1 << 30), 150), 500, Tier::Block);
    let unseen = |p: &Predicate| matches!(p, Predicate::Unseen(_));
    assert!(found[0].signature.predicates().iter().any(unseen), "{found:?}");
    assert!(found[0].matched_rps >= 0.9 * 500.0);
}

#[test]
fn without_what_is_derived_no_signature_rests_on_it() {
    let attack = |r: &mut Random| record(r.below(3_000), 19, 10_000 + r.below(1_000_000), 150);
    let derived = |mined: &[Mined]| {
        let of = |p: &Predicate| matches!(p, Predicate::Unseen(_)) || DERIVED.contains(&p.attr());
        mined.iter().any(|m| m.signature.predicates().iter().any(of))
    };
    assert!(derived(&mined(attack, 500, Tier::Block)));
    let without = mined_without(Some(Ablation::NoDerived), attack, 500, Tier::Block);
    assert!(!derived(&without), "{without:?}");
}

/// A demo on a busy machine placed a rule against one browser's user agent with one language and
/// no cookie: in the short past nobody was all three, and three visitors of the next minute were.
/// The tool's own header order, which described the same requests, had never been seen at all.
#[test]
fn of_two_descriptions_the_one_whose_parts_nobody_shares_is_taken() {
    let mut random = Random::new(9);
    let past = {
        let mut past = past(&mut random, 700);
        let apart = |l: &Learned| {
            l.record.attrs[Attr::UserAgent] != ValueId(104)
                || l.record.attrs[Attr::PathTemplate] != ValueId(19)
        };
        past.mining.retain(apart);
        past.validation.retain(apart);
        Frozen::for_tests(past.mining, past.validation)
    };
    // A few of the tool's requests come in another order, so that agent and path explain more.
    let attack = |r: &mut Random| {
        let order = if r.below(40) == 0 { 154 } else { 901 };
        record(r.below(3_000), 19, 104, order)
    };
    let sample = now(&mut random, attack, 500);
    let rise = Rise {
        now: &sample,
        expected_rps: PAST_RPS,
        past: &past,
        without: &[],
        present: &[],
        ablation: None,
    };
    let found = mine(&rise, Tier::Block, 1, &mut Memo::default());
    let own_order = Predicate::Is(Attr::HeaderOrder, ValueId(901));
    let implementation = |p: &Predicate| p.attr() == Attr::Implementation;
    let predicates = found[0].signature.predicates();
    assert!(predicates.contains(&own_order) || predicates.iter().any(implementation), "{found:?}");
}

/// A site of a minute's age had been visited a hundred times, and never with a browser that one in
/// fifty uses. A tool that copied it got a rule against the browser, which met every visitor who
/// used it (7 of 930 requests). The same with a header order of the tool's own is to be described.
#[test]
fn a_browser_that_a_small_past_does_not_show_is_not_described_by_its_name_alone() {
    let mut random = Random::new(9);
    let mut past = past(&mut random, 400);
    let dress = |l: &mut Learned| l.record.attrs[Attr::Claim] = Claim::Browser.id();
    past.mining.iter_mut().for_each(dress);
    past.validation.iter_mut().for_each(dress);
    let past = Frozen::for_tests(past.mining, past.validation);
    let found = |claim: Claim| {
        let mut random = Random::new(7);
        let attack = |r: &mut Random| {
            let mut record = record(r.below(3_000), 10 + r.below(10), 900, 901);
            record.attrs[Attr::Claim] = claim.id();
            record
        };
        let sample = now(&mut random, attack, 500);
        let rise = Rise {
            now: &sample,
            expected_rps: PAST_RPS,
            past: &past,
            without: &[],
            present: &[],
            ablation: None,
        };
        mine(&rise, Tier::Block, 4, &mut Memo::default())
    };
    assert!(found(Claim::Browser).is_empty(), "{:?}", found(Claim::Browser));
    assert_eq!(found(Claim::Undressed).len(), 1);
}

/// A flood that drew its agents from a list was described by what nine in ten of its requests
/// missed, because that matched less; the tenth went on.
#[test]
fn of_two_descriptions_that_nobody_shares_the_one_that_misses_part_of_the_flood_is_not_taken() {
    let attack = |r: &mut Random| {
        let mut record = record(r.below(3_000), 10 + r.below(10), 10_000 + r.below(800), 901);
        let claim = if r.below(25) == 0 { ValueId::ABSENT } else { Claim::Undressed.id() };
        record.attrs[Attr::Claim] = claim;
        record
    };
    let found = mined(attack, 500, Tier::Block);
    assert!(found[0].matched_rps >= 0.995 * 500.0, "{found:?}");
}

/// An attack on the very page of a crowd was described as "never seen here before", which was true,
/// and true of the crowd: 0.01 to 3.2 % of it was refused.
#[test]
fn a_crowd_that_the_past_does_not_know_is_spared_because_it_is_here() {
    let mut random = Random::new(5);
    let past = past(&mut random, 4_000);
    let newcomer = |r: &mut Random| record(r.below(3_000), 10, 10_000 + r.below(1 << 30), 150);
    let attack = |r: &mut Random| {
        let mut bot = newcomer(r);
        bot.attrs[Attr::RefererClass] = ValueId(3);
        bot
    };
    let sample = now(&mut random, attack, 500);
    let crowd: Vec<Record> = (0..400).map(|_| newcomer(&mut random)).collect();
    let said_of_the_crowd = |present: &[Record]| {
        let rise = Rise {
            now: &sample,
            expected_rps: PAST_RPS,
            past: &past,
            without: &[],
            present,
            ablation: None,
        };
        let found = mine(&rise, Tier::Block, 4, &mut Memo::default());
        let hits =
            |m: &Mined| crowd.iter().filter(|r| m.signature.matches(&r.attrs, &past.known)).count();
        (found.len(), found.iter().map(hits).sum::<usize>())
    };
    let nobody_of_whom_anything_is_known = said_of_the_crowd(&[]);
    assert!(nobody_of_whom_anything_is_known.0 > 0);
    assert_eq!(said_of_the_crowd(&crowd).1, 0);
}

#[test]
fn two_tools_get_two_signatures() {
    let attack = |r: &mut Random| {
        let tool = 900 + r.below(2) * 10;
        record(r.below(3_000), 10 + r.below(10), tool, tool + 1)
    };
    let found = mined(attack, 500, Tier::Block);
    let covered: f64 = found.iter().map(|m| m.matched_rps).sum();
    assert!(covered >= 0.95 * 500.0, "{found:?}");
}

#[test]
fn more_of_the_same_visitors_is_not_described_for_blocking() {
    assert!(mined(honest, 2_000, Tier::Block).is_empty());
}

#[test]
fn nothing_is_found_where_nothing_rose() {
    assert!(mined(honest, 0, Tier::Block).is_empty());
    assert!(mined(honest, 0, Tier::Throttle).is_empty());
}

#[test]
fn an_empty_sample_and_an_empty_past_are_no_trouble() {
    let (sample, past) = (Sample::default(), Baseline::new().freeze(1));
    assert!(
        mine(
            &Rise {
                now: &sample,
                expected_rps: 0.0,
                past: &past,
                without: &[],
                present: &[],
                ablation: None
            },
            Tier::Block,
            8,
            &mut Memo::default()
        )
        .is_empty()
    );
}

/// The best excess that any conjunction of at most two predicates explains without hitting the
/// mining half, found by trying all pairs of values.
fn exhaustive(sample: &Sample, past: &Frozen) -> f64 {
    let attrs = [Attr::PathTemplate, Attr::UserAgent, Attr::HeaderOrder];
    let mut predicates: Vec<Predicate> = Vec::new();
    for attr in attrs {
        let mut values: Vec<ValueId> = sample.records.iter().map(|r| r.attrs[attr]).collect();
        values.sort_unstable();
        values.dedup();
        predicates.extend(values.into_iter().map(|v| Predicate::Is(attr, v)));
    }
    let mut best: f64 = 0.0;
    for a in &predicates {
        for b in &predicates {
            let names_software = a.attr().is_implementation() || b.attr().is_implementation();
            let holds =
                |r: &Record| a.matches(&r.attrs, &past.known) && b.matches(&r.attrs, &past.known);
            if names_software && !past.mining.iter().any(|l| holds(&l.record)) {
                let matched = sample.records.iter().filter(|r| holds(r)).count() as f64;
                best = best.max(matched * sample.weight_rps());
            }
        }
    }
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the attack looks like, the first signature explains nearly as much as the best
    /// pair that an exhaustive search finds.
    #[test]
    fn the_beam_finds_nearly_what_exhaustive_search_finds(
        seed in any::<u64>(), tools in 1u64..5, paths in 1u64..6, own_order in any::<bool>()
    ) {
        let mut random = Random::new(seed);
        let past = past(&mut random, 400);
        let attack = |r: &mut Random| {
            let tool = 900 + r.below(tools);
            let order = if own_order { 950 } else { 150 + r.below(5) };
            record(r.below(3_000), 10 + r.below(paths), tool, order)
        };
        let sample = now(&mut random, attack, 600);
        let found = mine(&Rise { now: &sample, expected_rps: PAST_RPS, past: &past, without: &[], present: &[], ablation: None }, Tier::Block, 1, &mut Memo::default());
        let best = exhaustive(&sample, &past);
        let got = found.first().map_or(0.0, |m| m.matched_rps);
        prop_assert!(got >= 0.9 * best, "found {got:.0}/s, exhaustive {best:.0}/s: {found:?}");
    }
}

/// A past of 60,000 requests in which eight visitors of each half use the attack's tool, from these
/// countries.
fn past_with_tool(countries: [u64; 8]) -> Frozen {
    let mut random = Random::new(21);
    let mut half = || -> Vec<Learned> {
        let learned = |mut record: Record, country: u64| {
            record.attrs[Attr::Country] = ValueId(country);
            Learned { record, engaged: Some(true) }
        };
        let mut half: Vec<Learned> = (0..30_000)
            .map(|_| {
                let country = 1 + random.below(5);
                learned(honest(&mut random), country)
            })
            .collect();
        for (n, country) in countries.into_iter().enumerate() {
            half.push(learned(record(900_000 + n as u64, 11, 900, 901), country));
        }
        half
    };
    Frozen::for_tests(half(), half())
}

fn mined_in(past: &Frozen, agent: u64, country: impl Fn(&mut Random) -> u64) -> Vec<Mined> {
    let mut random = Random::new(22);
    let attack = |random: &mut Random| {
        let order = if agent == 900 { 901 } else { agent + 50 };
        let mut record = record(random.below(3_000), 10 + random.below(3), agent, order);
        record.attrs[Attr::Country] = ValueId(country(random));
        record
    };
    let sample = now(&mut random, attack, 500);
    let (now, expected_rps) = (&sample, PAST_RPS);
    let rise = Rise { now, expected_rps, past, without: &[], present: &[], ablation: None };
    mine(&rise, Tier::Block, 4, &mut Memo::default())
}

fn speaks_of_a_place(mined: &Mined) -> bool {
    mined.signature.predicates().iter().any(|p| p.attr().is_place())
}

/// Where an attack comes from spares visitors with the same tool elsewhere; it is added where there are
/// such visitors, and not where there are none: the attack would only have to come from elsewhere.
#[test]
fn a_place_narrows_a_signature_where_that_spares_visitors() {
    let elsewhere = past_with_tool([2, 2, 2, 2, 2, 2, 2, 1]);
    let found = mined_in(&elsewhere, 900, |_| 1);
    assert!(speaks_of_a_place(&found[0]), "{found:?}");
    assert_eq!(found[0].projected.hits, 8, "it is judged by what it hits wherever that is");
    let found = mined_in(&past_with_tool([1; 8]), 900, |_| 1);
    assert!(!found.is_empty() && !speaks_of_a_place(&found[0]), "{found:?}");
    let found = mined_in(&elsewhere, 900, |r| 1 + r.below(5));
    assert!(!found.is_empty() && !speaks_of_a_place(&found[0]), "{found:?}");
}

/// A browser that a fifth of all visitors use does not become a signature by a country from which
/// hardly any of them come: everybody with it there would be refused.
#[test]
fn no_place_makes_a_common_browser_a_signature() {
    let past = past_with_tool([2; 8]);
    for from in [1, 77] {
        let found = mined_in(&past, 104, |_| from);
        assert!(found.is_empty(), "country {from}: {found:?}");
    }
}
