//! The closed list of what sanity may drop of recorded honest traffic, told from the bytes by a
//! reading of its own: docs/decisions/0008-kernel-filter.md says why no honest stack sends each.
//!
//! A kind is named by what the packet is and never by where it was recorded. What is of no kind was
//! dropped wrongly, or the list and the document lack a justification.

use std::net::Ipv4Addr;

/// The kinds, as the document names them, each with the reason that the filter gives.
pub const KINDS: [(&str, &str); 11] = [
    ("martian_source", "from a loopback address, over a wire"),
    ("martian_source", "from a multicast address"),
    ("martian_source", "from network 0, with a host"),
    ("martian_source", "from 0.0.0.0 to somebody beyond the link"),
    ("impossible_flags", "TCP with two of SYN, FIN and RST"),
    ("impossible_flags", "TCP without SYN, RST and ACK"),
    ("port_zero", "TCP or UDP to port 0"),
    ("header_too_short", "TCP whose header length contradicts the packet"),
    ("header_too_short", "UDP whose length contradicts the packet"),
    ("header_too_short", "a packet with less than a transport header in it"),
    ("header_too_short", "a first fragment shorter than any link's, inside its TCP header"),
];

/// The kind of the Ethernet frame that was dropped for `reason`; `None`: of none.
pub fn kind(reason: &str, frame: &[u8]) -> Option<&'static str> {
    let ip = Ip::read(frame)?;
    let name = match reason {
        "martian_source" => martian(&ip)?,
        "impossible_flags" => flags(&ip)?,
        "port_zero" => {
            let to_zero = ip.word(2) == Some(0) && matches!(ip.protocol, 6 | 17);
            to_zero.then_some("TCP or UDP to port 0")?
        }
        "header_too_short" => too_short(&ip)?,
        _ => return None,
    };
    // A name that is not on the list is no kind.
    KINDS.iter().find(|(of, known)| *of == reason && *known == name).map(|(_, known)| *known)
}

struct Ip<'a> {
    source: Option<Ipv4Addr>,
    destination: Option<Ipv4Addr>,
    protocol: u8,
    total_bytes: usize,
    is_first_fragment: bool,
    /// What is behind the IP header, as long as that says, as far as it was recorded.
    body: &'a [u8],
    /// As long as the IP header says.
    body_bytes: usize,
}

impl<'a> Ip<'a> {
    fn read(frame: &'a [u8]) -> Option<Ip<'a>> {
        let mut at = 12;
        while matches!(number(frame, at)?, 0x8100 | 0x88a8) {
            at += 4;
        }
        let packet = frame.get(at + 2..)?;
        match packet.first()? >> 4 {
            4 => Ip::read_v4(packet),
            6 => Ip::read_v6(packet),
            _ => None,
        }
    }

    fn read_v4(packet: &'a [u8]) -> Option<Ip<'a>> {
        let header = usize::from(packet[0] & 15) * 4;
        let total_bytes = number(packet, 2)?;
        let address = |at: usize| -> Option<Ipv4Addr> {
            Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?))
        };
        let fragment = number(packet, 6)?;
        let end = total_bytes.min(packet.len());
        Some(Ip {
            source: address(12),
            destination: address(16),
            protocol: *packet.get(9)?,
            total_bytes,
            is_first_fragment: fragment & 0x3fff == 0x2000,
            body: packet.get(header..end)?,
            body_bytes: total_bytes.checked_sub(header)?,
        })
    }

    fn read_v6(packet: &'a [u8]) -> Option<Ip<'a>> {
        let mut ip = Ip {
            source: None,
            destination: None,
            protocol: *packet.get(6)?,
            total_bytes: number(packet, 4)? + 40,
            is_first_fragment: false,
            body: packet.get(40..)?,
            body_bytes: number(packet, 4)?,
        };
        // Hop-by-hop, routing, fragment and destination options (RFC 8200 § 4).
        while matches!(ip.protocol, 0 | 43 | 44 | 60) {
            let bytes = if ip.protocol == 44 { 8 } else { (usize::from(*ip.body.get(1)?) + 1) * 8 };
            ip.is_first_fragment |= ip.protocol == 44 && number(ip.body, 2)? & 0xfff9 == 1;
            ip.protocol = *ip.body.first()?;
            ip.body = ip.body.get(bytes..)?;
            ip.body_bytes = ip.body_bytes.checked_sub(bytes)?;
        }
        Some(ip)
    }

    fn word(&self, at: usize) -> Option<usize> {
        number(self.body, at)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let two = bytes.get(at..at + 2)?;
    Some(usize::from(two[0]) << 8 | usize::from(two[1]))
}

fn martian(ip: &Ip<'_>) -> Option<&'static str> {
    let (source, destination) = (ip.source?, ip.destination?);
    let for_the_link =
        destination == Ipv4Addr::BROADCAST || destination.octets()[..3] == [224, 0, 0];
    match source.octets() {
        [127, ..] if !destination.is_loopback() => Some("from a loopback address, over a wire"),
        [224..=239, ..] => Some("from a multicast address"),
        [0, 0, 0, 0] if !for_the_link && ip.protocol != 2 => {
            Some("from 0.0.0.0 to somebody beyond the link")
        }
        [0, ..] if !source.is_unspecified() => Some("from network 0, with a host"),
        _ => None,
    }
}

fn flags(ip: &Ip<'_>) -> Option<&'static str> {
    let flags = *ip.body.get(13).filter(|_| ip.protocol == 6)?;
    let (fin, syn, rst, ack) = (flags & 1, flags & 2, flags & 4, flags & 16);
    if [fin, syn, rst].iter().filter(|bit| **bit != 0).count() >= 2 {
        Some("TCP with two of SYN, FIN and RST")
    } else if syn | rst | ack == 0 {
        Some("TCP without SYN, RST and ACK")
    } else {
        None
    }
}

fn too_short(ip: &Ip<'_>) -> Option<&'static str> {
    let tcp_header = ip.body.get(12).map(|byte| usize::from(byte >> 4) * 4);
    let in_header = ip.body_bytes < 20 || tcp_header.is_some_and(|header| header > ip.body_bytes);
    if ip.is_first_fragment {
        let short = ip.protocol == 6 && ip.total_bytes < 68 && in_header;
        return short.then_some("a first fragment shorter than any link's, inside its TCP header");
    }
    let least = match ip.protocol {
        6 => 20,
        17 | 1 | 58 => 8,
        _ => return None,
    };
    if ip.body_bytes < least {
        return Some("a packet with less than a transport header in it");
    }
    match ip.protocol {
        6 if tcp_header? < 20 || tcp_header? > ip.body_bytes => {
            Some("TCP whose header length contradicts the packet")
        }
        17 if ip.word(4)? < 8 || ip.word(4)? > ip.body_bytes => {
            Some("UDP whose length contradicts the packet")
        }
        _ => None,
    }
}
