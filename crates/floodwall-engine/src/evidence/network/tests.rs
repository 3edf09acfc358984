//! What is said of where requests come from: a table of crowds and attacks against one site's past.

use floodwall_model::{Attrs, RequestKind};

use super::*;
use crate::baseline::Frozen;
use crate::calendar::Calendar;
use crate::recent::{Recent, Sample};
use crate::sources::Sources;

fn record(source: u64, place: [ValueId; 3]) -> Record {
    let mut attrs = Attrs::default();
    [attrs[Attr::Country], attrs[Attr::Network], attrs[Attr::NetworkClass]] = place;
    attrs[Attr::PathTemplate] = ValueId(9);
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

fn place(country: u64, network: u64, class: NetworkClass) -> [ValueId; 3] {
    [ValueId(country), ValueId(network), class.id()]
}

/// Of a hundred visitors 90 live in one country, six abroad, four come from servers.
fn visitor(random: &mut Random) -> [ValueId; 3] {
    match random.below(100) {
        0..60 => place(10, 100 + random.below(6), NetworkClass::Residential),
        60..90 => place(10, 110 + random.below(3), NetworkClass::Mobile),
        90..96 => place(11 + random.below(3), 120 + random.below(3), NetworkClass::Residential),
        _ => place(10, 130 + random.below(4), NetworkClass::Hosting),
    }
}

fn abroad(random: &mut Random) -> [ValueId; 3] {
    place(50, 500 + random.below(6), NetworkClass::Residential)
}

fn hosted(random: &mut Random) -> [ValueId; 3] {
    place(50 + random.below(20), 600 + random.below(30), NetworkClass::Hosting)
}

fn nowhere(_: &mut Random) -> [ValueId; 3] {
    [ValueId::UNKNOWN; 3]
}

type From = fn(&mut Random) -> [ValueId; 3];

/// What is said of `sources` sources from `now`, one request each, where those of the past came
/// from `before`.
fn said(before: From, now: From, sources: u64) -> Option<Evidence> {
    let mut random = Random::new(4);
    let records = (0..sources).map(|n| record(1_000_000 + n, now(&mut random))).collect();
    said_of(before, records)
}

fn said_of(before: From, records: Vec<Record>) -> Option<Evidence> {
    let mut random = Random::new(3);
    let mut half = |first: u64| -> Vec<Learned> {
        let learned = |n| Learned { record: record(first + n, before(&mut random)), engaged: None };
        (0..3_000).map(learned).collect()
    };
    let past = Frozen::for_tests(half(0), half(10_000));
    let matched: Vec<&Record> = records.iter().collect();
    let stratum = Stratum::of(&matched);
    let now = Sample { count: records.len() as u64, records: records.clone(), span_ms: 1_000 };
    let scene = Scene {
        now_ms: 0,
        now_ds: 0,
        onset_ms: 0,
        now: &now,
        recent: &Recent::new(),
        behaviour_ms: crate::evidence::BEHAVIOUR_MS,
        past: &past,
        sources: &Sources::new(64),
        calendar: &Calendar::default(),
        expected_rps: 10.0,
        per_source_per_10s: 50,
        rise_ms: None,
        seed: 5,
        ablation: None,
    };
    network(&matched, &stratum, &scene)
}

#[test]
fn crowds_and_attacks_by_where_they_come_from() {
    let check = |what: &str, before: From, now: From, sources: u64, expected: Option<f64>| {
        let said = said(before, now, sources);
        assert_eq!(said.as_ref().map(|e| e.log_odds), expected, "{what}: {said:?}");
        assert!(said.is_none_or(|e| e.log_odds.abs() <= Family::Network.log_odds_cap()));
    };
    check("a crowd of the site's own people", visitor, visitor, 800, Some(-0.5));
    check("the same, small", visitor, visitor, 60, Some(-0.5));
    check("a crowd from abroad says little", visitor, abroad, 800, Some(0.5));
    check("servers", visitor, hosted, 800, Some(1.5));
    check("too few to say anything", visitor, hosted, 20, None);
    check("servers are this site's visitors", hosted, hosted, 800, Some(-0.5));
    check("no database is read", nowhere, nowhere, 800, None);
    check("a database since today", nowhere, hosted, 800, None);
    check("a database until today", visitor, nowhere, 800, None);
    fn third_hosted(r: &mut Random) -> [ValueId; 3] {
        if r.below(3) == 0 { hosted(r) } else { visitor(r) }
    }
    check("a third of it from servers", visitor, third_hosted, 800, Some(1.5));
    fn half_abroad(r: &mut Random) -> [ValueId; 3] {
        if r.below(2) == 0 { abroad(r) } else { visitor(r) }
    }
    check("a crowd half from abroad", visitor, half_abroad, 800, Some(0.5));
    fn tenth_hosted(r: &mut Random) -> [ValueId; 3] {
        if r.below(10) == 0 { hosted(r) } else { visitor(r) }
    }
    check("a tenth more from servers: link previews", visitor, tenth_hosted, 800, None);
}

/// However much one machine sends, it is one sender.
#[test]
fn a_busy_machine_in_a_hosting_network_does_not_make_a_crowd_an_attack() {
    let mut random = Random::new(4);
    let mut records: Vec<Record> =
        (0..300).map(|n| record(1_000_000 + n, visitor(&mut random))).collect();
    let server = hosted(&mut random);
    records.extend((0..3_000).map(|_| record(7, server)));
    let said = said_of(visitor, records);
    assert_eq!(said.map(|e| e.log_odds), Some(-0.5));
}

#[test]
fn a_statement_names_its_figures_and_only_what_is_known() {
    assert_eq!(
        said(visitor, hosted, 800).unwrap().statement,
        "of its 800 sources, 100 % are in hosting networks (normally 3.9 %); their countries differ \
         from the visitors' by 1.00; their networks differ from the visitors' by 1.00 (0 is the \
         same, 1 has nothing in common)"
    );
    fn country_of(place: [ValueId; 3]) -> [ValueId; 3] {
        [place[0], ValueId::UNKNOWN, ValueId::UNKNOWN]
    }
    let by_country = said(|r| country_of(visitor(r)), |r| country_of(abroad(r)), 800).unwrap();
    assert_eq!(
        by_country.statement,
        "of its 800 sources, their countries differ from the visitors' by 1.00"
    );
}
