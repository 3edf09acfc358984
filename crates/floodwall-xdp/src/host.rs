//! The kernel filter's parser, matcher and sanity rules on this host.
//!
//! The C in bpf/ is the one truth of what a packet is: a second parser in Rust would agree with it
//! until the day it mattered. So a replay, the tests and the fuzzer call the same lines, compiled
//! for this machine (bpf/host.c); what an independent Rust parser thinks of the same packets is
//! asked in tests/parser_captures.rs. This file must never look at a packet's bytes itself.
#![allow(unsafe_code)]

mod raw;
mod rules;

#[cfg(test)]
mod header;

use floodwall_model::Prefix;
use floodwall_model::packet::{IcmpNeed, PacketAttr, PacketClass, PacketFacts, PacketReason};

pub use rules::HostRules;

use raw::RawGlance;

pub(crate) use raw::RawPacket;

/// What became of parsing one packet.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Parsed {
    /// IPv4 or IPv6, and every header that is read was read to its end.
    Packet(ParsedPacket),
    /// ARP, LLDP, more VLAN tags than are looked through…
    NotIp,
    /// The captured bytes end before the headers do.
    Truncated,
    /// The IP header contradicts itself; a stack drops such a packet.
    Malformed,
}

/// One packet, and where its parts stand.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct ParsedPacket {
    /// What is known of it. `frame_bytes` is the number of bytes given to the parser: who knows of
    /// a longer original puts its length there.
    pub facts: PacketFacts,
    /// Of the IP header, bytes from the start.
    pub l3_offset: u16,
    /// Of the transport header, bytes from the start; `None` where none was read: other protocols,
    /// later fragments, headers shorter than their minimum.
    pub l4_offset: Option<u16>,
    /// Of what is behind the transport header, bytes from the start; `None` where that is unknown.
    pub payload_offset: Option<u16>,
}

/// What the filter knows of a plain frame before it parses it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Glance {
    /// Where it says it comes from: the IPv4 address, or the IPv6 /64, as sources are banned.
    pub source: Prefix,
    /// What it counts as.
    pub class: PacketClass,
}

/// `enum fw_parsed` in bpf/parse.h; header.rs holds the numbers.
const PARSED_IP: u32 = 0;
const PARSED_NOT_IP: u32 = 1;
const PARSED_TRUNCATED: u32 = 2;

type Parse = unsafe extern "C" fn(*const u8, u64, *mut RawPacket) -> u32;

// SAFETY: the declarations repeat bpf/host.c; RawPacket repeats struct fw_packet and RawGlance
// struct fw_glance, held by header.rs.
unsafe extern "C" {
    fn fw_host_parse_frame(bytes: *const u8, length: u64, packet: *mut RawPacket) -> u32;
    fn fw_host_parse_ip(bytes: *const u8, length: u64, packet: *mut RawPacket) -> u32;
    fn fw_host_peek(bytes: *const u8, length: u64, glance: *mut RawGlance) -> u32;
    fn fw_host_sanity(packet: *const RawPacket) -> u32;
    fn fw_host_icmp_need(packet: *const RawPacket) -> u32;
}

/// Parses an Ethernet frame.
pub fn parse_frame(frame: &[u8]) -> Parsed {
    parse(fw_host_parse_frame, frame)
}

/// Parses an IP packet that has no link header.
pub fn parse_ip(packet: &[u8]) -> Parsed {
    parse(fw_host_parse_ip, packet)
}

fn parse(parser: Parse, bytes: &[u8]) -> Parsed {
    let mut raw = RawPacket::default();
    // SAFETY: pointer and length are those of one slice, which the parser reads and never keeps;
    // `raw` is writable and laid out as struct fw_packet.
    let parsed = unsafe { parser(bytes.as_ptr(), bytes.len() as u64, &raw mut raw) };
    match parsed {
        PARSED_IP => raw.facts(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).map_or(
            // Only an IP version or a class that this side does not know leads here: never, as
            // long as header.rs passes.
            Parsed::Malformed,
            |facts| {
                Parsed::Packet(ParsedPacket {
                    facts,
                    l3_offset: raw.l3_offset,
                    l4_offset: raw.l4_offset(),
                    payload_offset: raw.payload_offset(),
                })
            },
        ),
        PARSED_NOT_IP => Parsed::NotIp,
        PARSED_TRUNCATED => Parsed::Truncated,
        _ => Parsed::Malformed,
    }
}

/// The look that the filter takes at an Ethernet frame before it parses it. `None` for all but the
/// plainest: untagged IPv4 without options and fragments or IPv6 without extension headers, whole, and
/// TCP or UDP behind it.
pub fn peek(frame: &[u8]) -> Option<Glance> {
    let mut raw = RawGlance::default();
    // SAFETY: as in `parse`; `raw` is laid out as struct fw_glance.
    let says = unsafe { fw_host_peek(frame.as_ptr(), frame.len() as u64, &raw mut raw) };
    (says != 0).then(|| raw.glance())?
}

/// Why no working stack sends such a packet to another host, by the kernel filter's own rules; one
/// of [`PacketReason::SANITY`]. `None` for nearly all packets.
pub fn sanity(facts: &PacketFacts) -> Option<PacketReason> {
    let raw = RawPacket::from_facts(facts);
    // SAFETY: `raw` is laid out as struct fw_packet and only read.
    let reason = unsafe { fw_host_sanity(&raw const raw) };
    PacketReason::SANITY.into_iter().find(|known| *known as u32 == reason)
}

/// How much the network needs an ICMP message, by the kernel filter's own rules; `None` of what the
/// ICMP guard does not look at.
pub fn icmp_need(facts: &PacketFacts) -> Option<IcmpNeed> {
    if !matches!(facts.value(PacketAttr::Protocol), 1 | 58) {
        return None;
    }
    let raw = RawPacket::from_facts(facts);
    // SAFETY: `raw` is laid out as struct fw_packet and only read.
    let need = unsafe { fw_host_icmp_need(&raw const raw) };
    [IcmpNeed::Vital, IcmpNeed::Error, IcmpNeed::Question]
        .into_iter()
        .find(|known| *known as u32 == need)
}
