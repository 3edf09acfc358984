//! The account of one request, from decision to last byte.
//!
//! Opening it counts the request and puts it into the batch; dropping it, however that comes about,
//! says how it ended. That is how every request becomes exactly one counted observation: there is
//! no path on which somebody could forget it.

use std::rc::Rc;

use floodwall_model::{Action, Fault, Handling, Mode, Observation, Outcome, Reason};

use crate::clock::now_ms;
use crate::connection_state::ConnectionState;
use crate::observer::Ticket;

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
            Handling::HeldBack(_) => {
                counters.passed.add(1);
                counters.held_back.add(1);
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

    /// Whether a rule placed since the request came would have blocked it. If so, that is how it is
    /// accounted for.
    pub(crate) fn blocked_meanwhile(&mut self) -> bool {
        let Some(ticket) = &self.ticket else { return false };
        let shared = &self.state.worker.shared;
        let (attrs, source) = (ticket.attrs(), ticket.source());
        let plan = shared.links.plan.load();
        let rule = match plan.decide(attrs, now_ms()) {
            Some(rule)
                if rule.action == Action::Block
                    && plan.mode() == Mode::Protect
                    && !plan.holds_back(source, now_ms()) =>
            {
                rule
            }
            _ => return false,
        };
        if shared.snapshot.load().is_operator(source) {
            return false;
        }
        self.failed = true;
        self.handling = Handling::Blocked(rule.id);
        self.state.worker.counters.refused(Reason::RuleBlocked);
        true
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

    /// It failed. The first reason is counted. A request that the origin failed or that its client
    /// gave up has been let through all the same, so its handling stays; the status tells.
    pub(crate) fn fail(&mut self, reason: Reason) {
        if self.failed {
            return;
        }
        self.failed = true;
        self.state.worker.counters.refused(reason);
        let refused_client = reason.fault() == Fault::Client && reason.status() != 0;
        if refused_client || reason == Reason::OriginSaturated {
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
                let bug = std::thread::panicking();
                let reason = if bug { Reason::Internal } else { Reason::ClientGone };
                worker.counters.refused(reason);
            }
        }
        worker.observer.borrow_mut().finished(
            ticket,
            self.handling,
            self.outcome,
            now_ms(),
            &worker.counters,
        );
        self.state.request_closed();
    }
}
