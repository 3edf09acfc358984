//! What the origin is told about the client, and what ends at the gateway.

mod support;

use std::net::SocketAddr;

use floodwall_gateway::GatewayConfig;
use support::client::{exchange, get, h2, request, whole};
use support::origin::Origin;
use support::{Bench, config, limits, run};

/// The value of a field in a head as the origin saw it.
fn field(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
}

fn head_at_origin(bench: &Bench, fields: &str) -> String {
    run(async {
        let request = format!("GET /head HTTP/1.1\r\nHost: a.example:81\r\n{fields}\r\n");
        exchange(bench.addr(), request).await.unwrap().text()
    })
}

#[test]
fn strangers_claims_are_replaced() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let head = head_at_origin(
        &bench,
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         X-Forwarded-Port: 1\r\nX_Forwarded_For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n\
         X-Real-IP: 1.2.3.4\r\nTrue-Client-IP: 1.2.3.4\r\n",
    );
    assert!(!head.contains("1.2.3.4") && !head.contains("evil"), "{head}");
    assert_eq!(field(&head, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(field(&head, "x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(field(&head, "x-forwarded-host").as_deref(), Some("a.example:81"));
    assert_eq!(
        field(&head, "forwarded").as_deref(),
        Some("for=127.0.0.1;host=\"a.example:81\";proto=http")
    );
    assert_eq!(field(&head, "via").as_deref(), Some("1.1 floodwall"));
    assert_eq!(field(&head, "host").as_deref(), Some("a.example:81"));
    assert_eq!(field(&head, "x-forwarded-port"), None);
}

/// Behind proxies of ours at 127.0.0.0/8 and 10.0.0.0/8.
fn behind_proxies(origin: SocketAddr) -> Bench {
    let trusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"].iter().map(|p| p.parse().unwrap());
    Bench::start(GatewayConfig {
        trusted_proxies: trusted_proxies.collect(),
        workers: 1,
        ..config(origin, limits())
    })
}

#[test]
fn a_trusted_proxys_claims_are_believed_and_continued() {
    let origin = Origin::http();
    let bench = behind_proxies(origin.addr);
    let head = head_at_origin(
        &bench,
        "X-Forwarded-For: 9.9.9.9, 192.0.2.7\r\nX-Forwarded-For: 10.0.0.5\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: outer.example\r\nForwarded: for=192.0.2.7\r\n",
    );
    assert_eq!(
        field(&head, "x-forwarded-for").as_deref(),
        Some("9.9.9.9, 192.0.2.7, 10.0.0.5, 127.0.0.1")
    );
    assert_eq!(field(&head, "x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(field(&head, "x-forwarded-host").as_deref(), Some("outer.example"));
    assert_eq!(
        field(&head, "forwarded").as_deref(),
        Some("for=192.0.2.7, for=127.0.0.1;host=\"a.example:81\";proto=http")
    );
}

#[test]
fn the_client_behind_proxies_is_the_first_from_the_right_that_is_not_one() {
    let rows: &[(&str, &str, bool)] = &[
        ("", "127.0.0.1", true),
        ("X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7", false),
        ("X-Forwarded-For: 9.9.9.9, 192.0.2.7, 10.1.1.1\r\n", "192.0.2.7", false),
        ("X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 10.1.1.1\r\n", "192.0.2.9", false),
        ("X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7", false),
        ("X-Forwarded-For: nonsense\r\n", "127.0.0.1", true),
        ("Forwarded: for=192.0.2.7\r\n", "127.0.0.1", true),
    ];
    let origin = Origin::http();
    let bench = behind_proxies(origin.addr);
    for (fields, ..) in rows {
        head_at_origin(&bench, fields);
    }
    assert_eq!(bench.counters().forwarded_unparsable, 1);
    let requests = bench.finish().requests();
    for ((fields, source, handshake), request) in rows.iter().zip(&requests) {
        assert_eq!(request.source.to_string(), *source, "{fields}");
        assert_eq!(request.handshake, *handshake, "{fields}");
    }
}

#[test]
fn a_strangers_claim_does_not_change_who_is_observed() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    head_at_origin(&bench, "X-Forwarded-For: 192.0.2.7\r\n");
    let request = bench.finish().requests()[0];
    assert_eq!(request.source.to_string(), "127.0.0.1");
    assert!(request.handshake);
}

#[test]
fn hop_by_hop_fields_end_here_both_ways() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let head = head_at_origin(
        &bench,
        "Connection: keep-alive, X-Hop, Host, Content-Length\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\
         Trailer: x\r\nProxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: x\r\nX-Stays: 1\r\nAuthorization: Bearer x\r\n",
    );
    for gone in [
        "connection",
        "x-hop",
        "keep-alive",
        "te",
        "trailer",
        "proxy-authorization",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(field(&head, gone), None, "{gone}: {head}");
    }
    for stays in ["x-stays", "authorization", "host"] {
        assert!(field(&head, stays).is_some(), "{stays}: {head}");
    }
    let answer = run(get(bench.addr(), "/hop"));
    for gone in ["x-origin-hop", "keep-alive", "proxy-authenticate", "trailer", "upgrade"] {
        assert_eq!(answer.field(gone), None, "{gone}: {}", answer.head);
    }
    assert_eq!(answer.field("x-stays"), Some("1"));
    assert_eq!(answer.field("via"), None, "nothing about us");
}

#[test]
fn a_listed_length_cannot_be_taken_out() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let request = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(exchange(bench.addr(), request).await.unwrap().text(), "hello");
    });
    assert!(origin.seen.last_head().contains("content-length: 5"));
}

#[test]
fn an_http_2_request_reaches_the_origin_as_http_1() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut client = h2(bench.addr()).await;
        let mut request = request("GET", "http://a.example/head?x=1", "");
        for crumb in ["a=1", "b=2"] {
            request.headers_mut().append("cookie", crumb.parse().unwrap());
        }
        let (status, body) = whole(client.send_request(request).await.unwrap()).await;
        let head = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(status, 200);
        assert!(head.starts_with("GET /head?x=1 HTTP/1.1\n"), "{head}");
        assert_eq!(field(&head, "host").as_deref(), Some("a.example"));
        assert_eq!(field(&head, "cookie").as_deref(), Some("a=1; b=2"));
        assert_eq!(field(&head, "via").as_deref(), Some("2.0 floodwall"));
    });
}
