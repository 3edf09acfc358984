//! Frames and capture files, built in code.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// 2025-01-01T00:00:00Z.
pub(crate) const START_NS: u64 = 1_735_689_600_000_000_000;
pub(crate) const MS: u64 = 1_000_000;

pub(crate) fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// An IP packet: a header before `transport`, lengths right, checksums 0.
pub(crate) fn ip(protocol: u8, source: &str, destination: &str, transport: &[u8]) -> Vec<u8> {
    match (source.parse().unwrap(), destination.parse().unwrap()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ipv4(protocol, source, destination, 0, transport)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ipv6(protocol, source, destination, transport)
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
}

/// `fragment` is flags and offset as they stand in the header.
pub(crate) fn ipv4(
    protocol: u8,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    fragment: u16,
    transport: &[u8],
) -> Vec<u8> {
    let length = 20 + transport.len() as u16;
    let mut out = vec![0x45, 0];
    out.extend(length.to_be_bytes());
    out.extend([0x12, 0x34]);
    out.extend(fragment.to_be_bytes());
    out.extend([64, protocol, 0, 0]);
    out.extend(source.octets());
    out.extend(destination.octets());
    out.extend(transport);
    out
}

fn ipv6(protocol: u8, source: Ipv6Addr, destination: Ipv6Addr, transport: &[u8]) -> Vec<u8> {
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((transport.len() as u16).to_be_bytes());
    out.extend([protocol, 64]);
    out.extend(source.octets());
    out.extend(destination.octets());
    out.extend(transport);
    out
}

/// A TCP segment without options.
pub(crate) fn tcp(ports: (u16, u16), flags: u8, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(ports.0.to_be_bytes());
    out.extend(ports.1.to_be_bytes());
    out.extend(numbers.0.to_be_bytes());
    out.extend(numbers.1.to_be_bytes());
    out.extend([0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    out.extend(payload);
    out
}

/// A UDP datagram.
pub(crate) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(ports.0.to_be_bytes());
    out.extend(ports.1.to_be_bytes());
    out.extend((8 + payload.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(payload);
    out
}

/// An Ethernet frame around an IP packet.
pub(crate) fn ethernet(packet: &[u8]) -> Vec<u8> {
    let ether_type: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [0x08, 0x00] };
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], &ether_type[..], packet].concat()
}

/// An ARP request.
pub(crate) fn arp() -> Vec<u8> {
    [&[0xff; 6][..], &[2, 0, 0, 0, 0, 2, 0x08, 0x06], &[0; 28]].concat()
}

/// What kind of pcap file.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Pcap {
    pub(crate) big_endian: bool,
    pub(crate) nanoseconds: bool,
    /// Records with eight bytes more (Kuznetzov's patch).
    pub(crate) modified: bool,
    pub(crate) link_type: u32,
}

pub(crate) const PLAIN: Pcap =
    Pcap { big_endian: false, nanoseconds: false, modified: false, link_type: 1 };

impl Pcap {
    fn word(self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn header(self) -> Vec<u8> {
        let magic = match (self.nanoseconds, self.modified) {
            (true, _) => 0xa1b2_3c4d,
            (false, true) => 0xa1b2_cd34,
            (false, false) => 0xa1b2_c3d4_u32,
        };
        let version = if self.big_endian { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
        let rest = [0, 0, 262_144, self.link_type].map(|value| self.word(value)).concat();
        [&self.word(magic)[..], &version, &rest].concat()
    }

    /// A record of which `frame` was kept and `wire_bytes` were sent.
    pub(crate) fn record(self, at_ns: u64, wire_bytes: usize, frame: &[u8]) -> Vec<u8> {
        let fraction = at_ns % 1_000_000_000 / if self.nanoseconds { 1 } else { 1_000 };
        let kept_bytes = frame.len() as u32;
        let fields =
            [(at_ns / 1_000_000_000) as u32, fraction as u32, kept_bytes, wire_bytes as u32];
        let mut out = fields.map(|field| self.word(field)).concat();
        if self.modified {
            out.extend([0; 8]);
        }
        out.extend(frame);
        out
    }

    pub(crate) fn file(self, packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut out = self.header();
        for (at_ns, frame) in packets {
            out.extend(self.record(*at_ns, frame.len(), frame));
        }
        out
    }
}

/// A pcapng block; `body` is padded.
pub(crate) fn block(big_endian: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = word(12 + (body.len() + padding) as u32);
    [&word(kind), &length, body, &vec![0; padding], &length].concat()
}

/// A section header block.
pub(crate) fn section(big_endian: bool) -> Vec<u8> {
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let magic = 0x1a2b_3c4d_u32;
    let magic = if big_endian { magic.to_be_bytes() } else { magic.to_le_bytes() };
    block(big_endian, 0x0a0d_0d0a, &[&magic[..], &half(1), &half(0), &[0xff; 8]].concat())
}

/// An interface description block with options of one or eight bytes.
pub(crate) fn interface(big_endian: bool, link_type: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = [&half(link_type)[..], &[0; 6]].concat();
    for (code, value) in options {
        body.extend(half(*code));
        body.extend(half(value.len() as u16));
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    if !options.is_empty() {
        body.extend([0; 4]);
    }
    block(big_endian, 1, &body)
}

/// An enhanced packet block with a comment.
pub(crate) fn enhanced(big_endian: bool, interface: u32, ticks: u64, frame: &[u8]) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let length = frame.len() as u32;
    let head = [interface, (ticks >> 32) as u32, ticks as u32, length, length].map(word).concat();
    let padding = vec![0; frame.len().next_multiple_of(4) - frame.len()];
    let comment = [&half(1)[..], &half(2), b"hi\0\0", &[0; 4]].concat();
    block(big_endian, 6, &[&head[..], frame, &padding, &comment].concat())
}

pub(crate) fn write(dir: &tempfile::TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The arguments of a replay of `paths`.
pub(crate) fn args(options: &[&str], paths: &[&Path]) -> crate::replay::ReplayArgs {
    use clap::Parser;
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: crate::replay::ReplayArgs,
    }
    let paths = paths.iter().map(|path| path.to_str().unwrap());
    let words = ["replay", "--quiet"].into_iter().chain(options.iter().copied()).chain(paths);
    Command::try_parse_from(words).unwrap().args
}
