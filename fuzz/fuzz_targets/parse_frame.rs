//! Any bytes as a frame and as a bare packet: no crash, no read out of bounds, and no fact that
//! contradicts another.
#![no_main]

use floodwall_model::packet::{IpMark, PacketAttr, PacketClass, TransportMark};
use floodwall_xdp::host::{Parsed, parse_frame, parse_ip, sanity};
use libfuzzer_sys::fuzz_target;

fn check(parsed: Parsed, length: usize) {
    let Parsed::Packet(packet) = parsed else { return };
    let facts = &packet.facts;
    let has = |attr, mark: u8| facts.value(attr) & u16::from(mark) != 0;
    assert_eq!(facts.source.is_ipv4(), facts.destination.is_ipv4());
    assert_eq!(facts.source.is_ipv6(), has(PacketAttr::IpMarks, IpMark::V6));
    assert_ne!(facts.class, PacketClass::NotIp);
    assert!(!has(PacketAttr::TransportMarks, TransportMark::SOLICITED));

    let l4 = packet.l4_offset.map_or(0, usize::from);
    let payload = packet.payload_offset.map_or(0, usize::from);
    assert!(l4 == 0 || (l4 >= usize::from(packet.l3_offset) + 20 && l4 + 8 <= length));
    assert!(payload == 0 || (l4 > 0 && payload >= l4 + 8 && payload <= length));
    if has(PacketAttr::IpMarks, IpMark::LATER_FRAGMENT) {
        assert_eq!((facts.class, l4), (PacketClass::Fragment, 0));
        assert_eq!(facts.value(PacketAttr::SourcePort), 0);
        assert_eq!(facts.value(PacketAttr::TransportMarks), 0);
    }
    if facts.value(PacketAttr::Payload) != 0 {
        assert!(has(PacketAttr::TransportMarks, TransportMark::PAYLOAD));
    }
    sanity(facts);
}

fuzz_target!(|bytes: &[u8]| {
    check(parse_frame(bytes), bytes.len());
    check(parse_ip(bytes), bytes.len());
});
