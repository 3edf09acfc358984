//! What can be known of one packet from its headers.
//!
//! The same values are computed by bpf/parse.h in the kernel and on the host; the numbers of
//! [`PacketAttr`] are the numbers of the kernel filter's rule dimensions (`enum fw_dimension` in
//! bpf/abi.h). Everything is a small integer, so that a rule is a table of bits.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What a rule may look at. The number is the dimension's number in the kernel.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum PacketAttr {
    /// IP protocol number (after IPv6 extension headers). 8 bits, as all up to [`PacketAttr::Ttl`].
    Protocol,
    /// TCP flags with ECE and CWR (RFC 9293 § 3.1); 0 for other protocols.
    TcpFlags,
    /// [`IpMark`]s.
    IpMarks,
    /// [`TransportMark`]s.
    TransportMarks,
    /// Time to live or hop limit.
    Ttl,
    /// Source port; the type of an ICMP message; 0 where there is none. 16 bits, as all that follow.
    SourcePort,
    /// Destination port; the code of an ICMP message; 0 where there is none.
    DestinationPort,
    /// Length of the IP packet, bytes: total length, or IPv6 payload length + 40.
    Length,
    /// TCP window as sent, unscaled; 0 for other protocols.
    Window,
    /// Fold of the kinds of the TCP options in the order sent; 0 without options.
    Options,
    /// TCP maximum segment size option; 0 without.
    Mss,
    /// IPv4 identification; [`fold16`] of an IPv6 fragment's (RFC 8200 § 4.5), 0 of IPv6 otherwise.
    Id,
    /// [`fold16`] of the TCP sequence number; 0 for other protocols.
    Sequence,
    /// Fold of the first eight bytes behind the transport header; 0 without payload.
    Payload,
    /// Fold of the destination address.
    Destination,
}

/// Number of attributes.
pub const PACKET_ATTR_COUNT: usize = 15;

impl PacketAttr {
    /// Every attribute, in the order of their numbers.
    pub const ALL: [PacketAttr; PACKET_ATTR_COUNT] = [
        PacketAttr::Protocol,
        PacketAttr::TcpFlags,
        PacketAttr::IpMarks,
        PacketAttr::TransportMarks,
        PacketAttr::Ttl,
        PacketAttr::SourcePort,
        PacketAttr::DestinationPort,
        PacketAttr::Length,
        PacketAttr::Window,
        PacketAttr::Options,
        PacketAttr::Mss,
        PacketAttr::Id,
        PacketAttr::Sequence,
        PacketAttr::Payload,
        PacketAttr::Destination,
    ];

    /// How many values it can have: 256 or 65,536.
    pub const fn values(self) -> u32 {
        if (self as u8) <= PacketAttr::Ttl as u8 { 1 << 8 } else { 1 << 16 }
    }

    /// The attribute in an operator's words.
    pub const fn words(self) -> &'static str {
        match self {
            PacketAttr::Protocol => "protocol",
            PacketAttr::TcpFlags => "TCP flags",
            PacketAttr::IpMarks => "IP header",
            PacketAttr::TransportMarks => "transport header",
            PacketAttr::Ttl => "TTL",
            PacketAttr::SourcePort => "source port",
            PacketAttr::DestinationPort => "destination port",
            PacketAttr::Length => "length",
            PacketAttr::Window => "TCP window",
            PacketAttr::Options => "TCP options",
            PacketAttr::Mss => "TCP segment size",
            PacketAttr::Id => "IP identification",
            PacketAttr::Sequence => "TCP sequence number",
            PacketAttr::Payload => "first payload bytes",
            PacketAttr::Destination => "destination address",
        }
    }
}

/// Bits of [`PacketAttr::IpMarks`].
#[allow(non_snake_case, missing_docs)]
pub mod IpMark {
    /// More fragments follow and this is the first.
    pub const FIRST_FRAGMENT: u8 = 0x01;
    /// A fragment that is not the first: it carries no ports.
    pub const LATER_FRAGMENT: u8 = 0x02;
    /// IPv4 "do not fragment".
    pub const DONT_FRAGMENT: u8 = 0x04;
    /// IPv4 with identification 0.
    pub const ID_ZERO: u8 = 0x08;
    /// IPv4 options, or IPv6 extension headers.
    pub const OPTIONS: u8 = 0x10;
    /// GRE, IP-in-IP or IPv6-in-IP: recognised, not looked into.
    pub const TUNNEL: u8 = 0x20;
    /// IPv6.
    pub const V6: u8 = 0x40;
    /// IPv4 with the reserved bit set (RFC 3514 had a joke about it; nobody sends it).
    pub const RESERVED: u8 = 0x80;
}

/// Bits of [`PacketAttr::TransportMarks`].
#[allow(non_snake_case, missing_docs)]
pub mod TransportMark {
    /// Belongs to a conversation that this side takes part in: a TCP socket other than a listener,
    /// or an answer to a datagram sent from here lately. Set by who knows, not by the parser.
    pub const SOLICITED: u8 = 0x01;
    /// TCP whose sequence number is a multiple of 65,536.
    pub const SEQUENCE_LOW_ZERO: u8 = 0x02;
    /// TCP whose acknowledgement number is 0.
    pub const ACK_ZERO: u8 = 0x04;
    /// Source and destination port are the same.
    pub const SAME_PORT: u8 = 0x08;
    /// There is a payload behind the transport header.
    pub const PAYLOAD: u8 = 0x10;
    /// TCP or UDP from a port below 1,024.
    pub const LOW_SOURCE_PORT: u8 = 0x20;
    /// The transport header is shorter than its minimum, or contradicts itself.
    pub const CUT: u8 = 0x40;
}

/// TCP flags as they stand in the header (RFC 9293 § 3.1).
#[allow(non_snake_case, missing_docs)]
pub mod TcpFlag {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;
}

/// Ports from here on are chosen by the sender's system (Linux: 32,768 and up); below, a port names
/// a service, known or not.
pub const EPHEMERAL_PORT_MIN: u16 = 32_768;

/// Kinds of packets that are counted apart (`enum fw_class` in bpf/abi.h).
#[derive(
    Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum PacketClass {
    /// Neither IPv4 nor IPv6, or not readable.
    #[default]
    NotIp,
    /// TCP with SYN and without ACK and RST.
    Syn,
    /// TCP with SYN and ACK.
    SynAck,
    /// TCP with RST.
    Rst,
    /// TCP with FIN, without SYN and RST.
    Fin,
    /// TCP with ACK, without SYN, RST, FIN and payload.
    Ack,
    /// TCP with ACK and payload, without SYN, RST, FIN.
    Data,
    /// Any other TCP: no flags at all, or PSH or URG alone.
    TcpOdd,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// A fragment that is not the first.
    Fragment,
    /// Any other protocol.
    Other,
}

/// Number of classes.
pub const PACKET_CLASS_COUNT: usize = 12;

impl PacketClass {
    /// Every class, in the order of their numbers.
    pub const ALL: [PacketClass; PACKET_CLASS_COUNT] = [
        PacketClass::NotIp,
        PacketClass::Syn,
        PacketClass::SynAck,
        PacketClass::Rst,
        PacketClass::Fin,
        PacketClass::Ack,
        PacketClass::Data,
        PacketClass::TcpOdd,
        PacketClass::Udp,
        PacketClass::Icmp,
        PacketClass::Fragment,
        PacketClass::Other,
    ];

    /// The class in an operator's words.
    pub const fn words(self) -> &'static str {
        match self {
            PacketClass::NotIp => "not IP",
            PacketClass::Syn => "SYN",
            PacketClass::SynAck => "SYN-ACK",
            PacketClass::Rst => "RST",
            PacketClass::Fin => "FIN",
            PacketClass::Ack => "ACK",
            PacketClass::Data => "TCP data",
            PacketClass::TcpOdd => "odd TCP",
            PacketClass::Udp => "UDP",
            PacketClass::Icmp => "ICMP",
            PacketClass::Fragment => "later fragments",
            PacketClass::Other => "other protocols",
        }
    }
}

/// What is known of one packet. Host byte order.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct PacketFacts {
    /// Who sent it, or claims to have.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Which kind of packet.
    pub class: PacketClass,
    /// The values, indexed by [`PacketAttr`].
    pub values: [u16; PACKET_ATTR_COUNT],
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP acknowledgement number.
    pub acknowledgement: u32,
    /// Bytes of the link-layer frame, for counting volume.
    pub frame_bytes: u32,
}

impl PacketFacts {
    /// One value.
    pub fn value(&self, attr: PacketAttr) -> u16 {
        self.values[attr as usize]
    }

    /// Whether the packet belongs to a conversation of ours.
    pub fn solicited(&self) -> bool {
        self.value(PacketAttr::TransportMarks) & u16::from(TransportMark::SOLICITED) != 0
    }

    /// Notes that it does.
    pub fn set_solicited(&mut self) {
        self.values[PacketAttr::TransportMarks as usize] |= u16::from(TransportMark::SOLICITED);
    }
}

/// Folds 32 bits to 16: 0 stays 0, and nothing else becomes 0. The high half of the product with
/// 2^32/φ (Knuth, The Art of Computer Programming 3, § 6.4), or 1.
pub const fn fold16(value: u32) -> u16 {
    if value == 0 {
        return 0;
    }
    let high = (value.wrapping_mul(0x9e37_79b1) >> 16) as u16;
    if high == 0 { 1 } else { high }
}

/// One step of the fold over the kinds of TCP options in the order sent, from 0; no-operations
/// included, end of list excluded. Never 0.
pub const fn fold_option(folded: u16, kind: u8) -> u16 {
    fold16(((folded as u32) << 8) + kind as u32 + 1)
}

/// The fold of the first eight payload bytes, as two big-endian words, missing bytes 0. Never 0.
pub const fn fold_payload(first: u32, second: u32) -> u16 {
    fold16((first ^ second.wrapping_mul(0x85eb_ca6b)) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernels_dimensions() {
        for (number, attr) in PacketAttr::ALL.iter().enumerate() {
            assert_eq!(*attr as usize, number);
        }
        assert_eq!(PacketAttr::Ttl.values(), 256);
        assert_eq!(PacketAttr::SourcePort.values(), 65_536);
        for (number, class) in PacketClass::ALL.iter().enumerate() {
            assert_eq!(*class as usize, number);
        }
    }

    #[test]
    fn only_nothing_folds_to_nothing() {
        assert_eq!(fold16(0), 0);
        for value in (1..=u32::MAX).step_by(65_521) {
            assert_ne!(fold16(value), 0, "{value}");
        }
    }
}
