use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::address::AddressPlan;
use crate::mix::MixConfig;
use crate::open_loop::OpenLoop;
use crate::visitors::{SessionArrivals, VisitorsConfig};

fn config(pace: Pace) -> AssaultConfig {
    AssaultConfig {
        disguise: Disguise::PlainTool,
        most_used_browser: false,
        aim: Aim::Pages,
        sources: 200,
        origin: Origin::Pool(AddressPlan::loopback().attack),
        pace,
        changes_after_ms: None,
        hosts: Vec::new(),
    }
}

fn all(config: AssaultConfig, passed: impl Fn(&Planned) -> bool) -> Vec<Planned> {
    let honest = ClientMix::everyday(&MixConfig::default(), 1);
    let mut assault = Assault::new(config, Arc::new(Site::campaign()), &honest, 1);
    let mut sent = Vec::new();
    while let Some(due_ms) = assault.due_ms() {
        let planned = assault.take().unwrap();
        assert_eq!(planned.at_ms, due_ms);
        assault.told(passed(&planned));
        sent.push(planned);
    }
    assert!(sent.is_sorted_by_key(|p| p.at_ms));
    sent
}

fn looks(sent: &[Planned]) -> HashSet<String> {
    let look = |p: &Planned| {
        let names: Vec<&str> = p.request.headers.iter().map(|(n, _)| *n).collect();
        format!("{} {:?}", names.join(","), p.request.header("user-agent"))
    };
    sent.iter().map(look).collect()
}

#[test]
fn a_plain_tool_has_one_look_and_comes_at_its_rate() {
    let sent = all(config(Pace::steady(500.0, 1_000, 11_000)), |_| true);
    assert!((4_700..5_300).contains(&sent.len()), "{}", sent.len());
    assert_eq!(looks(&sent).len(), 1);
    assert!(sent.iter().all(|p| (1_000..11_000).contains(&p.at_ms) && p.wave == 0));
}

#[test]
fn pulses_are_silent_between_and_counted() {
    let pace = Pace {
        pulse: Some(Pulse { on_ms: 2_000, off_ms: 3_000 }),
        ..Pace::steady(100.0, 0, 15_000)
    };
    let sent = all(config(pace), |_| true);
    assert!(sent.iter().all(|p| p.at_ms % 5_000 < 2_000));
    assert!(sent.iter().all(|p| u64::from(p.wave) == p.at_ms / 5_000));
    assert_eq!(sent.last().unwrap().wave, 2);
}

#[test]
fn a_trickle_doubles_and_the_attack_follows_with_the_same_look() {
    let growth = Growth { from_ms: 0, rps: 0.1, doubling_ms: 60_000.0, rps_max: 1e9 };
    let pace = Pace { growth: Some(growth), ..Pace::steady(50.0, 360_000, 370_000) };
    let sent = all(config(pace), |_| true);
    let between = |from, to| sent.iter().filter(|p| (from..to).contains(&p.at_ms)).count();
    // 0.1/s doubling every minute is 3.2 to 6.4/s in the sixth, 4.6/s on average.
    assert!((190..380).contains(&between(300_000, 360_000)), "{}", between(300_000, 360_000));
    assert!(between(0, 60_000) < 30);
    assert_eq!(looks(&sent).len(), 1, "the trickle is there to make the look familiar");
    assert!(sent.iter().all(|p| (p.wave == 1) == (p.at_ms >= 360_000)));
}

#[test]
fn it_changes_only_after_it_was_refused_and_not_at_once() {
    let changing = AssaultConfig {
        changes_after_ms: Some((2_000, 5_000)),
        ..config(Pace::steady(100.0, 0, 30_000))
    };
    assert_eq!(looks(&all(changing.clone(), |_| true)).len(), 1);
    let sent = all(changing, |p| p.at_ms < 5_000);
    let first: BTreeMap<u32, u64> = sent.iter().rev().map(|p| (p.wave, p.at_ms)).collect();
    assert!((5..=13).contains(&first.len()), "{first:?}");
    assert!((7_000..10_100).contains(&first[&1]), "{first:?}");
    assert!(looks(&sent).len() > 1);
}

#[test]
fn every_aim_is_what_it_says() {
    let paths = |aim, hosts: Vec<Text>| {
        let sent =
            all(AssaultConfig { aim, hosts, ..config(Pace::steady(1_000.0, 0, 5_000)) }, |_| true);
        let path: HashSet<String> =
            sent.iter().map(|p| p.request.path.as_str().to_owned()).collect();
        let host: HashSet<String> =
            sent.iter().map(|p| p.request.header("host").unwrap().to_owned()).collect();
        (path.len(), host.len())
    };
    assert_eq!(paths(Aim::Costly, Vec::new()), (1, 1));
    assert_eq!(paths(Aim::CacheBust, Vec::new()), (1, 1));
    assert_eq!(paths(Aim::Pages, Vec::new()).0, 3);
    assert!(paths(Aim::Carpet, Vec::new()).0 >= 30);
    assert!(paths(Aim::Nowhere, Vec::new()).0 > 200);
    assert_eq!(paths(Aim::Front, vec!["a.example".into(), "b.example".into()]), (1, 2));
}

#[test]
fn rotation_gives_a_new_network_or_a_new_host_each_time() {
    let net = AddressPool::new(vec!["2001:db8::/40".parse().unwrap()]).unwrap();
    let sources = |origin| {
        let sent = all(AssaultConfig { origin, ..config(Pace::steady(200.0, 0, 5_000)) }, |_| true);
        let keys: HashSet<u64> =
            sent.iter().map(|p| floodwall_model::Source::new(p.source).key()).collect();
        let hosts: HashSet<IpAddr> = sent.iter().map(|p| p.source).collect();
        (sent.len(), keys.len(), hosts.len())
    };
    let (sent, keys, _) = sources(Origin::New64(net.clone()));
    assert!(keys * 100 > sent * 99, "{keys} of {sent}");
    let (sent, keys, hosts) = sources(Origin::NewHost(net));
    assert_eq!(keys, 1);
    assert!(hosts * 100 > sent * 99);
}

#[test]
fn a_replay_sends_recorded_requests_with_their_parts_from_other_addresses() {
    let plan = AddressPlan::loopback();
    let visits = || {
        let site = Arc::new(Site::campaign());
        let config = VisitorsConfig { end_ms: 30_000, ..VisitorsConfig::honest(50.0) };
        OpenLoop::new(SessionArrivals::new(config, site, &plan.honest, 1), 30.0, 1)
    };
    let recorded: HashSet<Vec<u8>> = visits().map(|p| written(&p)).collect();
    let pace = Pace::steady(300.0, 60_000, 90_000);
    let mut replay = Replay::new(visits(), pace, &plan.attack, 500, 1);
    let (mut sent, mut assets, mut last_ms, mut late) = (0, 0, 0, 0);
    while let Some(planned) = replay.take() {
        assert!(recorded.contains(&written(&planned)) && planned.at_ms >= last_ms);
        assert!(plan.attack.contains(planned.source));
        last_ms = planned.at_ms;
        sent += 1;
        late += u32::from(planned.at_ms >= 75_000);
        assets += usize::from(planned.kind == floodwall_model::RequestKind::Asset);
    }
    // 300/s for thirty seconds; what visits send after their first ten seconds comes on top.
    assert!((7_000..14_000).contains(&sent), "{sent}");
    assert!((4_000..8_000).contains(&late), "{late} in the second half");
    assert!(assets * 2 > sent, "parts of pages too: {assets} of {sent}");
}

fn written(planned: &Planned) -> Vec<u8> {
    let mut out = Vec::new();
    planned.request.write_http1(&mut out);
    out
}
