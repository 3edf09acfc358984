//! The kernel's count of timer ticks, jiffies, in terms of the clock that user space can read.
//!
//! The filter stamps everything in jiffies, since they cost it a load. How many there are in a
//! second is the kernel's configuration and nowhere to be read, so it is measured once.

use std::sync::OnceLock;
use std::time::Duration;

use crate::sys;

/// Ticks per second that kernels are built with (kernel/Kconfig.hz).
const CHOICES_HZ: [u32; 4] = [100, 250, 300, 1000];

/// Two readings are at least so far apart: 10 ticks at 250 Hz, so that 250 and 300 differ by two.
pub(crate) const APART: Duration = Duration::from_millis(45);

/// What both clocks say at one moment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reading {
    pub(crate) monotonic_ns: u64,
    pub(crate) jiffies: u64,
}

/// Translates between the two.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Clock {
    hz: u32,
    base: Reading,
}

/// Ticks per second of this kernel, once known.
static HZ: OnceLock<u32> = OnceLock::new();

impl Clock {
    /// A clock by two readings [`APART`], or one if ticks were counted before.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn measure<E>(mut read: impl FnMut() -> Result<Reading, E>) -> Result<Clock, E> {
        let base = read()?;
        if let Some(hz) = HZ.get() {
            return Ok(Clock { hz: *hz, base });
        }
        std::thread::sleep(APART);
        let hz = ticks_per_second(base, read()?);
        Ok(Clock { hz: *HZ.get_or_init(|| hz), base })
    }

    /// Jiffies in a second.
    pub(crate) fn hz(&self) -> u32 {
        self.hz
    }

    /// Jiffies now, at most one off.
    pub(crate) fn now(&self) -> u64 {
        self.at(sys::monotonic_ns())
    }

    /// Jiffies at `monotonic_ns`. The kernel's tick is a whole number of ns (TICK_NSEC in
    /// linux/jiffies.h).
    pub(crate) fn at(&self, monotonic_ns: u64) -> u64 {
        let tick_ns = 1_000_000_000 / u64::from(self.hz);
        let since = monotonic_ns.saturating_sub(self.base.monotonic_ns) / tick_ns;
        self.base.jiffies.saturating_add(since)
    }

    /// The tick at which a time of `ms` from now has surely passed: never early, at most two ticks
    /// late.
    pub(crate) fn in_ms(&self, ms: u64) -> u64 {
        self.now().saturating_add(self.ticks(ms)).saturating_add(1)
    }

    /// `ms` in ticks, rounded up.
    pub(crate) fn ticks(&self, ms: u64) -> u64 {
        ms.saturating_mul(u64::from(self.hz)).div_ceil(1_000)
    }

    /// How long ago `jiffies` was, ms; 0 if it is to come.
    pub(crate) fn ms_since(&self, jiffies: u64) -> u64 {
        self.now().saturating_sub(jiffies).saturating_mul(1_000) / u64::from(self.hz)
    }
}

/// The choice next to what was counted.
fn ticks_per_second(first: Reading, second: Reading) -> u32 {
    let elapsed_ns = second.monotonic_ns.saturating_sub(first.monotonic_ns).max(1);
    let ticks = second.jiffies.saturating_sub(first.jiffies);
    let counted_hz = ticks.saturating_mul(1_000_000_000) / elapsed_ns;
    let mut choices = CHOICES_HZ;
    choices.sort_by_key(|hz| u64::from(*hz).abs_diff(counted_hz));
    choices[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(ms: u64, jiffies: u64) -> Reading {
        Reading { monotonic_ns: ms * 1_000_000, jiffies }
    }

    #[test]
    fn ticks_are_told_apart_over_the_shortest_time() {
        let apart_ms = APART.as_millis() as u64;
        for hz in CHOICES_HZ {
            // A reading may stand anywhere between two ticks.
            let ticks = apart_ms * u64::from(hz) / 1_000;
            for counted in [ticks, ticks + 1] {
                let second = reading(5 + apart_ms, 1_000 + counted);
                {
                    let found = ticks_per_second(reading(5, 1_000), second);
                    assert_eq!(found, hz, "{counted} ticks");
                }
            }
        }
    }

    #[test]
    fn a_time_is_never_over_early() {
        let base = reading(1_000, 5_000);
        for hz in CHOICES_HZ {
            let clock = Clock { hz, base };
            assert_eq!(clock.at(base.monotonic_ns), 5_000);
            let second_later = clock.at(base.monotonic_ns + 1_000_000_000);
            assert!((5_000 + u64::from(hz)).abs_diff(second_later) <= 1, "{hz}");
            assert_eq!(clock.ticks(1_000), u64::from(hz));
            assert_eq!(clock.ticks(1), 1, "{hz}: rounded up");
            assert_eq!(clock.at(0), 5_000, "a clock that steps back stands still");
        }
    }
}
