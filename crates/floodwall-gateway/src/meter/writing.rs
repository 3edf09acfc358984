//! The clock of a client that keeps us waiting while we write.
//!
//! It runs from the first write that finds no room until everything is written. A client that
//! takes nothing for the stall time is cut, and so is one that takes less than the floor.

use floodwall_model::Reason;

use crate::connection_state::ConnectionState;
use crate::deadlines::NEVER;

/// How the client takes what we write.
#[derive(Debug, Default)]
pub(super) struct WriteClock {
    /// Since when it keeps us waiting, and what it took since.
    waiting_since_ms: Option<u64>,
    taken: u64,
}

impl WriteClock {
    /// It has no room.
    pub(super) fn waits(&mut self, state: &ConnectionState) {
        if self.waiting_since_ms.is_none() {
            let deadlines = &state.worker.deadlines;
            *self = WriteClock { waiting_since_ms: Some(deadlines.now_ms()), taken: 0 };
            let stall_ms = state.worker.shared.snapshot.load().limits.write_stall_ms;
            state.set_write_by(deadlines.after(stall_ms));
        }
    }

    /// It took some, perhaps too little.
    pub(super) fn took(&mut self, state: &ConnectionState, bytes: u64) {
        let Some(since_ms) = self.waiting_since_ms else { return };
        self.taken += bytes;
        let deadlines = &state.worker.deadlines;
        let snapshot = state.worker.shared.snapshot.load();
        let limits = &snapshot.limits;
        let waited_ms = deadlines.now_ms().saturating_sub(since_ms);
        let owed = limits.write_floor_bps.saturating_mul(waited_ms) / 1_000;
        if waited_ms > limits.floor_grace_ms && self.taken < owed {
            state.cut(Reason::WriteTimeout);
        } else {
            state.set_write_by(deadlines.after(limits.write_stall_ms));
        }
    }

    /// Everything is written.
    pub(super) fn is_up_to_date(&mut self, state: &ConnectionState) {
        if self.waiting_since_ms.take().is_some() {
            state.set_write_by(NEVER);
        }
    }
}
