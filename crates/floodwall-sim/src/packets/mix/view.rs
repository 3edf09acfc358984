//! Where the fields of a frame are that filters read and rewriting changes.
//!
//! This is not the parser of the kernel filter: what it cannot read stays as it is.

use std::net::IpAddr;

/// Extension headers looked through, at most.
const EXTENSIONS_MAX: usize = 8;

/// Places in a frame.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct View {
    /// Of the IP header.
    pub(super) network_at: usize,
    pub(super) v6: bool,
    pub(super) protocol: u8,
    /// A fragment, first or later.
    pub(super) fragment: bool,
    /// Of the transport header; `None` in later fragments.
    pub(super) transport_at: Option<usize>,
}

impl View {
    /// Looks at an Ethernet frame; `None` if there is no IP packet in it or its header is cut.
    pub(super) fn of(frame: &[u8]) -> Option<View> {
        let mut at = 12;
        let mut ethertype = half(frame, at)?;
        for _ in 0..2 {
            if matches!(ethertype, 0x8100 | 0x88a8 | 0x9100) {
                at += 4;
                ethertype = half(frame, at)?;
            }
        }
        match ethertype {
            0x0800 => v4(frame, at + 2),
            0x86dd => v6(frame, at + 2),
            _ => None,
        }
    }

    /// Where the source address is; the destination follows it.
    pub(super) fn source_at(&self) -> usize {
        self.network_at + if self.v6 { 8 } else { 12 }
    }

    /// Where the time to live or hop limit is.
    pub(super) fn ttl_at(&self) -> usize {
        self.network_at + if self.v6 { 7 } else { 8 }
    }

    pub(super) fn address_bytes(&self) -> usize {
        if self.v6 { 16 } else { 4 }
    }

    /// Source and destination.
    pub(super) fn addresses(&self, frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
        let at = self.source_at();
        let bytes = frame.get(at..at + 2 * self.address_bytes())?;
        if self.v6 {
            let (from, to) = bytes.split_first_chunk::<16>()?;
            Some((IpAddr::from(*from), IpAddr::from(<[u8; 16]>::try_from(to).ok()?)))
        } else {
            let (from, to) = bytes.split_first_chunk::<4>()?;
            Some((IpAddr::from(*from), IpAddr::from(<[u8; 4]>::try_from(to).ok()?)))
        }
    }

    /// Source and destination port of TCP, UDP or SCTP.
    pub(super) fn ports(&self, frame: &[u8]) -> Option<(u16, u16)> {
        let at = self.transport_at.filter(|_| matches!(self.protocol, 6 | 17 | 132))?;
        Some((half(frame, at)?, half(frame, at + 2)?))
    }
}

fn v4(frame: &[u8], at: usize) -> Option<View> {
    let header = frame.get(at..at + 20)?;
    let bytes = usize::from(header[0] & 15) * 4;
    if header[0] >> 4 != 4 || bytes < 20 {
        return None;
    }
    let fragment = half(header, 6)?;
    let later = fragment & 0x1fff != 0;
    Some(View {
        network_at: at,
        v6: false,
        protocol: header[9],
        fragment: fragment & 0x3fff != 0,
        transport_at: (!later).then_some(at + bytes),
    })
}

fn v6(frame: &[u8], at: usize) -> Option<View> {
    let header = frame.get(at..at + 40)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (mut protocol, mut next_at) = (header[6], at + 40);
    let (mut fragment, mut later) = (false, false);
    for _ in 0..EXTENSIONS_MAX {
        let Some(extension) = frame.get(next_at..next_at + 8) else { break };
        // RFC 8200 § 4, RFC 4302 § 2.2.
        let bytes = match protocol {
            0 | 43 | 60 => 8 + 8 * usize::from(extension[1]),
            51 => 8 + 4 * usize::from(extension[1]),
            44 => {
                fragment = true;
                later = half(extension, 2)? & 0xfff8 != 0;
                8
            }
            _ => break,
        };
        protocol = extension[0];
        next_at += bytes;
        if later {
            break;
        }
    }
    let transport_at = (!later).then_some(next_at);
    Some(View { network_at: at, v6: true, protocol, fragment, transport_at })
}

/// Two bytes in network order.
pub(super) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_behind_tags_and_extension_headers() {
        let mut tagged = vec![0u8; 12];
        tagged.extend([0x81, 0, 0, 5, 0x08, 0]);
        let mut header = vec![0u8; 24];
        (header[0], header[9]) = (0x46, 17);
        tagged.extend(header);
        tagged.extend([0, 53, 200, 1]);
        let view = View::of(&tagged).unwrap();
        assert_eq!(view.ports(&tagged), Some((53, 51_201)));

        let mut extended = vec![0u8; 12];
        extended.extend([0x86, 0xdd]);
        let mut header = vec![0u8; 40];
        (header[0], header[6]) = (0x60, 60);
        extended.extend(header);
        extended.extend([6, 0, 0, 0, 0, 0, 0, 0]);
        extended.extend([1, 187, 0, 80]);
        let view = View::of(&extended).unwrap();
        assert_eq!((view.protocol, view.ports(&extended)), (6, Some((443, 80))));
    }

    proptest::proptest! {
        #[test]
        fn no_frame_leads_to_a_panic(bytes in proptest::collection::vec(0u8.., 0..120), v6: bool) {
            let mut frame = bytes;
            if frame.len() > 15 {
                frame[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
                frame[14] = if v6 { 0x60 } else { frame[14] & 15 | 0x40 };
            }
            if let Some(view) = View::of(&frame) {
                let _ = (view.addresses(&frame), view.ports(&frame));
            }
        }
    }
}
