//! Requests wait here before they are learned, so that the first minutes of an attack that ramps up
//! slowly are not taken for normal. Nothing may leave it while an alarm is open; whoever owns it
//! sees to that.

use std::collections::VecDeque;

use crate::recent::{Epoch, thin};
use crate::record::Record;

/// Records of one epoch that go into quarantine in any case. When over: an even subset, so that at
/// rates above 512/s every half second weighs the same.
const EPOCH_RECORDS_MAX: usize = 256;
/// While few wait, because the site has just started, an epoch may bring this share of the room that
/// is left: what is learned in the first minute is all there is to judge by.
const ROOM_SHARE: usize = 16;
/// Records for which there is such room. Beyond, every epoch brings [`EPOCH_RECORDS_MAX`] at most, so
/// never more than twice as many wait.
const RECORDS_AT_EASE: usize = EPOCH_RECORDS_MAX * EPOCHS_MAX;
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
    records: usize,
    dropped: u64,
}

impl Quarantine {
    /// Puts a closed epoch in. Requests about which a rule spoke are left out.
    pub fn admit(&mut self, epoch: &Epoch) {
        if self.epochs.len() == EPOCHS_MAX {
            self.take_if(|_| true);
            self.dropped += 1;
        }
        let room = RECORDS_AT_EASE.saturating_sub(self.records) / ROOM_SHARE;
        let records: Vec<Record> =
            thin(epoch.records(), room.max(EPOCH_RECORDS_MAX)).filter(|r| !r.explained).collect();
        if !records.is_empty() {
            self.records += records.len();
            self.epochs.push_back(Waiting { end_ms: epoch.end_ms, records });
        }
    }

    /// The oldest epoch, if it waited long enough at `now_ms` for a past that is `age_ms` long: a
    /// tenth of it, within bounds.
    pub fn release(&mut self, now_ms: u64, age_ms: u64) -> Option<Waiting> {
        let waits_ms = (age_ms / 10).clamp(QUARANTINE_MS_MIN, QUARANTINE_MS_MAX);
        self.take_if(|waiting| waiting.end_ms + waits_ms <= now_ms)
    }

    fn take_if(&mut self, ready: impl FnOnce(&Waiting) -> bool) -> Option<Waiting> {
        let taken = self.epochs.pop_front_if(|waiting| ready(waiting))?;
        self.records -= taken.records.len();
        Some(taken)
    }

    /// Drops what came from `since_ms` on: it belonged to an attack.
    pub fn discard_since(&mut self, since_ms: u64) {
        self.epochs.retain(|waiting| waiting.end_ms < since_ms);
        self.records = self.epochs.iter().map(|waiting| waiting.records.len()).sum();
    }

    /// Epochs that wait, most that fit, and how many were dropped unlearned.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        (self.epochs.len(), EPOCHS_MAX, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::recent::Recent;
    use floodwall_model::{Attrs, Handling, Observation, RequestKind, Source, Stage};

    /// Feeds `per_epoch` requests each half second for `epochs`; nothing leaves.
    fn filled(epochs: u64, per_epoch: u64) -> Quarantine {
        let (mut quarantine, mut recent) = (Quarantine::default(), Recent::new());
        let mut random = Random::new(1);
        for n in 0..=epochs {
            if let Some(closed) = recent.advance(n * 500) {
                quarantine.admit(closed);
            }
            for _ in 0..per_epoch {
                let observation = Observation {
                    at_ms: n * 500,
                    source: Source::new(std::net::Ipv4Addr::LOCALHOST.into()),
                    attrs: Attrs::default(),
                    kind: RequestKind::Page,
                    handling: Handling::Passed,
                    stage: Stage::Whole,
                    outcome: None,
                    handshake: true,
                };
                recent.offer(&observation, false, &mut random);
            }
        }
        quarantine
    }

    #[test]
    fn the_first_epochs_wait_whole_and_later_ones_share_what_room_is_left() {
        let few = filled(4, 2_000);
        assert!(few.epochs.iter().all(|waiting| waiting.records.len() == 2_000));
        let many = filled(700, 3_000);
        assert_eq!(many.epochs.len(), EPOCHS_MAX);
        assert!(many.dropped > 0);
        assert!(many.records <= 2 * RECORDS_AT_EASE, "{}", many.records);
        assert_eq!(many.epochs.back().map(|w| w.records.len()), Some(EPOCH_RECORDS_MAX));
        let counted: usize = many.epochs.iter().map(|w| w.records.len()).sum();
        assert_eq!(counted, many.records);
    }
}
