//! The plan, bans and operators, and that every request is observed exactly once.

mod support;

use std::net::IpAddr;
use std::sync::Arc;

use floodwall_gateway::GatewayConfig;
use floodwall_model::{
    Action, Attr, Ban, Country, Geography, Handling, Mode, Place, Predicate, Protected, Reason,
    RuleId, Source, Stage, ValueId,
};
use support::client::{Raw, h2, request};
use support::origin::Origin;
use support::plan::{agent, now_ms, on, on_agent};
use support::{Bench, config, limits, run};

const BAD: &str = "BadBot/1.0";

fn by(agent: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {agent}\r\nAccept-Language: de\r\n\r\n"
    )
}

#[test]
fn a_block_rule_refuses_what_it_matches_and_nothing_else() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    bench.plan.store(Arc::new(on_agent(BAD, Action::Block, Mode::Protect)));
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        for (agent, status) in [(BAD, 403), ("Good/1.0", 200), (BAD, 403)] {
            raw.send(by(agent)).await;
            let answer = raw.answer().await.unwrap();
            assert_eq!(answer.status, status);
            if status == 403 {
                assert_eq!(answer.text(), "Forbidden\n");
                assert_eq!(answer.field("cache-control"), Some("no-store"));
                assert_eq!(answer.field("server"), None);
            }
        }
        let mut client = h2(bench.addr()).await;
        let mut bad = request("GET", "http://a.example/", "");
        bad.headers_mut().insert("user-agent", BAD.parse().unwrap());
        assert_eq!(client.send_request(bad).await.unwrap().status(), 403);
    });
    assert_eq!((origin.seen.requests(), bench.count(Reason::RuleBlocked)), (1, 3));
    let requests = bench.finish().requests();
    let blocked: Vec<_> =
        requests.iter().filter(|r| r.handling == Handling::Blocked(RuleId(7))).collect();
    assert_eq!(blocked.len(), 3);
    for request in blocked {
        assert_eq!(request.stage, Stage::Whole);
        assert_eq!(request.attrs[Attr::UserAgent], agent(BAD));
        assert_eq!(request.outcome.unwrap().status, 403);
        assert_eq!(request.outcome.unwrap().origin_ms, None);
    }
}

/// Everything in 127.1.0.0/16 is in one country, everything else in another.
#[derive(Debug)]
struct TwoCountries;

impl Geography for TwoCountries {
    fn revision(&self) -> u64 {
        0
    }

    fn place(&self, address: IpAddr) -> Place {
        let code = if address.to_string().starts_with("127.1.") { "XA" } else { "XB" };
        Place { country: Country::of_code(code), of_whole_network: true, ..Place::default() }
    }
}

#[test]
fn a_rule_that_names_a_country_refuses_those_who_come_from_there() {
    let origin = Origin::http();
    let bench = Bench::placed(config(origin.addr, limits()), Some(Arc::new(TwoCountries)));
    let country = Predicate::Is(Attr::Country, support::KEY.id(Attr::Country, b"XA"));
    let rule = vec![Predicate::Is(Attr::UserAgent, agent(BAD)), country];
    bench.plan.store(Arc::new(on(rule, Action::Block, Mode::Protect)));
    run(async {
        for (from, agent, status) in [
            ("127.1.0.2", BAD, 403),
            ("127.2.0.2", BAD, 200),
            ("127.1.0.3", "Good/1.0", 200),
            ("127.1.9.2", BAD, 403),
        ] {
            let mut raw = Raw::connect_from(from, bench.addr()).await;
            raw.send(by(agent)).await;
            assert_eq!(raw.answer().await.unwrap().status, status, "{agent} from {from}");
        }
    });
    let told = bench.finish();
    assert!(told.requests().iter().all(|r| r.attrs[Attr::Country].is_known()));
    let names = told.names.iter().filter(|n| n.attr == Attr::Country);
    let mut names: Vec<&str> = names.map(|name| &*name.text).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["XA", "XB"]);
}

#[test]
fn a_throttle_rule_refuses_what_exceeds_the_rate_of_one_source() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let throttle = Action::Throttle { per_source_per_10s: 20 };
    bench.plan.store(Arc::new(on_agent(BAD, throttle, Mode::Protect)));
    let statuses = |from: &'static str| {
        run(async {
            let mut raw = Raw::connect_from(from, bench.addr()).await;
            let mut statuses = Vec::new();
            for _ in 0..30 {
                raw.send(by(BAD)).await;
                let answer = raw.answer().await.unwrap();
                if answer.status == 429 {
                    assert!(answer.field("retry-after").is_some());
                }
                statuses.push(answer.status);
            }
            statuses
        })
    };
    let first = statuses("127.0.0.1");
    assert!(first[..20].iter().all(|s| *s == 200), "{first:?}");
    assert!(first.iter().filter(|s| **s == 429).count() >= 8, "{first:?}");
    assert!(statuses("127.0.0.2")[..20].iter().all(|s| *s == 200), "another source has its own");
    let throttled = bench.count(Reason::RuleThrottled);
    let requests = bench.finish().requests();
    let seen = requests.iter().filter(|r| r.handling == Handling::Throttled(RuleId(7))).count();
    assert_eq!(seen as u64, throttled);
}

#[test]
fn in_shadow_everybody_passes_and_it_is_said_who_would_not() {
    for (action, expected, would) in [
        (Action::Block, Handling::WouldBlock(RuleId(7)), 30),
        (Action::Throttle { per_source_per_10s: 20 }, Handling::WouldThrottle(RuleId(7)), 10),
    ] {
        let origin = Origin::http();
        let bench = Bench::before(origin.addr);
        bench.plan.store(Arc::new(on_agent(BAD, action, Mode::Shadow)));
        run(async {
            let mut raw = Raw::connect(bench.addr()).await;
            for _ in 0..30 {
                raw.send(by(BAD)).await;
                assert_eq!(raw.answer().await.unwrap().status, 200);
            }
        });
        assert_eq!(origin.seen.requests(), 30);
        let observed = bench.finish();
        let requests = observed.requests();
        let seen = requests.iter().filter(|r| r.handling == expected).count();
        // The bucket refills while the test runs.
        assert!((would - 2..=would).contains(&seen), "{seen} of {would}");
        assert_eq!(observed.counters.would_refuse, seen as u64);
        assert_eq!(observed.counters.passed, 30);
    }
}

#[test]
fn operators_are_never_refused() {
    let origin = Origin::http();
    let bench = Bench::start(GatewayConfig {
        operators: vec!["127.0.0.9/32".parse().unwrap()],
        ..config(origin.addr, limits())
    });
    bench.plan.store(Arc::new(on_agent(BAD, Action::Block, Mode::Protect)));
    bench.bans.ban(&ban("127.0.0.9", 60_000)).unwrap();
    run(async {
        for (from, status) in [("127.0.0.9", 200), ("127.0.0.8", 403)] {
            let mut raw = Raw::connect_from(from, bench.addr()).await;
            raw.send(by(BAD)).await;
            assert_eq!(raw.answer().await.unwrap().status, status);
        }
    });
}

fn ban(address: &str, ms: u64) -> floodwall_model::CheckedBan {
    let address: IpAddr = address.parse().unwrap();
    let from_ms = now_ms();
    let source = Source::new(address);
    Ban { source, from_ms, until_ms: from_ms + ms, handshake: true, blocked: 20 }
        .check(&Protected { loopback_is_bannable: true, ..Protected::default() })
        .unwrap()
}

#[test]
fn a_banned_source_is_closed_at_the_door_and_on_its_kept_connection() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut kept = Raw::connect_from("127.0.0.7", bench.addr()).await;
        kept.send(by("x")).await;
        assert_eq!(kept.answer().await.unwrap().status, 200);

        bench.bans.ban(&ban("127.0.0.7", 60_000)).unwrap();
        kept.send(by("x")).await;
        assert!(kept.answer().await.is_none(), "closed without an answer");
        let mut fresh = Raw::connect_from("127.0.0.7", bench.addr()).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut fresh.stream, by("x").as_bytes()).await;
        assert!(fresh.answer().await.is_none());
        let mut other = Raw::connect_from("127.0.0.6", bench.addr()).await;
        other.send(by("x")).await;
        assert_eq!(other.answer().await.unwrap().status, 200);

        bench.bans.unban(Source::new("127.0.0.7".parse().unwrap()));
        let mut back = Raw::connect_from("127.0.0.7", bench.addr()).await;
        back.send(by("x")).await;
        assert_eq!(back.answer().await.unwrap().status, 200);
    });
    assert_eq!(bench.count(Reason::SourceBanned), 2);
    let requests = bench.finish().requests();
    assert_eq!(requests.len(), 4, "the one at the door never became a request");
    let banned = Handling::Refused(Reason::SourceBanned);
    assert_eq!(requests.iter().filter(|r| r.handling == banned).count(), 1);
}

#[test]
fn a_banned_client_of_a_proxy_does_not_cost_others_their_connection() {
    let origin = Origin::http();
    let bench = Bench::start(GatewayConfig {
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..config(origin.addr, limits())
    });
    bench.bans.ban(&ban("192.0.2.66", 60_000)).unwrap();
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        for (client, status) in [("192.0.2.66", 403), ("192.0.2.1", 200)] {
            raw.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n"))
                .await;
            assert_eq!(raw.answer().await.unwrap().status, status);
        }
    });
}

#[test]
fn a_ban_ends_by_itself() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    bench.bans.ban(&ban("127.0.0.7", 300)).unwrap();
    assert_eq!(bench.counters().bans, 1);
    bench.until("swept", |c| c.bans == 0);
    run(async {
        let mut raw = Raw::connect_from("127.0.0.7", bench.addr()).await;
        raw.send(by("x")).await;
        assert_eq!(raw.answer().await.unwrap().status, 200);
    });
}

#[test]
fn a_source_holds_so_many_connections() {
    let origin = Origin::http();
    let mut limits = limits();
    limits.connections_per_v4_max = 5;
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        let mut held = Vec::new();
        for _ in 0..5 {
            let mut raw = Raw::connect(bench.addr()).await;
            raw.send(by("x")).await;
            assert_eq!(raw.answer().await.unwrap().status, 200);
            held.push(raw);
        }
        let mut sixth = Raw::connect(bench.addr()).await;
        assert!(sixth.closes_within(2_000).await);
        let mut other = Raw::connect_from("127.0.0.2", bench.addr()).await;
        other.send(by("x")).await;
        assert_eq!(other.answer().await.unwrap().status, 200);
        held.pop();
        bench.until("given back", |c| c.connections_open == 5);
        let mut again = Raw::connect(bench.addr()).await;
        again.send(by("x")).await;
        assert_eq!(again.answer().await.unwrap().status, 200);
    });
    assert_eq!(bench.count(Reason::ConnectionsPerSource), 1);
}

#[test]
fn the_gateway_holds_so_many_connections() {
    let origin = Origin::http();
    let mut limits = limits();
    limits.connections_max = Some(3);
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        let mut held = Vec::new();
        for n in 1..=3 {
            let mut raw = Raw::connect_from(&format!("127.0.0.{n}"), bench.addr()).await;
            raw.send(by("x")).await;
            assert_eq!(raw.answer().await.unwrap().status, 200);
            held.push(raw);
        }
        let mut fourth = Raw::connect_from("127.0.0.4", bench.addr()).await;
        assert!(fourth.closes_within(2_000).await);
    });
    assert_eq!(bench.count(Reason::ConnectionsTotal), 1);
}

#[test]
fn every_request_is_observed_exactly_once() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    bench.plan.store(Arc::new(on_agent(BAD, Action::Block, Mode::Protect)));
    run(async {
        let addr = bench.addr();
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..20 {
            clients.spawn(async move {
                let mut raw = Raw::connect(addr).await;
                for n in 0..50 {
                    let agent = if (n + client) % 5 == 0 { BAD } else { "Good/1.0" };
                    // Some last longer than a batch.
                    let path = if n % 10 == 3 { "/sleep/120" } else { "/" };
                    let request = by(agent).replacen('/', path, 1);
                    raw.send(request).await;
                    raw.answer().await.unwrap();
                }
                raw.send("GET / HTTP/1.1\r\n\r\n").await;
                assert_eq!(raw.answer().await.unwrap().status, 400);
            });
        }
        clients.join_all().await;
    });
    let observed = bench.finish();
    let requests = observed.requests();
    let count = |handling| requests.iter().filter(|r| r.handling == handling).count();
    assert_eq!(requests.len(), 20 * 51);
    assert_eq!(count(Handling::Blocked(RuleId(7))), 200);
    assert_eq!(count(Handling::Refused(Reason::HostMissing)), 20);
    assert_eq!(count(Handling::Passed), 800);
    assert_eq!(origin.seen.requests(), 800);
    assert_eq!(observed.lost, 0);
    let late = observed.records.iter().filter(|r| r.stage == Stage::Finished).count();
    assert!(late > 0, "some answers came after their batch had gone");
    let slow = requests.iter().filter(|r| r.outcome.unwrap().origin_ms.is_some_and(|ms| ms >= 100));
    assert!(slow.count() >= 80, "those that slept took their time");
}

#[test]
fn a_request_is_described_as_it_was_sent() {
    let origin = Origin::http();
    let bench = Bench::start(GatewayConfig { workers: 1, ..config(origin.addr, limits()) });
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send(
            "GET /news/2024/05?page=12 HTTP/1.1\r\nHost: A.Example:80\r\nX-B: 1\r\nUser-Agent: Fox/99\r\n\
             Accept: text/html\r\nCookie: a=1\r\nReferer: https://a.example/\r\nx-a: 1\r\n\r\n",
        )
        .await;
        raw.answer().await.unwrap();
        let mut client = h2(bench.addr()).await;
        let mut h2 = request("GET", "http://a.example/", "");
        for name in ["x-z", "user-agent", "x-a"] {
            h2.headers_mut().append(name, "1".parse().unwrap());
        }
        client.send_request(h2).await.unwrap();
    });
    let observed = bench.finish();
    let requests = observed.requests();
    let text = |n: usize, attr: Attr| observed.name(requests[n].attrs[attr]).unwrap_or("?");
    assert_eq!(text(0, Attr::Method), "GET");
    assert_eq!(text(0, Attr::Host), "a.example");
    assert_eq!(text(0, Attr::PathTemplate), "/news/{n}/{n}");
    assert_eq!(text(0, Attr::QueryShape), "page:s");
    assert_eq!(text(0, Attr::HttpVersion), "HTTP/1.1");
    assert_eq!(text(0, Attr::HeaderOrder), "x-b,user-agent,accept,x-a");
    assert_eq!(text(0, Attr::UserAgent), "Fox/99");
    assert_eq!(text(0, Attr::AgentShape), "Fox/#");
    assert_eq!(text(0, Attr::CookieState), "sent");
    assert_eq!(text(0, Attr::RefererClass), "this site");
    assert_eq!(requests[0].attrs[Attr::Language], ValueId::ABSENT);
    assert_eq!(requests[0].kind, floodwall_model::RequestKind::Page);
    assert_eq!(requests[0].outcome.unwrap().bytes, 5);
    assert_eq!(text(1, Attr::HttpVersion), "HTTP/2");
    assert_eq!(text(1, Attr::HeaderOrder), "x-z,user-agent,x-a");
    assert_eq!(text(1, Attr::Host), "a.example");
}
