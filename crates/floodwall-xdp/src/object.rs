//! The compiled kernel filter inside this build, and loading its maps into the kernel.

use aya::Ebpf;

use crate::abi;
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

/// Creates the maps with room for `max_bans` of each family. The programs are not loaded yet.
pub(crate) fn load(max_bans: u32) -> Result<Ebpf, AttachError> {
    let object = OBJECT.ok_or(AttachError::NotBuilt { reason: NOT_BUILT_REASON })?;
    if max_bans == 0 || max_bans > abi::BANS_MAX {
        return Err(AttachError::TooManyBans { asked: max_bans, max: abi::BANS_MAX });
    }
    aya::EbpfLoader::new()
        // The filter uses no kernel type, so it needs no relocation against the kernel's own BTF.
        .btf(None)
        .map_max_entries(abi::MAP_BANS_V4, max_bans)
        .map_max_entries(abi::MAP_BANS_V6, max_bans)
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
