//! The meter: what lies between a client's byte stream and the protocol engine.
//!
//! It is the only place that sees the bytes as sent. For HTTP/1 it holds a head back until it is
//! complete and found sound, so that the engine never sees a partial or an ambiguous one; for
//! HTTP/2 it counts frames. It keeps the clocks of reading and writing. It must never change what
//! it lets through.
//!
//! **A refused head** is answered through the engine all the same: the engine gets [`SUBSTITUTE`],
//! a plain request to close, together with a note saying why; the pipeline answers by the note and
//! never looks at the substitute. So a refusal takes its turn behind the answers before it, and
//! there is one way of writing answers instead of two.

pub(crate) mod chunked;
pub(crate) mod frames;
pub(crate) mod head;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use floodwall_model::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection_state::{ConnectionState, HeadNote, Reading};
use crate::deadlines::NEVER;
use crate::transport::Transport;
use chunked::ChunkScanner;
use frames::FrameMeter;
use head::{Framing, HeadScanner, Scan, leading_empty_line};

/// What the engine gets in place of a refused head.
const SUBSTITUTE: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// An idle connection gives its input buffer back if it is larger than this.
const IDLE_INPUT_BYTES: usize = 4 * 1024;

/// A metered byte stream.
pub(crate) struct Meter {
    transport: Transport,
    state: Rc<ConnectionState>,
    wire: Wire,
    writing: Writing,
}

enum Wire {
    H1(H1Wire),
    /// Boxed: two frame cursors and a row of counters that HTTP/1 does not need. Beside it what was
    /// read before the protocol was known.
    H2(Box<FrameMeter>, Vec<u8>),
}

/// Where an HTTP/1 connection is.
struct H1Wire {
    /// Read and not yet handed on, from `start`.
    input: Vec<u8>,
    start: usize,
    scanner: HeadScanner,
    empty_line_skipped: bool,
    phase: Phase,
}

enum Phase {
    /// Collecting a head.
    Head,
    /// Handing on a sound head of which so many bytes are left; then its body.
    Sound {
        left: usize,
        framing: Framing,
    },
    Length(u64),
    Chunked(ChunkScanner),
    /// Handing on the substitute from this byte.
    Refused(usize),
    /// Nothing more is read.
    Closed,
}

/// How the client takes what we write.
#[derive(Default)]
struct Writing {
    /// Since when it keeps us waiting, and what it took since.
    waiting_since_ms: Option<u64>,
    taken: u64,
}

impl Meter {
    /// A meter over `transport`, of which `input` was read already.
    pub(crate) fn new(transport: Transport, state: Rc<ConnectionState>, input: Vec<u8>) -> Self {
        let wire = if state.is_h2 {
            Wire::H2(Box::new(FrameMeter::new()), input)
        } else {
            Wire::H1(H1Wire {
                input,
                start: 0,
                scanner: HeadScanner::default(),
                empty_line_skipped: false,
                phase: Phase::Head,
            })
        };
        Meter { transport, state, wire, writing: Writing::default() }
    }

    /// The stream itself, and what was read of it and not handed on.
    pub(crate) fn into_inner(self) -> (Transport, Vec<u8>) {
        let input = match self.wire {
            Wire::H1(mut wire) => wire.input.split_off(wire.start.min(wire.input.len())),
            Wire::H2(..) => Vec::new(),
        };
        (self.transport, input)
    }
}

impl H1Wire {
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

    /// Bytes of the body at the front of `bytes`.
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
}

/// Hands on as much of `bytes` as fits.
fn hand_on(bytes: &[u8], buf: &mut hyper::rt::ReadBufCursor<'_>) -> usize {
    let n = bytes.len().min(buf.remaining());
    buf.put_slice(&bytes[..n]);
    n
}

impl Meter {
    /// Reads at most `max` bytes and gives them to `then`. 0 bytes: the end.
    fn poll_transport<T>(
        transport: &mut Transport,
        state: &ConnectionState,
        cx: &mut Context<'_>,
        max: usize,
        then: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        let mut scratch = state.worker.scratch.borrow_mut();
        let max = max.min(scratch.len());
        let mut buf = ReadBuf::new(&mut scratch[..max]);
        ready!(Pin::new(transport).poll_read(cx, &mut buf))?;
        state.worker.counters.bytes_in.add(buf.filled().len() as u64);
        Poll::Ready(Ok(then(buf.filled())))
    }

    fn poll_h1(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Meter { transport, state, wire: Wire::H1(wire), .. } = self else {
            return Poll::Ready(Ok(()));
        };
        loop {
            match &mut wire.phase {
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
                    let n = hand_on(&wire.pending()[..left], buf);
                    wire.consume(n);
                    wire.phase = match (left - n, framing) {
                        (0, Framing::None) => Phase::Head,
                        (0, Framing::Length(length)) => Phase::Length(length),
                        (0, Framing::Chunked) => Phase::Chunked(ChunkScanner::new()),
                        (left, framing) => Phase::Sound { left, framing },
                    };
                    return Poll::Ready(Ok(()));
                }
                Phase::Length(_) | Phase::Chunked(_) => {
                    return Self::poll_h1_body(wire, transport, state, cx, buf);
                }
                Phase::Head => {
                    if !ready!(Self::poll_h1_head(wire, transport, state, cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    /// Waits for a head and judges it. `false`: the end.
    fn poll_h1_head(
        wire: &mut H1Wire,
        transport: &mut Transport,
        state: &ConnectionState,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        loop {
            // One head at a time: the note of the last one must have been taken.
            if !state.note_is_taken(cx) {
                return Poll::Pending;
            }
            if !wire.empty_line_skipped && leading_empty_line(wire.pending()) {
                wire.consume(2);
                wire.empty_line_skipped = true;
                wire.scanner = HeadScanner::default();
            }
            let is_waiting = state.open_requests() == 0;
            if !wire.pending().is_empty() {
                let snapshot = state.worker.shared.snapshot.load();
                let limits = &snapshot.limits;
                let verdict =
                    wire.scanner.scan(wire.input.get(wire.start..).unwrap_or_default(), limits);
                match verdict {
                    Scan::Sound(head) => {
                        state.set_read_by(NEVER);
                        state.leave_note(HeadNote { names: head.names, refusal: None });
                        wire.phase = Phase::Sound { left: head.len, framing: head.framing };
                        wire.empty_line_skipped = false;
                        return Poll::Ready(Ok(true));
                    }
                    Scan::Refused(reason) => return Poll::Ready(Ok(refuse(wire, state, reason))),
                    Scan::Partial if is_waiting && state.reading.get() == Reading::Idle => {
                        state.reading.set(Reading::Head);
                        state.set_read_by(state.worker.deadlines.after(limits.head_ms));
                    }
                    Scan::Partial => {}
                }
            }
            if is_waiting && state.read_is_late() {
                return Poll::Ready(Ok(head_is_late(wire, state)));
            }
            if wire.pending().is_empty() && wire.input.capacity() > IDLE_INPUT_BYTES {
                wire.input = Vec::new();
            }
            if wire.start > 0 {
                wire.input.drain(..wire.start);
                wire.start = 0;
            }
            let n = ready!(Self::poll_transport(transport, state, cx, usize::MAX, |bytes| {
                wire.input.extend_from_slice(bytes);
                bytes.len()
            }))?;
            if n == 0 {
                if !wire.pending().is_empty() {
                    state.worker.counters.refused(Reason::ClientGone);
                }
                wire.phase = Phase::Closed;
                return Poll::Ready(Ok(false));
            }
        }
    }

    fn poll_h1_body(
        wire: &mut H1Wire,
        transport: &mut Transport,
        state: &ConnectionState,
        cx: &mut Context<'_>,
        buf: &mut hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let fault = |reason| {
            state.body_fault.set(Some(reason));
            io::Error::new(io::ErrorKind::InvalidData, "request body framing")
        };
        if !wire.pending().is_empty() {
            let input = std::mem::take(&mut wire.input);
            let bytes = &input[wire.start..];
            let n = wire.body_part(&bytes[..bytes.len().min(buf.remaining())]);
            if let Ok(n) = n {
                buf.put_slice(&bytes[..n]);
            }
            wire.input = input;
            wire.consume(n.map_err(fault)?);
            return Poll::Ready(Ok(()));
        }
        let max = buf.remaining();
        let n = ready!(Self::poll_transport(transport, state, cx, max, |bytes| {
            let n = wire.body_part(bytes)?;
            buf.put_slice(&bytes[..n]);
            // What lies behind the body is the next head.
            wire.input.extend_from_slice(&bytes[n..]);
            Ok(bytes.len())
        }))?;
        if n.map_err(fault)? == 0 {
            wire.phase = Phase::Closed;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_h2(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Meter { transport, state, wire: Wire::H2(frames, input), .. } = self else {
            return Poll::Ready(Ok(()));
        };
        let mut count = |bytes: &[u8]| {
            let snapshot = state.worker.shared.snapshot.load();
            let now_ms = state.worker.deadlines.now_ms();
            let verdict = frames.received(bytes, now_ms, &snapshot.limits);
            if verdict.is_err() {
                state.cut(Reason::Http2Abuse);
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if frames.streams() >= snapshot.limits.h2_streams_lifetime_max {
                state.going.set(true);
            }
            h2_clock(state, frames, snapshot.limits.head_ms, snapshot.limits.idle_ms);
            Ok::<(), io::Error>(())
        };
        if !input.is_empty() {
            let n = hand_on(input, buf);
            count(&input[..n])?;
            input.drain(..n);
            return Poll::Ready(Ok(()));
        }
        let max = buf.remaining();
        ready!(Self::poll_transport(transport, state, cx, max, |bytes| {
            count(bytes)?;
            buf.put_slice(bytes);
            Ok(())
        }))?
        .into()
    }

    fn written(
        &mut self,
        result: &Poll<io::Result<usize>>,
        first: impl FnOnce(&mut FrameMeter, u64),
    ) {
        let now_ms = self.state.worker.deadlines.now_ms();
        match result {
            Poll::Ready(Ok(n)) => {
                self.state.worker.counters.bytes_out.add(*n as u64);
                if let Wire::H2(frames, _) = &mut self.wire {
                    first(frames, now_ms);
                }
                if let Some(since_ms) = self.writing.waiting_since_ms {
                    self.writing.taken += *n as u64;
                    self.took_some(since_ms, now_ms);
                }
            }
            Poll::Pending => self.waits(now_ms),
            Poll::Ready(Err(_)) => {}
        }
    }

    /// The client keeps us waiting.
    fn waits(&mut self, now_ms: u64) {
        if self.writing.waiting_since_ms.is_none() {
            self.writing = Writing { waiting_since_ms: Some(now_ms), taken: 0 };
            let stall_ms = self.state.worker.shared.snapshot.load().limits.write_stall_ms;
            self.state.set_write_by(self.state.worker.deadlines.after(stall_ms));
        }
    }

    /// It took something, perhaps too little.
    fn took_some(&mut self, since_ms: u64, now_ms: u64) {
        let snapshot = self.state.worker.shared.snapshot.load();
        let limits = &snapshot.limits;
        let waited_ms = now_ms.saturating_sub(since_ms);
        let owed = limits.write_floor_bps.saturating_mul(waited_ms) / 1_000;
        if waited_ms > limits.floor_grace_ms && self.writing.taken < owed {
            self.state.cut(Reason::WriteTimeout);
        } else {
            self.state.set_write_by(self.state.worker.deadlines.after(limits.write_stall_ms));
        }
    }
}

/// Sees to it that the engine gets the substitute. Always `true`: there is something to hand on.
fn refuse(wire: &mut H1Wire, state: &ConnectionState, reason: Reason) -> bool {
    state.set_read_by(NEVER);
    state.leave_note(HeadNote { names: Vec::new(), refusal: Some(reason) });
    wire.phase = Phase::Refused(0);
    true
}

/// Nothing came, or not all of it. Whether there is something to hand on.
fn head_is_late(wire: &mut H1Wire, state: &ConnectionState) -> bool {
    if !wire.pending().is_empty() {
        return refuse(wire, state, Reason::HeadTimeout);
    }
    let reason = match state.reading.get() {
        Reading::First => Reason::HeadTimeout,
        Reading::Idle | Reading::Head => Reason::IdleTimeout,
    };
    state.worker.counters.refused(reason);
    wire.phase = Phase::Closed;
    false
}

/// What an HTTP/2 client owes us has its deadline even while other streams are being answered.
fn h2_clock(state: &ConnectionState, frames: &FrameMeter, head_ms: u64, idle_ms: u64) {
    let deadlines = &state.worker.deadlines;
    match (frames.owes_rest(), state.reading.get()) {
        (true, Reading::Idle) => {
            state.reading.set(Reading::Head);
            state.set_read_by(deadlines.after(head_ms));
        }
        (false, Reading::Head) => {
            state.reading.set(Reading::Idle);
            let idle = state.open_requests() == 0;
            state.set_read_by(if idle { deadlines.after(idle_ms) } else { NEVER });
        }
        _ => {}
    }
}

impl hyper::rt::Read for Meter {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let meter = self.get_mut();
        if meter.state.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match meter.wire {
            Wire::H1(_) => meter.poll_h1(cx, &mut buf),
            Wire::H2(..) => meter.poll_h2(cx, &mut buf),
        }
    }
}

impl hyper::rt::Write for Meter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let meter = self.get_mut();
        let result = Pin::new(&mut meter.transport).poll_write(cx, buf);
        let sent = written_len(&result).min(buf.len());
        meter.written(&result, |frames, now_ms| frames.sent(&buf[..sent], now_ms));
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let meter = self.get_mut();
        let result = Pin::new(&mut meter.transport).poll_write_vectored(cx, bufs);
        let mut left = written_len(&result);
        meter.written(&result, |frames, now_ms| {
            for buf in bufs {
                let sent = left.min(buf.len());
                frames.sent(&buf[..sent], now_ms);
                left -= sent;
            }
        });
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let meter = self.get_mut();
        let result = Pin::new(&mut meter.transport).poll_flush(cx);
        match &result {
            // The engine flushes when it has written all: the client is up to date.
            Poll::Ready(Ok(())) if meter.writing.waiting_since_ms.is_some() => {
                meter.writing.waiting_since_ms = None;
                meter.state.set_write_by(NEVER);
            }
            Poll::Pending => meter.waits(meter.state.worker.deadlines.now_ms()),
            _ => {}
        }
        result
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

fn written_len(result: &Poll<io::Result<usize>>) -> usize {
    match result {
        Poll::Ready(Ok(n)) => *n,
        _ => 0,
    }
}
