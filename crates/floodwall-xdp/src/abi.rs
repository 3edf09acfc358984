//! bpf/abi.h in Rust, name for name; bpf/packet.h is host/raw.rs. abi/header.rs compiles the
//! headers against these definitions; a change on one side alone fails there.
//!
//! One of the few files of this crate that may use `unsafe`: to tell aya that these types are
//! plain bytes, and to read one of them from the ring of samples.
#![allow(unsafe_code)]

#[cfg(test)]
mod header;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use floodwall_model::packet::{PACKET_ATTR_COUNT, PACKET_CLASS_COUNT, PacketReason};
use floodwall_model::{Prefix, Reason};

use crate::host::RawPacket;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        $($(#[$doc])* pub(crate) const $name: &str = $text;)+
        /// Every name of the headers, as (its macro's name without FW_, text).
        #[cfg(test)]
        pub(crate) const NAMES: &[(&str, &str)] = &[$((stringify!($name), $text)),+];
    };
}

names! {
    MAP_POLICY = "fw_policy";
    MAP_RULES = "fw_rules";
    MAP_COUNTS = "fw_counts";
    MAP_BANS_V4 = "fw_bans_v4";
    MAP_BANS_V6 = "fw_bans_v6";
    MAP_HITS_V4 = "fw_hits_v4";
    MAP_NETS_V4 = "fw_nets_v4";
    MAP_NETS_V6 = "fw_nets_v6";
    MAP_ALLOW_V4 = "fw_allow_v4";
    MAP_ALLOW_V6 = "fw_allow_v6";
    MAP_PORTS = "fw_ports";
    MAP_LOCAL = "fw_local";
    MAP_ICMP = "fw_icmp";
    MAP_EGRESS = "fw_egress";
    MAP_SAMPLES = "fw_samples";
    PROGRAM_XDP = "floodwall_xdp";
    PROGRAM_XDP_PLAIN = "floodwall_xdp1";
    PROGRAM_EMPTY = "floodwall_empty";
    PROGRAM_SOCKET = "floodwall_sock";
    PROGRAM_EGRESS = "floodwall_out";
    PROGRAM_ANSWERS = "floodwall_in";
    PROGRAM_CLOCK = "floodwall_clock";
}

/// Exact bans per family unless asked otherwise (`FW_BANS_DEFAULT`). When full: no further ban;
/// counted.
pub const BANS_DEFAULT: u32 = 131_072;

/// Most exact bans per family that may be asked for (`FW_BANS_MAX`). Beyond it: the filter is not
/// attached, with [`AttachError::TooManyBans`](crate::AttachError::TooManyBans).
pub const BANS_MAX: u32 = 1_048_576;

/// Network bans per family (`FW_NETS_MAX`). When full: no further ban; counted.
pub const NETS_MAX: u32 = 131_072;

/// Allowed networks per family (`FW_ALLOW_MAX`). When full: the next is refused.
pub const ALLOW_MAX: u32 = 4_096;

/// Addresses of this host that the guards stand for (`FW_LOCAL_MAX`). When full: packets to the
/// others are spared.
pub(crate) const LOCAL_MAX: usize = 1_024;
/// `FW_LOCAL_BUCKETS`.
pub(crate) const LOCAL_BUCKETS: usize = 1_024;
/// `FW_LOCAL_PLACES`. When a bucket is full, as above.
pub(crate) const LOCAL_PLACES: usize = 8;

/// Rules at once (`FW_RULES`).
pub(crate) const RULES: usize = 64;

/// `FW_NO_RULE`.
pub(crate) const NO_RULE: u8 = 0xff;

/// `FW_TOKEN`: how finely tokens are counted.
pub(crate) const TOKEN: u32 = 65_536;

/// `FW_BUCKET_V4` and `FW_BUCKET_V6`: places in a bucket of bans.
pub(crate) const BUCKET_V4: u32 = 8;
pub(crate) const BUCKET_V6: u32 = 4;

// Every ban the engine may hold fits, whichever family it is of.
const _: () = assert!(floodwall_model::limits::BANS_MAX <= BANS_DEFAULT as usize);
const _: () = assert!(BANS_DEFAULT <= BANS_MAX);
const _: () = assert!(floodwall_model::limits::PACKET_RULES_MAX <= RULES);

/// What happens to a packet (`enum fw_verdict`).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[repr(u32)]
pub enum Verdict {
    /// It goes on to the stack.
    Pass = 0,
    /// It ends here.
    Drop = 1,
    /// It is turned into its answer and sent back.
    Tx = 2,
}

impl Verdict {
    /// Every verdict, in the order of the header.
    pub const ALL: [Verdict; 3] = [Verdict::Pass, Verdict::Drop, Verdict::Tx];

    /// What happens to a packet for `reason`.
    pub const fn of(reason: PacketReason) -> Verdict {
        match reason {
            PacketReason::CookieSent => Verdict::Tx,
            other if other.passes() => Verdict::Pass,
            _ => Verdict::Drop,
        }
    }
}

/// The refusal `reason` is in the list all rooms share; none where no other room knows it.
pub(crate) const fn refusal(reason: PacketReason) -> Option<Reason> {
    match reason {
        PacketReason::SourceBanned | PacketReason::NetworkBanned => Some(Reason::SourceBanned),
        _ => None,
    }
}

/// Number of reasons (`FW_REASONS`).
pub(crate) const REASONS: usize = PacketReason::ALL.len();

/// `enum fw_holds`.
pub(crate) mod holds {
    pub(crate) const BANS_V4: u32 = 0x01;
    pub(crate) const BANS_V6: u32 = 0x02;
    pub(crate) const NETS_V4: u32 = 0x04;
    pub(crate) const NETS_V6: u32 = 0x08;
    pub(crate) const ALLOW_V4: u32 = 0x10;
    pub(crate) const ALLOW_V6: u32 = 0x20;
    pub(crate) const SOLICITED: u32 = 0x40;
    pub(crate) const RULES: u32 = 0x80;
    pub(crate) const OPTIONS: u32 = 0x100;
    pub(crate) const SOURCE_RATE: u32 = 0x200;
}

/// `enum fw_guard`.
pub(crate) mod guard {
    pub(crate) const SYN_PROOF: u32 = 0x01;
    pub(crate) const TCP_STATE: u32 = 0x02;
    pub(crate) const UDP_SOLICITED: u32 = 0x04;
    pub(crate) const ICMP: u32 = 0x08;
    pub(crate) const VIA_STACK: u32 = 0x10;
}

/// `enum fw_service`.
pub(crate) mod service {
    pub(crate) const TCP: u32 = 0x01;
    pub(crate) const UDP: u32 = 0x02;
}

/// `enum fw_width`: how many ways a source's width is taken.
pub(crate) const WIDTHS: usize = 4;

/// `struct fw_rate`.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub(crate) struct Rate {
    pub(crate) per_jiffy: u32,
    pub(crate) burst: u32,
}

/// `struct fw_policy`. Only its layout is used: the fields are written where the kernel reads them.
#[repr(C)]
pub(crate) struct Policy {
    pub(crate) lease_until: u64,
    pub(crate) guards_until: u64,
    pub(crate) holds: u32,
    pub(crate) guards: u32,
    pub(crate) sample_every: u32,
    pub(crate) mss: u32,
    pub(crate) second: u32,
    pub(crate) revision: u32,
    pub(crate) clock_ns: u64,
    pub(crate) clock_jiffies: u64,
    pub(crate) spare: u64,
    pub(crate) packets: [Rate; WIDTHS],
    pub(crate) connections: [Rate; WIDTHS],
    pub(crate) icmp_errors: Rate,
    pub(crate) icmp_questions: Rate,
}

/// `FW_RULE_ROWS`.
pub(crate) const RULE_ROWS: usize = rule_row(PACKET_ATTR_COUNT);
/// `FW_DIMS_NARROW`.
pub(crate) const DIMS_NARROW: usize = 5;

/// `FW_RULE_ROW`: the row of value 0 of a dimension.
pub(crate) const fn rule_row(dimension: usize) -> usize {
    if dimension < DIMS_NARROW {
        dimension * 256
    } else {
        DIMS_NARROW * 256 + (dimension - DIMS_NARROW) * 65_536
    }
}

/// `struct fw_rule`.
#[repr(C)]
pub(crate) struct Rule {
    pub(crate) expires: u32,
    pub(crate) shadow: u32,
}

/// `struct fw_rules`. Only its layout is used.
#[repr(C)]
pub(crate) struct Rules {
    pub(crate) live: u64,
    pub(crate) dimensions: u32,
    pub(crate) spare: u32,
    pub(crate) wild: [u64; PACKET_ATTR_COUNT + 1],
    pub(crate) rules: [Rule; RULES],
    pub(crate) rows: [u64; RULE_ROWS],
}

/// `struct fw_port`. Only its layout is used.
#[repr(C)]
pub(crate) struct Port {
    pub(crate) services: u32,
    pub(crate) stamped: u32,
}

/// `struct fw_tokens`. Only its layout is used, as of the next.
#[repr(C)]
pub(crate) struct KernelTokens {
    pub(crate) left: u32,
    pub(crate) refilled: u32,
}

/// `struct fw_icmp_share`.
#[repr(C)]
pub(crate) struct IcmpShare {
    pub(crate) errors: KernelTokens,
    pub(crate) questions: KernelTokens,
}

/// `struct fw_net`: the value of a banned network.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(C)]
pub(crate) struct Net {
    pub(crate) expires: u32,
    pub(crate) spare: u32,
}

/// `struct fw_egress_net`.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(C)]
pub(crate) struct EgressNet {
    pub(crate) bytes: [u8; 6],
    pub(crate) version: u16,
}

impl EgressNet {
    /// The prefix it stands for.
    pub(crate) fn prefix(self) -> Prefix {
        let [a, b, c, d, e, f] = self.bytes;
        match self.version {
            4 => Prefix::new(Ipv4Addr::new(a, b, c, 0).into(), 24),
            _ => {
                let be = u16::from_be_bytes;
                let address = Ipv6Addr::new(be([a, b]), be([c, d]), be([e, f]), 0, 0, 0, 0, 0);
                Prefix::new(address.into(), 48)
            }
        }
    }
}

/// `struct fw_volume`.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub(crate) struct Volume {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// `struct fw_passage`. Only its size is used.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub(crate) struct Passage {
    now: u64,
    words: [u32; 6],
    flags: [u8; 8],
    packet: RawPacket,
    frame_bytes: u32,
}

/// `struct fw_counts`.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub(crate) struct Counts {
    pub(crate) reasons: [u64; REASONS],
    pub(crate) until_sample: u64,
    pub(crate) classes: [Volume; PACKET_CLASS_COUNT],
    pub(crate) matched: [u64; RULES],
    pub(crate) samples: u64,
    pub(crate) lost: u64,
    pub(crate) sample_weight: u64,
    pub(crate) lapsed: u64,
    pub(crate) unanswered: u64,
    pub(crate) passage: Passage,
}

/// `struct fw_sample`.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub(crate) struct Sample {
    pub(crate) jiffies: u64,
    pub(crate) weight: u32,
    pub(crate) frame_bytes: u32,
    pub(crate) reason: u8,
    pub(crate) rule: u8,
    pub(crate) shadow: u16,
    pub(crate) revision: u32,
    pub(crate) packet: RawPacket,
}

impl Sample {
    /// A sample as it stands in the ring; none if it is of another size.
    pub(crate) fn read(bytes: &[u8]) -> Option<Sample> {
        if bytes.len() != size_of::<Sample>() {
            return None;
        }
        // SAFETY: there are as many bytes as the type has, every bit pattern is a value of it, and
        // read_unaligned asks for no alignment.
        Some(unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast::<Sample>()) })
    }
}

// SAFETY: repr(C) with two u32, so no padding; every bit pattern is a value.
unsafe impl aya::Pod for Net {}
// SAFETY: repr(C), six bytes and a u16 at an even offset, so no padding; any bits are a value.
unsafe impl aya::Pod for EgressNet {}
// SAFETY: repr(C) with two u64, so no padding; every bit pattern is a value.
unsafe impl aya::Pod for Volume {}
// SAFETY: repr(C) integers only; it is only ever read from the kernel, where padding is no matter.
unsafe impl aya::Pod for Counts {}

/// A banned source in the words of the kernel's tables.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub(crate) enum BanKey {
    /// The address as it stands in the packet.
    V4(u32),
    /// The address's first half as it stands in the packet.
    V6(u64),
}

impl BanKey {
    /// The key of a prefix as [`floodwall_model::Source::counted`] makes it; none for any other.
    pub(crate) fn of(prefix: Prefix) -> Option<BanKey> {
        match (prefix.address(), prefix.bits()) {
            (IpAddr::V4(v4), 32) => Some(BanKey::V4(u32::from_ne_bytes(v4.octets()))),
            (IpAddr::V6(v6), 64) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Some(BanKey::V6(u64::from_ne_bytes([a, b, c, d, e, f, g, h])))
            }
            _ => None,
        }
    }

    /// The prefix it stands for.
    pub(crate) fn prefix(self) -> Prefix {
        match self {
            BanKey::V4(address) => Prefix::new(Ipv4Addr::from(address.to_ne_bytes()).into(), 32),
            BanKey::V6(network) => {
                let network = u128::from(u64::from_be(network)) << 64;
                Prefix::new(Ipv6Addr::from(network).into(), 64)
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
        let Some(BanKey::V4(address)) = BanKey::of(v4) else { panic!("{v4} has an IPv4 key") };
        assert_eq!(address.to_ne_bytes(), [203, 0, 113, 9]);
        let v6 = Source::new("2001:db8:1:2:3:4:5:6".parse().unwrap()).counted();
        let Some(BanKey::V6(network)) = BanKey::of(v6) else { panic!("{v6} has an IPv6 key") };
        assert_eq!(network.to_ne_bytes(), [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2]);
    }

    #[test]
    fn a_network_or_a_single_ipv6_address_has_no_key() {
        for text in ["203.0.113.0/24", "2001:db8::/48", "2001:db8::1/128"] {
            assert_eq!(BanKey::of(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_verdict_follows_from_the_reason() {
        assert_eq!(Verdict::of(PacketReason::CookieSent), Verdict::Tx);
        assert_eq!(Verdict::of(PacketReason::Allowed), Verdict::Pass);
        assert_eq!(Verdict::of(PacketReason::Signature), Verdict::Drop);
    }

    #[test]
    fn egress_networks_read_as_prefixes() {
        let v4 = EgressNet { bytes: [203, 0, 113, 0, 0, 0], version: 4 };
        assert_eq!(v4.prefix().to_string(), "203.0.113.0/24");
        let v6 = EgressNet { bytes: [0x20, 1, 0xd, 0xb8, 0, 9], version: 6 };
        assert_eq!(v6.prefix().to_string(), "2001:db8:9::/48");
    }
}
