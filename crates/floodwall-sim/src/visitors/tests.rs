use std::collections::{HashMap, HashSet};

use super::*;
use crate::address::AddressPlan;
use crate::open_loop::OpenLoop;
use crate::request::Planned;
use crate::site::RESULTS;
use floodwall_model::RequestKind;

fn stream_of(config: VisitorsConfig, seed: u64) -> OpenLoop {
    let site = Arc::new(Site::campaign());
    let pool = match config.label {
        Label::Crowd => AddressPlan::loopback().crowd,
        _ => AddressPlan::loopback().honest,
    };
    OpenLoop::new(SessionArrivals::new(config, site, &pool, seed), 30.0, seed)
}

fn until(stream: OpenLoop, end_ms: u64) -> Vec<Planned> {
    stream.take_while(|planned| planned.at_ms < end_ms).collect()
}

#[test]
fn requests_come_at_the_rate_asked_for_from_the_first_second() {
    for seed in 0..4 {
        let sent = until(stream_of(VisitorsConfig::honest(80.0), seed), 120_000);
        let rps = sent.len() as f64 / 120.0;
        assert!((66.0..94.0).contains(&rps), "seed {seed}: {rps} requests/s");
        let first_10s = sent.iter().filter(|p| p.at_ms < 10_000).count() as f64 / 10.0;
        assert!((50.0..110.0).contains(&first_10s), "seed {seed}: {first_10s} at the start");
    }
}

#[test]
fn times_are_in_order_and_a_seed_gives_one_history() {
    let a = until(stream_of(VisitorsConfig::honest(60.0), 5), 30_000);
    let b = until(stream_of(VisitorsConfig::honest(60.0), 5), 30_000);
    let c = until(stream_of(VisitorsConfig::honest(60.0), 6), 30_000);
    assert!(a.is_sorted_by_key(|p| p.at_ms));
    assert_eq!(a, b);
    assert_ne!(a.first(), c.first());
}

#[test]
fn a_page_views_assets_follow_its_page_from_the_same_address() {
    let sent = until(stream_of(VisitorsConfig::honest(80.0), 1), 90_000);
    let mut pages: HashMap<u64, (u64, IpAddr)> = HashMap::new();
    let (mut followed, mut orphans) = (0, 0);
    for planned in &sent {
        if planned.kind == RequestKind::Page {
            pages.insert(planned.page_view, (planned.at_ms, planned.source));
        } else if let Some((page_ms, source)) = pages.get(&planned.page_view) {
            assert!(*page_ms <= planned.at_ms && *source == planned.source);
            followed += 1;
        } else {
            orphans += 1;
        }
    }
    // Feeds, and assets of pages opened before the scene began.
    assert!(followed > 20 * orphans, "{followed} followed, {orphans} not");
}

#[test]
fn honest_traffic_has_returning_visitors_shared_addresses_and_machines() {
    let sent = until(stream_of(VisitorsConfig::honest(80.0), 2), 300_000);
    let conditional = sent.iter().filter(|p| p.request.header("if-none-match").is_some()).count();
    assert!(conditional > 100, "{conditional} conditional requests");
    let mut agents: HashMap<IpAddr, HashSet<String>> = HashMap::new();
    for planned in &sent {
        let agent = planned.request.header("user-agent").unwrap_or_default().to_owned();
        agents.entry(planned.source).or_default().insert(agent);
    }
    let shared = agents.values().filter(|agents| agents.len() >= 3).count();
    assert!(shared >= 10, "{shared} addresses with three clients or more");
    assert!(sent.iter().any(|p| p.request.path.as_str() == "/feed.xml"));
    let share = |word: &str| {
        let has = |p: &&Planned| p.request.header("user-agent").unwrap_or("").contains(word);
        sent.iter().filter(has).count() as f64 / sent.len() as f64
    };
    assert!((0.0001..0.02).contains(&share("Googlebot")), "{}", share("Googlebot"));
    assert!(share("Chrome/") > 0.3 && share("Firefox/") > 0.01);
}

#[test]
fn nobody_asks_for_the_crowds_page_landing_on_it_in_peacetime_often() {
    let sent = until(stream_of(VisitorsConfig::honest(80.0), 3), 120_000);
    let results = |p: &&Planned| p.request.path.as_str() == RESULTS;
    let share = sent.iter().filter(results).count() as f64 / sent.len() as f64;
    assert!(share < 0.02, "{share}");
}

#[test]
fn a_crowd_rises_lands_on_one_page_and_fetches_what_it_needs() {
    for seed in 0..3 {
        let sent = until(stream_of(VisitorsConfig::crowd(1_600.0, RESULTS), seed), 40_000);
        let at = |from: u64, to: u64| {
            let within = sent.iter().filter(|p| (from..to).contains(&p.at_ms)).count();
            within as f64 * 1_000.0 / (to - from) as f64
        };
        assert!(at(0, 1_000) < 500.0, "seed {seed}: {} at once", at(0, 1_000));
        let (soon, full) = (at(10_000, 20_000), at(20_000, 40_000));
        assert!((1_450.0..1_900.0).contains(&soon), "seed {seed}: {soon}");
        assert!((1_450.0..1_950.0).contains(&full), "seed {seed}: {full}");
        let pages = sent.iter().filter(|p| p.kind == RequestKind::Page).count();
        let landing = sent.iter().filter(|p| p.request.path.as_str() == RESULTS).count();
        assert!(landing * 2 > pages, "{landing} of {pages}");
        assert!(sent.len() > pages * 3, "{} requests, {pages} pages", sent.len());
    }
}

#[test]
fn a_push_crowd_comes_through_one_app() {
    let sent = until(stream_of(VisitorsConfig::push_crowd(500.0, RESULTS, 4), 4), 10_000);
    let agents: HashSet<&str> =
        sent.iter().filter_map(|p| p.request.header("user-agent")).collect();
    assert_eq!(agents.len(), 1);
    assert!(agents.iter().all(|agent| agent.contains("CampaignApp")));
}

#[test]
fn visitors_beyond_the_maximum_are_forgotten_and_counted() {
    let site = Arc::new(Site::campaign());
    let config = VisitorsConfig { returning: 0.0, ..VisitorsConfig::honest(50.0) };
    let mut arrivals = SessionArrivals::new(config, site, &AddressPlan::loopback().honest, 1);
    for _ in 0..VISITORS_REMEMBERED_MAX * 5 / 4 {
        let session = arrivals.next_session().unwrap();
        arrivals.remember(session, 0);
    }
    assert!(arrivals.visitors_forgotten() > 0);
    assert_eq!(arrivals.remembered.len(), VISITORS_REMEMBERED_MAX);
}
