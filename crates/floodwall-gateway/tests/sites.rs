//! Several sites by Host and by server name.

mod support;

use floodwall_gateway::{
    CertificateFiles, ConfigError, Gateway, GatewayConfig, Links, Listener, Site, StartError,
};
use floodwall_model::Reason;
use support::client::{Raw, exchange, h2_over, request};
use support::origin::Origin;
use support::tls::{TestCertificate, certificate, connect};
use support::{Bench, config, limits, run, site};

fn tls_listener() -> Listener {
    Listener { addr: "127.0.0.1:0".parse().unwrap(), tls: true }
}

#[test]
fn requests_go_to_the_origin_of_their_host() {
    let (one, two, rest) = (Origin::http(), Origin::http(), Origin::http());
    let bench = Bench::start(GatewayConfig {
        sites: vec![
            site(&["one.example", "www.one.example"], one.addr),
            site(&["*.two.example"], two.addr),
            site(&[], rest.addr),
        ],
        ..config(one.addr, limits())
    });
    run(async {
        for host in ["one.example", "WWW.ONE.example:8080", "a.two.example", "two.example", "x"] {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(exchange(bench.addr(), request).await.unwrap().status, 200, "{host}");
        }
    });
    let seen = [&one, &two, &rest].map(|origin| origin.seen.requests());
    assert_eq!(seen, [2, 1, 2]);
}

#[test]
fn an_unknown_host_is_a_421() {
    let origin = Origin::http();
    let bench = Bench::start(GatewayConfig {
        sites: vec![site(&["one.example"], origin.addr)],
        ..config(origin.addr, limits())
    });
    run(async {
        for host in ["other.example", "one.example.evil", "xone.example", "127.0.0.1"] {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let answer = exchange(bench.addr(), request).await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (421, "Misdirected request\n"));
        }
        let old = exchange(bench.addr(), "GET / HTTP/1.0\r\n\r\n").await.unwrap();
        assert_eq!(old.status, 421);
    });
    assert_eq!((bench.count(Reason::HostUnknown), origin.seen.requests()), (5, 0));
}

/// Two sites with a certificate each and one without.
fn two_certificates(origin: &Origin) -> (Bench, TestCertificate, TestCertificate) {
    let (one, two) = (certificate(&["one.example"]), certificate(&["two.example"]));
    let with = |certificate: &TestCertificate, name| Site {
        certificate: Some(certificate.files()),
        ..site(&[name], origin.addr)
    };
    let bench = Bench::start(GatewayConfig {
        listeners: vec![tls_listener()],
        sites: vec![
            with(&one, "one.example"),
            with(&two, "two.example"),
            site(&["plain.example"], origin.addr),
        ],
        ..config(origin.addr, limits())
    });
    (bench, one, two)
}

#[test]
fn each_name_gets_its_certificate() {
    let origin = Origin::http();
    let (bench, one, two) = two_certificates(&origin);
    run(async {
        connect(bench.addr(), "one.example", &one, &[]).await.expect("one's own");
        connect(bench.addr(), "two.example", &two, &[]).await.expect("two's own");
        connect(bench.addr(), "two.example", &one, &[]).await.expect_err("not the other's");
    });
}

#[test]
fn a_host_under_another_certificate_is_a_421() {
    let origin = Origin::http();
    let (bench, one, _two) = two_certificates(&origin);
    run(async {
        let stream = connect(bench.addr(), "one.example", &one, &["http/1.1"]).await.unwrap();
        let mut raw = Raw::over(stream);
        for (host, status) in [("one.example", 200), ("two.example", 421), ("plain.example", 200)] {
            raw.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!(raw.answer().await.unwrap().status, status, "{host}");
        }
        let stream = connect(bench.addr(), "one.example", &one, &["h2"]).await.unwrap();
        let mut client = h2_over(stream).await;
        let answer = client.send_request(request("GET", "https://two.example/", "")).await.unwrap();
        assert_eq!(answer.status(), 421);
    });
}

#[test]
fn broken_tls_is_counted_and_harms_nobody() {
    let origin = Origin::http();
    let (bench, one, _two) = two_certificates(&origin);
    run(async {
        for junk in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"\x16\x03\x01\x00\x05hello", b"\0"]
        {
            let mut raw = Raw::connect(bench.addr()).await;
            raw.send(junk).await;
            drop(raw);
        }
        bench.until_counted(Reason::TlsFailed, 3);
        connect(bench.addr(), "one.example", &one, &[]).await.expect("others are served");
    });
}

#[test]
fn a_handshake_that_stalls_is_ended() {
    let origin = Origin::http();
    let one = certificate(&["one.example"]);
    let mut limits = limits();
    limits.tls_handshake_ms = 300;
    let bench = Bench::start(GatewayConfig {
        listeners: vec![tls_listener()],
        sites: vec![Site { certificate: Some(one.files()), ..site(&[], origin.addr) }],
        ..config(origin.addr, limits)
    });
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send(b"\x16\x03\x01").await;
        assert!(raw.closes_within(2_000).await);
    });
    bench.until_counted(Reason::TlsTimeout, 1);
}

/// Starting must fail.
fn refused(change: impl FnOnce(&mut GatewayConfig)) -> ConfigError {
    let mut config = config("127.0.0.1:1".parse().unwrap(), limits());
    change(&mut config);
    let (sender, _observations) = std::sync::mpsc::sync_channel(1);
    let links = Links {
        value_key: support::KEY,
        plan: Default::default(),
        bans: Default::default(),
        observations: sender,
        geography: None,
    };
    match Gateway::start(config, links) {
        Err(StartError::Config(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let good = certificate(&["a.example"]);
    let other = certificate(&["b.example"]);
    std::fs::write(path("junk.pem"), "no certificate").unwrap();
    let with = |chain: std::path::PathBuf, key: std::path::PathBuf| {
        refused(|c| c.sites[0].certificate = Some(CertificateFiles { chain, key })).to_string()
    };
    let missing = with(path("missing.pem"), good.files().key);
    assert!(missing.contains("missing.pem") && missing.contains("No such file"), "{missing}");
    let junk = with(path("junk.pem"), good.files().key);
    assert!(junk.contains("junk.pem") && junk.contains("no certificate"), "{junk}");
    let no_key = with(good.files().chain, path("junk.pem"));
    assert!(no_key.contains("junk.pem") && no_key.contains("private key"), "{no_key}");
    let wrong_key = with(good.files().chain, other.files().key);
    assert!(wrong_key.contains("not the key"), "{wrong_key}");

    assert!(matches!(refused(|c| c.sites.clear()), ConfigError::NoSite));
    assert!(matches!(refused(|c| c.listeners.clear()), ConfigError::NoListener));
    assert!(matches!(refused(|c| c.listeners[0].tls = true), ConfigError::NoCertificate(_)));
    assert!(matches!(refused(|c| c.sites[0].names = vec!["a b".into()]), ConfigError::BadName(_)));
    let twice =
        |c: &mut GatewayConfig| c.sites[0].names = vec!["a.example".into(), "A.example".into()];
    assert!(matches!(refused(twice), ConfigError::NameTwice(_)));
    let all_twice = |c: &mut GatewayConfig| c.sites.push(c.sites[0].clone());
    assert!(matches!(refused(all_twice), ConfigError::CatchAllTwice));
}
