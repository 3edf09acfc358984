//! The incident's life: opened by a rule or by a rise that lasts, kept up to date, closed.

use floodwall_model::incident::TimelineKind;
use floodwall_model::{Attr, Incident, IncidentVerdict};

use super::{Effect, Engine};
use crate::account::Account;
use crate::alarm::Alarm;
use crate::evidence::Scene;
use crate::status::DeclaredEvent;

/// Incidents are handed out for storing at least this often while open, ms.
const ACCOUNT_EVERY_MS: u64 = 5_000;
/// A rise without a rule opens an incident after so long, ms, …
const RISE_INCIDENT_MS: u64 = 10_000;
/// … and from this multiple of the expected rate…
const RISE_INCIDENT_FACTOR: f64 = 5.0;
/// … or this one of what no page asks for, which comes far more evenly.
const RISE_INCIDENT_UNPROMPTED_FACTOR: f64 = 1.5;
/// A crowd takes at least this long to arrive, ms. What is there at once is not called one, whatever
/// it looks like.
const CROWD_RISE_MS_MIN: u64 = 2_000;
/// Paths of a declared event that the account names; of the others it tells the number.
const PATHS_NAMED: usize = 5;

impl Engine {
    /// Opens the incident of an attack that a rule was placed against, or takes up the last one:
    /// waves less than an hour apart are one attack.
    pub(super) fn open_for_rule(&mut self, alarm: &Alarm) {
        let now_ms = self.now_ms;
        let unnamed = self.account.as_ref().is_none_or(|a| a.incident().rules.is_empty());
        if unnamed && let Some(mut account) = self.closed.take() {
            // A rise that nobody had named turns out to be a wave of what came before.
            if let Some(mut rise) = self.account.take() {
                let note = format!("it goes on as a wave of incident {}", account.incident().id);
                rise.incident_mut().note(now_ms, TimelineKind::Closed, note);
                rise.incident_mut().closed_at_ms = Some(now_ms);
                self.superseded = Some(Box::new(rise.snapshot(now_ms)));
            }
            account.reopen(now_ms);
            self.account = Some(account);
            self.stored_ms = 0;
        }
        self.open_incident(alarm);
        let first = self.book.active().len() == 1;
        let rise = self.window.rise(alarm.finding.expected_rps, now_ms);
        if let (true, Some(account)) = (first, &mut self.account) {
            let began_ms = rise.map_or(alarm.finding.onset_ms, |r| r.began_ms);
            account.wave_began(began_ms.max(alarm.finding.onset_ms).min(now_ms), now_ms);
        }
    }

    fn open_incident(&mut self, alarm: &Alarm) {
        if self.account.is_some() {
            return;
        }
        let finding = &alarm.finding;
        // The alarm may have been opened by something small before; the account begins with what
        // it is about.
        let rise = self.window.rise(finding.expected_rps, self.now_ms);
        let onset_ms = rise.map_or(finding.onset_ms, |r| r.began_ms).max(finding.onset_ms);
        let mut incident = Incident {
            id: self.next_incident_id,
            mode: self.config.mode,
            onset_at_ms: onset_ms,
            opened_at_ms: self.now_ms,
            expected_rps: finding.expected_rps,
            baseline_records: alarm.past.records() as u64,
            baseline_span_s: alarm.past.span_s,
            blind_spots: blind_spots(self.kernel_dropped.is_some()),
            ..Incident::default()
        };
        self.next_incident_id += 1;
        self.incidents += 1;
        let first = self.dear_words().unwrap_or_else(|| {
            format!(
                "the rate left what is expected ({1:.1} requests/s); it is {0:.0} requests/s by now",
                self.stats.per_1s_rps, finding.expected_rps
            )
        });
        incident.note(onset_ms, TimelineKind::Onset, first);
        incident.note(self.now_ms, TimelineKind::Opened, "incident opened".to_owned());
        for event in self.calendar.at_hand(self.now_ms) {
            incident.note(self.now_ms, TimelineKind::Note, event_words(&event, self.now_ms));
        }
        incident.top_paths = self.top_paths();
        self.account = Some(Account::open(incident, self.now_ms));
        self.stored_ms = 0;
    }

    pub(super) fn top_paths(&self) -> Vec<floodwall_model::incident::Counted> {
        let sample = self.unexplained();
        let mut counts = std::collections::HashMap::new();
        for record in &sample.records {
            *counts.entry(record.attrs[Attr::PathTemplate]).or_insert(0u32) += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let all = sample.records.len().max(1) as f64;
        counts
            .into_iter()
            .take(10)
            .map(|(id, count)| floodwall_model::incident::Counted {
                name: self.names.text(Attr::PathTemplate, id),
                share: f64::from(count) / all,
            })
            .collect()
    }

    /// Keeps the incident: opens one for a long rise without a rule, closes it when it is over.
    pub(super) fn account_tick(&mut self, effects: &mut Vec<Effect>) {
        let now_ms = self.now_ms;
        self.forget_closed();
        effects.extend(self.superseded.take().map(Effect::Incident));
        self.open_for_rise();
        if now_ms >= self.stored_ms + ACCOUNT_EVERY_MS {
            self.advise();
        }
        let in_force = !self.book.active().is_empty();
        let goes_on = self.book.matching() || self.kernel_active();
        let hot = self.onset.sustained(&self.stats);
        let blindness = self.sight.blindness_to_note(self.account.is_some());
        let Some(account) = &mut self.account else { return };
        if let Some(why) = blindness {
            account.incident_mut().note(now_ms, TimelineKind::Note, why);
            account.incident_mut().blind_spots.push(
                "At times more than a twentieth of the requests was not observed: counts and shares \
                 of that time are those of the rest."
                    .to_owned(),
            );
            self.stored_ms = 0;
        }
        // Once an attack has been named, a crowd that comes after it does not prolong it.
        let unnamed = account.incident().rules.is_empty();
        account.tick(&self.stats, goes_on || (unnamed && hot));
        let incident = account.incident_mut();
        incident.totals.kernel_dropped_packets = self.kernel_dropped;
        incident.totals.observations_lost = self.observations_lost;
        let over = !in_force && now_ms >= account.last_active_ms() + self.config.incident_close_ms;
        if over || self.alarm.is_none() {
            let incident = account.incident_mut();
            incident.note(now_ms, TimelineKind::Closed, "incident closed".to_owned());
            incident.closed_at_ms = Some(now_ms);
            effects.push(Effect::Incident(Box::new(account.snapshot(now_ms))));
            // A rise that no rule was placed against is over when it is over.
            self.closed = self.account.take().filter(|a| !a.incident().rules.is_empty());
        } else if now_ms >= self.stored_ms + ACCOUNT_EVERY_MS {
            self.stored_ms = now_ms;
            effects.push(Effect::Incident(Box::new(account.snapshot(now_ms))));
        }
    }

    /// Lets go of an incident that nothing can be a wave of any more, and of what was withdrawn in it.
    fn forget_closed(&mut self) {
        let merge_ms = self.config.incident_merge_ms;
        let over = |a: &mut Account| self.now_ms >= a.last_active_ms() + merge_ms;
        if self.closed.take_if(over).is_some() {
            self.book.forget_withdrawn();
        }
    }

    /// A rise that lasts and that nothing was placed against is worth an account too: afterwards
    /// somebody will ask whether it was an attack.
    pub(super) fn open_for_rise(&mut self) {
        let Some(alarm) = self.alarm.take() else { return };
        // The alarm may be older than the rise: something small had opened it.
        let rise = self.window.rise(alarm.finding.expected_rps, self.now_ms);
        let began_ms = rise.map_or(alarm.opened_ms(), |r| r.began_ms).max(alarm.opened_ms());
        let lasts = self.now_ms >= began_ms + RISE_INCIDENT_MS && alarm.hot(self.now_ms);
        let far_above = |rate_rps: f64, expected_rps: f64, factor: f64, floor_rps: f64| {
            rate_rps > expected_rps * factor + floor_rps
        };
        let finding = &alarm.finding;
        let (all_rps, alone_rps) = (self.stats.per_10s_rps, self.stats.unprompted_10s_rps);
        let large = far_above(all_rps, finding.expected_rps, RISE_INCIDENT_FACTOR, 10.0)
            || far_above(
                alone_rps,
                finding.expected_unprompted_rps,
                RISE_INCIDENT_UNPROMPTED_FACTOR,
                5.0,
            );
        let lasts = lasts && large || self.dear_for_long();
        if self.account.is_none() && lasts {
            self.open_incident(&alarm);
            self.note_nothing_placed(&alarm);
        }
        self.alarm = Some(alarm);
    }

    pub(super) fn note_nothing_placed(&mut self, alarm: &Alarm) {
        let now_ms = self.now_ms;
        let evidence = self.crowd_view(alarm);
        let rise = self.window.rise(alarm.finding.expected_rps, now_ms);
        let arrived = rise.and_then(|r| r.took_ms).is_some_and(|ms| ms >= CROWD_RISE_MS_MIN);
        // Among many other requests a few dear ones do not show; all together look like a crowd.
        let crowd = arrived && !self.dear() && is_crowd(&evidence);
        let Some(account) = &mut self.account else { return };
        let incident = account.incident_mut();
        let why = alarm.refusal.as_deref().unwrap_or("the evidence is not complete");
        incident.note(now_ms, TimelineKind::NothingPlaced, format!("no rule placed: {why}"));
        if crowd {
            incident.verdict = IncidentVerdict::Crowd;
        }
        incident.evidence = evidence;
    }

    /// Evidence about the rise as a whole, for the account only.
    pub(super) fn crowd_view(&self, alarm: &Alarm) -> Vec<floodwall_model::Evidence> {
        let sample = self.unexplained();
        let scene = Scene { rise_ms: None, ..self.scene(alarm, &sample) };
        crate::evidence::gather_overall(&scene)
    }

    /// Closes what is open as if the incident's time had run out: the recording is over.
    pub fn finish(&mut self) -> Vec<Effect> {
        let Some(mut account) = self.account.take() else { return Vec::new() };
        account.read_rules(&self.book);
        let note = "the record ends here; whether the incident went on is not known";
        account.incident_mut().note(self.now_ms, TimelineKind::Note, note.to_owned());
        vec![Effect::Incident(Box::new(account.snapshot(self.now_ms)))]
    }
}

/// Whether the evidence makes a rise a crowd: the same software as always, behaving as always, and
/// something that draws it.
fn is_crowd(evidence: &[floodwall_model::Evidence]) -> bool {
    use floodwall_model::Family;
    let of = |family| evidence.iter().find(|e| e.family == family).map(|e| e.log_odds);
    of(Family::Implementation).is_some_and(|l| l <= -2.0)
        && of(Family::Behaviour).is_some_and(|l| l <= -1.0)
        && of(Family::Provenance).is_some_and(|l| l < 0.0)
}

fn event_words(event: &DeclaredEvent, now_ms: u64) -> String {
    let DeclaredEvent { name, paths, .. } = event;
    let when = if now_ms < event.from_ms { "begins soon" } else { "lasts" };
    let paths = match paths.split_at_checked(PATHS_NAMED) {
        Some((named, rest)) if !rest.is_empty() => {
            format!("{} and {} more", named.join(", "), rest.len())
        }
        _ => paths.join(", "),
    };
    format!("the declared event “{name}” {when}: visitors were expected on {paths}")
}

fn blind_spots(kernel_filter: bool) -> Vec<String> {
    let mut spots = vec![
        "Requests that never reached this host (a full line upstream, a filter in front) are not \
         counted."
            .to_owned(),
        "Visitors who were refused and had not behaved like visitors before cannot be told from \
         attackers; the measured collateral does not include them."
            .to_owned(),
        "Nothing here observes what leaves the host by other ways than through Floodwall."
            .to_owned(),
        "Sources are addresses, not people: several visitors may share one, and one attacker may \
         use many."
            .to_owned(),
    ];
    if kernel_filter {
        spots.push(
            "Packets that the kernel filter dropped were counted as packets; how many requests \
             they would have become is not known."
                .to_owned(),
        );
    }
    spots
}
