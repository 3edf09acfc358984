//! Floods that only fill the line: UDP, ICMP, fragments, GRE.

use fastrand::Rng;

use super::{Number, Senders, Shot, Target, Vector};
use crate::chance::happens;
use crate::packets::header::{IpHeader, Payload};

/// What all of them share.
struct Common {
    senders: Senders,
    ids: Number,
    dont_fragment: bool,
}

impl Common {
    fn drawn(senders: Senders, rng: &mut Rng) -> Common {
        Common { senders, ids: Number::ids(rng), dont_fragment: happens(rng, 0.4) }
    }

    fn header(&mut self, target: &Target, rng: &mut Rng) -> IpHeader {
        let (source, ttl) = self.senders.draw(rng);
        IpHeader {
            dont_fragment: self.dont_fragment,
            ..IpHeader::new(source, target.draw(rng), ttl, self.ids.draw(rng))
        }
    }
}

/// UDP datagrams.
pub(crate) struct Udp {
    common: Common,
    source_ports: Number,
    ports: Number,
    bytes: Number,
    first: Option<[u8; 8]>,
}

impl Udp {
    pub(crate) fn drawn(senders: Senders, ports: &[u16], rng: &mut Rng) -> Udp {
        let ports = if happens(rng, 0.4) {
            Number::Between(1, 0xffff)
        } else {
            Number::destination_ports(ports, rng)
        };
        let fixed = match rng.u8(..4) {
            0 => Some([0; 8]),
            1 => Some([rng.u8(..); 8]),
            2 => Some(rng.u64(..).to_le_bytes()),
            _ => None,
        };
        Udp {
            common: Common::drawn(senders, rng),
            source_ports: Number::source_ports(rng),
            ports,
            bytes: Number::drawn(1, 1_472, rng),
            first: fixed,
        }
    }
}

impl Vector for Udp {
    fn shoot(&mut self, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>) {
        let ip = self.common.header(target, rng);
        let first = self.first.unwrap_or_else(|| rng.u64(..).to_le_bytes());
        let payload = Payload::new(self.bytes.draw(rng).min(1_472), first);
        let (from, to) = (self.source_ports.draw_port(rng), self.ports.draw_port(rng));
        out.push(Shot::attack(ip.udp(from, to, payload)));
    }
}

/// ICMP messages: mostly echo requests.
pub(crate) struct Icmp {
    common: Common,
    kinds: Vec<(u8, u8)>,
    bytes: Number,
}

impl Icmp {
    pub(crate) fn drawn(senders: Senders, v6: bool, rng: &mut Rng) -> Icmp {
        let kinds = match rng.u8(..5) {
            _ if v6 => vec![(128, 0)],
            0 => vec![(3, 3)],
            1 => (0..rng.usize(2..20)).map(|_| (rng.u8(..), rng.u8(..16))).collect(),
            _ => vec![(8, 0)],
        };
        let bytes = Number::drawn(8, 1_480, rng);
        Icmp { common: Common::drawn(senders, rng), kinds, bytes }
    }
}

impl Vector for Icmp {
    fn shoot(&mut self, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>) {
        let ip = self.common.header(target, rng);
        let (kind, code) = self.kinds[rng.usize(..self.kinds.len())];
        out.push(Shot::attack(ip.icmp(kind, code, self.bytes.draw(rng).clamp(8, 1_480))));
        if matches!(kind, 8 | 128) && ip.destination == target.address {
            let back = IpHeader::new(ip.destination, ip.source, 64, rng.u16(..));
            let kind = if kind == 8 { 0 } else { 129 };
            out.push(Shot::answer(back.icmp(kind, 0, 64)));
        }
    }
}

/// Fragments whose beginnings never come.
pub(crate) struct LaterFragments {
    common: Common,
    protocol: u8,
    bytes: Number,
}

impl LaterFragments {
    pub(crate) fn drawn(senders: Senders, v6: bool, rng: &mut Rng) -> LaterFragments {
        let protocol = [17, 17, 6, if v6 { 58 } else { 1 }][rng.usize(..4)];
        LaterFragments {
            common: Common::drawn(senders, rng),
            protocol,
            bytes: Number::drawn(8, 1_480, rng),
        }
    }
}

impl Vector for LaterFragments {
    fn shoot(&mut self, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>) {
        let ip = self.common.header(target, rng);
        let bytes = self.bytes.draw(rng).clamp(8, 1_480);
        out.push(Shot::attack(ip.later_fragment(self.protocol, bytes)));
    }
}

/// GRE (RFC 2784) around anything.
pub(crate) struct Gre {
    common: Common,
    bytes: Number,
}

impl Gre {
    pub(crate) fn drawn(senders: Senders, rng: &mut Rng) -> Gre {
        // A GRE header, an inner IP header and a UDP header are the least.
        Gre { common: Common::drawn(senders, rng), bytes: Number::drawn(32, 1_480, rng) }
    }
}

impl Vector for Gre {
    fn shoot(&mut self, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>) {
        let ip = self.common.header(target, rng);
        out.push(Shot::attack(ip.other(47, self.bytes.draw(rng).clamp(32, 1_480))));
    }
}
