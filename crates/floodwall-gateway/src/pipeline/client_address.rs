//! Step 2: whose request is it (design/l7.md § 7).
//!
//! The socket's peer, unless that is a proxy of ours; then `X-Forwarded-For` is walked from the
//! right, where our own proxies write, over every address that is trusted, and the first one that
//! is not is the client. What stands further left was written by strangers.

use floodwall_model::Source;
use http::HeaderMap;

use crate::connection_state::ConnectionState;
use crate::snapshot::Snapshot;

/// Addresses looked at in one request. A longer chain of trusted proxies is no chain.
const HOPS_MAX: usize = 32;

/// A client's address.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct ClientAddress {
    pub(crate) source: Source,
    /// The address is the socket's: it completed a handshake and is not spoofed.
    pub(crate) handshake: bool,
}

/// Finds the client of a request.
pub(crate) fn find(
    state: &ConnectionState,
    headers: &HeaderMap,
    snapshot: &Snapshot,
) -> ClientAddress {
    let peer = ClientAddress { source: state.peer, handshake: true };
    if !state.peer_is_trusted || !headers.contains_key("x-forwarded-for") {
        return peer;
    }
    match walk(headers, |source| snapshot.is_trusted_proxy(source)) {
        Some(source) => ClientAddress { source, handshake: false },
        None => {
            state.worker.counters.forwarded_unparsable.add(1);
            peer
        }
    }
}

/// The first address from the right that is not trusted; if all are, the leftmost. `None` when
/// something in between is no address.
fn walk(headers: &HeaderMap, is_trusted: impl Fn(Source) -> bool) -> Option<Source> {
    let mut last = None;
    let lines = headers.get_all("x-forwarded-for").iter().collect::<Vec<_>>();
    let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    for hop in hops.take(HOPS_MAX) {
        let source = address(hop.trim_ascii())?;
        if !is_trusted(source) {
            return Some(source);
        }
        last = Some(source);
    }
    last
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address(hop: &[u8]) -> Option<Source> {
    let text = std::str::from_utf8(hop).ok()?;
    let address = match text.parse::<std::net::IpAddr>() {
        Ok(address) => address,
        Err(_) => match text.parse::<std::net::SocketAddr>() {
            Ok(address) => address.ip(),
            Err(_) => text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?,
        },
    };
    Some(Source::new(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::Prefix;

    fn check(lines: &[&str], expected: Option<&str>) {
        let trusted: Vec<Prefix> =
            ["10.0.0.0/8", "2001:db8:f::/48"].iter().map(|p| p.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let is_trusted =
            |source: Source| trusted.iter().any(|prefix| prefix.contains(source.address()));
        let found = walk(&headers, is_trusted).map(|source| source.to_string());
        assert_eq!(found.as_deref(), expected, "{lines:?}");
    }

    #[test]
    fn the_chain_is_walked_from_the_right() {
        check(&["192.0.2.1"], Some("192.0.2.1"));
        check(&["192.0.2.1, 10.0.0.1"], Some("192.0.2.1"));
        check(&["198.51.100.1, 192.0.2.1, 10.0.0.1"], Some("192.0.2.1"));
        check(&["spoofed, 192.0.2.1"], Some("192.0.2.1"));
        check(&["192.0.2.9", "192.0.2.1, 10.0.0.1", "10.9.9.9"], Some("192.0.2.1"));
        check(&["10.0.0.2, 10.0.0.1"], Some("10.0.0.2"));
        check(&[" 192.0.2.1\t,10.0.0.1 "], Some("192.0.2.1"));
        check(&["192.0.2.1:4711"], Some("192.0.2.1"));
        check(&["[2001:db8::1]:443"], Some("2001:db8::1"));
        check(&["[2001:db8::1]"], Some("2001:db8::1"));
        check(&["2001:db8::1, 2001:db8:f::2"], Some("2001:db8::1"));
        check(&["::ffff:192.0.2.1"], Some("192.0.2.1"));
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        check(&["192.0.2.1, unknown, 10.0.0.1"], None);
        check(&["192.0.2.1,"], None);
        check(&[""], None);
        check(&["_hidden"], None);
        check(&["192.0.2.1 10.0.0.1"], None);
        check(&["\u{e4}"], None);
    }

    #[test]
    fn a_chain_without_end_is_not_walked_to_its_end() {
        let line = "10.0.0.1,".repeat(1_000) + "10.0.0.1";
        check(&[&line], Some("10.0.0.1"));
    }
}
