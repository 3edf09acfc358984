//! The framing table (design/l7.md § 2.1), and that whatever passes is sound to the parser behind.

use super::*;
use proptest::prelude::*;

fn scan(head: &[u8]) -> Scan {
    HeadScanner::default().scan(head, &Limits::default())
}

fn refused(head: &str, reason: Reason) {
    assert_eq!(scan(head.as_bytes()), Scan::Refused(reason), "{head:?}");
}

fn sound(head: &str, framing: Framing) -> Head {
    match scan(head.as_bytes()) {
        Scan::Sound(found) => {
            assert_eq!((found.framing, found.len), (framing, head.len()), "{head:?}");
            found
        }
        other => panic!("{head:?}: {other:?}"),
    }
}

#[test]
fn ordinary_heads_are_sound() {
    sound("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None);
    sound("GET / HTTP/1.0\r\n\r\n", Framing::None);
    sound("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", Framing::Length(5));
    sound("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Framing::None);
    sound("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked);
    sound("GET / HTTP/1.1\r\nHost:a\r\nX:\r\nY: \t \r\nZ: \u{e9}\r\n\r\n", Framing::None);
    let head =
        sound("GET / HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nACCEPT: 2\r\nx-b: 3\r\n\r\n", Framing::None);
    assert_eq!(head.names, b"host,x-b,accept,x-b");
}

#[test]
fn what_follows_the_head_is_not_looked_at() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\n\n\0";
    assert!(matches!(scan(bytes), Scan::Sound(head) if head.len == bytes.len() - 3));
}

#[test]
fn ambiguous_framing_is_refused() {
    for field in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1, 1",
        "Content-Length: +1",
        "Content-Length: -1",
        "Content-Length: 0x1",
        "Content-Length: 1 1",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        refused(
            &format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"),
            Reason::AmbiguousFraming,
        );
    }
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Reason::AmbiguousFraming);
}

#[test]
fn what_is_no_head_is_refused() {
    for head in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHö: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n",
        "GET\r\n\r\n",
        "\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}",
    ] {
        refused(head, Reason::Malformed);
    }
}

#[test]
fn one_host_exactly() {
    refused("GET / HTTP/1.1\r\n\r\n", Reason::HostMissing);
    refused("GET / HTTP/1.1\r\nHost:\r\n\r\n", Reason::HostMissing);
    refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Reason::HostMissing);
    refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Reason::HostMissing);
}

#[test]
fn sizes_are_held_even_if_the_head_never_ends() {
    let long = "a".repeat(9_000);
    refused(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), Reason::UriTooLong);
    refused(&format!("GET /{long}"), Reason::UriTooLong);
    let fields = |n: usize| "X: y\r\n".repeat(n);
    refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(100)), Reason::HeadTooLarge);
    sound(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(99)), Framing::None);
    let cookie = "c".repeat(40_000);
    refused(
        &format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"),
        Reason::HeadTooLarge,
    );
    refused(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}"), Reason::HeadTooLarge);
}

#[test]
fn a_head_in_pieces_gets_the_verdict_of_the_whole() {
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
    ] {
        let mut scanner = HeadScanner::default();
        let mut verdict = Scan::Partial;
        for end in 1..=head.len() {
            verdict = scanner.scan(&head.as_bytes()[..end], &Limits::default());
            if verdict != Scan::Partial {
                break;
            }
        }
        assert_eq!(verdict, scan(head.as_bytes()), "{head:?}");
    }
}

/// Bytes that are nearly heads.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 14] = [
        b"GET / HTTP/1.1\r\n",
        b"POST /x?y=1 HTTP/1.0\r\n",
        b"Host: a.example\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"X-Any: \xffthing\r\n",
        b"\r\n",
        b"\n",
        b" ",
        b":",
        b"\0",
        b"\t",
        b"GET http://a.example/ HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
    ];
    let piece = prop::sample::select(&PIECES[..]);
    (prop::collection::vec(piece, 1..10), any::<u16>(), any::<u8>()).prop_map(
        |(pieces, at, byte)| {
            let mut head = pieces.concat();
            // One byte flipped in half of them.
            if at % 2 == 0 {
                let at = usize::from(at) % head.len();
                head[at] = byte;
            }
            head
        },
    )
}

proptest! {
    #[test]
    fn what_passes_is_one_request_to_the_parser_behind(head in nearly_a_head()) {
        if let Scan::Sound(found) = scan(&head) {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let mut parsed = httparse::Request::new(&mut fields);
            let status = parsed.parse(&head[..found.len]);
            prop_assert_eq!(status, Ok(httparse::Status::Complete(found.len)));
            let names: Vec<String> =
                parsed.headers.iter().map(|h| h.name.to_ascii_lowercase()).collect();
            prop_assert_eq!(names.join(",").into_bytes(), found.names);
        }
    }

    #[test]
    fn no_bytes_panic_however_they_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300
    ) {
        let mut scanner = HeadScanner::default();
        let cut = cut.min(bytes.len());
        if scanner.scan(&bytes[..cut], &Limits::default()) == Scan::Partial {
            scanner.scan(&bytes, &Limits::default());
        }
    }
}
