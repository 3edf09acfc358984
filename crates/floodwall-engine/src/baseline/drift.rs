//! Has the past itself become another one? Once a week the mix of client software is written down
//! and never touched again; when today's differs much from the one of four weeks ago, somebody
//! should look: it was a relaunch, an app, or a baseline poisoned slowly. It must never do more than
//! say so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::frozen::Learned;
use crate::memory::{Damaged, Reader, Writer};

const DAY_MS: u64 = 24 * 3_600_000;
const WEEK_MS: u64 = 7 * DAY_MS;
/// How far back is compared, ms.
const COMPARED_MS: u64 = 28 * DAY_MS;
/// Between two comparisons, ms.
const EVERY_MS: u64 = 3_600_000;
/// Jensen–Shannon divergence above which the past has become another (design/detection.md § 3.2).
pub const DRIFT_MAX: f64 = 0.2;
/// Snapshots kept: four weeks and the one compared with.
const SNAPSHOTS_MAX: usize = 5;
/// Kinds of software in a snapshot, the most frequent; the rest counts as one.
const KINDS_MAX: usize = 512;
/// Fewer requests than this in a week make no mix.
const REQUESTS_MIN: f64 = 500.0;

/// Shares of software at one time. Never changed once made.
#[derive(Debug)]
struct Snapshot {
    at_ms: u64,
    shares: Vec<(u64, f64)>,
}

/// The snapshots.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    snapshots: VecDeque<Arc<Snapshot>>,
    since_ms: Option<u64>,
    looked_ms: u64,
    present: Option<f64>,
}

impl Drift {
    /// Looks once an hour at `week`, what was learned in the last seven days.
    pub fn look<'a>(&mut self, now_ms: u64, week: impl Iterator<Item = &'a Learned>) {
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        if now_ms < self.looked_ms + EVERY_MS || now_ms < since_ms + WEEK_MS {
            return;
        }
        self.looked_ms = now_ms;
        let Some(shares) = shares(week) else { return };
        let old = self.snapshots.iter().rev().find(|s| s.at_ms + COMPARED_MS <= now_ms);
        self.present = old.map(|old| divergence(&old.shares, &shares));
        if self.snapshots.back().is_none_or(|last| last.at_ms + WEEK_MS <= now_ms) {
            if self.snapshots.len() == SNAPSHOTS_MAX {
                self.snapshots.pop_front();
            }
            self.snapshots.push_back(Arc::new(Snapshot { at_ms: now_ms, shares }));
        }
    }

    /// How far today's software differs from that of four weeks ago, 0 to 1, once known.
    pub const fn present(&self) -> Option<f64> {
        self.present
    }

    /// Writes what shall be remembered.
    pub fn pack(&self, out: &mut Writer) {
        out.number(self.since_ms.map_or(0, |ms| ms + 1));
        out.count(self.snapshots.len());
        for snapshot in &self.snapshots {
            out.number(snapshot.at_ms);
            out.count(snapshot.shares.len());
            for (kind, share) in &snapshot.shares {
                out.word(*kind);
                out.real(*share);
            }
        }
    }

    /// Reads it back.
    pub fn unpack(input: &mut Reader<'_>, now_ms: u64) -> Result<Drift, Damaged> {
        let since_ms = input.number()?.checked_sub(1).map(|ms| ms.min(now_ms));
        let mut drift = Drift { since_ms, ..Drift::default() };
        for _ in 0..input.count(SNAPSHOTS_MAX)? {
            let at_ms = input.number()?.min(now_ms);
            let mut shares = Vec::new();
            for _ in 0..input.count(KINDS_MAX + 1)? {
                shares.push((input.word()?, input.real()?));
            }
            drift.snapshots.push_back(Arc::new(Snapshot { at_ms, shares }));
        }
        Ok(drift)
    }
}

fn shares<'a>(learned: impl Iterator<Item = &'a Learned>) -> Option<Vec<(u64, f64)>> {
    let mut counts: HashMap<u64, f64> = HashMap::new();
    for one in learned {
        *counts.entry(one.record.implementation()).or_default() += 1.0;
    }
    let all: f64 = counts.values().sum();
    if all < REQUESTS_MIN {
        return None;
    }
    let mut shares: Vec<(u64, f64)> = counts.into_iter().map(|(k, n)| (k, n / all)).collect();
    shares.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let rest: f64 = shares.iter().skip(KINDS_MAX).map(|(_, share)| share).sum();
    shares.truncate(KINDS_MAX);
    shares.push((0, rest));
    Some(shares)
}

/// Jensen–Shannon divergence of two distributions, in bits: 0 equal, 1 nothing in common.
fn divergence(a: &[(u64, f64)], b: &[(u64, f64)]) -> f64 {
    let mut both: HashMap<u64, (f64, f64)> = HashMap::new();
    for (kind, share) in a {
        both.entry(*kind).or_default().0 += share;
    }
    for (kind, share) in b {
        both.entry(*kind).or_default().1 += share;
    }
    let term = |p: f64, mean: f64| if p > 0.0 { p * (p / mean).log2() } else { 0.0 };
    let sum: f64 =
        both.values().map(|(p, q)| term(*p, (p + q) / 2.0) + term(*q, (p + q) / 2.0)).sum();
    (sum / 2.0).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use floodwall_model::{Attr, Attrs, RequestKind, ValueId};

    /// A week's requests: `part` in ten from a new app, the rest from four browsers.
    fn week(part: u64) -> Vec<Learned> {
        (0..2_000)
            .map(|n| {
                let mut attrs = Attrs::default();
                let app = n % 10 < part;
                attrs[Attr::HeaderOrder] = ValueId(if app { 99 } else { 10 + n % 4 });
                let record = Record {
                    at_ms: 0,
                    source: n,
                    attrs,
                    kind: RequestKind::Page,
                    explained: false,
                    passed: true,
                    prompted: false,
                };
                Learned { record, engaged: None }
            })
            .collect()
    }

    /// Five weeks of `before`, then one look at `after`.
    fn drift(before: u64, after: u64) -> Option<f64> {
        let mut drift = Drift::default();
        for day in 0..36 {
            drift.look(day * DAY_MS, week(before).iter());
        }
        drift.look(36 * DAY_MS, week(after).iter());
        drift.present()
    }

    #[test]
    fn a_site_that_stays_as_it_is_does_not_drift_and_one_taken_over_does() {
        assert!(drift(0, 0).unwrap() < 0.001);
        assert!(drift(0, 1).unwrap() < DRIFT_MAX, "an app with a tenth of the requests");
        assert!(drift(0, 5).unwrap() > DRIFT_MAX, "half of all requests come from something new");
    }

    #[test]
    fn nothing_is_said_before_there_are_four_weeks_to_look_back() {
        let mut drift = Drift::default();
        for day in 0..34 {
            drift.look(day * DAY_MS, week(day / 4).iter());
            assert_eq!(drift.present(), None, "day {day}");
        }
    }

    #[test]
    fn snapshots_stay_few_and_as_they_were() {
        let mut drift = Drift::default();
        for day in 0..100 {
            drift.look(day * DAY_MS, week(0).iter());
        }
        assert_eq!(drift.snapshots.len(), SNAPSHOTS_MAX);
        let first = drift.snapshots.front().unwrap().shares.clone();
        drift.look(101 * DAY_MS, week(9).iter());
        assert_eq!(drift.snapshots.front().unwrap().shares, first);
    }
}
