//! A ban: one source that the kernel shall drop for a while.
//!
//! Like plans, bans must be checked before an enforcer takes them: [`Ban::check`] refuses whatever
//! could lock out the operator or this host, and everything that could have been spoofed.

use serde::{Deserialize, Serialize};

use crate::limits::BAN_TTL_MS_MAX;
use crate::source::{Prefix, Source};

/// A proposed ban. The source is banned as it is counted: an IPv4 address or an IPv6 /64.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Ban {
    /// Whom.
    pub source: Source,
    /// From when, ms since the epoch.
    pub from_ms: u64,
    /// Until when, ms since the epoch.
    pub until_ms: u64,
    /// Whether the source completed a TCP handshake, so that the address is its own.
    pub handshake: bool,
    /// How many of its requests a rule blocked before the ban.
    pub blocked: u32,
}

/// Whom no ban may hit.
#[derive(Clone, Debug, Default)]
pub struct Protected {
    /// Operators, health checks, the network in front of us, the default gateway.
    pub prefixes: Vec<Prefix>,
    /// Allow bans inside 127.0.0.0/8, except 127.0.0.1: only where the filter sits on the loopback
    /// interface itself, for demonstrations and tests.
    pub loopback_is_bannable: bool,
}

/// Why a ban was refused.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum BanRefusal {
    /// The address could be forged.
    #[error("the source never completed a handshake, so its address may be forged")]
    NoHandshake,
    /// This host.
    #[error("the source is this host itself")]
    Loopback,
    /// An address nobody can have.
    #[error("the address is unspecified, link-local, broadcast or multicast")]
    NotAHost,
    /// A protected prefix.
    #[error("the source lies in a protected prefix")]
    Protected,
    /// No end, or one too far away.
    #[error("the ban does not end in time")]
    Expiry,
}

impl Ban {
    /// Checks the ban against `protected`.
    pub fn check(self, protected: &Protected) -> Result<CheckedBan, BanRefusal> {
        let address = self.source.address();
        if !self.handshake {
            return Err(BanRefusal::NoHandshake);
        }
        if self.until_ms <= self.from_ms || self.until_ms - self.from_ms > BAN_TTL_MS_MAX {
            return Err(BanRefusal::Expiry);
        }
        // An IPv6 source is banned as its /64, so a neighbour of ::1 would take ::1 along.
        let counted = self.source.counted();
        let own = address == std::net::IpAddr::from([127, 0, 0, 1])
            || counted.contains(std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));
        if own || (address.is_loopback() && !protected.loopback_is_bannable) {
            return Err(BanRefusal::Loopback);
        }
        let broadcast = matches!(address, std::net::IpAddr::V4(v4) if v4.is_broadcast());
        // The whole link shares fe80::/64: routers and neighbour discovery live there.
        let link = matches!(address, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local());
        if broadcast || link || address.is_unspecified() || address.is_multicast() {
            return Err(BanRefusal::NotAHost);
        }
        // Any overlap counts: a /64 that holds one operator's address is not banned.
        let overlaps = |p: &Prefix| p.contains(counted.address()) || counted.contains(p.address());
        if protected.prefixes.iter().any(overlaps) {
            return Err(BanRefusal::Protected);
        }
        Ok(CheckedBan(self))
    }
}

/// A ban that may be enforced.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct CheckedBan(Ban);

impl CheckedBan {
    /// The ban.
    pub const fn ban(&self) -> &Ban {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: Result<(), BanRefusal>) {
        let protected = Protected {
            prefixes: vec!["198.51.100.0/24".parse().unwrap(), "2001:db8:9::1".parse().unwrap()],
            loopback_is_bannable: false,
        };
        let ban = Ban {
            source: Source::new(source.parse().unwrap()),
            from_ms: 0,
            until_ms: 60_000,
            handshake: true,
            blocked: 20,
        };
        assert_eq!(ban.check(&protected).map(|_| ()), expected, "{source}");
    }

    #[test]
    fn operators_and_this_host_cannot_be_banned() {
        check("203.0.113.9", Ok(()));
        check("2001:db8:1::5", Ok(()));
        check("198.51.100.77", Err(BanRefusal::Protected));
        check("2001:db8:9::2", Err(BanRefusal::Protected));
        check("127.0.0.1", Err(BanRefusal::Loopback));
        check("127.9.9.9", Err(BanRefusal::Loopback));
        check("::1", Err(BanRefusal::Loopback));
        check("::2", Err(BanRefusal::Loopback));
        check("fe80::7", Err(BanRefusal::NotAHost));
        check("0.0.0.0", Err(BanRefusal::NotAHost));
        check("255.255.255.255", Err(BanRefusal::NotAHost));
        check("224.0.0.1", Err(BanRefusal::NotAHost));
    }

    #[test]
    fn a_spoofable_or_endless_ban_is_refused() {
        let ban = Ban {
            source: Source::new("203.0.113.9".parse().unwrap()),
            from_ms: 0,
            until_ms: 60_000,
            handshake: false,
            blocked: 20,
        };
        let none = Protected::default();
        assert_eq!(ban.check(&none), Err(BanRefusal::NoHandshake));
        let endless = Ban { handshake: true, until_ms: u64::MAX, ..ban };
        assert_eq!(endless.check(&none), Err(BanRefusal::Expiry));
    }

    #[test]
    fn on_the_loopback_interface_all_but_127_0_0_1_may_be_banned() {
        let on_lo = Protected { loopback_is_bannable: true, ..Protected::default() };
        let ban = |address: &str| Ban {
            source: Source::new(address.parse().unwrap()),
            from_ms: 0,
            until_ms: 1,
            handshake: true,
            blocked: 1,
        };
        assert!(ban("127.7.7.7").check(&on_lo).is_ok());
        assert_eq!(ban("127.0.0.1").check(&on_lo), Err(BanRefusal::Loopback));
    }
}
