//! The compiled kernel filter inside this build, and loading its maps into the kernel.

use std::hash::{BuildHasher, Hasher};

use aya::Ebpf;

use crate::abi;
use crate::ban_slots::{buckets_for, shift_for};
use crate::error::{AttachError, os_error, with_causes};

/// The object file that build.rs made; none when it could not.
#[cfg(floodwall_bpf)]
const OBJECT: Option<&[u8]> =
    Some(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/filter.bpf.o")));
#[cfg(not(floodwall_bpf))]
const OBJECT: Option<&[u8]> = None;

/// Why this build has no filter; empty when it has one.
const NOT_BUILT_REASON: &str = env!("FLOODWALL_NO_BPF_REASON");

/// Whether this build has a filter.
pub(crate) const fn is_built() -> bool {
    OBJECT.is_some()
}

/// What is settled at load and cannot change while the filter is in force.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) max_bans: u32,
    pub(crate) sanity: bool,
    pub(crate) secret: u64,
}

impl Settings {
    /// With a secret that nobody outside knows: it decides where a ban stands in its table.
    pub(crate) fn new(max_bans: u32, sanity: bool) -> Result<Settings, AttachError> {
        if max_bans == 0 || max_bans > abi::BANS_MAX {
            return Err(AttachError::TooManyBans { asked: max_bans, max: abi::BANS_MAX });
        }
        // RandomState is seeded by the system's generator.
        let secret = std::hash::RandomState::new().build_hasher().finish();
        Ok(Settings { max_bans, sanity, secret })
    }

    pub(crate) fn buckets_v4(&self) -> u32 {
        buckets_for(self.max_bans, abi::BUCKET_V4)
    }

    pub(crate) fn buckets_v6(&self) -> u32 {
        buckets_for(self.max_bans, abi::BUCKET_V6)
    }
}

/// Creates the maps. The programs are not loaded yet.
pub(crate) fn load(settings: &Settings) -> Result<Ebpf, AttachError> {
    let object = OBJECT.ok_or(AttachError::NotBuilt { reason: NOT_BUILT_REASON })?;
    let (v4, v6) = (settings.buckets_v4(), settings.buckets_v6());
    let (shift_v4, shift_v6) = (shift_for(v4), shift_for(v6));
    let sanity = u32::from(settings.sanity);
    aya::EbpfLoader::new()
        // The filter uses no kernel type, so it needs no relocation against the kernel's own BTF.
        .btf(None)
        .map_max_entries(abi::MAP_BANS_V4, v4)
        .map_max_entries(abi::MAP_HITS_V4, v4)
        .map_max_entries(abi::MAP_BANS_V6, v6)
        .override_global("fw_key", &settings.secret, true)
        .override_global("fw_shift_v4", &shift_v4, true)
        .override_global("fw_shift_v6", &shift_v6, true)
        .override_global("fw_sanity_on", &sanity, true)
        .load(object)
        .map_err(|error| refused(&error))
}

/// Sorts an error of the kernel's into "not permitted" and everything else.
pub(crate) fn refused(error: &(dyn std::error::Error + 'static)) -> AttachError {
    if is_permission(error) {
        AttachError::NotPermitted { detail: with_causes(error) }
    } else {
        AttachError::Kernel { detail: with_causes(error) }
    }
}

/// Whether the kernel refused for want of a capability. EACCES is none of it: that is the
/// verifier's refusal of a program (kernel/bpf/verifier.c).
pub(crate) fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    os_error(error) == Some(libc::EPERM)
}
