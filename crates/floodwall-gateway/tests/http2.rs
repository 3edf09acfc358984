//! HTTP/2: with prior knowledge and over TLS, streaming, ending, and its frames under budget.

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use floodwall_gateway::{GatewayConfig, Limits, Listener, Site};
use floodwall_model::Reason;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use support::client::{Raw, h2, h2_over, request, whole};
use support::origin::{Origin, pattern, read_head};
use support::{Bench, config, limits, run, site, tls};
use tokio::io::AsyncWriteExt;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[test]
fn many_streams_share_a_connection() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let client = h2(bench.addr()).await;
        let mut answers = tokio::task::JoinSet::new();
        for n in 0..50 {
            let mut client = client.clone();
            answers.spawn(async move {
                let uri = format!("http://a.example/bytes/{}", n * 1_000);
                whole(client.send_request(request("GET", &uri, "")).await.unwrap()).await.1.len()
            });
        }
        let mut lengths = answers.join_all().await;
        lengths.sort_unstable();
        assert_eq!(lengths, (0..50).map(|n| n * 1_000).collect::<Vec<_>>());
    });
    assert_eq!(bench.counters().connections, 1);
    let requests = bench.finish().requests();
    assert_eq!(requests.len(), 50);
    assert!(requests.iter().all(|r| r.outcome.unwrap().status == 200));
}

#[test]
fn tls_offers_http_2_and_http_1() {
    let origin = Origin::http();
    let certificate = tls::certificate(&["a.example"]);
    let bench = Bench::start(GatewayConfig {
        listeners: vec![Listener { addr: "127.0.0.1:0".parse().unwrap(), tls: true }],
        sites: vec![Site {
            certificate: Some(certificate.files()),
            ..site(&["a.example"], origin.addr)
        }],
        ..config(origin.addr, limits())
    });
    run(async {
        let stream = tls::connect(bench.addr(), "a.example", &certificate, &["h2", "http/1.1"])
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut client = h2_over(stream).await;
        let answer =
            client.send_request(request("GET", "https://a.example/head", "")).await.unwrap();
        assert_eq!(answer.version(), hyper::Version::HTTP_2);
        let head = String::from_utf8(whole(answer).await.1.to_vec()).unwrap();
        assert!(head.contains("x-forwarded-proto: https"), "{head}");

        let stream =
            tls::connect(bench.addr(), "a.example", &certificate, &["http/1.1"]).await.unwrap();
        let mut raw = Raw::over(stream);
        raw.send("GET /bytes/200000 HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().body, pattern(0, 200_000));
    });
    assert_eq!(bench.counters().tls_handshakes, 2);
}

#[test]
fn bodies_stream_both_ways_over_a_stream() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let body = StreamBody::new(Channel(receiver));
        let stream = tokio::net::TcpStream::connect(bench.addr()).await.unwrap();
        let mut client = h2_over(stream).await;
        let request = hyper::Request::post("http://a.example/echo").body(body).unwrap();
        let answer = client.send_request(request);
        sender.send(Bytes::from_static(b"first")).await.unwrap();
        let mut answer = answer.await.unwrap();
        let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "first", "before the request has ended");
        let large = pattern(0, 400_000);
        let sending = tokio::spawn(async move {
            for piece in large.chunks(10_000) {
                sender.send(Bytes::copy_from_slice(piece)).await.unwrap();
            }
        });
        let rest = answer.into_body().collect().await.unwrap().to_bytes();
        sending.await.unwrap();
        assert_eq!(rest, pattern(0, 400_000));
    });
}

struct Channel(tokio::sync::mpsc::Receiver<Bytes>);

impl futures_core::Stream for Channel {
    type Item = Result<Frame<Bytes>, std::convert::Infallible>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[test]
fn connection_fields_do_not_reach_an_http_2_client() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut client = h2(bench.addr()).await;
        let answer = client.send_request(request("GET", "http://a.example/hop", "")).await.unwrap();
        for gone in ["connection", "keep-alive", "upgrade", "transfer-encoding"] {
            assert!(!answer.headers().contains_key(gone), "{gone}");
        }
        let head =
            client.send_request(request("HEAD", "http://a.example/bytes/77", "")).await.unwrap();
        assert_eq!(head.headers()["content-length"], "77");
        let none =
            client.send_request(request("GET", "http://a.example/status/304", "")).await.unwrap();
        assert_eq!(whole(none).await, (304, Bytes::new()));
    });
}

#[test]
fn an_origin_that_breaks_off_resets_one_stream_and_no_other() {
    let breaking = Origin::scripted(|mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this").await;
    });
    let sound = Origin::http();
    let bench = Bench::start(GatewayConfig {
        sites: vec![site(&["breaks.example"], breaking.addr), site(&[], sound.addr)],
        ..config(sound.addr, limits())
    });
    run(async {
        let mut client = h2(bench.addr()).await;
        let mut other = client.clone();
        let slow = tokio::spawn(async move {
            whole(other.send_request(request("GET", "http://a.example/drip/20", "")).await.unwrap())
                .await
        });
        let broken =
            client.send_request(request("GET", "http://breaks.example/", "")).await.unwrap();
        assert!(broken.into_body().collect().await.is_err(), "it must not look whole");
        assert_eq!(slow.await.unwrap().1.len(), 20);
    });
    bench.until_counted(Reason::OriginClosedEarly, 1);
}

#[test]
fn malformed_and_misdirected_requests_are_refused_per_stream() {
    let origin = Origin::http();
    let bench = Bench::start(GatewayConfig {
        sites: vec![site(&["a.example"], origin.addr)],
        ..config(origin.addr, limits())
    });
    run(async {
        let mut client = h2(bench.addr()).await;
        let mut status =
            async |request| client.send_request(request).await.unwrap().status().as_u16();
        assert_eq!(status(request("GET", "http://b.example/", "")).await, 421);
        let mut differs = request("GET", "http://a.example/", "");
        differs.headers_mut().insert("host", "b.example".parse().unwrap());
        assert_eq!(status(differs).await, 400);
        assert_eq!(status(request("TRACE", "http://a.example/", "")).await, 405);
        let long = format!("http://a.example/{}", "a".repeat(9_000));
        assert_eq!(status(request("GET", &long, "")).await, 414);
        let large = vec![0; 100];
        let mut large = request("POST", "http://a.example/swallow", large);
        large.headers_mut().insert("expect", "nonsense".parse().unwrap());
        assert_eq!(status(large).await, 200);
    });
    assert_eq!(origin.seen.requests(), 1);
}

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block by static table indices: GET, http, `/`, and `:authority: a` as a literal.
const HEADERS: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'a'];

async fn opened(bench: &Bench) -> Raw {
    let mut raw = Raw::connect(bench.addr()).await;
    raw.send([PREFACE, &frame(4, 0, 0, &[])].concat()).await;
    raw
}

#[test]
fn floods_of_control_frames_end_the_connection() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let rows: [(&str, Vec<u8>); 5] = [
        ("PING", frame(6, 0, 0, &[0; 8])),
        ("SETTINGS", frame(4, 0, 0, &[])),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 3, 1])),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0x55, 0, 0, &[0; 4])),
    ];
    for (n, (name, frame)) in rows.iter().enumerate() {
        run(async {
            let mut raw = opened(&bench).await;
            let flood = frame.repeat(2_000);
            let _ = raw.stream.write_all(&flood).await;
            let mut sink = Vec::new();
            use tokio::io::AsyncReadExt;
            let _ = tokio::time::timeout(Duration::from_secs(2), raw.stream.read_to_end(&mut sink))
                .await
                .unwrap_or_else(|_| panic!("{name} goes on"));
        });
        bench.until_counted(Reason::Http2Abuse, n as u64 + 1);
    }
}

#[test]
fn paced_rapid_reset_does_not_get_far() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = opened(&bench).await;
        for n in 0..300u32 {
            let stream = 2 * n + 1;
            let opened = raw.stream.write_all(&frame(1, 5, stream, HEADERS)).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
            let reset = raw.stream.write_all(&frame(3, 0, stream, &[0, 0, 0, 8])).await;
            if opened.is_err() || reset.is_err() {
                break;
            }
        }
    });
    bench.until_counted(Reason::Http2Abuse, 1);
    assert!(origin.seen.requests() <= 60, "{} reached the origin", origin.seen.requests());
    bench.finish().requests();
}

fn hasty() -> Limits {
    Limits {
        head_ms: 400,
        idle_ms: 400,
        body_gap_ms: 400,
        floor_grace_ms: 200,
        write_stall_ms: 600,
        ..limits()
    }
}

#[test]
fn clients_that_owe_something_are_ended() {
    let origin = Origin::http();
    let rows: [(&str, Vec<u8>, Reason); 4] = [
        ("settings and no request", vec![], Reason::HeadTimeout),
        ("headers without end", frame(1, 0, 1, HEADERS), Reason::HeadTimeout),
        ("half a frame", frame(1, 5, 1, HEADERS)[..10].to_vec(), Reason::HeadTimeout),
        ("a request and silence", frame(1, 5, 1, HEADERS), Reason::IdleTimeout),
    ];
    for (name, bytes, reason) in rows {
        let bench = Bench::start(config(origin.addr, hasty()));
        let started = Instant::now();
        run(async {
            let mut raw = opened(&bench).await;
            raw.send(&bytes).await;
            use tokio::io::AsyncReadExt;
            let mut sink = Vec::new();
            let _ = raw.stream.read_to_end(&mut sink).await;
        });
        assert!(started.elapsed() < Duration::from_secs(3), "{name}");
        bench.until_counted(reason, 1);
    }
}

#[test]
fn an_http_2_body_that_stops_is_answered_408() {
    let origin = Origin::http();
    let bench = Bench::start(config(origin.addr, hasty()));
    run(async {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let stream = tokio::net::TcpStream::connect(bench.addr()).await.unwrap();
        let mut client = h2_over(stream).await;
        let body = StreamBody::new(Channel(receiver));
        let request = hyper::Request::post("http://a.example/swallow").body(body).unwrap();
        let answer = client.send_request(request);
        sender.send(Bytes::from_static(b"some")).await.unwrap();
        assert_eq!(answer.await.unwrap().status(), 408);
        drop(sender);
    });
    assert_eq!(bench.count(Reason::BodyTimeout), 1);
}

#[test]
fn an_http_2_reader_with_a_shut_window_is_cut() {
    let origin = Origin::http();
    let bench = Bench::start(config(origin.addr, hasty()));
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        // SETTINGS_INITIAL_WINDOW_SIZE = 0, then a GET of / : "hello" can never be sent.
        let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
        raw.send([PREFACE, &settings, &frame(1, 5, 1, HEADERS)].concat()).await;
        use tokio::io::AsyncReadExt;
        let mut sink = Vec::new();
        let _ = raw.stream.read_to_end(&mut sink).await;
    });
    bench.until("closed", |c| c.connections_open == 0);
}

#[test]
fn a_connection_is_told_to_go_after_its_share_of_streams() {
    let origin = Origin::http();
    let limits = Limits { h2_streams_lifetime_max: 10, ..limits() };
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        let mut client = h2(bench.addr()).await;
        let mut served = 0;
        for _ in 0..20 {
            if client.ready().await.is_err() {
                break;
            }
            match client.send_request(request("GET", "http://a.example/", "")).await {
                Ok(answer) => served += usize::from(whole(answer).await.0 == 200),
                Err(_) => break,
            }
        }
        assert!((10..=12).contains(&served), "{served}");
    });
}
