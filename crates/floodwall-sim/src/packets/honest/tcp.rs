//! A visitor's TCP connection to the host: handshake (RFC 9293 § 3.5), requests and answers,
//! losses, keep-alives, one of the usual ends.
//!
//! Times are those at the host's link. What the host sends reaches the visitor half a round trip
//! later, and the visitor's reaction arrives another half later.

mod segments;

use std::net::IpAddr;

use fastrand::Rng;
use floodwall_model::packet::TcpFlag;

use super::Host;
use crate::chance::{exponential_ms, happens};
use crate::packets::clients::{Client, log_normal};
use crate::packets::header::Payload;
use crate::packets::stacks::ServerStack;
use crate::packets::stream::LabelledPacket;

const ACK: u8 = TcpFlag::ACK;
/// Segments of one answer at most: 400 kB.
const ANSWER_SEGMENTS_MAX: u32 = 280;
/// Objects over one connection at most.
const OBJECTS_MAX: u32 = 60;
/// Initial congestion window, segments (RFC 6928).
const FIRST_WINDOW_SEGMENTS: u32 = 10;
/// Between two segments of a burst on the host's link, µs: 1 Gbit/s.
const SEGMENT_GAP_US: u64 = 12;
/// No connection goes on longer, µs.
const LIFE_US_MAX: u64 = 120_000_000;

/// A connection being written out.
pub(super) struct Connection<'a> {
    client: &'a mut Client,
    rng: &'a mut Rng,
    out: &'a mut Vec<LabelledPacket>,
    server: ServerStack,
    address: IpAddr,
    port: u16,
    client_port: u16,
    /// Next sequence numbers.
    client_seq: u32,
    server_seq: u32,
    host_id: u16,
    tls: bool,
    ecn: bool,
    answered: bool,
    begun_us: u64,
    at_us: u64,
}

impl<'a> Connection<'a> {
    /// A connection that begins at `at_us` with a SYN to `port`.
    pub(super) fn open(
        host: &Host,
        client: &'a mut Client,
        port: u16,
        at_us: u64,
        rng: &'a mut Rng,
        out: &'a mut Vec<LabelledPacket>,
    ) -> Connection<'a> {
        let address = host.address_for(client.address);
        Connection {
            server: ServerStack::linux_for(client.stack, address.is_ipv6()),
            address,
            port,
            client_port: client.new_port(rng),
            client_seq: rng.u32(..),
            server_seq: rng.u32(..),
            host_id: rng.u16(..),
            tls: port != 80,
            ecn: client.stack.asks_for_ecn(rng),
            answered: false,
            begun_us: at_us,
            at_us,
            client,
            rng,
            out,
        }
    }

    /// Writes the whole connection; about `objects` are fetched.
    pub(super) fn run(mut self, objects: f64) {
        if !self.handshake() {
            return;
        }
        if self.tls {
            self.tls_handshake();
        }
        // Geometric with this mean, at least one.
        let more = 1.0 - 1.0 / objects.max(1.0);
        for _ in 0..OBJECTS_MAX {
            self.exchange();
            if self.at_us - self.begun_us > LIFE_US_MAX || !happens(self.rng, more) {
                break;
            }
            let pause_ms = if happens(self.rng, 0.1) { 8_000.0 } else { 120.0 };
            self.at_us += (1_000.0 * exponential_ms(self.rng, pause_ms)) as u64;
        }
        self.close();
    }

    /// False if the visitor never completes it.
    fn handshake(&mut self) -> bool {
        let syn_id = self.client.next_id(self.rng);
        let draw = self.rng.f64();
        // The SYN is repeated after 1, 3, 7 s (RFC 6298 § 2) when the answer was lost.
        let (lost, completes) = match draw {
            0.0..0.006 => (3, false),
            0.006..0.02 => (1, true),
            0.02..0.022 => (2, true),
            _ => (0, true),
        };
        for attempt in 0..=lost {
            // Systems differ in whether a repeated SYN has a new identification.
            let id = if attempt == 0 { syn_id } else { self.client.next_id(self.rng) };
            self.syn(id);
            self.at_us += 40;
            self.syn_ack();
            if attempt < lost {
                self.at_us += 1_000_000 << attempt;
            }
        }
        if !completes {
            return false;
        }
        self.client_seq = self.client_seq.wrapping_add(1);
        self.server_seq = self.server_seq.wrapping_add(1);
        self.round_trip();
        self.client_sends(ACK, Payload::NONE);
        true
    }

    fn tls_handshake(&mut self) {
        self.at_us += self.rng.u64(20..600);
        // With a post-quantum key share a hello takes two segments.
        let bytes = if happens(self.rng, 0.6) {
            self.rng.u16(1_680..1_950)
        } else {
            [517, 517, 512, 571, 300][self.rng.usize(..5)]
        };
        let [high, low] = (bytes - 5).to_be_bytes();
        let hello = [0x16, 3, 1, high, low, 1, 0, (bytes - 9).to_be_bytes()[0]];
        self.client_writes(bytes, hello);
        self.at_us += self.rng.u64(150..1_500);
        let server_hello = [0x16, 3, 3, 0, 0x7a, 2, 0, 0];
        let certificate_segments = self.rng.u32(2..5);
        self.answer(certificate_segments, server_hello);
        let finished = [0x14, 3, 3, 0, 1, 1, 0x17, 3];
        let bytes = if self.client.stack.timestamps { 64 } else { 80 };
        self.client_writes(bytes, finished);
    }

    /// One request and its answer, sometimes with a body to upload.
    fn exchange(&mut self) {
        let bytes = (log_normal(self.rng, 480.0, 0.5) as u16).clamp(60, 4_000);
        let first = self.record(bytes, *b"GET /\0\0\0");
        self.client_writes(bytes, first);
        if happens(self.rng, 0.03) {
            for _ in 0..self.rng.u32(1..6) {
                let bytes = self.rng.u16(2_000..30_000);
                let first = self.record(bytes, *b"\0\0\0\0\0\0\0\0");
                self.client_writes(bytes, first);
                self.host_sends(ACK, Payload::NONE);
                self.round_trip();
            }
        }
        self.at_us += (1_000.0 * log_normal(self.rng, 8.0, 1.0)) as u64;
        let bytes = log_normal(self.rng, 6_000.0, 1.2);
        let segments = (bytes / f64::from(self.client.mss)).ceil() as u32;
        let first = self.record(1_400, *b"HTTP/1.1");
        self.answer(segments.clamp(1, ANSWER_SEGMENTS_MAX), first);
    }

    /// How a record or message of this length begins; zeros of `plain` are filled at random.
    fn record(&mut self, bytes: u16, plain: [u8; 8]) -> [u8; 8] {
        if self.tls {
            let [high, low] = bytes.saturating_sub(5).to_be_bytes();
            let [a, b, c, ..] = self.rng.u64(..).to_le_bytes();
            [0x17, 3, 3, high, low, a, b, c]
        } else {
            plain.map(|byte| if byte == 0 { self.rng.u8(b'a'..=b'z') } else { byte })
        }
    }

    /// The visitor writes `bytes`, in as many segments as it takes.
    fn client_writes(&mut self, bytes: u16, first: [u8; 8]) {
        let room = self.client.mss - if self.client.stack.timestamps { 12 } else { 0 };
        let (mut left, mut first) = (bytes, first);
        while left > 0 {
            let piece = left.min(room);
            let flags = if piece == left { ACK | TcpFlag::PSH } else { ACK };
            self.client_sends(flags, Payload::new(piece, first));
            self.client_seq = self.client_seq.wrapping_add(u32::from(piece));
            left -= piece;
            first = self.rng.u64(..).to_le_bytes();
            self.at_us += SEGMENT_GAP_US;
        }
    }

    /// The host writes `segments`, by slow start; the visitor acknowledges every second one.
    fn answer(&mut self, segments: u32, first: [u8; 8]) {
        let room = self.client.mss - if self.client.stack.timestamps { 12 } else { 0 };
        let (mut left, mut window, mut first) = (segments, FIRST_WINDOW_SEGMENTS, first);
        while left > 0 {
            let burst = left.min(window);
            let sent_us = self.at_us;
            let begun_seq = self.server_seq;
            for number in 0..burst {
                let last = number + 1 == left;
                let bytes = if last { self.rng.u16(1..=room) } else { room };
                let flags = if last { ACK | TcpFlag::PSH } else { ACK };
                self.host_sends(flags, Payload::new(bytes, first));
                self.server_seq = self.server_seq.wrapping_add(u32::from(bytes));
                first = self.rng.u64(..).to_le_bytes();
                self.at_us += SEGMENT_GAP_US;
            }
            self.at_us = sent_us;
            self.round_trip();
            self.acknowledge(burst, begun_seq, u32::from(room));
            left -= burst;
            window *= 2;
        }
    }

    fn acknowledge(&mut self, burst: u32, begun_seq: u32, room: u32) {
        let end_seq = self.server_seq;
        if burst > 3 && happens(self.rng, 0.02) {
            // The first segment of the burst was lost: duplicates with SACK (RFC 2018) until it is
            // sent again.
            self.server_seq = begun_seq;
            for _ in 0..3 {
                self.client_acknowledges(true);
                self.at_us += 2 * SEGMENT_GAP_US;
            }
            let again = Payload::new(room as u16, self.rng.u64(..).to_le_bytes());
            self.host_sends(ACK, again);
            self.round_trip();
        } else {
            for number in (2..burst).step_by(2) {
                self.server_seq = begun_seq.wrapping_add(number * room);
                self.client_acknowledges(false);
                self.at_us += 2 * SEGMENT_GAP_US;
            }
        }
        self.server_seq = end_seq;
        self.client_acknowledges(false);
    }

    fn close(&mut self) {
        self.at_us += (1_000.0 * exponential_ms(self.rng, 2_000.0)) as u64;
        match self.rng.u8(..100) {
            // The visitor closes.
            0..45 => {
                self.client_sends(TcpFlag::FIN | ACK, Payload::NONE);
                self.client_seq = self.client_seq.wrapping_add(1);
                self.at_us += 60;
                self.host_sends(TcpFlag::FIN | ACK, Payload::NONE);
                self.server_seq = self.server_seq.wrapping_add(1);
                self.round_trip();
                self.client_sends(ACK, Payload::NONE);
            }
            // The host closes an idle connection.
            45..72 => {
                self.at_us += 5_000_000;
                self.host_sends(TcpFlag::FIN | ACK, Payload::NONE);
                self.server_seq = self.server_seq.wrapping_add(1);
                self.round_trip();
                self.client_sends(TcpFlag::FIN | ACK, Payload::NONE);
                self.client_seq = self.client_seq.wrapping_add(1);
                self.at_us += 30;
                self.host_sends(ACK, Payload::NONE);
            }
            72..84 => self.client_resets(ACK),
            84..90 => {
                self.client_sends(TcpFlag::FIN | ACK, Payload::NONE);
                self.client_seq = self.client_seq.wrapping_add(1);
                self.at_us += 50;
                self.host_sends(ACK, Payload::NONE);
                self.round_trip();
                self.client_resets(0);
            }
            // Left open: probes after 45 s of idleness.
            _ => {
                for _ in 0..self.rng.u32(0..3) {
                    self.at_us += 45_000_000;
                    let seq = self.client_seq;
                    self.client_seq = seq.wrapping_sub(1);
                    self.client_sends(ACK, Payload::NONE);
                    self.client_seq = seq;
                    self.host_sends(ACK, Payload::NONE);
                }
            }
        }
    }

    fn round_trip(&mut self) {
        let rtt_us = self.client.rtt_us;
        self.at_us += rtt_us + self.rng.u64(0..=rtt_us / 20);
    }
}
