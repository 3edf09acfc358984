//! The kernel filter as the node uses it: there or not, in which tier, why, and there again.
//!
//! The whole ladder is used: native XDP, generic XDP, a filter on the listening sockets, an nftables
//! set. Each interface has a seat of its own for XDP (seat.rs); the two tiers below are the host's,
//! taken once, when an interface cannot have XDP or none is named.
//!
//! A host without root or BPF runs everything else; this is where that is noticed, said once, and
//! kept for `status`. It must never hold its lock while a filter is loaded: bans and `status` would
//! wait. It must never take a weaker tier silently.

mod ladder;
mod orders;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Mutex;

use floodwall_gateway::Gateway;
use floodwall_model::packet::{PacketBatch, PacketReason};
use floodwall_model::{Prefix, Reason};
use floodwall_xdp::{
    AttachError, AttachRequest, BanError, KernelFeatures, KernelFilter, NftFilter, Services,
    SourceRates, SynCookieSetting, Tier,
};

use ladder::{weaker, without_sockets};

use super::link::Link;
use super::lock;
use super::nft_keeper::NftKeeper;
use super::seat::Seat;

/// What the filter is made from, the first time and whenever its interface comes back.
#[derive(Clone, Debug)]
pub(crate) struct FilterRequest {
    /// Where; none: on the listening sockets.
    pub(crate) interfaces: Vec<String>,
    /// Drop what no working stack sends.
    pub(crate) sanity: bool,
    /// Whether a table of the host's nftables may be made where BPF cannot be had.
    pub(crate) nftables: bool,
    /// Where the loader notes the system setting it changes.
    pub(crate) state_file: PathBuf,
    /// What the kernel can do; `None`: it is asked.
    pub(crate) features: Option<KernelFeatures>,
}

/// The kernel filter, or the reason why there is none.
#[derive(Debug)]
pub struct Kernel {
    request: FilterRequest,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// One per interface asked for, in their order.
    seats: Vec<Seat>,
    /// The host's filter, for what has no XDP.
    base: Option<Base>,
    /// Why that is not a better one, or is not there.
    base_why: Option<String>,
    /// How often a filter was put in place; whoever holds bans gives them to each.
    fillings: u64,
    /// What filters that are gone had counted, in the order of [`PacketReason::ALL`].
    counted_before: Vec<u64>,
    allow: Vec<Prefix>,
    services: Services,
    source_rates: Option<SourceRates>,
    /// The host's, so of all filters.
    cookie_setting: SynCookieSetting,
}

/// The tiers below XDP.
#[derive(Debug)]
enum Base {
    Sockets(Box<KernelFilter>),
    Nft(NftKeeper),
}

impl Base {
    const fn tier(&self) -> Tier {
        match self {
            Base::Sockets(_) => Tier::SocketFilter,
            Base::Nft(_) => Tier::Nftables,
        }
    }
}

/// What one interface has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InterfaceTier {
    /// Its name.
    pub name: String,
    /// The tier in force for it; `None`: none.
    pub tier: Option<Tier>,
    /// Why not a better one.
    pub why_not_better: Option<String>,
    /// The interface itself is not there now.
    pub is_gone: bool,
}

/// What was seen since the last reading.
#[derive(Debug)]
pub(crate) struct Reading {
    /// By the filters that answered; `None` if none did.
    pub(crate) batch: Option<PacketBatch>,
    /// The first that did not.
    pub(crate) error: Option<BanError>,
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
        let listeners: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
        let mut state = State {
            seats: request.interfaces.iter().map(|name| Seat::new(name)).collect(),
            base: None,
            base_why: None,
            fillings: 0,
            counted_before: vec![0; PacketReason::ALL.len()],
            allow,
            services,
            // Given with the first look at the host, before any packet is waited for.
            source_rates: None,
            cookie_setting: SynCookieSetting::open(Some(request.state_file.clone())),
        };
        if request.interfaces.is_empty() {
            state.take_first(&request, None, &listeners)?;
        }
        for at in 0..request.interfaces.len() {
            // The host's tiers are tried for the first interface that falls to them.
            let listeners = if state.base_why.is_some() { &[][..] } else { &listeners };
            state.take_first(&request, Some(at), listeners)?;
        }
        state.tell();
        Ok(Kernel { request, state: Mutex::new(state) })
    }

    /// Notices that an interface is gone, or another one of its name has come. Says so once each,
    /// and puts a filter on the new one; the others go on. True when the plan has to be applied anew:
    /// a new filter knows neither it nor bans, and with one that is gone less of it is carried out.
    pub(crate) fn follow_interfaces(&self, now_ms: u64) -> bool {
        // All of them, whatever the first says.
        (0..self.request.interfaces.len()).fold(false, |new, at| self.follow(at, now_ms) | new)
    }

    fn follow(&self, at: usize, now_ms: u64) -> bool {
        let mut state = lock(&self.state);
        let lost = state.seats.get(at).is_some_and(Seat::is_lost);
        if lost {
            state.lose_seat(at);
        }
        let due = state.seats.get(at).and_then(|seat| Some((seat.is_due(now_ms)?, &seat.name)));
        let Some((index, name)) = due.map(|(index, name)| (index, name.clone())) else {
            return lost;
        };
        let request = state.attach_request(&self.request, Some(at));
        let without_base = state.base.is_none();
        drop(state);
        let attached = KernelFilter::attach(&request);
        let base = match &attached {
            Err(error) if without_base => self.fall_to_nftables(&request, error),
            _ => None,
        };
        let mut state = lock(&self.state);
        let new = attached.is_ok() || base.is_some();
        state.fillings += u64::from(new);
        if let Some(base) = base {
            state.base = Some(base);
            tracing::warn!("{}", weaker(Tier::Nftables));
        }
        let Some(seat) = state.seats.get_mut(at) else { return new || lost };
        match attached {
            Ok(filter) => {
                tracing::info!("the interface {name} is back");
                seat.fill(filter, Some(index));
            }
            Err(error) => {
                let error = without_sockets(&error);
                let why = format!("the interface {name} is back without XDP: {error}");
                seat.refused(why, now_ms);
            }
        }
        new || lost
    }

    /// The last tier, where XDP was refused to an interface that came back.
    fn fall_to_nftables(&self, request: &AttachRequest<'_>, error: &AttachError) -> Option<Base> {
        let to_mend = matches!(
            error,
            AttachError::InterfaceUnknown { .. } | AttachError::InterfaceTaken { .. }
        );
        if to_mend || !self.request.nftables {
            return None;
        }
        let filter = NftFilter::attach(request, vec![error.to_string()]).ok()?;
        NftKeeper::start(filter).ok().map(Base::Nft)
    }

    /// The tier in force; of several interfaces, the weakest one's. One that is gone counts only
    /// where no other is left: nothing comes over it.
    pub fn tier(&self) -> Option<Tier> {
        let state = lock(&self.state);
        let tiers = state.tiers();
        let there = |at: usize| state.seats.get(at).is_none_or(|seat| !seat.is_gone());
        let there = tiers.into_iter().enumerate().filter(|(at, _)| there(*at));
        // No tier is weaker than any.
        there.map(|(_, tier)| tier).max_by_key(|tier| (tier.is_none(), *tier)).flatten()
    }

    /// Why it is not a better one.
    pub fn why_not_better(&self) -> Option<String> {
        lock(&self.state).why_not_better()
    }

    /// The interfaces asked for.
    pub fn interfaces(&self) -> &[String] {
        &self.request.interfaces
    }

    /// What each of them has.
    pub fn interface_tiers(&self) -> Vec<InterfaceTier> {
        let state = lock(&self.state);
        let tiers = state.tiers().into_iter();
        let seats = state.seats.iter().zip(tiers);
        seats
            .map(|(seat, tier)| InterfaceTier {
                name: seat.name.clone(),
                tier,
                why_not_better: seat.why.clone(),
                is_gone: seat.is_gone(),
            })
            .collect()
    }

    /// Whether a filter is in force that sees every packet of an interface, and not only those of
    /// listeners.
    pub(crate) fn sees_packets(&self) -> bool {
        lock(&self.state).seats.iter().any(|seat| seat.filter.is_some())
    }

    /// How often a filter was put in place, or lost all its bans.
    pub(crate) fn fillings(&self) -> u64 {
        let state = lock(&self.state);
        match &state.base {
            Some(Base::Nft(keeper)) => state.fillings + keeper.remade(),
            _ => state.fillings,
        }
    }

    /// Packets dropped because of a ban since the start; `None` where no filter counts them.
    pub fn dropped_packets(&self) -> Option<u64> {
        let state = lock(&self.state);
        let counters = state.counters();
        if counters.is_empty() {
            return None;
        }
        let now: u64 = counters.iter().map(|c| c.dropped_for(Reason::SourceBanned)).sum();
        let before = state.counted_before.get(PacketReason::SourceBanned as usize);
        Some(now + before.copied().unwrap_or(0))
    }

    /// Packets refused since the start by reason, only those that occurred; `None` where no filter
    /// counts them.
    pub(crate) fn refused(&self) -> Option<Vec<(PacketReason, u64)>> {
        let state = lock(&self.state);
        if state.fillings == 0 {
            return None;
        }
        let counters = state.counters();
        let now = |reason| counters.iter().map(|c| c.of(reason)).sum::<u64>();
        let reasons = PacketReason::ALL.iter().zip(&state.counted_before);
        let refused = reasons
            .map(|(reason, before)| (*reason, before + now(*reason)))
            .filter(|(reason, packets)| !reason.passes() && *packets > 0);
        Some(refused.collect())
    }

    /// What happened since the last call; `None` while no filter sees packets. Renews the lease.
    pub(crate) fn read_batch(&self, now_ms: u64) -> Option<Reading> {
        let mut state = lock(&self.state);
        let mut readings = state.seeing().map(|(_, filter)| filter.read_batch(now_ms)).peekable();
        readings.peek()?;
        let mut reading = Reading { batch: None, error: None };
        for read in readings {
            match (read, &mut reading.batch) {
                (Ok(batch), Some(merged)) => merged.merge(batch),
                (Ok(batch), none) => *none = Some(batch),
                // Its counts come with the next batch.
                (Err(error), _) => reading.error = reading.error.or(Some(error)),
            }
        }
        Some(reading)
    }

    /// Takes the filter away and puts back the system setting that it may have changed.
    pub(crate) fn detach(&self) {
        let mut state = lock(&self.state);
        for at in 0..state.seats.len() {
            state.keep_counts(at);
            if let Some(seat) = state.seats.get_mut(at) {
                seat.link = Link::NotWatched;
                seat.lose("Floodwall is stopping".to_owned());
            }
        }
        state.base = None;
        state.base_why = Some("Floodwall is stopping".to_owned());
    }
}

/// The gateway's listening sockets; none if the system has no descriptor left for copies.
fn listeners_of(gateway: &Gateway) -> Vec<OwnedFd> {
    gateway.listener_fds().unwrap_or_else(|error| {
        tracing::warn!("the listening sockets get no kernel filter: {error}");
        Vec::new()
    })
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
