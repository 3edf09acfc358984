//! The kernel filter as the node uses it: there or not, and why.
//!
//! A host without root or BPF runs everything else; this is where that is noticed, said once, and
//! kept for `status`.

use std::os::fd::OwnedFd;
use std::sync::Mutex;

use floodwall_gateway::Gateway;
use floodwall_model::{CheckedBan, Prefix, Reason};
use floodwall_xdp::{AttachError, AttachRequest, BANS_DEFAULT, KernelFilter, Tier};

use super::lock;

/// The kernel filter, or the reason why there is none.
#[derive(Debug)]
pub struct Kernel {
    filter: Mutex<Option<KernelFilter>>,
    tier: Option<Tier>,
    why_not_better: Option<String>,
    interface: Option<String>,
}

impl Kernel {
    /// Attaches the best filter this host allows. Fails only for what the operator must mend: an
    /// interface that is not there or has another program on it.
    pub fn attach(interface: Option<&str>, gateway: &Gateway) -> Result<Kernel, AttachError> {
        let listeners = listeners_of(gateway);
        let request = AttachRequest {
            interface: interface.map(str::to_owned),
            listeners: listeners.iter().map(std::os::fd::AsFd::as_fd).collect(),
            max_bans: BANS_DEFAULT,
            ..AttachRequest::default()
        };
        let interface = interface.map(str::to_owned);
        match KernelFilter::attach(&request) {
            Ok(filter) => {
                let report = filter.tier().cloned();
                let (tier, why) = match report {
                    Some(report) => (Some(report.tier), report.why_not_better),
                    None => (None, Vec::new()),
                };
                let why_not_better = (!why.is_empty()).then(|| why.join("; "));
                if let Some(tier) = tier {
                    tracing::info!(tier = tier.name(), "kernel filter attached");
                }
                Ok(Kernel { filter: Mutex::new(Some(filter)), tier, why_not_better, interface })
            }
            Err(
                error @ (AttachError::InterfaceUnknown { .. } | AttachError::InterfaceTaken { .. }),
            ) => Err(error),
            Err(error) => {
                tracing::warn!(
                    "no kernel filter: {error}. Banned sources are closed by the gateway instead; \
                     everything else works."
                );
                let why_not_better = Some(error.to_string());
                Ok(Kernel { filter: Mutex::new(None), tier: None, why_not_better, interface })
            }
        }
    }

    /// The tier in force.
    pub const fn tier(&self) -> Option<Tier> {
        self.tier
    }

    /// Why it is not a better one.
    pub fn why_not_better(&self) -> Option<&str> {
        self.why_not_better.as_deref()
    }

    /// The interface asked for.
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// Packets dropped because of a ban since the start; `None` where no filter counts them.
    pub fn dropped_packets(&self) -> Option<u64> {
        let filter = lock(&self.filter);
        let counters = filter.as_ref()?.counters().ok()?;
        Some(counters.dropped_for(Reason::SourceBanned))
    }

    /// Bans in the kernel. True if there is no kernel filter to ban in, or it took the ban.
    pub(crate) fn ban(&self, ban: &CheckedBan, now_ms: u64) -> bool {
        match lock(&self.filter).as_mut() {
            Some(filter) => filter.ban(ban, now_ms).is_ok(),
            None => true,
        }
    }

    /// Lifts a ban.
    pub(crate) fn unban(&self, prefix: Prefix) {
        if let Some(filter) = lock(&self.filter).as_mut()
            && let Err(error) = filter.unban(prefix)
        {
            tracing::warn!(%prefix, "a ban could not be lifted and ends by itself: {error}");
        }
    }

    /// Takes ended bans out of the kernel's tables.
    pub(crate) fn sweep(&self) {
        if let Some(filter) = lock(&self.filter).as_mut() {
            filter.sweep();
        }
    }

    /// After a reload: new listeners get the filter too, where it sits on listeners.
    pub(crate) fn follow_listeners(&self, gateway: &Gateway) {
        if self.tier != Some(Tier::SocketFilter) {
            return;
        }
        if let Some(filter) = lock(&self.filter).as_mut() {
            for listener in listeners_of(gateway) {
                if let Err(error) = filter.add_listener(&listener) {
                    tracing::warn!("a listener has no kernel filter: {error}");
                }
            }
        }
    }
}

/// The gateway's listening sockets; none if the system has no descriptor left for copies.
fn listeners_of(gateway: &Gateway) -> Vec<OwnedFd> {
    gateway.listener_fds().unwrap_or_else(|error| {
        tracing::warn!("the listening sockets get no kernel filter: {error}");
        Vec::new()
    })
}
