//! Step 6a: the head that goes to the origin.
//!
//! Made anew from the client's, which stays whole so that it can be made a second time for a stale
//! connection. Hop-by-hop fields end here; what says who the client is, is ours to say.

use bytes::{BufMut, BytesMut};
use floodwall_model::Source;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, UPGRADE, VIA};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, Version};

use crate::connection_state::ConnectionState;
use crate::pipeline::answer_head::{is_hop_by_hop, is_listed};
use crate::pipeline::head_checks::Target;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// Fields that applications take for the client's address. From a stranger they are lies.
const CLAIMS: [&str; 6] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
];

/// The head of the request to the origin.
pub(crate) fn head(
    parts: &Parts,
    target: &Target,
    state: &ConnectionState,
    keep_expect: bool,
) -> Parts {
    let (mut head, ()) = http::Request::new(()).into_parts();
    head.method = parts.method.clone();
    head.version = Version::HTTP_11;
    head.uri = origin_form(&parts.uri);
    head.headers = HeaderMap::with_capacity(parts.headers.len() + 8);
    copy_fields(parts, state, keep_expect, &mut head.headers);
    join_cookies(&parts.headers, &mut head.headers);
    if let Some(authority) = &target.authority {
        head.headers.insert(HOST, authority.clone());
    } else {
        // HTTP/1.1 wants one (RFC 9112 § 3.2); an empty one says that none was given.
        head.headers.insert(HOST, HeaderValue::from_static(""));
    }
    say_who(parts, target, state, &mut head.headers);
    if target.is_websocket {
        head.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    head
}

/// The target without scheme and authority (RFC 9112 § 3.2.1).
fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(target) => Uri::from(target.clone()),
        None => Uri::from(PathAndQuery::from_static("/")),
    }
}

fn copy_fields(parts: &Parts, state: &ConnectionState, keep_expect: bool, to: &mut HeaderMap) {
    let connection: Vec<HeaderValue> = parts.headers.get_all(CONNECTION).iter().cloned().collect();
    for (name, value) in &parts.headers {
        // The length frames the body and is no client's to take out by listing it.
        let frames = *name == CONTENT_LENGTH;
        let hop = is_hop_by_hop(name) || (!frames && is_listed(&connection, name));
        let ours = *name == HOST || *name == COOKIE || (*name == EXPECT && !keep_expect);
        let claim = !state.peer_is_trusted && is_claim(name);
        if !(hop || ours || claim) {
            to.append(name.clone(), value.clone());
        }
    }
}

/// Cookie crumbs become one field, which is all HTTP/1 knows (RFC 9113 § 8.2.3).
fn join_cookies(from: &HeaderMap, to: &mut HeaderMap) {
    let mut crumbs = from.get_all(COOKIE).iter();
    let Some(first) = crumbs.next() else { return };
    let mut joined: Option<BytesMut> = None;
    for crumb in crumbs {
        let joined = joined.get_or_insert_with(|| BytesMut::from(first.as_bytes()));
        joined.put_slice(b"; ");
        joined.put_slice(crumb.as_bytes());
    }
    let value = match joined {
        // Field values joined by "; " are a field value.
        Some(joined) => HeaderValue::from_maybe_shared(joined.freeze()).ok(),
        None => Some(first.clone()),
    };
    if let Some(value) = value {
        to.insert(COOKIE, value);
    }
}

/// Whether a stranger's field claims to know the client. `_` counts as `-`, because the origin's
/// CGI-like interface may not tell them apart.
fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Standard names apart, few fields begin so: a cheap look first.
    if !matches!(name.as_bytes().first(), Some(b'x' | b'f' | b't' | b'c')) {
        return false;
    }
    let same = |a: &str, b: &str| {
        a.len() == b.len()
            && a.bytes().zip(b.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
    };
    let prefix = "x-forwarded-";
    name.get(..prefix.len()).is_some_and(|start| same(start, prefix))
        || CLAIMS.iter().any(|claim| same(name, claim))
        || same(name, "x-forwarded")
}

/// Writes who the client is: anew for a stranger, behind what a trusted proxy wrote.
fn say_who(parts: &Parts, target: &Target, state: &ConnectionState, to: &mut HeaderMap) {
    let proto = if state.tls.is_some() { "https" } else { "http" };
    if state.peer_is_trusted {
        let chain = joined(&parts.headers, &X_FORWARDED_FOR, &state.peer_value, ", ");
        to.insert(X_FORWARDED_FOR, chain);
        if !to.contains_key(X_FORWARDED_PROTO) {
            to.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
        }
    } else {
        to.insert(X_FORWARDED_FOR, state.peer_value.clone());
        to.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    if let Some(authority) = &target.authority
        && !to.contains_key(X_FORWARDED_HOST)
    {
        to.insert(X_FORWARDED_HOST, authority.clone());
    }
    let element = forwarded_element(state, target.authority.as_ref(), proto);
    let value = if state.peer_is_trusted {
        joined(&parts.headers, &FORWARDED, &element, ", ")
    } else {
        element
    };
    to.insert(FORWARDED, value);
    // RFC 9110 § 7.6.3: a gateway says so to the origin.
    let received = match parts.version {
        Version::HTTP_10 => "1.0 floodwall",
        Version::HTTP_2 => "2.0 floodwall",
        _ => "1.1 floodwall",
    };
    to.append(VIA, HeaderValue::from_static(received));
}

/// All values of a field in one, ours behind them.
fn joined(
    headers: &HeaderMap,
    name: &HeaderName,
    own: &HeaderValue,
    separator: &str,
) -> HeaderValue {
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return own.clone();
    }
    let mut joined = BytesMut::new();
    for value in values {
        joined.put_slice(value.as_bytes());
        joined.put_slice(separator.as_bytes());
    }
    joined.put_slice(own.as_bytes());
    HeaderValue::from_maybe_shared(joined.freeze()).unwrap_or_else(|_| own.clone())
}

/// Our element of `Forwarded` (RFC 7239 § 4). The last one made is kept: nearly all requests of a
/// connection are for one host.
fn forwarded_element(
    state: &ConnectionState,
    authority: Option<&HeaderValue>,
    proto: &str,
) -> HeaderValue {
    let empty = HeaderValue::from_static("");
    let authority = authority.unwrap_or(&empty);
    if let Some((host, made)) = &*state.forwarded.borrow()
        && host == authority
    {
        return made.clone();
    }
    let made = element(state.peer, authority, proto);
    *state.forwarded.borrow_mut() = Some((authority.clone(), made.clone()));
    made
}

fn element(peer: Source, authority: &HeaderValue, proto: &str) -> HeaderValue {
    let node = match peer.address() {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        // RFC 7239 § 6: an IPv6 address stands in brackets and so in quotes.
        std::net::IpAddr::V6(v6) => format!("\"[{v6}]\""),
    };
    let text = match authority.to_str() {
        // The checks let only letters, digits and "-._:[]" through: no quote to escape.
        Ok(host) if !host.is_empty() => format!("for={node};host=\"{host}\";proto={proto}"),
        _ => format!("for={node};proto={proto}"),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("for=unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_known_in_every_spelling() {
        for (name, expected) in [
            ("x-forwarded-for", true),
            ("x_forwarded_for", true),
            ("x-forwarded_proto", true),
            ("x-forwarded-port", true),
            ("x-forwarded", true),
            ("forwarded", true),
            ("x_real_ip", true),
            ("true-client-ip", true),
            ("cf-connecting-ip", true),
            ("x-forward", false),
            ("x-requested-with", false),
            ("content-type", false),
            ("from", false),
        ] {
            assert_eq!(is_claim(&HeaderName::from_static(name)), expected, "{name}");
        }
    }

    #[test]
    fn forwarded_is_written_as_the_rfc_says() {
        let check = |peer: &str, host: &'static str, expected: &str| {
            let peer = Source::new(peer.parse().unwrap());
            assert_eq!(element(peer, &HeaderValue::from_static(host), "https"), expected);
        };
        check("192.0.2.1", "a.example", "for=192.0.2.1;host=\"a.example\";proto=https");
        check("2001:db8::1", "a:8443", "for=\"[2001:db8::1]\";host=\"a:8443\";proto=https");
        check("192.0.2.1", "", "for=192.0.2.1;proto=https");
    }

    #[test]
    fn crumbs_become_one_cookie() {
        let mut from = HeaderMap::new();
        let mut to = HeaderMap::new();
        join_cookies(&from, &mut to);
        assert!(to.is_empty());
        for crumb in ["a=1", "b=2", "c=3"] {
            from.append(COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&from, &mut to);
        assert_eq!(to.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }
}
