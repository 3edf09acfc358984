//! What is few and dear: the search for a rise that shows in the origin's work and not in the number
//! of requests.
//!
//! Finding → Signature as in `search`, over the last minute instead of the last seconds and with
//! records weighed by cost. What it finds stands the same trial and needs the same evidence. It must
//! never look into a rise that shows in the number of requests: those, crowds among them, are for
//! the plain search alone.

use floodwall_model::Attr;

use super::Engine;
use crate::alarm::Alarm;
use crate::amounts::Amount;
use crate::evidence::Scene;
use crate::miner::{Mined, Rise, Tier, mine};
use crate::pending::{Measure, Pending};
use crate::prior;
use crate::recent::Sample;
use crate::rules::RULES_AT_EASE;
use crate::shed::Shed;
use crate::weighed::Scale;

/// Not before the alarm is so old, ms: what the plain search describes it has described by then.
const DEAR_AFTER_MS: u64 = 3_000;
/// Pause between two searches, ms.
const DEAR_EVERY_MS: u64 = 1_000;
/// Pause between two looks at what was found, ms.
const DEAR_JUDGED_EVERY_MS: u64 = 500;
/// Shortest and longest stretch looked at, s: since the cost rose.
const DEAR_SPAN_S_MIN: f64 = 10.0;
pub(super) const DEAR_SPAN_S_MAX: f64 = 60.0;
/// Signatures put on trial by one search.
const DEAR_FOUND_MAX: usize = 4;
/// A rise of the cost to this multiple of what was expected, …
const DEAR_INCIDENT_FACTOR: f64 = 1.5;
/// … for so long, s, is worth an account though nothing was placed against it.
const DEAR_INCIDENT_S: f64 = 30.0;
/// Pages named as dear: those that make up at least this share of the work that was not expected.
const DEAR_SHARE_MIN: f64 = 0.2;
const DEAR_NAMED_MAX: usize = 3;

/// A page that costs the origin much.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DearPage {
    pub(super) path: String,
    /// What one request for it usually costs, ms.
    pub(super) each_ms: f64,
    /// Requests for it now, requests/s.
    pub(super) rps: f64,
    /// Share of the origin's unexpected work.
    pub(super) share: f64,
}

impl Engine {
    /// Whether requests seem to cost the origin more than expected although they are hardly more.
    pub(super) fn dear(&self) -> bool {
        self.onset.amounts.suspicious(Amount::Cost) && self.weak_rise()
    }

    /// Whether that lasts and is worth an account.
    pub(super) fn dear_for_long(&self) -> bool {
        let amounts = &self.onset.amounts;
        let expected = amounts.expected(Amount::Cost);
        self.dear()
            && amounts.raised(Amount::Cost)
            && amounts.risen_s(Amount::Cost) >= DEAR_INCIDENT_S
            && amounts.present(Amount::Cost) > expected * DEAR_INCIDENT_FACTOR
    }

    fn scale(&self, expected_rps: f64) -> Scale<'_> {
        let amounts = &self.onset.amounts;
        let one_ms = match amounts.expected(Amount::Cost) / expected_rps.max(1e-9) {
            mean_ms if mean_ms.is_finite() && mean_ms > 0.0 => mean_ms,
            _ => self.costs.mean_ms(),
        };
        Scale { costs: &self.costs, most_ms: amounts.most(Amount::Cost), one_ms }
    }

    /// What came since the cost rose and no rule in force explains.
    pub(super) fn unexplained_slow(&self) -> Sample {
        let risen_s = self.onset.amounts.risen_s(Amount::Cost);
        let span_s = risen_s.clamp(DEAR_SPAN_S_MIN, DEAR_SPAN_S_MAX);
        let sample = self.slow.sample(self.now_ms, u64::MAX, (span_s * 1_000.0) as u64);
        sample.unexplained(|record| self.book.covers(&record.attrs))
    }

    /// What signatures found by cost are judged by, when that is due: a minute changes slowly, and
    /// looking through it costs as much as a search.
    pub(super) fn slow_to_judge_by(&self, alarm: &mut Alarm, wanted: bool) -> Option<Sample> {
        let due = wanted && self.now_ms >= alarm.dear_judged_ms + DEAR_JUDGED_EVERY_MS;
        due.then(|| {
            alarm.dear_judged_ms = self.now_ms;
            self.unexplained_slow()
        })
    }

    /// Everything that evidence about `now` may look at, of a minute instead of seconds: a few
    /// requests a second are a few sources.
    pub(super) fn slow_scene<'a>(&'a self, alarm: &'a Alarm, now: &'a Sample) -> Scene<'a> {
        let behaviour_ms = (DEAR_SPAN_S_MAX * 1_000.0) as u64;
        Scene { recent: &self.slow, behaviour_ms, ..self.scene(alarm, now) }
    }

    /// Finding → Signature, by cost.
    pub(super) fn search_dear(&mut self) {
        let now_ms = self.now_ms;
        let Some(alarm) = self.alarm.take() else { return };
        let on_trial = alarm.pending.iter().any(|p| p.measure == Measure::Cost);
        let next_ms = (alarm.dear_ms + DEAR_EVERY_MS).max(alarm.opened_ms() + DEAR_AFTER_MS);
        let due = now_ms >= next_ms && !on_trial;
        let crowded = self.book.active().len() >= RULES_AT_EASE;
        let thin = prior::is_thin(&alarm.past, self.config.baseline_records_min);
        let looks = due && !crowded && !thin && self.dear();
        self.alarm = Some(alarm);
        if looks && !self.shedding.give_up(Shed::Searches, 1) {
            self.look_for_dear();
        }
    }

    fn look_for_dear(&mut self) {
        let now_ms = self.now_ms;
        let sample = self.unexplained_slow();
        let present = self.present_visitors();
        let Some(mut alarm) = self.alarm.take() else { return };
        let expected_rps = alarm.finding.expected_unprompted_rps;
        let scale = self.scale(expected_rps);
        let past = match alarm.dear_past.take() {
            Some(past) => past,
            None => Box::new(scale.past(&alarm.past)),
        };
        let now = scale.now(&sample);
        let rise = Rise {
            now: &now,
            expected_rps,
            past: &past,
            without: &[],
            present: &present,
            ablation: self.config.ablation,
        };
        let found = mine(&rise, Tier::Block, DEAR_FOUND_MAX, &mut alarm.memo);
        self.minings += 1;
        alarm.dear_ms = now_ms;
        alarm.dear_past = Some(past);
        for mined in found {
            self.try_dear(&mut alarm, mined, &sample);
        }
        self.alarm = Some(alarm);
    }

    fn try_dear(&self, alarm: &mut Alarm, mined: Mined, sample: &Sample) {
        if self.book.has(&mined.signature) {
            return;
        }
        let matches = |r: &&_| {
            let record: &crate::record::Record = r;
            mined.signature.matches(&record.attrs, &alarm.past.known)
        };
        let matched = sample.records.iter().filter(matches).count() as f64;
        let matched_rps = matched * sample.weight_rps();
        alarm.pending.push(Pending {
            mined: Mined { matched_rps, ..mined },
            tier: Tier::Block,
            measure: Measure::Cost,
            since_ms: self.now_ms,
            evidence: Vec::new(),
            rejection: None,
        });
    }

    /// What the record of such a rise begins with.
    pub(super) fn dear_words(&self) -> Option<String> {
        let amounts = &self.onset.amounts;
        let (now_ms, expected_ms) = (amounts.present(Amount::Cost), amounts.expected(Amount::Cost));
        self.dear().then(|| {
            format!(
                "what is asked for costs the origin {now_ms:.0} ms of its time a second, and \
                 {expected_ms:.0} ms were expected; there are hardly more requests than usual \
                 ({:.0} a second)",
                self.stats.per_10s_rps
            )
        })
    }

    /// The pages whose requests make up the work that was not expected, the most first.
    pub(super) fn dear_pages(&self) -> Vec<DearPage> {
        let Some(alarm) = &self.alarm else { return Vec::new() };
        let sample = self.unexplained_slow();
        let (each_rps, past) = (sample.weight_rps(), &alarm.past);
        let before_rps = alarm.finding.expected_unprompted_rps / past.unprompted().max(1) as f64;
        let mut pages = std::collections::HashMap::new();
        for record in &sample.records {
            let (requests, cost_ms) =
                pages.entry(record.attrs[Attr::PathTemplate]).or_insert((0.0, 0.0));
            *requests += 1.0;
            *cost_ms += self.costs.usual_ms(&record.attrs);
        }
        let amounts = &self.onset.amounts;
        let present_ms: f64 = pages.values().map(|(_, cost_ms)| cost_ms * each_rps).sum();
        let excess_ms = (present_ms - amounts.expected(Amount::Cost)).max(1e-9);
        let mut dear: Vec<DearPage> = pages
            .into_iter()
            .map(|(id, (requests, cost_ms))| {
                let each_ms = cost_ms / requests;
                let rps = requests * each_rps;
                let before = f64::from(past.count(Attr::PathTemplate, id)) * before_rps;
                let share = (rps - before) * each_ms / excess_ms;
                DearPage { path: self.names.text(Attr::PathTemplate, id), each_ms, rps, share }
            })
            .filter(|page| page.share >= DEAR_SHARE_MIN)
            .collect();
        dear.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.path.cmp(&b.path)));
        dear.truncate(DEAR_NAMED_MAX);
        dear
    }
}
