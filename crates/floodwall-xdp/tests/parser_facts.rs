//! What etherparse has no word for: class, marks and folds of the specimens, by name.

#[path = "support/frames.rs"]
#[allow(dead_code, reason = "the specimens use their part")]
mod frames;
#[path = "support/specimens.rs"]
#[allow(dead_code, reason = "nothing is mutated here")]
mod specimens;

use floodwall_model::packet::PacketAttr::{IpMarks, Mss, Payload, Protocol, TransportMarks};
use floodwall_model::packet::PacketClass::{self, Ack, Data, Fragment, Icmp, Other, Rst, Syn, Udp};
use floodwall_model::packet::{IpMark, PacketFacts, TransportMark, fold_payload};
use floodwall_xdp::host::{Parsed, parse_frame};

fn facts(wanted: &str) -> PacketFacts {
    let (_, frame) =
        specimens::all().into_iter().find(|(name, _)| *name == wanted).expect("a specimen's name");
    match parse_frame(&frame) {
        Parsed::Packet(packet) => packet.facts,
        other => panic!("{wanted}: {other:?}"),
    }
}

#[test]
fn classes_and_marks_are_as_the_contract_says() {
    use IpMark::{DONT_FRAGMENT, FIRST_FRAGMENT, LATER_FRAGMENT, OPTIONS, RESERVED, TUNNEL, V6};
    use TransportMark::{CUT, LOW_SOURCE_PORT, PAYLOAD, SEQUENCE_LOW_ZERO};
    let sentences: &[(&str, PacketClass, u8, u8)] = &[
        ("ipv4-tcp-syn-with-the-options-of-linux", Syn, DONT_FRAGMENT, SEQUENCE_LOW_ZERO),
        ("ipv4-tcp-data", Data, DONT_FRAGMENT, SEQUENCE_LOW_ZERO | PAYLOAD),
        ("ipv4-tcp-ack-in-a-padded-frame", Ack, 0, SEQUENCE_LOW_ZERO),
        ("ipv4-tcp-rst", Rst, 0, SEQUENCE_LOW_ZERO),
        ("ipv4-tcp-without-flags", PacketClass::TcpOdd, 0, SEQUENCE_LOW_ZERO),
        ("ipv4-tcp-of-ten-bytes", PacketClass::TcpOdd, 0, CUT),
        ("ipv4-with-options-tcp-data", Data, OPTIONS, SEQUENCE_LOW_ZERO | PAYLOAD),
        ("ipv4-udp-dns-answer", Udp, 0, LOW_SOURCE_PORT | PAYLOAD),
        ("ipv4-udp-without-payload", Udp, 0, LOW_SOURCE_PORT),
        ("ipv4-first-fragment-of-udp", Udp, FIRST_FRAGMENT, LOW_SOURCE_PORT | PAYLOAD),
        ("ipv4-later-fragment-of-udp", Fragment, LATER_FRAGMENT, 0),
        ("ipv4-icmp-echo", Icmp, 0, 0),
        ("ipv4-icmp-of-four-bytes", Icmp, 0, CUT),
        ("ipv4-reserved-bit", Udp, RESERVED, LOW_SOURCE_PORT),
        ("ipv4-gre", Other, TUNNEL, 0),
        ("ipv6-in-ipv4", Other, TUNNEL, 0),
        ("ipv6-udp-of-length-zero", Udp, V6, LOW_SOURCE_PORT | PAYLOAD),
        ("ipv6-atomic-fragment", Syn, V6 | OPTIONS, SEQUENCE_LOW_ZERO),
        ("ipv6-later-fragment", Fragment, V6 | OPTIONS | LATER_FRAGMENT, 0),
        ("ipv6-six-extension-headers-tcp", Syn, V6 | OPTIONS, SEQUENCE_LOW_ZERO),
        ("ipv6-seven-extension-headers", Other, V6 | OPTIONS, 0),
        ("ipv6-jumbogram-length-zero", Syn, V6 | OPTIONS, SEQUENCE_LOW_ZERO),
    ];
    for (name, class, ip, transport) in sentences {
        let facts = facts(name);
        let found = (facts.class, facts.value(IpMarks), facts.value(TransportMarks));
        assert_eq!(found, (*class, u16::from(*ip), u16::from(*transport)), "{name}");
    }
    assert_eq!(facts("ipv6-seven-extension-headers").value(Protocol), 60);
    assert_eq!(facts("ipv4-tcp-syn-with-the-options-of-linux").value(Mss), 1_460);
    assert_eq!(facts("ipv4-tcp-option-longer-than-the-header").value(Mss), 1_460, "kept");
    assert_eq!(facts("ipv4-tcp-option-of-length-zero").value(Mss), 0, "not reached");
}

#[test]
fn payloads_are_folded_by_their_first_eight_bytes_and_the_ip_length() {
    let word = u32::from_be_bytes;
    let whole = fold_payload(word(*b"GET "), word(*b"/ HT"));
    assert_eq!(facts("ipv4-tcp-data").value(Payload), whole);
    let three = fold_payload(word(*b"abc\0"), 0);
    assert_eq!(facts("ipv4-tcp-data-of-three-bytes").value(Payload), three);
    let two = fold_payload(word(*b"ab\0\0"), 0);
    assert_eq!(facts("ipv4-udp-length-below-the-packet").value(Payload), two);
    assert_eq!(facts("ipv4-tcp-ack-in-a-padded-frame").value(Payload), 0, "padding is none");
}
