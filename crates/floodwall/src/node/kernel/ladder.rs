//! Which filter sits where: the rungs taken one after the other, what is said of each, and what
//! remains when one is lost.
//!
//! It must never fall to a weaker tier without saying why and what that tier cannot do.

use std::os::fd::BorrowedFd;

use floodwall_xdp::{AttachError, AttachRequest, BestFilter, FilterCounters, KernelFilter, Tier};

use super::super::link::interface_index;
use super::super::nft_keeper::NftKeeper;
use super::super::seat::Seat;
use super::{Base, FilterRequest, State};

impl State {
    /// The first attachment for the seat `at`, or for the host where no interface is named.
    pub(super) fn take_first(
        &mut self,
        request: &FilterRequest,
        at: Option<usize>,
        listeners: &[BorrowedFd<'_>],
    ) -> Result<(), AttachError> {
        let tried = self.base_why.is_some();
        // Before attaching: if it changes in between, the next look finds another number.
        let name = at.and_then(|at| request.interfaces.get(at));
        let index = name.and_then(|name| interface_index(name));
        let asked =
            AttachRequest { listeners: listeners.to_vec(), ..self.attach_request(request, at) };
        let attached = if tried || !request.nftables {
            KernelFilter::attach(&asked).map(|filter| BestFilter::Bpf(Box::new(filter)))
        } else {
            BestFilter::attach(&asked)
        };
        let why = match attached {
            Ok(BestFilter::Bpf(filter)) if filter.tier().is_some_and(|t| t.tier.is_xdp()) => {
                if let Some(seat) = at.and_then(|at| self.seats.get_mut(at)) {
                    seat.fill(*filter, index);
                }
                self.fillings += 1;
                return Ok(());
            }
            Ok(BestFilter::Bpf(filter)) => {
                let why = filter.tier().map_or(String::new(), |t| t.why_not_better.join("; "));
                self.base = Some(Base::Sockets(filter));
                self.fillings += 1;
                why
            }
            Ok(BestFilter::Nft(filter)) => {
                let why = filter.report().why_not_better.join("; ");
                match NftKeeper::start(*filter) {
                    Ok(keeper) => {
                        self.base = Some(Base::Nft(keeper));
                        self.fillings += 1;
                        why
                    }
                    Err(error) => format!("{why}; nftables: the system gave no thread: {error}"),
                }
            }
            Err(
                error @ (AttachError::InterfaceUnknown { .. } | AttachError::InterfaceTaken { .. }),
            ) => return Err(error),
            Err(error) if tried => without_sockets(&error),
            Err(error) => error.to_string(),
        };
        if let Some(seat) = at.and_then(|at| self.seats.get_mut(at)) {
            seat.why = Some(why.clone());
        }
        self.base_why.get_or_insert(why);
        Ok(())
    }

    /// Says once what is in force below XDP, why, and what is not done there.
    pub(super) fn tell(&self) {
        let Some(why) = &self.base_why else { return };
        match self.base.as_ref().map(Base::tier) {
            None => tracing::warn!(
                "no kernel filter: {why}. Banned sources are closed by the gateway instead, \
                 floods of packets are not stopped; everything else works."
            ),
            Some(tier) => {
                tracing::info!(tier = tier.name(), "kernel filter attached");
                // Without an interface nobody asked for more than the sockets.
                if tier == Tier::Nftables || !self.seats.is_empty() {
                    let without = self.seats.iter().filter(|seat| seat.filter.is_none());
                    let names: Vec<&str> = without.map(|seat| seat.name.as_str()).collect();
                    let for_whom = match self.seats.len() {
                        0 | 1 => String::new(),
                        _ => format!("for {}: ", names.join(", ")),
                    };
                    tracing::warn!("{for_whom}{}. Why not a better one: {why}", weaker(tier));
                }
            }
        }
    }

    /// The tier of each seat, or of the host where no interface is named.
    pub(super) fn tiers(&self) -> Vec<Option<Tier>> {
        let base = self.base.as_ref().map(Base::tier);
        if self.seats.is_empty() {
            return vec![base];
        }
        let tier = |seat: &Seat| seat.tier.or(if seat.is_gone() { None } else { base });
        self.seats.iter().map(tier).collect()
    }

    pub(super) fn why_not_better(&self) -> Option<String> {
        if self.seats.is_empty() {
            return self.base_why.clone().filter(|why| !why.is_empty());
        }
        let mut reasons: Vec<&str> = Vec::new();
        for why in self.seats.iter().filter_map(|seat| seat.why.as_deref()) {
            if !reasons.contains(&why) {
                reasons.push(why);
            }
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// The filters that see every packet of an interface.
    pub(super) fn seeing(&mut self) -> impl Iterator<Item = (&str, &mut KernelFilter)> {
        self.seats.iter_mut().filter_map(|seat| Some((seat.name.as_str(), seat.filter.as_mut()?)))
    }

    pub(super) fn bpf_filters(&mut self) -> impl Iterator<Item = &mut KernelFilter> {
        let base = match &mut self.base {
            Some(Base::Sockets(filter)) => Some(filter.as_mut()),
            Some(Base::Nft(_)) | None => None,
        };
        self.seats.iter_mut().filter_map(|seat| seat.filter.as_mut()).chain(base)
    }

    pub(super) fn counters(&self) -> Vec<FilterCounters> {
        let base = match &self.base {
            Some(Base::Sockets(filter)) => filter.counters().ok(),
            Some(Base::Nft(keeper)) => keeper.counters(),
            None => None,
        };
        self.seats.iter().filter_map(Seat::counters).chain(base).collect()
    }

    /// For the interface alone; the listeners of a first attachment come on top.
    pub(super) fn attach_request(
        &self,
        request: &FilterRequest,
        at: Option<usize>,
    ) -> AttachRequest<'static> {
        AttachRequest {
            interface: at.and_then(|at| request.interfaces.get(at)).cloned(),
            allow: self.allow.clone(),
            services: self.services.clone(),
            source_rates: self.source_rates,
            sanity: request.sanity,
            cookie_setting: Some(self.cookie_setting.clone()),
            features: request.features,
            ..AttachRequest::default()
        }
    }

    pub(super) fn keep_counts(&mut self, at: usize) {
        if let Some(counters) = self.seats.get(at).and_then(Seat::counters) {
            let counted = self.counted_before.iter_mut().zip(counters.by_reason);
            counted.for_each(|(before, now)| *before += now);
        }
    }

    pub(super) fn lose_seat(&mut self, at: usize) {
        self.keep_counts(at);
        if let Some(seat) = self.seats.get_mut(at) {
            let name = &seat.name;
            tracing::warn!("the interface {name} is gone, and the kernel filter with it");
            let why = format!("the interface {name} is gone; it gets the filter when it is back");
            seat.lose(why);
        }
    }
}

/// Why an interface has no XDP, when XDP alone was tried: that no sockets were given then is no news.
pub(super) fn without_sockets(error: &AttachError) -> String {
    let text = error.to_string();
    let told = text.split("; ").filter(|part| !part.starts_with("socket filter: no listening"));
    told.collect::<Vec<_>>().join("; ")
}

/// What a tier below XDP does, and what it does not.
pub(super) fn weaker(tier: Tier) -> String {
    let sits = match tier {
        Tier::Nftables => "an nftables set: it drops banned sources",
        _ => "on the listening sockets: it drops banned sources there",
    };
    format!("the kernel filter is {sits}. Not done: {}", tier.cannot().join("; "))
}
