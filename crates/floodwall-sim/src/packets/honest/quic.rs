//! A visitor's HTTP/3 conversation: QUIC (RFC 9000) over UDP, to the host's busiest port number.

use fastrand::Rng;

use super::Host;
use crate::chance::{exponential_ms, happens};
use crate::packets::clients::{Client, log_normal};
use crate::packets::header::{IpHeader, Payload};
use crate::packets::stream::LabelledPacket;

/// Datagrams of one answer at most.
const ANSWER_DATAGRAMS_MAX: u32 = 280;
/// Objects in one conversation at most.
const OBJECTS_MAX: u32 = 60;
/// How long the host remembers to whom it sent, µs: what makes a datagram solicited.
const REMEMBERED_US: u64 = 30_000_000;

/// Writes a whole conversation.
pub(super) fn conversation(
    host: &Host,
    client: &mut Client,
    objects: f64,
    at_us: u64,
    rng: &mut Rng,
    out: &mut Vec<LabelledPacket>,
) {
    let port = host.ports.first().copied().unwrap_or(443);
    let client_port = client.new_port(rng);
    let mut talk = Talk { host, client, rng, out, port, client_port, at_us, sent_us: None };
    talk.handshake();
    let more = 1.0 - 1.0 / objects.max(1.0);
    for _ in 0..OBJECTS_MAX {
        talk.exchange();
        if !happens(talk.rng, more) {
            break;
        }
        let pause_ms = if happens(talk.rng, 0.1) { 8_000.0 } else { 120.0 };
        talk.at_us += (1_000.0 * exponential_ms(talk.rng, pause_ms)) as u64;
    }
    if happens(talk.rng, 0.5) {
        talk.at_us += talk.rng.u64(100_000..20_000_000);
        let first = short_header(talk.rng);
        talk.client_sends(35, first);
    }
}

struct Talk<'a> {
    host: &'a Host,
    client: &'a mut Client,
    rng: &'a mut Rng,
    out: &'a mut Vec<LabelledPacket>,
    port: u16,
    client_port: u16,
    at_us: u64,
    /// When the host last sent.
    sent_us: Option<u64>,
}

impl Talk<'_> {
    fn handshake(&mut self) {
        // Chrome, Firefox and Safari pad differently; never below 1,200 (RFC 9000 § 14.1). A hello
        // with a post-quantum key share takes two datagrams.
        let bytes = [1_250, 1_250, 1_252, 1_200, 1_230][self.rng.usize(..5)];
        let connection = self.rng.u64(..).to_le_bytes();
        let initial = |rng: &mut Rng| long_header(0xc0 | rng.u8(..16), connection);
        for _ in 0..self.rng.u32(1..=2) {
            let first = initial(self.rng);
            self.client_sends(bytes, first);
            self.at_us += 30;
        }
        self.at_us += self.rng.u64(300..2_000);
        for _ in 0..3 {
            let first = long_header(0xe0 | self.rng.u8(..16), connection);
            self.host_sends(1_200, first);
        }
        self.round_trip();
        let first = initial(self.rng);
        self.client_sends(bytes, first);
        let first = long_header(0xe0 | self.rng.u8(..16), connection);
        let bytes = self.rng.u16(70..120);
        self.client_sends(bytes, first);
    }

    fn exchange(&mut self) {
        let bytes = (log_normal(self.rng, 300.0, 0.5) as u16).clamp(50, 1_250);
        let first = short_header(self.rng);
        self.client_sends(bytes, first);
        self.at_us += (1_000.0 * log_normal(self.rng, 8.0, 1.0)) as u64;
        let answer = (log_normal(self.rng, 6_000.0, 1.2) / 1_200.0).ceil() as u32;
        let (mut left, mut window) = (answer.clamp(1, ANSWER_DATAGRAMS_MAX), 10);
        while left > 0 {
            let burst = left.min(window);
            let sent_us = self.at_us;
            for number in 0..burst {
                let last = number + 1 == left;
                let bytes = if last { self.rng.u16(30..1_200) } else { 1_200 };
                let first = short_header(self.rng);
                self.host_sends(bytes, first);
            }
            self.at_us = sent_us;
            self.round_trip();
            // An acknowledgement for about every fourth datagram.
            for _ in 0..burst.div_ceil(4) {
                let bytes = self.rng.u16(29..48);
                let first = short_header(self.rng);
                self.client_sends(bytes, first);
                self.at_us += 60;
            }
            left -= burst;
            window *= 2;
        }
    }

    fn round_trip(&mut self) {
        let rtt_us = self.client.rtt_us;
        self.at_us += rtt_us + self.rng.u64(0..=rtt_us / 20);
    }

    fn client_sends(&mut self, bytes: u16, first: [u8; 8]) {
        let id = self.client.next_id(self.rng);
        let destination = self.host.address_for(self.client.address);
        let ip = IpHeader::new(self.client.address, destination, self.client.ttl, id);
        self.out.push(LabelledPacket {
            at_us: self.at_us,
            facts: ip.udp(self.client_port, self.port, Payload::new(bytes, first)),
            attack: false,
            group: "quic",
            inbound: true,
            solicited: self
                .sent_us
                .is_some_and(|sent| self.at_us.saturating_sub(sent) < REMEMBERED_US),
        });
    }

    fn host_sends(&mut self, bytes: u16, first: [u8; 8]) {
        let source = self.host.address_for(self.client.address);
        let ip = IpHeader::new(source, self.client.address, 64, 0);
        self.out.push(LabelledPacket {
            at_us: self.at_us,
            facts: ip.udp(self.port, self.client_port, Payload::new(bytes, first)),
            attack: false,
            group: "quic",
            inbound: false,
            solicited: false,
        });
        self.sent_us = Some(self.at_us);
        self.at_us += 12;
    }
}

/// The beginning of a long header (RFC 9000 § 17.2): version 1, a connection id of eight bytes.
fn long_header(first: u8, connection: [u8; 8]) -> [u8; 8] {
    [first, 0, 0, 0, 1, 8, connection[0], connection[1]]
}

/// A short header (RFC 9000 § 17.3): the fixed bit, and bits that header protection makes random.
fn short_header(rng: &mut Rng) -> [u8; 8] {
    let mut bytes = rng.u64(..).to_le_bytes();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    bytes
}
