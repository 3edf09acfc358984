//! From a host name to what was configured for it.
//!
//! Names are compared in lower case without port and without the root's dot. An exact name wins
//! over a wildcard, and a wildcard covers exactly one label, as in certificates (RFC 9525 § 6.3).

use std::borrow::Cow;
use std::collections::HashMap;

/// Longest host name (RFC 1035 § 2.3.4, in text form). Longer ones match nothing.
const HOST_BYTES_MAX: usize = 253;

/// A table of host names.
#[derive(Clone, Debug)]
pub(crate) struct Hosts<T> {
    exact: HashMap<Box<str>, T>,
    /// Keyed by what follows `*`, with its dot: `.example.org`.
    wildcard: HashMap<Box<str>, T>,
    any: Option<T>,
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Hosts { exact: HashMap::new(), wildcard: HashMap::new(), any: None }
    }
}

impl<T: Copy> Hosts<T> {
    /// Adds a configured name. `false` if it was there already.
    pub(crate) fn insert(&mut self, name: &str, value: T) -> bool {
        let name = normal(name);
        match name.strip_prefix('*') {
            Some(suffix) => self.wildcard.insert(suffix.into(), value).is_none(),
            None => self.exact.insert(name.into(), value).is_none(),
        }
    }

    /// Sets what every other host gets. `false` if that was set already.
    pub(crate) fn insert_any(&mut self, value: T) -> bool {
        self.any.replace(value).is_none()
    }

    /// What was configured for `host`, which must be in the form of [`normal`].
    pub(crate) fn find_normal(&self, host: &str) -> Option<T> {
        if host.len() > HOST_BYTES_MAX {
            return self.any;
        }
        let wildcard = || {
            let dot = host.find('.').filter(|dot| *dot > 0)?;
            self.wildcard.get(&host[dot..])
        };
        self.exact.get(host).or_else(wildcard).copied().or(self.any)
    }

    /// What was configured for `host` in any spelling.
    pub(crate) fn find(&self, host: &str) -> Option<T> {
        self.find_normal(&normal(host))
    }
}

/// A host name in lower case without the root's dot.
pub(crate) fn normal(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// The host of a `Host` field or authority, without port (RFC 3986 § 3.2.2). `None` when it is not
/// one: empty, with user information, or with characters that no host has.
pub(crate) fn host_of_authority(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            let inside = &rest[..end];
            inside.parse::<std::net::Ipv6Addr>().ok()?;
            (&authority[..end + 2], &rest[end + 1..])
        }
        None => match authority.find(':') {
            Some(at) => authority.split_at(at),
            None => (authority, ""),
        },
    };
    let port_is_sound = match port.strip_prefix(':') {
        Some(digits) => digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()),
        None => port.is_empty(),
    };
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let host_is_sound = host.starts_with('[') || host.bytes().all(sound);
    (!host.is_empty() && port_is_sound && host_is_sound).then_some(host)
}

/// Whether an operator may name a site so.
pub(crate) fn is_site_name(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    rest.len() <= HOST_BYTES_MAX && host_of_authority(rest) == Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_win_over_wildcards_and_both_over_the_rest() {
        let mut hosts = Hosts::default();
        assert!(hosts.insert("A.example", 1));
        assert!(hosts.insert("*.example", 2));
        assert!(!hosts.insert("a.EXAMPLE", 1));
        for (host, expected) in [
            ("b.example", Some(2)),
            ("B.Example.", Some(2)),
            ("x.b.example", None),
            ("example", None),
            (".example", None),
            ("", None),
        ] {
            assert_eq!(hosts.find(host), expected, "{host}");
        }
        assert_eq!(hosts.find("a.example."), Some(1));
        hosts.insert_any(9);
        assert_eq!(hosts.find("x.b.example"), Some(9));
        assert_eq!(hosts.find(&"a.".repeat(200)), Some(9));
    }

    #[test]
    fn authorities_lose_their_port_and_nothing_else_passes() {
        for (authority, expected) in [
            ("a.example", Some("a.example")),
            ("a.example:8080", Some("a.example")),
            ("a.example:", Some("a.example")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("[::1]x", None),
            ("[zz]", None),
            ("[", None),
            ("", None),
            (":80", None),
            ("a:b", None),
            ("a:123456", None),
            ("u@a", None),
            ("a/b", None),
            ("a b", None),
            ("a,b", None),
        ] {
            assert_eq!(host_of_authority(authority), expected, "{authority}");
        }
    }
}
