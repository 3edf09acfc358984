//! From what was recorded to an Ethernet frame. Numbers are tcpdump.org's LINKTYPE_ values.

/// An Ethernet header in front of `packet`, whose first four bits tell its version.
fn ethernet(packet: &[u8]) -> Option<Vec<u8>> {
    let ethertype: [u8; 2] = match packet.first()? >> 4 {
        4 => [0x08, 0x00],
        6 => [0x86, 0xdd],
        _ => return None,
    };
    // Locally administered addresses; rewriting sets them by direction.
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(ethertype);
    frame.extend_from_slice(packet);
    Some(frame)
}

/// `frame` of this link type as an Ethernet frame, and by how many bytes its header grew or shrank;
/// `None` if the link type is not read or holds no IP packet.
pub(super) fn ethernet_frame(link_type: i32, frame: &[u8]) -> Option<(Vec<u8>, i64)> {
    // The upper bits tell the length of a check sequence (draft-ietf-opsawg-pcap § 4).
    let header_bytes = match link_type & 0xffff {
        1 => return (frame.len() >= 14).then(|| (frame.to_vec(), 0)),
        12 | 14 | 101 | 228 | 229 => 0,
        // Linux cooked, both versions: 16 and 20 bytes.
        113 => 16,
        276 => 20,
        // Loopback of the BSDs: an address family in four bytes.
        0 | 108 => 4,
        _ => return None,
    };
    let framed = ethernet(frame.get(header_bytes..)?)?;
    Some((framed, 14 - header_bytes as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_all_link_types_become_ethernet_frames() {
        let mut v4 = vec![0x45; 40];
        for (link_type, header) in [(101, 0), (113, 16), (276, 20), (0, 4)] {
            let mut frame = vec![0; header];
            frame.extend_from_slice(&v4);
            let (framed, grown) = ethernet_frame(link_type, &frame).unwrap();
            assert_eq!(framed.len() as i64, frame.len() as i64 + grown);
            assert_eq!(&framed[12..15], [8, 0, 0x45]);
        }
        v4[0] = 0x60;
        assert_eq!(&ethernet_frame(12, &v4).unwrap().0[12..14], [0x86, 0xdd]);
        // Ethernet with a check sequence of four bytes.
        assert!(ethernet_frame(0x4400_0001, &v4).is_some());
    }

    #[test]
    fn what_is_no_ip_packet_is_left_out() {
        assert!(ethernet_frame(127, &[0x45; 40]).is_none());
        assert!(ethernet_frame(101, &[0x10; 40]).is_none());
        assert!(ethernet_frame(113, &[0x45; 10]).is_none());
        assert!(ethernet_frame(101, &[]).is_none());
    }
}
