//! How the engine stands: a copy of its figures for status, metrics and tests.

use super::Engine;
use crate::alarm::Alarm;
use crate::status::{EngineHealth, EngineStatus, Occupancy};

impl Engine {
    /// How far the software that visits today differs from that of four weeks ago, 0 to 1; `None`
    /// while that cannot be said.
    pub const fn baseline_drift(&self) -> Option<f64> {
        self.baseline.drift()
    }

    /// How the engine stands.
    pub fn status(&self) -> EngineStatus {
        let table = |name, (used, max, lost): (usize, usize, u64)| Occupancy {
            name,
            used: used as u64,
            max: max as u64,
            displaced: lost,
        };
        let (names_used, names_max) = self.names.occupancy();
        EngineStatus {
            mode: self.config.mode,
            now_ms: self.now_ms,
            per_1s_rps: self.stats.per_1s_rps,
            per_10s_rps: self.stats.per_10s_rps,
            expected_rps: self.onset.expected_rps(),
            alarm_above_rps: self.onset.upper_rps(),
            observations: self.observations,
            observations_lost: self.observations_lost,
            sources: self.distinct.estimate(),
            baseline_records: self.baseline.records() as u64,
            baseline_records_min: self.config.baseline_records_min as u64,
            baseline_span_s: self.baseline.span_s(),
            baseline_drift: self.baseline.drift(),
            alarmed_since_ms: self.alarm.as_ref().map(Alarm::opened_ms),
            nothing_placed_because: self.alarm.as_ref().and_then(|a| a.refusal.clone()),
            rules: self.book.active().iter().map(|a| (a.rule.clone(), a.matched)).collect(),
            ready: self.book.standby().waiting().iter().map(|s| s.active.rule.clone()).collect(),
            incident: self.account.as_ref().map(|a| a.incident().id),
            bans_proposed: self.bans,
            minings: self.minings,
            alarms: self.alarms,
            incidents: self.incidents,
            health: EngineHealth {
                lag_ms: self.sight.lag_ms(),
                lag_60s_ms_max: self.sight.lag_60s_ms_max(),
                lost_10s_share: self.sight.lost_share(),
                blindness: self.sight.blindness(),
                shed: self.shedding.now(),
                given_up: self.shedding.counts(),
            },
            events: self.calendar.at_hand(self.now_ms),
            tables: [
                ("sources", self.sources.occupancy()),
                ("attribute values", self.onset.occupancy()),
                ("value texts", (names_used, names_max, 0)),
                ("costs of routes", self.costs.occupancy()),
                ("signatures kept ready", self.book.standby().occupancy()),
                ("sources on trial", self.book.on_trial()),
                ("sources a rule refused", self.book.blamed().occupancy()),
                ("declared paths", self.calendar.occupancy()),
            ]
            .into_iter()
            .chain(self.baseline.tables())
            .map(|(name, occupancy)| table(name, occupancy))
            .collect(),
        }
    }
}
