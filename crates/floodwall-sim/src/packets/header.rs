//! From header fields to [`PacketFacts`], by the definitions of floodwall_model::packet.
//!
//! It must never set [`TransportMark::SOLICITED`]: a header does not say it.

use std::net::IpAddr;

use floodwall_model::packet::{
    IpMark, PACKET_ATTR_COUNT, PacketAttr, PacketClass, PacketFacts, TcpFlag, TransportMark,
    fold_option, fold_payload, fold16,
};

/// Bytes of an Ethernet header.
const ETHERNET_BYTES: u32 = 14;
/// Shortest Ethernet frame without its check sequence (IEEE 802.3 § 3.2.8).
const FRAME_BYTES_MIN: u32 = 60;

/// Which part of a datagram a packet is.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Fragment {
    /// All of it.
    #[default]
    Whole,
    /// Its beginning.
    First,
    /// Another part: no ports.
    Later,
}

/// The fields of an IP header that packets differ in.
#[derive(Copy, Clone, Debug)]
pub struct IpHeader {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Time to live or hop limit, as it arrives.
    pub ttl: u8,
    /// IPv4 identification; not used for IPv6.
    pub id: u16,
    /// IPv4 "do not fragment"; not used for IPv6.
    pub dont_fragment: bool,
    /// Which part of a datagram.
    pub fragment: Fragment,
}

/// Payload of a transport: how long, and how it begins.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Payload {
    /// Length, bytes.
    pub bytes: u16,
    /// Its first eight bytes; those beyond `bytes` are ignored.
    pub first: [u8; 8],
}

impl Payload {
    /// No payload.
    pub const NONE: Payload = Payload { bytes: 0, first: [0; 8] };

    /// Of this length, beginning like this.
    pub fn new(bytes: u16, first: [u8; 8]) -> Payload {
        Payload { bytes, first }
    }

    fn fold(self) -> u16 {
        if self.bytes == 0 {
            return 0;
        }
        let mut first = u64::from_be_bytes(self.first);
        if self.bytes < 8 {
            first &= !(u64::MAX >> (8 * self.bytes));
        }
        fold_payload((first >> 32) as u32, first as u32)
    }
}

/// The fields of a TCP header.
#[derive(Copy, Clone, Debug)]
pub struct TcpHeader<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags ([`TcpFlag`]).
    pub flags: u8,
    /// Window as sent.
    pub window: u16,
    /// Kinds of the options in order (IANA's numbers), without the end of the list.
    pub options: &'a [u8],
    /// Value of the segment size option; 0 without one.
    pub mss: u16,
    /// What it carries.
    pub payload: Payload,
}

/// Fold of TCP option kinds in the order sent; 0 for none.
fn fold_options(kinds: &[u8]) -> u16 {
    kinds.iter().fold(0, |folded, kind| fold_option(folded, *kind))
}

/// Bytes that these options take in the header, padded to a multiple of four.
fn option_bytes(kinds: &[u8]) -> u32 {
    let bytes: u32 = kinds
        .iter()
        .map(|kind| match kind {
            1 => 1,
            2 => 4,
            3 => 3,
            4 => 2,
            // One SACK block.
            5 | 8 => 10,
            _ => 2,
        })
        .sum();
    bytes.div_ceil(4) * 4
}

impl IpHeader {
    /// A whole packet with "do not fragment".
    pub fn new(source: IpAddr, destination: IpAddr, ttl: u8, id: u16) -> IpHeader {
        let fragment = Fragment::Whole;
        IpHeader { source, destination, ttl, id, dont_fragment: true, fragment }
    }

    /// A TCP segment.
    pub fn tcp(&self, tcp: &TcpHeader<'_>) -> PacketFacts {
        let length = 20 + option_bytes(tcp.options) + u32::from(tcp.payload.bytes);
        let mut facts = self.facts(6, length);
        let mut marks = port_marks(tcp.source_port, tcp.destination_port, tcp.payload);
        if tcp.sequence & 0xffff == 0 {
            marks |= TransportMark::SEQUENCE_LOW_ZERO;
        }
        if tcp.acknowledgement == 0 {
            marks |= TransportMark::ACK_ZERO;
        }
        facts.class = tcp_class(tcp.flags, tcp.payload.bytes);
        facts.sequence = tcp.sequence;
        facts.acknowledgement = tcp.acknowledgement;
        for (attr, value) in [
            (PacketAttr::TcpFlags, u16::from(tcp.flags)),
            (PacketAttr::TransportMarks, u16::from(marks)),
            (PacketAttr::SourcePort, tcp.source_port),
            (PacketAttr::DestinationPort, tcp.destination_port),
            (PacketAttr::Window, tcp.window),
            (PacketAttr::Options, fold_options(tcp.options)),
            (PacketAttr::Mss, tcp.mss),
            (PacketAttr::Sequence, fold16(tcp.sequence)),
            (PacketAttr::Payload, tcp.payload.fold()),
        ] {
            facts.values[attr as usize] = value;
        }
        facts
    }

    /// A UDP datagram, or its first fragment when `self.fragment` says so.
    pub fn udp(&self, source_port: u16, destination_port: u16, payload: Payload) -> PacketFacts {
        let mut facts = self.facts(17, 8 + u32::from(payload.bytes));
        facts.class = PacketClass::Udp;
        let marks = port_marks(source_port, destination_port, payload);
        facts.values[PacketAttr::TransportMarks as usize] = u16::from(marks);
        facts.values[PacketAttr::SourcePort as usize] = source_port;
        facts.values[PacketAttr::DestinationPort as usize] = destination_port;
        facts.values[PacketAttr::Payload as usize] = payload.fold();
        facts
    }

    /// An ICMP message (ICMPv6 over IPv6) of `bytes` in all.
    pub fn icmp(&self, kind: u8, code: u8, bytes: u16) -> PacketFacts {
        let protocol = if self.destination.is_ipv6() { 58 } else { 1 };
        let mut facts = self.facts(protocol, u32::from(bytes.max(8)));
        facts.class = PacketClass::Icmp;
        facts.values[PacketAttr::SourcePort as usize] = u16::from(kind);
        facts.values[PacketAttr::DestinationPort as usize] = u16::from(code);
        facts
    }

    /// A later fragment with `bytes` of a datagram of this protocol.
    pub fn later_fragment(&self, protocol: u8, bytes: u16) -> PacketFacts {
        let mut header = *self;
        header.fragment = Fragment::Later;
        let mut facts = header.facts(protocol, u32::from(bytes));
        facts.class = PacketClass::Fragment;
        facts
    }

    /// Any other protocol with `bytes` behind the IP header.
    pub fn other(&self, protocol: u8, bytes: u16) -> PacketFacts {
        self.facts(protocol, u32::from(bytes))
    }

    fn facts(&self, protocol: u8, bytes: u32) -> PacketFacts {
        let v6 = self.destination.is_ipv6();
        let extension = if v6 && self.fragment != Fragment::Whole { 8 } else { 0 };
        let length = bytes + extension + if v6 { 40 } else { 20 };
        let mut values = [0; PACKET_ATTR_COUNT];
        values[PacketAttr::Protocol as usize] = u16::from(protocol);
        values[PacketAttr::IpMarks as usize] = u16::from(self.marks(protocol));
        values[PacketAttr::Ttl as usize] = u16::from(self.ttl);
        values[PacketAttr::Length as usize] = length.min(65_535) as u16;
        values[PacketAttr::Id as usize] = if v6 { 0 } else { self.id };
        values[PacketAttr::Destination as usize] = fold_address(self.destination);
        PacketFacts {
            source: self.source,
            destination: self.destination,
            class: PacketClass::Other,
            values,
            sequence: 0,
            acknowledgement: 0,
            frame_bytes: (length + ETHERNET_BYTES).max(FRAME_BYTES_MIN),
        }
    }

    fn marks(&self, protocol: u8) -> u8 {
        let mut marks = match self.fragment {
            Fragment::Whole => 0,
            Fragment::First => IpMark::FIRST_FRAGMENT,
            Fragment::Later => IpMark::LATER_FRAGMENT,
        };
        if self.destination.is_ipv6() {
            marks |= IpMark::V6;
            if self.fragment != Fragment::Whole {
                marks |= IpMark::OPTIONS;
            }
        } else {
            if self.dont_fragment && self.fragment == Fragment::Whole {
                marks |= IpMark::DONT_FRAGMENT;
            }
            if self.id == 0 {
                marks |= IpMark::ID_ZERO;
            }
        }
        if matches!(protocol, 4 | 41 | 47) {
            marks |= IpMark::TUNNEL;
        }
        marks
    }
}

/// A frame that is not IP (ARP and the like).
pub fn not_ip(source: IpAddr, destination: IpAddr) -> PacketFacts {
    PacketFacts {
        source,
        destination,
        class: PacketClass::NotIp,
        values: [0; PACKET_ATTR_COUNT],
        sequence: 0,
        acknowledgement: 0,
        frame_bytes: FRAME_BYTES_MIN,
    }
}

fn port_marks(source_port: u16, destination_port: u16, payload: Payload) -> u8 {
    let mut marks = 0;
    if source_port == destination_port {
        marks |= TransportMark::SAME_PORT;
    }
    if payload.bytes > 0 {
        marks |= TransportMark::PAYLOAD;
    }
    if source_port < 1_024 {
        marks |= TransportMark::LOW_SOURCE_PORT;
    }
    marks
}

fn tcp_class(flags: u8, payload_bytes: u16) -> PacketClass {
    let has = |bit| flags & bit != 0;
    match () {
        () if has(TcpFlag::RST) => PacketClass::Rst,
        () if has(TcpFlag::SYN) && has(TcpFlag::ACK) => PacketClass::SynAck,
        () if has(TcpFlag::SYN) => PacketClass::Syn,
        () if has(TcpFlag::FIN) => PacketClass::Fin,
        () if has(TcpFlag::ACK) && payload_bytes > 0 => PacketClass::Data,
        () if has(TcpFlag::ACK) => PacketClass::Ack,
        () => PacketClass::TcpOdd,
    }
}

fn fold_address(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(v4) => fold16(u32::from(v4)),
        IpAddr::V6(v6) => {
            // `fw_fold_address_v6` in bpf/parse.h.
            let bits = u128::from(v6);
            let word =
                |at: u32, factor: u32| ((bits >> (96 - 32 * at)) as u32).wrapping_mul(factor);
            fold16(word(0, 1) ^ word(1, 0x85eb_ca6b) ^ word(2, 0xc2b2_ae35) ^ word(3, 0x27d4_eb2f))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linux_syn_is_sixty_bytes_long_and_carries_its_marks() {
        let ip = IpHeader::new([198, 51, 100, 7].into(), [192, 0, 2, 1].into(), 52, 0);
        let syn = ip.tcp(&TcpHeader {
            source_port: 40_000,
            destination_port: 443,
            sequence: 0x0001_0000,
            acknowledgement: 0,
            flags: TcpFlag::SYN,
            window: 64_240,
            options: &[2, 4, 8, 1, 3],
            mss: 1_460,
            payload: Payload::NONE,
        });
        assert_eq!(syn.class, PacketClass::Syn);
        assert_eq!(syn.value(PacketAttr::Length), 60);
        let marks = TransportMark::SEQUENCE_LOW_ZERO | TransportMark::ACK_ZERO;
        assert_eq!(syn.value(PacketAttr::TransportMarks), u16::from(marks));
        assert_eq!(
            syn.value(PacketAttr::IpMarks),
            u16::from(IpMark::DONT_FRAGMENT | IpMark::ID_ZERO)
        );
        assert_eq!(syn.frame_bytes, 74);
    }

    #[test]
    fn folds_tell_orders_and_beginnings_apart_and_nothing_from_something() {
        assert_eq!(fold_options(&[]), 0);
        assert_ne!(fold_options(&[2, 4, 8, 1, 3]), fold_options(&[2, 1, 3, 1, 1, 4]));
        let fold = |bytes, first: &[u8; 8]| Payload::new(bytes, *first).fold();
        assert_eq!(fold(0, b"GET / HT"), 0);
        assert_ne!(fold(1, &[0; 8]), 0);
        assert_eq!(fold(900, b"GET / HT"), fold(8, b"GET / HT"));
        assert_eq!(fold(3, b"GET / HT"), fold(3, b"GET\0\0\0\0\0"));
        assert_ne!(fold(3, b"GET / HT"), fold(4, b"GET / HT"));
    }

    #[test]
    fn later_fragments_have_no_ports() {
        let ip = IpHeader::new([198, 51, 100, 7].into(), [192, 0, 2, 1].into(), 52, 9);
        let facts = ip.later_fragment(17, 700);
        assert_eq!(facts.class, PacketClass::Fragment);
        assert_eq!(facts.value(PacketAttr::IpMarks), u16::from(IpMark::LATER_FRAGMENT));
        assert_eq!(facts.value(PacketAttr::Length), 720);
    }
}
