//! Floods of TCP segments that belong to nothing.

use fastrand::Rng;
use floodwall_model::packet::TcpFlag;

use super::{Number, Senders, Shot, Target, Vector};
use crate::chance::happens;
use crate::packets::clients::{hops, round_trip_us};
use crate::packets::header::{IpHeader, Payload, TcpHeader};
use crate::packets::stacks::{ServerStack, Stack};

/// How a tool fills sequence or acknowledgement numbers.
#[derive(Copy, Clone, Debug)]
enum Sequence {
    Random,
    /// A random number of 16 bits in the upper half.
    LowZero,
    Fixed(u32),
}

impl Sequence {
    fn drawn(rng: &mut Rng) -> Sequence {
        match rng.u8(..10) {
            0 | 1 => Sequence::LowZero,
            2 => Sequence::Fixed(0),
            3 => Sequence::Fixed(rng.u32(..)),
            _ => Sequence::Random,
        }
    }

    fn draw(self, rng: &mut Rng) -> u32 {
        match self {
            Sequence::Random => rng.u32(..),
            Sequence::LowZero => rng.u32(..) << 16,
            Sequence::Fixed(value) => value,
        }
    }
}

/// Segments with headers by one tool's rules.
pub(crate) struct TcpFlood {
    senders: Senders,
    flags: Vec<u8>,
    source_ports: Number,
    ports: Number,
    window: Number,
    ids: Number,
    dont_fragment: bool,
    options: &'static [u8],
    mss: u16,
    sequence: Sequence,
    acknowledgement: Sequence,
    payload: Number,
    payload_fixed: Option<[u8; 8]>,
    /// Share of the spoofed addresses that have a host, which resets what it did not ask for.
    alive_share: f64,
}

impl TcpFlood {
    /// A SYN flood with a tool's artefacts, some or none.
    pub(crate) fn syn(senders: Senders, ports: &[u16], rng: &mut Rng) -> TcpFlood {
        let mut flood = TcpFlood::bare(senders, vec![TcpFlag::SYN], ports, rng);
        let (options, mss): (&[u8], u16) = match rng.u8(..8) {
            0..3 => (&[], 0),
            3 | 4 => (&[2], [1_460, 1_400, 536, 1_412][rng.usize(..4)]),
            5 => (&[2, 4, 8, 1, 3], [1_460, 1_400, 1_380][rng.usize(..3)]),
            6 => (&[2, 1, 3, 1, 1, 4], 1_460),
            _ => (&[2, 1, 1, 4], 1_460),
        };
        (flood.options, flood.mss) = (options, mss);
        // Some tools fill SYNs up ("TCP SYN with data").
        if happens(rng, 0.12) {
            flood.payload = Number::drawn(1, 1_400, rng);
        }
        flood.acknowledgement = Sequence::Fixed(0);
        if happens(rng, 0.15) {
            flood.acknowledgement = Sequence::Random;
        }
        flood.alive_share = rng.f64() * 0.08;
        flood
    }

    /// SYNs that ask for ECN, which few honest ones do.
    pub(crate) fn syn_ecn(senders: Senders, ports: &[u16], rng: &mut Rng) -> TcpFlood {
        let mut flood = TcpFlood::syn(senders, ports, rng);
        flood.flags = vec![TcpFlag::SYN | TcpFlag::ECE | TcpFlag::CWR];
        flood
    }

    /// ACKs, with or without payload.
    pub(crate) fn ack(senders: Senders, ports: &[u16], rng: &mut Rng) -> TcpFlood {
        let flags = match rng.u8(..4) {
            0 => vec![TcpFlag::ACK | TcpFlag::PSH],
            1 => vec![TcpFlag::ACK, TcpFlag::ACK | TcpFlag::PSH],
            _ => vec![TcpFlag::ACK],
        };
        let mut flood = TcpFlood::bare(senders, flags, ports, rng);
        flood.payload = match rng.u8(..4) {
            0 => Number::Fixed(rng.u32(1..=1_400)),
            1 => Number::Between(1, 1_400),
            _ => Number::Fixed(0),
        };
        if happens(rng, 0.25) {
            flood.options = &[1, 1, 8];
        }
        flood
    }

    /// RSTs or FINs.
    pub(crate) fn rst(senders: Senders, ports: &[u16], rng: &mut Rng) -> TcpFlood {
        let flags = [
            vec![TcpFlag::RST],
            vec![TcpFlag::RST | TcpFlag::ACK],
            vec![TcpFlag::RST],
            vec![TcpFlag::FIN | TcpFlag::ACK],
        ];
        let drawn = rng.usize(..flags.len());
        TcpFlood::bare(senders, flags[drawn].clone(), ports, rng)
    }

    /// Combinations of flags that mean nothing, or all at random.
    pub(crate) fn odd(senders: Senders, ports: &[u16], rng: &mut Rng) -> TcpFlood {
        let flags = match rng.u8(..3) {
            0 => vec![TcpFlag::PSH],
            1 => vec![TcpFlag::URG | TcpFlag::PSH | TcpFlag::FIN],
            _ => (1..64).collect(),
        };
        TcpFlood::bare(senders, flags, ports, rng)
    }

    fn bare(senders: Senders, flags: Vec<u8>, ports: &[u16], rng: &mut Rng) -> TcpFlood {
        TcpFlood {
            senders,
            flags,
            source_ports: Number::source_ports(rng),
            ports: Number::destination_ports(ports, rng),
            window: Number::drawn(0, 0xffff, rng),
            ids: Number::ids(rng),
            dont_fragment: happens(rng, 0.4),
            options: &[],
            mss: 0,
            sequence: Sequence::drawn(rng),
            acknowledgement: Sequence::drawn(rng),
            payload: Number::Fixed(0),
            payload_fixed: happens(rng, 0.5).then(|| rng.u64(..).to_le_bytes()),
            alive_share: 0.0,
        }
    }
}

impl Vector for TcpFlood {
    fn shoot(&mut self, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>) {
        let (source, ttl) = self.senders.draw(rng);
        let destination = target.draw(rng);
        let ip = IpHeader {
            dont_fragment: self.dont_fragment,
            ..IpHeader::new(source, destination, ttl, self.ids.draw(rng))
        };
        let first = self.payload_fixed.unwrap_or_else(|| rng.u64(..).to_le_bytes());
        let tcp = TcpHeader {
            source_port: self.source_ports.draw_port(rng),
            destination_port: self.ports.draw_port(rng),
            sequence: self.sequence.draw(rng),
            acknowledgement: self.acknowledgement.draw(rng),
            flags: self.flags[rng.usize(..self.flags.len())],
            window: self.window.draw(rng),
            options: self.options,
            mss: self.mss,
            payload: Payload::new(self.payload.draw(rng), first),
        };
        out.push(Shot::attack(ip.tcp(&tcp)));
        answer(target, &ip, &tcp, self.alive_share, rng, out);
    }
}

/// SYNs whose headers are those of browsers' systems, field by field: as good as a tool can do that
/// sends raw packets. What it cannot copy is the way that each of them would have taken.
pub(crate) struct SynCopied {
    senders: Senders,
    ports: Number,
    alive_share: f64,
}

impl SynCopied {
    pub(crate) fn drawn(senders: Senders, ports: &[u16], rng: &mut Rng) -> SynCopied {
        let busiest = ports.first().copied().unwrap_or(443);
        let ports = Number::Fixed(u32::from(busiest));
        SynCopied { senders, ports, alive_share: rng.f64() * 0.08 }
    }
}

impl Vector for SynCopied {
    fn shoot(&mut self, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>) {
        let (source, ttl) = self.senders.draw(rng);
        let stack = Stack::draw(rng);
        let mss = stack.draw_mss(source.is_ipv6(), rng);
        // The time to live is that of the machine's own distance, from the copied system's start.
        let passed = [64u8, 128, 255].into_iter().find(|i| *i >= ttl).unwrap_or(255) - ttl;
        let ttl = stack.initial_ttl.saturating_sub(passed).max(1);
        let ecn = stack.asks_for_ecn(rng);
        let flags = TcpFlag::SYN | if ecn { TcpFlag::ECE | TcpFlag::CWR } else { 0 };
        let id = if stack.name.starts_with("apple") { 0 } else { rng.u16(..) };
        let ip = IpHeader::new(source, target.draw(rng), ttl, id);
        let tcp = TcpHeader {
            source_port: rng.u16(stack.ports.0..=stack.ports.1),
            destination_port: self.ports.draw_port(rng),
            sequence: rng.u32(..),
            acknowledgement: 0,
            flags,
            window: stack.syn_window(mss),
            options: stack.syn_options,
            mss,
            payload: Payload::NONE,
        };
        out.push(Shot::attack(ip.tcp(&tcp)));
        answer(target, &ip, &tcp, self.alive_share, rng, out);
    }
}

/// What the host answers, and what a living host at a spoofed address says to that (RFC 9293
/// § 3.5.2): SYN-ACK or RST to a SYN, RST to the rest but RSTs.
pub(super) fn answer(
    target: &Target,
    ip: &IpHeader,
    tcp: &TcpHeader<'_>,
    alive_share: f64,
    rng: &mut Rng,
    out: &mut Vec<Shot>,
) {
    if tcp.flags & TcpFlag::RST != 0 || ip.destination != target.address {
        return;
    }
    let syn = tcp.flags & (TcpFlag::SYN | TcpFlag::ACK) == TcpFlag::SYN;
    let back = IpHeader::new(ip.destination, ip.source, 64, 0);
    let mut reply = TcpHeader {
        source_port: tcp.destination_port,
        destination_port: tcp.source_port,
        sequence: tcp.acknowledgement,
        acknowledgement: 0,
        flags: TcpFlag::RST,
        window: 0,
        options: &[],
        mss: 0,
        payload: Payload::NONE,
    };
    if !syn || !target.ports.contains(&tcp.destination_port) {
        if syn {
            reply.flags = TcpFlag::RST | TcpFlag::ACK;
            reply.sequence = 0;
            reply.acknowledgement = tcp.sequence.wrapping_add(1);
        }
        out.push(Shot::answer(back.tcp(&reply)));
        return;
    }
    let stack = ServerStack::BARE[0];
    reply.flags = TcpFlag::SYN | TcpFlag::ACK;
    reply.sequence = rng.u32(..);
    reply.acknowledgement = tcp.sequence.wrapping_add(1);
    (reply.window, reply.options, reply.mss) = (stack.window, stack.options, stack.mss);
    out.push(Shot::answer(back.tcp(&reply)));
    if happens(rng, alive_share) {
        let stack = Stack::draw(rng);
        let from = IpHeader::new(ip.source, ip.destination, stack.initial_ttl - hops(rng), 0);
        let reset = TcpHeader {
            source_port: tcp.source_port,
            destination_port: tcp.destination_port,
            sequence: reply.acknowledgement,
            acknowledgement: 0,
            flags: TcpFlag::RST,
            window: 0,
            options: &[],
            mss: 0,
            payload: Payload::NONE,
        };
        out.push(Shot {
            facts: from.tcp(&reset),
            delay_us: round_trip_us(rng),
            attack: false,
            inbound: true,
            solicited: true,
        });
    }
}
