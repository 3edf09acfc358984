//! One packet of every shape that the parser knows, built in code and named in words. Seeds of the
//! fuzzer, of the mutations, and of the run under the sanitizers.

use super::frames::{ARP, IPV4, IPV6, PROVIDER_VLAN, VLAN, arp, frame};

const TCP: u8 = 6;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
/// What Linux sends with a SYN: segment size, SACK permitted, timestamps, window scale.
const LINUX_OPTIONS: [u8; 20] = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];

/// RFC 791 § 3.1; `fragment` is the word of flags and offset.
fn ipv4(protocol: u8, fragment: u16, options: &[u8], body: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let mut bytes = vec![0x40 | (header / 4) as u8, 0];
    bytes.extend(((header + body.len()) as u16).to_be_bytes());
    bytes.extend([0x12, 0x34]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, protocol, 0, 0, 203, 0, 113, 9, 198, 51, 100, 1]);
    bytes.extend(options);
    bytes.extend(body);
    bytes
}

/// RFC 8200 § 3.
fn ipv6(next_header: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend([next_header, 57]);
    bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7]);
    bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend(body);
    bytes
}

/// RFC 9293 § 3.1.
fn tcp(flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, 0x01, 0x01, 0xbb, 0xde, 0xad, 0, 0, 0, 0, 0, 1];
    bytes.extend([(((20 + options.len()) / 4) as u8) << 4, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

/// RFC 768.
fn udp(length: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 53, 0x9c, 0x40];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// An extension header of `words` times eight bytes (RFC 8200 § 4.3), padded.
fn extension(next_header: u8, words: u8) -> Vec<u8> {
    let mut bytes = vec![next_header, words - 1, 1, 4, 0, 0, 0, 0];
    bytes.resize(usize::from(words) * 8, 0);
    bytes
}

/// RFC 8200 § 4.5; `offset` in bytes.
fn fragment(next_header: u8, offset: u16, more: bool) -> Vec<u8> {
    let mut bytes = vec![next_header, 0];
    bytes.extend((offset | u16::from(more)).to_be_bytes());
    bytes.extend([1, 2, 3, 4]);
    bytes
}

fn chain(kinds: &[u8], transport: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for at in 0..kinds.len() {
        body.extend(extension(kinds.get(at + 1).copied().unwrap_or(TCP), 1));
    }
    body.extend(transport);
    ipv6(kinds[0], &body)
}

fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(60.max(frame.len()), 0xee);
    frame
}

/// Name and frame of each.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let v4 = |packet: Vec<u8>| frame(&[], IPV4, &packet);
    let v6 = |packet: Vec<u8>| frame(&[], IPV6, &packet);
    let syn = || tcp(0x02, &LINUX_OPTIONS, &[]);
    let icmp = [8, 0, 0, 0, 0, 1, 0, 1, b'p', b'i', b'n', b'g'];
    let authentication = [TCP, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    let authentication: Vec<u8> = authentication.into_iter().chain([9; 12]).collect();
    vec![
        ("ipv4-tcp-syn-with-the-options-of-linux", v4(ipv4(TCP, 0x4000, &[], &syn()))),
        ("ipv4-tcp-data", v4(ipv4(TCP, 0x4000, &[], &tcp(0x18, &[], b"GET / HTTP/1.1\r\n")))),
        ("ipv4-tcp-data-of-three-bytes", v4(ipv4(TCP, 0, &[], &tcp(0x18, &[], b"abc")))),
        ("ipv4-tcp-ack-in-a-padded-frame", padded(v4(ipv4(TCP, 0, &[], &tcp(0x10, &[], &[]))))),
        ("ipv4-tcp-rst", v4(ipv4(TCP, 0, &[], &tcp(0x04, &[], &[])))),
        ("ipv4-tcp-without-flags", v4(ipv4(TCP, 0, &[], &tcp(0, &[], &[])))),
        ("ipv4-tcp-options-of-no-operations", v4(ipv4(TCP, 0, &[], &tcp(0x12, &[1; 40], &[])))),
        (
            "ipv4-tcp-option-longer-than-the-header",
            v4(ipv4(TCP, 0, &[], &tcp(0x02, &[2, 4, 5, 180, 8, 10, 0, 0], &[]))),
        ),
        (
            "ipv4-tcp-option-of-length-zero",
            v4(ipv4(TCP, 0, &[], &tcp(0x02, &[1, 1, 8, 0, 2, 4, 5, 180], &[]))),
        ),
        (
            "ipv4-tcp-header-length-below-its-minimum",
            v4(ipv4(
                TCP,
                0,
                &[],
                &[&tcp(0x02, &[], &[])[..12], &[0x40, 2, 0, 0, 0, 0, 0, 0]].concat(),
            )),
        ),
        ("ipv4-tcp-of-ten-bytes", padded(v4(ipv4(TCP, 0, &[], &tcp(0x02, &[], &[])[..10])))),
        ("ipv4-with-options-tcp-data", v4(ipv4(TCP, 0, &[1; 40], &tcp(0x10, &[], b"0123456789")))),
        ("ipv4-udp-dns-answer", v4(ipv4(UDP, 0, &[], &udp(20, b"\x12\x34\x81\x80answer!!")))),
        ("ipv4-udp-without-payload", padded(v4(ipv4(UDP, 0, &[], &udp(8, &[]))))),
        ("ipv4-udp-length-beyond-the-packet", v4(ipv4(UDP, 0, &[], &udp(99, b"short")))),
        ("ipv4-udp-length-below-its-header", v4(ipv4(UDP, 0, &[], &udp(3, b"short")))),
        ("ipv4-udp-length-below-the-packet", v4(ipv4(UDP, 0, &[], &udp(10, b"ab-and-more")))),
        ("ipv4-icmp-echo", v4(ipv4(1, 0, &[], &icmp))),
        ("ipv4-icmp-of-four-bytes", v4(ipv4(1, 0, &[], &icmp[..4]))),
        ("ipv4-first-fragment-of-udp", v4(ipv4(UDP, 0x2000, &[], &udp(3000, &[7; 24])))),
        ("ipv4-later-fragment-of-udp", v4(ipv4(UDP, 0x2003, &[], &[7; 24]))),
        ("ipv4-last-fragment-of-tcp", v4(ipv4(TCP, 0x0003, &[], &[7; 24]))),
        ("ipv4-reserved-bit", v4(ipv4(UDP, 0x8000, &[], &udp(8, &[])))),
        ("ipv4-gre", v4(ipv4(47, 0, &[], &[0, 0, 8, 0, 0x45]))),
        ("ipv4-in-ipv4", v4(ipv4(4, 0, &[], &ipv4(UDP, 0, &[], &udp(8, &[]))))),
        ("ipv6-in-ipv4", v4(ipv4(41, 0, &[], &ipv6(UDP, &udp(8, &[]))))),
        ("ipv4-esp", v4(ipv4(50, 0, &[], &[0; 16]))),
        (
            "ipv4-shorter-than-its-header",
            v4(vec![0x45, 0, 0, 19, 0, 0, 0, 0, 64, 6, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ),
        ("ipv4-behind-a-tag", frame(&[VLAN], IPV4, &ipv4(TCP, 0, &[], &syn()))),
        ("ipv4-behind-two-tags", frame(&[PROVIDER_VLAN, VLAN], IPV4, &ipv4(TCP, 0, &[], &syn()))),
        ("ipv4-behind-three-tags", frame(&[VLAN; 3], IPV4, &ipv4(TCP, 0, &[], &syn()))),
        ("arp-request", frame(&[], ARP, &arp())),
        ("ipv6-tcp-syn", v6(ipv6(TCP, &syn()))),
        ("ipv6-behind-a-tag", frame(&[VLAN], IPV6, &ipv6(TCP, &syn()))),
        ("ipv6-udp", v6(ipv6(UDP, &udp(11, b"abc")))),
        ("ipv6-udp-of-length-zero", v6(ipv6(UDP, &udp(0, b"to the end")))),
        (
            "ipv6-icmpv6-neighbour-solicitation",
            v6(ipv6(58, &[[135, 0, 0, 0].as_slice(), &[0; 20]].concat())),
        ),
        ("ipv6-no-next-header", v6(ipv6(59, &[]))),
        ("ipv6-hop-by-hop-tcp", v6(chain(&[0], &syn()))),
        ("ipv6-six-extension-headers-tcp", v6(chain(&[0, 60, 43, 60, 60, 60], &syn()))),
        ("ipv6-seven-extension-headers", v6(chain(&[0, 60, 43, 60, 60, 60, 60], &syn()))),
        ("ipv6-longest-extension-header", v6(ipv6(60, &[extension(TCP, 255), syn()].concat()))),
        ("ipv6-authentication-tcp", v6(ipv6(51, &[authentication, syn()].concat()))),
        ("ipv6-atomic-fragment", v6(ipv6(FRAGMENT, &[fragment(TCP, 0, false), syn()].concat()))),
        (
            "ipv6-first-fragment",
            v6(ipv6(FRAGMENT, &[fragment(UDP, 0, true), udp(3000, &[7; 16])].concat())),
        ),
        (
            "ipv6-later-fragment",
            v6(ipv6(FRAGMENT, &[fragment(UDP, 1448, true), vec![7; 24]].concat())),
        ),
        ("ipv6-extension-longer-than-the-packet", v6(ipv6(60, &[TCP, 9, 0, 0, 0, 0, 0, 0]))),
        ("ipv6-jumbogram-length-zero", {
            let mut packet = chain(&[0], &syn());
            packet[4..6].fill(0);
            v6(packet)
        }),
        ("ipv6-length-zero-without-hop-by-hop", {
            let mut packet = ipv6(TCP, &syn());
            packet[4..6].fill(0);
            v6(packet)
        }),
    ]
}

/// Mutates in place by the numbers drawn: bytes overwritten, mostly in the headers; a number field
/// moved by one; the end cut off.
pub(crate) fn mutate(frame: &mut Vec<u8>, mut draw: impl FnMut(usize) -> usize) {
    for _ in 0..draw(4) {
        let reach = if draw(3) == 0 { frame.len() } else { frame.len().min(12 + 8 + 60) };
        if reach <= 12 {
            break;
        }
        let at = 12 + draw(reach - 12);
        frame[at] = match draw(4) {
            0 => draw(256) as u8,
            1 => frame[at].wrapping_add(1),
            2 => frame[at].wrapping_sub(1),
            _ => frame[at] ^ (1 << draw(8)),
        };
    }
    if draw(4) == 0 {
        let length = draw(frame.len() + 1);
        frame.truncate(length);
    }
}
