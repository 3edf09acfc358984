//! The framing table of design/l7.md § 2.1: each row raw bytes, one status, and an origin that saw
//! nothing of it.

mod support;

use floodwall_model::{Handling, Reason};
use support::client::{Raw, exchange};
use support::origin::Origin;
use support::{Bench, run};

/// What is sent, the answer, the reason counted.
const TABLE: &[(&str, &str, u16, Reason)] = &[
    (
        "CL.TE",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED",
        400,
        Reason::AmbiguousFraming,
    ),
    (
        "TE.CL",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
        400,
        Reason::AmbiguousFraming,
    ),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        400,
        Reason::AmbiguousFraming,
    ),
    (
        "xchunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
        Reason::AmbiguousFraming,
    ),
    (
        "identity, chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        400,
        Reason::AmbiguousFraming,
    ),
    (
        "coding in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        Reason::AmbiguousFraming,
    ),
    ("bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400, Reason::Malformed),
    ("bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, Reason::Malformed),
    ("obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, Reason::Malformed),
    (
        "space before colon",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        400,
        Reason::Malformed,
    ),
    ("NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, Reason::Malformed),
    ("no Host", "GET / HTTP/1.1\r\n\r\n", 400, Reason::HostMissing),
    ("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, Reason::HostMissing),
    ("empty Host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", 400, Reason::HostMissing),
    ("Host that is none", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, Reason::Malformed),
    ("Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, Reason::Malformed),
    ("target and Host differ", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, Reason::Malformed),
    ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, Reason::MethodRefused),
    ("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, Reason::MethodRefused),
    ("no version", "GET /\r\n\r\n", 400, Reason::Malformed),
    ("HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400, Reason::Malformed),
    ("TLS to a plain port", "\u{16}\u{3}\u{1}\u{0}\u{a5}\u{1}", 400, Reason::Malformed),
    (
        "upgrade with a body",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
        400,
        Reason::UpgradeRefused,
    ),
    ("half a preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 400, Reason::Malformed),
];

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    let mut expected = std::collections::HashMap::<Reason, u64>::new();
    for (name, bytes, status, reason) in TABLE {
        run(async {
            let mut raw = Raw::connect(bench.addr()).await;
            raw.send(bytes).await;
            let answer = raw.answer().await.unwrap_or_else(|| panic!("{name}: no answer"));
            assert_eq!(answer.status, *status, "{name}");
            assert!(answer.body.len() < 40 && answer.body.ends_with(b"\n"), "{name}: one line");
            assert_eq!(answer.field("server"), None, "{name}");
            let has_more = bytes.contains("Length") || *reason != Reason::MethodRefused;
            if has_more {
                assert_eq!(answer.field("connection"), Some("close"), "{name}");
                assert!(raw.closes_within(3_000).await, "{name}: nothing after it");
            }
        });
        *expected.entry(*reason).or_default() += 1;
        assert_eq!(bench.count(*reason), expected[reason], "{name}");
    }
    assert_eq!(origin.seen.requests(), 0, "{:?}", origin.seen.heads.lock().unwrap());
    let requests = bench.finish().requests();
    assert_eq!(requests.len(), TABLE.len());
    for request in requests {
        assert!(matches!(request.handling, Handling::Refused(_)));
        assert!(request.handshake);
    }
}

#[test]
fn a_bad_head_behind_a_good_one_waits_its_turn() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send("GET /sleep/200 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\nHost: a\n\n").await;
        assert_eq!(raw.answer().await.unwrap().text(), "hello");
        assert_eq!(raw.answer().await.unwrap().status, 400);
        assert!(raw.closes_within(3_000).await);
    });
    assert_eq!(origin.seen.requests(), 1);
}

#[test]
fn a_body_that_breaks_its_framing_is_refused_and_the_origin_does_not_take_it_for_whole() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    for body in
        ["5\nhello\n0\n\n", "5\r\nhelloX\r\n0\r\n\r\n", "zz\r\n", "5 \r\nhello\r\n0\r\n\r\n"]
    {
        run(async {
            let head = "POST /swallow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let answer = exchange(bench.addr(), format!("{head}{body}")).await.unwrap();
            assert_eq!(answer.status, 400, "{body:?}");
            assert_eq!(answer.field("connection"), Some("close"));
        });
    }
    assert_eq!(bench.count(Reason::Malformed), 4);
}

#[test]
fn sizes_have_their_own_answers() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let long = "a".repeat(9_000);
        let uri = exchange(bench.addr(), format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(uri.unwrap().status, 414);
        let cookie = "c".repeat(33_000);
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
        assert_eq!(exchange(bench.addr(), head).await.unwrap().status, 431);
        let fields = "X: y\r\n".repeat(101);
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(exchange(bench.addr(), head).await.unwrap().status, 431);
        let body = "POST /swallow HTTP/1.1\r\nHost: a\r\nContent-Length: 10485761\r\n\r\n";
        assert_eq!(exchange(bench.addr(), body).await.unwrap().status, 413);
    });
    assert_eq!(origin.seen.requests(), 0);
    assert_eq!(bench.count(Reason::UriTooLong), 1);
    assert_eq!(bench.count(Reason::HeadTooLarge), 2);
    assert_eq!(bench.count(Reason::BodyTooLarge), 1);
}

#[test]
fn a_chunked_body_is_cut_at_the_maximum() {
    let origin = Origin::http();
    let mut limits = support::limits();
    limits.body_bytes_max = 100_000;
    let bench = Bench::start(support::config(origin.addr, limits));
    run(async {
        let mut raw = Raw::connect(bench.addr()).await;
        raw.send("POST /swallow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..11 {
            raw.send(format!("2710\r\n{}\r\n", "x".repeat(10_000))).await;
        }
        assert_eq!(raw.answer().await.unwrap().status, 413);
    });
    bench.until_counted(Reason::BodyTooLarge, 1);
    let request = bench.finish().requests()[0];
    assert_eq!(request.handling, Handling::Refused(Reason::BodyTooLarge));
    assert_eq!(request.outcome.unwrap().status, 413);
}

#[test]
fn one_empty_line_before_a_request_is_ignored_and_a_second_is_not() {
    let origin = Origin::http();
    let bench = Bench::before(origin.addr);
    run(async {
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let one = exchange(bench.addr(), format!("\r\n{request}")).await.unwrap();
        assert_eq!(one.status, 200);
        let two = exchange(bench.addr(), format!("\r\n\r\n{request}")).await.unwrap();
        assert_eq!(two.status, 400);
    });
}
