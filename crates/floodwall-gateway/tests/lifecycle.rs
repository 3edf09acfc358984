//! Starting, reloading, draining.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use floodwall_gateway::{CertificateFiles, GatewayConfig, Limits, Listener, ReloadError, Site};
use floodwall_model::Reason;
use support::client::{Raw, get, h2, request, whole};
use support::origin::Origin;
use support::{Bench, config, limits, run, site, tls};

/// Clients that send request after request until told to stop, and what became of them.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn on(addr: std::net::SocketAddr) -> Load {
        let (stop, sent, failed): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>) =
            Default::default();
        let client = |kept: bool| {
            let (stop, sent, failed) = (stop.clone(), sent.clone(), failed.clone());
            std::thread::spawn(move || {
                support::runtime().block_on(async {
                    let mut connection: Option<Raw> = None;
                    while !stop.load(Ordering::Relaxed) {
                        let mut raw = match connection.take() {
                            Some(raw) if kept => raw,
                            _ => Raw::connect(addr).await,
                        };
                        raw.send("GET /bytes/500 HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
                        let answer = raw.answer().await;
                        sent.fetch_add(1, Ordering::Relaxed);
                        if answer.is_none_or(|a| a.status != 200 || a.body.len() != 500) {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                        connection = Some(raw);
                    }
                });
            })
        };
        let threads = vec![client(true), client(true), client(false)];
        Load { stop, sent, failed, threads }
    }

    fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        (self.sent.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

#[test]
fn reloads_under_load_fail_no_request() {
    let (one, two) = (Origin::http(), Origin::http());
    let bench = Bench::before(one.addr);
    let load = Load::on(bench.addr());
    for n in 0..30 {
        let origin = if n % 2 == 0 { two.addr } else { one.addr };
        let mut limits = limits();
        limits.idle_ms += n;
        let config =
            GatewayConfig { sites: vec![site(&[], origin)], limits, ..bench.config.clone() };
        bench.gateway.reload(config).expect("a sound configuration");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (sent, failed) = load.end();
    assert!(sent > 100, "{sent}");
    assert_eq!(failed, 0, "of {sent}");
    assert!(one.seen.requests() > 0 && two.seen.requests() > 0, "both were in force");
}

#[test]
fn a_live_connection_meets_the_new_sites() {
    let origin = Origin::http();
    let bench = Bench::start(GatewayConfig {
        sites: vec![site(&["old.example"], origin.addr)],
        ..config(origin.addr, limits())
    });
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        let mut status = async |host: &str| {
            raw.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            raw.answer().await.unwrap().status
        };
        assert_eq!((status("old.example").await, status("new.example").await), (200, 421));
        let sites = vec![site(&["new.example"], origin.addr)];
        bench.gateway.reload(GatewayConfig { sites, ..bench.config.clone() }).unwrap();
        assert_eq!((status("old.example").await, status("new.example").await), (421, 200));
    });
    assert_eq!(bench.counters().connections, 1);
}

#[test]
fn listeners_come_and_go() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let first = bench.addr();
    let second: std::net::SocketAddr = support::origin::nobody();
    let with = |listeners: Vec<Listener>| GatewayConfig { listeners, ..bench.config.clone() };
    let kept = bench.config.listeners[0];
    let new = Listener { addr: second, tls: false };
    bench.gateway.reload(with(vec![kept, new])).unwrap();
    assert_eq!(bench.gateway.local_addrs(), [first, second], "the old one keeps its port");
    run(async {
        assert_eq!(get(first, "/").await.text(), "hello");
        let mut kept_connection = Raw::connect(first).await;
        kept_connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(kept_connection.answer().await.unwrap().status, 200);
        assert_eq!(get(second, "/").await.text(), "hello");
        bench.gateway.reload(with(vec![new])).unwrap();
        let gone = Instant::now() + Duration::from_secs(5);
        while tokio::net::TcpStream::connect(first).await.is_ok() {
            assert!(Instant::now() < gone, "the old listener still listens");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kept_connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(kept_connection.answer().await.unwrap().status, 200, "its connections live on");
        assert_eq!(get(second, "/").await.text(), "hello");
    });
    assert_eq!(bench.gateway.listener_fds().unwrap().len(), 2, "one per worker");
}

#[test]
fn a_bad_reload_changes_nothing() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let base = || GatewayConfig {
        sites: vec![site(&["only.example"], origin.addr)],
        ..bench.config.clone()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = support::origin::nobody();
    let missing =
        CertificateFiles { chain: "/nowhere/chain.pem".into(), key: "/nowhere/key.pem".into() };
    let bad: Vec<(&str, GatewayConfig)> = vec![
        ("no listener", GatewayConfig { listeners: vec![], ..base() }),
        ("no site", GatewayConfig { sites: vec![], ..base() }),
        (
            "certificate missing",
            GatewayConfig {
                sites: vec![Site {
                    certificate: Some(missing),
                    ..site(&["only.example"], origin.addr)
                }],
                ..base()
            },
        ),
        (
            "address taken, after one that is free",
            GatewayConfig {
                listeners: vec![
                    Listener { addr: free, tls: false },
                    Listener { addr: taken.local_addr().unwrap(), tls: false },
                ],
                ..base()
            },
        ),
    ];
    for (name, config) in bad {
        let error = bench.gateway.reload(config).expect_err(name);
        assert!(matches!(error, ReloadError::Config(_) | ReloadError::Bind(_)), "{name}");
        assert_eq!(
            run(get(bench.addr(), "/")).text(),
            "hello",
            "{name}: the old sites are in force"
        );
        assert_eq!(bench.gateway.local_addrs().len(), 1, "{name}");
        assert!(std::net::TcpStream::connect(free).is_err(), "{name}: nothing new listens");
    }
}

#[test]
fn a_certificate_is_renewed_without_a_break() {
    let origin = Origin::http();
    let (old, new) = (tls::certificate(&["a.example"]), tls::certificate(&["a.example"]));
    let with = |certificate: &tls::TestCertificate| GatewayConfig {
        listeners: vec![Listener { addr: "127.0.0.1:0".parse().unwrap(), tls: true }],
        sites: vec![Site {
            certificate: Some(certificate.files()),
            ..site(&["a.example"], origin.addr)
        }],
        ..config(origin.addr, limits())
    };
    let bench = Bench::start(with(&old));
    run(async {
        let stream = tls::connect(bench.addr(), "a.example", &old, &["http/1.1"]).await.unwrap();
        let mut raw = Raw::over(stream);
        bench.gateway.reload(with(&new)).unwrap();
        raw.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().status, 200);
        tls::connect(bench.addr(), "a.example", &new, &[]).await.expect("the new certificate");
        tls::connect(bench.addr(), "a.example", &old, &[]).await.expect_err("the old one is gone");
    });
}

#[test]
fn draining_lets_running_requests_finish() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let addr = bench.addr();
    let (started, has_started) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        run(async {
            let mut raw = Raw::connect(addr).await;
            raw.send("GET /sleep/600 HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let mut stream = h2(addr).await;
            let slow = stream.send_request(request("GET", "http://a/drip/30", ""));
            let mut idle = Raw::connect(addr).await;
            idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            idle.answer().await.unwrap();
            started.send(()).unwrap();
            let slow = whole(slow.await.unwrap()).await;
            let answer = raw.answer().await.expect("it may finish");
            assert!(idle.closes_within(2_000).await, "idle connections are closed");
            (answer, slow.1.len())
        })
    });
    has_started.recv().unwrap();
    let begun = Instant::now();
    bench.gateway.drain(Duration::from_secs(10));
    assert!(begun.elapsed() < Duration::from_secs(5), "no longer than needed");
    let (answer, dripped) = client.join().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert_eq!(dripped, 30);
    assert!(std::net::TcpStream::connect(addr).is_err(), "nothing listens any more");
    assert!(matches!(bench.gateway.reload(bench.config.clone()), Err(ReloadError::Stopping)));
    bench.finish().requests();
}

#[test]
fn draining_ends_at_its_deadline() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let addr = bench.addr();
    run(async {
        let mut raw = Raw::connect(addr).await;
        raw.send("GET /sleep/20000 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        bench.until("at the origin", |c| c.upstream_in_flight == 1);
        let begun = Instant::now();
        bench.gateway.drain(Duration::from_millis(300));
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert!(raw.answer().await.is_none());
    });
    let requests = bench.finish().requests();
    assert_eq!(
        (requests.len(), requests[0].outcome.unwrap().status),
        (1, 0),
        "and is accounted for"
    );
}

#[test]
fn old_connections_are_told_to_go() {
    let origin = Origin::http();
    let limits = Limits { connection_age_ms: 500, ..limits() };
    let bench = Bench::start(config(origin.addr, limits));
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        let mut served = 0;
        for _ in 0..40 {
            raw.send("GET /sleep/30 HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let answer = raw.answer().await.expect("no request fails");
            served += 1;
            if answer.field("connection") == Some("close") {
                break;
            }
        }
        assert!(served < 40, "it was told");
    });
    assert_eq!(bench.count(Reason::ClientGone), 0);
}
