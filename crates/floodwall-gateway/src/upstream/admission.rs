//! How many requests may be at an origin at once, and who waits.
//!
//! This is what keeps an origin alive before any rule is found: it never gets more than it was
//! said to bear. Waiting is bounded in number and time; a place is handed to the longest waiting.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::counters::Counters;

/// No place, and too many wait for one.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Saturated;

/// The places at one origin.
pub(crate) struct Admission {
    in_flight: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Waiter {
    granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Admission {
    pub(crate) fn new(counters: Arc<Counters>) -> Rc<Self> {
        Rc::new(Admission { in_flight: Cell::new(0), waiting: RefCell::default(), counters })
    }

    /// A place at once, if fewer than `places` are taken and nobody waits.
    pub(crate) fn try_enter(self: &Rc<Self>, places: usize) -> Option<Place> {
        if self.in_flight.get() >= places || !self.waiting.borrow().is_empty() {
            return None;
        }
        self.in_flight.set(self.in_flight.get() + 1);
        Some(self.place())
    }

    /// Waits for a place, if fewer than `queue_max` do.
    pub(crate) fn enter(self: &Rc<Self>, queue_max: usize) -> Result<Waiting, Saturated> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= queue_max {
            return Err(Saturated);
        }
        let waiter = Rc::new(Waiter::default());
        waiting.push_back(waiter.clone());
        self.counters.upstream_waiting.add(1);
        Ok(Waiting { admission: self.clone(), waiter, done: false })
    }

    fn place(self: &Rc<Self>) -> Place {
        self.counters.upstream_in_flight.add(1);
        Place { admission: self.clone() }
    }

    /// A place became free: the longest waiting gets it.
    fn leave(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        match next {
            Some(waiter) => {
                waiter.granted.set(true);
                let waker = waiter.waker.borrow_mut().take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            None => self.in_flight.set(self.in_flight.get().saturating_sub(1)),
        }
    }
}

/// A place at an origin, given back on drop.
pub(crate) struct Place {
    admission: Rc<Admission>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.counters.upstream_in_flight.sub(1);
        self.admission.leave();
    }
}

/// Somebody waiting for a place. Dropped, it leaves the queue.
pub(crate) struct Waiting {
    admission: Rc<Admission>,
    waiter: Rc<Waiter>,
    done: bool,
}

impl Future for Waiting {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place> {
        if self.waiter.granted.get() {
            self.done = true;
            return Poll::Ready(self.admission.place());
        }
        *self.waiter.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.admission.counters.upstream_waiting.sub(1);
        if self.done {
            return;
        }
        if self.waiter.granted.get() {
            // It was given a place and went before taking it.
            self.admission.leave();
        } else {
            self.admission.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.waiter));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Rc<Admission> {
        Admission::new(Arc::new(Counters::default()))
    }

    fn poll(waiting: &mut Waiting) -> Option<Place> {
        match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn places_are_handed_on_in_order() {
        let admission = admission();
        let first = admission.try_enter(1).unwrap();
        assert!(admission.try_enter(1).is_none());
        let mut a = admission.enter(2).unwrap();
        let mut b = admission.enter(2).unwrap();
        assert_eq!(admission.enter(2).err(), Some(Saturated));
        assert!(poll(&mut b).is_none());
        drop(first);
        assert!(poll(&mut b).is_none(), "a was first");
        let place = poll(&mut a).expect("a's turn");
        drop(place);
        assert!(poll(&mut b).is_some());
    }

    #[test]
    fn nobody_overtakes_the_queue() {
        let admission = admission();
        let first = admission.try_enter(1).unwrap();
        let _waiting = admission.enter(9).unwrap();
        assert!(admission.try_enter(2).is_none(), "a free place belongs to who waits");
        drop(first);
    }

    #[test]
    fn whoever_leaves_the_queue_loses_nothing_for_others() {
        let admission = admission();
        let first = admission.try_enter(1).unwrap();
        let a = admission.enter(9).unwrap();
        let b = admission.enter(9).unwrap();
        let mut c = admission.enter(9).unwrap();
        drop(a);
        drop(first);
        // The place was b's, who leaves without having taken it.
        drop(b);
        let place = poll(&mut c).expect("the place went on to c");
        drop((place, c));
        assert_eq!(admission.in_flight.get(), 0);
        assert_eq!(admission.counters.upstream_waiting.load(), 0);
        assert_eq!(admission.counters.upstream_in_flight.load(), 0);
    }
}
