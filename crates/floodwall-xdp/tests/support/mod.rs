//! What the integration tests share: skipping, packets built in code, and network namespaces.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod cable;
pub(crate) mod controller;
pub(crate) mod damaged;
pub(crate) mod frames;
pub(crate) mod namespace;
pub(crate) mod packet;
pub(crate) mod plan;
pub(crate) mod sentence;
pub(crate) mod skip;
pub(crate) mod wire;

use std::time::{SystemTime, UNIX_EPOCH};

use floodwall_model::{Ban, CheckedBan, Protected, Source};
use floodwall_xdp::{AttachError, DryRun};

/// Whether the filter can be loaded here; says SKIPPED when not. Anything but a missing filter or
/// a missing permission is a failure.
pub(crate) fn require_bpf() -> bool {
    match DryRun::new(1) {
        Ok(_) => true,
        Err(error @ (AttachError::NotBuilt { .. } | AttachError::NotPermitted { .. })) => {
            skip::skipped(&error.to_string());
            false
        }
        Err(error) => panic!("the filter cannot be loaded: {error}"),
    }
}

/// The wall clock, ms since the epoch.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A checked ban of `source` from now for `length_ms`.
pub(crate) fn ban(source: &str, length_ms: u64) -> CheckedBan {
    let from_ms = wall_ms();
    let ban = Ban {
        source: Source::new(source.parse().unwrap()),
        from_ms,
        until_ms: from_ms + length_ms,
        handshake: true,
        blocked: 20,
    };
    let on_loopback = Protected { loopback_is_bannable: true, ..Protected::default() };
    ban.check(&on_loopback).unwrap()
}
