//! What the host asks of others: names, the time, connections to other services. Their answers come
//! unannounced but for the question.

use std::net::IpAddr;

use fastrand::Rng;
use floodwall_model::packet::TcpFlag;

use super::{Arrivals, HonestConfig, Host};
use crate::chance::{happens, stream};
use crate::packets::clients::{hops, log_normal, public_v4, round_trip_us};
use crate::packets::header::{Fragment, IpHeader, Payload, TcpHeader};
use crate::packets::stacks::ServerStack;
use crate::packets::stream::{LabelledPacket, Source};

/// Linux's range (net.ipv4.ip_local_port_range).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;
/// Name servers that a resolver of its own meets again and again.
const AUTHORITIES: usize = 60;
/// Payload of a fragment that fills an Ethernet frame behind an IPv4 header, a multiple of eight.
const FRAGMENT_BYTES: u16 = 1_480;

pub(super) fn sources(
    config: &HonestConfig,
    host: &Host,
    seed: u64,
) -> Vec<Box<dyn Source + Send>> {
    let rng = &mut stream(seed, 21);
    let peers: Vec<Peer> =
        (0..AUTHORITIES).map(|_| Peer::drawn(public_v4(rng).into(), rng)).collect();
    let resolvers: Vec<Peer> = host.resolvers.iter().map(|at| Peer::near(*at, rng)).collect();
    let servers = if config.recursive { peers.clone() } else { resolvers };
    let recursive = config.recursive;
    let asker = host.v4;
    let names = move |at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>| {
        let server = servers[rng.usize(..servers.len())];
        look_up(asker, server, recursive, at_us, rng, out);
    };
    // ntpd keeps to its own port; chrony and systemd-timesyncd take an ephemeral one.
    let old_ntp = happens(rng, 0.4);
    let clocks = peers[..4].to_vec();
    let time = move |at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>| {
        ask_the_time(asker, clocks[rng.usize(..4)], old_ntp, at_us, rng, out);
    };
    let services = peers;
    let outgoing = move |at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>| {
        let server = services[rng.usize(..8)];
        connect(asker, server, at_us, rng, out);
    };
    vec![
        Box::new(Arrivals::new(config.lookups_ps, stream(seed, 22), names)),
        Box::new(Arrivals::new(1.0 / 32.0, stream(seed, 23), time)),
        Box::new(Arrivals::new(config.outgoing_ps, stream(seed, 24), outgoing)),
    ]
}

/// A server elsewhere.
#[derive(Copy, Clone, Debug)]
struct Peer {
    address: IpAddr,
    ttl: u8,
    rtt_us: u64,
    stack: ServerStack,
}

impl Peer {
    fn drawn(address: IpAddr, rng: &mut Rng) -> Peer {
        let stack = ServerStack::FULL[rng.usize(..ServerStack::FULL.len())];
        Peer { address, ttl: stack.initial_ttl - hops(rng), rtt_us: round_trip_us(rng), stack }
    }

    /// In the same data centre or at the same provider.
    fn near(address: IpAddr, rng: &mut Rng) -> Peer {
        let stack = ServerStack::FULL[0];
        let ttl = stack.initial_ttl - rng.u8(1..6);
        Peer { address, ttl, rtt_us: rng.u64(300..3_000), stack }
    }
}

/// A packet of this host's own business.
fn push(
    out: &mut Vec<LabelledPacket>,
    group: &'static str,
    at_us: u64,
    facts: floodwall_model::packet::PacketFacts,
    inbound: bool,
) {
    // Whatever comes in here was asked for.
    out.push(LabelledPacket { at_us, facts, attack: false, group, inbound, solicited: inbound });
}

/// A question and its answer (RFC 1035 § 4.2.1). Resolvers take a new random port for each (RFC
/// 5452 § 9.2).
fn look_up(
    asker: IpAddr,
    server: Peer,
    recursive: bool,
    at_us: u64,
    rng: &mut Rng,
    out: &mut Vec<LabelledPacket>,
) {
    let port = if recursive { rng.u16(1_024..) } else { rng.u16(EPHEMERAL) };
    let [id_high, id_low] = rng.u16(..).to_be_bytes();
    let question_bytes = rng.u16(30..72);
    let flags = if recursive { 0 } else { 1 };
    let question = [id_high, id_low, flags, if recursive { 0x10 } else { 0 }, 0, 1, 0, 0];
    // Unanswered ones are asked again after five seconds (resolv.conf(5), timeout).
    let attempts = if happens(rng, 0.01) { 2 } else { 1 };
    for attempt in 0..attempts {
        let ip = IpHeader {
            dont_fragment: false,
            ..IpHeader::new(asker, server.address, 64, rng.u16(..))
        };
        let question = ip.udp(port, 53, Payload::new(question_bytes, question));
        push(out, "dns", at_us + attempt * 5_000_000, question, false);
    }
    let answered_us = at_us + (attempts - 1) * 5_000_000 + server.rtt_us;
    // A resolver that has to ask others first takes its time.
    let delay_us =
        if recursive || happens(rng, 0.6) { rng.u64(0..400) } else { rng.u64(2_000..90_000) };
    let bytes = match rng.u8(..100) {
        0..80 => question_bytes + rng.u16(16..200),
        80..95 => question_bytes + rng.u16(200..1_100),
        // Signed answers (DNSSEC): at most what was offered, 1,232 these days, 4,096 formerly.
        95..98 => rng.u16(1_100..=1_232),
        _ => rng.u16(1_500..4_000),
    };
    let answers = rng.u8(1..=4);
    let authoritative = if recursive { 4 } else { 0 };
    let rcode = if happens(rng, 0.06) { 3 } else { 0 };
    let first = [id_high, id_low, 0x80 | authoritative | flags, 0x80 | rcode, 0, 1, 0, answers];
    answer_in_pieces(
        &IpHeader {
            dont_fragment: false,
            ..IpHeader::new(server.address, asker, server.ttl, rng.u16(..))
        },
        (53, port),
        Payload::new(bytes, first),
        answered_us + delay_us,
        out,
    );
}

/// A datagram to this host, in fragments if it must (RFC 791 § 2.3).
fn answer_in_pieces(
    ip: &IpHeader,
    (source_port, destination_port): (u16, u16),
    payload: Payload,
    at_us: u64,
    out: &mut Vec<LabelledPacket>,
) {
    let whole = payload.bytes + 8;
    if whole <= FRAGMENT_BYTES {
        push(out, "dns", at_us, ip.udp(source_port, destination_port, payload), true);
        return;
    }
    let first = IpHeader { fragment: Fragment::First, ..*ip };
    let head = Payload::new(FRAGMENT_BYTES - 8, payload.first);
    push(out, "dns", at_us, first.udp(source_port, destination_port, head), true);
    let mut left = whole - FRAGMENT_BYTES;
    let mut later_us = at_us;
    while left > 0 {
        later_us += 13;
        let piece = left.min(FRAGMENT_BYTES);
        let facts = ip.later_fragment(17, piece);
        // It carries no ports, but its beginning did, and that was noted (docs/decisions/0008, "The
        // beginnings of datagrams").
        out.push(LabelledPacket {
            at_us: later_us,
            facts,
            attack: false,
            group: "dns",
            inbound: true,
            solicited: true,
        });
        left -= piece;
    }
}

/// A question for the time and its answer (RFC 5905 § 7.3).
fn ask_the_time(
    asker: IpAddr,
    server: Peer,
    own_port: bool,
    at_us: u64,
    rng: &mut Rng,
    out: &mut Vec<LabelledPacket>,
) {
    let port = if own_port { 123 } else { rng.u16(EPHEMERAL) };
    let ask = IpHeader::new(asker, server.address, 64, 0);
    push(
        out,
        "ntp",
        at_us,
        ask.udp(port, 123, Payload::new(48, [0x23, 0, 6, 0x20, 0, 0, 0, 0])),
        false,
    );
    let answer = IpHeader::new(server.address, asker, server.ttl, rng.u16(..));
    let first = [0x24, rng.u8(1..4), 6, 0xe9, 0, 0, rng.u8(..), rng.u8(..)];
    push(out, "ntp", at_us + server.rtt_us, answer.udp(123, port, Payload::new(48, first)), true);
}

/// A connection that the host opens: to an interface of another company, a data base, a mirror.
fn connect(asker: IpAddr, server: Peer, at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>) {
    let port = rng.u16(EPHEMERAL);
    let service = [443, 443, 443, 80, 5_432, 25][rng.usize(..6)];
    let (mut seq, mut peer_seq) = (rng.u32(..), rng.u32(..));
    let later: &[u8] = if server.stack.options.contains(&8) { &[1, 1, 8] } else { &[] };
    let mut host_id = rng.u16(..);
    let mut peer_id = rng.u16(..);
    let mut at_us = at_us;
    let mut step =
        |at_us: u64, inbound: bool, seqs: (u32, u32), flags: u8, bytes: u16, rng: &mut Rng| {
            let opening = flags & TcpFlag::SYN != 0;
            let payload = Payload::new(bytes, rng.u64(..).to_le_bytes());
            let (ports, window, options, mss) = match (inbound, opening) {
                (false, true) => ((port, service), 64_240, &[2, 4, 8, 1, 3][..], 1_460),
                (false, false) => ((port, service), 502, later, 0),
                (true, true) => {
                    ((service, port), server.stack.window, server.stack.options, server.stack.mss)
                }
                (true, false) => ((service, port), 501 + rng.u16(0..9), later, 0),
            };
            let ip = if inbound {
                peer_id = peer_id.wrapping_add(1);
                let id = if opening && server.stack.id_zero { 0 } else { peer_id };
                IpHeader::new(server.address, asker, server.ttl, id)
            } else {
                host_id = host_id.wrapping_add(1);
                IpHeader::new(asker, server.address, 64, host_id)
            };
            let facts = ip.tcp(&TcpHeader {
                source_port: ports.0,
                destination_port: ports.1,
                sequence: seqs.0,
                acknowledgement: seqs.1,
                flags,
                window,
                options,
                mss,
                payload,
            });
            push(out, "outgoing", at_us, facts, inbound);
        };
    const ACK: u8 = TcpFlag::ACK;
    step(at_us, false, (seq, 0), TcpFlag::SYN, 0, rng);
    seq = seq.wrapping_add(1);
    at_us += server.rtt_us;
    step(at_us, true, (peer_seq, seq), TcpFlag::SYN | ACK, 0, rng);
    peer_seq = peer_seq.wrapping_add(1);
    at_us += 30;
    step(at_us, false, (seq, peer_seq), ACK, 0, rng);
    for _ in 0..rng.u32(1..5) {
        let asked = rng.u16(100..1_400);
        step(at_us, false, (seq, peer_seq), ACK | TcpFlag::PSH, asked, rng);
        seq = seq.wrapping_add(u32::from(asked));
        at_us += server.rtt_us;
        step(at_us, true, (peer_seq, seq), ACK, 0, rng);
        at_us += rng.u64(200..30_000);
        let segments = (log_normal(rng, 4_000.0, 1.2) / 1_448.0).ceil().min(200.0) as u32;
        for _ in 0..segments {
            step(at_us, true, (peer_seq, seq), ACK, 1_448, rng);
            peer_seq = peer_seq.wrapping_add(1_448);
            at_us += 15;
            step(at_us, false, (seq, peer_seq), ACK, 0, rng);
        }
    }
    at_us += 1_000;
    step(at_us, false, (seq, peer_seq), TcpFlag::FIN | ACK, 0, rng);
    seq = seq.wrapping_add(1);
    at_us += server.rtt_us;
    step(at_us, true, (peer_seq, seq), TcpFlag::FIN | ACK, 0, rng);
    step(at_us + 20, false, (seq, peer_seq.wrapping_add(1)), ACK, 0, rng);
}
