//! HTTP/2 frames, counted by their nine-byte headers as they pass.
//!
//! The protocol engine answers every PING and SETTINGS, and takes PRIORITY, WINDOW_UPDATE and
//! unknown frames without end (measured, design/l7.md § 2.2). Payloads are not looked at and
//! nothing is held back: when a budget is exceeded the connection is cut. Pure: bytes and time in,
//! verdict out.

use crate::limits::Limits;

/// The client connection preface (RFC 9113 § 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER_BYTES: usize = 9;

// Frame types (RFC 9113 § 6, RFC 9218 § 7.1).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const PRIORITY_UPDATE: u8 = 0x10;

const END_HEADERS: u8 = 0x4;

/// WINDOW_UPDATE frames granted for each DATA frame sent.
const WINDOW_UPDATES_PER_DATA: u64 = 10;

/// A budget was exceeded.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Abuse;

/// One frame header.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct FrameHeader {
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Finds frame headers in a stream of bytes cut anywhere.
#[derive(Debug, Default)]
struct FrameCursor {
    header: [u8; HEADER_BYTES],
    have: usize,
    /// Payload bytes still to pass.
    payload: usize,
}

impl FrameCursor {
    /// Takes bytes off the front of `bytes`; the next header if it is complete.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<FrameHeader> {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let n = self.payload.min(bytes.len());
                self.payload -= n;
                *bytes = &bytes[n..];
                continue;
            }
            let n = (HEADER_BYTES - self.have).min(bytes.len());
            self.header[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            *bytes = &bytes[n..];
            if self.have == HEADER_BYTES {
                self.have = 0;
                let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.header;
                self.payload = u32::from_be_bytes([0, l0, l1, l2]) as usize;
                let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
                return Some(FrameHeader { kind, flags, stream });
            }
        }
        None
    }
}

/// Events in the current second.
#[derive(Debug, Default)]
struct Second {
    started_ms: u64,
    streams: u32,
    resets: u32,
    pings: u32,
    settings: u32,
    priorities: u32,
    unknown: u32,
    window_updates: u64,
    data_sent: u64,
    data_sent_before: u64,
}

impl Second {
    fn roll(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.started_ms) >= 1_000 {
            let recent = now_ms - self.started_ms < 2_000;
            let data_sent_before = if recent { self.data_sent } else { 0 };
            *self = Second { started_ms: now_ms, data_sent_before, ..Second::default() };
        }
    }
}

/// Follows both directions of one HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct FrameMeter {
    preface_left: usize,
    received: FrameCursor,
    sent: FrameCursor,
    last: Option<FrameHeader>,
    header_block_is_open: bool,
    second: Second,
    last_stream: u32,
    streams: u64,
    resets: u64,
}

impl FrameMeter {
    pub(crate) fn new() -> Self {
        FrameMeter {
            preface_left: PREFACE.len(),
            received: FrameCursor::default(),
            sent: FrameCursor::default(),
            last: None,
            header_block_is_open: false,
            second: Second::default(),
            last_stream: 0,
            streams: 0,
            resets: 0,
        }
    }

    /// Streams the client opened.
    pub(crate) fn streams(&self) -> u64 {
        self.streams
    }

    /// Whether the client owes us the rest of something that it could have sent at once: the
    /// preface, a header block, any frame but DATA.
    pub(crate) fn owes_rest(&self) -> bool {
        let mid_control =
            self.received.payload > 0 && self.last.is_none_or(|header| header.kind != DATA);
        let mid_header = self.received.have > 0;
        self.preface_left > 0 || self.header_block_is_open || mid_control || mid_header
    }

    /// Follows bytes from the client.
    pub(crate) fn received(
        &mut self,
        mut bytes: &[u8],
        now_ms: u64,
        limits: &Limits,
    ) -> Result<(), Abuse> {
        let n = self.preface_left.min(bytes.len());
        self.preface_left -= n;
        bytes = &bytes[n..];
        self.second.roll(now_ms);
        while let Some(header) = self.received.next(&mut bytes) {
            self.last = Some(header);
            self.count(header, limits)?;
        }
        Ok(())
    }

    /// Follows bytes to the client.
    pub(crate) fn sent(&mut self, mut bytes: &[u8], now_ms: u64) {
        self.second.roll(now_ms);
        while let Some(header) = self.sent.next(&mut bytes) {
            if header.kind == DATA {
                self.second.data_sent += 1;
            }
        }
    }

    fn count(&mut self, header: FrameHeader, limits: &Limits) -> Result<(), Abuse> {
        let second = &mut self.second;
        let sound = match header.kind {
            DATA | GOAWAY => true,
            HEADERS => {
                self.header_block_is_open = header.flags & END_HEADERS == 0;
                // A second HEADERS on a stream is its trailers.
                if header.stream > self.last_stream {
                    self.last_stream = header.stream;
                    self.streams += 1;
                    second.streams += 1;
                }
                second.streams <= limits.h2_streams_per_s_max
            }
            CONTINUATION => {
                self.header_block_is_open = header.flags & END_HEADERS == 0;
                true
            }
            RST_STREAM => {
                second.resets += 1;
                self.resets += 1;
                let too_many = self.resets > limits.h2_resets_lifetime_max
                    && self.resets.saturating_mul(2) > self.streams;
                second.resets <= limits.h2_resets_per_s_max && !too_many
            }
            PRIORITY | PRIORITY_UPDATE => {
                second.priorities += 1;
                second.priorities <= limits.h2_priorities_per_s_max
            }
            SETTINGS => {
                second.settings += 1;
                second.settings <= limits.h2_settings_per_s_max
            }
            PING => {
                second.pings += 1;
                second.pings <= limits.h2_pings_per_s_max
            }
            WINDOW_UPDATE => {
                second.window_updates += 1;
                // Proportional: a fast download with small windows sends thousands, honestly.
                let data = second.data_sent + second.data_sent_before;
                let granted =
                    u64::from(limits.h2_window_updates_per_s_max) + WINDOW_UPDATES_PER_DATA * data;
                second.window_updates <= granted
            }
            // A client does not push (RFC 9113 § 8.4).
            PUSH_PROMISE => false,
            _ => {
                second.unknown += 1;
                second.unknown <= limits.h2_unknown_per_s_max
            }
        };
        if sound { Ok(()) } else { Err(Abuse) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let mut bytes = vec![0, (payload >> 8) as u8, payload as u8, kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.resize(HEADER_BYTES + payload, 0);
        bytes
    }

    fn meter() -> FrameMeter {
        let mut meter = FrameMeter::new();
        meter.received(PREFACE, 0, &Limits::default()).unwrap();
        meter
    }

    /// Frames of one kind in one second until the meter says no; `None` within 2,000.
    fn until_abuse(kind: u8) -> Option<u32> {
        let (mut meter, limits) = (meter(), Limits::default());
        (1..=2_000)
            .find(|n| meter.received(&frame(kind, END_HEADERS, 2 * n + 1, 8), 5, &limits).is_err())
    }

    #[test]
    fn each_kind_of_control_frame_has_its_budget() {
        assert_eq!(until_abuse(PING), Some(11));
        assert_eq!(until_abuse(SETTINGS), Some(11));
        assert_eq!(until_abuse(PRIORITY), Some(101));
        assert_eq!(until_abuse(PRIORITY_UPDATE), Some(101));
        assert_eq!(until_abuse(0x77), Some(21));
        assert_eq!(until_abuse(WINDOW_UPDATE), Some(21));
        assert_eq!(until_abuse(RST_STREAM), Some(51));
        assert_eq!(until_abuse(HEADERS), Some(1_001));
        assert_eq!(until_abuse(PUSH_PROMISE), Some(1));
        assert_eq!(until_abuse(DATA), None);
    }

    #[test]
    fn a_new_second_brings_a_new_budget() {
        let (mut meter, limits) = (meter(), Limits::default());
        for second in 0..5 {
            for _ in 0..10 {
                meter.received(&frame(PING, 0, 0, 8), second * 1_000, &limits).unwrap();
            }
        }
    }

    #[test]
    fn paced_rapid_reset_ends_by_the_lifetime_rule() {
        let (mut meter, limits) = (meter(), Limits::default());
        let served = (0..600).find(|n| {
            let stream = 2 * n + 1;
            let now_ms = u64::from(*n) * 100;
            let opened = meter.received(&frame(HEADERS, END_HEADERS, stream, 20), now_ms, &limits);
            let reset = meter.received(&frame(RST_STREAM, 0, stream, 4), now_ms, &limits);
            opened.is_err() || reset.is_err()
        });
        assert_eq!(served, Some(50));
    }

    #[test]
    fn a_reader_who_cancels_now_and_then_is_not_cut() {
        let (mut meter, limits) = (meter(), Limits::default());
        for n in 0..900u32 {
            let now_ms = u64::from(n) * 50;
            meter.received(&frame(HEADERS, END_HEADERS, 2 * n + 1, 20), now_ms, &limits).unwrap();
            if n % 3 == 0 {
                meter.received(&frame(RST_STREAM, 0, 2 * n + 1, 4), now_ms, &limits).unwrap();
            }
        }
        assert_eq!(meter.streams(), 900);
    }

    #[test]
    fn a_fast_download_may_update_its_windows_often() {
        let (mut meter, limits) = (meter(), Limits::default());
        for n in 0..5_000 {
            meter.sent(&frame(DATA, 0, 1, 1_000), n / 10);
            meter.received(&frame(WINDOW_UPDATE, 0, 1, 4), n / 10, &limits).unwrap();
            meter.received(&frame(WINDOW_UPDATE, 0, 0, 4), n / 10, &limits).unwrap();
        }
    }

    #[test]
    fn frames_cut_anywhere_count_the_same() {
        let limits = Limits::default();
        let mut bytes = PREFACE.to_vec();
        for n in 0..5u32 {
            bytes.extend(frame(HEADERS, END_HEADERS, 2 * n + 1, 300));
            bytes.extend(frame(DATA, 0, 2 * n + 1, 1_000));
        }
        for cut in [1, 7, 100] {
            let mut meter = FrameMeter::new();
            for piece in bytes.chunks(cut) {
                meter.received(piece, 0, &limits).unwrap();
            }
            assert_eq!(meter.streams(), 5);
            assert!(!meter.owes_rest());
        }
    }

    #[test]
    fn an_open_header_block_is_owed_and_a_body_is_not() {
        let (mut meter, limits) = (meter(), Limits::default());
        let mut owes = |bytes: &[u8]| {
            meter.received(bytes, 0, &limits).unwrap();
            meter.owes_rest()
        };
        assert!(!owes(&frame(SETTINGS, 0, 0, 0)));
        assert!(owes(&frame(HEADERS, 0, 1, 20)));
        assert!(!owes(&frame(CONTINUATION, END_HEADERS, 1, 20)));
        assert!(owes(&frame(HEADERS, END_HEADERS, 3, 20)[..15]));
        assert!(!owes(&[0; 14]));
        assert!(!owes(&frame(DATA, 0, 3, 1_000)[..500]));
    }
}
