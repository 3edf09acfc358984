//! Who sent it: one canonical form for addresses.
//!
//! IPv6 hosts own at least a /64, so counting single IPv6 addresses counts nothing; the per-source
//! key is therefore the address for IPv4 and the /64 for IPv6 (RFC 6177 § 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// A source address in canonical form (an IPv4-mapped IPv6 address is its IPv4 address).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Source(IpAddr);

impl Source {
    /// Canonicalises `address`.
    pub fn new(address: IpAddr) -> Self {
        Source(address.to_canonical())
    }

    /// The canonical address.
    pub const fn address(self) -> IpAddr {
        self.0
    }

    /// The key under which one source is counted: the IPv4 address, or the IPv6 /64, widened to
    /// 64 bits. IPv4 keys carry a tag in the upper half that no IPv6 /64 in global use has.
    pub fn key(self) -> u64 {
        match self.0 {
            IpAddr::V4(v4) => (0xffff_ffff << 32) | u64::from(u32::from(v4)),
            IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
        }
    }

    /// The source as it is counted and banned: the address itself for IPv4, the /64 for IPv6.
    pub fn counted(self) -> Prefix {
        match self.0 {
            IpAddr::V4(_) => Prefix::new(self.0, 32),
            IpAddr::V6(_) => Prefix::new(self.0, 64),
        }
    }

    /// The network the source belongs to: /24 for IPv4, /48 for IPv6.
    pub fn network(self) -> Prefix {
        match self.0 {
            IpAddr::V4(_) => Prefix::new(self.0, 24),
            IpAddr::V6(_) => Prefix::new(self.0, 48),
        }
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Source::new(address)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// An address prefix with its host bits cleared.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// The prefix of `bits` bits that holds `address`. `bits` beyond the address length is cut.
    pub fn new(address: IpAddr, bits: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Prefix { address: Ipv4Addr::from(u32::from(v4) & mask).into(), bits }
            }
            IpAddr::V6(v6) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Prefix { address: Ipv6Addr::from(u128::from(v6) & mask).into(), bits }
            }
        }
    }

    /// The first address of the prefix.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The number of leading bits.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// Whether `address` lies in the prefix.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && Prefix::new(address, self.bits).address == self.address
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Why a text is no prefix.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not an address or a prefix such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct PrefixError(pub String);

impl std::str::FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let wrong = || PrefixError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(wrong());
        }
        Ok(Prefix::new(address, bits))
    }
}

impl Serialize for Prefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let mapped = Source::new("::ffff:192.0.2.7".parse().unwrap());
        assert_eq!(mapped, Source::new("192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn two_addresses_of_one_64_are_one_source() {
        let a = Source::new("2001:db8:1:2::1".parse().unwrap());
        let b = Source::new("2001:db8:1:2:ffff::9".parse().unwrap());
        assert_eq!(a.key(), b.key());
        assert_eq!(a.counted().to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn prefixes_parse_and_print() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), expected);
        }
        for wrong in ["", "192.0.2.7/33", "x", "1.2.3.4/-1", "::/129", "1.2.3.4/"] {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_contains_its_own_family_only() {
        let prefix: Prefix = "0.0.0.0/0".parse().unwrap();
        assert!(prefix.contains("203.0.113.9".parse().unwrap()));
        assert!(!prefix.contains("2001:db8::1".parse().unwrap()));
    }
}
