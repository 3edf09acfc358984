//! The oracle: what etherparse, written by others in another language, makes of the same bytes.
//! It is asked leniently (LaxSlicedPacket), as a recording may have cut the end of a packet.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TcpOptionElement, TransportSlice};
use floodwall_model::packet::{IpMark, PacketAttr, TransportMark, fold16};
use floodwall_xdp::host::ParsedPacket;

use super::captures::Link;

/// How the two opinions compare on a packet that the C parser accepts.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Opinion {
    /// The same in everything that both say.
    Agreed,
    /// etherparse says less, for this reason. The reasons are a closed list; see `less`.
    SaysLess(&'static str),
    /// etherparse looks further than the filter wants to, for this reason; see `more`.
    SaysMore(&'static str),
    /// They contradict each other.
    Contradicts(String),
}

macro_rules! same {
    ($what:literal, $ours:expr, $theirs:expr) => {
        let (ours, theirs) = ($ours, $theirs);
        if ours != theirs {
            return Opinion::Contradicts(format!("{}: {ours:?}, etherparse {theirs:?}", $what));
        }
    };
}

/// Compares.
pub(crate) fn compare(link: Link, bytes: &[u8], parsed: &ParsedPacket) -> Opinion {
    let sliced = match link {
        Link::Ethernet => LaxSlicedPacket::from_ethernet(bytes).ok(),
        _ => LaxSlicedPacket::from_ip(bytes).ok(),
    };
    let Some(sliced) = sliced else { return Opinion::SaysLess("no IP header") };
    let facts = &parsed.facts;
    let value = |attr| facts.value(attr);
    let marks = value(PacketAttr::IpMarks);
    let has = |mark: u8| marks & u16::from(mark) != 0;
    match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            same!("source", facts.source, header.source_addr());
            same!("destination", facts.destination, header.destination_addr());
            same!("protocol", value(PacketAttr::Protocol), u16::from(header.protocol().0));
            same!("TTL", value(PacketAttr::Ttl), u16::from(header.ttl()));
            same!("length", value(PacketAttr::Length), header.total_len());
            same!("identification", value(PacketAttr::Id), header.identification());
            same!("do not fragment", has(IpMark::DONT_FRAGMENT), header.dont_fragment());
            same!("options", has(IpMark::OPTIONS), !header.options().is_empty());
            let later = header.fragments_offset().value() != 0;
            same!("later fragment", has(IpMark::LATER_FRAGMENT), later);
            let first = header.more_fragments() && !later;
            same!("first fragment", has(IpMark::FIRST_FRAGMENT), first);
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            if misreads_fragment(bytes.get(usize::from(parsed.l3_offset)..).unwrap_or_default()) {
                return Opinion::SaysLess("it misreads the low bits of an IPv6 fragment header");
            }
            let header = ip.header();
            same!("source", facts.source, header.source_addr());
            same!("destination", facts.destination, header.destination_addr());
            same!("TTL", value(PacketAttr::Ttl), u16::from(header.hop_limit()));
            if sliced.stop_err.is_none() && !has(IpMark::LATER_FRAGMENT) {
                let theirs = u16::from(ip.payload().ip_number.0);
                if value(PacketAttr::Protocol) != theirs && theirs_is_further(facts, theirs) {
                    return Opinion::SaysMore("more IPv6 extension headers than are walked");
                }
                same!("protocol", value(PacketAttr::Protocol), theirs);
                let fragment = has(IpMark::FIRST_FRAGMENT);
                same!("fragment", fragment, ip.payload().fragmented);
            }
        }
        _ => return less(&sliced),
    }
    transport(bytes, parsed, &sliced)
}

/// RFC 8200 § 4.5: the low byte is five bits of offset, two reserved, one "more fragments".
/// etherparse 0.19 (Ipv6FragmentHeaderSlice::is_fragmenting_payload) takes them in the other order,
/// so that it takes reserved bits for a fragment, and small offsets for none.
///
/// The headers are walked here, since Ipv6ExtensionsSlice's own iterator, of a lenient slice whose
/// chain is broken, reads beyond the slice (a debug build aborts in get_unchecked).
fn misreads_fragment(packet: &[u8]) -> bool {
    let (mut kind, mut at) = (packet.get(6).copied(), 40);
    while let Some(protocol @ (0 | 43 | 44 | 51 | 60)) = kind {
        let Some(&[next, length, high, low]) = packet.get(at..at + 4) else { return false };
        let misread = high == 0 && (low & 0x9f != 0) != (low & 0xf9 != 0);
        if protocol == 44 && misread {
            return true;
        }
        at += match protocol {
            44 => 8,
            51 => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        kind = Some(next);
    }
    false
}

/// Whether the C parser stopped at an extension header, as it does after six and behind the first
/// header of a later fragment.
fn theirs_is_further(facts: &floodwall_model::packet::PacketFacts, theirs: u16) -> bool {
    let is_extension = |protocol| [0, 43, 44, 51, 60].contains(&protocol);
    is_extension(facts.value(PacketAttr::Protocol)) && !is_extension(theirs)
}

fn transport(bytes: &[u8], parsed: &ParsedPacket, sliced: &LaxSlicedPacket<'_>) -> Opinion {
    let facts = &parsed.facts;
    let value = |attr| facts.value(attr);
    let cut = value(PacketAttr::TransportMarks) & u16::from(TransportMark::CUT) != 0;
    let offset = |part: &[u8]| Some((part.as_ptr() as usize - bytes.as_ptr() as usize) as u16);
    let Some(theirs) = &sliced.transport else {
        return if parsed.l4_offset.is_some() { less(sliced) } else { Opinion::Agreed };
    };
    if parsed.l4_offset.is_none() {
        return more(parsed, sliced, cut);
    }
    match theirs {
        TransportSlice::Tcp(tcp) => {
            same!("transport offset", parsed.l4_offset, offset(tcp.slice()));
            same!("source port", value(PacketAttr::SourcePort), tcp.source_port());
            same!("destination port", value(PacketAttr::DestinationPort), tcp.destination_port());
            same!("flags", value(PacketAttr::TcpFlags), u16::from(tcp.slice()[13]));
            same!("window", value(PacketAttr::Window), tcp.window_size());
            same!("sequence", facts.sequence, tcp.sequence_number());
            same!("acknowledgement", facts.acknowledgement, tcp.acknowledgment_number());
            same!("payload offset", parsed.payload_offset, offset(tcp.payload()));
            return options(parsed, tcp.options_iterator());
        }
        TransportSlice::Udp(udp) => {
            same!("transport offset", parsed.l4_offset, offset(udp.slice()));
            same!("source port", value(PacketAttr::SourcePort), udp.source_port());
            same!("destination port", value(PacketAttr::DestinationPort), udp.destination_port());
            same!("payload offset", parsed.payload_offset, offset(udp.payload()));
        }
        // Of some kinds etherparse takes more than the eight bytes that all have for header, so
        // only the start of the message is compared.
        TransportSlice::Icmpv4(icmp) => {
            same!("transport offset", parsed.l4_offset, offset(icmp.slice()));
            same!("type", value(PacketAttr::SourcePort), u16::from(icmp.type_u8()));
            same!("code", value(PacketAttr::DestinationPort), u16::from(icmp.code_u8()));
        }
        TransportSlice::Icmpv6(icmp) => {
            same!("transport offset", parsed.l4_offset, offset(icmp.slice()));
            same!("type", value(PacketAttr::SourcePort), u16::from(icmp.type_u8()));
            same!("code", value(PacketAttr::DestinationPort), u16::from(icmp.code_u8()));
        }
    }
    Opinion::Agreed
}

/// The segment size and the fold of the kinds, as far as etherparse knows the options.
fn options(parsed: &ParsedPacket, elements: etherparse::TcpOptionsIterator<'_>) -> Opinion {
    let (mut folded, mut mss) = (0u16, 0);
    for element in elements {
        let kind: u32 = match element {
            Ok(TcpOptionElement::Noop) => 1,
            Ok(TcpOptionElement::MaximumSegmentSize(size)) => {
                mss = size;
                2
            }
            Ok(TcpOptionElement::WindowScale(_)) => 3,
            Ok(TcpOptionElement::SelectiveAcknowledgementPermitted) => 4,
            Ok(TcpOptionElement::SelectiveAcknowledgement(..)) => 5,
            Ok(TcpOptionElement::Timestamp(..)) => 8,
            Err(_) => return Opinion::SaysLess("a TCP option that it does not know or refuses"),
        };
        folded = fold16((u32::from(folded) << 8) + kind + 1);
    }
    same!("options", parsed.facts.value(PacketAttr::Options), folded);
    same!("segment size", parsed.facts.value(PacketAttr::Mss), mss);
    Opinion::Agreed
}

/// Why etherparse has no transport header where the C parser read one.
fn less(sliced: &LaxSlicedPacket<'_>) -> Opinion {
    let fragmented =
        sliced.net.as_ref().and_then(|net| net.ip_payload_ref()).is_some_and(|p| p.fragmented);
    if fragmented {
        // The first fragment has the ports; a flood of fragments is told by them.
        return Opinion::SaysLess("it looks into no fragment, not even the first");
    }
    match &sliced.stop_err {
        Some((error, layer)) => Opinion::SaysLess(reason(&format!("{layer}: {error}"))),
        None => Opinion::Contradicts("etherparse finds no transport header and no fault".into()),
    }
}

/// The complaints of etherparse that a packet accepted here may meet, each with why it is accepted.
fn reason(complaint: &str) -> &'static str {
    let known: &[(&str, &str)] = &[
        // The fixed header is all there and is read; the packet is marked CUT and sanity drops it.
        ("data offset", "TCP data offset below its minimum (marked CUT)"),
        ("TCP", "TCP data offset beyond the packet (marked CUT)"),
        // RFC 8200 § 4.1 wants it first. The stack drops such packets (ipv6_hop_jumbo and
        // ip6_input_finish in net/ipv6); until then nobody is harmed by knowing the ports.
        ("hop-by-hop", "hop-by-hop header not first"),
        // Eight bytes are all that each kind has for certain; etherparse wants a timestamp's 20.
        ("ICMP", "ICMP timestamp shorter than 20 bytes"),
        // RFC 4302 § 2.2; etherparse refuses length 0, for which the stack's own walk has no rule.
        ("uthentication", "authentication header of length 0"),
        ("UDP", "UDP length below its header (marked CUT)"),
    ];
    known.iter().find(|(part, _)| complaint.contains(part)).map_or_else(
        || &*Box::leak(format!("UNEXPECTED {complaint}").into_boxed_str()),
        |(_, why)| why,
    )
}

/// Why etherparse has a transport header where the C parser has none.
fn more(parsed: &ParsedPacket, sliced: &LaxSlicedPacket<'_>, cut: bool) -> Opinion {
    let protocol = parsed.facts.value(PacketAttr::Protocol);
    match &sliced.net {
        // In IPv4 only hosts with IPsec between them send it, and nobody filters these by ports.
        Some(LaxNetSlice::Ipv4(_)) if protocol == 51 => {
            Opinion::SaysMore("behind an authentication header in IPv4")
        }
        // The stack trims such a packet to its bare header (ip6_rcv_core).
        Some(LaxNetSlice::Ipv6(ip)) if ip.header().payload_length() == 0 && cut => {
            Opinion::SaysMore("IPv6 payload length 0 without hop-by-hop header, taken to the end")
        }
        _ => Opinion::Contradicts(format!(
            "etherparse alone reads a transport header, protocol {protocol}, cut {cut}"
        )),
    }
}
