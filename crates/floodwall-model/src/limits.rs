//! Named maxima shared by more than one room.
//!
//! A limit that only one room knows lives in that room. Each line says what happens when full.

/// Rules in force at once. When full: no further rule is placed; the plan says so.
pub const RULES_MAX: usize = 16;

/// Predicates in one signature. More than five never paid in mining (design/detection.md § 3.5).
pub const PREDICATES_MAX: usize = 5;

/// Packet rules in force at once: the kernel keeps a bit for each in one 64-bit word. When full: no
/// further rule is placed; the plan says so.
pub const PACKET_RULES_MAX: usize = 64;

/// Predicates in one packet signature.
pub const PACKET_PREDICATES_MAX: usize = 8;

/// Longest text kept for a value. When longer: cut at a character boundary, an ellipsis added.
pub const VALUE_TEXT_BYTES_MAX: usize = 160;

/// Values in one known set. When full: further values count as seen by no rule, that is, the
/// `unseen` predicate is withheld for that attribute (the cautious side).
pub const KNOWN_VALUES_MAX: usize = 65_536;

/// Source bans in force at once. When full: no further ban; counted.
pub const BANS_MAX: usize = 100_000;

/// Longest a source stays banned, ms (design/l4.md: ten minutes).
pub const BAN_TTL_MS_MAX: u64 = 600_000;

/// Longest a rule may be placed without renewal, ms.
pub const RULE_TTL_MS_MAX: u64 = 120_000;

/// Enforcers obey a plan for so long after it was made unless a newer one comes, ms: when whoever
/// decides falls silent, rules refuse nobody any more (design/detection.md § 3.6).
pub const PLAN_VALID_MS: u64 = 5_000;

/// Observations in one batch from an edge. When full: the batch is sent early.
pub const BATCH_OBSERVATIONS_MAX: usize = 4_096;

/// New value names in one batch. When full: names are dropped and counted; a later sighting of the
/// same value announces it again.
pub const BATCH_NAMES_MAX: usize = 512;

/// Timeline entries kept in one incident. When full: the last place says how many were left out.
pub const TIMELINE_ENTRIES_MAX: usize = 200;

/// Rule records kept in one incident. When full: further rules are only counted.
pub const INCIDENT_RULES_MAX: usize = 64;

/// Waves kept in one incident. When full: further waves are only counted.
pub const INCIDENT_WAVES_MAX: usize = 64;

const _: () = assert!(RULES_MAX <= INCIDENT_RULES_MAX);
const _: () = assert!(BATCH_NAMES_MAX <= BATCH_OBSERVATIONS_MAX);
