//! Decisions: from observations to a plan, as one pure call.
//!
//! [`Engine::step`] takes a time and what arrived, and returns what shall be done. The time is an
//! argument, chance is a seed; nothing here opens a file or socket, reads a clock or starts a
//! thread. So a log, a simulation and production run the same code.
//!
//! The pipeline, one file per arrow: `window` and `recent` (Observation → WindowStats and samples),
//! `onset` (→ Finding), `miner` (→ Signature), `evidence` and `pending` (is it an attack, does it
//! hold), `rules` (→ Plan → CheckedPlan), `account` (→ Incident). `engine` strings them together.

mod ablation;
mod account;
mod alarm;
mod amounts;
mod bans;
mod baseline;
mod beam;
mod bits;
mod blamed;
mod calendar;
mod calm;
mod config;
mod costs;
mod cusum;
mod distinct;
mod ending;
mod engine;
mod evidence;
mod goodput;
mod harm;
mod health;
mod heavy;
mod limits;
mod memory;
mod miner;
mod names;
mod onset;
mod origin_watch;
pub mod packet;
mod pending;
mod prior;
mod random;
mod recent;
mod record;
mod reservoir;
mod rules;
mod shed;
mod sources;
mod standby;
mod status;
mod stress;
mod trial;
mod values;
mod weighed;
mod window;

pub use ablation::Ablation;
pub use baseline::DRIFT_MAX as BASELINE_DRIFT_MAX;
pub use config::EngineConfig;
pub use engine::{Effect, Engine};
pub use memory::{EngineMemory, MEMORY_AGE_MS_MAX, MEMORY_VERSION, MemoryRefused, Recalled};
pub use origin_watch::{OriginCounts, OriginWatch};
pub use shed::Shed;
pub use status::{DeclaredEvent, EngineHealth, EngineStatus, Occupancy};
pub use stress::Stress;
