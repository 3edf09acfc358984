//! What a packet is part of: the ports, identifiers and quoted headers that tie packets together
//! into conversations. The tracker (`flows`) decides with this; here bytes are only read.
//!
//! The kernel filter needs none of it: there the sockets know. So it reads bytes that its parser
//! does not look at (echo identifiers, the header quoted in an ICMP error, the IPv6 fragment
//! header), each access bounded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use floodwall_model::packet::{IpMark, PacketAttr, PacketFacts, TransportMark};

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// IPv6 extension headers walked to find one; more than any sender uses, and as a bound.
const EXTENSIONS_MAX: usize = 8;

/// Two ends, in the order of sending, and a protocol. An ICMP echo has its identifier as both ports.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Tuple {
    pub(crate) protocol: u8,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

/// One datagram's fragments have this in common (RFC 791 § 3.2, RFC 8200 § 4.5).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Datagram {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) identification: u32,
    pub(crate) protocol: u8,
}

/// What a packet is part of.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// A TCP connection.
    Tcp(Tuple),
    /// An exchange of UDP datagrams.
    Udp(Tuple),
    /// A question that an echo answers.
    EchoRequest(Tuple),
    /// The answer.
    EchoReply(Tuple),
    /// An error about a packet that went the other way; its ends are those of that packet.
    ErrorAbout(Tuple),
    /// A fragment without ports.
    LaterFragment(Datagram),
    /// Nothing that can be told.
    Alone,
}

/// A packet's place in conversations.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) part: Part,
    /// For a first fragment: of which datagram.
    pub(crate) first_of: Option<Datagram>,
}

/// Finds the place of a packet. `packet` begins with the IP header, `transport` with the transport
/// header (empty if none was read).
pub(crate) fn place(facts: &PacketFacts, packet: &[u8], transport: &[u8]) -> Place {
    let ip_marks = facts.value(PacketAttr::IpMarks) as u8;
    if ip_marks & IpMark::LATER_FRAGMENT != 0 {
        let part = datagram(facts, packet).map_or(Part::Alone, Part::LaterFragment);
        return Place { part, first_of: None };
    }
    let first = ip_marks & IpMark::FIRST_FRAGMENT != 0;
    let first_of = if first { datagram(facts, packet) } else { None };
    Place { part: part(facts, transport), first_of }
}

fn part(facts: &PacketFacts, transport: &[u8]) -> Part {
    if facts.value(PacketAttr::TransportMarks) & u16::from(TransportMark::CUT) != 0 {
        return Part::Alone;
    }
    let protocol = facts.value(PacketAttr::Protocol) as u8;
    let between = |source_port, destination_port| Tuple {
        protocol,
        source: facts.source,
        destination: facts.destination,
        source_port,
        destination_port,
    };
    let ports =
        || between(facts.value(PacketAttr::SourcePort), facts.value(PacketAttr::DestinationPort));
    match protocol {
        TCP => Part::Tcp(ports()),
        UDP => Part::Udp(ports()),
        ICMP | ICMPV6 => {
            let kind = facts.value(PacketAttr::SourcePort) as u8;
            icmp(protocol, kind, transport, between).unwrap_or(Part::Alone)
        }
        _ => Part::Alone,
    }
}

/// RFC 792 and RFC 4443: echoes carry their identifier in bytes 4 and 5, errors quote the packet
/// they are about from byte 8 on.
fn icmp(
    protocol: u8,
    kind: u8,
    transport: &[u8],
    between: impl Fn(u16, u16) -> Tuple,
) -> Option<Part> {
    let echo = || half(transport, 4).map(|identifier| between(identifier, identifier));
    match (protocol, kind) {
        (ICMP, 8) | (ICMPV6, 128) => echo().map(Part::EchoRequest),
        (ICMP, 0) | (ICMPV6, 129) => echo().map(Part::EchoReply),
        (ICMP, 3 | 4 | 5 | 11 | 12) | (ICMPV6, 1..=4) => {
            quoted(transport.get(8..)?).map(Part::ErrorAbout)
        }
        _ => None,
    }
}

/// The conversation of a packet quoted in an error.
fn quoted(packet: &[u8]) -> Option<Tuple> {
    let (protocol, source, destination, transport) = match packet.first()? >> 4 {
        4 => {
            let header_bytes = usize::from(packet.first()? & 0x0f) * 4;
            if half(packet, 6)? & 0x1fff != 0 {
                return None;
            }
            let (source, destination) = (v4(packet, 12)?, v4(packet, 16)?);
            (*packet.get(9)?, source, destination, packet.get(header_bytes.max(20)..)?)
        }
        6 => {
            let Chain { protocol, transport, .. } = chain(packet)?;
            (protocol, v6(packet, 8)?, v6(packet, 24)?, transport)
        }
        _ => return None,
    };
    let (source_port, destination_port) = match protocol {
        TCP | UDP => (half(transport, 0)?, half(transport, 2)?),
        ICMP if transport.first() == Some(&8) => (half(transport, 4)?, half(transport, 4)?),
        ICMPV6 if transport.first() == Some(&128) => (half(transport, 4)?, half(transport, 4)?),
        _ => return None,
    };
    Some(Tuple { protocol, source, destination, source_port, destination_port })
}

fn datagram(facts: &PacketFacts, packet: &[u8]) -> Option<Datagram> {
    let identification = if facts.source.is_ipv6() {
        chain(packet)?.identification?
    } else {
        u32::from(facts.value(PacketAttr::Id))
    };
    Some(Datagram {
        source: facts.source,
        destination: facts.destination,
        identification,
        protocol: facts.value(PacketAttr::Protocol) as u8,
    })
}

/// What stands behind the IPv6 header.
struct Chain<'a> {
    protocol: u8,
    /// Of the fragment header, if there is one.
    identification: Option<u32>,
    transport: &'a [u8],
}

/// Walks the extension headers (RFC 8200 § 4): hop-by-hop, routing, destination options, fragment.
fn chain(packet: &[u8]) -> Option<Chain<'_>> {
    let mut protocol = *packet.get(6)?;
    let mut rest = packet.get(40..)?;
    let mut identification = None;
    for _ in 0..EXTENSIONS_MAX {
        let length_bytes = match protocol {
            44 => {
                let bytes: [u8; 4] = rest.get(4..8)?.try_into().ok()?;
                identification = Some(u32::from_be_bytes(bytes));
                if half(rest, 2)? & 0xfff8 != 0 {
                    // What follows is the middle of the datagram.
                    return Some(Chain {
                        protocol: *rest.first()?,
                        identification,
                        transport: &[],
                    });
                }
                8
            }
            0 | 43 | 60 => usize::from(*rest.get(1)?) * 8 + 8,
            _ => break,
        };
        protocol = *rest.first()?;
        rest = rest.get(length_bytes..)?;
    }
    Some(Chain { protocol, identification, transport: rest })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn v4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

fn v6(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}
