//! The filter's glance at plain frames of either family, by which banned sources are dropped before anything is
//! parsed: of what it speaks it says what the full parser says, and it speaks of all that is plain.
//! A glance that errs would drop or spare by an address or count under a class that is not the
//! packet's.

#[path = "support/frames.rs"]
#[allow(dead_code, reason = "the specimens use their part")]
mod frames;
#[path = "support/specimens.rs"]
mod specimens;

use std::net::{IpAddr, Ipv6Addr};

use floodwall_model::Prefix;
use floodwall_model::packet::{IpMark, PacketAttr, TransportMark};
use floodwall_xdp::host::{Glance, Parsed, ParsedPacket, parse_frame, peek};
use proptest::prelude::*;

/// Of an untagged Ethernet header, and of an IPv4 header without options (RFC 791 § 3.1) or an IPv6
/// header without extensions (RFC 8200 § 3) behind it.
const L3: u16 = 14;
const L4_V4: u16 = 34;
const L4_V6: u16 = 54;
const TCP: u16 = 6;
const UDP: u16 = 17;

/// By the full parser's account. A UDP header is whole whatever it says of its own length; of a TCP
/// header with a wrong length the class is not known from the flags alone.
fn is_plain(frame: &[u8], parsed: &ParsedPacket) -> bool {
    let facts = &parsed.facts;
    let protocol = facts.value(PacketAttr::Protocol);
    let cut = facts.value(PacketAttr::TransportMarks) & u16::from(TransportMark::CUT) != 0;
    let fragment = u16::from(IpMark::FIRST_FRAGMENT) | u16::from(IpMark::LATER_FRAGMENT);
    let l4 = if facts.source.is_ipv4() { L4_V4 } else { L4_V6 };
    (parsed.l3_offset, parsed.l4_offset) == (L3, Some(l4))
        && (protocol == UDP || (protocol == TCP && !cut))
        && facts.value(PacketAttr::IpMarks) & fragment == 0
        && usize::from(L3) + usize::from(facts.value(PacketAttr::Length)) <= frame.len()
}

/// Whether the glance spoke.
fn check(frame: &[u8]) -> Result<bool, TestCaseError> {
    let parsed = parse_frame(frame);
    let Some(glance) = peek(frame) else {
        if let Parsed::Packet(parsed) = parsed {
            prop_assert!(!is_plain(frame, &parsed), "silent on a plain one: {frame:02x?}");
        }
        return Ok(false);
    };
    let Parsed::Packet(parsed) = parsed else {
        return Err(TestCaseError::fail(format!("{glance:?} of what is {parsed:?}: {frame:02x?}")));
    };
    let class = parsed.facts.class;
    let source = match parsed.facts.source {
        IpAddr::V4(v4) => Prefix::new(v4.into(), 32),
        // Halved before it becomes a prefix, which would take an IPv4-mapped address for IPv4.
        IpAddr::V6(v6) => {
            Prefix::new(Ipv6Addr::from(u128::from(v6) & (u128::MAX << 64)).into(), 64)
        }
    };
    prop_assert_eq!(glance, Glance { source, class }, "{:02x?}", frame);
    prop_assert!(is_plain(frame, &parsed), "{frame:02x?}");
    Ok(true)
}

#[test]
fn the_glance_agrees_on_every_specimen_and_speaks_of_many() {
    let mut spoke = 0;
    for (name, frame) in specimens::all() {
        spoke += u32::from(check(&frame).unwrap_or_else(|error| panic!("{name}: {error}")));
        for end in 0..frame.len() {
            check(&frame[..end]).unwrap_or_else(|error| panic!("{name}, cut at {end}: {error}"));
        }
    }
    assert!(spoke >= 10, "{spoke}");
}

/// An IPv6 frame whose plain headers stand, with chance in every field that the glance reads.
fn nearly_plain_v6() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![8 => Just(0x60), 1 => any::<u8>()];
    let length = prop_oneof![4 => 0..100u16, 1 => any::<u16>()];
    let protocol =
        prop_oneof![4 => Just(6u8), 4 => Just(17), 1 => Just(0), 1 => Just(44), 1 => any::<u8>()];
    let behind = prop::collection::vec(any::<u8>(), 0..100);
    (first, length, protocol, any::<[u8; 16]>(), behind).prop_map(
        |(first, length, protocol, source, behind)| {
            let mut packet = vec![first, 0, 0, 0];
            packet.extend(length.to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(source);
            packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            packet.extend(behind);
            frames::frame(&[], frames::IPV6, &packet)
        },
    )
}

/// Likewise of IPv4.
fn nearly_plain() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![8 => Just(0x45), 1 => any::<u8>()];
    let length = prop_oneof![4 => 20..120u16, 1 => any::<u16>()];
    let fragment = prop_oneof![4 => Just(0u16), 2 => Just(0x4000), 1 => Just(0x8000), 1 => Just(0x2000), 1 => any::<u16>()];
    let protocol = prop_oneof![4 => Just(6u8), 4 => Just(17), 1 => any::<u8>()];
    let fields = (first, length, fragment, protocol);
    (fields, any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..100)).prop_map(
        |((first, length, fragment, protocol), source, behind)| {
            let mut packet = vec![first, 0];
            packet.extend(length.to_be_bytes());
            packet.extend([0, 1]);
            packet.extend(fragment.to_be_bytes());
            packet.extend([64, protocol, 0, 0]);
            packet.extend(source);
            packet.extend([198, 51, 100, 1]);
            packet.extend(behind);
            frames::frame(&[], frames::IPV4, &packet)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50_000))]

    #[test]
    fn the_glance_agrees_on_mutated_packets(
        which in any::<prop::sample::Index>(),
        numbers in prop::collection::vec(any::<u32>(), 24),
    ) {
        let all = specimens::all();
        let mut bytes = which.get(&all).1.clone();
        let mut numbers = numbers.into_iter();
        specimens::mutate(&mut bytes, |below| numbers.next().unwrap_or(0) as usize % below);
        check(&bytes)?;
    }

    #[test]
    fn the_glance_agrees_on_frames_that_are_nearly_plain(frame in nearly_plain()) {
        check(&frame)?;
    }

    #[test]
    fn the_glance_agrees_on_ipv6_frames_that_are_nearly_plain(frame in nearly_plain_v6()) {
        check(&frame)?;
    }

    #[test]
    fn the_glance_agrees_on_bytes_of_chance(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&frame)?;
    }
}
