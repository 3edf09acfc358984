//! The kernel's word on how much an ICMP message is needed and the engine's are the same, for every
//! type, code and hop limit of both families, whole and in pieces.

use std::net::IpAddr;

use floodwall_model::packet::{
    IcmpNeed, IpMark, PACKET_ATTR_COUNT, PacketAttr, PacketClass, PacketFacts,
};
use floodwall_xdp::host;

fn message(
    source: IpAddr,
    protocol: u16,
    kind: u16,
    code: u16,
    hops: u16,
    marks: u8,
) -> PacketFacts {
    let mut values = [0; PACKET_ATTR_COUNT];
    for (attr, value) in [
        (PacketAttr::Protocol, protocol),
        (PacketAttr::SourcePort, kind),
        (PacketAttr::DestinationPort, code),
        (PacketAttr::Ttl, hops),
        (PacketAttr::IpMarks, marks.into()),
    ] {
        values[attr as usize] = value;
    }
    PacketFacts {
        source,
        destination: source,
        class: PacketClass::Icmp,
        values,
        sequence: 0,
        acknowledgement: 0,
        frame_bytes: 60,
    }
}

#[test]
fn kernel_and_engine_agree_on_every_message() {
    let sources = ["203.0.113.9", "2001:db8::9", "fe80::9", "febf::9", "fec0::9"];
    let mut seen = [0u64; 3];
    for source in sources.map(|text| text.parse::<IpAddr>().unwrap()) {
        for protocol in [1, 58, 17] {
            for kind in 0..=255 {
                for code in [0, 1, 2, 3, 4, 5, 255] {
                    for hops in [0, 1, 2, 64, 254, 255] {
                        for marks in [0, IpMark::FIRST_FRAGMENT, IpMark::LATER_FRAGMENT] {
                            let facts = message(source, protocol, kind, code, hops, marks);
                            let need = IcmpNeed::of(&facts);
                            assert_eq!(host::icmp_need(&facts), need, "{facts:?}");
                            if let Some(need) = need {
                                seen[need as usize] += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
}
