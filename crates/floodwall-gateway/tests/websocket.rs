//! WebSocket tunnels and other wishes to upgrade.

mod support;

use floodwall_gateway::{GatewayConfig, Limits, Listener, Site};
use floodwall_model::Reason;
use support::client::{Raw, exchange};
use support::origin::Origin;
use support::{Bench, config, limits, run, site, tls};

const OPEN: &str = "GET /websocket HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn bytes_go_both_ways_after_the_handshake() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        // Bytes right behind the handshake must not be lost.
        raw.send(format!("{OPEN}early")).await;
        let head = raw.head().await.unwrap();
        assert_eq!(head.status, 101);
        assert_eq!(head.field("upgrade"), Some("websocket"));
        assert_eq!(head.field("connection"), Some("Upgrade"));
        assert_eq!(raw.exactly(5).await.unwrap(), b"early");
        let large = vec![5; 300_000];
        for piece in large.chunks(50_000) {
            raw.send(piece).await;
            assert_eq!(raw.exactly(piece.len()).await.unwrap(), piece);
        }
        assert_eq!(bench.counters().tunnels_open, 1);
        assert_eq!(bench.counters().upstream_in_flight, 0, "a tunnel takes no place");
    });
    bench.until("closed", |c| c.tunnels_open == 0 && c.connections_open == 0);
    let request = bench.finish().requests()[0];
    assert_eq!(request.outcome.unwrap().status, 101);
    assert_eq!(request.outcome.unwrap().bytes, 300_005);
}

#[test]
fn a_tunnel_works_over_tls() {
    let origin = Origin::http();
    let certificate = tls::certificate(&["a.example"]);
    let bench = Bench::start(GatewayConfig {
        listeners: vec![Listener { addr: "127.0.0.1:0".parse().unwrap(), tls: true }],
        sites: vec![Site { certificate: Some(certificate.files()), ..site(&[], origin.addr) }],
        ..config(origin.addr, limits())
    });
    run(async {
        let stream =
            tls::connect(bench.addr(), "a.example", &certificate, &["http/1.1"]).await.unwrap();
        let mut raw = Raw::over(stream);
        raw.send(OPEN).await;
        assert_eq!(raw.head().await.unwrap().status, 101);
        raw.send("ping").await;
        assert_eq!(raw.exactly(4).await.unwrap(), b"ping");
    });
}

#[test]
fn a_silent_tunnel_is_closed() {
    let origin = Origin::http();
    let limits = Limits { tunnel_idle_ms: 300, ..limits() };
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send(OPEN).await;
        assert_eq!(raw.head().await.unwrap().status, 101);
        for _ in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            raw.send("x").await;
            assert_eq!(raw.exactly(1).await.unwrap(), b"x", "one that speaks lives on");
        }
        assert!(raw.closes_within(2_000).await);
    });
    bench.until_counted(Reason::IdleTimeout, 1);
}

#[test]
fn tunnels_have_a_maximum() {
    let origin = Origin::http();
    let limits = Limits { tunnels_max: 2, ..limits() };
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        let mut held = Vec::new();
        for status in [101, 101, 503] {
            let mut raw = Raw::connect(bench.addr()).await;
            raw.send(OPEN).await;
            assert_eq!(raw.head().await.unwrap().status, status);
            held.push(raw);
        }
    });
}

#[test]
fn an_origin_may_decline() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        for _ in 0..2 {
            raw.send(OPEN.replace("/websocket", "/")).await;
            assert_eq!(raw.answer().await.unwrap().text(), "hello");
        }
    });
    let head = origin.seen.last_head();
    assert!(head.contains("upgrade: websocket") && head.contains("connection: Upgrade"), "{head}");
    assert!(head.contains("sec-websocket-key: "), "{head}");
}

#[test]
fn other_upgrades_are_not_followed_and_broken_ones_refused() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let h2c = "GET /head HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
        let answer = exchange(bench.addr(), h2c).await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("upgrade") && !answer.text().contains("http2-settings"));
        for broken in [
            OPEN.replace("Version: 13", "Version: 12"),
            OPEN.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
            OPEN.replace("GET", "POST"),
            OPEN.replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx"),
        ] {
            assert_eq!(exchange(bench.addr(), broken).await.unwrap().status, 400);
        }
    });
    assert_eq!(bench.count(Reason::UpgradeRefused), 4);
    assert_eq!(origin.seen.requests(), 1);
}
