//! What waited comes back: a signature whose attack shows again is in force within one tick.
//!
//! Nothing is searched or judged anew here. The rule comes with the evidence it was placed on; what
//! may have changed since is whom it would hit, so that is measured again on the past as it is now,
//! and the plan's check decides. What was withdrawn never waits, and so never comes back.

use floodwall_model::incident::TimelineKind;
use floodwall_model::{Collateral, Rejection, Rule};

use super::Engine;
use super::backups::CHANGES;
use crate::alarm::Alarm;
use crate::baseline::Frozen;
use crate::onset::{Channel, Finding};
use crate::standby::{Arrivals, Kind, Standby};

impl Engine {
    /// Puts back in force what matches again.
    pub(super) fn rearm(&mut self, arrived: u64, interval_s: f64) {
        let expected_rps = match &self.alarm {
            Some(alarm) => alarm.finding.expected_rps,
            None => self.onset.expected_rps(),
        };
        let arrivals = Arrivals { interval_s, requests: arrived, expected_rps };
        let due = self.book.due(arrivals, self.now_ms);
        if due.is_empty() {
            return;
        }
        let mut alarm = match self.alarm.take() {
            Some(alarm) => alarm,
            None => self.alarm_for_return(interval_s),
        };
        for standby in due {
            self.put_in_force(standby, &alarm);
        }
        alarm.want_backups(CHANGES.len(), self.now_ms);
        self.alarm = Some(alarm);
    }

    /// An alarm that nothing but a returning attack raised.
    fn alarm_for_return(&mut self, interval_s: f64) -> Alarm {
        let finding = Finding {
            onset_ms: self.now_ms.saturating_sub((interval_s * 1000.0) as u64),
            channel: Channel::Total,
            observed_rps: self.stats.per_1s_rps,
            expected_rps: self.onset.expected_rps(),
            expected_unprompted_rps: self.onset.expected_unprompted_rps(),
        };
        let past = self.freeze();
        Alarm::new(finding, past, self.now_ms)
    }

    fn put_in_force(&mut self, standby: Standby, alarm: &Alarm) {
        let (now_ms, ttl_ms) = (self.now_ms, self.config.rule_ttl_ms);
        let (kind, rule) = (standby.kind, standby.active.rule.clone());
        let projected = hits_now(&rule, &alarm.past);
        match self.book.rearm(standby, projected, now_ms, ttl_ms) {
            Ok(()) if kind == Kind::Backup => self.placed(alarm, None),
            Ok(()) => {
                self.mark_visitors();
                self.open_for_rule(alarm);
                if let (Some(account), Some(active)) =
                    (&mut self.account, self.book.active().last())
                {
                    account.rule_back(active, self.config.mode, now_ms);
                    self.stored_ms = 0;
                }
            }
            Err(Rejection::TooManyRules) => {}
            Err(why) => {
                if let Some(account) = &mut self.account {
                    let note = format!("rule {} did not come back: {why}", rule.id);
                    account.incident_mut().note(now_ms, TimelineKind::NothingPlaced, note);
                }
            }
        }
    }
}

/// Records of the past as it is now that `rule` matches. Software that became common here since it
/// was placed is new to the rule and not to the past.
fn hits_now(rule: &Rule, past: &Frozen) -> Collateral {
    let learned = || past.mining.iter().chain(&past.validation);
    let hits = learned().filter(|l| rule.matches(&l.record.attrs)).count() as u64;
    Collateral { hits, records: learned().count() as u64 }
}
