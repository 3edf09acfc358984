//! HTTP/1 as ordinary clients speak it.

mod support;

use std::time::{Duration, Instant};

use floodwall_gateway::GatewayConfig;
use support::client::{Raw, exchange, get, h1, request, whole};
use support::origin::{Origin, pattern};
use support::{Bench, config, limits, run};

#[test]
fn a_kept_connection_serves_request_after_request() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut client = h1(bench.addr()).await;
        for _ in 0..20 {
            let answer = client.send_request(with_host("GET", "/")).await.unwrap();
            assert_eq!(answer.headers()["server"], "test-origin", "the origin's fields stay");
            assert_eq!(whole(answer).await, (200, "hello".into()));
        }
    });
    let counters = bench.counters();
    assert_eq!((counters.connections, counters.requests, counters.passed), (1, 20, 20));
    assert_eq!(origin.seen.connections(), 1, "and so does the connection to the origin");
    assert_eq!((counters.upstream_dialled, counters.upstream_reused), (1, 19));
}

fn with_host(method: &str, path: &str) -> hyper::Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = request(method, path, "");
    request.headers_mut().insert("host", "a.example".parse().unwrap());
    request
}

#[test]
fn bodies_of_every_framing_come_through_whole() {
    let origin = Origin::http();
    let bench = Bench::start(GatewayConfig { workers: 1, ..config(origin.addr, limits()) });
    run(async {
        let sized = get(bench.addr(), "/bytes/300000").await;
        assert_eq!(sized.field("content-length"), Some("300000"));
        assert_eq!(sized.body, pattern(0, 300_000));
        let chunked = get(bench.addr(), "/chunks/300000").await;
        assert_eq!(chunked.field("transfer-encoding"), Some("chunked"));
        assert_eq!(chunked.body, pattern(0, 300_000));
        let empty = get(bench.addr(), "/bytes/0").await;
        assert_eq!((empty.status, empty.body.len()), (200, 0));
    });
    assert_eq!(bench.counters().upstream_dialled, 1, "each answer gave its connection back");
}

#[test]
fn answers_without_a_body_leave_the_connection_usable() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        for (request, status, length) in [
            ("HEAD /bytes/1234", 200, Some("1234")),
            ("HEAD /chunks/1234", 200, None),
            ("GET /status/204", 204, None),
            ("GET /status/304", 304, None),
        ] {
            raw.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let answer = raw.head().await.unwrap();
            assert_eq!(answer.status, status, "{request}");
            if length.is_some() {
                assert_eq!(answer.field("content-length"), length, "{request}");
            }
        }
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().text(), "hello");
    });
    let observed = bench.finish();
    assert!(observed.requests().iter().all(|r| r.outcome.unwrap().status != 0), "all whole");
}

#[test]
fn a_chunked_request_body_reaches_the_origin() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        raw.send("5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n").await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().text(), "hello world");
        assert_eq!(raw.answer().await.unwrap().text(), "hello", "the next request was found");
    });
    assert_eq!(origin.seen.requests(), 2);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        let requests: String =
            (0..50).map(|n| format!("GET /bytes/{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        raw.send(requests).await;
        for n in 0..50 {
            assert_eq!(raw.answer().await.unwrap().body.len(), n);
        }
    });
    assert_eq!(bench.finish().requests().len(), 50);
}

#[test]
fn bodies_stream_both_ways_at_once() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n").await;
        raw.send("0123456789").await;
        let head = raw.head().await.expect("the answer begins before the request ends");
        assert_eq!(head.status, 200);
        let mut echoed = Vec::new();
        for _ in 0..3 {
            echoed.extend(chunk(&mut raw).await);
            raw.send("0123456789").await;
        }
        while echoed.len() < 40 {
            echoed.extend(chunk(&mut raw).await);
        }
        assert_eq!(echoed, b"0123456789".repeat(4));
    });
}

/// One chunk of an answer.
async fn chunk(raw: &mut Raw) -> Vec<u8> {
    let mut size = String::new();
    while !size.ends_with("\r\n") {
        size.push(raw.exactly(1).await.unwrap()[0] as char);
    }
    let size = usize::from_str_radix(size.trim(), 16).unwrap();
    let content = raw.exactly(size).await.unwrap();
    raw.exactly(2).await.unwrap();
    content
}

#[test]
fn large_bodies_are_not_kept_in_memory() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let before = resident_bytes();
    run(async {
        let size = 9 * 1024 * 1024;
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send(format!("POST /swallow HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"))
            .await;
        let piece = vec![7; 64 * 1024];
        for _ in 0..size / piece.len() {
            raw.send(&piece).await;
        }
        assert_eq!(raw.answer().await.unwrap().text(), size.to_string());
    });
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "grew by {grown} bytes for a body of nine megabytes");
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

#[test]
fn a_slow_answer_arrives_as_it_is_made() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        let started = Instant::now();
        raw.send("GET /drip/20 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        raw.head().await.unwrap();
        assert_eq!(chunk(&mut raw).await, b".");
        assert!(started.elapsed() < Duration::from_millis(300), "not held back for the rest");
    });
}

#[test]
fn the_body_is_asked_for_only_when_the_origin_wants_it() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send(head("/swallow")).await;
        assert_eq!(raw.head().await.unwrap().status, 100);
        raw.send("hello").await;
        assert_eq!(raw.answer().await.unwrap().text(), "5");

        let mut raw = Raw::connect(bench.addr()).await;
        raw.send(head("/refuse-body")).await;
        assert_eq!(raw.answer().await.unwrap().status, 401, "no 100 before it");

        let mut raw = Raw::connect(bench.addr()).await;
        raw.send(head("/echo").replace("Length: 5", "Length: 99999999")).await;
        assert_eq!(raw.answer().await.unwrap().status, 413, "refused before a byte is sent");
    });
    assert_eq!(origin.seen.requests(), 2);
}

#[test]
fn http_1_0_clients_are_served_and_closed() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let answer = exchange(bench.addr(), "GET /chunks/3000 HTTP/1.0\r\n\r\n").await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 3_000));
        assert_eq!(answer.field("transfer-encoding"), None, "HTTP/1.0 has no chunks");
        let mut raw = Raw::connect(bench.addr()).await;
        let kept = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
        for _ in 0..2 {
            raw.send(kept).await;
            assert_eq!(raw.answer().await.unwrap().text(), "hello");
        }
    });
}

#[test]
fn connection_close_is_honoured() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().status, 200);
        assert!(raw.closes_within(1_000).await);
    });
    assert_eq!(bench.counters().upstream_idle, 1, "the origin's connection is not closed with it");
}

#[test]
fn a_client_that_goes_away_frees_the_origin() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send("GET /sleep/20000 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        bench.until("at the origin", |c| c.upstream_in_flight == 1);
    });
    bench.until_counted(floodwall_model::Reason::ClientGone, 1);
    bench.until("place given back", |c| c.upstream_in_flight == 0);
    let requests = bench.finish().requests();
    assert_eq!(requests[0].outcome.unwrap().status, 0);
}

#[test]
fn targets_come_in_the_forms_they_may() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        for (line, status, seen) in [
            ("OPTIONS * HTTP/1.1", 200, "OPTIONS * "),
            ("GET http://a.example/x?y HTTP/1.1", 200, "GET /x?y "),
            ("GET http://a.example HTTP/1.1", 200, "GET / "),
            ("GET * HTTP/1.1", 400, ""),
            ("GET a.example HTTP/1.1", 400, ""),
            ("GET ftp://a.example/ HTTP/1.1", 400, ""),
            ("GET x/y HTTP/1.1", 400, ""),
        ] {
            let request = format!("{line}\r\nHost: a.example\r\n\r\n");
            assert_eq!(exchange(bench.addr(), request).await.unwrap().status, status, "{line}");
            if status == 200 {
                let head = origin.seen.last_head();
                assert!(head.starts_with(seen), "{line}: {head}");
            }
        }
    });
    assert_eq!(origin.seen.requests(), 3);
}

#[test]
fn connections_kept_back_until_they_speak_are_served_alike() {
    let origin = Origin::http();
    let deferring = floodwall_gateway::Limits { defer_accept_s: 5, ..limits() };
    let bench = Bench::start(config(origin.addr, deferring));
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().text(), "hello");
    });
}
