//! One request as a client would send it, and when.
//!
//! The label travels beside the request, never in it: whoever observes the request cannot tell.

use std::net::IpAddr;
use std::sync::Arc;

use floodwall_model::RequestKind;

use crate::who::Who;

/// A header value or path: fixed in the program or shared between requests.
#[derive(Clone, Debug)]
pub enum Text {
    /// Written in the program.
    Fixed(&'static str),
    /// Made at run time, shared.
    Shared(Arc<str>),
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Text::Fixed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Text::Fixed(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::Shared(text.into())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

/// Who really sent it. Known to the score, never to the defence.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum Label {
    /// An everyday visitor, or one of the honest machines.
    Honest,
    /// Part of an attack.
    Attack,
    /// A visitor who came with a crowd.
    Crowd,
}

impl Label {
    /// Every label, in the order of their discriminants.
    pub const ALL: [Label; 3] = [Label::Honest, Label::Attack, Label::Crowd];
}

/// A request as written on the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestSpec {
    /// Method.
    pub method: &'static str,
    /// Path without query.
    pub path: Text,
    /// Query without `?`.
    pub query: Option<Text>,
    /// Protocol version in the spelling of the model: `HTTP/1.1`.
    pub version: &'static str,
    /// Header fields in the order and spelling sent.
    pub headers: Vec<(&'static str, Text)>,
}

impl RequestSpec {
    /// The value of the first header field of this name, in any spelling.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Appends the request in HTTP/1.1 wire format (RFC 9112 § 2.1). It has no body.
    pub fn write_http1(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.path.as_str().as_bytes());
        if let Some(query) = &self.query {
            out.push(b'?');
            out.extend_from_slice(query.as_str().as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_str().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// A request with its time and sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Planned {
    /// When it is sent, ms on the caller's clock.
    pub at_ms: u64,
    /// From where.
    pub source: IpAddr,
    /// What.
    pub request: RequestSpec,
    /// What kind of thing it asks for.
    pub kind: RequestKind,
    /// Who really sent it.
    pub label: Label,
    /// Which page view it belongs to, unique within one stream. A request whose kind is not
    /// [`RequestKind::Page`] may be sent only after the page of the same view was answered.
    pub page_view: u64,
    /// Who sent it, for the score by groups; means nothing for an attack.
    pub who: Who,
    /// Which wave of an attack it belongs to: a pulse, or what follows a change of technique.
    pub wave: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_one_would_type_it() {
        let request = RequestSpec {
            method: "GET",
            path: "/search".into(),
            query: Some("q=tea".into()),
            version: "HTTP/1.1",
            headers: vec![("Host", "a.example".into()), ("Accept", "*/*".into())],
        };
        let mut out = Vec::new();
        request.write_http1(&mut out);
        assert_eq!(out, b"GET /search?q=tea HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n");
        assert_eq!(request.header("host"), Some("a.example"));
        assert_eq!(request.header("cookie"), None);
    }
}
