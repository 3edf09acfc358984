//! From recorded bytes to [`PacketFacts`], by the host's copy of the kernel filter's own parser.
//!
//! The kernel sees packets whole; a recorder may have kept only their beginning. What it cut off is
//! put back as zeros, so that lengths agree, unless the headers themselves were cut: then nothing
//! can be said.

use floodwall_model::packet::{PacketFacts, PacketReason};
use floodwall_xdp::host;

use super::link::{self, Layer};
use super::read::RecordedPacket;

/// Longest frame that is put back to its length on the wire, bytes: the longest IP packet and room
/// for the link layer. What claims to be longer is left as recorded.
const FRAME_BYTES_MAX: u32 = 65_535 + 64;

/// Bytes behind the transport header that rules look at (`PacketAttr::Payload`).
const PAYLOAD_LOOKED_AT_BYTES: usize = 8;

/// What a recorded packet is.
pub(crate) enum Read<'a> {
    /// An IP packet.
    Packet(Parsed<'a>),
    /// Not readable as IP.
    Unreadable(PacketReason),
    /// The recorder kept too little of it.
    CutByRecorder,
    /// Of a link layer that is not read.
    LinkUnread,
}

/// An IP packet.
pub(crate) struct Parsed<'a> {
    pub(crate) facts: PacketFacts,
    /// Why no working host sends such, if so.
    pub(crate) fault: Option<PacketReason>,
    /// From the IP header on.
    pub(crate) packet: &'a [u8],
    /// From the transport header on; empty if none was read.
    pub(crate) transport: &'a [u8],
}

/// Reads a recorded packet. Its bytes may grow by what the recorder cut off.
pub(crate) fn read(packet: &mut RecordedPacket) -> Read<'_> {
    let kept_bytes = packet.bytes.len();
    let was_cut = kept_bytes < packet.wire_bytes as usize;
    if was_cut && packet.wire_bytes <= FRAME_BYTES_MAX {
        packet.bytes.resize(packet.wire_bytes as usize, 0);
    }
    let wire_bytes = packet.wire_bytes;
    let frame: &[u8] = &packet.bytes;
    let (outcome, whole) = match link::layer(packet.link_type, frame) {
        Layer::Ethernet(frame) => (host::parse_frame(frame), frame),
        Layer::Ip(ip) => (host::parse_ip(ip), ip),
        Layer::NotIp => return Read::Unreadable(PacketReason::NotIp),
        Layer::Cut if was_cut => return Read::CutByRecorder,
        Layer::Cut => return Read::Unreadable(PacketReason::Truncated),
        Layer::Unread => return Read::LinkUnread,
    };
    let kept_of_whole = kept_bytes.saturating_sub(frame.len() - whole.len());
    let parsed = match outcome {
        host::Parsed::Packet(parsed) => parsed,
        // A fault in what was cut off is the recorder's.
        _ if was_cut && kept_of_whole < HEADERS_BYTES_MIN => return Read::CutByRecorder,
        host::Parsed::NotIp => return Read::Unreadable(PacketReason::NotIp),
        host::Parsed::Truncated => return Read::Unreadable(PacketReason::Truncated),
        host::Parsed::Malformed => return Read::Unreadable(PacketReason::Malformed),
    };
    if was_cut && kept_of_whole < looked_at_bytes(&parsed, whole.len()) {
        return Read::CutByRecorder;
    }
    let mut facts = parsed.facts;
    facts.frame_bytes = wire_bytes;
    Read::Packet(Parsed {
        facts,
        fault: host::sanity(&facts),
        packet: whole.get(usize::from(parsed.l3_offset)..).unwrap_or_default(),
        transport: parsed
            .l4_offset
            .and_then(|offset| whole.get(usize::from(offset)..))
            .unwrap_or_default(),
    })
}

/// An Ethernet and an IPv6 header: of a packet kept shorter, the IP header itself may be cut.
const HEADERS_BYTES_MIN: usize = 14 + 40;

/// Bytes of a packet of `whole_bytes` that its facts were read from.
fn looked_at_bytes(parsed: &host::ParsedPacket, whole_bytes: usize) -> usize {
    let bytes = match parsed.payload_offset {
        Some(payload) => usize::from(payload) + PAYLOAD_LOOKED_AT_BYTES,
        // No transport header was read; if it was cut off, the zeros in its place say nothing.
        None => usize::from(parsed.l3_offset) + 40,
    };
    whole_bytes.min(bytes)
}
