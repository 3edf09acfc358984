//! Alone has root and BPF: loads the kernel filter, applies checked bans, reads its counters.
//!
//! The filter itself is C (bpf/ in the root); this crate is its loader. It must never decide whom
//! to ban: it takes only [`CheckedBan`](floodwall_model::CheckedBan), and refuses what would cover
//! this host even then.
//!
//! A build without clang, a process without capabilities and a kernel without BPF are ordinary:
//! [`KernelFilter::attach`] says so with an [`AttachError`], and the rest of Floodwall works.
//!
//! XDP needs Linux 6.0 or later with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON in the host's own user
//! namespace; the socket filter does with Linux 5.11, CAP_BPF and CAP_PERFMON.

mod abi;
mod answers;
mod attach;
mod ban_slots;
mod bans;
mod clock;
mod control;
mod counters;
mod driver_account;
mod dry_run;
mod egress_hook;
mod error;
mod filter;
pub mod host;
mod icmp_shares;
mod limit;
mod local_addresses;
mod mapped;
mod networks;
mod nft;
mod nft_command;
mod nft_fallback;
mod nft_ruleset;
mod object;
mod policy;
mod probe;
mod rules;
mod samples;
#[cfg(test)]
#[path = "../tests/support/skip.rs"]
mod skip;
mod syncookies;
mod sys;

pub use abi::{ALLOW_MAX, BANS_DEFAULT, BANS_MAX, NETS_MAX, Verdict};
pub use attach::{AttachRequest, LEASE_MS, Services, Tier, TierReport};
pub use control::{EgressVolume, PlanApplied};
pub use counters::{BanRefusals, FilterCounters};
pub use dry_run::{DryRun, DryRunOutcome};
pub use error::{AttachError, BanError};
pub use filter::{EndedBan, KernelFilter, SWEEP_STEP_MAX};
pub use limit::{SourceRate, SourceRates};
pub use nft::{NFT_BATCH_MAX, NftFilter, NftReport};
pub use nft_command::{NftState, nft_state};
pub use nft_fallback::BestFilter;
pub use probe::cost::{PacketCosts, measure};
pub use probe::link::{LinkFacts, NativeXdp, link, links};
pub use probe::{HostReport, KernelFeatures, probe};
pub use rules::PlanChange;
pub use samples::SAMPLES_STEP_MAX;
pub use syncookies::SynCookieSetting;
