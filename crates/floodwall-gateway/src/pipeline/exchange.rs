//! The account of one request, from decision to last byte.
//!
//! Opening it counts the request and puts it into the batch; dropping it, however that comes about,
//! says how it ended. That is how every request becomes exactly one counted observation: there is
//! no path on which somebody could forget it.

use std::rc::Rc;

use floodwall_model::{Fault, Handling, Observation, Outcome, Reason};

use crate::connection_state::ConnectionState;
use crate::observer::Ticket;
use crate::worker::wall_ms;

/// The account of one request.
pub(crate) struct Exchange {
    state: Rc<ConnectionState>,
    ticket: Option<Ticket>,
    handling: Handling,
    outcome: Outcome,
    /// The answer went out to its end.
    complete: bool,
    failed: bool,
}

impl Exchange {
    pub(crate) fn open(state: Rc<ConnectionState>, observation: Observation) -> Self {
        let worker = &state.worker;
        let counters = &worker.counters;
        let handling = observation.handling;
        counters.requests.add(1);
        match handling {
            Handling::Passed => counters.passed.add(1),
            Handling::WouldBlock(_) | Handling::WouldThrottle(_) => {
                counters.passed.add(1);
                counters.would_refuse.add(1);
            }
            Handling::Blocked(_) => counters.refused(Reason::RuleBlocked),
            Handling::Throttled(_) => counters.refused(Reason::RuleThrottled),
            Handling::Refused(reason) => counters.refused(reason),
        }
        let ticket = worker.observer.borrow_mut().arrived(observation, counters);
        state.request_opened();
        Exchange {
            ticket: Some(ticket),
            handling,
            outcome: Outcome::default(),
            complete: false,
            failed: !handling.passed(),
            state,
        }
    }

    /// The connection it came on.
    pub(crate) const fn state(&self) -> &Rc<ConnectionState> {
        &self.state
    }

    /// The origin sent its answer's head after so many ms.
    pub(crate) fn set_origin_ms(&mut self, origin_ms: u32) {
        self.outcome.origin_ms = Some(origin_ms);
    }

    /// This status goes to the client.
    pub(crate) fn set_status(&mut self, status: u16) {
        self.outcome.status = status;
    }

    /// So many bytes of the body went to the client.
    pub(crate) fn add_bytes(&mut self, bytes: u64) {
        self.outcome.bytes += bytes;
    }

    /// The answer went out to its end.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    /// It failed. The first reason is counted. A request that the origin failed has been let
    /// through all the same, so its handling stays; the status tells.
    pub(crate) fn fail(&mut self, reason: Reason) {
        if self.failed {
            return;
        }
        self.failed = true;
        self.state.worker.counters.refused(reason);
        let kept_from_origin = reason == Reason::OriginSaturated;
        if kept_from_origin || reason.fault() != Fault::Upstream {
            self.handling = Handling::Refused(reason);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let worker = &self.state.worker;
        if !self.complete {
            self.outcome.status = 0;
            if !self.failed {
                worker.counters.refused(Reason::ClientGone);
            }
        }
        worker.observer.borrow_mut().finished(
            ticket,
            self.handling,
            self.outcome,
            wall_ms(),
            &worker.counters,
        );
        self.state.request_closed();
    }
}
