//! Samples out of the ring, and how many to take.

use std::collections::VecDeque;

use aya::maps::{MapData, RingBuf};
use floodwall_model::RuleId;
use floodwall_model::packet::{PacketHandling, PacketObservation, PacketReason};

use crate::abi::{NO_RULE, RULES, Sample};
use crate::clock::Clock;

/// Samples taken out of the ring by one call. When there are more: the next call takes them, or the
/// ring fills and they are counted as lost.
pub const SAMPLES_STEP_MAX: usize = 16_384;

/// Samples a second that are worth their cost: fewer than the first says too little, more than the
/// second costs the filter more than a twentieth of its time.
const SAMPLES_PER_SECOND: (u64, u64) = (20_000, 50_000);
/// Rarest sampling.
const EVERY_MAX: u32 = 1 << 16;
/// Tables of rule numbers that are remembered: a sample may be older than the plan in force.
const TABLES_MAX: usize = 8;

/// Which rule each bit was, by revision of the table.
#[derive(Debug, Default)]
pub(crate) struct RuleNames {
    tables: VecDeque<(u32, [Option<RuleId>; RULES])>,
}

impl RuleNames {
    /// From now on samples come with `revision`.
    pub(crate) fn push(&mut self, revision: u32, ids: [Option<RuleId>; RULES]) {
        self.tables.truncate(TABLES_MAX - 1);
        self.tables.push_front((revision, ids));
    }

    fn name(&self, revision: u32, rule: u8) -> Option<RuleId> {
        let (_, ids) = self.tables.iter().find(|(of, _)| *of == revision)?;
        *ids.get(usize::from(rule))?
    }
}

/// Takes up to [`SAMPLES_STEP_MAX`] samples out of `ring`, oldest first.
pub(crate) fn drain(
    ring: &mut RingBuf<MapData>,
    names: &RuleNames,
    clock: &Clock,
    now_ms: u64,
) -> Vec<PacketObservation> {
    let mut observations = Vec::new();
    while observations.len() < SAMPLES_STEP_MAX {
        let Some(item) = ring.next() else { break };
        let observation = Sample::read(&item).and_then(|s| observe(&s, names, clock, now_ms));
        observations.extend(observation);
    }
    observations
}

fn observe(
    sample: &Sample,
    names: &RuleNames,
    clock: &Clock,
    now_ms: u64,
) -> Option<PacketObservation> {
    let reason = *PacketReason::ALL.get(usize::from(sample.reason))?;
    let rule = (sample.rule != NO_RULE).then(|| names.name(sample.revision, sample.rule)).flatten();
    Some(PacketObservation {
        at_ms: now_ms.saturating_sub(clock.ms_since(sample.jiffies)),
        facts: sample.packet.facts(sample.frame_bytes)?,
        weight: sample.weight.max(1),
        handling: handling(reason, rule),
    })
}

fn handling(reason: PacketReason, rule: Option<RuleId>) -> PacketHandling {
    match (reason, rule) {
        (PacketReason::Signature, Some(id)) => PacketHandling::Dropped(id),
        (reason, Some(id)) if reason.passes() && reason != PacketReason::Allowed => {
            PacketHandling::WouldDrop(id)
        }
        (reason, _) if reason.passes() => PacketHandling::Passed,
        (reason, _) => PacketHandling::Refused(reason),
    }
}

/// N of 1:N for the next stretch, given what N was and how many packets came in `elapsed_ms`.
/// Changes only when the samples leave the budget, so that weights stay the same for a while.
pub(crate) fn next_every(every: u32, packets: u64, elapsed_ms: u64) -> u32 {
    let (least, most) = SAMPLES_PER_SECOND;
    let every = every.max(1);
    let rate_pps = packets.saturating_mul(1_000) / elapsed_ms.max(1);
    let samples = rate_pps / u64::from(every);
    if samples > most || (samples < least && every > 1) {
        let wanted = (rate_pps / least).max(1);
        // The power of two at or below: 20,000 to 40,000 samples.
        let power = 1u64 << (63 - wanted.leading_zeros());
        return u32::try_from(power).unwrap_or(EVERY_MAX).min(EVERY_MAX);
    }
    every
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_at_any_rate() {
        for rate_pps in [10, 1_000, 60_000, 1_000_000, 24_000_000] {
            let mut every = 64;
            for _ in 0..3 {
                every = next_every(every, rate_pps / 20, 50);
            }
            let samples = rate_pps / u64::from(every);
            assert!(samples <= 50_000, "{rate_pps}: {samples}");
            assert!(every == 1 || samples >= 20_000, "{rate_pps}: {samples}");
            assert!(every.is_power_of_two());
        }
    }

    #[test]
    fn within_the_budget_nothing_changes() {
        assert_eq!(next_every(4, 8_000, 50), 4);
        assert_eq!(next_every(1, 0, 0), 1);
    }

    #[test]
    fn a_sample_is_named_by_the_table_it_was_taken_under() {
        let mut names = RuleNames::default();
        let table = |id| std::array::from_fn(|bit| (bit == 3).then_some(RuleId(id)));
        names.push(1, table(7));
        names.push(2, table(8));
        assert_eq!((names.name(1, 3), names.name(2, 3)), (Some(RuleId(7)), Some(RuleId(8))));
        assert_eq!((names.name(2, 4), names.name(9, 3), names.name(2, 200)), (None, None, None));
        for revision in 3..40 {
            names.push(revision, table(9));
        }
        assert_eq!(names.tables.len(), TABLES_MAX);
    }

    #[test]
    fn what_was_done_follows_from_reason_and_rule() {
        use PacketHandling::{Dropped, Passed, Refused, WouldDrop};
        let id = RuleId(4);
        for (reason, rule, expected) in [
            (PacketReason::Signature, Some(id), Dropped(id)),
            (PacketReason::NoObjection, Some(id), WouldDrop(id)),
            (PacketReason::NoObjection, None, Passed),
            (PacketReason::Allowed, Some(id), Passed),
            (PacketReason::Land, None, Refused(PacketReason::Land)),
            (PacketReason::CookieSent, None, Refused(PacketReason::CookieSent)),
        ] {
            assert_eq!(handling(reason, rule), expected, "{reason:?}");
        }
    }
}
