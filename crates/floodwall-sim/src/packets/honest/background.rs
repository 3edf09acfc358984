//! What reaches every host on the internet: scanners, probes, backscatter of floods elsewhere,
//! echo requests, errors that routers report, and the neighbours' address resolution.

use fastrand::Rng;
use floodwall_model::packet::{PacketFacts, TcpFlag};

use super::{Arrivals, HonestConfig, Host};
use crate::chance::{happens, stream};
use crate::packets::clients::{Clients, hops, public_v4, public_v6};
use crate::packets::header::{IpHeader, Payload, TcpHeader, not_ip};
use crate::packets::stacks::Stack;
use crate::packets::stream::{LabelledPacket, Source};

/// Ports that scanners like.
const SCANNED_TCP: [u16; 14] =
    [22, 23, 2_323, 80, 443, 8_080, 3_389, 445, 5_900, 6_379, 21, 25, 8_443, 1_433];
const SCANNED_UDP: [u16; 9] = [53, 123, 161, 1_900, 5_060, 389, 11_211, 137, 3_478];

pub(super) fn sources(
    config: &HonestConfig,
    host: &Host,
    clients: &Clients,
    seed: u64,
) -> Vec<Box<dyn Source + Send>> {
    let radiation = {
        let host = host.clone();
        move |at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>| {
            scan(&host, at_us, rng, out);
        }
    };
    let pings = {
        let (host, clients) = (host.clone(), clients.clone());
        move |at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>| {
            ping(&host, &clients, at_us, rng, out);
        }
    };
    let errors = {
        let host = host.clone();
        move |at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>| {
            if happens(rng, 0.2) {
                return path_mtu(&host, at_us, rng, out);
            }
            let ip = router(&host, rng);
            // Unreachable (host, port, administratively prohibited) or expired on the way.
            let (kind, code) = [(3, 1), (3, 3), (3, 10), (3, 13), (11, 0)][rng.usize(..5)];
            push(out, "icmp", at_us, ip.icmp(kind, code, rng.u16(36..=556)), true);
        }
    };
    let neighbours = {
        let host = host.clone();
        move |at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>| {
            neighbour(&host, at_us, rng, out);
        }
    };
    vec![
        Box::new(Arrivals::new(config.scans_ps, stream(seed, 31), radiation)),
        Box::new(Arrivals::new(config.pings_ps, stream(seed, 32), pings)),
        Box::new(Arrivals::new(config.errors_ps, stream(seed, 33), errors)),
        Box::new(Arrivals::new(0.2, stream(seed, 34), neighbours)),
    ]
}

fn push(
    out: &mut Vec<LabelledPacket>,
    group: &'static str,
    at_us: u64,
    facts: PacketFacts,
    inbound: bool,
) {
    out.push(LabelledPacket { at_us, facts, attack: false, group, inbound, solicited: false });
}

fn router(host: &Host, rng: &mut Rng) -> IpHeader {
    let initial = if happens(rng, 0.7) { 255 } else { 64 };
    let ttl = initial - hops(rng);
    let source = public_v4(rng).into();
    IpHeader { dont_fragment: false, ..IpHeader::new(source, host.v4, ttl, rng.u16(..)) }
}

/// A tunnel or a narrow link on the way: "fragmentation needed" (RFC 1191), "packet too big" (RFC
/// 8201).
fn path_mtu(host: &Host, at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>) {
    let v4 = router(host, rng);
    let facts = if happens(rng, 0.7) {
        v4.icmp(3, 4, rng.u16(36..=556))
    } else {
        let source = public_v6(rng).into();
        IpHeader::new(source, host.v6, v4.ttl, 0).icmp(2, 0, rng.u16(60..=1_240))
    };
    push(out, "path-mtu", at_us, facts, true);
}

fn scan(host: &Host, at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>) {
    let source = public_v4(rng).into();
    let port = if happens(rng, 0.6) { SCANNED_TCP[rng.usize(..14)] } else { rng.u16(1..) };
    let mut tcp = TcpHeader {
        source_port: rng.u16(1_024..),
        destination_port: port,
        sequence: rng.u32(..),
        acknowledgement: 0,
        flags: TcpFlag::SYN,
        window: 1_024,
        options: &[],
        mss: 0,
        payload: Payload::NONE,
    };
    let near = hops(rng);
    let facts = match rng.u8(..100) {
        // A scanner that keeps no state and marks its packets with a fixed identification.
        0..25 => {
            tcp.window = 65_535;
            if happens(rng, 0.5) {
                (tcp.options, tcp.mss) = (&[2], 1_460);
            }
            let ip = IpHeader {
                dont_fragment: false,
                ..IpHeader::new(source, host.v4, 255 - near, 54_321)
            };
            ip.tcp(&tcp)
        }
        // Another, with a window of 1,024 and hardly any options.
        25..55 => {
            if happens(rng, 0.4) {
                (tcp.options, tcp.mss) = (&[2], 1_460);
            }
            let ttl = [255, 64, 128][rng.usize(..3)] - near;
            let ip = IpHeader {
                dont_fragment: false,
                ..IpHeader::new(source, host.v4, ttl, rng.u16(..))
            };
            ip.tcp(&tcp)
        }
        // Infected devices: a raw SYN with random window; some with the address as sequence number.
        55..65 => {
            tcp.window = rng.u16(..);
            if happens(rng, 0.6)
                && let std::net::IpAddr::V4(v4) = host.v4
            {
                tcp.sequence = u32::from(v4);
            }
            let ip = IpHeader {
                dont_fragment: false,
                ..IpHeader::new(source, host.v4, 64 - near, rng.u16(..))
            };
            ip.tcp(&tcp)
        }
        // A program that connects like any other.
        65..80 => {
            let stack = &Stack::CLIENTS[if happens(rng, 0.8) { 5 } else { 0 }];
            (tcp.window, tcp.options, tcp.mss) =
                (stack.syn_window(1_460), stack.syn_options, 1_460);
            let ip = IpHeader::new(source, host.v4, stack.initial_ttl - near, rng.u16(..));
            ip.tcp(&tcp)
        }
        80..92 => {
            let ip = IpHeader {
                dont_fragment: happens(rng, 0.5),
                ..IpHeader::new(source, host.v4, 250 - near, rng.u16(..))
            };
            let port = SCANNED_UDP[rng.usize(..SCANNED_UDP.len())];
            let bytes = rng.u16(1..90);
            ip.udp(rng.u16(1_024..), port, Payload::new(bytes, rng.u64(..).to_le_bytes()))
        }
        // Backscatter: somebody else's flood carries this host's address.
        _ => {
            tcp.source_port = [80, 443, 22, 53, 25_565][rng.usize(..5)];
            tcp.destination_port = rng.u16(1_024..);
            tcp.acknowledgement = rng.u32(..);
            if happens(rng, 0.6) {
                tcp.flags = TcpFlag::SYN | TcpFlag::ACK;
                (tcp.window, tcp.options, tcp.mss) = (64_240, &[2], 1_460);
            } else {
                tcp.flags = TcpFlag::RST | TcpFlag::ACK;
                tcp.window = 0;
            }
            IpHeader::new(source, host.v4, 64 - near, 0).tcp(&tcp)
        }
    };
    push(out, "scan", at_us, facts, true);
}

fn ping(host: &Host, clients: &Clients, at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>) {
    let mut client = clients.draw(rng);
    let address = host.address_for(client.address);
    let (ask, answer) = if address.is_ipv6() { (128, 129) } else { (8, 0) };
    // Windows sends 32 bytes, Unix 56, monitors what they like.
    let bytes = [40, 64, 64, 64, 28, 92][rng.usize(..6)];
    for number in 0..rng.u64(1..5) {
        let id = client.next_id(rng);
        let ip = IpHeader::new(client.address, address, client.ttl, id);
        let at_us = at_us + number * 1_000_000;
        push(out, "icmp", at_us, ip.icmp(ask, 0, bytes), true);
        let back = IpHeader {
            dont_fragment: false,
            ..IpHeader::new(address, client.address, 64, rng.u16(..))
        };
        push(out, "icmp", at_us + 30, back.icmp(answer, 0, bytes), false);
    }
}

/// Address resolution, and IPv6's neighbour discovery, whose hop limit is 255 (RFC 4861 § 7.1).
fn neighbour(host: &Host, at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>) {
    if happens(rng, 0.5) {
        push(out, "neighbour", at_us, not_ip(host.v4, host.v4), true);
    } else {
        let gateway = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into();
        let solicits = IpHeader::new(gateway, host.v6, 255, 0);
        push(out, "neighbour", at_us, solicits.icmp(135, 0, 32), true);
        let back = IpHeader::new(host.v6, gateway, 255, 0);
        push(out, "neighbour", at_us + 20, back.icmp(136, 0, 32), false);
    }
}
