//! Step 6b: the client's body on its way to the origin.
//!
//! Handed on piece by piece. It keeps three clocks and one size: a gap without a byte, a floor of
//! bytes per second over the time we waited for the client, and the maximum. Time during which the
//! origin does not ask for more is not the client's fault and is not counted.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use floodwall_model::Reason;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::connection_state::ConnectionState;
use crate::deadlines::{Deadline, Deadlines};
use crate::pipeline::Cut;

/// How long a client that waits for 100 (Continue) is kept waiting for the origin's word. Clients
/// send without it after about as long (RFC 9110 § 10.1.1).
const CONTINUE_WAIT_MS: u64 = 1_000;

/// What the forwarding step learns of the body while the engine sends it.
#[derive(Debug, Default)]
pub(crate) struct BodyReport {
    /// Why it was given up.
    pub(crate) fault: Cell<Option<Reason>>,
    /// When the origin last took some of it, by the worker's clock.
    pub(crate) taken_at_ms: Cell<u64>,
    /// It was read to its end, or there is none.
    pub(crate) ended: Cell<bool>,
}

/// Opened when the origin asks for the body of a request with `Expect: 100-continue`. Only then is
/// the body read, and only then does the engine tell the client to send it.
#[derive(Debug, Default)]
pub(crate) struct ContinueGate {
    open: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl ContinueGate {
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll_open(&self, cx: &Context<'_>) -> bool {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        self.open.load(Ordering::Acquire)
    }
}

/// The rates a body has to keep.
#[derive(Copy, Clone, Debug)]
struct Pace {
    gap_ms: u64,
    floor_bps: u64,
    grace_ms: u64,
}

/// A client's body.
pub(crate) struct RequestBody(Option<Flowing>);

struct Flowing {
    incoming: Incoming,
    state: Rc<ConnectionState>,
    report: Rc<BodyReport>,
    gate: Option<(Arc<ContinueGate>, Deadline)>,
    deadline: Deadline,
    pace: Pace,
    bytes: u64,
    bytes_max: u64,
    /// Since when we wait for the client, and how long we waited before.
    waiting_since_ms: Option<u64>,
    waited_ms: u64,
}

impl RequestBody {
    /// No body.
    pub(crate) const fn empty() -> Self {
        RequestBody(None)
    }

    pub(crate) fn new(
        incoming: Incoming,
        state: Rc<ConnectionState>,
        report: Rc<BodyReport>,
        gate: Option<Arc<ContinueGate>>,
    ) -> Self {
        if incoming.is_end_stream() {
            report.ended.set(true);
            return RequestBody::empty();
        }
        let deadlines = &state.worker.deadlines;
        let snapshot = state.worker.shared.snapshot.load();
        let limits = &snapshot.limits;
        let pace = Pace {
            gap_ms: limits.body_gap_ms,
            floor_bps: limits.body_floor_bps,
            grace_ms: limits.floor_grace_ms,
        };
        let gate = gate.map(|gate| {
            let deadline = deadlines.deadline();
            deadline.set(deadlines.after(CONTINUE_WAIT_MS));
            (gate, deadline)
        });
        RequestBody(Some(Flowing {
            incoming,
            report,
            gate,
            deadline: deadlines.deadline(),
            pace,
            bytes: 0,
            bytes_max: limits.body_bytes_max,
            waiting_since_ms: None,
            waited_ms: 0,
            state: state.clone(),
        }))
    }
}

impl Flowing {
    fn deadlines(&self) -> &Rc<Deadlines> {
        &self.state.worker.deadlines
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        if let Some((gate, deadline)) = &self.gate {
            if !gate.poll_open(cx) && !deadline.poll_passed(cx) {
                return Poll::Pending;
            }
            self.gate = None;
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending => self.waits(cx),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => self.came(bytes),
                // Trailers are dropped: nothing may follow a body that the checks did not see.
                Err(_) => self.ended(),
            },
            Poll::Ready(Some(Err(_))) => {
                let reason = self.state.body_fault.get().unwrap_or(Reason::ClientGone);
                Poll::Ready(Some(Err(reason)))
            }
            Poll::Ready(None) => self.ended(),
        }
    }

    fn came(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        let now_ms = self.deadlines().now_ms();
        if let Some(since_ms) = self.waiting_since_ms.take() {
            self.waited_ms += now_ms.saturating_sub(since_ms);
        }
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max {
            return Poll::Ready(Some(Err(Reason::BodyTooLarge)));
        }
        if self.waited_ms > self.pace.grace_ms
            && self.bytes < self.pace.floor_bps.saturating_mul(self.waited_ms) / 1_000
        {
            return Poll::Ready(Some(Err(Reason::BodyTimeout)));
        }
        self.report.taken_at_ms.set(now_ms);
        if self.incoming.is_end_stream() {
            self.report.ended.set(true);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn ended(&self) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        self.report.ended.set(true);
        self.report.taken_at_ms.set(self.deadlines().now_ms());
        Poll::Ready(None)
    }

    fn waits(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        let now_ms = self.deadlines().now_ms();
        // As long as we wait for the client, the origin is not the one that is slow.
        self.report.taken_at_ms.set(now_ms);
        if self.waiting_since_ms.is_none() {
            self.waiting_since_ms = Some(now_ms);
            self.deadline.set(self.deadlines().after(self.pace.gap_ms));
        }
        if self.deadline.poll_passed(cx) {
            return Poll::Ready(Some(Err(Reason::BodyTimeout)));
        }
        Poll::Pending
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Some(flowing) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        flowing.poll(cx).map(|frame| {
            frame.map(|result| {
                result.map_err(|reason| {
                    flowing.report.fault.set(Some(reason));
                    Cut(reason)
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|flowing| flowing.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |flowing| flowing.incoming.size_hint())
    }
}
