//! What the node asks of the kernel filter: plans, bans, lists, services, listeners. Each goes to
//! every filter there is.
//!
//! It must never take a filter's refusal for success: what was not carried out is in the answer, or
//! counted.

use floodwall_gateway::Gateway;
use floodwall_model::packet::{CheckedPacketPlan, Guards};
use floodwall_model::{CheckedBan, Prefix};
use floodwall_xdp::{BanError, KernelFilter, PlanApplied, Services, SourceRates};

use super::super::lock;
use super::{Base, Kernel, listeners_of};

impl Kernel {
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
