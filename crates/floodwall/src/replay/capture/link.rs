//! From a recorded frame to the IP packet in it: what stands before it depends on where it was
//! recorded. Numbers are tcpdump.org's LINKTYPE_ values.
//!
//! Only the link layer is read here. Everything from the Ethernet or IP header on is read by the
//! kernel filter's own parser.

/// What is in a frame.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Layer<'a> {
    /// A whole Ethernet frame.
    Ethernet(&'a [u8]),
    /// An IP packet, version by its first four bits.
    Ip(&'a [u8]),
    /// The link layer says that it is no IP.
    NotIp,
    /// The link layer's header itself is cut.
    Cut,
    /// A link layer that is not read.
    Unread,
}

const ETHERTYPE_V4: u16 = 0x0800;
const ETHERTYPE_V6: u16 = 0x86dd;
/// VLAN tags (IEEE 802.1Q, 802.1ad, and what was in use before).
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// VLAN tags looked through, as many as the kernel filter does.
const VLAN_TAGS_MAX: usize = 2;

/// `AF_INET6` of Linux, the BSDs and macOS; `AF_INET` is 2 everywhere.
const FAMILIES_V6: [u32; 5] = [10, 24, 26, 28, 30];

/// Takes the link layer of number `link_type` off `frame`.
pub(crate) fn layer(link_type: i32, frame: &[u8]) -> Layer<'_> {
    match link_type {
        1 => Layer::Ethernet(frame),
        // RAW under three numbers, IPV4, IPV6.
        12 | 14 | 101 | 228 | 229 => Layer::Ip(frame),
        // LINUX_SLL: the protocol in the last two of 16 bytes.
        113 => cooked(frame, 14, 16),
        // LINUX_SLL2: the protocol in the first two of 20 bytes.
        276 => cooked(frame, 0, 20),
        0 => loopback(frame, false),
        108 => loopback(frame, true),
        _ => Layer::Unread,
    }
}

/// A link type's name, for those met most; its number for others.
pub(crate) fn name(link_type: i32) -> String {
    let name = match link_type {
        -1 => return "of no described interface".to_owned(),
        0 => "BSD loopback",
        1 => "Ethernet",
        9 | 50 => "PPP",
        12 | 14 | 101 => "raw IP",
        105 => "IEEE 802.11",
        108 => "OpenBSD loopback",
        113 => "Linux cooked",
        119 => "IEEE 802.11 with Prism header",
        127 => "IEEE 802.11 with radiotap header",
        163 => "IEEE 802.11 with AVS header",
        187 | 201 => "Bluetooth",
        189 | 220 => "USB",
        192 => "per-packet information",
        195 | 230 => "IEEE 802.15.4",
        228 => "raw IPv4",
        229 => "raw IPv6",
        239 => "netfilter log",
        276 => "Linux cooked v2",
        _ => return format!("link type {link_type}"),
    };
    format!("{name} ({link_type})")
}

fn cooked(frame: &[u8], protocol_at: usize, header_bytes: usize) -> Layer<'_> {
    let Some(packet) = frame.get(header_bytes..) else { return Layer::Cut };
    let Some(protocol) = half(frame, protocol_at) else { return Layer::Cut };
    behind_tags(protocol, packet)
}

fn behind_tags(mut protocol: u16, mut packet: &[u8]) -> Layer<'_> {
    for _ in 0..VLAN_TAGS_MAX {
        if !ETHERTYPES_VLAN.contains(&protocol) {
            break;
        }
        let (Some(inner), Some(rest)) = (half(packet, 2), packet.get(4..)) else {
            return Layer::Cut;
        };
        (protocol, packet) = (inner, rest);
    }
    match protocol {
        ETHERTYPE_V4 | ETHERTYPE_V6 => Layer::Ip(packet),
        _ => Layer::NotIp,
    }
}

/// Four bytes of address family: in `network_order`, or in the recorder's own, which the
/// file does not tell; families are small numbers, so the order is seen.
fn loopback(frame: &[u8], network_order: bool) -> Layer<'_> {
    let (Some(head), Some(packet)) = (frame.get(..4), frame.get(4..)) else { return Layer::Cut };
    let Ok(head) = <[u8; 4]>::try_from(head) else { return Layer::Cut };
    let mut family = u32::from_be_bytes(head);
    if !network_order && family > 0xffff {
        family = family.swap_bytes();
    }
    if family == 2 || FAMILIES_V6.contains(&family) { Layer::Ip(packet) } else { Layer::NotIp }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ip_packet_is_found_behind_every_link_layer_that_is_read() {
        let ip = b"\x45ip";
        let before = |head: &[u8]| [head, ip].concat();
        let check = |link_type, head: &[u8]| {
            assert_eq!(layer(link_type, &before(head)), Layer::Ip(ip), "{link_type} {head:?}");
        };
        for raw in [12, 14, 101, 228, 229] {
            check(raw, b"");
        }
        let sll = b"\x00\x00\x00\x01\x00\x06\x02\0\0\0\0\x01\0\0\x08\x00";
        check(113, sll);
        check(113, &[&sll[..14], b"\x81\x00\x00\x05\x86\xdd"].concat());
        check(276, b"\x86\xdd\0\0\0\0\0\x01\0\x01\0\x06\x02\0\0\0\0\x01\0\0");
        check(0, b"\x02\0\0\0");
        check(0, b"\0\0\0\x1e");
        check(0, b"\x1c\0\0\0");
        check(108, b"\0\0\0\x18");
        assert_eq!(layer(1, b"frame"), Layer::Ethernet(b"frame"));
    }

    #[test]
    fn what_is_no_ip_and_what_is_cut_is_said() {
        assert_eq!(layer(105, b"\x08\x00"), Layer::Unread);
        assert_eq!(layer(-1, b"\x08\x00"), Layer::Unread);
        assert_eq!(layer(113, b"\x00\x00\x00\x01"), Layer::Cut);
        let arp = b"\x00\x00\x00\x01\x00\x06\x02\0\0\0\0\x01\0\0\x08\x06rest";
        assert_eq!(layer(113, arp), Layer::NotIp);
        assert_eq!(layer(0, b"\x07\0\0\0"), Layer::NotIp);
        assert_eq!(layer(0, b"\x02\0"), Layer::Cut);
        let tags =
            b"\x00\x00\x00\x01\x00\x06\x02\0\0\0\0\x01\0\0\x81\x00\0\x01\x81\x00\0\x01\x81\x00";
        assert_eq!(layer(113, tags), Layer::NotIp);
    }

    #[test]
    fn link_types_have_names() {
        assert_eq!(name(127), "IEEE 802.11 with radiotap header (127)");
        assert_eq!(name(9_999), "link type 9999");
    }
}
