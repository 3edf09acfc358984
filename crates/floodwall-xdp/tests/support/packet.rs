//! Packets said in a sentence: who to whom, what, and what is odd about it. Built byte by byte,
//! without the parser under test; checksums are right where somebody checks them.

use std::net::IpAddr;

use super::frames::{IPV4, IPV6, frame};

/// The number that says an IPv6 fragment header comes next (RFC 8200 § 4.5).
const FRAGMENT_HEADER: u8 = 44;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;

/// A packet before it is bytes.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    body: Vec<u8>,
    ttl: u8,
    id: u16,
    /// Flags and offset as they stand in an IPv4 header.
    fragment: u16,
    pub(crate) tags: Vec<u16>,
}

impl Packet {
    pub(crate) fn new(source: &str, destination: &str, protocol: u8, body: Vec<u8>) -> Packet {
        Packet {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol,
            body,
            ttl: 64,
            id: 1,
            fragment: 0x4000,
            tags: vec![],
        }
    }

    /// TCP without options, from `source` `port` to `destination` `port`.
    pub(crate) fn tcp(from: (&str, u16), to: (&str, u16), flags: u8) -> Packet {
        Packet::tcp_numbered(from, to, flags, 1_000, if flags & ACK != 0 { 2_000 } else { 0 })
    }

    pub(crate) fn tcp_numbered(
        from: (&str, u16),
        to: (&str, u16),
        flags: u8,
        sequence: u32,
        acknowledgement: u32,
    ) -> Packet {
        let mut body = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        body.extend(sequence.to_be_bytes());
        body.extend(acknowledgement.to_be_bytes());
        // A SYN says its segment size, 1,400.
        let options: &[u8] = if flags & SYN != 0 { &[2, 4, 0x05, 0x78] } else { &[] };
        body.extend([(5 + options.len() as u8 / 4) << 4, flags, 0x20, 0, 0, 0, 0, 0]);
        body.extend(options);
        Packet::new(from.0, to.0, 6, body)
    }

    pub(crate) fn udp(from: (&str, u16), to: (&str, u16), payload: &[u8]) -> Packet {
        let mut body = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        body.extend((8 + payload.len() as u16).to_be_bytes());
        body.extend([0, 0]);
        body.extend(payload);
        Packet::new(from.0, to.0, 17, body)
    }

    /// An ICMP message of `kind` and `code` (ICMPv6 between IPv6 addresses), 64 bytes long.
    pub(crate) fn icmp(source: &str, destination: &str, kind: u8, code: u8) -> Packet {
        let mut body = vec![kind, code];
        body.resize(64, 0);
        Packet::new(source, destination, if source.contains(':') { 58 } else { 1 }, body)
    }

    pub(crate) fn ttl(mut self, ttl: u8) -> Packet {
        self.ttl = ttl;
        self
    }

    /// The fragment of datagram `id` at `offset` (in units of 8 bytes), with more behind it or not.
    /// A later one carries no header.
    pub(crate) fn fragment(mut self, id: u16, offset: u16, more: bool) -> Packet {
        self.id = id;
        self.fragment = offset | if more { 0x2000 } else { 0 };
        if offset > 0 {
            self.body = vec![0xab; 64];
        }
        self
    }

    pub(crate) fn tagged(mut self, tags: &[u16]) -> Packet {
        self.tags = tags.to_vec();
        self
    }

    /// The header that a piece of an IPv6 packet has behind the fixed one (RFC 8200 § 4.5): as in
    /// IPv4 an offset in units of eight bytes, but with the "more" flag in the lowest bit.
    fn fragment_header_v6(&self) -> Vec<u8> {
        if self.fragment & 0x3fff == 0 {
            return Vec::new();
        }
        let offset = (self.fragment & 0x1fff) << 3 | u16::from(self.fragment & 0x2000 != 0);
        let [high, low] = offset.to_be_bytes();
        [&[self.protocol, 0, high, low][..], &u32::from(self.id).to_be_bytes()].concat()
    }

    /// The Ethernet frame.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut ip = vec![0x45, 0];
                ip.extend((20 + self.body.len() as u16).to_be_bytes());
                ip.extend(self.id.to_be_bytes());
                ip.extend(self.fragment.to_be_bytes());
                ip.extend([self.ttl, self.protocol, 0, 0]);
                ip.extend(source.octets());
                ip.extend(destination.octets());
                frame(&self.tags, IPV4, &[ip, self.body.clone()].concat())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let fragment = self.fragment_header_v6();
                let next = if fragment.is_empty() { self.protocol } else { FRAGMENT_HEADER };
                let mut ip = vec![0x60, 0, 0, 0];
                ip.extend(((fragment.len() + self.body.len()) as u16).to_be_bytes());
                ip.extend([next, self.ttl]);
                ip.extend(source.octets());
                ip.extend(destination.octets());
                frame(&self.tags, IPV6, &[ip, fragment, self.body.clone()].concat())
            }
            mixed => panic!("{mixed:?} are of two families"),
        }
    }
}

/// The ones' complement sum of 16-bit words (RFC 1071), 0 over what carries a right checksum.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let words =
        bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
