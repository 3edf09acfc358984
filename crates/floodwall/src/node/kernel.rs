//! The kernel filter as the node uses it: there or not, in which tier, why, and there again.
//!
//! The whole ladder is used: native XDP, generic XDP, a filter on the listening sockets, an nftables
//! set. Each interface has a seat of its own for XDP (seat.rs); the two tiers below are the host's,
//! taken once, when an interface cannot have XDP or none is named.
//!
//! A host without root or BPF runs everything else; this is where that is noticed, said once, and
//! kept for `status`. It must never hold its lock while a filter is loaded: bans and `status` would
//! wait. It must never take a weaker tier silently.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Mutex;

use floodwall_gateway::Gateway;
use floodwall_model::packet::{CheckedPacketPlan, Guards, PacketBatch, PacketReason};
use floodwall_model::{CheckedBan, Prefix, Reason};
use floodwall_xdp::{
    AttachError, AttachRequest, BanError, BestFilter, FilterCounters, KernelFeatures, KernelFilter,
    NftFilter, PlanApplied, Services, SourceRates, SynCookieSetting, Tier,
};

use super::link::{Link, interface_index};
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

    /// Brings every filter to `plan`. What the tier in force cannot hold is in the answer.
    ///
    /// # Errors
    /// Of the first filter that refuses; the others have the plan.
    pub(crate) fn apply(
        &self,
        plan: &CheckedPacketPlan,
        now_ms: u64,
    ) -> Result<PlanApplied, BanError> {
        let mut state = lock(&self.state);
        let mut account: Option<PlanApplied> = None;
        let mut failed = None;
        let several = state.seats.len() > 1;
        // Nothing comes over an interface that is gone.
        for seat in state.seats.iter_mut().filter(|seat| !seat.is_gone()) {
            let applied = match &mut seat.filter {
                Some(filter) => filter.apply(plan, now_ms),
                None => Ok(PlanApplied::not_at_all(plan, now_ms)),
            };
            let mut applied = match applied {
                Ok(applied) => applied,
                Err(error) => {
                    failed = failed.or(Some(error));
                    continue;
                }
            };
            if several {
                let name = &seat.name;
                applied.guards_refused.iter_mut().for_each(|why| *why = format!("{name}: {why}"));
            }
            match &mut account {
                Some(account) => add(account, applied),
                None => account = Some(applied),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(account.unwrap_or_else(|| PlanApplied::not_at_all(plan, now_ms))),
        }
    }

    /// Whether guards rose or fell by themselves, so that the plan is to be applied again.
    pub(crate) fn needs_apply(&self) -> bool {
        let state = lock(&self.state);
        state.seats.iter().filter_map(|seat| seat.filter.as_ref()).any(KernelFilter::needs_apply)
    }

    /// From now on these are the open ports.
    pub(crate) fn set_services(&self, services: Services) {
        let mut state = lock(&self.state);
        if state.services == services {
            return;
        }
        state.seeing().for_each(|(_, filter)| filter.set_services(&services));
        state.services = services;
    }

    /// From now on one source may send so much.
    pub(crate) fn set_source_rates(&self, rates: Option<SourceRates>) {
        let mut state = lock(&self.state);
        if state.source_rates == rates {
            return;
        }
        state.seeing().for_each(|(_, filter)| filter.set_source_rates(rates));
        state.source_rates = rates;
    }

    /// From now on these are never dropped.
    pub(crate) fn set_allow(&self, allow: Vec<Prefix>) {
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut state.allow, allow.clone());
        let without = |all: &[Prefix], others: &[Prefix]| -> Vec<Prefix> {
            all.iter().filter(|prefix| !others.contains(prefix)).copied().collect()
        };
        let (gone, come) = (without(&before, &allow), without(&allow, &before));
        for filter in state.bpf_filters() {
            // First what goes, so that what comes finds room.
            let removed = gone.iter().map(|prefix| (prefix, filter.disallow(*prefix).map(|_| ())));
            let removed: Vec<_> = removed.collect();
            let added = come.iter().map(|prefix| (prefix, filter.allow(*prefix)));
            for (prefix, result) in removed.into_iter().chain(added) {
                if let Err(error) = result {
                    tracing::warn!(%prefix, "the allow list could not be changed: {error}");
                }
            }
        }
        if let Some(Base::Nft(keeper)) = &state.base
            && !keeper.allow(gone, come)
        {
            tracing::warn!("the allow list of nftables could not be changed: its mailbox is full");
        }
    }

    /// Bans in the kernel. True if there is no kernel filter to ban in, or all took the ban.
    pub(crate) fn ban(&self, ban: &CheckedBan, now_ms: u64) -> bool {
        let mut state = lock(&self.state);
        // Each is asked, whatever the first says.
        let refused =
            state.bpf_filters().filter_map(|filter| filter.ban(ban, now_ms).err()).count();
        let by_nft = match &state.base {
            Some(Base::Nft(keeper)) => keeper.ban(ban),
            _ => true,
        };
        refused == 0 && by_nft
    }

    /// Bans that nftables took as orders and then refused.
    pub(crate) fn refused_later(&self) -> u64 {
        let state = lock(&self.state);
        let Some(Base::Nft(keeper)) = &state.base else { return 0 };
        let refused = keeper.counters().unwrap_or_default().bans_refused;
        refused.over + refused.full + refused.never_banned + refused.allowed + refused.kernel
    }

    /// Bans many; where the kernel does not take one, the board still closes.
    pub(crate) fn ban_all(&self, bans: Vec<CheckedBan>, now_ms: u64) {
        let mut state = lock(&self.state);
        for filter in state.bpf_filters() {
            for ban in &bans {
                // Counted there.
                let _ = filter.ban(ban, now_ms);
            }
        }
        if let Some(Base::Nft(keeper)) = &state.base
            && !keeper.ban_all(bans)
        {
            tracing::warn!("bans could not be given to nftables: its mailbox is full");
        }
    }

    /// Lifts bans.
    pub(crate) fn unban_all(&self, prefixes: Vec<Prefix>) {
        let mut state = lock(&self.state);
        for filter in state.bpf_filters() {
            for prefix in &prefixes {
                if let Err(error) = filter.unban(*prefix) {
                    tracing::warn!(%prefix, "a ban could not be lifted and ends by itself: {error}");
                }
            }
        }
        if let Some(Base::Nft(keeper)) = &state.base
            && !keeper.lift_all(prefixes)
        {
            tracing::warn!("bans could not be lifted and end by themselves: the mailbox is full");
        }
    }

    /// Takes ended bans out of the kernel's tables.
    pub(crate) fn sweep(&self) {
        for filter in lock(&self.state).bpf_filters() {
            filter.sweep();
        }
    }

    /// After a reload: new listeners get the filter too, where it sits on listeners.
    pub(crate) fn follow_listeners(&self, gateway: &Gateway) {
        if let Some(Base::Sockets(filter)) = &mut lock(&self.state).base {
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

impl State {
    /// The first attachment for the seat `at`, or for the host where no interface is named.
    fn take_first(
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
    fn tell(&self) {
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
    fn tiers(&self) -> Vec<Option<Tier>> {
        let base = self.base.as_ref().map(Base::tier);
        if self.seats.is_empty() {
            return vec![base];
        }
        let tier = |seat: &Seat| seat.tier.or(if seat.is_gone() { None } else { base });
        self.seats.iter().map(tier).collect()
    }

    fn why_not_better(&self) -> Option<String> {
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
    fn seeing(&mut self) -> impl Iterator<Item = (&str, &mut KernelFilter)> {
        self.seats.iter_mut().filter_map(|seat| Some((seat.name.as_str(), seat.filter.as_mut()?)))
    }

    fn bpf_filters(&mut self) -> impl Iterator<Item = &mut KernelFilter> {
        let base = match &mut self.base {
            Some(Base::Sockets(filter)) => Some(filter.as_mut()),
            Some(Base::Nft(_)) | None => None,
        };
        self.seats.iter_mut().filter_map(|seat| seat.filter.as_mut()).chain(base)
    }

    fn counters(&self) -> Vec<FilterCounters> {
        let base = match &self.base {
            Some(Base::Sockets(filter)) => filter.counters().ok(),
            Some(Base::Nft(keeper)) => keeper.counters(),
            None => None,
        };
        self.seats.iter().filter_map(Seat::counters).chain(base).collect()
    }

    /// For the interface alone; the listeners of a first attachment come on top.
    fn attach_request(&self, request: &FilterRequest, at: Option<usize>) -> AttachRequest<'static> {
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

    fn keep_counts(&mut self, at: usize) {
        if let Some(counters) = self.seats.get(at).and_then(Seat::counters) {
            let counted = self.counted_before.iter_mut().zip(counters.by_reason);
            counted.for_each(|(before, now)| *before += now);
        }
    }

    fn lose_seat(&mut self, at: usize) {
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
fn without_sockets(error: &AttachError) -> String {
    let text = error.to_string();
    let told = text.split("; ").filter(|part| !part.starts_with("socket filter: no listening"));
    told.collect::<Vec<_>>().join("; ")
}

/// What a tier below XDP does, and what it does not.
fn weaker(tier: Tier) -> String {
    let sits = match tier {
        Tier::Nftables => "an nftables set: it drops banned sources",
        _ => "on the listening sockets: it drops banned sources there",
    };
    format!("the kernel filter is {sits}. Not done: {}", tier.cannot().join("; "))
}

/// A guard stands if it stands everywhere.
fn add(account: &mut PlanApplied, other: PlanApplied) {
    let (own, theirs) = (account.guards, other.guards);
    account.guards = Guards {
        syn_proof: own.syn_proof && theirs.syn_proof,
        tcp_state: own.tcp_state && theirs.tcp_state,
        udp_solicited: own.udp_solicited && theirs.udp_solicited,
        icmp: own.icmp && theirs.icmp,
    };
    account.guards_refused.extend(other.guards_refused);
    for rule in other.rules_refused {
        if !account.rules_refused.contains(&rule) {
            account.rules_refused.push(rule);
        }
    }
    account.change.added += other.change.added;
    account.change.removed += other.change.removed;
    account.change.kept += other.change.kept;
    account.change.rows_written += other.change.rows_written;
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
