//! UDP amplification: services all over the internet send long answers to short questions that
//! carried the host's address.
//!
//! The well-known services' lengths and first bytes are those of their protocols; a service that
//! nobody knows yet, on a port drawn from all, is made up alongside.

use std::net::IpAddr;

use fastrand::Rng;

use super::{Number, Shot, Target, Vector};
use crate::chance::happens;
use crate::packets::clients::{hops, log_uniform, public_v4};
use crate::packets::header::{Fragment, IpHeader, Payload};

/// Payload of a fragment that fills an Ethernet frame behind an IPv4 header, a multiple of eight.
const FRAGMENT_BYTES: u16 = 1_480;

/// A service: its port, the least and greatest length of its answers, how they begin, and which of
/// those eight bytes differ (bits from the first byte on).
struct Service {
    port: u16,
    bytes: (u16, u16),
    first: [u8; 8],
    varying: u8,
}

#[rustfmt::skip]
const SERVICES: [Service; 14] = [
    Service { port: 53, bytes: (400, 4_090), first: [0, 0, 0x81, 0x80, 0, 1, 0, 9], varying: 0b1100_0001 },
    Service { port: 123, bytes: (440, 440), first: [0xd7, 0, 3, 0x2a, 0, 6, 0, 0x48], varying: 0b0100_0000 },
    Service { port: 161, bytes: (300, 2_200), first: [0x30, 0x82, 4, 0x5c, 2, 1, 1, 4], varying: 0b0011_0000 },
    Service { port: 389, bytes: (1_300, 3_000), first: [0x30, 0x84, 0, 0, 0x0b, 0xc4, 2, 1], varying: 0b0000_1100 },
    Service { port: 1_900, bytes: (250, 420), first: *b"HTTP/1.1", varying: 0 },
    Service { port: 11_211, bytes: (1_400, 1_400), first: [0, 0, 0, 0, 0, 100, 0, 0], varying: 0b0101_0000 },
    Service { port: 19, bytes: (74, 1_024), first: *b" !\"#$%&'", varying: 0b1111_1111 },
    Service { port: 111, bytes: (68, 600), first: [0, 0, 0, 0, 0, 0, 0, 1], varying: 0b1111_0000 },
    Service { port: 137, bytes: (157, 275), first: [0, 0, 0x84, 0, 0, 0, 0, 1], varying: 0b1100_0000 },
    Service { port: 3_702, bytes: (600, 3_000), first: *b"<?xml ve", varying: 0 },
    Service { port: 5_683, bytes: (200, 1_100), first: [0x60, 0x45, 0, 0, 0xc2, 0x28, 0, 0], varying: 0b0011_0011 },
    Service { port: 3_283, bytes: (1_006, 1_006), first: [0, 1, 3, 0xea, 0, 1, 0, 0], varying: 0 },
    Service { port: 27_015, bytes: (80, 400), first: [0xff, 0xff, 0xff, 0xff, 0x49, 0x11, 0, 0], varying: 0b0000_0011 },
    Service { port: 500, bytes: (100, 400), first: [0; 8], varying: 0b1111_1111 },
];

/// Which service is misused.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Misused {
    /// One of the well-known.
    Known,
    /// One that is made up, on any port from 1.
    Unknown,
    /// Names.
    Dns,
}

struct Reflector {
    address: IpAddr,
    ttl: u8,
    id: u16,
    id_random: bool,
    dont_fragment: bool,
    bytes: u16,
}

/// Answers of reflectors.
pub(crate) struct Amplification {
    reflectors: Vec<Reflector>,
    port: u16,
    ports: Number,
    first: [u8; 8],
    varying: u8,
    /// Range of lengths for every packet anew; otherwise each reflector has its own.
    bytes: Option<(u16, u16)>,
    /// Answers to one question, at most.
    answers_max: u32,
}

impl Amplification {
    pub(crate) fn drawn(misused: Misused, rng: &mut Rng) -> Amplification {
        let made_up;
        let service = match misused {
            Misused::Known => &SERVICES[rng.usize(..SERVICES.len())],
            Misused::Dns => &SERVICES[0],
            Misused::Unknown => {
                let low = rng.u16(60..1_300);
                let high = if happens(rng, 0.3) { low } else { rng.u16(low..=3_500.max(low)) };
                made_up = Service {
                    port: rng.u16(1..),
                    bytes: (low, high),
                    first: rng.u64(..).to_le_bytes(),
                    varying: if happens(rng, 0.3) { 0xff } else { rng.u8(..) & rng.u8(..) },
                };
                &made_up
            }
        };
        let count = log_uniform(rng, 30.0, 5_000.0) as usize;
        let reflector = |rng: &mut Rng| Reflector {
            address: public_v4(rng).into(),
            ttl: [64, 64, 128, 255][rng.usize(..4)] - hops(rng),
            id: rng.u16(..),
            id_random: happens(rng, 0.3),
            dont_fragment: happens(rng, 0.3),
            bytes: rng.u16(service.bytes.0..=service.bytes.1),
        };
        let ports = match (misused, rng.u8(..4)) {
            (Misused::Dns, _) | (_, 0) => Number::Between(1_024, 0xffff),
            (_, 1) => Number::Fixed([80, 443][rng.usize(..2)]),
            _ => Number::Fixed(rng.u32(1..=0xffff)),
        };
        Amplification {
            reflectors: (0..count).map(|_| reflector(rng)).collect(),
            port: service.port,
            ports,
            first: service.first,
            varying: service.varying,
            bytes: happens(rng, 0.4).then_some(service.bytes),
            answers_max: if happens(rng, 0.3) { rng.u32(2..20) } else { 1 },
        }
    }

    fn answer(&mut self, number: usize, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>) {
        let reflector = &mut self.reflectors[number];
        let step = if reflector.id_random { rng.u16(..) } else { 1 };
        reflector.id = reflector.id.wrapping_add(step);
        let mut first = self.first;
        let noise = rng.u64(..).to_le_bytes();
        for (at, byte) in first.iter_mut().enumerate() {
            if self.varying & 0x80 >> at != 0 {
                *byte = noise[at];
            }
        }
        let bytes = self.bytes.map_or(reflector.bytes, |(low, high)| rng.u16(low..=high));
        let whole = bytes + 8;
        let ip = IpHeader {
            dont_fragment: reflector.dont_fragment && whole <= FRAGMENT_BYTES,
            ..IpHeader::new(reflector.address, target.draw(rng), reflector.ttl, reflector.id)
        };
        let port = self.ports.draw_port(rng);
        if whole <= FRAGMENT_BYTES {
            out.push(Shot::attack(ip.udp(self.port, port, Payload::new(bytes, first))));
            return;
        }
        let head = IpHeader { fragment: Fragment::First, ..ip };
        let payload = Payload::new(FRAGMENT_BYTES - 8, first);
        out.push(Shot::attack(head.udp(self.port, port, payload)));
        let mut left = whole - FRAGMENT_BYTES;
        let mut delay_us = 0;
        while left > 0 {
            delay_us += 12;
            let piece = left.min(FRAGMENT_BYTES);
            let later = ip.later_fragment(17, piece);
            out.push(Shot { delay_us, ..Shot::attack(later) });
            left -= piece;
        }
    }
}

impl Vector for Amplification {
    fn shoot(&mut self, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>) {
        let number = rng.usize(..self.reflectors.len());
        for _ in 0..rng.u32(1..=self.answers_max) {
            self.answer(number, target, rng, out);
        }
    }
}
