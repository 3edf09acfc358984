//! The step: packets in, effects out; the pipeline's middle read from top to bottom. Each arrow is
//! one line here and one file in `step/`.
//!
//! It must never do an arrow's work itself.

mod intake;
mod judge;
mod ledger;
mod residual;
mod search;

use floodwall_model::packet::PacketBatch;

use super::{PacketEffect, PacketEngine};

/// Guards and rules are handed out again at least this often while any stands, ms.
const RENEW_MS: u64 = 10_000;

impl PacketEngine {
    /// Takes in what arrived since the last step; `now_ms` is never earlier than before.
    pub fn step(&mut self, now_ms: u64, batch: &PacketBatch) -> Vec<PacketEffect> {
        let mut effects = Vec::new();
        let now_ms = now_ms.max(self.now_ms);
        if self.now_ms == 0 {
            self.now_ms = now_ms.saturating_sub(50);
        }
        let interval_s = ((now_ms - self.now_ms) as f64 / 1000.0).clamp(0.001, 60.0);
        self.now_ms = now_ms;
        if self.recent.advance(now_ms) {
            self.past.admit(self.recent.closed());
        }
        self.take_in(batch, interval_s);
        self.rearm(batch, interval_s);
        let ended = self.rules.tick(now_ms, interval_s);
        if let Some(incident) = &mut self.incident {
            incident.note_ended(&ended, now_ms);
        }
        self.watch(interval_s);
        self.search();
        self.judge(batch);
        self.raise_guards();
        self.keep_account(batch, &mut effects);
        if (self.rules.guards().any() || !self.rules.active().is_empty())
            && now_ms >= self.renewed_ms + RENEW_MS
        {
            self.renewed_ms = now_ms;
            self.rules.renew();
        }
        effects.extend(self.rules.publish(now_ms).map(PacketEffect::Publish));
        effects
    }
}
