//! A packet as mining and evidence remember it, and the keys under which packets are counted.

use std::net::IpAddr;

use floodwall_model::Source;
use floodwall_model::packet::{PacketAttr, PacketClass, PacketFacts, PacketObservation, TcpFlag};

use crate::random::mix;

/// One sampled packet.
#[derive(Copy, Clone, Debug)]
pub struct PacketRecord {
    /// When, ms since the epoch.
    pub at_ms: u64,
    /// What it was.
    pub facts: PacketFacts,
    /// Packets it stands for.
    pub weight: f64,
    /// Not every packet was looked at when this one was.
    pub sampled: bool,
    /// A rule in force spoke about it.
    pub explained: bool,
}

impl PacketRecord {
    /// What to remember of `observation`.
    pub fn of(observation: &PacketObservation) -> Self {
        PacketRecord {
            at_ms: observation.at_ms,
            facts: observation.facts,
            weight: f64::from(observation.weight.max(1)),
            sampled: observation.weight > 1,
            explained: observation.handling.rule().is_some(),
        }
    }
}

/// Whether the packet could be part of a flood: it begins a connection or belongs to none of ours,
/// and is meant for one host. What is meant for many (multicast, broadcast) asks for no answer and
/// is never a conversation; what hands out addresses on the local network comes in bursts whenever
/// the power comes back.
pub fn is_suspect(facts: &PacketFacts) -> bool {
    facts.class != PacketClass::NotIp
        && !facts.solicited()
        && !for_many(facts.destination)
        && !hands_out_addresses(facts)
}

/// DHCP, from client or relay to server (RFC 2131 § 4.1, RFC 8415 § 7.2).
fn hands_out_addresses(facts: &PacketFacts) -> bool {
    let ports = (facts.value(PacketAttr::SourcePort), facts.value(PacketAttr::DestinationPort));
    facts.class == PacketClass::Udp && matches!(ports, (67 | 68, 67 | 68) | (546 | 547, 546 | 547))
}

fn for_many(destination: IpAddr) -> bool {
    match destination {
        // x.x.x.255 is the broadcast address of most networks that have one.
        IpAddr::V4(v4) => v4.is_multicast() || v4.octets()[3] == 255,
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// The key of a source (IPv6 by /64).
pub fn source_key(facts: &PacketFacts) -> u64 {
    Source::new(facts.source).key()
}

/// The key of the network /16 (IPv6 /32) a source claims to be in.
pub fn wide_network_key(facts: &PacketFacts) -> u64 {
    match facts.source {
        IpAddr::V4(v4) => u64::from(u32::from(v4) >> 16),
        IpAddr::V6(v6) => (1 << 40) | (u128::from(v6) >> 96) as u64,
    }
}

/// The key of what a packet is sent to: address and port.
pub fn target_key(facts: &PacketFacts) -> u64 {
    let port = u64::from(facts.value(PacketAttr::DestinationPort));
    mix(Source::new(facts.destination).key() ^ (port << 17) ^ low_half(facts.destination))
}

fn low_half(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(_) => 0,
        IpAddr::V6(v6) => mix(u128::from(v6) as u64),
    }
}

/// The key of one direction of a conversation.
pub fn flow_key(facts: &PacketFacts) -> u64 {
    let ports = u64::from(facts.value(PacketAttr::SourcePort)) << 16
        | u64::from(facts.value(PacketAttr::DestinationPort));
    let ends = mix(Source::new(facts.source).key() ^ low_half(facts.source))
        .wrapping_add(target_key(facts));
    mix(ends ^ ports ^ (u64::from(facts.value(PacketAttr::Protocol)) << 40))
}

/// Whether the packet begins a connection.
pub fn is_syn(facts: &PacketFacts) -> bool {
    facts.class == PacketClass::Syn
}

/// Whether the packet shows that its sender got the answer to its SYN: it acknowledges.
pub fn follows_handshake(facts: &PacketFacts) -> bool {
    let flags = facts.value(PacketAttr::TcpFlags) as u8;
    matches!(facts.class, PacketClass::Ack | PacketClass::Data | PacketClass::Fin)
        && flags & TcpFlag::ACK != 0
}
