//! The tracker against a list of everything that ever happened, and its limits.

use std::net::{IpAddr, Ipv4Addr};

use floodwall_model::packet::{PACKET_ATTR_COUNT, PacketClass, PacketFacts};
use proptest::prelude::*;

use super::super::conversation::{ICMP, Place, TCP, UDP};
use super::*;

fn host(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, n).into()
}

fn facts(class: PacketClass) -> PacketFacts {
    PacketFacts {
        source: host(0),
        destination: host(0),
        class,
        values: [0; PACKET_ATTR_COUNT],
        sequence: 0,
        acknowledgement: 0,
        frame_bytes: 60,
    }
}

fn tuple(protocol: u8, from: (u8, u16), to: (u8, u16)) -> Tuple {
    Tuple {
        protocol,
        source: host(from.0),
        destination: host(to.0),
        source_port: from.1,
        destination_port: to.1,
    }
}

fn alone(part: Part) -> Place {
    Place { part, first_of: None }
}

const CLIENT: (u8, u16) = (1, 40_000);
const SERVER: (u8, u16) = (2, 80);

/// A conversation told packet by packet: who speaks, of which class, when.
fn tcp(flows: &mut Flows, class: PacketClass, from: (u8, u16), to: (u8, u16), at_ms: u64) -> bool {
    let place = alone(Part::Tcp(tuple(TCP, from, to)));
    flows.note(&facts(class), &place, at_ms).solicited
}

#[test]
fn a_connection_is_solicited_from_the_syn_ack_on() {
    let mut flows = Flows::default();
    assert!(!tcp(&mut flows, PacketClass::Syn, CLIENT, SERVER, 0));
    assert!(tcp(&mut flows, PacketClass::SynAck, SERVER, CLIENT, 10));
    assert!(tcp(&mut flows, PacketClass::Ack, CLIENT, SERVER, 20));
    assert!(tcp(&mut flows, PacketClass::Data, CLIENT, SERVER, 30));
    assert!(tcp(&mut flows, PacketClass::Fin, SERVER, CLIENT, 40));
    assert!(!tcp(&mut flows, PacketClass::Syn, CLIENT, SERVER, 50), "a SYN never is");
}

#[test]
fn a_capture_that_begins_in_the_middle_knows_a_connection_once_both_ends_spoke() {
    let mut flows = Flows::default();
    assert!(!tcp(&mut flows, PacketClass::Data, SERVER, CLIENT, 0));
    assert!(!tcp(&mut flows, PacketClass::Data, SERVER, CLIENT, 1));
    assert!(tcp(&mut flows, PacketClass::Ack, CLIENT, SERVER, 2));
    assert!(tcp(&mut flows, PacketClass::Data, SERVER, CLIENT, 3));
    assert!(!tcp(&mut flows, PacketClass::Data, SERVER, CLIENT, 3 + TCP_MS), "after long silence");
}

#[test]
fn resets_answer_but_do_not_make_a_connection_of_a_flood() {
    let mut flows = Flows::default();
    for at_ms in 0..5 {
        assert!(!tcp(&mut flows, PacketClass::Ack, CLIENT, SERVER, at_ms * 10), "{at_ms}");
        assert!(tcp(&mut flows, PacketClass::Rst, SERVER, CLIENT, at_ms * 10 + 1));
    }
    // The same for a host that answers the SYN-ACKs of reflectors.
    let reflector = (3, 443);
    assert!(!tcp(&mut flows, PacketClass::SynAck, reflector, CLIENT, 100));
    assert!(tcp(&mut flows, PacketClass::Rst, CLIENT, reflector, 101));
    assert!(!tcp(&mut flows, PacketClass::SynAck, reflector, CLIENT, 102));
}

/// SYN, SYN-ACK and ACK with these numbers; how many handshakes that makes.
fn handshakes(flows: &mut Flows, syn_ack: Option<(u32, u32)>, ack: (u32, u32)) -> u64 {
    let numbered = |class, sequence, acknowledgement| PacketFacts {
        sequence,
        acknowledgement,
        ..facts(class)
    };
    let there = alone(Part::Tcp(tuple(TCP, CLIENT, SERVER)));
    let back = alone(Part::Tcp(tuple(TCP, SERVER, CLIENT)));
    flows.note(&numbered(PacketClass::Syn, u32::MAX, 0), &there, 0);
    if let Some((sequence, acknowledgement)) = syn_ack {
        flows.note(&numbered(PacketClass::SynAck, sequence, acknowledgement), &back, 1);
    }
    flows.note(&numbered(PacketClass::Ack, ack.0, ack.1), &there, 2);
    flows.note(&numbered(PacketClass::Ack, ack.0, ack.1), &there, 3);
    flows.take_handshakes()
}

fn record_both_ways(flows: &mut Flows) {
    for port in 0..TWO_WAY_PROOF as u16 {
        tcp(flows, PacketClass::Data, (5, port), (6, 80), 10);
        tcp(flows, PacketClass::Data, (6, 80), (5, port), 11);
    }
}

#[test]
fn a_handshake_counts_once_and_only_with_the_right_numbers() {
    let count = |syn_ack, ack| {
        let mut flows = Flows::default();
        record_both_ways(&mut flows);
        handshakes(&mut flows, syn_ack, ack)
    };
    assert_eq!(count(Some((77, 0)), (0, 78)), 1, "numbers wrap around");
    assert_eq!(count(Some((77, 5)), (0, 78)), 0, "the answer acknowledges something else");
    assert_eq!(count(Some((77, 0)), (0, 79)), 0, "the ACK acknowledges something else");
    assert_eq!(count(Some((77, 0)), (4, 78)), 0, "the ACK goes on elsewhere");
}

#[test]
fn without_the_answers_direction_an_ack_that_goes_on_completes_the_handshake() {
    let mut flows = Flows::default();
    assert_eq!(handshakes(&mut flows, None, (0, 78)), 1);
    // Once both directions are known to be recorded, the answer must be there.
    record_both_ways(&mut flows);
    assert!(flows.recorded_both_ways());
    assert_eq!(handshakes(&mut flows, None, (0, 78)), 0);
}

#[test]
fn a_port_that_answers_is_a_service_and_one_that_asks_is_not() {
    let mut flows = Flows::default();
    let mut udp = |from, to, at_ms| {
        flows.note(&facts(PacketClass::Udp), &alone(Part::Udp(tuple(UDP, from, to))), at_ms)
    };
    let (asker, server, stranger) = ((1, 5_000), (2, 53), (3, 6_000));
    let standing = |solicited, to_service| Standing { solicited, to_service };
    assert_eq!(udp(asker, server, 0), standing(false, false));
    assert_eq!(udp(server, asker, 5), standing(true, false));
    assert_eq!(udp(asker, server, 9), standing(true, true));
    assert_eq!(udp(stranger, server, 10), standing(false, true));
    assert_eq!(udp(stranger, asker, 11), standing(false, false), "answers are no service");
    assert_eq!(udp(server, asker, 10 + UDP_MS + 5), standing(false, false));
}

#[test]
fn errors_and_echo_replies_are_solicited_by_what_they_are_about() {
    let mut flows = Flows::default();
    let mut note =
        |part, at_ms| flows.note(&facts(PacketClass::Icmp), &alone(part), at_ms).solicited;
    let asked = tuple(UDP, (1, 5_000), (2, 53));
    assert!(!note(Part::ErrorAbout(asked), 0), "about nothing that was sent");
    note(Part::Udp(asked), 1);
    assert!(note(Part::ErrorAbout(asked), 2));
    assert!(!note(Part::ErrorAbout(tuple(UDP, (2, 53), (1, 5_000))), 3), "the other way round");
    let (request, reply) = (tuple(ICMP, (1, 7), (2, 7)), tuple(ICMP, (2, 7), (1, 7)));
    assert!(!note(Part::EchoReply(reply), 10));
    assert!(!note(Part::EchoRequest(request), 11));
    assert!(note(Part::EchoReply(reply), 12));
    assert!(note(Part::EchoReply(reply), 11 + ECHO_MS));
    assert!(!note(Part::EchoReply(reply), 12 + ECHO_MS));
}

#[test]
fn later_fragments_stand_as_their_first_does() {
    let mut flows = Flows::default();
    let (asker, server) = ((1, 5_000), (2, 53));
    let datagram =
        |id| Datagram { source: host(2), destination: host(1), identification: id, protocol: UDP };
    let mut note = |part, first_of, at_ms| {
        flows.note(&facts(PacketClass::Udp), &Place { part, first_of }, at_ms).solicited
    };
    note(Part::Udp(tuple(UDP, asker, server)), None, 0);
    assert!(note(Part::Udp(tuple(UDP, server, asker)), Some(datagram(1)), 1));
    assert!(!note(Part::Udp(tuple(UDP, server, (1, 9))), Some(datagram(2)), 2));
    assert!(note(Part::LaterFragment(datagram(1)), None, 3));
    assert!(!note(Part::LaterFragment(datagram(2)), None, 4));
    assert!(!note(Part::LaterFragment(datagram(3)), None, 5), "its first was not seen");
    assert!(!note(Part::LaterFragment(datagram(1)), None, 2 + FRAGMENT_MS));
}

#[test]
fn a_flood_of_strangers_does_not_push_out_conversations() {
    let mut flows = Flows::with_capacities(100, 100, 100, 100);
    tcp(&mut flows, PacketClass::Data, CLIENT, SERVER, 0);
    tcp(&mut flows, PacketClass::Data, SERVER, CLIENT, 1);
    for port in 0..10_000 {
        tcp(&mut flows, PacketClass::Ack, (9, port), SERVER, 2);
    }
    assert!(tcp(&mut flows, PacketClass::Data, CLIENT, SERVER, 3));
    assert!(flows.one_way.len() <= 100 && flows.two_way.len() <= 100);
    assert!(flows.forgotten() >= 9_900);
}

/// One thing that happens.
#[derive(Copy, Clone, Debug)]
struct Event {
    at_ms: u64,
    kind: Kind,
    from: (u8, u16),
    to: (u8, u16),
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Kind {
    Tcp(PacketClass),
    Udp,
    Request,
    Reply,
    ErrorAboutTcp,
    ErrorAboutUdp,
}

impl Event {
    /// Whether it is part of the conversation of `other`, sent by the end that `other` goes to.
    fn is_reverse_of(&self, other: &Event) -> bool {
        (self.from, self.to) == (other.to, other.from)
    }

    fn place(&self) -> Place {
        alone(match self.kind {
            Kind::Tcp(_) => Part::Tcp(tuple(TCP, self.from, self.to)),
            Kind::Udp => Part::Udp(tuple(UDP, self.from, self.to)),
            Kind::Request => Part::EchoRequest(tuple(ICMP, self.from, self.to)),
            Kind::Reply => Part::EchoReply(tuple(ICMP, self.from, self.to)),
            // It is sent to whom the quoted packet came from.
            Kind::ErrorAboutTcp => Part::ErrorAbout(tuple(TCP, self.to, self.from)),
            Kind::ErrorAboutUdp => Part::ErrorAbout(tuple(UDP, self.to, self.from)),
        })
    }

    fn class(&self) -> PacketClass {
        match self.kind {
            Kind::Tcp(class) => class,
            Kind::Udp => PacketClass::Udp,
            _ => PacketClass::Icmp,
        }
    }
}

/// The plain way: look back through everything for the newest word of the other end.
fn plainly_solicited(past: &[Event], now: &Event) -> bool {
    let newest = |is_word: &dyn Fn(&Event) -> bool| {
        past.iter().rev().find(|event| event.is_reverse_of(now) && is_word(event)).copied()
    };
    let is_tcp_word =
        |event: &Event| matches!(event.kind, Kind::Tcp(class) if class != PacketClass::TcpOdd);
    let within = |event: Option<Event>, ms| event.is_some_and(|e| now.at_ms - e.at_ms <= ms);
    // A reset is the newest word and takes back what was said.
    let speaking = |event: &Event| event.kind != Kind::Tcp(PacketClass::Rst);
    match now.kind {
        Kind::Tcp(PacketClass::Syn) | Kind::Request => false,
        Kind::Tcp(_) | Kind::ErrorAboutTcp => within(newest(&is_tcp_word).filter(speaking), TCP_MS),
        Kind::Udp | Kind::ErrorAboutUdp => within(newest(&|e| e.kind == Kind::Udp), UDP_MS),
        Kind::Reply => within(newest(&|e| e.kind == Kind::Request), ECHO_MS),
    }
}

fn event() -> impl Strategy<Value = (u64, Kind, (u8, u16), (u8, u16))> {
    let class = prop::sample::select(&PacketClass::ALL[1..8]);
    let kind = prop_oneof![
        6 => class.prop_map(Kind::Tcp),
        4 => Just(Kind::Udp),
        1 => Just(Kind::Request),
        2 => Just(Kind::Reply),
        1 => Just(Kind::ErrorAboutTcp),
        1 => Just(Kind::ErrorAboutUdp),
    ];
    let end = || (1u8..3, 1u16..3);
    let gap_ms = prop_oneof![8 => 0u64..2_000, 2 => 0u64..140_000];
    (gap_ms, kind, end(), end()).prop_filter("two ends", |(_, _, from, to)| from != to)
}

proptest! {
    #[test]
    fn the_tracker_tells_what_looking_back_through_everything_would(
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut flows = Flows::default();
        let mut past: Vec<Event> = Vec::new();
        let mut at_ms = 0;
        for (gap_ms, kind, from, to) in events {
            at_ms += gap_ms;
            let event = Event { at_ms, kind, from, to };
            let standing = flows.note(&facts(event.class()), &event.place(), at_ms);
            prop_assert_eq!(standing.solicited, plainly_solicited(&past, &event), "{:?}", event);
            past.push(event);
        }
    }
}
