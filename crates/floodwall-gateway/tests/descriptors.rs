//! Running out of descriptors. Alone in its process, because it takes the descriptors away.

mod support;

use std::time::Duration;

use floodwall_model::Reason;
use rustix::process::{Resource, Rlimit, setrlimit};
use support::client::get;
use support::origin::Origin;
use support::{Bench, config, limits, run};

#[test]
fn an_exhausted_system_neither_stops_nor_spins_the_accept_loop() {
    let most = Some(200);
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let origin = Origin::http();
    let mut limits = limits();
    limits.connections_per_v4_max = 10_000;
    limits.connections_max = Some(10_000);
    limits.head_ms = 60_000;
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        // Clients and gateway share the process's descriptors: this ends when there is none left.
        let mut held = Vec::new();
        while let Ok(stream) = tokio::net::TcpStream::connect(bench.addr()).await {
            held.push(stream);
        }
        bench.until("exhausted", |c| c.reason(Reason::DescriptorsExhausted) > 0);
        let before = bench.count(Reason::DescriptorsExhausted);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let tries = bench.count(Reason::DescriptorsExhausted) - before;
        assert!((1..100).contains(&tries), "{tries} tries in half a second");
        held.clear();
        assert_eq!(get(bench.addr(), "/").await.text(), "hello");
    });
}
