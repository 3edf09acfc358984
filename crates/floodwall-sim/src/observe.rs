//! What a gateway would see of a planned request.
//!
//! It must see no more: the label stays behind.

use std::net::IpAddr;

use floodwall_model::request::{Seen, request_kind};
use floodwall_model::{AttrWriter, Handling, Hints, Observation, RequestFacts, Source, Stage};

use crate::request::RequestSpec;

/// The observation of `request` arriving from `source` at `at_ms`, its outcome not yet known.
pub fn observe(
    request: &RequestSpec,
    source: IpAddr,
    at_ms: u64,
    writer: &mut AttrWriter,
) -> Observation {
    let names = header_names(request);
    let source = Source::new(source);
    let facts = RequestFacts { source: Some(source), ..facts(request, &names) };
    Observation {
        at_ms,
        source,
        attrs: writer.attrs(&facts),
        kind: request_kind(&facts),
        handling: Handling::Passed,
        stage: Stage::Arrived,
        outcome: None,
        handshake: true,
    }
}

/// The names in lower case, in order, joined by commas.
fn header_names(request: &RequestSpec) -> Vec<u8> {
    let mut names = Vec::with_capacity(256);
    for (name, _) in &request.headers {
        if !names.is_empty() {
            names.push(b',');
        }
        names.extend(name.bytes().map(|b| b.to_ascii_lowercase()));
    }
    names
}

fn facts<'a>(request: &'a RequestSpec, names: &'a [u8]) -> RequestFacts<'a> {
    let header = |name| match request.header(name) {
        Some(value) => Seen::Is(value.as_bytes()),
        None => Seen::Absent,
    };
    RequestFacts {
        method: request.method.as_bytes(),
        path: request.path.as_str().as_bytes(),
        query: request.query.as_ref().map_or(b"", |q| q.as_str().as_bytes()),
        version: request.version.as_bytes(),
        host: header("host"),
        header_names: Seen::Is(names),
        user_agent: header("user-agent"),
        language: header("accept-language"),
        referer: header("referer"),
        cookie: if request.header("cookie").is_some() { Seen::Is(()) } else { Seen::Absent },
        // A missing Sec-Fetch-Dest tells nothing: old browsers do not send it.
        fetch_dest: match request.header("sec-fetch-dest") {
            Some(dest) => Seen::Is(dest.as_bytes()),
            None => Seen::Unknown,
        },
        accept: header("accept"),
        encodings: header("accept-encoding"),
        hints: Hints {
            brands: header("sec-ch-ua"),
            mobile: header("sec-ch-ua-mobile"),
            platform: header("sec-ch-ua-platform"),
        },
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{Attr, RequestKind, ValueId, ValueKey};

    #[test]
    fn everything_a_gateway_sees_is_filled_in() {
        let request = RequestSpec {
            method: "GET",
            path: "/news/2024/x".into(),
            query: Some("page=2".into()),
            version: "HTTP/1.1",
            headers: vec![
                ("Host", "a.example".into()),
                ("User-Agent", "Tool/1.0".into()),
                ("Accept", "text/html".into()),
            ],
        };
        let mut writer = AttrWriter::new(ValueKey::new(1, 2));
        let seen = observe(&request, "192.0.2.1".parse().unwrap(), 5, &mut writer);
        assert_eq!((seen.at_ms, seen.kind), (5, RequestKind::Page));
        assert!(seen.handshake && seen.outcome.is_none());
        for attr in [Attr::Language, Attr::CookieState, Attr::RefererClass] {
            assert_eq!(seen.attrs[attr], ValueId::ABSENT, "{attr:?}");
        }
        let names: Vec<String> = writer.take_names().iter().map(|n| n.text.to_string()).collect();
        for expected in ["host,user-agent,accept", "/news/{n}/x", "page:s", "Tool/#.#"] {
            let steady = expected.replace("host,", "");
            assert!(names.contains(&steady), "{expected}: {names:?}");
        }
    }
}
