//! The way of one request, a file per step:
//!
//! 1. [`head_checks`]: is it a request we serve, and which site's;
//! 2. [`client_address`]: whose is it;
//! 3. [`attributes`]: what does it look like;
//! 4. [`decision`]: what do ban and plan say;
//! 5. admission ([`crate::upstream::admission`]): is there a place at the origin;
//! 6. [`forward`]: ask the origin, with [`origin_request`] and [`request_body`];
//! 7. [`refusal`] or [`answer_body`]: answer the client.
//!
//! An [`exchange`] accompanies it from step 4 and keeps the account: whatever happens, a request is
//! observed exactly once. Steps 1 to 4 run at once when the head is there, so that a refused
//! request costs no task and no allocation beyond its answer.

pub(crate) mod answer_body;
pub(crate) mod answer_head;
pub(crate) mod attributes;
pub(crate) mod client_address;
pub(crate) mod decision;
pub(crate) mod exchange;
pub(crate) mod forward;
pub(crate) mod head_checks;
pub(crate) mod origin_request;
pub(crate) mod refusal;
pub(crate) mod request_body;
pub(crate) mod tunnel;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use floodwall_model::{Attrs, Handling, Observation, Reason, RequestKind, Stage};
use http::{Request, Response};
use hyper::body::{Body, Incoming};

use crate::clock::now_ms;
use crate::connection_state::ConnectionState;
use crate::snapshot::Snapshot;
use answer_body::AnswerBody;
use client_address::ClientAddress;
use decision::Decision;
use exchange::Exchange;
use forward::Patience;
use head_checks::Target;

/// The connection or stream ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut: {}", .0.name())]
pub(crate) struct Cut(pub(crate) Reason);

type Answer = Result<Response<AnswerBody>, Cut>;

/// A request being answered.
// Boxing the answer would cost the allocation that its variant is there to spare.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Answering {
    /// Refused: the answer is there.
    Ready(Option<Answer>),
    /// The origin is being asked.
    Forward(Pin<Box<dyn Future<Output = Answer>>>),
}

impl Future for Answering {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match self.get_mut() {
            Answering::Ready(answer) => match answer.take() {
                Some(answer) => Poll::Ready(answer),
                None => Poll::Pending,
            },
            Answering::Forward(future) => future.as_mut().poll(cx),
        }
    }
}

/// Receives a request.
pub(crate) fn receive(state: &Rc<ConnectionState>, request: Request<Incoming>) -> Answering {
    let note = state.take_note().unwrap_or_default();
    let worker = &state.worker;
    let snapshot = worker.shared.snapshot.load();
    if let Some(reason) = note.refusal {
        return Answering::Ready(Some(refuse_head(state, reason)));
    }
    let (parts, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let checked = head_checks::check(&parts, has_body, state, &snapshot);
    let client = client_address::find(state, &parts.headers, &snapshot);
    let (attrs, kind) = attributes::of(worker, &parts, &note, checked.host, client.source);
    let arrival = Arrival { state, client, attrs, kind, has_body };
    match arrival.decide(checked.target, &snapshot) {
        Decided::GoesOn(target, exchange) => {
            let patience = Patience::of(&snapshot);
            let request = forward::ClientRequest { parts, body, target, exchange, patience };
            Answering::Forward(Box::pin(forward::answer(state.clone(), request)))
        }
        Decided::Answered(answer) => Answering::Ready(Some(answer)),
    }
}

/// What became of a request whose head is there.
enum Decided {
    GoesOn(Target, Exchange),
    Answered(Answer),
}

/// Answers a head that the meter refused. Nothing is known of it but who sent it.
fn refuse_head(state: &Rc<ConnectionState>, reason: Reason) -> Answer {
    let client = ClientAddress { source: state.peer, handshake: !state.peer_is_trusted };
    let arrival = Arrival {
        state,
        client,
        attrs: Attrs::default(),
        kind: RequestKind::Other,
        has_body: true,
    };
    arrival.refuse(reason)
}

/// A request of which everything is known but what to do with it.
struct Arrival<'a> {
    state: &'a Rc<ConnectionState>,
    client: ClientAddress,
    attrs: Attrs,
    kind: RequestKind,
    has_body: bool,
}

impl Arrival<'_> {
    /// Opens the exchange of a request that goes on, or answers it.
    fn decide(&self, target: Result<Target, Reason>, snapshot: &Snapshot) -> Decided {
        let target = match target {
            Ok(target) => target,
            Err(reason) => return Decided::Answered(self.refuse(reason)),
        };
        let shared = &self.state.worker.shared;
        let now_ms = now_ms();
        let decision = if snapshot.is_operator(self.client.source) {
            Decision::Pass
        } else if shared.links.bans.is_banned(self.client.source.key(), now_ms) {
            return Decided::Answered(self.refuse_banned());
        } else {
            let plan = shared.links.plan.load();
            let tables = (&shared.throttle, &shared.trial);
            decision::decide(&plan, &self.attrs, self.client.source, tables, now_ms)
        };
        let exchange = self.open(decision.handling(), now_ms);
        match decision {
            Decision::Block(_) => Decided::Answered(self.answer(Reason::RuleBlocked, exchange)),
            Decision::Throttle(_) => {
                Decided::Answered(self.answer(Reason::RuleThrottled, exchange))
            }
            Decision::Pass
            | Decision::WouldBlock(_)
            | Decision::WouldThrottle(_)
            | Decision::HoldBack(_) => Decided::GoesOn(target, exchange),
        }
    }

    fn open(&self, handling: Handling, now_ms: u64) -> Exchange {
        let observation = Observation {
            at_ms: now_ms,
            source: self.client.source,
            attrs: self.attrs,
            kind: self.kind,
            handling,
            stage: Stage::Arrived,
            outcome: None,
            handshake: self.client.handshake,
        };
        Exchange::open(self.state.clone(), observation)
    }

    fn refuse(&self, reason: Reason) -> Answer {
        let exchange = self.open(Handling::Refused(reason), now_ms());
        self.answer(reason, exchange)
    }

    fn answer(&self, reason: Reason, exchange: Exchange) -> Answer {
        Ok(refusal::response(self.state, reason, self.has_body, exchange))
    }

    /// A banned source loses its connection. Behind a trusted proxy the connection is the proxy's
    /// and carries others' requests, so there the request alone is refused.
    fn refuse_banned(&self) -> Answer {
        let exchange = self.open(Handling::Refused(Reason::SourceBanned), now_ms());
        if !self.client.handshake {
            return self.answer(Reason::RuleBlocked, exchange);
        }
        drop(exchange);
        self.state.cut_counted(Reason::SourceBanned);
        Err(Cut(Reason::SourceBanned))
    }
}
