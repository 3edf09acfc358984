//! The packaged neutral profile: packets that an ordinary server meets, for judging a rule where
//! the host's own past is short or missing.
//!
//! Header forms are those that operating systems send (option kinds and order as in Linux
//! net/ipv4/tcp_output.c, and as published for the others in p0f's signature format); shares are
//! plausible and not measured. It can only prevent a rule, never cause one.

use std::net::{IpAddr, Ipv4Addr};

use floodwall_model::packet::{
    IpMark, PACKET_ATTR_COUNT, PacketAttr, PacketClass, PacketFacts, TcpFlag, TransportMark,
    fold_option, fold_payload, fold16,
};

use crate::random::Random;

/// Packets in the profile.
pub const NEUTRAL_PACKETS: usize = 4_096;

/// How a system begins a connection: initial TTL, window, segment size, option kinds in order.
struct Stack {
    ttl: u16,
    window: u16,
    options: &'static [u8],
    dont_fragment: bool,
}

/// Kinds: 1 no-operation, 2 MSS, 3 window scale, 4 SACK permitted, 8 timestamps (RFC 9293, 7323).
const STACKS: [Stack; 9] = [
    Stack { ttl: 64, window: 64_240, options: &[2, 4, 8, 1, 3], dont_fragment: true },
    Stack { ttl: 64, window: 29_200, options: &[2, 4, 8, 1, 3], dont_fragment: true },
    Stack { ttl: 64, window: 65_535, options: &[2, 4, 8, 1, 3], dont_fragment: true },
    Stack { ttl: 128, window: 64_240, options: &[2, 1, 3, 1, 1, 4], dont_fragment: true },
    Stack { ttl: 128, window: 65_535, options: &[2, 1, 3, 1, 1, 4], dont_fragment: true },
    Stack { ttl: 128, window: 8_192, options: &[2, 1, 3, 1, 1, 4], dont_fragment: true },
    Stack { ttl: 64, window: 65_535, options: &[2, 1, 3, 1, 1, 8, 4], dont_fragment: true },
    Stack { ttl: 64, window: 65_535, options: &[2, 1, 3, 4, 8], dont_fragment: true },
    Stack { ttl: 255, window: 4_128, options: &[2], dont_fragment: false },
];

const SEGMENT_SIZES: [u16; 6] = [1_460, 1_460, 1_440, 1_452, 1_400, 1_380];
const TCP_PORTS: [u16; 8] = [443, 443, 443, 80, 22, 25, 993, 8_080];
/// Services that strangers ask over UDP, and whether they ask from the same port.
const UDP_SERVICES: [(u16, bool); 14] = [
    (53, false),
    (443, false),
    (443, false),
    (123, false),
    (123, true),
    (500, true),
    (4_500, true),
    (4_500, false),
    (5_060, true),
    (51_820, false),
    (1_194, false),
    (3_478, false),
    (161, false),
    (137, true),
];
/// Services that this side asks over UDP.
const UDP_ASKED: [u16; 5] = [53, 53, 53, 123, 443];

/// The profile. The same seed gives the same packets.
pub fn neutral_profile(seed: u64) -> Vec<PacketFacts> {
    let mut random = Random::new(seed);
    (0..NEUTRAL_PACKETS).map(|_| packet(&mut random)).collect()
}

fn packet(random: &mut Random) -> PacketFacts {
    match random.below(100) {
        0..16 => syn(random),
        16..24 => answer_to_our_syn(random),
        24..72 => conversation(random, true),
        72..78 => conversation(random, false),
        78..86 => udp_answer(random),
        86..95 => udp_request(random),
        _ => icmp(random),
    }
}

fn pick<T: Copy>(random: &mut Random, items: &[T]) -> T {
    items[random.below(items.len() as u64) as usize]
}

fn ephemeral(random: &mut Random) -> u16 {
    // Linux 32,768–60,999; Windows and macOS 49,152–65,535; older systems and NAT from 1,024.
    (1_024 + random.below(64_511)) as u16
}

struct Ip {
    protocol: u16,
    ttl: u16,
    length: u16,
    dont_fragment: bool,
}

fn facts(random: &mut Random, class: PacketClass, ip: &Ip) -> PacketFacts {
    let address = |random: &mut Random| {
        IpAddr::from(Ipv4Addr::from(0x0100_0000u32.wrapping_add(random.below(0xdf00_0000) as u32)))
    };
    let mut facts = PacketFacts {
        source: address(random),
        destination: address(random),
        class,
        values: [0; PACKET_ATTR_COUNT],
        sequence: 0,
        acknowledgement: 0,
        frame_bytes: u32::from(ip.length) + 14,
    };
    let id = if ip.dont_fragment && random.below(2) == 0 { 0 } else { random.below(65_536) as u16 };
    let mut marks = if ip.dont_fragment { u16::from(IpMark::DONT_FRAGMENT) } else { 0 };
    if id == 0 {
        marks |= u16::from(IpMark::ID_ZERO);
    }
    set(&mut facts, PacketAttr::Protocol, ip.protocol);
    set(&mut facts, PacketAttr::IpMarks, marks);
    set(&mut facts, PacketAttr::Ttl, ip.ttl - random.below(30) as u16);
    set(&mut facts, PacketAttr::Length, ip.length);
    set(&mut facts, PacketAttr::Id, id);
    set(&mut facts, PacketAttr::Destination, random.below(65_536) as u16);
    facts
}

fn set(facts: &mut PacketFacts, attr: PacketAttr, value: u16) {
    facts.values[attr as usize] = value;
}

fn mark(facts: &mut PacketFacts, bit: u8) {
    facts.values[PacketAttr::TransportMarks as usize] |= u16::from(bit);
}

fn ports(facts: &mut PacketFacts, source: u16, destination: u16) {
    set(facts, PacketAttr::SourcePort, source);
    set(facts, PacketAttr::DestinationPort, destination);
    if source == destination {
        mark(facts, TransportMark::SAME_PORT);
    }
    if source < 1_024 {
        mark(facts, TransportMark::LOW_SOURCE_PORT);
    }
}

fn handshake_part(random: &mut Random, class: PacketClass, flags: u8) -> PacketFacts {
    let stack = &STACKS[random.below(STACKS.len() as u64) as usize];
    let options_bytes: u16 = stack.options.iter().map(|kind| option_bytes(*kind)).sum();
    let length = 40 + options_bytes.div_ceil(4) * 4;
    let ip = Ip { protocol: 6, ttl: stack.ttl, length, dont_fragment: stack.dont_fragment };
    let mut packet = facts(random, class, &ip);
    packet.sequence = random.word() as u32;
    let sequence = fold16(packet.sequence);
    // One connection in eight asks for ECN (RFC 3168 § 6.1.1).
    let ecn = if random.below(8) == 0 { TcpFlag::ECE | TcpFlag::CWR } else { 0 };
    set(&mut packet, PacketAttr::TcpFlags, u16::from(flags | ecn));
    set(&mut packet, PacketAttr::Window, stack.window);
    set(&mut packet, PacketAttr::Options, stack.options.iter().fold(0, |f, k| fold_option(f, *k)));
    set(&mut packet, PacketAttr::Mss, pick(random, &SEGMENT_SIZES));
    set(&mut packet, PacketAttr::Sequence, sequence);
    packet
}

const fn option_bytes(kind: u8) -> u16 {
    match kind {
        1 => 1,
        2 => 4,
        3 => 3,
        4 => 2,
        _ => 10,
    }
}

fn syn(random: &mut Random) -> PacketFacts {
    let mut packet = handshake_part(random, PacketClass::Syn, TcpFlag::SYN);
    let (source, destination) = (ephemeral(random), pick(random, &TCP_PORTS));
    ports(&mut packet, source, destination);
    mark(&mut packet, TransportMark::ACK_ZERO);
    packet
}

fn answer_to_our_syn(random: &mut Random) -> PacketFacts {
    let mut packet = handshake_part(random, PacketClass::SynAck, TcpFlag::SYN | TcpFlag::ACK);
    let (source, destination) = (pick(random, &TCP_PORTS), ephemeral(random));
    ports(&mut packet, source, destination);
    // One in sixteen comes after its connection was given up.
    if random.below(16) > 0 {
        packet.set_solicited();
    }
    packet
}

/// A packet inside a connection; not `solicited` where the connection began before we looked.
fn conversation(random: &mut Random, solicited: bool) -> PacketFacts {
    let (class, flags, payload) = match random.below(20) {
        0..9 => (PacketClass::Ack, TcpFlag::ACK, 0),
        9..17 => (PacketClass::Data, TcpFlag::ACK | TcpFlag::PSH, 1 + random.below(1_448) as u16),
        17..19 => (PacketClass::Fin, TcpFlag::FIN | TcpFlag::ACK, 0),
        _ if random.below(2) == 0 => (PacketClass::Rst, TcpFlag::RST, 0),
        _ => (PacketClass::Rst, TcpFlag::RST | TcpFlag::ACK, 0),
    };
    let timestamps = random.below(2) == 0;
    let header = if timestamps { 52 } else { 40 };
    let ip = Ip {
        protocol: 6,
        ttl: pick(random, &[64, 64, 128, 255]),
        length: header + payload,
        dont_fragment: random.below(10) > 0,
    };
    let mut packet = facts(random, class, &ip);
    packet.sequence = random.word() as u32;
    packet.acknowledgement = random.word() as u32;
    let sequence = fold16(packet.sequence);
    set(&mut packet, PacketAttr::TcpFlags, u16::from(flags));
    let window = if class == PacketClass::Rst { 0 } else { random.below(65_536) as u16 };
    set(&mut packet, PacketAttr::Window, window);
    set(&mut packet, PacketAttr::Sequence, sequence);
    let to_us = (ephemeral(random), pick(random, &TCP_PORTS));
    let (source, destination) = if random.below(5) > 0 { to_us } else { (to_us.1, to_us.0) };
    ports(&mut packet, source, destination);
    if payload > 0 {
        mark(&mut packet, TransportMark::PAYLOAD);
        let fold = fold_payload(random.word() as u32, random.word() as u32);
        set(&mut packet, PacketAttr::Payload, fold);
    }
    if solicited {
        packet.set_solicited();
    }
    packet
}

fn udp(random: &mut Random, length: u16, source: u16, destination: u16) -> PacketFacts {
    let ip = Ip {
        protocol: 17,
        ttl: pick(random, &[64, 64, 128, 255]),
        length,
        dont_fragment: random.below(2) == 0,
    };
    let mut packet = facts(random, PacketClass::Udp, &ip);
    ports(&mut packet, source, destination);
    mark(&mut packet, TransportMark::PAYLOAD);
    let fold = fold_payload(random.word() as u32, random.word() as u32);
    set(&mut packet, PacketAttr::Payload, fold);
    packet
}

fn udp_answer(random: &mut Random) -> PacketFacts {
    let (source, destination) = (pick(random, &UDP_ASKED), ephemeral(random));
    let length = 60 + random.below(1_400) as u16;
    let mut packet = udp(random, length, source, destination);
    packet.set_solicited();
    packet
}

fn udp_request(random: &mut Random) -> PacketFacts {
    let (destination, same) = pick(random, &UDP_SERVICES);
    let source = if same { destination } else { ephemeral(random) };
    let length = match destination {
        443 => 1_228 + random.below(260) as u16,
        123 => 76,
        _ => 50 + random.below(500) as u16,
    };
    udp(random, length, source, destination)
}

fn icmp(random: &mut Random) -> PacketFacts {
    let (kind, code) = pick(random, &[(8, 0), (8, 0), (0, 0), (3, 1), (3, 3), (3, 4), (11, 0)]);
    let ip = Ip {
        protocol: 1,
        ttl: pick(random, &[64, 128, 255]),
        length: if kind == 8 { 84 } else { 56 + random.below(520) as u16 },
        dont_fragment: random.below(2) == 0,
    };
    let mut packet = facts(random, PacketClass::Icmp, &ip);
    set(&mut packet, PacketAttr::SourcePort, kind);
    set(&mut packet, PacketAttr::DestinationPort, code);
    if kind != 8 && random.below(2) == 0 {
        packet.set_solicited();
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_holds_every_common_kind_of_packet() {
        let profile = neutral_profile(1);
        let share = |is: &dyn Fn(&PacketFacts) -> bool| {
            profile.iter().filter(|p| is(p)).count() as f64 / profile.len() as f64
        };
        assert!(share(&|p| p.class == PacketClass::Syn) > 0.1);
        assert!(share(&|p| p.class == PacketClass::Udp && !p.solicited()) > 0.05);
        assert!(share(&|p| p.solicited()) > 0.5);
    }

    #[test]
    fn every_syn_of_the_profile_carries_options_as_real_systems_do() {
        let without =
            |p: &&PacketFacts| p.class == PacketClass::Syn && p.value(PacketAttr::Options) == 0;
        assert_eq!(neutral_profile(2).iter().filter(without).count(), 0);
    }
}
