//! The grade over described floods; figures of § 3.8 as sentences.

use std::net::{Ipv4Addr, Ipv6Addr};

use floodwall_model::packet::{PACKET_ATTR_COUNT, TcpFlag};

use super::*;
use crate::random::Random;

fn syn(source: IpAddr, ttl: u16, sequence: u32) -> PacketFacts {
    let mut facts = PacketFacts {
        source,
        destination: Ipv4Addr::new(192, 0, 2, 1).into(),
        class: PacketClass::Syn,
        values: [0; PACKET_ATTR_COUNT],
        sequence,
        acknowledgement: 0,
        frame_bytes: 60,
    };
    facts.values[PacketAttr::Protocol as usize] = 6;
    facts.values[PacketAttr::TcpFlags as usize] = u16::from(TcpFlag::SYN);
    facts.values[PacketAttr::Ttl as usize] = ttl;
    facts.values[PacketAttr::Window as usize] = 512;
    facts.values[PacketAttr::SourcePort as usize] = (sequence >> 16) as u16 | 1;
    if sequence.is_multiple_of(65_536) {
        let mark = u16::from(TransportMark::SEQUENCE_LOW_ZERO);
        facts.values[PacketAttr::TransportMarks as usize] = mark;
    }
    facts
}

/// Any address that a host could have.
fn anybody(random: &mut Random) -> IpAddr {
    loop {
        let address = Ipv4Addr::from(random.word() as u32);
        if !is_bogon(address.into()) {
            return address.into();
        }
    }
}

fn graded(packets: &[PacketFacts], good_sources: f64) -> PacketAccount {
    let mut account = PacketAccount::default();
    assess(packets, good_sources, &mut account);
    account
}

#[test]
fn one_machine_that_draws_its_sources_is_a_strong_case() {
    let mut random = Random::new(1);
    let packets: Vec<_> = (0..20_000)
        .map(|n| syn(anybody(&mut random), [241, 242][n % 2], (random.word() as u32) & 0xffff_0000))
        .collect();
    let account = graded(&packets, 0.0);
    assert_eq!(account.spoofing, SpoofingGrade::Strong, "{:#?}", account.tests);
    assert!(account.consistent_with.iter().any(|h| h.name.starts_with("few machines")));
}

#[test]
fn sources_that_nobody_can_have_establish_it() {
    let mut random = Random::new(2);
    let mut packets: Vec<_> = (0..5_000).map(|_| syn(anybody(&mut random), 60, 77)).collect();
    packets.extend((0..100).map(|n| syn(Ipv4Addr::new(240, 0, 0, n).into(), 60, 77)));
    assert_eq!(graded(&packets, 0.0).spoofing, SpoofingGrade::Established);
}

#[test]
fn a_reflection_is_no_forgery_of_its_sources_and_is_called_a_reflection() {
    let mut random = Random::new(3);
    let servers: Vec<(IpAddr, u16)> =
        (0..800).map(|_| (anybody(&mut random), 40 + random.below(80) as u16)).collect();
    let packets: Vec<_> = (0..6_000)
        .map(|_| {
            let (server, ttl) = servers[random.below(800) as usize];
            let mut answer = syn(server, ttl, 1);
            answer.class = PacketClass::Udp;
            answer.values[PacketAttr::Protocol as usize] = 17;
            answer.values[PacketAttr::Window as usize] = 0;
            answer.values[PacketAttr::TcpFlags as usize] = 0;
            answer.values[PacketAttr::SourcePort as usize] = 1_900;
            answer.values[PacketAttr::Length as usize] = 300;
            answer
        })
        .collect();
    let account = graded(&packets, 0.0);
    assert!(
        matches!(account.spoofing, SpoofingGrade::NoIndication | SpoofingGrade::Indicative),
        "{:?}",
        account.spoofing
    );
    assert!(account.consistent_with.iter().any(|h| h.name.starts_with("reflection")));
}

#[test]
fn whoever_completed_handshakes_is_not_forged() {
    let mut random = Random::new(4);
    let packets: Vec<_> = (0..5_000).map(|_| syn(anybody(&mut random), 60, 77)).collect();
    assert_eq!(graded(&packets, 0.9).spoofing, SpoofingGrade::NotSpoofed);
}

#[test]
fn few_packets_are_not_graded() {
    let packets = vec![syn(Ipv4Addr::new(203, 0, 113, 1).into(), 60, 77); 999];
    let account = graded(&packets, 0.0);
    assert_eq!(account.spoofing, SpoofingGrade::NotAssessable);
    assert_eq!(account.tests, []);
}

/// A flood over IPv6 alone once wrote a record that could not be read back: an infinite figure
/// became `null`.
#[test]
fn a_flood_over_ipv6_gives_a_record_of_finite_figures() {
    let mut random = Random::new(5);
    let packets: Vec<_> = (0..6_000)
        .map(|_| syn(Ipv6Addr::from(u128::from(random.word()) << 64 | 1).into(), 60, 77))
        .collect();
    let account = graded(&packets, 0.0);
    assert!(account.tests.iter().all(|t| t.value.is_finite()), "{:#?}", account.tests);
    assert!(!account.tests.iter().any(|t| t.name.contains("octet")));
}

#[test]
fn nobody_has_reserved_addresses_and_somebody_may_have_all_others() {
    for address in [
        "0.1.2.3",
        "127.0.0.1",
        "224.0.0.5",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:1.2.3.4",
        "100::1",
        "1234::1",
        "2d00::1",
        "2f36:ec2d::1",
        "3000::1",
        "4000::1",
        "ff02::1",
    ] {
        assert!(is_bogon(address.parse().unwrap()), "{address}");
    }
    for address in [
        "1.1.1.1",
        "10.0.0.1",
        "192.168.0.1",
        "223.255.255.1",
        "64:ff9b::1",
        "2001:db8::1",
        "2002:102:304::1",
        "2400::1",
        "2a10::1",
        "2c0f::1",
        "fd00::1",
        "fe80::1",
    ] {
        assert!(!is_bogon(address.parse().unwrap()), "{address}");
    }
}
