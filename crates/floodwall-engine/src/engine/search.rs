//! Finding → Signature → Plan: mines what no rule explains, puts it on trial, gathers evidence,
//! places. Whether a rule may be placed is not decided here but by the plan's check.

use floodwall_model::incident::TimelineKind;
use floodwall_model::{Action, Attr, Rule};

use super::Engine;
use super::backups::CHANGES;
use crate::ablation::Ablation;
use crate::alarm::Alarm;
use crate::evidence::{BEHAVIOUR_MS, Scene, gather};
use crate::miner::{Rise, Tier, mine};
use crate::pending::{Measure, Pending, Trial};
use crate::prior;
use crate::recent::{Sample, thin};
use crate::record::Record;
use crate::rules::RULES_AT_EASE;
use crate::shed::Shed;
use crate::sources::Sources;

/// Signatures of one tier on trial at once.
const PENDING_MAX: usize = 8;
/// Requests wanted in the window that is mined.
const MINING_WANT: u64 = 500;
/// Share that sources above the limit per source must have, for such a limit to be worth looking for.
pub(super) const HEAVY_SHARE_MIN: f64 = 0.3;
/// No more rules are added when as many as are ever needed leave over more than this share of the
/// rise (design/detection.md § 3.10, rule explosion).
const LEFT_SHARE_MAX: f64 = 0.20;
/// Longest window mined, ms.
const MINING_WINDOW_MS_MAX: u64 = 10_000;
/// Least pause between two searches while they are given up, ms; while rules are in force, longer.
const SHED_PAUSE_MS: u64 = 1_000;
const SHED_RESIDUAL_MS: u64 = 5_000;

/// How far back visitors who are here now are looked for, ms, and records looked at of each half
/// second: at most 12,288 in all.
const PRESENT_MS: u64 = 12_000;
const PRESENT_EPOCH_RECORDS: usize = 512;
/// … and since when they must have been here at least, tenths of a second: longer than an attack is
/// known before its rule.
const PRESENT_AGO_DS: u32 = 50;
/// Why no limit per source is placed.
const NO_THROTTLE: &str = "a limit per source would touch visitors, and the site bears what comes";

impl Engine {
    /// What no rule in force explains, over the newest window that says enough.
    pub(super) fn unexplained(&self) -> Sample {
        self.newest_sample().unexplained(|record| self.book.covers(&record.attrs))
    }

    /// Everything that evidence about `now` may look at.
    pub(super) fn scene<'a>(&'a self, alarm: &'a Alarm, now: &'a Sample) -> Scene<'a> {
        let rise = self.window.rise(alarm.finding.expected_rps, self.now_ms);
        Scene {
            now_ms: self.now_ms,
            now_ds: self.now_ds(),
            onset_ms: alarm.finding.onset_ms,
            now,
            recent: &self.recent,
            behaviour_ms: BEHAVIOUR_MS,
            past: &alarm.past,
            sources: &self.sources,
            calendar: &self.calendar,
            expected_rps: alarm.finding.expected_unprompted_rps,
            per_source_per_10s: self.per_source.limit_per_10s(),
            rise_ms: rise.and_then(|rise| rise.took_ms),
            seed: alarm.past.revision,
            ablation: self.config.ablation,
        }
    }

    /// What visitors who have been here for a while sent in the last seconds.
    pub(super) fn present_visitors(&self) -> Vec<Record> {
        let now_ds = self.now_ds();
        let is_visitor = |record: &&Record| {
            let agent = record.attrs[Attr::UserAgent];
            let state = self.sources.find(record.source);
            state.is_some_and(|s| s.is_visitor(agent, now_ds, PRESENT_AGO_DS))
        };
        let epochs = self.recent.between(self.now_ms.saturating_sub(PRESENT_MS), self.now_ms);
        epochs
            .flat_map(|e| thin(e.records(), PRESENT_EPOCH_RECORDS))
            .filter(|r| is_visitor(&r))
            .collect()
    }

    /// The newest window that says enough.
    pub(super) fn newest_sample(&self) -> Sample {
        let (now_ms, want, span_ms_max) = (self.now_ms, MINING_WANT, MINING_WINDOW_MS_MAX);
        if self.config.ablation == Some(Ablation::Tumbling) {
            // The first epoch began with the first step.
            let first_ms = self.epoch_ms + 100;
            return self.recent.sample_of_seconds(first_ms, now_ms, want, span_ms_max);
        }
        self.recent.sample(now_ms, want, span_ms_max)
    }

    /// Finding → Signature: mines the unexplained rise, puts what it finds on trial.
    pub(super) fn search(&mut self) {
        let now_ms = self.now_ms;
        if !self.alarm.as_ref().is_some_and(|alarm| alarm.mining_due(now_ms)) {
            return;
        }
        let pause_ms = if self.book.active().is_empty() { SHED_PAUSE_MS } else { SHED_RESIDUAL_MS };
        if now_ms < self.mined_ms + pause_ms && self.shedding.give_up(Shed::Searches, 1) {
            return;
        }
        self.mined_ms = now_ms;
        let sample = self.unexplained();
        let present = self.present_visitors();
        let Some(alarm) = &mut self.alarm else { return };
        let expected_rps = alarm.finding.expected_unprompted_rps;
        let left_rps = sample.rate_rps() - expected_rps;
        if self.book.active().len() >= RULES_AT_EASE {
            let all = self.recent.sample(now_ms, MINING_WANT, MINING_WINDOW_MS_MAX);
            let excess_rps = all.rate_rps() - expected_rps;
            if left_rps > LEFT_SHARE_MAX * excess_rps {
                self.stop_adding(left_rps / excess_rps);
                return;
            }
        }
        let thin = prior::is_thin(&alarm.past, self.config.baseline_records_min);
        if thin && !prior::drowns(sample.rate_rps(), alarm.finding.expected_unprompted_rps) {
            alarm.refusal = Some(
                "too little past traffic is known to judge by, and the rise does not drown the site"
                    .to_owned(),
            );
            alarm.mined(now_ms, false, false);
            return;
        }
        let rise = Rise {
            now: &sample,
            expected_rps: alarm.finding.expected_unprompted_rps,
            past: &alarm.past,
            without: &[],
            present: &present,
            ablation: self.config.ablation,
        };
        let heavy = over_limit_share(&sample, &self.sources, self.per_source.limit_per_10s());
        let mut found = mine(&rise, Tier::Block, PENDING_MAX, &mut alarm.memo)
            .into_iter()
            .filter_map(|m| if thin { prior::narrowed(m, &sample, &alarm.past) } else { Some(m) })
            .map(|m| (m, Tier::Block))
            .collect::<Vec<_>>();
        alarm.heavy_share = heavy;
        if heavy > HEAVY_SHARE_MIN {
            found.extend(
                mine(&rise, Tier::Throttle, 2, &mut alarm.memo)
                    .into_iter()
                    .map(|m| (m, Tier::Throttle)),
            );
        }
        self.minings += 1;
        let any = !found.is_empty();
        for (mined, tier) in found {
            let known = self.book.has(&mined.signature)
                || alarm
                    .pending
                    .iter()
                    .any(|p| p.tier == tier && p.mined.signature == mined.signature);
            // Of each tier: what may not be blocked and waits for evidence that does not come must not
            // keep the limits out that would help meanwhile.
            let on_trial = alarm.pending.iter().filter(|p| p.tier == tier).count();
            if !known && on_trial < PENDING_MAX {
                alarm.pending.push(Pending {
                    mined,
                    tier,
                    measure: Measure::Requests,
                    since_ms: now_ms,
                    evidence: Vec::new(),
                    rejection: None,
                });
            }
        }
        if !any && alarm.pending.is_empty() {
            let why = if thin {
                "too little past traffic is known to judge by, and the rise is not made of \
                 requests that no browser sends"
            } else {
                "no description of the rise was found that spares the traffic known from before"
            };
            alarm.refusal = Some(why.to_owned());
        }
        alarm.mined(now_ms, any, !self.book.active().is_empty());
    }

    /// So many rules explain too little: the attack has no signature, and more rules would only hit
    /// more visitors.
    fn stop_adding(&mut self, left_share: f64) {
        let Some(alarm) = &mut self.alarm else { return };
        alarm.mined(self.now_ms, false, true);
        let why = format!(
            "{} rules are in force and {:.0} % of the rise is still unexplained; what it has in \
             common is not in its headers, so no more are added",
            self.book.active().len(),
            left_share * 100.0
        );
        let said = alarm.refusal.is_some() && alarm.stopped_adding;
        alarm.stopped_adding = true;
        if let (false, Some(account)) = (said, &mut self.account) {
            account.incident_mut().note(self.now_ms, TimelineKind::NothingPlaced, why.clone());
        }
        alarm.refusal = Some(why);
    }

    /// Signature → Plan: confirms what is on trial on the next sample, gathers evidence, places.
    pub(super) fn judge(&mut self) {
        let Some(mut alarm) = self.alarm.take() else { return };
        if !alarm.pending.is_empty() {
            let sample = self.unexplained();
            let mut pending = std::mem::take(&mut alarm.pending);
            let of_cost = |p: &Pending| p.measure == Measure::Cost;
            let slow = self.slow_to_judge_by(&mut alarm, pending.iter().any(of_cost));
            pending.retain_mut(|p| match (of_cost(p), &slow) {
                (false, _) => !self.decide(p, &mut alarm, &sample),
                (true, Some(slow)) => !self.decide(p, &mut alarm, slow),
                (true, None) => true,
            });
            alarm.pending = pending;
        }
        self.alarm = Some(alarm);
    }

    /// Tries one signature; true when it is off the list.
    pub(super) fn decide(
        &mut self,
        pending: &mut Pending,
        alarm: &mut Alarm,
        sample: &Sample,
    ) -> bool {
        let now_ms = self.now_ms;
        let known = &alarm.past.known;
        let per_record = sample.count as f64 / sample.records.len().max(1) as f64;
        let since_s = now_ms.saturating_sub(pending.since_ms).max(1) as f64 / 1000.0;
        let since_s = since_s.min(sample.span_ms as f64 / 1000.0);
        let matched = sample
            .records
            .iter()
            .filter(|r| {
                r.at_ms >= pending.since_ms
                    && pending.mined.signature.matches(&r.attrs, known)
                    // A rule placed a moment ago, perhaps in this very tick.
                    && !self.book.covers(&r.attrs)
            })
            .count() as f64
            * per_record;
        match pending.trial(matched / since_s, now_ms) {
            Trial::Waiting => return false,
            Trial::Failed => return true,
            Trial::Confirmed => {}
        }
        let normal_rps = pending.mined.projected.share() * alarm.finding.expected_rps;
        if pending.tier == Tier::Throttle && !self.may_throttle(matched / since_s, normal_rps) {
            alarm.refusal = Some(NO_THROTTLE.to_owned());
            return false;
        }
        if pending.tier == Tier::Block
            && let Some(why) = self.sight.blindness()
        {
            alarm.refusal = Some(why);
            return false;
        }
        let limit = self.per_source.limit_per_10s();
        let scene = match pending.measure {
            Measure::Requests => self.scene(alarm, sample),
            Measure::Cost => self.slow_scene(alarm, sample),
        };
        pending.evidence = gather(&pending.mined.signature, &scene);
        if prior::is_thin(&alarm.past, self.config.baseline_records_min) {
            let evidence = std::mem::take(&mut pending.evidence);
            pending.evidence = prior::completed(evidence, &pending.mined.signature, &scene);
        }
        let (action, projected) = match pending.tier {
            Tier::Block => (Action::Block, pending.mined.projected),
            Tier::Throttle => {
                (Action::Throttle { per_source_per_10s: limit }, self.per_source.over(limit))
            }
        };
        let signature = &pending.mined.signature;
        let rule = Rule {
            id: self.book.next_id(),
            signature: signature.clone(),
            known: known.clone(),
            action,
            words: self.names.signature(signature),
            predicates: signature.predicates().iter().map(|p| self.names.predicate(*p)).collect(),
            projected,
            evidence: pending.evidence.clone(),
            placed_at_ms: now_ms,
            expires_at_ms: now_ms + self.config.rule_ttl_ms,
        };
        match self.book.place(rule, normal_rps, now_ms) {
            Ok(()) => {
                let excess_rps = sample.rate_rps() - alarm.finding.expected_unprompted_rps;
                self.placed(alarm, Some(matched / since_s / excess_rps));
                alarm.want_backups(CHANGES.len(), now_ms);
                true
            }
            Err(why) => {
                alarm.refusal = Some(why.to_string());
                pending.rejection = Some(why);
                false
            }
        }
    }

    /// A rule came into force: the incident opens, if it was not open.
    /// `excess_share` is how much of the rise it describes; `None` if it was kept ready as a backup.
    pub(super) fn placed(&mut self, alarm: &Alarm, excess_share: Option<f64>) {
        self.mark_visitors();
        self.open_for_rule(alarm);
        let before = match self.book.active().last() {
            Some(active) => self.reached_before(&active.rule, alarm),
            None => 0,
        };
        if let (Some(account), Some(active)) = (&mut self.account, self.book.active().last()) {
            let found = match excess_share {
                Some(share) => format!(
                    "a signature was found that describes {:.0} % of the rise: {}",
                    share.clamp(0.0, 1.0) * 100.0,
                    active.rule.words
                ),
                None => format!(
                    "the attack changed, and a signature that had been kept ready describes it: {}",
                    active.rule.words
                ),
            };
            account.incident_mut().note(self.now_ms, TimelineKind::SignatureFound, found);
            account.rule_placed(active, self.config.mode, before, self.now_ms);
            self.stored_ms = 0;
        }
    }

    /// Estimates how many requests since onset the rule would have matched.
    pub(super) fn reached_before(&self, rule: &Rule, alarm: &Alarm) -> u64 {
        let from_ms = alarm.finding.onset_ms.saturating_sub(500);
        self.recent
            .between(from_ms, self.now_ms)
            .map(|epoch| {
                let matched =
                    epoch.records().iter().filter(|r| r.passed && rule.matches(&r.attrs)).count()
                        as u64;
                matched * epoch.count() / (epoch.records().len() as u64).max(1)
            })
            .sum()
    }
}

/// Share of a sample sent by sources above the per-source limit.
fn over_limit_share(sample: &Sample, sources: &Sources, limit_per_10s: u32) -> f64 {
    let over = sample
        .records
        .iter()
        .filter(|r| sources.find(r.source).is_some_and(|s| s.window_count() > limit_per_10s))
        .count();
    over as f64 / sample.records.len().max(1) as f64
}
