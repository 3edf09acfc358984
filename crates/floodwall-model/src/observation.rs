//! An observation: what is known of one request.
//!
//! It is emitted when the request arrives, because detection must not wait for a drowning origin.
//! The outcome joins it when known: in the same record if the answer was quick
//! ([`Stage::Whole`]), otherwise as a second record ([`Stage::Finished`]) that is not counted again.

use serde::{Deserialize, Serialize};

use crate::plan::RuleId;
use crate::reason::Reason;
use crate::source::Source;
use crate::value::{Attrs, ValueName};

/// What kind of thing was asked for.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// Something a person looks at: a document.
    Page,
    /// Something a browser fetches because a page asks for it: style, script, image, font.
    Asset,
    /// Neither, or it cannot be told: API calls, form posts.
    #[default]
    Other,
}

/// What was done with the request.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handling {
    /// It went on towards the origin.
    #[default]
    Passed,
    /// In shadow mode: it went on, and this rule would have blocked it.
    WouldBlock(RuleId),
    /// In shadow mode: it went on, and this rule would have throttled it.
    WouldThrottle(RuleId),
    /// A rule would have blocked it, and its source was let through for a trial.
    HeldBack(RuleId),
    /// A rule blocked it.
    Blocked(RuleId),
    /// A rule throttled it.
    Throttled(RuleId),
    /// Refused for a reason that is no rule's.
    Refused(Reason),
}

impl Handling {
    /// The rule that spoke, if one did.
    pub const fn rule(self) -> Option<RuleId> {
        match self {
            Handling::WouldBlock(id)
            | Handling::WouldThrottle(id)
            | Handling::HeldBack(id)
            | Handling::Blocked(id)
            | Handling::Throttled(id) => Some(id),
            Handling::Passed | Handling::Refused(_) => None,
        }
    }

    /// Whether the request was let through.
    pub const fn passed(self) -> bool {
        match self {
            Handling::Passed
            | Handling::WouldBlock(_)
            | Handling::WouldThrottle(_)
            | Handling::HeldBack(_) => true,
            Handling::Blocked(_) | Handling::Throttled(_) | Handling::Refused(_) => false,
        }
    }
}

/// How the request ended.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// Status sent to the client; 0 when the connection was cut.
    pub status: u16,
    /// Body bytes sent to the client.
    pub bytes: u64,
    /// Milliseconds until the origin's response head, if the origin was asked.
    pub origin_ms: Option<u32>,
}

/// Which part of a request's life the record tells.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Stage {
    /// Arrived and finished: counts once, outcome known.
    #[default]
    Whole,
    /// Arrived, outcome to come: counts once.
    Arrived,
    /// The outcome of an earlier [`Stage::Arrived`]: does not count again.
    Finished,
}

/// What is known of one request.
#[derive(Copy, Clone, Debug)]
pub struct Observation {
    /// Arrival (for [`Stage::Finished`]: completion), ms since the Unix epoch.
    pub at_ms: u64,
    /// Who sent it.
    pub source: Source,
    /// What it looked like.
    pub attrs: Attrs,
    /// What kind of thing was asked for.
    pub kind: RequestKind,
    /// What was done with it.
    pub handling: Handling,
    /// Which part of its life this is.
    pub stage: Stage,
    /// How it ended, if known.
    pub outcome: Option<Outcome>,
    /// The peer completed a TCP handshake under this very address: it is not spoofed. False when
    /// the address was taken from a header or from a datagram.
    pub handshake: bool,
}

/// What an edge hands over at once.
#[derive(Debug, Default)]
pub struct ObservationBatch {
    /// Which edge worker it is from.
    pub worker: u16,
    /// The observations, at most [`crate::limits::BATCH_OBSERVATIONS_MAX`].
    pub observations: Vec<Observation>,
    /// Texts of values not announced before, at most [`crate::limits::BATCH_NAMES_MAX`].
    pub names: Vec<ValueName>,
    /// Observations lost since the last batch because the way to the engine was full.
    pub lost: u64,
}
