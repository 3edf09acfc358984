//! What an incident's account says about packets: how many, and where they can have come from.

use serde::{Deserialize, Serialize};

/// How sure it is that sources are forged, or that they are not (design/detection.md § 3.8).
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpoofingGrade {
    /// Forged: sources that nobody can have.
    Established,
    /// Forged: three or more independent marks of a generator.
    Strong,
    /// Perhaps forged: one or two marks.
    Indicative,
    /// Nothing speaks for forged sources, which does not prove that they are real.
    NoIndication,
    /// Not forged: the sources took part in a handshake.
    NotSpoofed,
    /// Too few packets, or what is needed was not seen.
    #[default]
    NotAssessable,
}

impl SpoofingGrade {
    /// The grade in words.
    pub const fn words(self) -> &'static str {
        match self {
            SpoofingGrade::Established => "established: sources are forged",
            SpoofingGrade::Strong => "strong indications that sources are forged",
            SpoofingGrade::Indicative => "some indication that sources are forged",
            SpoofingGrade::NoIndication => "no indication that sources are forged",
            SpoofingGrade::NotSpoofed => "sources are not forged: they completed handshakes",
            SpoofingGrade::NotAssessable => "cannot be told",
        }
    }
}

/// One measured statistic and what it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceTest {
    /// What was measured.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Whether it is a mark of forged sources.
    pub speaks_for_spoofing: bool,
    /// What it says, in words, with its threshold.
    pub says: String,
}

/// What kind of infrastructure would look like this; never who.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// The kind.
    pub name: String,
    /// What speaks for it, at least two indicators.
    pub indicators: Vec<String>,
}

/// The packets' part of an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PacketAccount {
    /// Rate of packets that belong to no conversation expected at onset, packets/s.
    pub expected_pps: f64,
    /// Highest mean rates of all packets, packets/s, over 1 s and 10 s.
    pub peak_1s_pps: f64,
    /// Over ten seconds, packets/s.
    pub peak_10s_pps: f64,
    /// Over one minute, packets/s; 0 in records that did not measure it.
    pub peak_60s_pps: f64,
    /// Highest mean volume over one second, bits/s of link-layer frames.
    pub peak_1s_bps: f64,
    /// Packets that arrived during the incident.
    pub received: u64,
    /// Dropped by rules.
    pub dropped: u64,
    /// In shadow mode: would have been dropped.
    pub would_drop: u64,
    /// Refused by a guard or as nonsense, by reason.
    pub refused: Vec<(String, u64)>,
    /// Packets by kind, in the words of [`super::PacketClass`].
    pub classes: Vec<(String, u64)>,
    /// Distinct sources of packets that rules matched, estimated.
    pub sources: u64,
    /// Whether judgements rested on the packaged neutral profile, for lack of an own past.
    pub neutral_profile: bool,
    /// Guards that stood at any time, in words.
    pub guards: Vec<String>,
    /// Whether sources are forged.
    pub spoofing: SpoofingGrade,
    /// What that rests on.
    pub tests: Vec<SourceTest>,
    /// Packets the tests were computed from.
    pub tested_packets: u64,
    /// What kinds of infrastructure it is consistent with.
    pub consistent_with: Vec<Hypothesis>,
    /// Packets chosen as samples and lost on the way.
    pub samples_lost: u64,
}
