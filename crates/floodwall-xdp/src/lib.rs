//! Alone has root and BPF: loads the kernel filter, applies checked bans, reads its counters.
//!
//! The filter itself is C (bpf/ in the root); this crate is its loader. It must never decide whom
//! to ban: it takes only [`CheckedBan`](floodwall_model::CheckedBan), and refuses what would cover
//! this host even then.
//!
//! A build without clang, a process without capabilities and a kernel without BPF are ordinary:
//! [`KernelFilter::attach`] says so with an [`AttachError`], and the rest of Floodwall works.
//!
//! Needs Linux 5.11 or later (`bpf_ktime_get_coarse_ns`; map memory no longer counted against
//! RLIMIT_MEMLOCK) with CAP_BPF and CAP_NET_ADMIN in the host's own user namespace; the socket
//! filter does with CAP_BPF.

mod abi;
mod attach;
mod bans;
mod counters;
mod dry_run;
mod error;
mod filter;
mod object;
mod probe;
mod sys;

pub use abi::{BANS_DEFAULT, BANS_MAX, FilterReason, Verdict};
pub use attach::{AttachRequest, Tier, TierReport};
pub use counters::{BanRefusals, FilterCounters};
pub use dry_run::{DryRun, DryRunOutcome};
pub use error::{AttachError, BanError};
pub use filter::{EndedBan, KernelFilter, SWEEP_STEP_MAX};
pub use probe::{HostReport, probe};
