//! The one clock of a process: wall time at its start, carried on by the steady clock.
//!
//! An operator or a time daemon may set the host's clock in the middle of an attack. Rules and bans
//! carry their end in this clock, so a step must neither end them at once nor keep them for ever.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: OnceLock<(Instant, u64)> = OnceLock::new();

/// Milliseconds since the Unix epoch, never stepping back while the process lives.
pub fn now_ms() -> u64 {
    let (started, wall_ms) = START.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        (Instant::now(), since.map_or(0, |d| d.as_millis() as u64))
    });
    wall_ms + started.elapsed().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_wall_at_the_start_and_moves_forward() {
        let first = now_ms();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        assert!(wall.abs_diff(first) < 5_000);
        assert!(now_ms() >= first);
    }
}
