//! The best filter this host allows, the last tier among them: BPF, else an nftables set.
//!
//! It must never fall to the last tier where the operator has something to mend: an interface that
//! is not there or is taken stays an error.

use std::fmt;
use std::os::fd::AsFd;

use floodwall_model::{CheckedBan, Prefix, Source};

use crate::attach::{AttachRequest, Tier};
use crate::counters::FilterCounters;
use crate::error::{AttachError, BanError};
use crate::filter::{EndedBan, KernelFilter};
use crate::nft::NftFilter;
use crate::sys;

/// What enforces bans here. Dropping it takes it away.
#[derive(Debug)]
pub enum BestFilter {
    /// XDP or the socket filter.
    Bpf(Box<KernelFilter>),
    /// The nftables set.
    Nft(Box<NftFilter>),
}

impl BestFilter {
    /// Attaches the best there is.
    ///
    /// # Errors
    /// [`AttachError`]: of the operator's mistakes as they are; else [`AttachError::NoTier`] with
    /// why not, one sentence for BPF and one for nftables, or [`AttachError::NotPermitted`] where
    /// permission is all that both lack.
    pub fn attach(request: &AttachRequest<'_>) -> Result<BestFilter, AttachError> {
        // Before anything that lacks of permission or BPF: a name that is spelt wrong would
        // otherwise be found out when the permission is there.
        if let Some(interface) = &request.interface
            && sys::link_layer(interface)
                .is_err_and(|error| error.raw_os_error() == Some(libc::ENODEV))
        {
            return Err(AttachError::InterfaceUnknown { interface: interface.clone() });
        }
        match KernelFilter::attach(request) {
            Ok(filter) => Ok(BestFilter::Bpf(Box::new(filter))),
            Err(error) => fall_back(error, |why| NftFilter::attach(request, why)),
        }
    }

    /// The tier in force.
    pub fn tier(&self) -> Option<Tier> {
        match self {
            BestFilter::Bpf(filter) => filter.tier().map(|report| report.tier),
            BestFilter::Nft(_) => Some(Tier::Nftables),
        }
    }

    /// Why not a better tier.
    pub fn why_not_better(&self) -> &[String] {
        match self {
            BestFilter::Bpf(filter) => filter.tier().map_or(&[], |report| &report.why_not_better),
            BestFilter::Nft(filter) => &filter.report().why_not_better,
        }
    }

    /// The BPF filter, for what only it can: rules, guards, samples, network bans.
    pub fn bpf(&mut self) -> Option<&mut KernelFilter> {
        match self {
            BestFilter::Bpf(filter) => Some(filter),
            BestFilter::Nft(_) => None,
        }
    }

    /// See [`KernelFilter::ban`].
    ///
    /// # Errors
    /// See [`BanError`].
    pub fn ban(&mut self, ban: &CheckedBan, now_ms: u64) -> Result<(), BanError> {
        match self {
            BestFilter::Bpf(filter) => filter.ban(ban, now_ms),
            BestFilter::Nft(filter) => filter.ban(ban, now_ms),
        }
    }

    /// Many at once, which the nftables set takes in one transaction; what became of each.
    pub fn ban_all(&mut self, bans: &[CheckedBan], now_ms: u64) -> Vec<Result<(), BanError>> {
        match self {
            BestFilter::Bpf(filter) => bans.iter().map(|ban| filter.ban(ban, now_ms)).collect(),
            BestFilter::Nft(filter) => filter.ban_all(bans, now_ms),
        }
    }

    /// See [`KernelFilter::unban`].
    ///
    /// # Errors
    /// See [`BanError`].
    pub fn unban(&mut self, prefix: Prefix) -> Result<bool, BanError> {
        match self {
            BestFilter::Bpf(filter) => filter.unban(prefix),
            BestFilter::Nft(filter) => filter.unban(prefix),
        }
    }

    /// See [`KernelFilter::sweep`].
    pub fn sweep(&mut self) -> Vec<EndedBan> {
        match self {
            BestFilter::Bpf(filter) => filter.sweep(),
            BestFilter::Nft(filter) => filter.sweep(),
        }
    }

    /// See [`KernelFilter::allow`].
    ///
    /// # Errors
    /// See [`BanError`].
    pub fn allow(&mut self, prefix: Prefix) -> Result<(), BanError> {
        match self {
            BestFilter::Bpf(filter) => filter.allow(prefix),
            BestFilter::Nft(filter) => filter.allow(prefix),
        }
    }

    /// See [`KernelFilter::counters`].
    ///
    /// # Errors
    /// [`BanError::Kernel`].
    pub fn counters(&self) -> Result<FilterCounters, BanError> {
        match self {
            BestFilter::Bpf(filter) => filter.counters(),
            BestFilter::Nft(filter) => filter.counters(),
        }
    }

    /// See [`KernelFilter::dropped_by`].
    ///
    /// # Errors
    /// [`BanError::Kernel`].
    pub fn dropped_by(&self, source: Source) -> Result<Option<u64>, BanError> {
        match self {
            BestFilter::Bpf(filter) => filter.dropped_by(source),
            BestFilter::Nft(filter) => filter.dropped_by(source),
        }
    }

    /// See [`KernelFilter::add_listener`]. The nftables set sees every packet already.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn add_listener(&mut self, listener: impl AsFd) -> Result<(), AttachError> {
        match self {
            BestFilter::Bpf(filter) => filter.add_listener(listener),
            BestFilter::Nft(_) => Ok(()),
        }
    }
}

impl fmt::Display for BestFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BestFilter::Bpf(filter) => filter.tier().map_or(Ok(()), |report| report.fmt(f)),
            BestFilter::Nft(filter) => filter.report().fmt(f),
        }
    }
}

/// Takes the last tier, unless what stopped the better ones is the operator's to mend.
fn fall_back(
    bpf: AttachError,
    nft: impl FnOnce(Vec<String>) -> Result<NftFilter, AttachError>,
) -> Result<BestFilter, AttachError> {
    let permission = matches!(bpf, AttachError::NotPermitted { .. });
    let why = match bpf {
        AttachError::NoTier { why } => why,
        AttachError::NotPermitted { detail } => vec![format!("no BPF: {detail}")],
        AttachError::NotBuilt { .. } | AttachError::Kernel { .. } => vec![bpf.to_string()],
        AttachError::NothingToFilter
        | AttachError::TooManyBans { .. }
        | AttachError::InterfaceUnknown { .. }
        | AttachError::InterfaceTaken { .. }
        | AttachError::TableTaken
        | AttachError::NftMissing => return Err(bpf),
    };
    match nft(why.clone()) {
        Ok(filter) => Ok(BestFilter::Nft(Box::new(filter))),
        Err(AttachError::NotPermitted { detail }) if permission => {
            Err(AttachError::NotPermitted { detail: format!("{}; {detail}", why.join("; ")) })
        }
        Err(error) => {
            let why = why.into_iter().chain([format!("nftables: {error}")]).collect();
            Err(AttachError::NoTier { why })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_permitted() -> AttachError {
        AttachError::NotPermitted { detail: "no CAP_BPF".to_owned() }
    }

    #[test]
    fn what_the_operator_has_to_mend_is_no_reason_to_fall_back() {
        for error in [
            AttachError::InterfaceTaken { interface: "eth0".to_owned() },
            AttachError::InterfaceUnknown { interface: "eth0".to_owned() },
            AttachError::NothingToFilter,
            AttachError::TooManyBans { asked: 0, max: 1 },
        ] {
            let expected = error.to_string();
            let result = fall_back(error, |_| panic!("nftables was tried"));
            assert_eq!(result.unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn without_any_tier_the_reason_of_each_is_told() {
        let built = AttachError::NotBuilt { reason: "no clang" };
        let error = fall_back(built, |_| Err(AttachError::NftMissing)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, AttachError::NoTier { .. }), "{text}");
        assert!(
            text.contains("no clang") && text.contains("install the package nftables"),
            "{text}"
        );
    }

    #[test]
    fn where_permission_is_all_that_lacks_it_says_so() {
        let error = fall_back(not_permitted(), |_| Err(not_permitted())).unwrap_err();
        assert!(matches!(error, AttachError::NotPermitted { .. }), "{error}");
        let error = fall_back(not_permitted(), |_| Err(AttachError::NftMissing)).unwrap_err();
        assert!(matches!(error, AttachError::NoTier { .. }), "{error}");
    }
}
