//! The oracle: frames read slowly and plainly, in Rust, and the damaged frames it is asked about.

use floodwall_xdp::FilterReason;
use proptest::prelude::*;

use super::frames::{ARP, IPV4, IPV6, PROVIDER_VLAN, VLAN, arp, frame, ipv4, ipv6};

/// The sources that count as banned: this address, and the /64 of this one.
pub(crate) const BANNED_V4: &str = "203.0.113.9";
pub(crate) const BANNED_V6: &str = "2001:db8:1:2::7";

/// What the filter must make of `frame`.
pub(crate) fn reason_of(frame: &[u8]) -> FilterReason {
    let be16 = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let (mut at, mut tags) = (14, 0);
    let Some(mut ether_type) = be16(12) else { return FilterReason::Truncated };
    while tags < 2 && [VLAN, PROVIDER_VLAN].contains(&ether_type) {
        let Some(inner) = be16(at + 2) else { return FilterReason::Truncated };
        (ether_type, at, tags) = (inner, at + 4, tags + 1);
    }
    let Some(packet) = frame.get(at..) else { return FilterReason::Truncated };
    let banned = match ether_type {
        IPV4 => {
            let Some(fixed) = packet.get(..20) else { return FilterReason::Truncated };
            let header = usize::from(fixed[0] & 15) * 4;
            if fixed[0] >> 4 != 4 || header < 20 {
                return FilterReason::Malformed;
            }
            if packet.len() < header {
                return FilterReason::Truncated;
            }
            fixed[12..16] == [203, 0, 113, 9]
        }
        IPV6 => {
            let Some(fixed) = packet.get(..40) else { return FilterReason::Truncated };
            if fixed[0] >> 4 != 6 {
                return FilterReason::Malformed;
            }
            fixed[8..16] == [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2]
        }
        _ => return FilterReason::NotIp,
    };
    if banned { FilterReason::Banned } else { FilterReason::NoBan }
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
