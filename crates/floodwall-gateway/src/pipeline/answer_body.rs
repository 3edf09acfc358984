//! Step 7c: the body of an answer on its way to the client.
//!
//! Handed on piece by piece. It knows when the answer is whole, which is when the origin's
//! connection may serve again and the exchange ends well; dropped before, the connection is closed
//! and the exchange says so. An origin that breaks off breaks the client's answer off: it must not
//! look complete.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use floodwall_model::Reason;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::deadlines::{Deadline, NEVER};
use crate::pipeline::Cut;
use crate::pipeline::exchange::Exchange;
use crate::upstream::Lease;

/// The body of an answer.
pub(crate) struct AnswerBody {
    from: From,
    /// Taken when the answer is whole.
    exchange: Option<Exchange>,
}

enum From {
    Line(Option<&'static str>),
    Origin(Box<Flowing>),
    Nothing,
}

struct Flowing {
    incoming: Incoming,
    lease: Option<Lease>,
    /// The origin's silence.
    gap: Deadline,
    gap_ms: u64,
    is_waiting: bool,
    /// The client's: under this number the connection watches it.
    take: u64,
    stall_ms: u64,
    floor_bps: u64,
    grace_ms: u64,
}

impl AnswerBody {
    /// One line of ours.
    pub(crate) fn line(line: &'static str, mut exchange: Exchange) -> Self {
        // Whole as it stands: the engine never asks for the line of an answer to HEAD.
        exchange.complete();
        AnswerBody { from: From::Line(Some(line)), exchange: Some(exchange) }
    }

    /// The origin's.
    pub(crate) fn origin(incoming: Incoming, lease: Lease, exchange: Exchange) -> Self {
        if incoming.is_end_stream() {
            lease.give_back();
            return AnswerBody::nothing(exchange);
        }
        let state = exchange.state();
        let snapshot = state.worker.shared.snapshot.load();
        let limits = &snapshot.limits;
        let flowing = Flowing {
            incoming,
            lease: Some(lease),
            gap: state.worker.deadlines.deadline(),
            gap_ms: limits.origin_body_gap_ms,
            is_waiting: false,
            take: state.new_take(),
            stall_ms: limits.write_stall_ms,
            floor_bps: limits.write_floor_bps.max(1),
            grace_ms: limits.floor_grace_ms,
        };
        AnswerBody { from: From::Origin(Box::new(flowing)), exchange: Some(exchange) }
    }

    /// None, and the answer is whole with its head.
    pub(crate) fn nothing(mut exchange: Exchange) -> Self {
        exchange.complete();
        AnswerBody { from: From::Nothing, exchange: Some(exchange) }
    }

    /// None, of an answer whose account another keeps.
    pub(crate) const fn elsewhere() -> Self {
        AnswerBody { from: From::Nothing, exchange: None }
    }

    fn watch_no_more(&self) {
        if let (From::Origin(flowing), Some(exchange)) = (&self.from, &self.exchange) {
            exchange.state().set_take_by(flowing.take, NEVER);
        }
    }

    fn complete(&mut self) {
        self.watch_no_more();
        if let Some(mut exchange) = self.exchange.take() {
            exchange.complete();
        }
    }
}

impl Flowing {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        exchange.state().set_take_by(self.take, NEVER);
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending => self.waits(cx, exchange),
            Poll::Ready(Some(Ok(frame))) => {
                self.is_waiting = false;
                self.came(&frame, exchange);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(Reason::OriginClosedEarly))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn came(&self, frame: &Frame<Bytes>, exchange: &mut Exchange) {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        exchange.add_bytes(bytes);
        // By the time the client has taken this piece at the slowest allowed rate, the engine asks
        // for the next one.
        let slowest_ms = self.grace_ms.saturating_add(bytes.saturating_mul(1_000) / self.floor_bps);
        let state = exchange.state();
        let by = state.worker.deadlines.after(slowest_ms.max(self.stall_ms));
        state.set_take_by(self.take, by);
    }

    fn waits(
        &mut self,
        cx: &Context<'_>,
        exchange: &Exchange,
    ) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        if !self.is_waiting {
            self.is_waiting = true;
            self.gap.set(exchange.state().worker.deadlines.after(self.gap_ms));
        }
        if self.gap.poll_passed(cx) {
            return Poll::Ready(Some(Err(Reason::OriginTimeout)));
        }
        Poll::Pending
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let flowing = match &mut this.from {
            From::Nothing => return Poll::Ready(None),
            From::Line(line) => {
                let frame = line.take().map(|line| {
                    let bytes = Bytes::from_static(line.as_bytes());
                    if let Some(exchange) = &mut this.exchange {
                        exchange.add_bytes(bytes.len() as u64);
                    }
                    Ok(Frame::data(bytes))
                });
                this.complete();
                return Poll::Ready(frame);
            }
            From::Origin(flowing) => flowing,
        };
        let Some(exchange) = &mut this.exchange else { return Poll::Ready(None) };
        let result = std::task::ready!(flowing.poll(cx, exchange));
        match result {
            Some(Ok(frame)) => {
                if flowing.incoming.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(reason)) => {
                exchange.fail(reason);
                Poll::Ready(Some(Err(Cut(reason))))
            }
            None => {
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            From::Nothing => true,
            From::Line(line) => line.is_none(),
            From::Origin(flowing) => self.exchange.is_none() || flowing.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            From::Nothing => SizeHint::with_exact(0),
            From::Line(line) => SizeHint::with_exact(line.map_or(0, |line| line.len() as u64)),
            From::Origin(flowing) => flowing.incoming.size_hint(),
        }
    }
}

impl AnswerBody {
    /// The origin's answer is whole.
    fn end(&mut self) {
        if let From::Origin(flowing) = &mut self.from
            && let Some(lease) = flowing.lease.take()
        {
            lease.give_back();
        }
        self.complete();
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.watch_no_more();
    }
}
