//! When to step the engine: every [`STEP_MS`] of log time while something happens (a capture: more
//! often), seldom through
//! silence, once over a gap. A night without a visitor would otherwise cost half a million steps.

/// Log time between two steps while records come, ms.
pub(crate) const STEP_MS: u64 = 100;

/// Silence after which steps become seldom, ms.
const SILENCE_MS: u64 = 1_000;

/// Log time between two steps in silence, ms.
const SILENT_STEP_MS: u64 = 1_000;

/// Silence after which the rest of a gap is jumped over, ms: by then every rule not renewed has
/// expired (`RULE_TTL_MS_MAX`).
const GAP_MS: u64 = 120_000;

/// The same while an incident is open, ms: it has closed long before.
const INCIDENT_GAP_MS: u64 = 3_600_000;

const _: () = assert!(GAP_MS >= floodwall_model::limits::RULE_TTL_MS_MAX);

/// The time of the next step, of `step_ms` while something happens, after `now_ms`, when the last record came at or before `busy_ms` and
/// the next one comes at `next_record_ms`. Never beyond the end of the step in which the next
/// record lies; the step before that one is never left out. While an incident is open no gap is
/// jumped over, so that it is closed at its time and not at the next record's.
pub(crate) fn next_step_ms(
    step_ms: u64,
    now_ms: u64,
    busy_ms: u64,
    next_record_ms: u64,
    incident_open: bool,
) -> u64 {
    let before_record_ms = next_record_ms / step_ms * step_ms;
    if before_record_ms <= now_ms {
        return now_ms + step_ms;
    }
    let silence_ms = now_ms.saturating_sub(busy_ms);
    let wish_ms = match silence_ms {
        0..SILENCE_MS => now_ms + step_ms,
        SILENCE_MS..GAP_MS => now_ms + SILENT_STEP_MS,
        _ if incident_open && silence_ms < INCIDENT_GAP_MS => now_ms + SILENT_STEP_MS,
        _ => before_record_ms,
    };
    wish_ms.min(before_record_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All steps from one record to the next.
    fn steps(from_ms: u64, record_ms: u64, incident_open: bool) -> Vec<u64> {
        let (mut now_ms, mut steps) = (from_ms, Vec::new());
        while record_ms >= now_ms + STEP_MS {
            now_ms = next_step_ms(STEP_MS, now_ms, from_ms, record_ms, incident_open);
            steps.push(now_ms);
        }
        steps
    }

    #[test]
    fn steady_traffic_is_stepped_every_100_ms() {
        assert_eq!(next_step_ms(STEP_MS, 1_000, 1_000, 1_050, false), 1_100);
        assert_eq!(next_step_ms(STEP_MS, 1_000, 1_000, 1_100, false), 1_100);
        assert_eq!(steps(1_000, 1_399, false), [1_100, 1_200, 1_300]);
    }

    #[test]
    fn silence_is_stepped_once_a_second_and_a_gap_once() {
        let gap = steps(0, 86_400_050, false);
        assert_eq!(gap[..11], [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000, 2_000]);
        assert_eq!(gap[gap.len() - 2..], [120_000, 86_400_000]);
        assert_eq!(gap.len(), 10 + 119 + 1);
        let open = steps(0, 86_400_050, true);
        assert_eq!(open.len(), 10 + 3_599 + 1);
    }

    proptest! {
        #[test]
        fn steps_go_forward_and_never_past_the_next_record(
            from in 0u64..1_000_000, wait_ms in 0u64..5_000_000, open: bool,
        ) {
            let from_ms = from * STEP_MS;
            let record_ms = from_ms + wait_ms;
            let mut before = from_ms;
            for now_ms in steps(from_ms, record_ms, open) {
                prop_assert!(now_ms > before && now_ms <= record_ms);
                before = now_ms;
            }
            prop_assert!(record_ms < before + STEP_MS);
        }
    }
}
