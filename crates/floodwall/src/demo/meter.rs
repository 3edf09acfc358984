//! What became of the requests sent, by who sent them and in which phase.
//!
//! Counted where the requests are sent, because only the sender knows that an answer never came. A
//! request belongs to the phase in which it was *sent*.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use floodwall_sim::Label;

use super::histogram::LatencyHistogram;

/// Parts of the demo whose figures are kept apart.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Phase {
    /// The quiet before the attack.
    Before,
    /// The attack, until the first rule against it is in force.
    UntilRule,
    /// The attack, from the first rule on.
    During,
    /// The calm after the attack.
    After,
    /// The crowd.
    Crowd,
}

/// How many phases there are.
pub(super) const PHASES: usize = 5;

impl Phase {
    /// Every phase, in order.
    pub(super) const ALL: [Phase; PHASES] =
        [Phase::Before, Phase::UntilRule, Phase::During, Phase::After, Phase::Crowd];
}

/// The phase that is on. Written by the director, read by everybody.
#[derive(Debug, Default)]
pub(super) struct CurrentPhase(AtomicU8);

impl CurrentPhase {
    /// The phase that is on.
    pub(super) fn get(&self) -> Phase {
        let on = usize::from(self.0.load(Ordering::Relaxed));
        Phase::ALL.get(on).copied().unwrap_or(Phase::Before)
    }

    /// Begins a phase.
    pub(super) fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }
}

/// How a request ended.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    /// 2xx or 3xx, whole, in time.
    Well,
    /// 403: a rule blocked it.
    Blocked,
    /// 429: a rule throttled it.
    Throttled,
    /// 5xx: the site or the gateway could not.
    Unavailable,
    /// Another status.
    OtherStatus,
    /// No whole answer in time.
    TimedOut,
    /// No connection: refused, or its packets were dropped.
    Unreachable,
    /// The connection was cut within the answer, or the answer was not HTTP.
    Cut,
}

impl Ending {
    /// How a whole answer with this status counts.
    pub(super) fn of_status(status: u16) -> Ending {
        match status {
            200..=399 => Ending::Well,
            403 => Ending::Blocked,
            429 => Ending::Throttled,
            500..=599 => Ending::Unavailable,
            _ => Ending::OtherStatus,
        }
    }
}

/// Counts of requests.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    /// Sent and ended.
    pub(super) sent: u64,
    /// [`Ending::Well`].
    pub(super) well: u64,
    /// [`Ending::Blocked`].
    pub(super) blocked: u64,
    /// [`Ending::Throttled`].
    pub(super) throttled: u64,
    /// [`Ending::Unavailable`].
    pub(super) unavailable: u64,
    /// [`Ending::OtherStatus`].
    pub(super) other_status: u64,
    /// [`Ending::TimedOut`].
    pub(super) timed_out: u64,
    /// [`Ending::Unreachable`].
    pub(super) unreachable: u64,
    /// [`Ending::Cut`].
    pub(super) cut: u64,
}

impl Counts {
    fn count(&mut self, ending: Ending) {
        self.sent += 1;
        *match ending {
            Ending::Well => &mut self.well,
            Ending::Blocked => &mut self.blocked,
            Ending::Throttled => &mut self.throttled,
            Ending::Unavailable => &mut self.unavailable,
            Ending::OtherStatus => &mut self.other_status,
            Ending::TimedOut => &mut self.timed_out,
            Ending::Unreachable => &mut self.unreachable,
            Ending::Cut => &mut self.cut,
        } += 1;
    }

    fn add(&mut self, other: &Counts) {
        self.sent += other.sent;
        self.well += other.well;
        self.blocked += other.blocked;
        self.throttled += other.throttled;
        self.unavailable += other.unavailable;
        self.other_status += other.other_status;
        self.timed_out += other.timed_out;
        self.unreachable += other.unreachable;
        self.cut += other.cut;
    }

    /// Share answered well; `None` if nothing was sent.
    pub(super) fn success(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.well as f64 / self.sent as f64)
    }

    /// Requests kept out on purpose. No connection counts too: a ban in the kernel looks like that
    /// from outside, and honest visitors must not vanish from the figures by being banned.
    pub(super) fn kept_out(&self) -> u64 {
        self.blocked + self.throttled + self.unreachable
    }
}

/// Counts and latencies of one label in one phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Counts.
    pub(super) counts: Counts,
    /// Latencies of requests answered well.
    pub(super) latency: LatencyHistogram,
}

/// Seconds that [`Meter::recent`] looks back.
pub(super) const RECENT_S: usize = 3;
const SLOTS: usize = RECENT_S + 1;

/// One second's tally, per label.
#[derive(Clone, Debug, Default)]
struct Second {
    at_s: u64,
    tallies: [Tally; 3],
}

#[derive(Debug, Default)]
struct Tallies {
    of: [[Tally; PHASES]; 3],
    seconds: [Second; SLOTS],
}

/// All tallies. Shared by the load generators and the director.
#[derive(Debug, Default)]
pub(super) struct Meter {
    tallies: Mutex<Tallies>,
}

impl Meter {
    /// Counts a request that was sent in `phase` and ended at `now_ms`, ms since the start.
    pub(super) fn count(
        &self,
        label: Label,
        phase: Phase,
        ending: Ending,
        latency_us: u64,
        now_ms: u64,
    ) {
        let mut tallies = self.lock();
        let second_s = now_ms / 1_000;
        let slot = &mut tallies.seconds[second_s as usize % SLOTS];
        if slot.at_s != second_s {
            slot.at_s = second_s;
            for tally in &mut slot.tallies {
                tally.counts = Counts::default();
                tally.latency.clear();
            }
        }
        let recent = &mut slot.tallies[label as usize];
        recent.counts.count(ending);
        if ending == Ending::Well {
            recent.latency.record(latency_us);
        }
        let tally = &mut tallies.of[label as usize][phase as usize];
        tally.counts.count(ending);
        if ending == Ending::Well {
            tally.latency.record(latency_us);
        }
    }

    /// What is known of `label` in `phase`.
    pub(super) fn tally(&self, label: Label, phase: Phase) -> Tally {
        self.lock().of[label as usize][phase as usize].clone()
    }

    /// Counts of `label` over all phases.
    pub(super) fn total(&self, label: Label) -> Counts {
        let tallies = self.lock();
        let mut sum = Counts::default();
        tallies.of[label as usize].iter().for_each(|tally| sum.add(&tally.counts));
        sum
    }

    /// `label` over the last [`RECENT_S`] whole seconds before `now_ms`.
    pub(super) fn recent(&self, label: Label, now_ms: u64) -> Tally {
        let now_s = now_ms / 1_000;
        let mut sum = Tally::default();
        for second in &self.lock().seconds {
            if second.at_s < now_s && second.at_s + RECENT_S as u64 >= now_s {
                let tally = &second.tallies[label as usize];
                sum.counts.add(&tally.counts);
                sum.latency.merge(&tally.latency);
            }
        }
        sum
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tallies> {
        // A panic elsewhere leaves counts as good as they were.
        self.tallies.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_in_its_phase_and_in_its_second() {
        let meter = Meter::default();
        meter.count(Label::Honest, Phase::During, Ending::Well, 5_000, 1_500);
        meter.count(Label::Honest, Phase::During, Ending::Blocked, 900, 2_500);
        meter.count(Label::Attack, Phase::During, Ending::Unreachable, 900, 2_500);
        let during = meter.tally(Label::Honest, Phase::During);
        assert_eq!((during.counts.sent, during.counts.well, during.counts.blocked), (2, 1, 1));
        assert_eq!(during.latency.count(), 1);
        assert_eq!(during.counts.success(), Some(0.5));
        assert_eq!(meter.tally(Label::Honest, Phase::Before).counts.success(), None);
        assert_eq!(meter.total(Label::Attack).kept_out(), 1);
        assert_eq!(meter.recent(Label::Honest, 2_900).counts.sent, 1, "the current second waits");
        assert_eq!(meter.recent(Label::Honest, 3_000).counts.sent, 2);
        assert_eq!(meter.recent(Label::Honest, 5_000).counts.sent, 1);
        assert_eq!(meter.recent(Label::Honest, 60_000).counts.sent, 0);
    }

    #[test]
    fn the_endings_of_a_label_add_up_to_what_was_sent() {
        let meter = Meter::default();
        let statuses = [200, 204, 304, 302, 403, 429, 500, 503, 404, 101];
        for (n, status) in statuses.into_iter().enumerate() {
            let phase = Phase::ALL[n % PHASES];
            meter.count(Label::Crowd, phase, Ending::of_status(status), 1, 0);
        }
        let c = meter.total(Label::Crowd);
        let sum = c.well + c.blocked + c.throttled + c.unavailable + c.other_status;
        assert_eq!((c.sent, sum + c.timed_out + c.unreachable + c.cut), (10, 10));
        assert_eq!((c.well, c.unavailable, c.other_status), (4, 2, 2));
    }

    #[test]
    fn the_phase_set_is_the_phase_on() {
        let current = CurrentPhase::default();
        assert_eq!(current.get(), Phase::Before);
        for phase in Phase::ALL {
            current.set(phase);
            assert_eq!(current.get(), phase);
        }
    }
}
