//! The time of a recording, made to go only forward.
//!
//! Network cards with several queues hand packets over slightly out of order: such a packet gets the
//! time reached. A larger step back means that the recorder's clock was set, or that recordings were
//! joined end to end: then time goes on from where it was, since to press what follows into one
//! moment would make a flood out of it.

/// Largest step back that is taken for disorder, ns.
const DISORDER_NS: i128 = 100_000_000;

/// The end of the year 9999; wilder times are moved to it, ms.
const AT_MS_MAX: i128 = 253_402_300_799_000;

/// Turns recorded times into a time that never goes back.
#[derive(Debug, Default)]
pub(crate) struct RecordingClock {
    now_ns: Option<i128>,
    /// Added to recorded times since the clock was last seen to be set back.
    shift_ns: i128,
    /// Packets that came a little late and got the time reached.
    pub(crate) late: u64,
    /// How often time stepped back for good.
    pub(crate) set_back: u64,
}

impl RecordingClock {
    /// The time of a packet recorded at `at_ns`, ms since the epoch.
    pub(crate) fn at_ms(&mut self, at_ns: u64) -> u64 {
        let mut at_ns = i128::from(at_ns) + self.shift_ns;
        if let Some(now_ns) = self.now_ns
            && at_ns < now_ns
        {
            if now_ns - at_ns <= DISORDER_NS {
                self.late += 1;
            } else {
                self.shift_ns += now_ns - at_ns;
                self.set_back += 1;
            }
            at_ns = now_ns;
        }
        self.now_ns = Some(at_ns);
        (at_ns / 1_000_000).clamp(0, AT_MS_MAX) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_little_disorder_is_mended_and_a_clock_set_back_goes_on() {
        let mut clock = RecordingClock::default();
        let mut at = |ms: u64| clock.at_ms(ms * MS);
        assert_eq!([at(1_000), at(1_050), at(1_040), at(1_060)], [1_000, 1_050, 1_050, 1_060]);
        assert_eq!([at(10), at(20), at(1_000)], [1_060, 1_070, 2_050]);
        assert_eq!((clock.late, clock.set_back), (1, 1));
    }

    proptest! {
        #[test]
        fn time_never_goes_back(times in prop::collection::vec(any::<u64>(), 0..100)) {
            let mut clock = RecordingClock::default();
            let mut before = 0;
            for at_ns in times {
                let at_ms = clock.at_ms(at_ns);
                prop_assert!(at_ms >= before);
                before = at_ms;
            }
        }
    }
}
