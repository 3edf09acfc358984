//! Steps 5 and 6: a place at the origin, then the question and its answer.
//!
//! A kept connection may have been closed by the origin while the request was on its way. Then it
//! is asked once more on a new one, but only if that cannot do anything twice: nothing of it was
//! written, or it has no body, its method is safe (RFC 9110 § 9.2.1) and not one byte of an
//! answer came.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use floodwall_model::Reason;
use http::header::EXPECT;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use tokio::sync::oneshot;

use crate::connection_state::ConnectionState;
use crate::pipeline::answer_body::AnswerBody;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::head_checks::Target;
use crate::pipeline::request_body::{BodyReport, ContinueGate, RequestBody};
use crate::pipeline::tunnel::{PendingTunnel, TunnelPlace};
use crate::pipeline::{Answer, Cut, answer_head, origin_request, refusal};
use crate::snapshot::Snapshot;
use crate::upstream::admission::Place;
use crate::upstream::{Handle, Lease, OriginPool, Upgraded};

/// A request that goes on to the origin.
pub(crate) struct ClientRequest {
    pub(crate) parts: Parts,
    pub(crate) body: Incoming,
    pub(crate) target: Target,
    pub(crate) exchange: Exchange,
    pub(crate) patience: Patience,
}

/// The limits of this way, as they stood when the request came.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Patience {
    places: usize,
    queue_max: usize,
    queue_wait_ms: u64,
    connect_ms: u64,
    head_ms: u64,
    idle_max: usize,
    tunnels_max: usize,
}

impl Patience {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let limits = &snapshot.limits;
        Patience {
            places: limits.in_flight_per_worker(snapshot.workers),
            queue_max: limits.queue_per_worker(snapshot.workers),
            queue_wait_ms: limits.origin_queue_wait_ms,
            connect_ms: limits.origin_connect_ms,
            head_ms: limits.origin_head_ms,
            idle_max: limits.origin_idle_max,
            tunnels_max: limits.tunnels_max,
        }
    }
}

/// Asks the origin and answers the client.
pub(crate) async fn answer(state: Rc<ConnectionState>, request: ClientRequest) -> Answer {
    let ClientRequest { parts, body, target, mut exchange, patience } = request;
    let pool = state.worker.origins.pool(&target.site);
    let report = Rc::new(BodyReport::default());
    let awaits_continue = !body.is_end_stream() && expects_continue(&parts);
    let gate = awaits_continue.then(|| Arc::new(ContinueGate::default()));
    let body = RequestBody::new(body, state.clone(), report.clone(), gate.clone());
    let question =
        Question { state: &state, parts: &parts, target: &target, gate, report: &report };
    let asked = match enter(&pool, &patience, &mut exchange).await {
        Ok(place) => question.ask(&pool, body, place, &patience).await,
        Err(reason) => Err(reason),
    };
    match asked {
        Ok(answered) => {
            exchange.set_origin_ms(answered.origin_ms);
            deliver(&state, &target, answered, exchange, &patience)
        }
        Err(reason) => fail(&state, reason, !report.ended.get(), exchange),
    }
}

fn expects_continue(parts: &Parts) -> bool {
    let expect = parts.headers.get(EXPECT).map(HeaderValue::as_bytes);
    parts.version != Version::HTTP_10
        && expect.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

/// A place at the origin, at once or after waiting. Who waited is judged again by the plan in
/// force now: otherwise the queue that an attack built up would still go to the origin after the
/// rule against it is there.
async fn enter(
    pool: &OriginPool,
    patience: &Patience,
    exchange: &mut Exchange,
) -> Result<Place, Reason> {
    if let Some(place) = pool.admission.try_enter(patience.places) {
        return Ok(place);
    }
    let waiting = pool.admission.enter(patience.queue_max).map_err(|_| Reason::OriginSaturated)?;
    let entered = pool.deadlines.timeout(patience.queue_wait_ms, waiting).await;
    let place = entered.map_err(|_| Reason::OriginSaturated)?;
    if exchange.blocked_meanwhile() { Err(Reason::RuleBlocked) } else { Ok(place) }
}

/// What is asked of the origin.
struct Question<'a> {
    state: &'a ConnectionState,
    parts: &'a Parts,
    target: &'a Target,
    gate: Option<Arc<ContinueGate>>,
    report: &'a BodyReport,
}

/// What it answered.
struct Answered {
    response: Response<Incoming>,
    lease: Lease,
    origin_ms: u32,
    upgrade: Option<oneshot::Receiver<Upgraded>>,
}

impl Question<'_> {
    async fn ask(
        &self,
        pool: &Rc<OriginPool>,
        mut body: RequestBody,
        place: Place,
        patience: &Patience,
    ) -> Result<Answered, Reason> {
        let (mut handle, mut is_reused) = match pool.reuse() {
            Some(handle) => (handle, true),
            None => (pool.dial(patience.connect_ms).await?, false),
        };
        loop {
            let has_body = !body.is_end_stream();
            let received_before = handle.facts.received.get();
            let upgrade = self.target.is_websocket.then(|| {
                let (taker, stream) = oneshot::channel();
                *handle.facts.upgrade.borrow_mut() = Some(taker);
                stream
            });
            let started = Instant::now();
            match self.send(pool, &mut handle, body, patience.head_ms).await? {
                Ok(response) => {
                    let origin_ms = started.elapsed().as_millis().min(u128::from(u32::MAX)) as u32;
                    let pool = pool.clone();
                    let lease = Lease { pool, handle, place, idle_max: patience.idle_max };
                    return Ok(Answered { response, lease, origin_ms, upgrade });
                }
                Err(mut failed) => {
                    let unsent = failed.take_message().map(Request::into_body);
                    let untouched = handle.facts.received.get() == received_before;
                    // Safe methods only: an idempotent DELETE that was carried out and is sent
                    // again answers 404, and somebody is told that nothing was deleted.
                    let safe = untouched && !has_body && self.parts.method.is_safe();
                    body = match unsent {
                        _ if !is_reused => return Err(self.reason(failed.error())),
                        Some(unsent) => unsent,
                        None if safe => RequestBody::empty(),
                        None => return Err(self.reason(failed.error())),
                    };
                }
            }
            pool.counters.upstream_retried.add(1);
            handle = pool.dial(patience.connect_ms).await?;
            is_reused = false;
        }
    }

    /// Sends the request on one connection and waits for the head of its answer. The clock runs
    /// from the last byte of the request that the origin took, so that a slow upload is not
    /// mistaken for a slow origin.
    async fn send(
        &self,
        pool: &OriginPool,
        handle: &mut Handle,
        body: RequestBody,
        head_ms: u64,
    ) -> Result<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>, Reason> {
        let head = origin_request::head(self.parts, self.target, self.state, self.gate.is_some());
        let mut request = Request::from_parts(head, body);
        if let Some(gate) = self.gate.clone() {
            hyper::ext::on_informational(&mut request, move |answer| {
                if answer.status() == StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        let mut answer = pin!(handle.sender.try_send_request(request));
        let deadlines = &pool.deadlines;
        let mut since_ms = deadlines.now_ms();
        loop {
            let patience_ms = (since_ms + head_ms).saturating_sub(deadlines.now_ms());
            if let Ok(answer) = deadlines.timeout(patience_ms, answer.as_mut()).await {
                return Ok(answer);
            }
            let taken_at_ms = self.report.taken_at_ms.get();
            if taken_at_ms <= since_ms {
                return Err(Reason::OriginTimeout);
            }
            since_ms = taken_at_ms;
        }
    }

    /// Whose fault a failed request is. The body's own verdict comes first: giving it up is what
    /// made the rest fail.
    fn reason(&self, error: &hyper::Error) -> Reason {
        match self.report.fault.get() {
            Some(reason) => reason,
            None if error.is_parse() => Reason::OriginMalformed,
            None => Reason::OriginClosedEarly,
        }
    }
}

/// Answers the client with what the origin said.
fn deliver(
    state: &ConnectionState,
    target: &Target,
    answered: Answered,
    mut exchange: Exchange,
    patience: &Patience,
) -> Answer {
    let Answered { response, lease, upgrade, .. } = answered;
    let (mut head, incoming) = response.into_parts();
    head.version = Version::HTTP_11;
    // Whatever the engine notes there concerns the origin's connection.
    head.extensions.clear();
    answer_head::strip(&mut head.headers);
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let Some(stream) = upgrade.filter(|_| target.is_websocket) else {
            // Nobody asked for it.
            return fail(state, Reason::OriginMalformed, false, exchange);
        };
        let Some(place) = TunnelPlace::take(&state.worker, patience.tunnels_max) else {
            return fail(state, Reason::OriginSaturated, false, exchange);
        };
        exchange.set_status(head.status.as_u16());
        answer_head::mark_websocket(&mut head.headers);
        *state.tunnel.borrow_mut() = Some(PendingTunnel { stream, exchange, place });
        // The place at the origin goes back: tunnels have a maximum of their own.
        return Ok(Response::from_parts(head, AnswerBody::elsewhere()));
    }
    exchange.set_status(head.status.as_u16());
    Ok(Response::from_parts(head, AnswerBody::origin(incoming, lease, exchange)))
}

/// Answers the client in the origin's stead.
fn fail(
    state: &ConnectionState,
    reason: Reason,
    body_unread: bool,
    mut exchange: Exchange,
) -> Answer {
    exchange.fail(reason);
    if reason.status() == 0 {
        return Err(Cut(reason));
    }
    Ok(refusal::response(state, reason, body_unread, exchange))
}
