//! Step 7b: the head of the origin's answer as the client gets it.
//!
//! Hop-by-hop fields end here (RFC 9110 § 7.6.1); everything else, `Server` included, is the
//! origin's and stays.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

/// Whether a field speaks of one connection only.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == TE
        || *name == TRAILER
        || *name == UPGRADE
        || *name == PROXY_AUTHENTICATE
        || *name == PROXY_AUTHORIZATION
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Whether the values of `Connection` list `name`.
pub(crate) fn is_listed(connection: &[HeaderValue], name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    connection.iter().any(|value| {
        value
            .as_bytes()
            .split(|b| *b == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(name))
    })
}

/// Takes the hop-by-hop fields out of an answer.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        // The coding frames the answer; a length beside it is wrong (RFC 9112 § 6.3) and would
        // frame what we send.
        headers.remove(CONTENT_LENGTH);
    }
    let connection: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    // Nearly every answer has none or two of them, so look before removing.
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_hop_by_hop(name) || is_listed(&connection, name))
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
}

/// The fields that make a 101 what it is, put back after [`strip`].
pub(crate) fn mark_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_fields_and_those_listed_end_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("content-length", "5"),
            ("server", "origin"),
            ("x-stays", "1"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["server", "set-cookie", "set-cookie", "x-stays"]);
    }
}
