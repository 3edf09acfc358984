//! Requests wait here before they are learned, so that the first minutes of an attack that ramps up
//! slowly are not taken for normal. Nothing may leave it while an alarm is open; whoever owns it
//! sees to that.

use std::collections::VecDeque;

use crate::recent::{Epoch, thin};
use crate::record::Record;

/// Records of one epoch that go into quarantine. When over: an even subset, so that at rates above
/// 512/s every half second weighs the same.
const EPOCH_RECORDS_MAX: usize = 256;
/// Epochs in quarantine: five minutes and a reserve. When full: the oldest is dropped unlearned.
const EPOCHS_MAX: usize = 640;
/// Longest quarantine, ms (design/detection.md § 3.2: frozen at onset − 5 min).
const QUARANTINE_MS_MAX: u64 = 300_000;
/// Shortest quarantine, ms, on a site just started.
const QUARANTINE_MS_MIN: u64 = 2_000;

/// One epoch that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Its end, ms.
    pub end_ms: u64,
    /// What it held.
    pub records: Vec<Record>,
}

/// The waiting room.
#[derive(Debug, Default)]
pub struct Quarantine {
    epochs: VecDeque<Waiting>,
    dropped: u64,
}

impl Quarantine {
    /// Puts a closed epoch in. Requests about which a rule spoke are left out.
    pub fn admit(&mut self, epoch: &Epoch) {
        if self.epochs.len() == EPOCHS_MAX {
            self.epochs.pop_front();
            self.dropped += 1;
        }
        let records: Vec<Record> =
            thin(epoch.records(), EPOCH_RECORDS_MAX).filter(|r| !r.explained).collect();
        if !records.is_empty() {
            self.epochs.push_back(Waiting { end_ms: epoch.end_ms, records });
        }
    }

    /// The oldest epoch, if it waited long enough at `now_ms` for a past that is `age_ms` long: a
    /// tenth of it, within bounds.
    pub fn release(&mut self, now_ms: u64, age_ms: u64) -> Option<Waiting> {
        let waits_ms = (age_ms / 10).clamp(QUARANTINE_MS_MIN, QUARANTINE_MS_MAX);
        self.epochs.pop_front_if(|waiting| waiting.end_ms + waits_ms <= now_ms)
    }

    /// Drops what came from `since_ms` on: it belonged to an attack.
    pub fn discard_since(&mut self, since_ms: u64) {
        self.epochs.retain(|waiting| waiting.end_ms < since_ms);
    }

    /// Epochs that wait, most that fit, and how many were dropped unlearned.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        (self.epochs.len(), EPOCHS_MAX, self.dropped)
    }
}
