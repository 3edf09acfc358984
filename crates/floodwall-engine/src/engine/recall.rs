//! What the engine hands out to be kept, and how it goes on from it after a restart.

use super::Engine;
use crate::memory::{self, EngineMemory, MemoryRefused, Recalled};

impl Engine {
    /// What shall outlive a restart, as it stands now. Cheap: what is large is shared, and the
    /// sample being written is copied with the next request learned.
    pub fn snapshot(&self) -> EngineMemory {
        EngineMemory {
            made_ms: self.now_ms,
            key_mark: memory::key_mark(&self.key),
            past: self.baseline.remembered(),
            rates: self.onset.remembered(),
            amounts: self.onset.amounts.clone(),
            costs: self.costs.clone(),
            per_source: self.per_source.clone(),
            names: self.names.clone(),
        }
    }

    /// Goes on from the bytes of a memory at `now_ms`, before the first step; or says why not, and
    /// nothing is changed.
    pub fn restore(&mut self, bytes: &[u8], now_ms: u64) -> Result<Recalled, MemoryRefused> {
        let contents = memory::read(bytes, &self.key, now_ms)?;
        let ago_ms = now_ms.saturating_sub(contents.made_ms);
        self.now_ms = now_ms;
        self.baseline.recall(contents.past, now_ms);
        self.onset.amounts = contents.amounts;
        self.onset.recall(&contents.rates, now_ms, ago_ms);
        self.costs = contents.costs;
        self.per_source = contents.per_source;
        self.names = contents.names;
        self.calendar.look_up(&self.names);
        self.frozen = None;
        Ok(Recalled {
            made_ms: contents.made_ms,
            records: self.baseline.records(),
            span_s: self.baseline.span_s(),
        })
    }
}
