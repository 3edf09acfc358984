//! What the parts of one client connection know of each other: meter, requests, driver.
//!
//! The meter sees bytes, the requests see answers, the driver holds the protocol engine; deadlines
//! and verdicts meet here. One task owns a connection, so this is cells, not locks.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use floodwall_model::{Reason, Source};
use http::HeaderValue;

use crate::connection_table::ConnectionPlace;
use crate::deadlines::{Deadline, NEVER};
use crate::pipeline::tunnel::PendingTunnel;
use crate::worker::Worker;

/// What the meter tells the request that the parser will make of a head.
#[derive(Debug, Default)]
pub(crate) struct HeadNote {
    /// Field names in the order sent, lower case, joined by commas.
    pub(crate) names: Vec<u8>,
    /// The head was refused, and the parser got a substitute for it.
    pub(crate) refusal: Option<Reason>,
}

/// What the client is doing when no request of its is being answered.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reading {
    /// It has not finished its first head.
    First,
    /// It owes nothing: between requests, or while one is being answered.
    Idle,
    /// It has begun a further head.
    Head,
}

/// A connection's TLS facts.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) server_name: Option<Box<str>>,
}

/// The take that no answer has: that of the connection's end.
const TAKE_OF_END: u64 = u64::MAX;

/// One client connection.
pub(crate) struct ConnectionState {
    pub(crate) worker: Rc<Worker>,
    pub(crate) peer: Source,
    /// Whether the peer's forwarding fields are believed.
    pub(crate) peer_is_trusted: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) is_h2: bool,
    /// `peer` as forwarding fields write it, made once.
    pub(crate) peer_value: HeaderValue,
    /// The `Forwarded` value made last and the host it was made for.
    pub(crate) forwarded: RefCell<Option<(HeaderValue, HeaderValue)>>,

    deadline: Deadline,
    pub(crate) reading: Cell<Reading>,
    read_by: Cell<u64>,
    write_by: Cell<u64>,
    age_by: u64,
    /// Answers of which the client has to take something by when. At most one per stream.
    takes: RefCell<Vec<(u64, u64)>>,
    next_take: Cell<u64>,
    /// Requests being answered.
    open: Cell<u32>,

    cut: Cell<Option<Reason>>,
    /// Whether the connection shall end after what runs.
    pub(crate) going: Cell<bool>,
    told_to_go: Cell<bool>,
    /// What is wrong with the body being read, for the request that reads it.
    pub(crate) body_fault: Cell<Option<Reason>>,
    note: RefCell<Option<HeadNote>>,
    note_waker: RefCell<Option<Waker>>,
    /// An answer went out while the client may still be sending: read on for a while before
    /// closing, or the reset destroys the answer on its way.
    pub(crate) linger: Cell<bool>,
    pub(crate) tunnel: RefCell<Option<PendingTunnel>>,
    _place: ConnectionPlace,
}

impl ConnectionState {
    pub(crate) fn new(
        worker: Rc<Worker>,
        peer: Source,
        head_by: u64,
        tls: Option<Tls>,
        is_h2: bool,
        place: ConnectionPlace,
    ) -> Rc<Self> {
        let snapshot = worker.shared.snapshot.load();
        let deadline = worker.deadlines.deadline();
        let age_by = worker.deadlines.after(snapshot.limits.connection_age_ms);
        deadline.set(head_by.min(age_by));
        let peer_is_trusted = snapshot.is_trusted_proxy(peer);
        drop(snapshot);
        // An address in text form is always a field value.
        let peer_value = HeaderValue::try_from(peer.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Rc::new(ConnectionState {
            worker,
            peer,
            peer_is_trusted,
            tls,
            is_h2,
            peer_value,
            forwarded: RefCell::new(None),
            deadline,
            reading: Cell::new(Reading::First),
            read_by: Cell::new(head_by),
            write_by: Cell::new(NEVER),
            age_by,
            takes: RefCell::default(),
            next_take: Cell::new(0),
            open: Cell::new(0),
            cut: Cell::new(None),
            going: Cell::new(false),
            told_to_go: Cell::new(false),
            body_fault: Cell::new(None),
            note: RefCell::new(None),
            note_waker: RefCell::new(None),
            linger: Cell::new(false),
            tunnel: RefCell::new(None),
            _place: place,
        })
    }

    /// Ends the connection without ceremony; the driver sees to it. The first reason stands.
    pub(crate) fn cut(&self, reason: Reason) {
        if self.cut.get().is_none() {
            self.cut.set(Some(reason));
            self.worker.counters.refused(reason);
            // Due at once: the driver is woken at the next tick, if it does not run before.
            self.deadline.set(0);
        }
    }

    /// The same for a reason that a request has counted already.
    pub(crate) fn cut_counted(&self, reason: Reason) {
        if self.cut.replace(Some(reason)).is_none() {
            self.deadline.set(0);
        }
    }

    /// Whether the connection is to end.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.get().is_some()
    }

    /// Requests being answered now.
    pub(crate) fn open_requests(&self) -> u32 {
        self.open.get()
    }

    pub(crate) fn request_opened(&self) {
        self.open.set(self.open.get() + 1);
        self.reading.set(Reading::Idle);
        self.set_read_by(NEVER);
    }

    pub(crate) fn request_closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        if self.open.get() == 0 {
            self.reading.set(Reading::Idle);
            let idle_ms = self.worker.shared.snapshot.load().limits.idle_ms;
            self.set_read_by(self.worker.deadlines.after(idle_ms));
            if self.told_to_go.get() {
                self.expect_end();
            }
        }
    }

    /// Notes that the engine was told to end after what runs. An HTTP/2 client that then does not
    /// take the ends of its answers would keep the connection for ever, so it gets a deadline.
    pub(crate) fn note_told_to_go(&self) {
        self.told_to_go.set(true);
        if self.open.get() == 0 {
            self.expect_end();
        }
    }

    fn expect_end(&self) {
        let stall_ms = self.worker.shared.snapshot.load().limits.write_stall_ms;
        self.set_take_by(TAKE_OF_END, self.worker.deadlines.after(stall_ms));
    }

    /// By when the client has to have sent what it owes.
    pub(crate) fn set_read_by(&self, at_ms: u64) {
        self.read_by.set(at_ms);
        self.arm(at_ms);
    }

    /// Whether the client did not send in time.
    pub(crate) fn read_is_late(&self) -> bool {
        self.read_by.get() <= self.worker.deadlines.now_ms()
    }

    /// By when the client has to have taken some of what we are writing.
    pub(crate) fn set_write_by(&self, at_ms: u64) {
        self.write_by.set(at_ms);
        self.arm(at_ms);
    }

    /// A number under which an answer says by when the client has to take something of it.
    pub(crate) fn new_take(&self) -> u64 {
        let number = self.next_take.get();
        self.next_take.set(number + 1);
        number
    }

    /// Sets or clears ([`NEVER`]) such a time.
    pub(crate) fn set_take_by(&self, number: u64, at_ms: u64) {
        let mut takes = self.takes.borrow_mut();
        takes.retain(|(other, _)| *other != number);
        if at_ms != NEVER {
            takes.push((number, at_ms));
            drop(takes);
            self.arm(at_ms);
        }
    }

    /// Deadlines are only brought forward here; one that moved back is noticed when it fires.
    fn arm(&self, at_ms: u64) {
        if at_ms < self.deadline.at_ms() && !self.is_cut() {
            self.deadline.set(at_ms);
        }
    }

    /// Looks at the deadlines that end a connection as a whole. Called by the driver before the
    /// protocol engine runs; whether it may run.
    pub(crate) fn poll_deadlines(&self, cx: &Context<'_>) -> bool {
        if self.is_cut() {
            return false;
        }
        if !self.deadline.poll_passed(cx) {
            return true;
        }
        let now_ms = self.worker.deadlines.now_ms();
        if self.write_by.get() <= now_ms || self.takes.borrow().iter().any(|t| t.1 <= now_ms) {
            self.cut(Reason::WriteTimeout);
        } else if self.age_by <= now_ms {
            self.going.set(true);
        }
        if self.is_h2 && self.read_by.get() <= now_ms {
            self.h2_read_is_late();
        }
        // A late HTTP/1 read is the meter's to answer; it must not fire again meanwhile.
        let read_by = Some(self.read_by.get()).filter(|at_ms| *at_ms > now_ms);
        let age_by = Some(self.age_by).filter(|at_ms| *at_ms > now_ms);
        let takes = self.takes.borrow().iter().map(|t| t.1).min();
        let write_by = Some(self.write_by.get());
        let next = [read_by, age_by, takes, write_by].into_iter().flatten().min();
        self.deadline.set(next.unwrap_or(NEVER));
        // Registers again for the new time.
        self.deadline.poll_passed(cx);
        !self.is_cut()
    }

    /// HTTP/2 has no answer for a connection as such: a client that owes us something is cut, an
    /// idle one is told to go.
    fn h2_read_is_late(&self) {
        self.read_by.set(NEVER);
        if self.reading.get() == Reading::Idle {
            self.worker.counters.refused(Reason::IdleTimeout);
            self.going.set(true);
        } else {
            self.cut(Reason::HeadTimeout);
        }
    }

    /// Whether the last note has been taken.
    pub(crate) fn note_is_taken(&self, cx: &Context<'_>) -> bool {
        let taken = self.note.borrow().is_none();
        if !taken {
            *self.note_waker.borrow_mut() = Some(cx.waker().clone());
        }
        taken
    }

    pub(crate) fn leave_note(&self, note: HeadNote) {
        *self.note.borrow_mut() = Some(note);
    }

    pub(crate) fn take_note(&self) -> Option<HeadNote> {
        let note = self.note.borrow_mut().take();
        if let Some(waker) = self.note_waker.borrow_mut().take() {
            waker.wake();
        }
        note
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.worker.counters.refused(Reason::Internal);
        }
    }
}
