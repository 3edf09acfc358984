//! Floodwall's nouns: what every room talks about, and nothing else.
//!
//! This crate must never read a clock, open a file or socket, or start a thread. Whatever is
//! computed here is a pure function of its arguments, so that a log, a capture, a simulation and
//! production agree on what a request *is*.
//!
//! The order of the modules is the order of the pipeline: a request becomes an
//! [`Observation`], the engine finds a [`Signature`], proposes a [`Plan`], the plan is checked
//! into a [`CheckedPlan`], enforcers apply it, and an [`Incident`] keeps the account.

pub mod ban;
pub mod bucket;
pub mod claim;
pub mod event;
pub mod geography;
pub mod holdback;
pub mod incident;
pub mod limits;
pub mod observation;
pub mod packet;
pub mod plan;
pub mod reason;
pub mod request;
pub mod signature;
pub mod source;
pub mod template;
pub mod value;

pub use ban::{Ban, BanRefusal, CheckedBan, Protected};
pub use bucket::TokenBucket;
pub use claim::{Claim, Hints};
pub use event::{Event, EventPath};
pub use geography::{Country, Geography, NetworkClass, NetworkNumber, Place};
pub use holdback::{Holdback, HoldbackBudget};
pub use incident::{
    Forecast, Incident, IncidentVerdict, LiveEstimates, Peaks, RuleRecord, TimelineEntry, Totals,
    Wave,
};
pub use observation::{Handling, Observation, ObservationBatch, Outcome, RequestKind, Stage};
pub use plan::{
    Action, CheckedPlan, Collateral, Evidence, Family, Mode, Plan, RejectedRule, Rejection, Rule,
    RuleId, RuleIds,
};
pub use reason::{Fault, Reason};
pub use request::{AttrWriter, RequestFacts};
pub use signature::{KnownSet, KnownValues, Predicate, Signature};
pub use source::{Prefix, Source};
pub use value::{ATTR_COUNT, Attr, Attrs, ValueId, ValueKey, ValueName};
