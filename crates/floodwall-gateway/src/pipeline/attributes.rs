//! Step 3: what the request looks like.

use std::borrow::Cow;
use std::rc::Rc;

use floodwall_model::request::{Seen, request_kind};
use floodwall_model::{Attrs, Hints, RequestFacts, RequestKind, Source};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, HeaderName, REFERER, USER_AGENT,
};
use http::request::Parts;
use http::{HeaderMap, Version};

use crate::connection_state::HeadNote;
use crate::worker::Worker;

/// The row of attributes and the kind of a request.
pub(crate) fn of(
    worker: &Rc<Worker>,
    parts: &Parts,
    note: &HeadNote,
    host: Option<Cow<'_, str>>,
    source: Source,
) -> (Attrs, RequestKind) {
    let headers = &parts.headers;
    let names = if parts.version == Version::HTTP_2 { h2_names(headers) } else { Vec::new() };
    let names = if names.is_empty() { note.names.as_slice() } else { names.as_slice() };
    let facts = RequestFacts {
        method: parts.method.as_str().as_bytes(),
        path: parts.uri.path().as_bytes(),
        query: parts.uri.query().unwrap_or_default().as_bytes(),
        version: version(parts.version),
        host: host.as_ref().map_or(Seen::Absent, |host| Seen::Is(host.as_bytes())),
        header_names: if names.is_empty() { Seen::Absent } else { Seen::Is(names) },
        user_agent: field(headers, &USER_AGENT),
        language: field(headers, &ACCEPT_LANGUAGE),
        referer: field(headers, &REFERER),
        cookie: if headers.contains_key(COOKIE) { Seen::Is(()) } else { Seen::Absent },
        fetch_dest: named(headers, "sec-fetch-dest"),
        accept: field(headers, &ACCEPT),
        encodings: field(headers, &ACCEPT_ENCODING),
        hints: Hints {
            brands: named(headers, "sec-ch-ua"),
            mobile: named(headers, "sec-ch-ua-mobile"),
            platform: named(headers, "sec-ch-ua-platform"),
        },
        source: Some(source),
    };
    (worker.observer.borrow_mut().attrs(&facts), request_kind(&facts))
}

fn field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Seen<&'a [u8]> {
    headers.get(name).map_or(Seen::Absent, |value| Seen::Is(value.as_bytes()))
}

fn named<'a>(headers: &'a HeaderMap, name: &str) -> Seen<&'a [u8]> {
    headers.get(name).map_or(Seen::Absent, |value| Seen::Is(value.as_bytes()))
}

const fn version(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2",
        _ => b"HTTP/1.1",
    }
}

/// The names of an HTTP/2 request's fields in the order sent.
///
/// The map yields distinct names in the order of their first insertion as long as none was removed,
/// which is what the decoder does; its documentation does not promise it, so a test holds it. The
/// order of the pseudo-header fields is lost.
fn h2_names(headers: &HeaderMap) -> Vec<u8> {
    let mut names = Vec::with_capacity(256);
    for name in headers.keys() {
        if !names.is_empty() {
            names.push(b',');
        }
        names.extend_from_slice(name.as_str().as_bytes());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_map_keeps_the_order_of_insertion() {
        let mut headers = HeaderMap::new();
        let mut expected = Vec::new();
        // Enough of them to make the table grow several times.
        for n in 0..100u32 {
            let name = format!("x-{}", n.wrapping_mul(2_654_435_761) % 1_000);
            if !expected.contains(&name) {
                expected.push(name.clone());
            }
            headers.append(HeaderName::try_from(name).unwrap(), n.into());
        }
        assert_eq!(h2_names(&headers), expected.join(",").into_bytes());
    }
}
