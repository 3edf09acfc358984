//! The bar on stderr, by bytes read of all inputs. It appears only on a terminal, only when a replay
//! lasts longer than a second, and never counts what it does not know (standard input has no size).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A replay shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bar, or its absence.
pub(crate) struct Progress {
    started: Instant,
    read_bytes: Arc<AtomicU64>,
    total_bytes: u64,
    wanted: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Follows `read_bytes` up to `total_bytes`; 0 if that is not known.
    pub(crate) fn new(read_bytes: Arc<AtomicU64>, total_bytes: u64, wanted: bool) -> Self {
        Progress { started: Instant::now(), read_bytes, total_bytes, wanted, bar: None }
    }

    /// Brings the bar up to date.
    pub(crate) fn tick(&mut self) {
        if !self.wanted || self.started.elapsed() < PATIENCE {
            return;
        }
        let read_bytes = self.read_bytes.load(Ordering::Relaxed);
        let total_bytes = self.total_bytes;
        let bar = self.bar.get_or_insert_with(|| {
            let bar = bar(total_bytes);
            bar.set_position(read_bytes);
            // What was read before the bar appeared says nothing about the speed since then.
            bar.reset_eta();
            bar
        });
        bar.set_position(read_bytes);
    }

    /// Takes the bar away. Returns how long it all took.
    pub(crate) fn finish(self) -> Duration {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}

fn bar(total_bytes: u64) -> ProgressBar {
    let (length, template) = match total_bytes {
        0 => (None, "{spinner} {bytes} read, {bytes_per_sec}"),
        total => (Some(total), "[{bar:40}] {bytes} of {total_bytes}, {eta} left"),
    };
    // Draws nothing where stderr is no terminal.
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
}
