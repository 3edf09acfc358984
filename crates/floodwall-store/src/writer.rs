//! The writer: a thread that brings incident records to disk, so that nobody else waits for it.
//!
//! Not a queue but a mailbox by incident number: a newer record replaces the one that waits, so a
//! slow or full disk costs intermediate states and never the latest. A record stays in the mailbox
//! until it is on disk, and can be read from there ([`Writer::unsaved`]).
//!
//! What the engine learned has one place of its own: a newer one replaces it, and one that cannot be
//! written is given up, since the next comes in minutes.
//!
//! It must never block or fail [`Writer::submit`], and never say more than once a minute that it
//! cannot write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use floodwall_model::Incident;

use crate::error::StoreError;
use crate::store::Store;

/// Incidents that may wait for the disk at once. When full: the oldest incident that waits is lost
/// and counted ([`WriterCounters::lost`]). Incidents are hours apart; so many wait only when the
/// disk has failed for long.
pub const PENDING_INCIDENTS_MAX: usize = 64;

/// Pause after a failed write.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Between two warnings about failed writes.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What the writer has done so far.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct WriterCounters {
    /// Records written.
    pub saved: u64,
    /// Records replaced by a newer one before they were written.
    pub coalesced: u64,
    /// Writes that failed (each try counts).
    pub failed: u64,
    /// Records given up: the mailbox was full, or the record can never be written.
    pub lost: u64,
    /// Records waiting now.
    pub pending: u64,
    /// Times that what was learned was written.
    pub memories_saved: u64,
    /// Times that what was learned could not be written, or gave way to a newer one.
    pub memories_lost: u64,
}

/// Makes the bytes of a memory, on the writer's thread.
struct MakeMemory(Box<dyn FnOnce() -> Vec<u8> + Send>);

impl std::fmt::Debug for MakeMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MakeMemory")
    }
}

/// What to do in one round.
#[derive(Debug)]
struct Round {
    incidents: Vec<Arc<Incident>>,
    memory: Option<MakeMemory>,
    last: bool,
}

#[derive(Debug, Default)]
struct Mailbox {
    pending: BTreeMap<u64, Arc<Incident>>,
    memory: Option<MakeMemory>,
    stopping: bool,
}

#[derive(Debug, Default)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    changed: Condvar,
    saved: AtomicU64,
    coalesced: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    memories_saved: AtomicU64,
    memories_lost: AtomicU64,
}

/// The handle to the writing thread. Dropping it stops the thread like [`Writer::stop`].
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. Fails only if the system has no thread left.
    pub fn start(store: Store) -> std::io::Result<Writer> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("floodwall-store".into()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, store)
        })?;
        Ok(Writer { shared, thread: Some(thread) })
    }

    /// Hands over the whole current record. Returns at once; the latest record of an incident wins.
    pub fn submit(&self, incident: Incident) {
        let mut mailbox = self.shared.mailbox();
        let id = incident.id;
        if mailbox.pending.insert(id, Arc::new(incident)).is_some() {
            self.shared.coalesced.fetch_add(1, Ordering::Relaxed);
        } else if mailbox.pending.len() > PENDING_INCIDENTS_MAX {
            mailbox.pending.pop_first();
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        drop(mailbox);
        self.shared.changed.notify_one();
    }

    /// Hands over what the engine learned, as something that makes its bytes: that takes tens of
    /// milliseconds, and is done by the writing thread. Returns at once.
    pub fn submit_memory(&self, make: impl FnOnce() -> Vec<u8> + Send + 'static) {
        if self.shared.mailbox().memory.replace(MakeMemory(Box::new(make))).is_some() {
            self.shared.memories_lost.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.changed.notify_one();
    }

    /// The record of an incident that is not on disk yet.
    pub fn unsaved(&self, id: u64) -> Option<Arc<Incident>> {
        self.shared.mailbox().pending.get(&id).cloned()
    }

    /// Every record that is not on disk yet, oldest incident first.
    pub fn all_unsaved(&self) -> Vec<Arc<Incident>> {
        self.shared.mailbox().pending.values().cloned().collect()
    }

    /// What was done so far.
    pub fn counters(&self) -> WriterCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WriterCounters {
            saved: read(&self.shared.saved),
            coalesced: read(&self.shared.coalesced),
            failed: read(&self.shared.failed),
            lost: read(&self.shared.lost),
            pending: self.shared.mailbox().pending.len() as u64,
            memories_saved: read(&self.shared.memories_saved),
            memories_lost: read(&self.shared.memories_lost),
        }
    }

    /// Writes what waits, trying each record once more, and ends the thread. The counters then
    /// say how many records could not be written ([`WriterCounters::pending`]).
    pub fn stop(mut self) -> WriterCounters {
        self.end();
        self.counters()
    }

    fn end(&mut self) {
        self.shared.mailbox().stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes incidents ended by a panic");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// A panic elsewhere while the lock was held leaves a mailbox that is still whole.
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work, or after a failure for the time to try again. Returns what to write.
    fn next_round(&self, after_failure: bool) -> Round {
        let mut mailbox = self.mailbox();
        if after_failure {
            let retry_at = Instant::now() + RETRY_AFTER;
            while !mailbox.stopping {
                let left = retry_at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                mailbox = match self.changed.wait_timeout(mailbox, left) {
                    Ok((guard, _)) => guard,
                    Err(poisoned) => poisoned.into_inner().0,
                };
            }
        } else {
            while mailbox.pending.is_empty() && mailbox.memory.is_none() && !mailbox.stopping {
                mailbox = self.changed.wait(mailbox).unwrap_or_else(PoisonError::into_inner);
            }
        }
        Round {
            incidents: mailbox.pending.values().cloned().collect(),
            memory: mailbox.memory.take(),
            last: mailbox.stopping,
        }
    }

    /// Takes a record out of the mailbox, unless a newer one has taken its place meanwhile.
    fn done_with(&self, incident: &Arc<Incident>) {
        let mut mailbox = self.mailbox();
        let same = mailbox.pending.get(&incident.id).is_some_and(|p| Arc::ptr_eq(p, incident));
        if same {
            mailbox.pending.remove(&incident.id);
        }
    }
}

fn run(shared: &Shared, mut store: Store) {
    let mut warnings = Warnings::default();
    let mut failed = false;
    loop {
        let round = shared.next_round(failed);
        failed = false;
        for incident in &round.incidents {
            match store.save_incident(incident) {
                Ok(()) => {
                    shared.saved.fetch_add(1, Ordering::Relaxed);
                    shared.done_with(incident);
                }
                Err(error) => {
                    shared.failed.fetch_add(1, Ordering::Relaxed);
                    if error.may_pass() {
                        failed = true;
                    } else {
                        shared.lost.fetch_add(1, Ordering::Relaxed);
                        shared.done_with(incident);
                    }
                    warnings.failed(&error, Instant::now());
                }
            }
        }
        if let Some(MakeMemory(make)) = round.memory {
            match store.save_memory(&make()) {
                Ok(()) => shared.memories_saved.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(%error, "what was learned was not written; a restart now would learn anew or from an older state");
                    shared.memories_lost.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
        if round.last {
            return;
        }
    }
}

/// Keeps the log quiet while the disk fails.
#[derive(Debug, Default)]
struct Warnings {
    last: Option<Instant>,
    since_last: u64,
}

impl Warnings {
    /// Warns if the last warning is long enough ago. Returns whether it did.
    fn failed(&mut self, error: &StoreError, now: Instant) -> bool {
        self.since_last += 1;
        let due = self.last.is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
        if due {
            tracing::warn!(%error, failures = self.since_last, "an incident could not be stored; it is kept in memory and tried again");
            self.last = Some(now);
            self.since_last = 0;
        }
        due
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
