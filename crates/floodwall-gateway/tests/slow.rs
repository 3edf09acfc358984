//! Clients that take their time: each is ended by its deadline, and others are served meanwhile.

mod support;

use std::time::{Duration, Instant};

use floodwall_gateway::Limits;
use floodwall_model::Reason;
use support::client::{Raw, get};
use support::origin::Origin;
use support::{Bench, config, run};
use tokio::io::AsyncReadExt;

/// Deadlines short enough to wait for.
fn hasty() -> Limits {
    Limits {
        head_ms: 400,
        idle_ms: 400,
        body_gap_ms: 400,
        floor_grace_ms: 400,
        write_stall_ms: 600,
        tls_handshake_ms: 400,
        tunnel_idle_ms: 400,
        ..support::limits()
    }
}

/// Sends `pieces` with pauses and expects `status` (0: none) and the end of the connection.
fn check(pieces: &[&str], pause_ms: u64, status: u16, reason: Reason) {
    let origin = Origin::http();
    let bench = Bench::start(config(origin.addr, hasty()));
    let started = Instant::now();
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        let (mut reader, mut writer) = raw.stream.split();
        let mut got = Vec::new();
        let send = async {
            for piece in pieces {
                use tokio::io::AsyncWriteExt;
                if writer.write_all(piece.as_bytes()).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = send => {}
            _ = reader.read_to_end(&mut got) => {}
        }
        let text = String::from_utf8_lossy(&got);
        if status == 0 {
            assert_eq!(text, "", "nothing is answered");
        } else {
            assert!(text.contains(&format!("HTTP/1.1 {status} ")), "{text}");
        }
        assert_eq!(get(bench.addr(), "/").await.text(), "hello", "others are served");
    });
    assert!(started.elapsed() < Duration::from_secs(4));
    bench.until_counted(reason, 1);
}

#[test]
fn a_head_that_drips_is_answered_408() {
    let drip: Vec<&str> = std::iter::once("GET / HTTP/1.1\r\nHost: a\r\n")
        .chain(std::iter::repeat_n("X: y\r\n", 60))
        .collect();
    check(&drip, 50, 408, Reason::HeadTimeout);
}

#[test]
fn a_client_that_sends_nothing_is_closed() {
    check(&[], 0, 0, Reason::HeadTimeout);
}

#[test]
fn a_kept_connection_that_sends_nothing_more_is_closed() {
    check(&["GET / HTTP/1.1\r\nHost: a\r\n\r\n"], 0, 200, Reason::IdleTimeout);
}

#[test]
fn a_second_head_that_drips_is_answered_408() {
    let mut drip = vec!["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n"];
    drip.extend(std::iter::repeat_n("X: y\r\n", 60));
    check(&drip, 50, 408, Reason::HeadTimeout);
}

#[test]
fn a_body_that_stops_is_answered_408() {
    let head = "POST /swallow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    check(&[head, "some"], 0, 408, Reason::BodyTimeout);
}

#[test]
fn a_body_below_the_floor_is_answered_408() {
    let mut drip = vec!["POST /swallow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"];
    drip.extend(std::iter::repeat_n("x", 100));
    check(&drip, 100, 408, Reason::BodyTimeout);
}

#[test]
fn a_chunked_body_below_the_floor_is_answered_408() {
    let mut drip = vec!["POST /swallow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"];
    drip.extend(std::iter::repeat_n("1\r\nx\r\n", 100));
    check(&drip, 100, 408, Reason::BodyTimeout);
}

#[test]
fn half_a_preface_is_no_way_to_stay() {
    check(&["PRI * HTTP/2.0\r\n"], 0, 0, Reason::HeadTimeout);
}

#[test]
fn a_slow_upload_above_the_floor_is_let_be() {
    let origin = Origin::http();
    let bench = Bench::start(config(origin.addr, hasty()));
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send("POST /swallow HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n").await;
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            raw.send(vec![b'x'; 200]).await;
        }
        assert_eq!(raw.answer().await.unwrap().text(), "3000");
    });
}

#[test]
fn a_reader_that_takes_nothing_is_cut_and_the_origin_freed() {
    let origin = Origin::http();
    let bench = Bench::start(config(origin.addr, hasty()));
    run(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut raw = Raw::over(socket.connect(bench.addr()).await.unwrap());
        raw.send("GET /bytes/30000000 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        bench.until("at the origin", |c| c.upstream_in_flight == 1);
        assert_eq!(get(bench.addr(), "/").await.text(), "hello", "others are served");
        bench.until_counted(Reason::WriteTimeout, 1);
        bench.until("closed", |c| c.connections_open == 0 && c.upstream_in_flight == 0);
    });
}

#[test]
fn a_slow_origin_is_not_the_clients_fault() {
    let origin = Origin::http();
    let bench = Bench::start(config(origin.addr, hasty()));
    run(async {
        assert_eq!(get(bench.addr(), "/sleep/1500").await.text(), "hello");
        assert_eq!(get(bench.addr(), "/drip/60").await.body.len(), 60);
    });
}

#[test]
fn slow_clients_in_number_do_not_slow_others() {
    let origin = Origin::http();
    let mut limits = hasty();
    limits.head_ms = 5_000;
    limits.connections_per_v4_max = 1_000;
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        let mut slow = Vec::new();
        for _ in 0..300 {
            let mut raw = Raw::connect(bench.addr()).await;
            raw.send("GET / HTTP/1.1\r\n").await;
            slow.push(raw);
        }
        let started = Instant::now();
        for _ in 0..20 {
            assert_eq!(get(bench.addr(), "/").await.text(), "hello");
        }
        assert!(started.elapsed() < Duration::from_secs(2));
    });
}
