//! The ladder downwards: a block rule that hits visitors becomes a limit per source.
//!
//! The tier between the two, a challenge, has its place here and does not exist yet. A signature that
//! was demoted or withdrawn is never placed as a block again while its incident lasts.

use floodwall_model::incident::TimelineKind;
use floodwall_model::{Action, Rule};

use super::Engine;
use crate::rules::ActiveRule;
use crate::stress::Stress;

/// A limit per source is worth its harm where this multiple of what is normal matches: the part of
/// the traffic it aims at has more than doubled.
const RISEN_FACTOR: f64 = 2.0;

impl Engine {
    /// Whether limits per source may be placed against what `matched_rps` describes: only while the
    /// origin suffers, or where more than twice of what is normal arrives.
    pub(super) fn may_throttle(&self, matched_rps: f64, normal_rps: f64) -> bool {
        self.stress >= Stress::Stressed || matched_rps > RISEN_FACTOR * normal_rps
    }

    /// Notes whether visitors came as usual until the rule that was placed now.
    pub(super) fn mark_visitors(&mut self) {
        let calm = !self.suffered && !self.goodput.falls_short();
        if calm && self.goodput.forecast().is_some() {
            self.book.visitors_came();
        }
    }

    /// Puts a limit per source in the place of a block rule that was taken out of force.
    pub(super) fn demote(&mut self, active: &ActiveRule) {
        let (now_ms, limit) = (self.now_ms, self.per_source.limit_per_10s());
        let (peak_rps, normal_rps) = active.peak_and_normal_rps();
        if !self.may_throttle(peak_rps, normal_rps) {
            return;
        }
        let rule = Rule {
            id: self.book.next_id(),
            action: Action::Throttle { per_source_per_10s: limit },
            projected: self.per_source.over(limit),
            placed_at_ms: now_ms,
            expires_at_ms: now_ms + self.config.rule_ttl_ms,
            ..active.rule.clone()
        };
        let placed = self.book.place(rule, normal_rps, now_ms);
        let Some(account) = &mut self.account else { return };
        match (placed, self.book.active().last()) {
            (Ok(()), Some(active)) => account.rule_placed(active, self.config.mode, 0, now_ms),
            (Err(why), _) => {
                let note = format!("no limit per source in its place: {why}");
                account.incident_mut().note(now_ms, TimelineKind::NothingPlaced, note);
            }
            (Ok(()), None) => {}
        }
    }
}
