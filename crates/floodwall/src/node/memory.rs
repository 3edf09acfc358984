//! What was learned, across restarts: read once before the first step, handed to the store every
//! five minutes and at the end.
//!
//! The engine's thread only takes the memory, which shares what it holds; bytes are made by the
//! store's thread.

use floodwall_engine::{BASELINE_DRIFT_MAX, Engine};
use floodwall_store::{StoreError, Writer};

/// How often what was learned is written, ms.
const KEEP_EVERY_MS: u64 = 300_000;
/// How often it is said that the past has become another, ms.
const DRIFT_WARN_EVERY_MS: u64 = 24 * 3_600_000;

/// Keeps the engine's memory.
#[derive(Debug)]
pub(crate) struct MemoryKeeper {
    kept_ms: u64,
    drift_warned_ms: Option<u64>,
}

impl MemoryKeeper {
    pub(crate) const fn new(now_ms: u64) -> Self {
        MemoryKeeper { kept_ms: now_ms, drift_warned_ms: None }
    }

    /// Hands the memory over when it is time.
    pub(crate) fn tick(&mut self, engine: &Engine, writer: &Writer, now_ms: u64) {
        if now_ms < self.kept_ms + KEEP_EVERY_MS {
            return;
        }
        self.kept_ms = now_ms;
        hand_over(engine, writer);
        self.watch_drift(engine, now_ms);
    }

    /// A past that became another is somebody's relaunch, or somebody's patience: a person should
    /// look, and nothing else follows.
    fn watch_drift(&mut self, engine: &Engine, now_ms: u64) {
        let due = self.drift_warned_ms.is_none_or(|at_ms| now_ms >= at_ms + DRIFT_WARN_EVERY_MS);
        if let Some(drift) = engine.baseline_drift().filter(|d| *d > BASELINE_DRIFT_MAX && due) {
            self.drift_warned_ms = Some(now_ms);
            tracing::warn!(
                drift = format!("{drift:.2}"),
                "the software that visits differs from that of four weeks ago more than a site \
                 changes by itself (0 is the same, 1 has nothing in common, {BASELINE_DRIFT_MAX} \
                 is remarkable). Was the site relaunched, or did an app start to use it? If not, \
                 somebody may be teaching Floodwall to take an attack for normal"
            );
        }
    }
}

/// Hands the memory over now.
pub(crate) fn hand_over(engine: &Engine, writer: &Writer) {
    let memory = engine.snapshot();
    writer.submit_memory(move || memory.to_bytes());
}

/// Goes on from what the store kept, and says so; or says why not, and what follows.
pub(crate) fn recall(engine: &mut Engine, kept: Result<Option<Vec<u8>>, StoreError>, now_ms: u64) {
    const ANEW: &str = "what was learned before cannot be used; Floodwall learns anew, and until it \
                        has met enough requests it refuses only what no browser sends";
    let bytes = match kept {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            tracing::info!("nothing was learned here before; Floodwall begins to learn");
            return;
        }
        Err(error) => {
            tracing::warn!(%error, "{ANEW}");
            return;
        }
    };
    match engine.restore(&bytes, now_ms) {
        Ok(recalled) => tracing::info!(
            requests = recalled.records,
            minutes = recalled.span_s / 60,
            age_s = now_ms.saturating_sub(recalled.made_ms) / 1_000,
            "goes on from what was learned before the restart"
        ),
        Err(why) => tracing::warn!(%why, "{ANEW}"),
    }
}
