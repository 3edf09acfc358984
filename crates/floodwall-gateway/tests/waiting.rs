//! The queue that an attack built up before the rule against it was there must not go to the
//! origin afterwards.

mod support;

use std::sync::Arc;

use floodwall_gateway::{GatewayConfig, Limits};
use floodwall_model::{Action, Handling, Mode, RuleId};
use support::client::{Raw, get};
use support::origin::Origin;
use support::plan::on_agent;
use support::{Bench, config, limits, run};

const BAD: &str = "BadBot/1.0";

#[test]
fn who_waits_for_the_origin_meets_a_rule_that_came_meanwhile() {
    let origin = Origin::http();
    let limits = Limits { origin_in_flight_max: 8, origin_queue_wait_ms: 20_000, ..limits() };
    let bench = Bench::start(GatewayConfig { workers: 1, ..config(origin.addr, limits) });
    let addr = bench.addr();
    let (bad, good) = run(async {
        let mut fill = tokio::task::JoinSet::new();
        for _ in 0..8 {
            fill.spawn(async move { get(addr, "/sleep/1500").await.status });
        }
        while bench.counters().upstream_in_flight < 8 {
            tokio::task::yield_now().await;
        }
        let mut waiting = tokio::task::JoinSet::new();
        for agent in [BAD, "Good/1.0", BAD] {
            waiting.spawn(async move {
                let mut raw = Raw::connect(addr).await;
                raw.send(format!(
                    "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {agent}\r\n\
                     Accept-Language: de\r\n\r\n"
                ))
                .await;
                (agent, raw.answer().await.unwrap().status)
            });
        }
        while bench.counters().upstream_waiting < 3 {
            tokio::task::yield_now().await;
        }
        bench.plan.store(Arc::new(on_agent(BAD, Action::Block, Mode::Protect)));
        let answers = waiting.join_all().await;
        let statuses = |wanted: &str| -> Vec<u16> {
            answers.iter().filter(|(agent, _)| *agent == wanted).map(|(_, s)| *s).collect()
        };
        (statuses(BAD), statuses("Good/1.0"))
    });
    assert_eq!((bad, good), (vec![403, 403], vec![200]));
    assert_eq!(origin.seen.requests(), 9, "eight that filled it and the good one");
    let requests = bench.finish().requests();
    let blocked = requests.iter().filter(|r| r.handling == Handling::Blocked(RuleId(7))).count();
    assert_eq!((requests.len(), blocked), (11, 2));
}
