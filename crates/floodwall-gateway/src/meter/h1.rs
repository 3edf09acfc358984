//! HTTP/1 as it passes: a head at a time, judged before the engine sees it.
//!
//! **A refused head** is answered through the engine all the same: the engine gets [`SUBSTITUTE`],
//! a plain request to close, together with a note saying why; the pipeline answers by the note and
//! never looks at the substitute. So a refusal takes its turn behind the answers before it, and
//! there is one way of writing answers instead of two.

use std::io;
use std::task::{Context, Poll, ready};

use floodwall_model::Reason;

use super::chunked::ChunkScanner;
use super::head::{Framing, HeadScanner, Scan, leading_empty_line};
use super::{hand_on, poll_transport};
use crate::connection_state::{ConnectionState, HeadNote, Reading};
use crate::deadlines::NEVER;
use crate::transport::Transport;

/// What the engine gets in place of a refused head.
const SUBSTITUTE: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// An idle connection gives its input buffer back if it is larger than this.
const IDLE_INPUT_BYTES: usize = 4 * 1024;

/// An HTTP/1 connection.
pub(super) struct H1Wire {
    /// Read and not yet handed on, from `start`. Never more than a head's maximum and one read.
    input: Vec<u8>,
    start: usize,
    scanner: HeadScanner,
    empty_line_skipped: bool,
    phase: Phase,
}

/// Where in the conversation it is.
enum Phase {
    /// Collecting a head.
    Head,
    /// Handing on a sound head of which so many bytes are left; then its body.
    Sound { left: usize, framing: Framing },
    /// In a body of which so many bytes are left.
    Length(u64),
    /// In a chunked body.
    Chunked(ChunkScanner),
    /// Handing on the substitute from this byte.
    Refused(usize),
    /// Nothing more is read.
    Closed,
}

impl H1Wire {
    pub(super) fn new(input: Vec<u8>) -> Self {
        H1Wire {
            input,
            start: 0,
            scanner: HeadScanner::default(),
            empty_line_skipped: false,
            phase: Phase::Head,
        }
    }

    /// What was read and not handed on.
    pub(super) fn take_input(&mut self) -> Vec<u8> {
        self.input.split_off(self.start.min(self.input.len()))
    }

    pub(super) fn poll_read(
        &mut self,
        transport: &mut Transport,
        state: &ConnectionState,
        cx: &mut Context<'_>,
        buf: &mut hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut self.phase {
                Phase::Closed => return Poll::Ready(Ok(())),
                // The engine ends the connection after its answer. It must not see the end of the
                // stream before: it would take it for a client that has gone.
                Phase::Refused(from) if *from == SUBSTITUTE.len() => return Poll::Pending,
                Phase::Refused(from) => {
                    *from += hand_on(&SUBSTITUTE[*from..], buf);
                    return Poll::Ready(Ok(()));
                }
                Phase::Sound { left, framing } => {
                    let (left, framing) = (*left, *framing);
                    let n = hand_on(&self.pending()[..left], buf);
                    self.consume(n);
                    self.phase = match (left - n, framing) {
                        (0, Framing::None) => Phase::Head,
                        (0, Framing::Length(length)) => Phase::Length(length),
                        (0, Framing::Chunked) => Phase::Chunked(ChunkScanner::new()),
                        (left, framing) => Phase::Sound { left, framing },
                    };
                    return Poll::Ready(Ok(()));
                }
                Phase::Length(_) | Phase::Chunked(_) => {
                    return self.poll_body(transport, state, cx, buf);
                }
                Phase::Head => ready!(self.poll_head(transport, state, cx))?,
            }
        }
    }

    /// Collects a head until there is something to hand on, or nothing ever will be.
    fn poll_head(
        &mut self,
        transport: &mut Transport,
        state: &ConnectionState,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            // One head at a time: the note of the last one must have been taken.
            if !state.note_is_taken(cx) {
                return Poll::Pending;
            }
            if self.judge(state) {
                return Poll::Ready(Ok(()));
            }
            if state.open_requests() == 0 && state.read_is_late() {
                self.late(state);
                return Poll::Ready(Ok(()));
            }
            self.make_room();
            let n = ready!(poll_transport(transport, state, cx, usize::MAX, |bytes| {
                self.input.extend_from_slice(bytes);
                bytes.len()
            }))?;
            if n == 0 {
                if !self.pending().is_empty() {
                    state.worker.counters.refused(Reason::ClientGone);
                }
                self.phase = Phase::Closed;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Judges what is there of a head. Whether there is something to hand on.
    fn judge(&mut self, state: &ConnectionState) -> bool {
        if !self.empty_line_skipped && leading_empty_line(self.pending()) {
            self.consume(2);
            self.empty_line_skipped = true;
            self.scanner = HeadScanner::default();
        }
        if self.pending().is_empty() {
            return false;
        }
        let snapshot = state.worker.shared.snapshot.load();
        let bytes = self.input.get(self.start..).unwrap_or_default();
        match self.scanner.scan(bytes, &snapshot.limits) {
            Scan::Sound(head) => {
                state.set_read_by(NEVER);
                state.leave_note(HeadNote { names: head.names, refusal: None });
                self.phase = Phase::Sound { left: head.len, framing: head.framing };
                self.empty_line_skipped = false;
                true
            }
            Scan::Refused(reason) => {
                self.refuse(state, reason);
                true
            }
            Scan::Partial => {
                if state.open_requests() == 0 && state.reading.get() == Reading::Idle {
                    state.reading.set(Reading::Head);
                    state.set_read_by(state.worker.deadlines.after(snapshot.limits.head_ms));
                }
                false
            }
        }
    }

    /// Sees to it that the engine gets the substitute.
    fn refuse(&mut self, state: &ConnectionState, reason: Reason) {
        state.set_read_by(NEVER);
        state.leave_note(HeadNote { names: Vec::new(), refusal: Some(reason) });
        self.phase = Phase::Refused(0);
    }

    /// Nothing came in time, or not all of it.
    fn late(&mut self, state: &ConnectionState) {
        if !self.pending().is_empty() {
            return self.refuse(state, Reason::HeadTimeout);
        }
        let reason = match state.reading.get() {
            Reading::First => Reason::HeadTimeout,
            Reading::Idle | Reading::Head => Reason::IdleTimeout,
        };
        state.worker.counters.refused(reason);
        self.phase = Phase::Closed;
    }

    fn poll_body(
        &mut self,
        transport: &mut Transport,
        state: &ConnectionState,
        cx: &mut Context<'_>,
        buf: &mut hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let fault = |reason| {
            state.body_fault.set(Some(reason));
            io::Error::new(io::ErrorKind::InvalidData, "request body framing")
        };
        if !self.pending().is_empty() {
            let input = std::mem::take(&mut self.input);
            let bytes = input.get(self.start..).unwrap_or_default();
            let part = self.body_part(&bytes[..bytes.len().min(buf.remaining())]);
            if let Ok(n) = part {
                buf.put_slice(&bytes[..n]);
            }
            self.input = input;
            self.consume(part.map_err(fault)?);
            return Poll::Ready(Ok(()));
        }
        let max = buf.remaining();
        let n = ready!(poll_transport(transport, state, cx, max, |bytes| {
            let n = self.body_part(bytes)?;
            buf.put_slice(&bytes[..n]);
            // What lies behind the body is the next head.
            self.input.extend_from_slice(&bytes[n..]);
            Ok(bytes.len())
        }))?;
        if n.map_err(fault)? == 0 {
            self.phase = Phase::Closed;
        }
        Poll::Ready(Ok(()))
    }

    /// How many bytes at the front of `bytes` belong to the body.
    fn body_part(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        match &mut self.phase {
            Phase::Length(left) => {
                let n = (*left).min(bytes.len() as u64);
                *left -= n;
                if *left == 0 {
                    self.phase = Phase::Head;
                }
                Ok(n as usize)
            }
            Phase::Chunked(scanner) => {
                let n = scanner.follow(bytes)?;
                if scanner.is_done() {
                    self.phase = Phase::Head;
                }
                Ok(n)
            }
            _ => Ok(0),
        }
    }

    fn pending(&self) -> &[u8] {
        self.input.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start >= self.input.len() {
            self.input.clear();
            self.start = 0;
        }
    }

    /// Before reading on: what was handed on makes room, and an idle connection keeps little.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        if self.input.is_empty() && self.input.capacity() > IDLE_INPUT_BYTES {
            self.input = Vec::new();
        }
    }
}
