//! Finding → signature: mines what no rule in force explains and puts what it finds on trial.
//!
//! Whether any of it may be placed is not decided here (`judge.rs`).

use crate::packet::PacketEngine;
use crate::packet::mine::{PacketRise, mine};
use crate::packet::pending::PendingPackets;
use crate::packet::recent::PacketSample;
use crate::packet::record::is_syn;

/// Longest time between two searches for a signature, ms; an alarm just opened searches at once.
const MINE_EVERY_MS: u64 = 100;
/// Signatures on trial at once.
const PENDING_MAX: usize = 8;
/// SYNs of connections that were carried on, kept as honest examples. When full: the oldest goes.
const COMPLETED_MAX: usize = 1_024;

impl PacketEngine {
    pub(super) fn unexplained(&self, since_ms: u64) -> PacketSample {
        self.recent.sample(self.now_ms, since_ms, |r| self.rules.covers(&r.facts))
    }

    /// Finding → signature.
    pub(super) fn search(&mut self) {
        let now_ms = self.now_ms;
        let Some(alarm) = &self.alarm else { return };
        if alarm.mined_ms.is_some_and(|at_ms| now_ms < at_ms + MINE_EVERY_MS) {
            return;
        }
        let sample = self.unexplained(alarm.onset_ms);
        self.gather_completed(&sample);
        let Some(alarm) = &mut self.alarm else { return };
        alarm.mined_ms = Some(now_ms);
        self.minings += 1;
        let rise = PacketRise {
            sample: &sample,
            completed: &self.completed,
            classes: &alarm.classes,
            knows_sockets: self.knows_sockets,
            past: &self.past,
        };
        let found = mine(&rise, PENDING_MAX);
        if found.is_empty() && self.pending.is_empty() {
            alarm.refusal = Some(
                "no description of the packets was found that spares honest traffic".to_owned(),
            );
        }
        let onset_ms = alarm.onset_ms;
        for mined in found {
            let on_trial = self.pending.iter_mut().find(|p| p.mined.signature == mined.signature);
            if let Some(pending) = on_trial {
                pending.mined_again(mined);
                continue;
            }
            if self.rules.has(&mined.signature) {
                continue;
            }
            if self.pending.len() == PENDING_MAX {
                self.pending.remove(0);
            }
            self.pending.push(PendingPackets::new(mined, onset_ms, now_ms));
        }
    }

    /// SYNs of connections that were carried on are what no rule may hit.
    fn gather_completed(&mut self, sample: &PacketSample) {
        let completed = sample
            .suspects
            .iter()
            .filter(|r| is_syn(&r.facts) && self.flows.was_followed(&r.facts) == Some(true))
            .map(|r| r.facts);
        self.completed.extend(completed);
        let over = self.completed.len().saturating_sub(COMPLETED_MAX);
        self.completed.drain(..over);
    }
}
