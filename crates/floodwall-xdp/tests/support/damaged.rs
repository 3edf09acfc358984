//! Damaged frames, and what the filter must make of any frame when only bans and sanity speak.

use floodwall_model::packet::PacketReason;
use floodwall_xdp::host::{self, Parsed};
use proptest::prelude::*;

use super::frames::{ARP, IPV4, IPV6, PROVIDER_VLAN, VLAN, arp, frame, ipv4, ipv6};

/// The sources that count as banned: this address, and the /64 of this one.
pub(crate) const BANNED_V4: &str = "203.0.113.9";
pub(crate) const BANNED_V6: &str = "2001:db8:1:2::7";

/// What the filter must make of `frame`, by the parser's copy on this host; what that one is worth
/// is asked in the parser's own tests.
pub(crate) fn reason_of(frame: &[u8]) -> PacketReason {
    let packet = match host::parse_frame(frame) {
        Parsed::NotIp => return PacketReason::NotIp,
        Parsed::Truncated => return PacketReason::Truncated,
        Parsed::Malformed => return PacketReason::Malformed,
        Parsed::Packet(packet) => packet,
    };
    let banned = match packet.facts.source {
        std::net::IpAddr::V4(v4) => v4.octets() == [203, 0, 113, 9],
        std::net::IpAddr::V6(v6) => v6.segments()[..4] == [0x2001, 0xdb8, 1, 2],
    };
    match host::sanity(&packet.facts) {
        _ if banned => PacketReason::SourceBanned,
        Some(reason) => reason,
        None => PacketReason::NoObjection,
    }
}

/// Frames of every kind, then damaged: some bytes overwritten, the end cut off.
pub(crate) fn damaged_frame() -> impl Strategy<Value = Vec<u8>> {
    let tags = proptest::collection::vec(prop_oneof![Just(VLAN), Just(PROVIDER_VLAN)], 0..4);
    let inner = prop_oneof![
        (0..11u8).prop_map(|words| (IPV4, ipv4(BANNED_V4, words))),
        Just((IPV4, ipv4("203.0.113.10", 0))),
        Just((IPV6, ipv6(BANNED_V6))),
        Just((IPV6, ipv6("2001:db8:1:3::1"))),
        Just((ARP, arp())),
    ];
    let damage = proptest::collection::vec((12..60usize, any::<u8>()), 0..3);
    (tags, inner, damage, any::<proptest::sample::Index>()).prop_map(
        |(tags, (ether_type, packet), damage, cut)| {
            let mut bytes = frame(&tags, ether_type, &packet);
            for (at, byte) in damage {
                if let Some(target) = bytes.get_mut(at) {
                    *target = byte;
                }
            }
            // Half of the frames stay whole.
            let length = 14 + cut.index(2 * (bytes.len() - 13));
            bytes.truncate(length);
            bytes
        },
    )
}
