//! bpf/abi.h in Rust, name for name. abi/header.rs compiles the header against these
//! definitions; a change on one side alone fails there.
//!
//! One of the two files of this crate that may use `unsafe`: to tell aya that these types are
//! plain bytes.
#![allow(unsafe_code)]

#[cfg(test)]
mod header;

use std::net::{Ipv4Addr, Ipv6Addr};

use floodwall_model::{Prefix, Reason};

/// `FW_MAP_BANS_V4`.
pub(crate) const MAP_BANS_V4: &str = "fw_bans_v4";
/// `FW_MAP_BANS_V6`.
pub(crate) const MAP_BANS_V6: &str = "fw_bans_v6";
/// `FW_MAP_COUNTS`.
pub(crate) const MAP_COUNTS: &str = "fw_counts";
/// `FW_PROGRAM_XDP`.
pub(crate) const PROGRAM_XDP: &str = "floodwall_xdp";
/// `FW_PROGRAM_SOCKET`.
pub(crate) const PROGRAM_SOCKET: &str = "floodwall_sock";

/// Exact bans per family unless asked otherwise (`FW_BANS_DEFAULT`). When full: no further ban;
/// counted.
pub const BANS_DEFAULT: u32 = 131_072;

/// Most exact bans per family that may be asked for (`FW_BANS_MAX`). Beyond it: the filter is not
/// attached, with [`AttachError::TooManyBans`](crate::AttachError::TooManyBans).
pub const BANS_MAX: u32 = 1_000_000;

// Every ban the engine may hold fits, whichever family it is of.
const _: () = assert!(floodwall_model::limits::BANS_MAX <= BANS_DEFAULT as usize);
const _: () = assert!(BANS_DEFAULT <= BANS_MAX);

/// What happens to a packet (`enum fw_verdict`).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[repr(u32)]
pub enum Verdict {
    /// It goes on to the stack.
    Pass = 0,
    /// It ends here.
    Drop = 1,
}

impl Verdict {
    /// Every verdict, in the order of the header.
    pub const ALL: [Verdict; 2] = [Verdict::Pass, Verdict::Drop];
}

/// Why (`enum fw_reason`).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[repr(u32)]
pub enum FilterReason {
    /// From a source that is not banned.
    NoBan = 0,
    /// From a source whose ban has ended and is not swept yet.
    BanExpired = 1,
    /// Neither IPv4 nor IPv6, or under more than two VLAN tags.
    NotIp = 2,
    /// The packet ends before its IP header does.
    Truncated = 3,
    /// The IP header contradicts itself.
    Malformed = 4,
    /// From a banned source.
    Banned = 5,
}

impl FilterReason {
    /// Every reason, in the order of the header.
    pub const ALL: [FilterReason; 6] = [
        FilterReason::NoBan,
        FilterReason::BanExpired,
        FilterReason::NotIp,
        FilterReason::Truncated,
        FilterReason::Malformed,
        FilterReason::Banned,
    ];

    /// The name used in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            FilterReason::NoBan => "no_ban",
            FilterReason::BanExpired => "ban_expired",
            FilterReason::NotIp => "not_ip",
            FilterReason::Truncated => "truncated",
            FilterReason::Malformed => "malformed",
            FilterReason::Banned => "banned",
        }
    }

    /// The refusal this is in the list all rooms share; none where the packet passes.
    pub const fn refusal(self) -> Option<Reason> {
        match self {
            FilterReason::Banned => Some(Reason::SourceBanned),
            FilterReason::NoBan
            | FilterReason::BanExpired
            | FilterReason::NotIp
            | FilterReason::Truncated
            | FilterReason::Malformed => None,
        }
    }
}

/// `FW_COUNT_SLOT`: the index of a pair in the counter map.
pub(crate) const fn count_slot(verdict: Verdict, reason: FilterReason) -> u32 {
    verdict as u32 * FilterReason::ALL.len() as u32 + reason as u32
}

/// `FW_COUNT_SLOTS`.
#[cfg(test)]
pub(crate) const COUNT_SLOTS: u32 = (Verdict::ALL.len() * FilterReason::ALL.len()) as u32;

/// `struct fw_key_v4`.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd)]
#[repr(C)]
pub(crate) struct KeyV4 {
    /// The address in network byte order.
    pub(crate) address_be: u32,
}

/// `struct fw_key_v6`.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd)]
#[repr(C)]
pub(crate) struct KeyV6 {
    /// The /64 in network byte order, as the two words of the header.
    pub(crate) network_be: [u32; 2],
}

/// `struct fw_ban`.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(C)]
pub(crate) struct BanValue {
    /// When the ban ends, ns on CLOCK_MONOTONIC.
    pub(crate) expires_ktime_ns: u64,
    /// Packets dropped on account of it.
    pub(crate) packets: u64,
}

// SAFETY: repr(C) with a single u32, so no padding; every bit pattern is a value.
unsafe impl aya::Pod for KeyV4 {}
// SAFETY: repr(C) with two u32, so no padding; every bit pattern is a value.
unsafe impl aya::Pod for KeyV6 {}
// SAFETY: repr(C) with two u64, so no padding; every bit pattern is a value.
unsafe impl aya::Pod for BanValue {}

/// The key of a banned source in whichever map it belongs to.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub(crate) enum BanKey {
    V4(KeyV4),
    V6(KeyV6),
}

impl BanKey {
    /// The key of a prefix as [`floodwall_model::Source::counted`] makes it; none for any other.
    pub(crate) fn of(prefix: Prefix) -> Option<BanKey> {
        match (prefix.address(), prefix.bits()) {
            (std::net::IpAddr::V4(v4), 32) => {
                Some(BanKey::V4(KeyV4 { address_be: u32::from_ne_bytes(v4.octets()) }))
            }
            (std::net::IpAddr::V6(v6), 64) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                let network_be =
                    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])];
                Some(BanKey::V6(KeyV6 { network_be }))
            }
            _ => None,
        }
    }

    /// The prefix it stands for.
    pub(crate) fn prefix(self) -> Prefix {
        match self {
            BanKey::V4(key) => Prefix::new(Ipv4Addr::from(key.address_be.to_ne_bytes()).into(), 32),
            BanKey::V6(key) => {
                let [high, low] = key.network_be;
                let network = u64::from(u32::from_be(high)) << 32 | u64::from(u32::from_be(low));
                Prefix::new(Ipv6Addr::from(u128::from(network) << 64).into(), 64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use floodwall_model::Source;

    use super::*;

    #[test]
    fn a_key_is_the_source_as_it_is_counted_and_back() {
        for text in ["203.0.113.9", "0.0.0.1", "2001:db8:1:2:3:4:5:6", "::ffff:192.0.2.7"] {
            let counted = Source::new(text.parse().unwrap()).counted();
            assert_eq!(BanKey::of(counted).unwrap().prefix(), counted, "{text}");
        }
    }

    #[test]
    fn the_bytes_of_a_key_are_those_of_the_packet() {
        let v4 = Source::new("203.0.113.9".parse().unwrap()).counted();
        let Some(BanKey::V4(key)) = BanKey::of(v4) else { panic!("{v4} has an IPv4 key") };
        assert_eq!(key.address_be.to_ne_bytes(), [203, 0, 113, 9]);
        let v6 = Source::new("2001:db8:1:2:3:4:5:6".parse().unwrap()).counted();
        let Some(BanKey::V6(key)) = BanKey::of(v6) else { panic!("{v6} has an IPv6 key") };
        assert_eq!(key.network_be[0].to_ne_bytes(), [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(key.network_be[1].to_ne_bytes(), [0, 1, 0, 2]);
    }

    #[test]
    fn a_network_or_a_single_ipv6_address_has_no_key() {
        for text in ["203.0.113.0/24", "2001:db8::/48", "2001:db8::1/128"] {
            assert_eq!(BanKey::of(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn slots_are_distinct_and_within_the_map() {
        let mut slots: Vec<u32> = Verdict::ALL
            .iter()
            .flat_map(|v| FilterReason::ALL.iter().map(|r| count_slot(*v, *r)))
            .collect();
        slots.sort_unstable();
        assert_eq!(slots, (0..COUNT_SLOTS).collect::<Vec<_>>());
    }
}
