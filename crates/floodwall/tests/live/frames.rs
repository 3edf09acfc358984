//! Ethernet frames built in code, with checksums that hold: a stack that meets them has to work.

use std::net::IpAddr;

use super::cable::{NEAR_MAC, ROUTER_MAC};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// IPv6's fragment header (RFC 8200 § 4.5).
const FRAGMENT: u8 = 44;

/// What an IP header says.
#[derive(Copy, Clone, Debug)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub id: u16,
    pub dont_fragment: bool,
    /// Offset in units of 8 bytes, and whether more follow.
    pub fragment: Option<(u16, bool)>,
}

impl Ip {
    pub fn new(source: IpAddr, destination: IpAddr, ttl: u8, id: u16) -> Ip {
        Ip { source, destination, ttl, id, dont_fragment: false, fragment: None }
    }
}

/// What a TCP header says.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    pub source_port: u16,
    pub destination_port: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    /// A multiple of four bytes.
    pub options: Vec<u8>,
}

pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;

/// RFC 1071.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// RFC 9293 § 3.1, RFC 8200 § 8.1. Parts before the segment are of even length.
fn transport_checksum(ip: &Ip, protocol: u8, segment: &[u8]) -> u16 {
    let length = (segment.len() as u32).to_be_bytes();
    checksum(&[&octets(ip.source), &octets(ip.destination), &[0, protocol], &length, segment])
}

/// A TCP segment in a frame.
pub fn tcp(ip: &Ip, tcp: &Tcp) -> Vec<u8> {
    let mut segment = Vec::with_capacity(60);
    segment.extend(tcp.source_port.to_be_bytes());
    segment.extend(tcp.destination_port.to_be_bytes());
    segment.extend(tcp.seq.to_be_bytes());
    segment.extend(tcp.ack.to_be_bytes());
    let words = 5 + (tcp.options.len() / 4) as u8;
    segment.extend([words << 4, tcp.flags]);
    segment.extend(tcp.window.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(&tcp.options);
    let sum = transport_checksum(ip, TCP, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    frame(ip, TCP, &segment)
}

/// A datagram of UDP, not yet cut.
pub fn datagram(ip: &Ip, source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(source_port.to_be_bytes());
    datagram.extend(destination_port.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0; 2]);
    datagram.extend(payload);
    let sum = match transport_checksum(ip, UDP, &datagram) {
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// A datagram in one frame.
pub fn udp(ip: &Ip, source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    frame(ip, UDP, &datagram(ip, source_port, destination_port, payload))
}

/// A datagram in as many frames as it takes with `part_bytes`, a multiple of 8, in each.
pub fn fragments(ip: &Ip, datagram: &[u8], part_bytes: usize) -> Vec<Vec<u8>> {
    let parts = datagram.chunks(part_bytes);
    let last = parts.len() - 1;
    parts
        .enumerate()
        .map(|(number, part)| {
            let offset = (number * part_bytes / 8) as u16;
            frame(&Ip { fragment: Some((offset, number < last)), ..*ip }, UDP, part)
        })
        .collect()
}

/// `payload` of `protocol` in IP in Ethernet.
pub fn frame(ip: &Ip, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(62 + payload.len());
    bytes.extend(NEAR_MAC);
    bytes.extend(ROUTER_MAC);
    match ip.source {
        IpAddr::V4(_) => ipv4(&mut bytes, ip, protocol, payload.len()),
        IpAddr::V6(_) => ipv6(&mut bytes, ip, protocol, payload.len()),
    }
    bytes.extend(payload);
    bytes
}

/// RFC 791 § 3.1.
fn ipv4(bytes: &mut Vec<u8>, ip: &Ip, protocol: u8, payload: usize) {
    bytes.extend([0x08, 0x00]);
    let (offset, more) = ip.fragment.unwrap_or_default();
    let marks = offset | if more { 0x2000 } else { 0 } | if ip.dont_fragment { 0x4000 } else { 0 };
    let mut header = vec![0x45, 0];
    header.extend((20 + payload as u16).to_be_bytes());
    header.extend(ip.id.to_be_bytes());
    header.extend(marks.to_be_bytes());
    header.extend([ip.ttl, protocol, 0, 0]);
    header.extend(octets(ip.source));
    header.extend(octets(ip.destination));
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(header);
}

/// RFC 8200 §§ 3 and 4.5.
fn ipv6(bytes: &mut Vec<u8>, ip: &Ip, protocol: u8, payload: usize) {
    bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    let extension = if ip.fragment.is_some() { 8 } else { 0 };
    bytes.extend((payload as u16 + extension).to_be_bytes());
    bytes.extend([if ip.fragment.is_some() { FRAGMENT } else { protocol }, ip.ttl]);
    bytes.extend(octets(ip.source));
    bytes.extend(octets(ip.destination));
    if let Some((offset, more)) = ip.fragment {
        bytes.extend([protocol, 0]);
        bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
        bytes.extend((u32::from(ip.id) << 7 | 5).to_be_bytes());
    }
}
