//! Time within a worker: one coarse clock and one table of deadlines.
//!
//! A timer per connection and request would be armed and disarmed several times for each of them,
//! and nearly always in vain. Here a deadline is a number in a row; setting it is a store. Once in
//! [`TICK_MS`] the worker reads the row from end to end (a million of them is eight megabytes) and
//! wakes the tasks that are late. Deadlines therefore end up to one tick late, never early.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// How often deadlines are looked at.
pub(crate) const TICK_MS: u64 = 50;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// The clock and the deadlines of one worker. Times are ms since the worker started.
pub(crate) struct Deadlines {
    started: Instant,
    now_ms: Cell<u64>,
    table: RefCell<Table>,
}

#[derive(Default)]
struct Table {
    at_ms: Vec<u64>,
    /// Beside each deadline whom to wake, and whether it has passed.
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    passed: bool,
}

impl Deadlines {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Deadlines {
            started: Instant::now(),
            now_ms: Cell::new(0),
            table: RefCell::default(),
        })
    }

    /// The time at the last tick.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// The moment `after_ms` from now, for [`Deadline::set`]. A tick is added because the clock may
    /// be that much behind.
    pub(crate) fn after(&self, after_ms: u64) -> u64 {
        self.now_ms.get().saturating_add(after_ms).saturating_add(TICK_MS).min(NEVER - 1)
    }

    /// A place in the table. No deadline is set yet.
    pub(crate) fn deadline(self: &Rc<Self>) -> Deadline {
        let mut table = self.table.borrow_mut();
        let slot = table.free.pop().unwrap_or_else(|| {
            table.at_ms.push(NEVER);
            table.slots.push(Slot::default());
            (table.slots.len() - 1) as u32
        });
        Deadline { deadlines: self.clone(), slot }
    }

    /// Runs `future` (pinned by the caller) for at most `after_ms`.
    pub(crate) fn timeout<F>(self: &Rc<Self>, after_ms: u64, future: F) -> Timeout<F>
    where
        F: Future + Unpin,
    {
        let deadline = self.deadline();
        deadline.set(self.after(after_ms));
        Timeout { deadline, future }
    }

    /// Reads the clock and wakes whoever is late.
    pub(crate) fn tick(&self) {
        self.tick_at(self.started.elapsed().as_millis() as u64);
    }

    fn tick_at(&self, now_ms: u64) {
        self.now_ms.set(now_ms.max(self.now_ms.get()));
        let now_ms = self.now_ms.get();
        let mut late = Vec::new();
        {
            let table = &mut *self.table.borrow_mut();
            for (at_ms, slot) in table.at_ms.iter_mut().zip(&mut table.slots) {
                if *at_ms <= now_ms {
                    *at_ms = NEVER;
                    slot.passed = true;
                    late.extend(slot.waker.take());
                }
            }
        }
        // Outside the borrow: waking may run a destructor that gives its slot back.
        late.into_iter().for_each(Waker::wake);
    }

    /// Wakes every task that waits on a deadline, because something else changed for all of them.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> =
            self.table.borrow().slots.iter().filter_map(|slot| slot.waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One deadline, its place in the table given back on drop.
pub(crate) struct Deadline {
    deadlines: Rc<Deadlines>,
    slot: u32,
}

impl Deadline {
    /// Moves the deadline to `at_ms`; it has not passed any more.
    pub(crate) fn set(&self, at_ms: u64) {
        let mut table = self.deadlines.table.borrow_mut();
        let slot = self.slot as usize;
        table.at_ms[slot] = at_ms;
        table.slots[slot].passed = false;
    }

    /// When it is due.
    pub(crate) fn at_ms(&self) -> u64 {
        self.deadlines.table.borrow().at_ms[self.slot as usize]
    }

    /// Whether it has passed. If not, the task of `cx` is woken when it does.
    pub(crate) fn poll_passed(&self, cx: &Context<'_>) -> bool {
        let mut table = self.deadlines.table.borrow_mut();
        let slot = &mut table.slots[self.slot as usize];
        let passed = slot.passed;
        let known = slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known {
            let earlier = slot.waker.replace(cx.waker().clone());
            // Outside the borrow, as in `drop`.
            drop(table);
            drop(earlier);
        }
        passed
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut table = self.deadlines.table.borrow_mut();
        let slot = self.slot as usize;
        table.at_ms[slot] = NEVER;
        let waker = std::mem::take(&mut table.slots[slot]).waker;
        table.free.push(self.slot);
        drop(table);
        // Dropped last: the last waker of a task drops the task, which may own deadlines.
        drop(waker);
    }
}

/// The deadline passed first.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Elapsed;

/// A future with a deadline.
pub(crate) struct Timeout<F> {
    deadline: Deadline,
    future: F,
}

impl<F: Future + Unpin> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = Pin::new(&mut self.future).poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if self.deadline.poll_passed(cx) {
            return Poll::Ready(Err(Elapsed));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_deadline_passes_once_late_and_never_early() {
        let deadlines = Deadlines::new();
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let cx = Context::from_waker(&waker);
        let deadline = deadlines.deadline();
        deadline.set(deadlines.after(100));
        assert!(!deadline.poll_passed(&cx));
        deadlines.tick_at(100);
        assert!(!deadline.poll_passed(&cx), "one tick of grace");
        deadlines.tick_at(150);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(deadline.poll_passed(&cx));
        deadlines.tick_at(1_000);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        deadline.set(deadlines.after(10));
        assert!(!deadline.poll_passed(&cx), "it was moved");
    }

    #[test]
    fn a_dropped_deadline_gives_its_place_back() {
        let deadlines = Deadlines::new();
        for _ in 0..1_000 {
            let deadline = deadlines.deadline();
            deadline.set(0);
        }
        assert_eq!(deadlines.table.borrow().slots.len(), 1);
        let fresh = deadlines.deadline();
        assert_eq!(fresh.at_ms(), NEVER, "the earlier owner's deadline is forgotten");
    }

    #[test]
    fn the_clock_never_steps_back() {
        let deadlines = Deadlines::new();
        deadlines.tick_at(500);
        deadlines.tick_at(400);
        assert_eq!(deadlines.now_ms(), 500);
    }
}
