//! One line of a JSON access log.
//!
//! Only known fields are looked at; all others are skipped without being built. Texts go into one
//! buffer that is used again for every line. A line that is not valid UTF-8 (nginx copies bytes of
//! strangers) is read with the wrong bytes replaced.

use std::fmt;
use std::ops::Range;

use floodwall_model::request::Seen;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::client::Client;
use super::field::{FIELD_COUNT, Field, FieldName, FieldTree, Place};
use super::record::{LoggedRequest, RawRecord, is_method, spell_version};
use super::stamp::{Stamp, StampParser, unix_fraction, unix_integer};

#[derive(Clone, Debug)]
enum Value {
    /// Where it stands in [`Found::texts`].
    Text(Range<usize>),
    Integer(u64),
    Fraction(f64),
    /// `null`: the field is logged, and there was nothing.
    Nothing,
}

/// What a line held.
#[derive(Debug, Default)]
struct Found {
    texts: Vec<u8>,
    values: [Option<Value>; FIELD_COUNT],
    ranks: [u8; FIELD_COUNT],
    forwarded: bool,
    has_headers: bool,
}

impl Found {
    fn clear(&mut self) {
        self.texts.clear();
        self.values = Default::default();
        self.forwarded = false;
        self.has_headers = false;
    }

    fn text(&self, field: Field) -> Option<&[u8]> {
        match self.values[field as usize].as_ref()? {
            Value::Text(range) => self.texts.get(range.clone()),
            _ => None,
        }
    }

    /// The text of a field; `-` and nothing are what logs write for a missing header.
    fn plain(&self, field: Field) -> &[u8] {
        self.text(field).filter(|text| *text != b"-").unwrap_or_default()
    }

    fn header(&self, field: Field) -> Seen<&[u8]> {
        match &self.values[field as usize] {
            None if self.has_headers => Seen::Absent,
            None => Seen::Unknown,
            Some(_) => match self.plain(field) {
                b"" => Seen::Absent,
                text => Seen::Is(text),
            },
        }
    }

    fn count(&self, field: Field) -> u64 {
        match &self.values[field as usize] {
            Some(Value::Integer(value)) => *value,
            Some(Value::Fraction(value)) => *value as u64,
            _ => std::str::from_utf8(self.plain(field)).map_or(0, |t| t.parse().unwrap_or(0)),
        }
    }

    /// Seconds as ms. nginx writes several when it asked several origins; the first counts.
    fn origin_ms(&self) -> Option<u32> {
        let seconds = match self.values[Field::OriginTime as usize].as_ref()? {
            Value::Integer(value) => *value as f64,
            Value::Fraction(value) => *value,
            Value::Nothing => return None,
            Value::Text(_) => {
                let text = std::str::from_utf8(self.plain(Field::OriginTime)).ok()?;
                text.split([',', ' ']).next()?.parse().ok()?
            }
        };
        let ms = seconds * 1e3;
        (ms.is_finite() && ms >= 0.0).then_some(ms as u32)
    }

    fn stamp(&self, stamps: &mut StampParser) -> Option<Stamp> {
        match self.values[Field::Time as usize].as_ref()? {
            Value::Integer(value) => unix_integer(*value),
            Value::Fraction(value) => unix_fraction(*value),
            Value::Text(range) => stamps.any(self.texts.get(range.clone())?),
            Value::Nothing => None,
        }
    }
}

/// Reads lines; keeps its buffer.
#[derive(Debug)]
pub(crate) struct JsonParser {
    tree: FieldTree,
    stamps: StampParser,
    found: Found,
}

impl JsonParser {
    /// A parser for the usual field names and the user's `own`.
    pub(crate) fn new(own: &[FieldName]) -> Self {
        JsonParser {
            tree: FieldTree::new(own),
            stamps: StampParser::default(),
            found: Found::default(),
        }
    }

    /// The record of `line`, or `None` when it is broken or is no record of a request.
    pub(crate) fn parse(&mut self, line: &[u8]) -> Option<RawRecord<'_>> {
        self.found.clear();
        match std::str::from_utf8(line) {
            Ok(text) => self.scan(text)?,
            Err(_) => self.scan(&String::from_utf8_lossy(line))?,
        }
        let found = &self.found;
        let request = request(found)?;
        let source = found.text(Field::Source)?;
        Some(RawRecord {
            request,
            query: found.plain(Field::Query),
            host: match found.plain(Field::Host) {
                b"" => Seen::Unknown,
                host => Seen::Is(host),
            },
            status: u16::try_from(found.count(Field::Status)).unwrap_or(0),
            bytes: found.count(Field::Bytes),
            origin_ms: found.origin_ms(),
            referer: found.header(Field::Referer),
            user_agent: found.header(Field::Agent),
            language: found.header(Field::Language),
            accept: found.header(Field::Accept),
            fetch_dest: found.header(Field::FetchDest),
            cookie: match found.header(Field::Cookie) {
                Seen::Is(_) => Seen::Is(()),
                Seen::Absent => Seen::Absent,
                Seen::Unknown => Seen::Unknown,
            },
            forwarded: found.forwarded,
            ..RawRecord::new(found.stamp(&mut self.stamps)?, Client::parse(source)?)
        })
    }

    fn scan(&mut self, text: &str) -> Option<()> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = Inside { tree: &self.tree, place: FieldTree::ROOT, found: &mut self.found };
        deserializer.deserialize_map(object).ok()?;
        deserializer.end().ok()
    }
}

/// The request, from its line or from its parts. `None`: the line is about something else.
fn request(found: &Found) -> Option<LoggedRequest<'_>> {
    if let Some(line) = found.text(Field::Request) {
        return Some(LoggedRequest::of_line(line));
    }
    let method = found.plain(Field::Method);
    let target = found.plain(Field::Target);
    if method.is_empty() && found.text(Field::Target).is_none() {
        return None;
    }
    Some(LoggedRequest {
        method: if is_method(method) { method } else { b"" },
        target,
        version: spell_version(found.plain(Field::Version)),
    })
}

/// Visits the value at one place.
struct Inside<'t> {
    tree: &'t FieldTree,
    place: Place,
    found: &'t mut Found,
}

impl Inside<'_> {
    /// Keeps what `value` makes, unless a more telling name spoke before.
    fn keep(self, value: impl FnOnce(&mut Vec<u8>) -> Value) {
        let Some(meaning) = self.tree.meaning(self.place) else { return };
        let slot = meaning.field as usize;
        if self.found.values[slot].is_some() && self.found.ranks[slot] < meaning.rank {
            return;
        }
        self.found.values[slot] = Some(value(&mut self.found.texts));
        self.found.ranks[slot] = meaning.rank;
        if meaning.field == Field::Source {
            self.found.forwarded = meaning.forwarded;
        }
    }
}

impl<'de> DeserializeSeed<'de> for Inside<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a log record")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.keep(|texts| {
            let start = texts.len();
            texts.extend_from_slice(text.as_bytes());
            Value::Text(start..texts.len())
        });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.keep(|_| Value::Integer(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.keep(|_| Value::Fraction(value as f64));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.keep(|_| Value::Fraction(value));
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.keep(|_| Value::Nothing);
        Ok(())
    }

    /// Header fields may be repeated, so some servers write lists; the first counts.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Inside { tree, place, found } = self;
        if list.next_element_seed(Inside { tree, place, found })?.is_some() {
            while list.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Inside { tree, place, found } = self;
        found.has_headers |= tree.meaning(place).is_some_and(|m| m.field == Field::Headers);
        let key = Key { tree, place };
        while let Some(inside) = map.next_key_seed(Key { ..key })? {
            match inside {
                Some(place) => map.next_value_seed(Inside { tree, place, found: &mut *found })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Looks a key up.
#[derive(Copy, Clone)]
struct Key<'t> {
    tree: &'t FieldTree,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<Place>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<Place>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.tree.enter(self.place, name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::text_of;
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: &str) {
        check_with(&[], line, expected);
    }

    fn check_with(own: &[&str], line: &str, expected: &str) {
        let own: Vec<FieldName> = own.iter().map(|text| text.parse().unwrap()).collect();
        let mut parser = JsonParser::new(&own);
        let found = parser.parse(line.as_bytes()).map_or("broken".to_owned(), |r| text_of(&r));
        assert_eq!(found, expected, "{line}");
    }

    const WHOLE: &str =
        "1431857103000 192.0.2.1 a.example | GET /a?b=1 HTTP/1.1 | 200 512 | absent | Moz";

    #[test]
    fn the_habits_of_servers() {
        check(
            r#"{"time_iso8601":"2015-05-17T10:05:03+00:00","remote_addr":"192.0.2.1","request":"GET /a?b=1 HTTP/1.1","status":"200","body_bytes_sent":"512","http_referer":"-","http_user_agent":"Moz","http_host":"a.example"}"#,
            WHOLE,
        );
        check(
            r#"{"ts":1431857103.0,"request":{"remote_ip":"192.0.2.1","remote_port":"5","proto":"HTTP/1.1","method":"GET","host":"a.example","uri":"/a?b=1","headers":{"User-Agent":["Moz"],"Accept":["*/*","x"]},"tls":{"resumed":false}},"bytes_read":0,"duration":0.0009,"size":512,"status":200,"resp_headers":{"Server":["Caddy"]}}"#,
            WHOLE,
        );
        check(
            r#"{"ClientHost":"192.0.2.1","RequestMethod":"GET","RequestPath":"/a?b=1","RequestProtocol":"HTTP/1.1","RequestHost":"a.example","DownstreamStatus":200,"DownstreamContentSize":512,"time":"2015-05-17T10:05:03Z","request_User-Agent":"Moz","request_Referer":""}"#,
            WHOLE,
        );
        check(
            r#"{"@timestamp":"2015-05-17T10:05:03.000Z","source":{"ip":"192.0.2.1"},"http":{"request":{"method":"GET","referrer":null},"response":{"status_code":200,"body":{"bytes":512}},"version":"HTTP/1.1"},"url":{"original":"/a?b=1","domain":"a.example"},"user_agent":{"original":"Moz"}}"#,
            WHOLE,
        );
        check(
            r#"{"timestamp":1431857103000,"client_ip":"192.0.2.1","method":"GET","path":"/a","args":"b=1","protocol":"HTTP/2.0","status":200,"bytes":512,"vhost":"a.example"}"#,
            "1431857103000 192.0.2.1 a.example | GET /a HTTP/2 | 200 512 | unknown | unknown",
        );
    }

    #[test]
    fn a_users_own_names() {
        check_with(
            &["time=when", "source=who.from", "target=what"],
            r#"{"when":1431857103,"who":{"from":"192.0.2.1"},"what":"/a","method":"GET","remote_addr":"203.0.113.1"}"#,
            "1431857103000 192.0.2.1 unknown | GET /a no version | 0 0 | unknown | unknown",
        );
    }

    #[test]
    fn the_more_telling_name_counts_wherever_it_stands() {
        for line in [
            r#"{"msec":"1431857103.250","time":"2001-01-01T00:00:00Z","ip":"192.0.2.9","remote_addr":"192.0.2.1","request":"-"}"#,
            r#"{"time":"2001-01-01T00:00:00Z","msec":1431857103.250,"remote_addr":"192.0.2.1","ip":"192.0.2.9","request":"-"}"#,
        ] {
            check(line, "1431857103250 192.0.2.1 unknown | no request | 0 0 | unknown | unknown");
        }
    }

    #[test]
    fn what_is_no_record_is_broken() {
        let whole = r#"{"ts":1431857103,"ip":"192.0.2.1","uri":"/"}"#;
        check(whole, "1431857103000 192.0.2.1 unknown | no request | 0 0 | unknown | unknown");
        for end in 0..whole.len() {
            check(&whole[..end], "broken");
        }
        check(r#"{"ts":1431857103,"ip":"192.0.2.1"}"#, "broken");
        check(r#"{"ts":1431857103,"uri":"/"}"#, "broken");
        check(r#"{"ip":"192.0.2.1","uri":"/"}"#, "broken");
        check(r#"{"ts":true,"ip":[],"uri":{}}"#, "broken");
        check(&format!("{whole}x"), "broken");
        check("[1]", "broken");
        check(&format!("{{\"a\":{}", "[".repeat(5_000)), "broken");
    }

    #[test]
    fn escapes_and_wrong_utf_8_are_read() {
        check(
            r#"{"ts":1431857103,"ip":"192.0.2.1","request":"GET /\u0022\/x HTTP/1.1","agent":"a\"b"}"#,
            "1431857103000 192.0.2.1 unknown | GET /\"/x HTTP/1.1 | 0 0 | unknown | a\"b",
        );
        let mut parser = JsonParser::new(&[]);
        let line = b"{\"ts\":1431857103,\"ip\":\"192.0.2.1\",\"request\":\"GET /\xff HTTP/1.1\"}";
        assert!(parser.parse(line).is_some());
    }

    #[test]
    fn origin_times_are_ms() {
        let mut parser = JsonParser::new(&[]);
        let mut ms = |value: &str| {
            let line = format!(r#"{{"ts":1,"ip":"192.0.2.1","uri":"/","request_time":{value}}}"#);
            parser.parse(line.as_bytes()).unwrap().origin_ms
        };
        assert_eq!(ms("0.012"), Some(12));
        assert_eq!(ms("\"0.012, 0.5\""), Some(12));
        assert_eq!(ms("3"), Some(3_000));
        assert_eq!(ms("\"-\""), None);
        assert_eq!(ms("-1"), None);
        assert_eq!(ms("1e300"), Some(u32::MAX));
    }

    #[test]
    fn a_forwarded_address_is_said_to_be_one() {
        let own = ["source=x_forwarded_for".parse().unwrap()];
        let mut parser = JsonParser::new(&own);
        let line = br#"{"ts":1,"x_forwarded_for":"203.0.113.9, 10.0.0.1","uri":"/"}"#;
        assert!(parser.parse(line).unwrap().forwarded);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = JsonParser::new(&[]).parse(&bytes);
        }

        #[test]
        fn a_record_written_is_read_back(
            at_ms in 100_000_000_000u64..100_000_000_000_000, address: std::net::IpAddr, path in "/\\PC{0,40}", agent in "\\PC{2,60}",
            status in 100u16..600, bytes: u64,
        ) {
            let line = serde_json::json!({
                "timestamp": at_ms, "remote_addr": address, "method": "GET", "uri": path,
                "user_agent": agent, "status": status, "bytes": bytes,
            }).to_string();
            let mut parser = JsonParser::new(&[]);
            let record = parser.parse(line.as_bytes()).unwrap();
            prop_assert_eq!(record.stamp.at_ms, at_ms);
            prop_assert_eq!(record.client, Client::Address(address));
            prop_assert_eq!(record.request.target, path.as_bytes());
            prop_assert_eq!(record.user_agent, Seen::Is(agent.as_bytes()));
            prop_assert_eq!((record.status, record.bytes), (status, bytes));
        }
    }
}
