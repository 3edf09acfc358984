//! Backups: other descriptions of an attack that is held, ready for the moment it changes.
//!
//! Whoever sees his requests refused changes what his tool looks like. For each thing he may change
//! one signature is looked for that does not rest on it, while the attack is still there to be
//! described and judged; it waits in [`crate::standby`]. It must never be placed because it would be
//! good to have: only requests that no rule explains bring it into force.

use floodwall_model::{Action, Attr, Rule};

use super::Engine;
use crate::ablation::Ablation;
use crate::alarm::Alarm;
use crate::evidence::gather;
use crate::miner::{Mined, Rise, Tier, mine};
use crate::prior;
use crate::recent::Sample;
use crate::shed::Shed;

/// What an attacker may change together. A backup rests on none of the values of one of these sets.
pub(crate) const CHANGES: [&[Attr]; 4] = [
    // Another tool or library, the same names.
    &[
        Attr::HeaderOrder,
        Attr::Accept,
        Attr::Ja4,
        Attr::HttpVersion,
        Attr::Stack,
        Attr::Implementation,
    ],
    // Other names, the same tool.
    &[
        Attr::UserAgent,
        Attr::AgentShape,
        Attr::ClientHints,
        Attr::Language,
        Attr::Stack,
        Attr::Implementation,
    ],
    // All of it. What is left to say is that it was never here before, or not what it says it is.
    &[
        Attr::HeaderOrder,
        Attr::Accept,
        Attr::Ja4,
        Attr::HttpVersion,
        Attr::UserAgent,
        Attr::AgentShape,
        Attr::ClientHints,
        Attr::Language,
        Attr::Stack,
        Attr::Implementation,
        Attr::PathTemplate,
        Attr::QueryShape,
    ],
    // Another target, and other ways of asking.
    &[Attr::PathTemplate, Attr::QueryShape, Attr::Method, Attr::RefererClass, Attr::CookieState],
];

const _: () = assert!(CHANGES.len() == crate::standby::BACKUPS_MAX);

impl Engine {
    /// Looks for the next backup that is due, at most one per step: each costs a search.
    pub(super) fn find_backup(&mut self) {
        let now_ms = self.now_ms;
        let Some(mut alarm) = self.alarm.take() else { return };
        let none = self.config.ablation == Some(Ablation::NoBackups);
        let see_enough = self.sight.blindness().is_none();
        if none || !see_enough || self.shedding.give_up(Shed::Searches, 1) {
            self.alarm = Some(alarm);
            return;
        }
        if let Some(change) = alarm.backup_due(now_ms) {
            self.try_backup(&mut alarm, change);
        }
        self.alarm = Some(alarm);
    }

    fn try_backup(&mut self, alarm: &mut Alarm, change: usize) {
        // Where little is known, a rule rests on more than the past; a backup would not.
        if prior::is_thin(&alarm.past, self.config.baseline_records_min) {
            return;
        }
        let sample = self.all_of_it();
        let present = self.present_visitors();
        let rise = Rise {
            now: &sample,
            expected_rps: alarm.finding.expected_unprompted_rps,
            past: &alarm.past,
            without: CHANGES[change % CHANGES.len()],
            present: &present,
            ablation: self.config.ablation,
        };
        let found = mine(&rise, Tier::Block, 1, &mut alarm.memo).pop();
        self.minings += 1;
        // What has a place already serves this change, too.
        let Some(mined) = found.filter(|m| !self.book.knows(&m.signature)) else { return };
        let rule = self.backup_rule(&mined, &sample, alarm);
        let normal_rps = mined.projected.share() * alarm.finding.expected_rps;
        let rates = (normal_rps, mined.matched_rps);
        if self.book.keep_backup(rule, rates, self.now_ms).is_err() {
            // Behaviour takes a second to show; once more while there is some to see.
            alarm.backup_again(change, self.now_ms);
        }
    }

    /// The newest traffic as if no rule explained any of it.
    fn all_of_it(&self) -> Sample {
        let mut sample = self.newest_sample();
        sample.records.iter_mut().for_each(|record| record.explained = false);
        sample
    }

    fn backup_rule(&self, mined: &Mined, sample: &Sample, alarm: &Alarm) -> Rule {
        let now_ms = self.now_ms;
        let scene = self.scene(alarm, sample);
        let signature = &mined.signature;
        Rule {
            id: self.book.next_id(),
            signature: signature.clone(),
            known: alarm.past.known.clone(),
            action: Action::Block,
            words: self.names.signature(signature),
            predicates: signature.predicates().iter().map(|p| self.names.predicate(*p)).collect(),
            projected: mined.projected,
            evidence: gather(signature, &scene),
            placed_at_ms: now_ms,
            expires_at_ms: now_ms + self.config.rule_ttl_ms,
        }
    }
}
