//! What can go wrong between the loader and the kernel: closed lists that say whose fault it is
//! and what to do about it.

use floodwall_model::{Fault, Prefix};

/// Why no filter is in force.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// This build has no kernel filter in it.
    #[error(
        "this build has no kernel filter: {reason}. Install clang, libbpf-dev and \
         linux-libc-dev, and build again"
    )]
    NotBuilt {
        /// Why it was built without.
        reason: &'static str,
    },
    /// The kernel refuses this process.
    #[error(
        "the kernel does not permit it: CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed (root has \
         them); {detail}"
    )]
    NotPermitted {
        /// What is missing, or what the kernel refused.
        detail: String,
    },
    /// Neither an interface nor a listener was given.
    #[error("there is neither an interface nor a listening socket to attach the filter to")]
    NothingToFilter,
    /// More bans than the maps may hold.
    #[error("{asked} bans were asked for; between 1 and {max} are possible")]
    TooManyBans {
        /// What was asked for.
        asked: u32,
        /// What is possible.
        max: u32,
    },
    /// There is no such interface.
    #[error("there is no network interface `{interface}`")]
    InterfaceUnknown {
        /// Its name as given.
        interface: String,
    },
    /// Another XDP program sits on the interface, perhaps another Floodwall's.
    #[error(
        "another XDP program is attached to {interface} (or to the bond or bridge above it): \
         `ip link show dev {interface}` names it. Nothing was replaced"
    )]
    InterfaceTaken {
        /// The interface.
        interface: String,
    },
    /// Another process uses the nftables table `inet floodwall` in this network namespace.
    #[error("another Floodwall keeps its bans in the nftables table `inet floodwall`")]
    TableTaken,
    /// The program `nft` is not installed, or not where it is looked for.
    #[error("the program `nft` is not there: install the package nftables")]
    NftMissing,
    /// Every tier failed.
    #[error("no kernel filter can be attached: {}", why.join("; "))]
    NoTier {
        /// Why, one entry per tier, best first.
        why: Vec<String>,
    },
    /// The kernel refused the maps or programs for another reason than permission.
    #[error("the kernel did not take the filter: {detail}")]
    Kernel {
        /// The error with its causes.
        detail: String,
    },
}

impl AttachError {
    /// Who has to change something.
    pub const fn fault(&self) -> Fault {
        match self {
            AttachError::NotBuilt { .. }
            | AttachError::NotPermitted { .. }
            | AttachError::NothingToFilter
            | AttachError::TooManyBans { .. }
            | AttachError::InterfaceUnknown { .. }
            | AttachError::InterfaceTaken { .. }
            | AttachError::TableTaken
            | AttachError::NftMissing => Fault::Operator,
            AttachError::NoTier { .. } | AttachError::Kernel { .. } => Fault::Kernel,
        }
    }
}

/// Why a ban was not enforced, lifted or read. Each refused ban is counted
/// ([`FilterCounters::bans_refused`](crate::FilterCounters::bans_refused)).
#[derive(Debug, thiserror::Error)]
pub enum BanError {
    /// Its end has come.
    #[error("the ban is over already")]
    Over,
    /// As many sources are banned as the map holds. Nothing is evicted.
    #[error("{max} sources of this address family are banned, and no more may be")]
    Full {
        /// What the map holds.
        max: u32,
    },
    /// The key would cover this host or its link. The /64 of an IPv6 source holds more than the
    /// source, so this is asked of the prefix and not of the address.
    #[error("{0} holds this host's loopback or link-local addresses and is never banned")]
    NeverBanned(Prefix),
    /// A network too wide to be banned: shorter than /12, or /32 for IPv6.
    #[error("{0} is too wide to be banned: at least /12 for IPv4, /32 for IPv6")]
    TooWide(Prefix),
    /// The allow list names it, or part of it.
    #[error("{banned} is not banned: the allow list holds {allowed}")]
    Allowed {
        /// What was to be banned.
        banned: Prefix,
        /// What the allow list says.
        allowed: Prefix,
    },
    /// Neither an IPv4 /32 nor an IPv6 /64.
    #[error("{0} is no exact source; exact are an IPv4 address and an IPv6 /64")]
    NotExact(Prefix),
    /// The kernel refused the map operation.
    #[error("the kernel did not take it: {0}")]
    Kernel(String),
}

impl BanError {
    /// Who has to change something.
    pub const fn fault(&self) -> Fault {
        match self {
            BanError::Over
            | BanError::NeverBanned(_)
            | BanError::TooWide(_)
            | BanError::NotExact(_) => Fault::Us,
            BanError::Full { .. } | BanError::Allowed { .. } => Fault::Operator,
            BanError::Kernel(_) => Fault::Kernel,
        }
    }
}

/// The operating system's error number under `error`, if one is there.
pub(crate) fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let io = std::iter::successors(Some(error), |e| e.source())
        .find_map(|e| e.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::raw_os_error)
}

/// `error` and its causes in one line. A verifier's log, many lines of them, is cut to the first.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let first_line = |error: &dyn std::error::Error| {
        error.to_string().lines().next().unwrap_or_default().to_owned()
    };
    let mut text = first_line(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = first_line(error);
        // Transparent wrappers repeat their cause.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_os_error_is_found_below_its_wrappers() {
        let error = Outer(std::io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(os_error(&error), Some(libc::EPERM));
        assert!(with_causes(&error).starts_with("outer: Operation not permitted"));
        assert_eq!(os_error(&std::fmt::Error), None);
    }
}
