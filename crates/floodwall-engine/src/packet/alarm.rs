//! → Finding: the alarm, from the first channel that speaks to the last that falls silent.
//!
//! The engine learns only while there is none: what may be a flood must never become the past.

use floodwall_model::packet::PacketClass;

use super::PacketEngine;
use super::channels::PacketFinding;

/// An alarm that nothing was placed against is taken for the new normal after so long, ms.
const ACCEPT_MS: u64 = 120_000;
/// An alarm ends when no channel spoke for so long, ms.
const CALM_MS: u64 = 3_000;

/// An open alarm.
#[derive(Debug)]
pub struct Alarm {
    pub opened_ms: u64,
    pub onset_ms: u64,
    pub last_ms: u64,
    pub classes: Vec<(PacketClass, f64)>,
    pub observed_pps: f64,
    pub mined_ms: Option<u64>,
    pub refusal: Option<String>,
}

impl PacketEngine {
    /// → Finding: opens, keeps and closes the alarm; learns only without one.
    pub(super) fn watch(&mut self, interval_s: f64) {
        let now_ms = self.now_ms;
        let calm = self.alarm.is_none() && self.rules.active().is_empty();
        let findings = self.channels.tick(now_ms, interval_s, calm);
        if findings.is_empty() {
            if calm {
                self.past.learn(now_ms, &mut self.random);
            }
        } else {
            self.past.distrust();
        }
        self.alarm_of(&findings);
        let over = self.alarm.as_ref().is_some_and(|a| now_ms >= a.last_ms + CALM_MS);
        let unresolved = self.alarm.as_ref().is_some_and(|a| now_ms >= a.opened_ms + ACCEPT_MS);
        if unresolved && self.rules.active().is_empty() && !self.rules.guards().any() {
            self.channels.settle();
            self.alarm = None;
        } else if over {
            self.alarm = None;
        }
    }

    fn alarm_of(&mut self, findings: &[PacketFinding]) {
        let Some(onset_ms) = findings.iter().map(|f| f.onset_ms).min() else { return };
        let now_ms = self.now_ms;
        let alarm = self.alarm.get_or_insert_with(|| Alarm {
            opened_ms: now_ms,
            onset_ms,
            last_ms: now_ms,
            classes: Vec::new(),
            observed_pps: 0.0,
            mined_ms: None,
            refusal: None,
        });
        alarm.last_ms = now_ms;
        alarm.classes = findings.iter().map(|f| (f.class, f.expected_pps)).collect();
        alarm.observed_pps = findings.iter().map(|f| f.observed_pps).sum();
    }
}
