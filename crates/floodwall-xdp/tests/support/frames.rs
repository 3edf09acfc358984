//! Ethernet frames built in code, byte by byte, without the parser under test.

use std::net::{Ipv4Addr, Ipv6Addr};

/// IEEE 802.1Q.
pub(crate) const VLAN: u16 = 0x8100;
/// IEEE 802.1ad.
pub(crate) const PROVIDER_VLAN: u16 = 0x88a8;
/// Ethernet types of IPv4, IPv6 and ARP.
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const ARP: u16 = 0x0806;

/// From port 40,000 to 80 (RFC 9293 § 3.1).
const TCP_ACK: [u8; 20] =
    [0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0];

/// A frame with the given tags, outermost first.
pub(crate) fn frame(tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend(100u16.to_be_bytes());
    }
    bytes.extend(ether_type.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// An IPv4 packet with `option_words` words of no-operation options and a bare TCP ACK (RFC 791
/// § 3.1).
pub(crate) fn ipv4(source: &str, option_words: u8) -> Vec<u8> {
    let header = 20 + usize::from(option_words) * 4;
    let total = (header + 20) as u16;
    let mut bytes = vec![0x40 | (5 + option_words), 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend(source.parse::<Ipv4Addr>().unwrap().octets());
    bytes.extend(Ipv4Addr::new(198, 51, 100, 1).octets());
    bytes.resize(header, 1);
    bytes.extend(TCP_ACK);
    bytes
}

/// An IPv6 packet with a bare TCP ACK (RFC 8200 § 3).
pub(crate) fn ipv6(source: &str) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    bytes.extend(source.parse::<Ipv6Addr>().unwrap().octets());
    bytes.extend("2001:db8:ffff::1".parse::<Ipv6Addr>().unwrap().octets());
    bytes.extend(TCP_ACK);
    bytes
}

/// An ARP request (RFC 826).
pub(crate) fn arp() -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 1];
    bytes.resize(28, 0);
    bytes
}
