//! Bans in force: who is banned until when, who never is.
//!
//! It must never evict a ban to make room, never hold one longer than [`BAN_TTL_MS_MAX`], and never
//! ban whom the allow list names.

use std::net::IpAddr;

use floodwall_model::limits::BAN_TTL_MS_MAX;
use floodwall_model::{Ban, CheckedBan, Prefix, Source};

use super::{KernelFilter, kernel};
use crate::abi::{ALLOW_MAX, BanKey, NETS_MAX, Net, holds};
use crate::counters::BanRefusals;
use crate::error::{BanError, os_error};
use crate::networks::overlap;
use crate::sys;

/// Ended bans removed by one call of [`KernelFilter::sweep`]. When more have ended: they pass
/// already, and the next call removes them.
pub const SWEEP_STEP_MAX: usize = 4_096;

/// Widest networks that may be banned (design/l4.md).
const NETWORK_BITS_MIN: (u8, u8) = (12, 32);

/// A ban that has ended and was removed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct EndedBan {
    /// Whom it hit.
    pub source: Prefix,
    /// Packets dropped on account of it, modulo 2^32; not counted for networks.
    pub packets_dropped: u64,
}

impl KernelFilter {
    /// Enforces `ban` until its end; `now_ms` is the wall clock, ms since the epoch. A ban of a
    /// source that is banned already replaces its end and keeps its count. Renews the lease.
    ///
    /// # Errors
    /// See [`BanError`]; every refusal is counted. When full, nothing is evicted.
    pub fn ban(&mut self, ban: &CheckedBan, now_ms: u64) -> Result<(), BanError> {
        self.renew();
        let result = self.try_ban(ban.ban(), now_ms);
        self.count_refusal(&result);
        result
    }

    fn count_refusal(&mut self, result: &Result<(), BanError>) {
        if let Err(error) = result {
            count_refusal(&mut self.refusals, error);
        }
    }

    fn try_ban(&mut self, ban: &Ban, now_ms: u64) -> Result<(), BanError> {
        let remaining_ms = remaining_ms(ban, now_ms).ok_or(BanError::Over)?;
        let key = bannable_key(ban.source)?;
        self.refuse_allowed(key.prefix())?;
        let now_ns = sys::monotonic_ns();
        let full = BanError::Full { max: self.table.per_family_max() };
        if !self.table.has_room_for(key) && self.unreported.len() < SWEEP_STEP_MAX {
            // What has ended takes places for nothing.
            let ended = self.remove_ended(now_ns);
            self.unreported.extend(ended);
        }
        if !self.table.has_room_for(key) {
            return Err(full);
        }
        let expires = self.clock.in_ms(remaining_ms) as u32;
        let written = match key {
            BanKey::V4(address) => self.maps.bans_v4.insert(address, expires),
            BanKey::V6(network) => self.maps.bans_v6.insert(network, expires),
        };
        // At half load both buckets of a key are as good as never full.
        written.map_err(|_| full)?;
        self.table.set(key, now_ns.saturating_add(remaining_ms.saturating_mul(1_000_000)));
        self.tell_what_is_held();
        Ok(())
    }

    fn refuse_allowed(&self, banned: Prefix) -> Result<(), BanError> {
        match self.allowed.iter().find(|allowed| overlap(**allowed, banned)) {
            Some(allowed) => Err(BanError::Allowed { banned, allowed: *allowed }),
            None => Ok(()),
        }
    }

    /// Bans a network for `length_ms`, at most [`BAN_TTL_MS_MAX`]. Among nested networks the
    /// narrowest decides: one that has ended hides a wider one until the next sweep.
    ///
    /// # Errors
    /// See [`BanError`]; every refusal is counted.
    pub fn ban_network(&mut self, network: Prefix, length_ms: u64) -> Result<(), BanError> {
        self.renew();
        let result = self.try_ban_network(network, length_ms);
        self.count_refusal(&result);
        result
    }

    fn try_ban_network(&mut self, network: Prefix, length_ms: u64) -> Result<(), BanError> {
        if length_ms == 0 {
            return Err(BanError::Over);
        }
        let v4 = network.address().is_ipv4();
        if network.bits() < if v4 { NETWORK_BITS_MIN.0 } else { NETWORK_BITS_MIN.1 } {
            return Err(BanError::TooWide(network));
        }
        if NEVER_BANNED.iter().any(|(address, bits)| overlap(Prefix::new(*address, *bits), network))
        {
            return Err(BanError::NeverBanned(network));
        }
        self.refuse_allowed(network)?;
        if !self.networks.contains(network) && self.networks.held(v4) >= NETS_MAX {
            return Err(BanError::Full { max: NETS_MAX });
        }
        let length_ms = length_ms.min(BAN_TTL_MS_MAX);
        let value = Net { expires: self.clock.in_ms(length_ms) as u32, spare: 0 };
        self.maps.networks.insert(network, value).map_err(|error| match os_error(&error) {
            // trie_update_elem in kernel/bpf/lpm_trie.c.
            Some(libc::ENOSPC) => BanError::Full { max: NETS_MAX },
            _ => kernel(error),
        })?;
        self.networks.set(network, sys::monotonic_ns().saturating_add(length_ms * 1_000_000));
        self.tell_what_is_held();
        Ok(())
    }

    /// Never drop packets from `prefix`. Bans that overlap it are lifted.
    ///
    /// # Errors
    /// [`BanError::Full`] beyond [`ALLOW_MAX`] prefixes, [`BanError::Kernel`].
    pub fn allow(&mut self, prefix: Prefix) -> Result<(), BanError> {
        if self.allowed.contains(&prefix) {
            return Ok(());
        }
        if self.allowed.len() >= ALLOW_MAX as usize {
            return Err(BanError::Full { max: ALLOW_MAX });
        }
        let banned: Vec<BanKey> =
            self.table.keys().filter(|key| overlap(key.prefix(), prefix)).collect();
        for key in banned {
            self.lift(key);
        }
        for network in self.networks.overlapping(prefix) {
            self.maps.networks.remove(network).map_err(kernel)?;
            self.networks.remove(network);
        }
        self.maps.allowed.insert(prefix, 1).map_err(kernel)?;
        self.allowed.push(prefix);
        self.tell_what_is_held();
        Ok(())
    }

    /// Takes `prefix` off the allow list. True when it was on it.
    ///
    /// # Errors
    /// [`BanError::Kernel`].
    pub fn disallow(&mut self, prefix: Prefix) -> Result<bool, BanError> {
        let Some(at) = self.allowed.iter().position(|held| *held == prefix) else {
            return Ok(false);
        };
        self.maps.allowed.remove(prefix).map_err(kernel)?;
        self.allowed.swap_remove(at);
        self.tell_what_is_held();
        Ok(true)
    }

    /// The kernel looks only into tables that have something in them.
    fn tell_what_is_held(&self) {
        let policy = &self.maps.policy;
        for (v4, bans, nets, allow) in [
            (true, holds::BANS_V4, holds::NETS_V4, holds::ALLOW_V4),
            (false, holds::BANS_V6, holds::NETS_V6, holds::ALLOW_V6),
        ] {
            policy.set_holds(bans, self.table.held(v4) > 0);
            policy.set_holds(nets, self.networks.held(v4) > 0);
            let allowed = self.allowed.iter().any(|p| p.address().is_ipv4() == v4);
            policy.set_holds(allow, allowed);
        }
    }

    fn lift(&mut self, key: BanKey) {
        match key {
            BanKey::V4(address) => self.maps.bans_v4.remove(address),
            BanKey::V6(network) => self.maps.bans_v6.remove(network),
        };
        self.table.remove(key);
    }

    /// Lifts the ban of an IPv4 /32, an IPv6 /64 ([`Source::counted`]) or a network as it was
    /// banned. True when there was one.
    ///
    /// # Errors
    /// [`BanError::NotExact`] for a network that is not banned, [`BanError::Kernel`].
    pub fn unban(&mut self, prefix: Prefix) -> Result<bool, BanError> {
        if self.networks.contains(prefix) {
            self.maps.networks.remove(prefix).map_err(kernel)?;
            self.networks.remove(prefix);
            self.tell_what_is_held();
            return Ok(true);
        }
        let key = BanKey::of(prefix).ok_or(BanError::NotExact(prefix))?;
        let held = self.table.contains(key);
        if held {
            self.lift(key);
            self.tell_what_is_held();
        }
        Ok(held)
    }

    /// Removes bans that have ended, at most [`SWEEP_STEP_MAX`], and returns them with what they
    /// dropped, together with those removed to make room since the last call. An ended ban passes
    /// packets before it is swept; sweeping frees its place. About once a second will do. Renews
    /// the lease.
    ///
    /// The ends stand on the kernel's clock, which is read here: a step of the wall clock neither
    /// shortens nor lengthens a ban.
    pub fn sweep(&mut self) -> Vec<EndedBan> {
        self.renew();
        let mut ended = std::mem::take(&mut self.unreported);
        ended.extend(self.remove_ended(sys::monotonic_ns()));
        ended
    }

    fn remove_ended(&mut self, now_ns: u64) -> Vec<EndedBan> {
        let mut removed = Vec::new();
        for key in self.table.ended(now_ns, SWEEP_STEP_MAX) {
            let packets_dropped = self.packets_dropped(key).unwrap_or(0);
            self.lift(key);
            removed.push(EndedBan { source: key.prefix(), packets_dropped });
        }
        for network in self.networks.ended(now_ns, SWEEP_STEP_MAX) {
            // On failure it stays in the account and the next call tries again; until then it
            // passes packets like any ended ban.
            if self.maps.networks.remove(network).is_ok() {
                self.networks.remove(network);
                removed.push(EndedBan { source: network, packets_dropped: 0 });
            }
        }
        self.tell_what_is_held();
        removed
    }

    fn packets_dropped(&self, key: BanKey) -> Option<u64> {
        let packets = match key {
            BanKey::V4(address) => self.maps.bans_v4.packets(address),
            BanKey::V6(network) => self.maps.bans_v6.packets(network),
        };
        packets.map(u64::from)
    }

    /// Packets dropped on account of the ban of `source`, modulo 2^32. None when it is not banned,
    /// or its ban was swept ([`KernelFilter::sweep`] returns the count then).
    ///
    /// # Errors
    /// [`BanError::NotExact`] never for a source as it is counted.
    pub fn dropped_by(&self, source: Source) -> Result<Option<u64>, BanError> {
        let prefix = source.counted();
        let key = BanKey::of(prefix).ok_or(BanError::NotExact(prefix))?;
        Ok(self.packets_dropped(key))
    }
}

/// Every refusal under its reason.
pub(crate) fn count_refusal(refusals: &mut BanRefusals, error: &BanError) {
    let count = match error {
        BanError::Over => &mut refusals.over,
        BanError::Full { .. } => &mut refusals.full,
        BanError::Allowed { .. } => &mut refusals.allowed,
        BanError::Kernel(_) => &mut refusals.kernel,
        BanError::NeverBanned(_) | BanError::TooWide(_) | BanError::NotExact(_) => {
            &mut refusals.never_banned
        }
    };
    *count += 1;
}

/// How much of `ban` is left at `now_ms`: no more than its own length, although the wall clock may
/// have stepped back, and no more than any ban may last. None when it is over.
pub(crate) fn remaining_ms(ban: &Ban, now_ms: u64) -> Option<u64> {
    let left_ms = ban.until_ms.checked_sub(now_ms).filter(|left_ms| *left_ms > 0)?;
    Some(left_ms.min(ban.until_ms.saturating_sub(ban.from_ms)).min(BAN_TTL_MS_MAX))
}

/// This host and its neighbours on the link (RFC 1122 § 3.2.1.3, RFC 4291 §§ 2.5.2, 2.5.3, 2.5.6),
/// as networks.
const NEVER_BANNED: [(IpAddr, u8); 4] = [
    (IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(std::net::Ipv4Addr::new(0, 0, 0, 0)), 8),
    (IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 64),
    (IpAddr::V6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
];

/// The key of `source`, unless a ban would cover this host or its neighbours on the link: `::/64`
/// holds `::1`, and `fe80::/64` the routers and neighbour discovery (RFC 4291 §§ 2.5.3, 2.5.6). A
/// free place in the kernel's table looks like 0.0.0.0, which nobody has.
pub(crate) fn bannable_key(source: Source) -> Result<BanKey, BanError> {
    let prefix = source.counted();
    let never = match prefix.address() {
        IpAddr::V4(v4) => v4 == std::net::Ipv4Addr::LOCALHOST || v4.is_unspecified(),
        IpAddr::V6(v6) => {
            prefix.contains(std::net::Ipv6Addr::LOCALHOST.into()) || v6.is_unicast_link_local()
        }
    };
    if never {
        return Err(BanError::NeverBanned(prefix));
    }
    BanKey::of(prefix).ok_or(BanError::NotExact(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(from_ms: u64, until_ms: u64) -> Ban {
        let source = Source::new("203.0.113.9".parse().unwrap());
        Ban { source, from_ms, until_ms, handshake: true, blocked: 20 }
    }

    #[test]
    fn a_ban_lasts_to_its_end_and_never_longer_than_its_length() {
        for (description, from_ms, until_ms, now_ms, expected) in [
            ("applied at once", 1_000, 61_000, 1_000, Some(60_000)),
            ("applied late", 1_000, 61_000, 51_000, Some(10_000)),
            ("at its end it is over", 1_000, 61_000, 61_000, None),
            ("after its end it is over", 1_000, 61_000, 99_000, None),
            ("the wall clock stepped back", 1_000_000, 1_060_000, 0, Some(60_000)),
            ("longer than any ban may last", 0, u64::MAX, 0, Some(BAN_TTL_MS_MAX)),
            ("its end lies before its start", 5_000, 4_000, 1_000, Some(0)),
        ] {
            assert_eq!(remaining_ms(&ban(from_ms, until_ms), now_ms), expected, "{description}");
        }
    }

    #[test]
    fn a_key_that_covers_this_host_or_its_link_is_refused() {
        for text in
            ["127.0.0.1", "0.0.0.0", "::1", "::2", "::ffff:127.0.0.1", "fe80::1", "fe80::1:2:3:4"]
        {
            let source = Source::new(text.parse().unwrap());
            assert!(matches!(bannable_key(source), Err(BanError::NeverBanned(_))), "{text}");
        }
        for text in ["127.7.7.7", "203.0.113.9", "2001:db8::1", "fd00::1"] {
            assert!(bannable_key(Source::new(text.parse().unwrap())).is_ok(), "{text}");
        }
    }
}
