//! Who sent it, from the text a log carries: an address, or the name Apache writes with
//! `HostnameLookups On`.
//!
//! A name cannot be turned back into an address without asking the DNS of today about a visitor of
//! years ago, so it becomes a stand-in address in 0.0.0.0/8: always the same one for the same name,
//! and never a visitor's own, because nobody can send from there (RFC 1122 § 3.2.1.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use floodwall_model::{Attr, Source, ValueKey};

/// Longest name accepted (RFC 1035 § 2.3.4). What is longer is no name and the line is broken.
const NAME_BYTES_MAX: usize = 255;

/// The client as written.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Client<'a> {
    /// An address.
    Address(IpAddr),
    /// Anything else that stands for one: a host name, `unix:`, `-`.
    Name(&'a [u8]),
}

impl<'a> Client<'a> {
    /// Reads `text`; `None` when it is neither an address nor a name.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        // The first of a forwarded list is the client: `203.0.113.9, 10.0.0.1`.
        let text = match memchr::memchr(b',', text) {
            Some(comma) => text[..comma].trim_ascii(),
            None => text,
        };
        if let Some(address) = address(text) {
            return Some(Client::Address(address));
        }
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        let named = !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.iter().all(is_name);
        named.then_some(Client::Name(text))
    }

    /// Its address; a name has none, only one that stands in for it.
    pub(crate) const fn address(self) -> Option<IpAddr> {
        match self {
            Client::Address(address) => Some(address),
            Client::Name(_) => None,
        }
    }

    /// The source to count by.
    pub(crate) fn source(self, key: &ValueKey) -> Source {
        match self {
            Client::Address(address) => Source::new(address),
            Client::Name(name) => {
                let low = key.id(Attr::Host, name).0 as u32 & 0x00ff_ffff;
                // 0.0.0.0 itself means "no address" to everybody.
                Source::new(Ipv4Addr::from(low.max(1)).into())
            }
        }
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`,
/// `[2001:db8::1]:443`.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    if let Some((v4, rest)) = ipv4(text) {
        let port = |rest: &[u8]| rest.len() > 1 && rest[1..].iter().all(u8::is_ascii_digit);
        return (rest.is_empty() || (rest[0] == b':' && port(rest))).then_some(v4.into());
    }
    let inner = match text {
        [b'[', rest @ ..] => &rest[..memchr::memchr(b']', rest)?],
        _ => text,
    };
    if inner.len() < 2 || inner.len() > 45 || !inner.contains(&b':') {
        return None;
    }
    let text = std::str::from_utf8(inner).ok()?;
    text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// A dotted quad at the start of `text`, and what follows it.
fn ipv4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (mut octets, mut rest) = ([0_u8; 4], text);
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let digits = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        let value = rest[..digits].iter().fold(0_u16, |sum, b| sum * 10 + u16::from(b - b'0'));
        if digits == 0 || digits > 3 {
            return None;
        }
        *octet = u8::try_from(value).ok()?;
        rest = &rest[digits..];
    }
    Some((Ipv4Addr::from(octets), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let parsed = Client::parse(text.as_bytes()).map(|client| match client {
            Client::Address(address) => address.to_string(),
            Client::Name(name) => format!("name {}", String::from_utf8_lossy(name)),
        });
        assert_eq!(parsed.as_deref(), expected, "{text}");
    }

    #[test]
    fn addresses_with_and_without_ports_and_names() {
        check("192.0.2.1", Some("192.0.2.1"));
        check("192.0.2.1:44740", Some("192.0.2.1"));
        check("192.0.2.1, 10.0.0.1", Some("192.0.2.1"));
        check("2001:db8::1", Some("2001:db8::1"));
        check("[2001:db8::1]:443", Some("2001:db8::1"));
        check("::1", Some("::1"));
        check("piweba3y.prodigy.com", Some("name piweba3y.prodigy.com"));
        check("192.0.2.1.example.net", Some("name 192.0.2.1.example.net"));
        check("192.0.2.256", Some("name 192.0.2.256"));
        check("unix:", Some("name unix:"));
        check("-", Some("name -"));
        check("", None);
        check("a b", None);
        check("\"x\"", None);
        check(&"x".repeat(256), None);
    }

    #[test]
    fn a_name_is_always_the_same_source_and_never_a_visitors_address() {
        let key = ValueKey::new(1, 2);
        let of = |name: &str| Client::parse(name.as_bytes()).unwrap().source(&key);
        assert_eq!(of("a.example"), of("a.example"));
        assert_ne!(of("a.example"), of("b.example"));
        for n in 0..1_000 {
            let IpAddr::V4(v4) = of(&format!("host{n}.example")).address() else { panic!() };
            assert!(v4.octets()[0] == 0 && !v4.is_unspecified());
        }
    }
}
