//! The meter: what lies between a client's byte stream and the protocol engine.
//!
//! It is the only place that sees the bytes as sent. For HTTP/1 ([`h1`]) it holds a head back until
//! it is complete and found sound, so that the engine never sees a partial or an ambiguous one; for
//! HTTP/2 ([`h2`]) it counts frames. It keeps the clocks of reading and [`writing`]. It must never
//! change what it lets through.

pub(crate) mod chunked;
pub(crate) mod frames;
mod h1;
mod h2;
pub(crate) mod head;
mod writing;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection_state::ConnectionState;
use crate::transport::Transport;
use h1::H1Wire;
use h2::H2Wire;
use writing::WriteClock;

/// A metered byte stream.
pub(crate) struct Meter {
    transport: Transport,
    state: Rc<ConnectionState>,
    wire: Wire,
    write_clock: WriteClock,
}

enum Wire {
    H1(H1Wire),
    H2(H2Wire),
}

impl Meter {
    /// A meter over `transport`, of which `input` was read already.
    pub(crate) fn new(transport: Transport, state: Rc<ConnectionState>, input: Vec<u8>) -> Self {
        let wire =
            if state.is_h2 { Wire::H2(H2Wire::new(input)) } else { Wire::H1(H1Wire::new(input)) };
        Meter { transport, state, wire, write_clock: WriteClock::default() }
    }

    /// The stream itself, and what was read of it and not handed on.
    pub(crate) fn into_inner(mut self) -> (Transport, Vec<u8>) {
        let input = match &mut self.wire {
            Wire::H1(wire) => wire.take_input(),
            Wire::H2(_) => Vec::new(),
        };
        (std::mem::replace(&mut self.transport, Transport::Gone), input)
    }

    /// Looks at the outcome of a write. `bufs` are the bytes that were offered.
    fn wrote(&mut self, outcome: &Poll<io::Result<usize>>, bufs: &[io::IoSlice<'_>]) {
        match outcome {
            Poll::Ready(Ok(n)) => {
                self.state.worker.counters.bytes_out.add(*n as u64);
                if let Wire::H2(wire) = &mut self.wire {
                    wire.sent(&self.state, bufs, *n);
                }
                self.write_clock.took(&self.state, *n as u64);
            }
            Poll::Pending => self.write_clock.waits(&self.state),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.state.is_cut() {
            self.transport.reset_on_close();
        }
    }
}

/// Reads at most `max` bytes and gives them to `then`. No bytes: the end.
fn poll_transport<T>(
    transport: &mut Transport,
    state: &ConnectionState,
    cx: &mut Context<'_>,
    max: usize,
    then: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    // One buffer for all connections of the worker: filled and emptied within this call.
    let mut scratch = state.worker.scratch.borrow_mut();
    let max = max.min(scratch.len());
    let mut buf = ReadBuf::new(&mut scratch[..max]);
    ready!(Pin::new(transport).poll_read(cx, &mut buf))?;
    state.worker.counters.bytes_in.add(buf.filled().len() as u64);
    Poll::Ready(Ok(then(buf.filled())))
}

/// Hands on as much of `bytes` as fits.
fn hand_on(bytes: &[u8], buf: &mut hyper::rt::ReadBufCursor<'_>) -> usize {
    let n = bytes.len().min(buf.remaining());
    buf.put_slice(&bytes[..n]);
    n
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
        match &mut meter.wire {
            Wire::H1(wire) => wire.poll_read(&mut meter.transport, &meter.state, cx, &mut buf),
            Wire::H2(wire) => wire.poll_read(&mut meter.transport, &meter.state, cx, &mut buf),
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
        let outcome = Pin::new(&mut meter.transport).poll_write(cx, buf);
        meter.wrote(&outcome, &[io::IoSlice::new(buf)]);
        outcome
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let meter = self.get_mut();
        let outcome = Pin::new(&mut meter.transport).poll_write_vectored(cx, bufs);
        meter.wrote(&outcome, bufs);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let meter = self.get_mut();
        let outcome = Pin::new(&mut meter.transport).poll_flush(cx);
        match &outcome {
            // The engine flushes when it has written all: the client is up to date.
            Poll::Ready(Ok(())) => meter.write_clock.is_up_to_date(&meter.state),
            Poll::Pending => meter.write_clock.waits(&meter.state),
            Poll::Ready(Err(_)) => {}
        }
        outcome
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}
