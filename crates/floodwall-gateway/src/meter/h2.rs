//! HTTP/2 as it passes: nothing is held back, every frame is counted.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use floodwall_model::Reason;

use super::frames::FrameMeter;
use super::{hand_on, poll_transport};
use crate::connection_state::{ConnectionState, Reading};
use crate::deadlines::NEVER;
use crate::limits::Limits;
use crate::transport::Transport;

/// An HTTP/2 connection.
pub(super) struct H2Wire {
    frames: Box<FrameMeter>,
    /// Read before the protocol was known.
    input: Vec<u8>,
}

impl H2Wire {
    pub(super) fn new(input: Vec<u8>) -> Self {
        H2Wire { frames: Box::new(FrameMeter::new()), input }
    }

    pub(super) fn poll_read(
        &mut self,
        transport: &mut Transport,
        state: &ConnectionState,
        cx: &mut Context<'_>,
        buf: &mut hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.input.is_empty() {
            let n = hand_on(&self.input, buf);
            count(&mut self.frames, state, &self.input[..n])?;
            self.input.drain(..n);
            return Poll::Ready(Ok(()));
        }
        let max = buf.remaining();
        let counted = ready!(poll_transport(transport, state, cx, max, |bytes| {
            buf.put_slice(bytes);
            count(&mut self.frames, state, bytes)
        }))?;
        Poll::Ready(counted)
    }

    /// Follows the first `n` bytes of `bufs`, which went to the client.
    pub(super) fn sent(&mut self, state: &ConnectionState, bufs: &[IoSlice<'_>], n: usize) {
        let now_ms = state.worker.deadlines.now_ms();
        let mut left = n;
        for buf in bufs {
            let sent = left.min(buf.len());
            self.frames.sent(&buf[..sent], now_ms);
            left -= sent;
        }
    }
}

/// Counts what came from the client; cuts the connection when a budget is exceeded.
fn count(frames: &mut FrameMeter, state: &ConnectionState, bytes: &[u8]) -> io::Result<()> {
    let snapshot = state.worker.shared.snapshot.load();
    let limits = &snapshot.limits;
    if frames.received(bytes, state.worker.deadlines.now_ms(), limits).is_err() {
        state.cut(Reason::Http2Abuse);
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    if frames.streams() >= limits.h2_streams_lifetime_max {
        state.going.set(true);
    }
    set_clock(frames, state, limits);
    Ok(())
}

/// What a client owes us has its deadline even while other streams are being answered.
fn set_clock(frames: &FrameMeter, state: &ConnectionState, limits: &Limits) {
    let deadlines = &state.worker.deadlines;
    match (frames.owes_rest(), state.reading.get()) {
        (true, Reading::Idle) => {
            state.reading.set(Reading::Head);
            state.set_read_by(deadlines.after(limits.head_ms));
        }
        (false, Reading::Head) => {
            state.reading.set(Reading::Idle);
            let is_idle = state.open_requests() == 0;
            state.set_read_by(if is_idle { deadlines.after(limits.idle_ms) } else { NEVER });
        }
        _ => {}
    }
}
