//! The incidents of a recording, and how each stood when the recording ended. Logs and captures
//! share it.
//!
//! It must never call an incident closed that was still under way in the last seconds recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use floodwall_model::{Incident, RuleId};

/// Incidents kept. When full: further ones are only counted.
const INCIDENTS_MAX: usize = 10_000;

/// Rules whose last match is remembered. When full: forgotten all at once; an incident that lasted
/// beyond the recording's end may then be told as closed.
const RULES_REMEMBERED_MAX: usize = 4_096;

/// The end of a recording: what happened in it tells whether an incident outlasted it, ms.
const LAST_MS: u64 = 10_000;

/// Rate in the last [`LAST_MS`], as a multiple of the expected rate, above which an incident that
/// was open has not ended.
const STILL_RAISED_FACTOR: f64 = 1.5;

/// Silent time given to open incidents to close after a recording's end, ms.
pub(super) const AFTERMATH_MS_MAX: u64 = 1_800_000;

/// Time between two steps after a recording's end, ms.
pub(super) const AFTERMATH_STEP_MS: u64 = 1_000;

/// An incident, and how it stood when the recording ended.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) incident: Incident,
    /// When it closed; `None` if the recording ended before.
    pub(crate) closed_at_ms: Option<u64>,
    /// It was calm at the end, but closed only in the silence assumed after it.
    pub(crate) closed_after_end: bool,
}

/// The incidents so far.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    known: BTreeMap<u64, Incident>,
    open: BTreeSet<u64>,
    /// Incidents beyond [`INCIDENTS_MAX`].
    pub(crate) left_out: u64,
    last_match_ms: HashMap<RuleId, u64>,
    last_ban_ms: u64,
    /// (second, arrivals) of the newest seconds.
    newest: VecDeque<(u64, u64)>,
}

impl Incidents {
    /// Takes an incident's newest record, which replaces the one with its number.
    pub(crate) fn note(&mut self, incident: Incident) {
        if !self.known.contains_key(&incident.id) && self.known.len() >= INCIDENTS_MAX {
            self.left_out += 1;
            return;
        }
        match incident.closed_at_ms {
            None => self.open.insert(incident.id),
            Some(_) => self.open.remove(&incident.id),
        };
        self.known.insert(incident.id, incident);
    }

    /// A rule matched.
    pub(crate) fn note_match(&mut self, rule: RuleId, at_ms: u64) {
        if self.last_match_ms.len() >= RULES_REMEMBERED_MAX {
            self.last_match_ms.clear();
        }
        self.last_match_ms.insert(rule, at_ms);
    }

    /// A ban held something back.
    pub(crate) fn note_ban(&mut self, at_ms: u64) {
        self.last_ban_ms = at_ms;
    }

    /// A request or packet arrived. Returns its second, s since the epoch, and how many arrived in
    /// it so far.
    pub(crate) fn count(&mut self, at_ms: u64) -> (u64, u64) {
        let second = at_ms / 1_000;
        if let Some((newest, count)) = self.newest.back_mut()
            && *newest == second
        {
            *count += 1;
            return (second, *count);
        }
        self.newest.push_back((second, 1));
        if self.newest.len() > (LAST_MS / 1_000) as usize + 1 {
            self.newest.pop_front();
        }
        (second, 1)
    }

    /// Whether any is open.
    pub(crate) fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// All of them, as they stood at `end_ms`, when the recording ended.
    pub(crate) fn told(&self, end_ms: u64) -> Vec<Told> {
        let tell = |incident: &Incident| {
            let after_end = incident.closed_at_ms.is_some_and(|at_ms| at_ms > end_ms);
            let outlasted = after_end && self.still_on(incident, end_ms);
            Told {
                incident: if outlasted { as_of(incident, end_ms) } else { incident.clone() },
                closed_at_ms: incident.closed_at_ms.filter(|_| !outlasted),
                closed_after_end: after_end && !outlasted,
            }
        };
        self.known.values().map(tell).collect()
    }

    /// Whether the incident was still under way when the recording ended: a rule of it matched, a
    /// ban held something back, or the rate was still raised, in the last [`LAST_MS`].
    fn still_on(&self, incident: &Incident, end_ms: u64) -> bool {
        let last_from_ms = end_ms.saturating_sub(LAST_MS);
        let matched = incident.rules.iter().any(|rule| {
            self.last_match_ms.get(&rule.id).is_some_and(|at_ms| *at_ms >= last_from_ms)
        });
        let of_last = |(second, _): &&(u64, u64)| second * 1_000 >= last_from_ms;
        let count: u64 = self.newest.iter().filter(of_last).map(|(_, count)| count).sum();
        let per_s = count as f64 / (LAST_MS as f64 / 1e3);
        let raised = per_s > incident.expected_rps * STILL_RAISED_FACTOR;
        matched || raised || self.last_ban_ms >= last_from_ms.max(1)
    }
}

/// The incident without what was only noted in the silence assumed after the recording's end.
fn as_of(incident: &Incident, end_ms: u64) -> Incident {
    let mut told = incident.clone();
    told.closed_at_ms = None;
    told.timeline.retain(|entry| entry.at_ms <= end_ms);
    for rule in &mut told.rules {
        if rule.ended_at_ms.is_some_and(|at_ms| at_ms > end_ms) {
            (rule.ended_at_ms, rule.ended_why) = (None, None);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(id: u64, closed_at_ms: Option<u64>) -> Incident {
        Incident { id, closed_at_ms, ..Incident::default() }
    }

    #[test]
    fn a_later_record_of_an_incident_replaces_the_earlier() {
        let mut incidents = Incidents::default();
        incidents.note(incident(1, None));
        assert!(incidents.any_open());
        incidents.note(incident(1, Some(7)));
        assert!(!incidents.any_open());
        assert_eq!(incidents.told(10).len(), 1);
    }

    #[test]
    fn incidents_beyond_the_maximum_are_counted() {
        let mut incidents = Incidents::default();
        (0..INCIDENTS_MAX as u64 + 3).for_each(|id| incidents.note(incident(id, Some(1))));
        incidents.note(incident(0, Some(2)));
        assert_eq!((incidents.told(10).len(), incidents.left_out), (INCIDENTS_MAX, 3));
    }

    /// One was told as "still on when the capture ended" and as closed ten minutes later.
    #[test]
    fn what_outlasts_a_recording_has_no_end_in_it() {
        use floodwall_model::incident::TimelineKind;
        let mut incidents = Incidents::default();
        let mut outlasting = incident(1, Some(700_000));
        outlasting.note(90_000, TimelineKind::Opened, "incident opened".to_owned());
        outlasting.note(700_000, TimelineKind::Closed, "incident closed".to_owned());
        incidents.note(outlasting);
        for _ in 0..100 {
            incidents.count(99_000);
        }
        let told = incidents.told(100_000);
        assert_eq!((told[0].closed_at_ms, told[0].incident.closed_at_ms), (None, None));
        let texts: Vec<&str> = told[0].incident.timeline.iter().map(|e| e.text.as_str()).collect();
        assert_eq!(texts, ["incident opened"]);
    }

    #[test]
    fn rules_beyond_the_maximum_make_room_for_the_newest() {
        let mut incidents = Incidents::default();
        (0..=RULES_REMEMBERED_MAX as u32).for_each(|id| incidents.note_match(RuleId(id), 5));
        assert_eq!(incidents.last_match_ms.len(), 1);
        assert!(incidents.last_match_ms.contains_key(&RuleId(RULES_REMEMBERED_MAX as u32)));
    }

    #[test]
    fn an_incident_is_still_on_while_its_rule_matches_or_the_rate_is_raised() {
        let mut incidents = Incidents::default();
        let calm = Incident { expected_rps: 10.0, ..Incident::default() };
        assert!(!incidents.still_on(&calm, 100_000));
        for arrival in 0..10 * 12 {
            incidents.count(90_000 + arrival / 12 * 1_000);
        }
        assert!(!incidents.still_on(&calm, 100_000));
        assert!(incidents.still_on(&Incident { expected_rps: 5.0, ..calm.clone() }, 100_000));
        incidents.note_ban(95_000);
        assert!(incidents.still_on(&calm, 100_000));
    }
}
