//! The incident: the record from which the account of an attack is written.
//!
//! It holds what was measured and who may have been hurt, never a claim. Sentences are made from it
//! elsewhere; what was not measured is `None` here and "cannot tell" there.

use serde::{Deserialize, Serialize};

use crate::limits::{INCIDENT_RULES_MAX, INCIDENT_WAVES_MAX, TIMELINE_ENTRIES_MAX};
use crate::packet::PacketAccount;
use crate::plan::{Action, Collateral, Evidence, Mode, RuleId};

/// What the evidence says the rise was.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentVerdict {
    /// Two kinds of evidence agree that it was an attack.
    Attack,
    /// Many honest visitors at once.
    Crowd,
    /// The evidence does not decide.
    #[default]
    CannotTell,
}

/// Highest mean rates, each with its window named, requests per second.
#[derive(Copy, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    /// Over one second.
    pub per_1s: f64,
    /// Over ten seconds.
    pub per_10s: f64,
    /// Over one minute.
    pub per_60s: f64,
}

/// Counts over the whole incident, in requests unless named otherwise.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Received.
    pub received: u64,
    /// Sent on towards the origin.
    pub passed: u64,
    /// Blocked by a rule.
    pub blocked: u64,
    /// Throttled by a rule.
    pub throttled: u64,
    /// Refused for another reason (origin saturated, malformed, over a limit).
    pub refused: u64,
    /// In shadow mode: would have been blocked or throttled.
    pub would_stop: u64,
    /// Matched an attack rule and yet reached the origin: before the rule, or in shadow mode.
    pub attack_reached_origin: u64,
    /// Sources banned.
    pub sources_banned: u64,
    /// Packets the kernel dropped because of a ban; `None` where no kernel filter ran.
    pub kernel_dropped_packets: Option<u64>,
    /// Observations lost on the way to the engine, so that every count above is a lower bound.
    pub observations_lost: u64,
}

/// One rule's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleRecord {
    /// Its number.
    pub id: RuleId,
    /// The signature in words.
    pub words: String,
    /// Its predicates in words.
    pub predicates: Vec<String>,
    /// What it did.
    pub action: Action,
    /// When it came into force, ms since the epoch.
    pub first_at_ms: u64,
    /// When it went out of force; `None` while in force.
    pub ended_at_ms: Option<u64>,
    /// Why it went out of force.
    pub ended_why: Option<String>,
    /// How often it came back after its attack had gone quiet.
    #[serde(default)]
    pub returns: u32,
    /// Requests matched while in force.
    pub matched: u64,
    /// Honest traffic it would have hit before onset.
    pub projected: Collateral,
    /// Requests matched that came from sources which had behaved like people before
    /// (`hits`), among all requests of such sources while the rule was in force (`records`).
    pub measured: Collateral,
    /// What else was measured of whom it hits.
    #[serde(default)]
    pub live: LiveEstimates,
    /// Why it was placed.
    pub evidence: Vec<Evidence>,
}

/// What was expected, and what came, requests/s.
#[derive(Copy, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Expected.
    pub expected_rps: f64,
    /// Came.
    pub observed_rps: f64,
}

/// Whom a rule hits, as measured while it was in force, beside [`RuleRecord::measured`].
#[derive(Copy, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveEstimates {
    /// Requests let through for a trial although the rule matched them.
    pub held_back_requests: u64,
    /// Sources let through for a trial that had time to behave (`records`), and those of them that
    /// went on as visitors do (`hits`).
    pub held_back: Collateral,
    /// Requests of known visitors that reached the site; `None` where it cannot be told because too
    /// little was known before, or because the site itself suffered.
    pub visitors: Option<Forecast>,
}

/// What a timeline entry tells.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimelineKind {
    /// The first sign.
    Onset,
    /// The incident was opened.
    Opened,
    /// A signature was found and is being confirmed.
    SignatureFound,
    /// A rule came into force.
    RulePlaced,
    /// A rule went out of force.
    RuleEnded,
    /// Nothing was placed, and why.
    NothingPlaced,
    /// The attack is held.
    Mitigated,
    /// The incident was closed.
    Closed,
    /// Something the reader must know about the record itself.
    Note,
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When, ms since the epoch.
    pub at_ms: u64,
    /// What kind of event.
    pub kind: TimelineKind,
    /// What happened, in words.
    pub text: String,
}

/// A counted name, for the tables of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// The name.
    pub name: String,
    /// Requests in the sampled excess.
    pub share: f64,
}

/// One wave of an attack: from its first sign until nothing matched any more.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// Its first sign, ms since the epoch.
    pub began_at_ms: u64,
    /// When the first rule against it was in force, ms since the epoch.
    pub met_at_ms: u64,
    /// When a rule last matched; `None` while rules are in force.
    pub ended_at_ms: Option<u64>,
}

/// One incident. A field that an older record lacks reads as its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Incident {
    /// Its number.
    pub id: u64,
    /// Whether we acted or only recorded.
    pub mode: Mode,
    /// The first sign, ms since the epoch.
    pub onset_at_ms: u64,
    /// When it was opened, ms since the epoch.
    pub opened_at_ms: u64,
    /// When the first rule came into force; `None` if none did.
    pub mitigated_at_ms: Option<u64>,
    /// When it was closed; `None` while it lasts.
    pub closed_at_ms: Option<u64>,
    /// When this record was last brought up to date, ms since the epoch.
    pub updated_at_ms: u64,
    /// What it was.
    pub verdict: IncidentVerdict,
    /// Expected rate at onset, requests/s.
    pub expected_rps: f64,
    /// Records of past traffic that the judgement rests on.
    pub baseline_records: u64,
    /// Seconds of past traffic that the judgement rests on.
    pub baseline_span_s: u64,
    /// Highest rates.
    pub peaks: Peaks,
    /// Counts.
    pub totals: Totals,
    /// Distinct sources (addresses, IPv6 by /64) seen during the incident, estimated.
    pub sources: u64,
    /// Distinct sources that an attack rule matched, estimated.
    pub attack_sources: u64,
    /// Networks (/24, /48) with the largest share of matched requests.
    pub top_networks: Vec<Counted>,
    /// Path patterns with the largest share of the rise.
    pub top_paths: Vec<Counted>,
    /// Evidence about the rise as a whole, for the verdict where no rule was placed.
    pub evidence: Vec<Evidence>,
    /// What was measured of packets; `None` for an incident of requests.
    pub packets: Option<PacketAccount>,
    /// Every rule placed, oldest first.
    pub rules: Vec<RuleRecord>,
    /// Rules beyond [`INCIDENT_RULES_MAX`], not recorded one by one.
    pub rules_left_out: u64,
    /// The waves it came in, oldest first. Waves less than an hour apart are one incident.
    pub waves: Vec<Wave>,
    /// Waves beyond [`INCIDENT_WAVES_MAX`].
    pub waves_left_out: u64,
    /// What would help, where rules do not, in words.
    pub advice: Vec<String>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// Entries beyond [`TIMELINE_ENTRIES_MAX`].
    pub timeline_left_out: u64,
    /// What the record cannot tell, in words.
    pub blind_spots: Vec<String>,
}

impl Incident {
    /// Adds a timeline entry, or counts it when the timeline is full.
    pub fn note(&mut self, at_ms: u64, kind: TimelineKind, text: String) {
        if self.timeline.len() < TIMELINE_ENTRIES_MAX {
            self.timeline.push(TimelineEntry { at_ms, kind, text });
        } else {
            self.timeline_left_out += 1;
        }
    }

    /// Adds a rule's record, or counts it when there are too many.
    pub fn add_rule(&mut self, record: RuleRecord) {
        if self.rules.len() < INCIDENT_RULES_MAX {
            self.rules.push(record);
        } else {
            self.rules_left_out += 1;
        }
    }

    /// Adds a wave, or counts it when there are too many.
    pub fn add_wave(&mut self, wave: Wave) {
        if self.waves.len() < INCIDENT_WAVES_MAX {
            self.waves.push(wave);
        } else {
            self.waves_left_out += 1;
        }
    }

    /// The record of a rule.
    pub fn rule_mut(&mut self, id: RuleId) -> Option<&mut RuleRecord> {
        self.rules.iter_mut().find(|r| r.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_timeline_counts_what_it_leaves_out() {
        let mut incident = Incident::default();
        for at_ms in 0..TIMELINE_ENTRIES_MAX as u64 + 5 {
            incident.note(at_ms, TimelineKind::Note, String::new());
        }
        assert_eq!(incident.timeline.len(), TIMELINE_ENTRIES_MAX);
        assert_eq!(incident.timeline_left_out, 5);
    }

    #[test]
    fn a_record_survives_being_stored() {
        let mut incident = Incident { id: 3, ..Incident::default() };
        incident.note(1, TimelineKind::Opened, "opened".into());
        let text = serde_json::to_string(&incident).unwrap();
        assert_eq!(serde_json::from_str::<Incident>(&text).unwrap(), incident);
    }
}
