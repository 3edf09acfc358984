//! The kernel filter as the node uses it: there or not, why, and there again.
//!
//! A host without root or BPF runs everything else; this is where that is noticed, said once, and
//! kept for `status`. It must never hold its lock while a filter is loaded: bans and `status` would
//! wait.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Mutex;

use floodwall_gateway::Gateway;
use floodwall_model::packet::{CheckedPacketPlan, PacketBatch, PacketReason};
use floodwall_model::{CheckedBan, Prefix, Reason};
use floodwall_xdp::{
    AttachError, AttachRequest, BanError, FilterCounters, KernelFilter, PlanApplied, Services,
    SourceRates, Tier,
};

use super::link::{Link, interface_index};
use super::lock;

/// What the filter is made from, the first time and whenever its interface comes back.
#[derive(Clone, Debug)]
pub(crate) struct FilterRequest {
    /// Where; `None`: on the listening sockets.
    pub(crate) interface: Option<String>,
    /// Drop what no working stack sends.
    pub(crate) sanity: bool,
    /// Where the loader notes the system setting it changes.
    pub(crate) state_file: PathBuf,
}

/// The kernel filter, or the reason why there is none.
#[derive(Debug)]
pub struct Kernel {
    request: FilterRequest,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    filter: Option<KernelFilter>,
    tier: Option<Tier>,
    why_not_better: Option<String>,
    link: Link,
    /// How often a filter was put in place; whoever holds bans gives them to each.
    fillings: u64,
    /// What filters that are gone had counted, in the order of [`PacketReason::ALL`].
    counted_before: Vec<u64>,
    allow: Vec<Prefix>,
    services: Services,
    source_rates: Option<SourceRates>,
}

impl Kernel {
    /// Attaches the best filter this host allows. Fails only for what the operator must mend: an
    /// interface that is not there or has another program on it.
    pub(crate) fn attach(
        request: FilterRequest,
        allow: Vec<Prefix>,
        services: Services,
        gateway: &Gateway,
    ) -> Result<Kernel, AttachError> {
        let listeners = listeners_of(gateway);
        let state = State {
            filter: None,
            tier: None,
            why_not_better: None,
            link: Link::NotWatched,
            fillings: 0,
            counted_before: vec![0; PacketReason::ALL.len()],
            allow,
            services,
            // Given with the first look at the host, before any packet is waited for.
            source_rates: None,
        };
        // Before attaching: if it changes in between, the next look finds another number.
        let index = request.interface.as_deref().and_then(interface_index);
        let attached = KernelFilter::attach(&AttachRequest {
            listeners: listeners.iter().map(std::os::fd::AsFd::as_fd).collect(),
            ..state.attach_request(&request)
        });
        let kernel = Kernel { request, state: Mutex::new(state) };
        match attached {
            Ok(filter) => kernel.fill(filter, index),
            Err(
                error @ (AttachError::InterfaceUnknown { .. } | AttachError::InterfaceTaken { .. }),
            ) => return Err(error),
            Err(error) => {
                tracing::warn!(
                    "no kernel filter: {error}. Banned sources are closed by the gateway instead, \
                     floods of packets are not stopped; everything else works."
                );
                lock(&kernel.state).why_not_better = Some(error.to_string());
            }
        }
        Ok(kernel)
    }

    /// Takes `filter` for the one in force.
    fn fill(&self, filter: KernelFilter, index: Option<u32>) {
        let mut state = lock(&self.state);
        if let Some(report) = filter.tier() {
            let why = report.why_not_better.join("; ");
            tracing::info!(
                tier = report.tier.name(),
                interface = self.interface(),
                "kernel filter attached"
            );
            if self.interface().is_some() && !why.is_empty() {
                tracing::warn!("the kernel filter could do more: {why}");
            }
            state.tier = Some(report.tier);
            state.why_not_better = (!why.is_empty()).then_some(why);
        }
        state.link = match (state.sees_packets(), index) {
            (true, Some(index)) => Link::On(index),
            _ => Link::NotWatched,
        };
        state.filter = Some(filter);
        state.fillings += 1;
    }

    /// Notices that the interface is gone, or another one of its name has come. Says so once each,
    /// and puts a filter on the new one. True when a filter was put in place: it knows neither
    /// bans nor the plan.
    pub(crate) fn follow_interface(&self, now_ms: u64) -> bool {
        let Some(name) = self.interface() else { return false };
        let mut state = lock(&self.state);
        if state.link == Link::NotWatched {
            return false;
        }
        let index = interface_index(name);
        if state.link.is_lost(index) {
            tracing::warn!("the interface {name} is gone, and the kernel filter with it");
            state
                .lose(&format!("the interface {name} is gone; it gets the filter when it is back"));
        }
        let (true, Some(index)) = (state.link.is_due(now_ms), index) else { return false };
        let request = state.attach_request(&self.request);
        drop(state);
        match KernelFilter::attach(&request) {
            Ok(filter) => {
                tracing::info!("the interface {name} is back");
                self.fill(filter, Some(index));
                true
            }
            Err(error) => {
                let mut state = lock(&self.state);
                let why =
                    format!("the interface {name} is back without the kernel filter: {error}");
                if state.why_not_better.as_ref() != Some(&why) {
                    tracing::warn!("{why}");
                    state.why_not_better = Some(why);
                }
                state.link = Link::retry(now_ms);
                false
            }
        }
    }

    /// The tier in force.
    pub fn tier(&self) -> Option<Tier> {
        lock(&self.state).tier
    }

    /// Why it is not a better one.
    pub fn why_not_better(&self) -> Option<String> {
        lock(&self.state).why_not_better.clone()
    }

    /// The interface asked for.
    pub fn interface(&self) -> Option<&str> {
        self.request.interface.as_deref()
    }

    /// Whether a filter is in force that sees every packet, and not only those of listeners.
    pub(crate) fn sees_packets(&self) -> bool {
        lock(&self.state).sees_packets()
    }

    /// How often a filter was put in place.
    pub(crate) fn fillings(&self) -> u64 {
        lock(&self.state).fillings
    }

    /// Packets dropped because of a ban since the start; `None` where no filter counts them.
    pub fn dropped_packets(&self) -> Option<u64> {
        let state = lock(&self.state);
        let now = state.counters()?.dropped_for(Reason::SourceBanned);
        let before = state.counted_before.get(PacketReason::SourceBanned as usize);
        Some(now + before.copied().unwrap_or(0))
    }

    /// Packets refused since the start by reason, only those that occurred; `None` where no filter
    /// counts them.
    pub(crate) fn refused(&self) -> Option<Vec<(PacketReason, u64)>> {
        let state = lock(&self.state);
        let now = state.counters();
        if now.is_none() && state.fillings == 0 {
            return None;
        }
        let now = now.unwrap_or_default();
        let reasons = PacketReason::ALL.iter().zip(&state.counted_before);
        let refused = reasons
            .map(|(reason, before)| (*reason, before + now.of(*reason)))
            .filter(|(reason, packets)| !reason.passes() && *packets > 0);
        Some(refused.collect())
    }

    /// What happened since the last call; `None` while no filter sees packets. Renews the lease.
    pub(crate) fn read_batch(&self, now_ms: u64) -> Option<Result<PacketBatch, BanError>> {
        let mut state = lock(&self.state);
        if !state.sees_packets() {
            return None;
        }
        Some(state.filter.as_mut()?.read_batch(now_ms))
    }

    /// Brings the kernel to `plan`; `None` while no filter sees packets.
    pub(crate) fn apply(
        &self,
        plan: &CheckedPacketPlan,
        now_ms: u64,
    ) -> Option<Result<PlanApplied, BanError>> {
        let mut state = lock(&self.state);
        if !state.sees_packets() {
            return None;
        }
        Some(state.filter.as_mut()?.apply(plan, now_ms))
    }

    /// Whether guards rose or fell by themselves, so that the plan is to be applied again.
    pub(crate) fn needs_apply(&self) -> bool {
        lock(&self.state).filter.as_ref().is_some_and(KernelFilter::needs_apply)
    }

    /// From now on these are the open ports.
    pub(crate) fn set_services(&self, services: Services) {
        let mut state = lock(&self.state);
        if state.services == services {
            return;
        }
        if let Some(filter) = state.filter.as_mut() {
            filter.set_services(&services);
        }
        state.services = services;
    }

    /// From now on one source may send so much.
    pub(crate) fn set_source_rates(&self, rates: Option<SourceRates>) {
        let mut state = lock(&self.state);
        if state.source_rates == rates {
            return;
        }
        if let Some(filter) = state.filter.as_mut() {
            filter.set_source_rates(rates);
        }
        state.source_rates = rates;
    }

    /// From now on these are never dropped.
    pub(crate) fn set_allow(&self, allow: Vec<Prefix>) {
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut state.allow, allow.clone());
        let Some(filter) = state.filter.as_mut() else { return };
        let gone = before.iter().filter(|prefix| !allow.contains(prefix));
        let removed = gone.map(|prefix| (*prefix, filter.disallow(*prefix).map(|_| ())));
        // First what goes, so that what comes finds room.
        let removed: Vec<_> = removed.collect();
        let added = allow.iter().map(|prefix| (*prefix, filter.allow(*prefix)));
        for (prefix, result) in removed.into_iter().chain(added) {
            if let Err(error) = result {
                tracing::warn!(%prefix, "the allow list could not be changed: {error}");
            }
        }
    }

    /// Bans in the kernel. True if there is no kernel filter to ban in, or it took the ban.
    pub(crate) fn ban(&self, ban: &CheckedBan, now_ms: u64) -> bool {
        match lock(&self.state).filter.as_mut() {
            Some(filter) => filter.ban(ban, now_ms).is_ok(),
            None => true,
        }
    }

    /// Lifts a ban.
    pub(crate) fn unban(&self, prefix: Prefix) {
        if let Some(filter) = lock(&self.state).filter.as_mut()
            && let Err(error) = filter.unban(prefix)
        {
            tracing::warn!(%prefix, "a ban could not be lifted and ends by itself: {error}");
        }
    }

    /// Takes ended bans out of the kernel's tables.
    pub(crate) fn sweep(&self) {
        if let Some(filter) = lock(&self.state).filter.as_mut() {
            filter.sweep();
        }
    }

    /// After a reload: new listeners get the filter too, where it sits on listeners.
    pub(crate) fn follow_listeners(&self, gateway: &Gateway) {
        let mut state = lock(&self.state);
        if state.tier != Some(Tier::SocketFilter) {
            return;
        }
        if let Some(filter) = state.filter.as_mut() {
            for listener in listeners_of(gateway) {
                if let Err(error) = filter.add_listener(&listener) {
                    tracing::warn!("a listener has no kernel filter: {error}");
                }
            }
        }
    }

    /// Takes the filter away and puts back the system setting that it may have changed.
    pub(crate) fn detach(&self) {
        let mut state = lock(&self.state);
        state.link = Link::NotWatched;
        state.lose("Floodwall is stopping");
    }
}

impl State {
    fn sees_packets(&self) -> bool {
        matches!(self.tier, Some(Tier::XdpNative | Tier::XdpGeneric))
    }

    fn counters(&self) -> Option<FilterCounters> {
        self.filter.as_ref()?.counters().ok()
    }

    /// For the interface alone; the listeners of a first attachment come on top.
    fn attach_request(&self, request: &FilterRequest) -> AttachRequest<'static> {
        AttachRequest {
            interface: request.interface.clone(),
            allow: self.allow.clone(),
            services: self.services.clone(),
            source_rates: self.source_rates,
            sanity: request.sanity,
            state_file: Some(request.state_file.clone()),
            ..AttachRequest::default()
        }
    }

    /// Drops the filter and keeps what it has counted.
    fn lose(&mut self, why: &str) {
        if let Some(counters) = self.counters() {
            let counted = self.counted_before.iter_mut().zip(counters.by_reason);
            counted.for_each(|(before, now)| *before += now);
        }
        self.filter = None;
        self.tier = None;
        self.why_not_better = Some(why.to_owned());
        if self.link != Link::NotWatched {
            self.link = Link::GONE;
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
