//! Origins that are down, slow, broken or full.

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use floodwall_gateway::{GatewayConfig, Limits, Origin as To, Site};
use floodwall_model::{Handling, Reason};
use support::client::{Raw, exchange, get};
use support::origin::{Origin, nobody, read_head};
use support::{Bench, config, limits, run};
use tokio::io::AsyncWriteExt;

#[test]
fn an_origin_that_is_down_is_a_502() {
    let bench = Bench::before(nobody());
    let answer = run(get(bench.addr(), "/"));
    assert_eq!((answer.status, answer.text().as_str()), (502, "Bad gateway\n"));
    assert_eq!(bench.count(Reason::OriginUnreachable), 1);
    let request = bench.finish().requests()[0];
    assert_eq!(request.handling, Handling::Passed, "it was let through");
    assert_eq!(request.outcome.unwrap().status, 502);
}

#[test]
fn an_origin_whose_name_does_not_resolve_is_a_502() {
    let mut config = config(nobody(), limits());
    config.sites = vec![Site {
        names: Vec::new(),
        origin: To { host: "no-such-host.invalid".into(), port: 80 },
        certificate: None,
    }];
    let bench = Bench::start(config);
    assert!(matches!(run(get(bench.addr(), "/")).status, 502 | 504));
}

#[test]
fn an_origin_by_name_is_found() {
    let origin = Origin::http();
    let mut config = config(origin.addr, limits());
    config.sites[0].origin.host = "localhost".into();
    let bench = Bench::start(config);
    assert_eq!(run(get(bench.addr(), "/")).text(), "hello");
}

#[test]
fn an_origin_that_does_not_answer_is_a_504() {
    let origin = Origin::http();
    let limits = Limits { origin_head_ms: 300, ..limits() };
    let bench = Bench::start(config(origin.addr, limits));
    let started = Instant::now();
    let answer = run(get(bench.addr(), "/sleep/20000"));
    assert_eq!((answer.status, answer.text().as_str()), (504, "Gateway timeout\n"));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(bench.count(Reason::OriginTimeout), 1);
}

#[test]
fn a_long_upload_does_not_count_as_a_slow_origin() {
    let origin = Origin::http();
    let limits = Limits { origin_head_ms: 300, ..limits() };
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send("POST /swallow HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n").await;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            raw.send([b'x'; 200]).await;
        }
        assert_eq!(raw.answer().await.unwrap().text(), "2000");
    });
}

#[test]
fn what_is_no_http_is_a_502() {
    for junk in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
    ] {
        let origin = Origin::scripted(move |mut stream, _| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(junk.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        });
        let bench = Bench::before(origin.addr);
        assert_eq!(run(get(bench.addr(), "/")).status, 502, "{junk:?}");
        assert_eq!(bench.count(Reason::OriginMalformed), 1, "{junk:?}");
    }
}

#[test]
fn an_origin_that_closes_before_its_answer_is_a_502() {
    let origin = Origin::scripted(|mut stream, _| async move {
        read_head(&mut stream).await;
    });
    let bench = Bench::before(origin.addr);
    assert_eq!(run(get(bench.addr(), "/")).status, 502);
    assert_eq!(bench.count(Reason::OriginClosedEarly), 1);
    assert_eq!(origin.seen.connections(), 1, "a fresh connection is not tried twice");
}

#[test]
fn an_answer_cut_short_is_cut_for_the_client_too() {
    for head in
        ["Content-Length: 100\r\n\r\nonly this", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        let origin = Origin::scripted(move |mut stream, _| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes()).await;
        });
        let bench = Bench::before(origin.addr);
        run(async {
            let mut raw = Raw::connect(bench.addr()).await;
            raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(raw.answer().await.is_none(), "{head:?} must not look whole");
        });
        bench.until_counted(Reason::OriginClosedEarly, 1);
        let request = bench.finish().requests()[0];
        assert_eq!(request.outcome.unwrap().status, 0, "cut");
    }
}

#[test]
fn an_answer_that_stops_is_cut() {
    let origin = Origin::scripted(|mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this").await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    });
    let limits = Limits { origin_body_gap_ms: 300, ..limits() };
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(raw.answer().await.is_none());
    });
    bench.until_counted(Reason::OriginTimeout, 1);
}

#[test]
fn an_answer_until_close_is_whole() {
    let origin = Origin::scripted(|mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nall of it").await;
    });
    let bench = Bench::before(origin.addr);
    assert_eq!(run(get(bench.addr(), "/")).text(), "all of it");
    assert_eq!(bench.count(Reason::OriginClosedEarly), 0);
}

/// An origin whose connections serve one request and are then closed without a word. The first
/// answer names the connection as kept.
fn forgetful() -> Origin {
    Origin::scripted(|mut stream, nth| async move {
        read_head(&mut stream).await;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{nth}");
        let _ = stream.write_all(answer.as_bytes()).await;
        // The next request arrives and finds nobody.
        read_head(&mut stream).await;
    })
}

#[test]
fn a_stale_connection_is_tried_again_for_a_safe_request() {
    let origin = forgetful();
    let bench = Bench::start(GatewayConfig { workers: 1, ..config(origin.addr, limits()) });
    run(async {
        assert_eq!(get(bench.addr(), "/").await.text(), "0");
        assert_eq!(get(bench.addr(), "/").await.text(), "1", "asked again on a new connection");
    });
    let counters = bench.counters();
    assert_eq!((counters.upstream_retried, counters.upstream_dialled), (1, 2));
    assert_eq!(bench.finish().requests().len(), 2);
}

#[test]
fn a_stale_connection_is_not_tried_again_for_a_request_that_may_do_something() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let origin = forgetful();
        let bench = Bench::start(GatewayConfig { workers: 1, ..config(origin.addr, limits()) });
        run(async {
            assert_eq!(get(bench.addr(), "/").await.text(), "0");
            assert_eq!(exchange(bench.addr(), request).await.unwrap().status, 502, "{request:?}");
        });
        assert_eq!(bench.counters().upstream_retried, 0, "{request:?}");
    }
}

#[test]
fn a_stale_connection_that_began_to_answer_is_not_tried_again() {
    let origin = Origin::scripted(|mut stream, nth| async move {
        read_head(&mut stream).await;
        let _ = stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{nth}").as_bytes())
            .await;
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 2").await;
    });
    let bench = Bench::start(GatewayConfig { workers: 1, ..config(origin.addr, limits()) });
    run(async {
        assert_eq!(get(bench.addr(), "/").await.text(), "0");
        assert_eq!(get(bench.addr(), "/").await.status, 502);
    });
    assert_eq!(bench.counters().upstream_retried, 0);
}

#[test]
fn an_origin_never_gets_more_than_it_bears() {
    let origin = Origin::http();
    let limits = Limits {
        origin_in_flight_max: 8,
        origin_queue_max: 20,
        origin_queue_wait_ms: 5_000,
        connections_per_v4_max: 1_000,
        ..limits()
    };
    let bench = Bench::start(GatewayConfig { workers: 1, ..config(origin.addr, limits) });
    let statuses = run(async {
        let addr = bench.addr();
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..40 {
            requests.spawn(async move { get(addr, "/sleep/300").await });
        }
        requests.join_all().await
    });
    let count = |status| statuses.iter().filter(|a| a.status == status).count();
    assert_eq!((count(200), count(503)), (28, 12), "8 at once, 20 waiting, the rest refused");
    assert_eq!(origin.seen.in_flight_max.load(Ordering::SeqCst), 8);
    let refused = statuses.iter().find(|a| a.status == 503).unwrap();
    assert!(refused.field("retry-after").is_some());
    assert_eq!(bench.count(Reason::OriginSaturated), 12);
    let requests = bench.finish().requests();
    let saturated = Handling::Refused(Reason::OriginSaturated);
    assert_eq!(requests.iter().filter(|r| r.handling == saturated).count(), 12);
}

#[test]
fn waiting_for_a_place_ends() {
    let origin = Origin::http();
    let limits = Limits { origin_in_flight_max: 8, origin_queue_wait_ms: 200, ..limits() };
    let bench = Bench::start(GatewayConfig { workers: 1, ..config(origin.addr, limits) });
    let statuses = run(async {
        let addr = bench.addr();
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..10 {
            requests.spawn(async move { get(addr, "/sleep/1000").await.status });
        }
        requests.join_all().await
    });
    assert_eq!(statuses.iter().filter(|s| **s == 503).count(), 2);
    bench.until("nobody is left", |c| c.upstream_in_flight == 0 && c.upstream_waiting == 0);
}

#[test]
fn an_origin_that_is_down_does_not_harm_another() {
    let origin = Origin::http();
    let bench = Bench::start(GatewayConfig {
        sites: vec![support::site(&["down.example"], nobody()), support::site(&[], origin.addr)],
        ..config(origin.addr, limits())
    });
    run(async {
        for _ in 0..5 {
            let down = exchange(bench.addr(), "GET / HTTP/1.1\r\nHost: down.example\r\n\r\n").await;
            assert_eq!(down.unwrap().status, 502);
            assert_eq!(get(bench.addr(), "/").await.status, 200);
        }
    });
}

#[test]
fn idle_connections_to_the_origin_grow_old() {
    let origin = Origin::http();
    let limits = Limits { origin_idle_ms: 300, ..limits() };
    let bench = Bench::start(config(origin.addr, limits));
    run(get(bench.addr(), "/"));
    assert_eq!(bench.counters().upstream_idle, 1);
    bench.until("closed", |c| c.upstream_idle == 0);
}

#[test]
fn a_101_that_nobody_asked_for_is_a_502() {
    let origin = Origin::scripted(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    });
    let bench = Bench::before(origin.addr);
    assert_eq!(run(get(bench.addr(), "/")).status, 502);
    assert_eq!(bench.count(Reason::OriginMalformed), 1);
}

#[test]
fn interim_answers_are_not_mistaken_for_the_answer() {
    let origin = Origin::scripted(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let _ = stream.write_all(answer.as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    });
    let bench = Bench::before(origin.addr);
    assert_eq!(run(get(bench.addr(), "/")).text(), "ok");
}

#[test]
fn a_length_beside_chunks_does_not_frame_the_answer() {
    let origin = Origin::scripted(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    });
    let bench = Bench::before(origin.addr);
    assert_eq!(run(get(bench.addr(), "/")).text(), "hello");
}
