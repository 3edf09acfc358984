//! From what a log line says to an [`Observation`].
//!
//! What the log does not carry stays unknown; what it shows to be missing is absent. Nothing is
//! guessed, so that a rule found here would have matched the same requests at the gateway.

use std::sync::Arc;

use floodwall_model::request::{RequestFacts, Seen, request_kind};
use floodwall_model::{
    Attr, AttrWriter, Geography, Handling, Hints, Observation, Outcome, Source, Stage, ValueId,
    ValueKey, ValueName,
};

use super::client::Client;
use super::stamp::Stamp;

/// Longest host kept (RFC 1035 § 2.3.4). What is longer is nobody's site and stays unknown.
const HOST_BYTES_MAX: usize = 255;

/// The request as logged. Empty parts are not there.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct LoggedRequest<'a> {
    /// Method.
    pub(crate) method: &'a [u8],
    /// Target with query, as sent.
    pub(crate) target: &'a [u8],
    /// Version, in the model's spelling.
    pub(crate) version: &'a [u8],
}

impl<'a> LoggedRequest<'a> {
    /// Splits `GET /a?b HTTP/1.1`. A line that is no request (`-`, a TLS greeting on a plain port)
    /// gives empty parts: the client is known to have sent none.
    pub(crate) fn of_line(line: &'a [u8]) -> Self {
        let Some(space) = memchr::memchr(b' ', line) else { return LoggedRequest::default() };
        let (method, rest) = (&line[..space], trim_blanks(&line[space + 1..]));
        if !is_method(method) || rest.is_empty() {
            return LoggedRequest::default();
        }
        // Clients send blanks inside targets: the version is what follows the last one.
        match memchr::memrchr(b' ', rest) {
            Some(at) if rest[at + 1..].starts_with(b"HTTP/") => LoggedRequest {
                method,
                target: trim_blanks(&rest[..at]),
                version: spell_version(&rest[at + 1..]),
            },
            _ => LoggedRequest { method, target: rest, version: b"" },
        }
    }
}

/// `text` without blanks at its ends; tabs and the like belong to a stranger's target.
fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

/// A method as people send it: RFC 9110 § 9.1 allows more, but a lower-case first word on a web
/// port is some other protocol's greeting.
pub(crate) fn is_method(text: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=32).contains(&text.len()) && text.iter().all(fits)
}

/// The spelling the gateway uses: HTTP/2 and later have no minor version (RFC 9113 § 4).
pub(crate) fn spell_version(text: &[u8]) -> &[u8] {
    match text {
        b"HTTP/2.0" | b"h2" | b"h2c" => b"HTTP/2",
        b"HTTP/3.0" | b"h3" => b"HTTP/3",
        _ => text,
    }
}

/// What one line says.
#[derive(Copy, Clone, Debug)]
pub(crate) struct RawRecord<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) client: Client<'a>,
    pub(crate) request: LoggedRequest<'a>,
    /// A query logged apart from the target.
    pub(crate) query: &'a [u8],
    /// As logged, perhaps with a port.
    pub(crate) host: Seen<&'a [u8]>,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) origin_ms: Option<u32>,
    pub(crate) referer: Seen<&'a [u8]>,
    pub(crate) user_agent: Seen<&'a [u8]>,
    pub(crate) language: Seen<&'a [u8]>,
    pub(crate) accept: Seen<&'a [u8]>,
    pub(crate) fetch_dest: Seen<&'a [u8]>,
    pub(crate) cookie: Seen<()>,
    /// The client's address was taken from a header that anybody can write.
    pub(crate) forwarded: bool,
}

impl<'a> RawRecord<'a> {
    /// A record of which nothing but time and client is known.
    pub(crate) fn new(stamp: Stamp, client: Client<'a>) -> Self {
        RawRecord {
            stamp,
            client,
            request: LoggedRequest::default(),
            query: b"",
            host: Seen::Unknown,
            status: 0,
            bytes: 0,
            origin_ms: None,
            referer: Seen::Unknown,
            user_agent: Seen::Unknown,
            language: Seen::Unknown,
            accept: Seen::Unknown,
            fetch_dest: Seen::Unknown,
            cookie: Seen::Unknown,
            forwarded: false,
        }
    }
}

/// A record on its way to the engine.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Entry {
    /// What is known; the time may still be moved inside its second.
    pub(crate) observation: Observation,
    /// See [`Stamp::whole_second`].
    pub(crate) whole_second: bool,
}

/// Makes observations; one per reading thread.
#[derive(Debug)]
pub(crate) struct ObservationWriter {
    key: ValueKey,
    geography: Option<Arc<dyn Geography>>,
    attrs: AttrWriter,
    host: Vec<u8>,
    /// Records whose client was logged by name.
    pub(crate) named_clients: u64,
}

impl ObservationWriter {
    /// A writer under `key`.
    pub(crate) fn new(key: ValueKey) -> Self {
        ObservationWriter {
            key,
            geography: None,
            attrs: AttrWriter::new(key),
            host: Vec::with_capacity(HOST_BYTES_MAX),
            named_clients: 0,
        }
    }

    /// The same with somebody who knows where addresses belong.
    pub(crate) fn with_geography(self, geography: Option<Arc<dyn Geography>>) -> Self {
        let attrs = self.attrs.with_geography(geography.clone());
        ObservationWriter { attrs, geography, ..self }
    }

    /// A writer under the same key and with the same geography that has met nothing.
    pub(crate) fn fresh(&self) -> Self {
        ObservationWriter::new(self.key).with_geography(self.geography.clone())
    }

    /// The names met since the last call.
    pub(crate) fn take_names(&mut self) -> Vec<ValueName> {
        self.attrs.take_names()
    }

    /// The observation of `record`.
    pub(crate) fn entry(&mut self, record: &RawRecord<'_>) -> Entry {
        let (authority, target) = split_absolute(record.request.target);
        let host = if authority.is_empty() { record.host } else { Seen::Is(authority) };
        let host = match host {
            Seen::Is(host) => plain_host(host, &mut self.host),
            other => other,
        };
        let (path, query) = match memchr::memchr(b'?', target) {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => (target, record.query),
        };
        let facts = RequestFacts {
            method: record.request.method,
            path,
            query,
            version: record.request.version,
            host,
            header_names: Seen::Unknown,
            user_agent: record.user_agent,
            language: record.language,
            referer: record.referer,
            cookie: record.cookie,
            fetch_dest: record.fetch_dest,
            accept: record.accept,
            encodings: Seen::Unknown,
            hints: Hints::default(),
            source: record.client.address().map(Source::new),
        };
        let mut attrs = self.attrs.attrs(&facts);
        // The log shows that there was none, which is not the value "".
        for (attr, part) in [
            (Attr::Method, facts.method),
            (Attr::PathTemplate, path),
            (Attr::HttpVersion, facts.version),
        ] {
            if part.is_empty() {
                attrs[attr] = ValueId::ABSENT;
            }
        }
        self.named_clients += u64::from(matches!(record.client, Client::Name(_)));
        let observation = Observation {
            at_ms: record.stamp.at_ms,
            source: record.client.source(&self.key),
            attrs,
            kind: request_kind(&facts),
            handling: Handling::Passed,
            stage: Stage::Whole,
            outcome: Some(Outcome {
                status: record.status,
                bytes: record.bytes,
                origin_ms: record.origin_ms,
            }),
            // The server answered over TCP or QUIC, so the address could be reached.
            handshake: !record.forwarded,
        };
        Entry { observation, whole_second: record.stamp.whole_second }
    }
}

/// Splits a target in absolute form (RFC 9112 § 3.2.2) into authority and path.
fn split_absolute(target: &[u8]) -> (&[u8], &[u8]) {
    let rest = match target {
        [b'h', ..] => target
            .strip_prefix(b"http://")
            .or_else(|| target.strip_prefix(b"https://"))
            .unwrap_or_default(),
        _ => b"",
    };
    if rest.is_empty() {
        return (b"", target);
    }
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let path = if end == rest.len() { &b"/"[..] } else { &rest[end..] };
    (&rest[..end], path)
}

/// `host` in lower case without port, in `out`.
fn plain_host<'a>(host: &[u8], out: &'a mut Vec<u8>) -> Seen<&'a [u8]> {
    let name = match host {
        // An IPv6 literal keeps its brackets, as in a Host field.
        [b'[', ..] => memchr::memchr(b']', host).map_or(host, |end| &host[..=end]),
        _ => memchr::memchr(b':', host).map_or(host, |end| &host[..end]),
    };
    if name.is_empty() {
        return Seen::Absent;
    }
    if name.len() > HOST_BYTES_MAX {
        return Seen::Unknown;
    }
    out.clear();
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    Seen::Is(out)
}

/// A record as one line of text, for the tables of the parsers' tests.
#[cfg(test)]
pub(crate) fn text_of(record: &RawRecord<'_>) -> String {
    let client = match record.client {
        Client::Address(address) => address.to_string(),
        Client::Name(name) => format!("name {}", String::from_utf8_lossy(name)),
    };
    let seen = |seen: Seen<&[u8]>| match seen {
        Seen::Unknown => "unknown".to_owned(),
        Seen::Absent => "absent".to_owned(),
        Seen::Is(text) => String::from_utf8_lossy(text).into_owned(),
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let LoggedRequest { method, target, version } = record.request;
    let request = match (method, version) {
        (b"", _) => "no request".to_owned(),
        (_, b"") => format!("{} {} no version", text(method), text(target)),
        _ => format!("{} {} {}", text(method), text(target), text(version)),
    };
    format!(
        "{} {client} {} | {request} | {} {} | {} | {}",
        record.stamp.at_ms,
        seen(record.host),
        record.status,
        record.bytes,
        seen(record.referer),
        seen(record.user_agent),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::RequestKind;

    fn raw<'a>(line: &'a [u8]) -> RawRecord<'a> {
        let stamp = Stamp { at_ms: 7_000, whole_second: true };
        RawRecord {
            request: LoggedRequest::of_line(line),
            ..RawRecord::new(stamp, Client::Name(b"c.example"))
        }
    }

    /// The same request as the gateway would describe it.
    fn attrs(facts: RequestFacts<'_>) -> floodwall_model::Attrs {
        AttrWriter::new(ValueKey::new(1, 2)).attrs(&facts)
    }

    fn entry(record: &RawRecord<'_>) -> Entry {
        ObservationWriter::new(ValueKey::new(1, 2)).entry(record)
    }

    #[test]
    fn a_logged_request_has_the_attributes_of_the_live_one() {
        let record = RawRecord {
            host: Seen::Is(b"A.Example:443"),
            user_agent: Seen::Is(b"Moz/5.0"),
            referer: Seen::Is(b"https://a.example/"),
            ..raw(b"GET /news/17?page=2 HTTP/2.0")
        };
        let live = attrs(RequestFacts {
            method: b"GET",
            path: b"/news/17",
            query: b"page=2",
            version: b"HTTP/2",
            host: Seen::Is(b"a.example"),
            user_agent: Seen::Is(b"Moz/5.0"),
            referer: Seen::Is(b"https://a.example/"),
            ..RequestFacts::default()
        });
        assert_eq!(entry(&record).observation.attrs, live);
    }

    #[test]
    fn an_absolute_target_is_its_path_on_its_host() {
        let live = attrs(RequestFacts {
            method: b"GET",
            path: b"/ip4.php",
            version: b"HTTP/1.0",
            host: Seen::Is(b"www.a.example"),
            ..RequestFacts::default()
        });
        let logged = entry(&raw(b"GET http://www.a.example:80/ip4.php HTTP/1.0"));
        assert_eq!(logged.observation.attrs, live);
        let bare = entry(&raw(b"GET http://www.a.example HTTP/1.0"));
        assert!(bare.observation.attrs[Attr::PathTemplate].is_known());
    }

    #[test]
    fn what_was_not_sent_is_absent_and_what_was_not_logged_unknown() {
        let attrs = entry(&raw(b"-")).observation.attrs;
        assert_eq!(attrs[Attr::Method], ValueId::ABSENT);
        assert_eq!(attrs[Attr::PathTemplate], ValueId::ABSENT);
        assert_eq!(attrs[Attr::HttpVersion], ValueId::ABSENT);
        assert_eq!(attrs[Attr::UserAgent], ValueId::UNKNOWN);
        assert_eq!(attrs[Attr::HeaderOrder], ValueId::UNKNOWN);
        assert_eq!(attrs[Attr::CookieState], ValueId::UNKNOWN);
        let dash =
            RawRecord { user_agent: Seen::Absent, referer: Seen::Absent, ..raw(b"GET / HTTP/1.1") };
        let attrs = entry(&dash).observation.attrs;
        assert_eq!(attrs[Attr::UserAgent], ValueId::ABSENT);
        assert_eq!(attrs[Attr::RefererClass], ValueId::ABSENT);
    }

    #[test]
    fn an_address_out_of_a_header_proves_no_handshake() {
        assert!(entry(&raw(b"GET / HTTP/1.1")).observation.handshake);
        let forwarded = RawRecord { forwarded: true, ..raw(b"GET / HTTP/1.1") };
        assert!(!entry(&forwarded).observation.handshake);
    }

    #[test]
    fn kinds_and_outcomes_are_carried_over() {
        let record = RawRecord { status: 404, bytes: 9, ..raw(b"GET /a.css HTTP/1.1") };
        let observation = entry(&record).observation;
        assert_eq!(observation.kind, RequestKind::Asset);
        assert_eq!(observation.outcome, Some(Outcome { status: 404, bytes: 9, origin_ms: None }));
        assert_eq!(entry(&raw(b"-")).observation.kind, RequestKind::Other);
    }

    /// Knows one country for everybody.
    #[derive(Debug)]
    struct OneCountry;

    impl Geography for OneCountry {
        fn revision(&self) -> u64 {
            0
        }

        fn place(&self, _: std::net::IpAddr) -> floodwall_model::Place {
            let country = floodwall_model::Country::of_code("XA");
            floodwall_model::Place { country, ..Default::default() }
        }
    }

    #[test]
    fn an_address_has_a_place_and_what_stands_in_for_a_name_has_none() {
        let writer = ObservationWriter::new(ValueKey::new(1, 2));
        let mut writer = writer.with_geography(Some(Arc::new(OneCountry))).fresh();
        let mut country = |client| {
            let record = RawRecord { client, ..raw(b"GET / HTTP/1.1") };
            writer.entry(&record).observation.attrs[Attr::Country]
        };
        assert!(country(Client::Address("192.0.2.1".parse().unwrap())).is_known());
        assert_eq!(country(Client::Name(b"c.example")), ValueId::UNKNOWN);
    }

    #[test]
    fn clients_logged_by_name_are_counted() {
        let mut writer = ObservationWriter::new(ValueKey::new(1, 2));
        writer.entry(&raw(b"GET / HTTP/1.1"));
        assert_eq!(writer.named_clients, 1);
    }
}
