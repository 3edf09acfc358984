//! One line of an nginx or Apache access log, combined or common, with or without a leading virtual
//! host or syslog head, with any fields after the user agent.
//!
//! The shape is found from the time in brackets outwards, because what stands before it differs
//! from server to server. No allocation per line; must never panic, whatever the bytes.

use floodwall_model::request::Seen;

use super::client::{Client, address};
use super::record::{LoggedRequest, RawRecord};
use super::stamp::{Stamp, StampParser};

/// Brackets looked at for the time. A user name or a syslog head may hold others before it.
const BRACKETS_MAX: usize = 4;

/// Reads lines; keeps the last day and the space for unescaped text.
#[derive(Debug, Default)]
pub(crate) struct CombinedParser {
    stamps: StampParser,
    unescaped: Vec<u8>,
}

/// The parts of a line, as they stand there.
struct Parts<'a> {
    stamp: Stamp,
    client: Client<'a>,
    host: Option<&'a [u8]>,
    request: &'a [u8],
    status: u16,
    bytes: u64,
    /// Referer and user agent. `None`: not logged, or cut off.
    referer: Option<&'a [u8]>,
    agent: Option<&'a [u8]>,
    /// A backslash occurs in one of the quoted parts.
    escaped: bool,
}

impl CombinedParser {
    /// The record of `line`, or `None` when it is broken.
    pub(crate) fn parse<'a>(&'a mut self, line: &'a [u8]) -> Option<RawRecord<'a>> {
        let mut parts = split(&mut self.stamps, line)?;
        if parts.escaped {
            self.unescaped.clear();
            let request = unescape(parts.request, &mut self.unescaped);
            let referer = parts.referer.map(|text| unescape(text, &mut self.unescaped));
            let agent = parts.agent.map(|text| unescape(text, &mut self.unescaped));
            parts.request = &self.unescaped[request];
            parts.referer = referer.map(|range| &self.unescaped[range]);
            parts.agent = agent.map(|range| &self.unescaped[range]);
        }
        Some(RawRecord {
            request: LoggedRequest::of_line(parts.request),
            host: parts.host.map_or(Seen::Unknown, Seen::Is),
            status: parts.status,
            bytes: parts.bytes,
            referer: seen(parts.referer),
            user_agent: seen(parts.agent),
            ..RawRecord::new(parts.stamp, parts.client)
        })
    }
}

/// Logs write `-` for a header the request did not carry.
fn seen(text: Option<&[u8]>) -> Seen<&[u8]> {
    match text {
        None => Seen::Unknown,
        Some(b"-" | b"") => Seen::Absent,
        Some(text) => Seen::Is(text),
    }
}

fn split<'a>(stamps: &mut StampParser, line: &'a [u8]) -> Option<Parts<'a>> {
    let (head, stamp, rest) = split_at_time(stamps, line)?;
    let (client, host) = client_and_host(head)?;
    let request = quoted(rest)?;
    let (status, rest) = token(request.rest);
    let (bytes, rest) = token(rest);
    let mut parts = Parts {
        stamp,
        client,
        host,
        request: request.text,
        status: status_code(status)?,
        bytes: byte_count(bytes)?,
        referer: None,
        agent: None,
        escaped: request.escaped,
    };
    // Times or sizes may stand between; a single quoted field (as a forwarded address after the
    // common format) is neither referer nor agent.
    if let Some(referer) = memchr::memchr(b'"', rest).and_then(|at| quoted(&rest[at..]))
        && let Some(at) = memchr::memchr(b'"', referer.rest)
    {
        parts.referer = Some(referer.text);
        parts.escaped |= referer.escaped;
        if let Some(agent) = quoted(&referer.rest[at..]) {
            parts.agent = Some(agent.text);
            parts.escaped |= agent.escaped;
        }
    }
    Some(parts)
}

/// What stands before the time, the time, what stands after it.
fn split_at_time<'a>(
    stamps: &mut StampParser,
    line: &'a [u8],
) -> Option<(&'a [u8], Stamp, &'a [u8])> {
    for open in memchr::memchr_iter(b'[', line).take(BRACKETS_MAX) {
        let inside = &line[open + 1..];
        // `17/May/2015:10:05:03 +0000` has 26 bytes; anything else takes the slower way.
        if inside.get(26) == Some(&b']')
            && let Some(stamp) = stamps.clf(&inside[..26])
        {
            return Some((&line[..open], stamp, inside[27..].trim_ascii_start()));
        }
        let Some(close) = memchr::memchr(b']', inside) else { continue };
        // A process number in a syslog head is a number as well: the request follows the time.
        let rest = inside[close + 1..].trim_ascii_start();
        if rest.first() != Some(&b'"') {
            continue;
        }
        if let Some(stamp) = stamps.any(&inside[..close]) {
            return Some((&line[..open], stamp, rest));
        }
    }
    None
}

/// The client and, if logged, the virtual host, from what stands before the time.
fn client_and_host(head: &[u8]) -> Option<(Client<'_>, Option<&[u8]>)> {
    let (first, rest) = token(head);
    if let Some(list) = first.strip_suffix(b",") {
        return Some((Client::parse(list)?, None));
    }
    let (second, _) = token(rest);
    if second.len() > 1
        && let Some(client) = address(second)
    {
        return Some((Client::Address(client), host(first)));
    }
    if let Some(client) = address(first) {
        return Some((Client::Address(client), None));
    }
    let tokens = head.split(|b| *b == b' ').filter(|token| !token.is_empty()).count();
    if tokens >= 5 {
        // `Jul  8 11:07:07 web1 nginx[2869]: 203.0.113.9 - -`: relayed by syslog.
        if let Some(colon) = memchr::memmem::rfind(head, b": ") {
            return client_and_host(&head[colon + 2..]);
        }
    }
    if tokens >= 4 && second.contains(&b'.') {
        return Some((Client::parse(second)?, host(first)));
    }
    Some((Client::parse(first)?, None))
}

fn host(text: &[u8]) -> Option<&[u8]> {
    (text != b"-").then_some(text)
}

/// The next token and what follows it; blanks before it are skipped.
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    match memchr::memchr(b' ', text) {
        Some(end) => (&text[..end], &text[end..]),
        None => (text, &[]),
    }
}

/// `-` is written when no answer was sent.
fn status_code(text: &[u8]) -> Option<u16> {
    match text {
        b"-" => Some(0),
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => None,
    }
}

fn byte_count(text: &[u8]) -> Option<u64> {
    if text == b"-" {
        return Some(0);
    }
    let sum = |sum: u64, b: &u8| {
        b.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(b - b'0')))
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, sum) }
}

struct Quoted<'a> {
    text: &'a [u8],
    escaped: bool,
    rest: &'a [u8],
}

/// The quoted field at the start of `text`. A quote ends it only before a blank or at the end of
/// the line: some servers write quotes of strangers unescaped.
fn quoted(text: &[u8]) -> Option<Quoted<'_>> {
    let inner = text.strip_prefix(b"\"")?;
    let (mut from, mut escaped) = (0, false);
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', inner.get(from..)?)?;
        if inner[at] == b'\\' {
            escaped = true;
            from = at + 2;
        } else if matches!(inner.get(at + 1), None | Some(b' ')) {
            return Some(Quoted { text: &inner[..at], escaped, rest: &inner[at + 1..] });
        } else {
            from = at + 1;
        }
    }
}

/// Appends `text` to `out` with `\"`, `\\`, `\xHH` and the C escapes resolved, as nginx
/// (ngx_http_log_escape) and Apache (ap_escape_logitem) write them. Returns where it stands.
fn unescape(text: &[u8], out: &mut Vec<u8>) -> std::ops::Range<usize> {
    let start = out.len();
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let hex = |b: &u8| (*b as char).to_digit(16).map(|digit| digit as u8);
        let (byte, length) = match &rest[at + 1..] {
            [b'x', high, low, ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (high * 16 + low, 4),
                _ => (b'\\', 1),
            },
            [quoted @ (b'"' | b'\\'), ..] => (*quoted, 2),
            [b'n', ..] => (b'\n', 2),
            [b'r', ..] => (b'\r', 2),
            [b't', ..] => (b'\t', 2),
            [b'b', ..] => (8, 2),
            [b'v', ..] => (11, 2),
            [b'f', ..] => (12, 2),
            _ => (b'\\', 1),
        };
        out.push(byte);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
    start..out.len()
}

#[cfg(test)]
mod tests {
    use super::super::record::text_of;
    use super::*;
    use proptest::prelude::*;

    /// `client host method target version status bytes referer agent`
    fn check(line: &[u8], expected: &str) {
        let mut parser = CombinedParser::default();
        let found = parser.parse(line).map_or("broken".to_owned(), |record| text_of(&record));
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(line));
    }

    const AT: &str = "1431857103000";

    #[test]
    fn the_formats_of_nginx_and_apache() {
        let tail = r#"[17/May/2015:10:05:03 +0000] "GET /a?b=1 HTTP/1.1" 200 512 "http://x.example/" "Moz""#;
        let facts = "GET /a?b=1 HTTP/1.1 | 200 512 | http://x.example/ | Moz";
        let check = |head: &str, who: &str| {
            check(format!("{head} {tail}").as_bytes(), &format!("{AT} {who} | {facts}"));
        };
        check("192.0.2.1 - -", "192.0.2.1 unknown");
        check("192.0.2.1 - john doe", "192.0.2.1 unknown");
        check("192.0.2.1 - [admin]", "192.0.2.1 unknown");
        check("192.0.2.1 -", "192.0.2.1 unknown");
        check("2001:db8::1 - -", "2001:db8::1 unknown");
        check("www.a.example 192.0.2.1 - -", "192.0.2.1 www.a.example");
        check("www.a.example:443 192.0.2.1 - -", "192.0.2.1 www.a.example:443");
        check("198.51.100.7:443 192.0.2.1 - -", "192.0.2.1 198.51.100.7:443");
        check("www.a.example 192.0.2.1 - req7", "192.0.2.1 www.a.example");
        check("www.a.example client.b.example - -", "name client.b.example www.a.example");
        check("client.b.example - -", "name client.b.example unknown");
        check("192.0.2.1, 10.0.0.1 - -", "192.0.2.1 unknown");
        check("Jul  8 11:07:07 web1 nginx[2869]: 192.0.2.1 - -", "192.0.2.1 unknown");
        check("- - -", "name - unknown");
    }

    #[test]
    fn what_follows_the_request() {
        let head = r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1""#;
        let check = |tail: &str, facts: &str| {
            let expected = match facts {
                "broken" => facts.to_owned(),
                _ => format!("{AT} 192.0.2.1 unknown | GET / HTTP/1.1 | {facts}"),
            };
            check(format!("{head}{tail}").as_bytes(), &expected);
        };
        check(" 200 512", "200 512 | unknown | unknown");
        check(" 304 -", "304 0 | unknown | unknown");
        check(" - -", "0 0 | unknown | unknown");
        check(r#" 200 512 "-" "-""#, "200 512 | absent | absent");
        check(r#" 200 512 "-" "Moz" "203.0.113.1" 0.012 rt=0.1"#, "200 512 | absent | Moz");
        check(r#" 200 512 "-" "Moz" "-""#, "200 512 | absent | Moz");
        check(r#" 200 512 17 "-" "Moz""#, "200 512 | absent | Moz");
        check(r#" 200 512 "203.0.113.1""#, "200 512 | unknown | unknown");
        check(r#" 200 512 "-" "Moz cut of"#, "200 512 | absent | unknown");
        check(r#" 200 512 "-" "say \"hi\" \x22now\x5C""#, r#"200 512 | absent | say "hi" "now\"#);
        check(
            r#" 200 512 "-" "raw "quotes", inside" 7"#,
            r#"200 512 | absent | raw "quotes", inside"#,
        );
        check(" 20 512", "broken");
        check(" 200 x", "broken");
        check(" 200", "broken");
        check("", "broken");
    }

    #[test]
    fn requests_that_are_none_are_records_with_what_is_known() {
        let check = |request: &str, facts: &str| {
            let line = format!(
                "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"{request}\" 400 0 \"-\" \"-\""
            );
            let expected = format!("{AT} 192.0.2.1 unknown | {facts} | 400 0 | absent | absent");
            check(line.as_bytes(), &expected);
        };
        check("-", "no request");
        check("", "no request");
        check(r"\x16\x03\x01\x01 \x02", "no request");
        check("HELP", "no request");
        check("GET /old", "GET /old no version");
        check("GET /a b c HTTP/1.1", "GET /a b c HTTP/1.1");
        check("GET / HTTP/2.0", "GET / HTTP/2");
        check("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1");
        check("CONNECT foo.example:25 HTTP/1.1", "CONNECT foo.example:25 HTTP/1.1");
        check("PROPFIND /dav HTTP/1.1", "PROPFIND /dav HTTP/1.1");
        check(r"GET /\x22 HTTP/1.1", "GET /\" HTTP/1.1");
    }

    #[test]
    fn other_times_in_the_brackets() {
        let line = br#"192.0.2.1 - - [2015-05-17T10:05:03+00:00] "GET / HTTP/1.1" 200 1"#;
        check(line, "1431857103000 192.0.2.1 unknown | GET / HTTP/1.1 | 200 1 | unknown | unknown");
        let line = br#"192.0.2.1 - - [1431857103.250] "GET / HTTP/1.1" 200 1"#;
        check(line, "1431857103250 192.0.2.1 unknown | GET / HTTP/1.1 | 200 1 | unknown | unknown");
    }

    #[test]
    fn what_is_no_access_log() {
        check(b"", "broken");
        check(b"hello", "broken");
        check(b"[Sun Dec 04 04:47:44 2005] [error] mod_jk child", "broken");
        check(b"2021/12/01 13:53:33 [error] 31#31: *46 x, client: 1.2.3.4, request: \"GET / HTTP/1.1\"", "broken");
        check(b"192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1", "broken");
        check(b"\xff\xfe - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1", "broken");
    }

    #[test]
    fn invalid_utf_8_is_text_like_any_other() {
        let mut parser = CombinedParser::default();
        let line = b"192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET /\xff HTTP/1.1\" 200 1 \"-\" \"\xc3(\"";
        let record = parser.parse(line).unwrap();
        assert_eq!(record.request.target, b"/\xff");
        assert_eq!(record.user_agent, Seen::Is(&b"\xc3("[..]));
    }

    /// Escapes as nginx does (ngx_http_log_escape).
    fn nginx_escape(text: &[u8]) -> String {
        text.iter()
            .map(|b| match b {
                b'"' | b'\\' | 0..32 | 127.. => format!("\\x{b:02X}"),
                _ => (*b as char).to_string(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut parser = CombinedParser::default();
            let _ = parser.parse(&bytes);
            let mut line = b"192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"".to_vec();
            line.extend_from_slice(&bytes);
            let _ = parser.parse(&line);
        }

        #[test]
        fn no_mangled_line_panics(
            cut in 0usize..200, at in 0usize..200, byte: u8,
        ) {
            let mut line = br#"www.a.example:80 192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a\x22?b=1 HTTP/1.1" 200 512 "http://x.example/\"" "Moz \\ illa" "x""#.to_vec();
            if let Some(slot) = line.get_mut(at) { *slot = byte; }
            line.truncate(cut);
            let _ = CombinedParser::default().parse(&line);
        }

        #[test]
        fn a_line_written_is_read_back(
            address: std::net::IpAddr,
            at_s in 0u64..253_000_000_000,
            method in "[A-Z]{3,8}",
            path in prop::collection::vec(any::<u8>().prop_filter("no blank", |b| *b != b' '), 0..60),
            status in 100u16..600,
            bytes: u64,
            agent in prop::collection::vec(any::<u8>(), 2..80),
        ) {
            let rfc = super::super::stamp::rfc3339(at_s * 1_000);
            let line = format!(
                "{address} - - [{}] \"{method} /{} HTTP/1.1\" {status} {bytes} \"-\" \"{}\"",
                rfc.replace(".000", ""), nginx_escape(&path), nginx_escape(&agent),
            );
            let mut parser = CombinedParser::default();
            let record = parser.parse(line.as_bytes()).unwrap();
            prop_assert_eq!(record.stamp.at_ms, at_s * 1_000);
            prop_assert!(record.stamp.whole_second);
            prop_assert_eq!(record.client, Client::Address(address));
            prop_assert_eq!(record.request.method, method.as_bytes());
            prop_assert_eq!(record.request.target, &[b"/", &path[..]].concat()[..]);
            prop_assert_eq!((record.status, record.bytes), (status, bytes));
            prop_assert_eq!(record.user_agent, Seen::Is(&agent[..]));
        }
    }
}
