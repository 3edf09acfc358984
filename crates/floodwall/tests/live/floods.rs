//! The floods, as frames: each a few thousand different ones that a sender repeats.
//!
//! Sources are drawn from all that an attacker could write into a header; what a stack would not
//! even look at (impossible flags, martian sources) is none of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use super::cable::Family;
use super::frames::{self, ACK, Ip, SYN, Tcp};

/// Bytes of all frames of a flood: they shall stay near the processor.
const BYTES_MAX: usize = 6 << 20;
/// Different frames of a flood, at most.
const FRAMES_MAX: usize = 32_768;
/// Data in one fragment, of a path with an MTU of 1,500 and room for IPv6's headers.
const PART_BYTES: usize = 1_448;

/// What arrives.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// SYNs as a simple tool makes them: no options, one window.
    Syn,
    /// SYNs that look like those of ordinary systems in everything.
    SynOrdinary,
    /// Datagrams of random bytes to random ports.
    Udp,
    /// Large answers from name servers nobody asked, with their later fragments.
    Amplification,
    /// Bare ACKs of no connection.
    Ack,
    /// SYN-ACKs of web servers that somebody greeted in our name.
    SynAck,
    /// Pieces of datagrams that are never complete.
    Fragments,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Syn => "SYN, plain",
            Kind::SynOrdinary => "SYN, ordinary",
            Kind::Udp => "UDP",
            Kind::Amplification => "amplification",
            Kind::Ack => "ACK",
            Kind::SynAck => "SYN-ACK",
            Kind::Fragments => "fragments",
        }
    }

    /// Frames to `port` of the near host.
    pub fn frames(self, family: Family, port: u16, seed: u64) -> Vec<Vec<u8>> {
        let mut draw = Draw { rng: Rng::with_seed(seed), family };
        let mut flood = Vec::new();
        let mut bytes = 0;
        while bytes < BYTES_MAX && flood.len() < FRAMES_MAX {
            let next = match self {
                Kind::Syn => vec![draw.syn(port)],
                Kind::SynOrdinary => vec![draw.syn_ordinary(port)],
                Kind::Udp => vec![draw.udp()],
                Kind::Amplification => draw.amplified(),
                Kind::Ack => vec![draw.ack(port)],
                Kind::SynAck => vec![draw.syn_ack()],
                Kind::Fragments => draw.pieces(),
            };
            bytes += next.iter().map(Vec::len).sum::<usize>();
            flood.extend(next);
        }
        flood
    }
}

struct Draw {
    rng: Rng,
    family: Family,
}

impl Draw {
    fn source(&mut self) -> IpAddr {
        match self.family {
            Family::V4 => loop {
                let address = Ipv4Addr::from(self.rng.u32(..));
                let first = address.octets()[0];
                if (1..224).contains(&first) && first != 127 && first != 10 {
                    return address.into();
                }
            },
            Family::V6 => {
                let routed = 0x2001 + u128::from(self.rng.u16(..0x0e00));
                Ipv6Addr::from(routed << 112 | self.rng.u128(..) >> 16).into()
            }
        }
    }

    fn ip(&mut self) -> Ip {
        let start = *self.rng.choice(&[64u8, 128, 255]).unwrap_or(&64);
        let ttl = start - self.rng.u8(5..25);
        Ip::new(self.source(), self.family.near(), ttl, self.rng.u16(..))
    }

    fn high_port(&mut self) -> u16 {
        self.rng.u16(1_024..)
    }

    fn syn(&mut self, port: u16) -> Vec<u8> {
        let header = Tcp {
            source_port: self.high_port(),
            destination_port: port,
            seq: self.rng.u32(..),
            flags: SYN,
            window: 512,
            ..Tcp::default()
        };
        frames::tcp(&Ip { ttl: 64, ..self.ip() }, &header)
    }

    fn syn_ordinary(&mut self, port: u16) -> Vec<u8> {
        let stamp = self.rng.u32(..).to_be_bytes();
        let segment: u16 = if self.family == Family::V4 { 1_460 } else { 1_440 };
        let [high, low] = segment.to_be_bytes();
        // Linux and Windows of our day.
        let linux = self.rng.bool();
        let (options, window, ttl) = if linux {
            let mut options = vec![2, 4, high, low, 4, 2, 8, 10];
            options.extend(stamp);
            options.extend([0, 0, 0, 0, 1, 3, 3, 7]);
            (options, 64_240, 64)
        } else {
            (vec![2, 4, high, low, 1, 3, 3, 8, 1, 1, 4, 2], 64_240, 128)
        };
        let header = Tcp {
            source_port: self.rng.u16(32_768..60_999),
            destination_port: port,
            seq: self.rng.u32(..),
            flags: SYN,
            window,
            options,
            ..Tcp::default()
        };
        let ttl = ttl - self.rng.u8(5..20);
        frames::tcp(&Ip { ttl, dont_fragment: true, ..self.ip() }, &header)
    }

    fn ack(&mut self, port: u16) -> Vec<u8> {
        let header = Tcp {
            source_port: self.high_port(),
            destination_port: port,
            seq: self.rng.u32(..),
            ack: self.rng.u32(..),
            flags: ACK,
            window: self.rng.u16(..),
            ..Tcp::default()
        };
        frames::tcp(&self.ip(), &header)
    }

    fn syn_ack(&mut self) -> Vec<u8> {
        let header = Tcp {
            source_port: if self.rng.bool() { 443 } else { 80 },
            destination_port: self.high_port(),
            seq: self.rng.u32(..),
            ack: self.rng.u32(..),
            flags: SYN | ACK,
            window: *self.rng.choice(&[65_535, 28_960, 14_600, 64_240]).unwrap_or(&65_535),
            options: vec![2, 4, 5, 0xb4],
        };
        frames::tcp(&self.ip(), &header)
    }

    fn random_bytes(&mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.rng.u8(..)).take(length).collect()
    }

    fn udp(&mut self) -> Vec<u8> {
        let length = self.rng.usize(64..512);
        let payload = self.random_bytes(length);
        let (from, to) = (self.high_port(), self.high_port());
        frames::udp(&self.ip(), from, to, &payload)
    }

    /// One name server's answer of 3,000 to 4,000 bytes, in its pieces.
    fn amplified(&mut self) -> Vec<Vec<u8>> {
        let length = self.rng.usize(3_000..4_000);
        let id = self.rng.u16(..).to_be_bytes();
        let mut payload = vec![id[0], id[1], 0x81, 0x80, 0, 1, 0, 30, 0, 0, 0, 1];
        payload.extend(b"\x07example\x03com\x00\x00\xff\x00\x01");
        payload.extend(self.random_bytes(length));
        let (ip, to) = (self.ip(), self.high_port());
        let datagram = frames::datagram(&ip, 53, to, &payload);
        frames::fragments(&ip, &datagram, PART_BYTES)
    }

    /// Either a beginning or an end, never both.
    fn pieces(&mut self) -> Vec<Vec<u8>> {
        let length = self.rng.usize(1_500..4_000);
        let payload = self.random_bytes(length);
        let (ip, from, to) = (self.ip(), self.high_port(), self.high_port());
        let datagram = frames::datagram(&ip, from, to, &payload);
        let mut pieces = frames::fragments(&ip, &datagram, PART_BYTES / 2 / 8 * 8);
        if self.rng.bool() { pieces.split_off(1) } else { vec![pieces.swap_remove(0)] }
    }
}
