//! The filter in force: bans go in, counts come out.
//!
//! It must never evict a ban to make room, never hold one longer than
//! [`BAN_TTL_MS_MAX`], and never outlive the process.

use std::fmt;
use std::os::fd::AsFd;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use floodwall_model::limits::BAN_TTL_MS_MAX;
use floodwall_model::{Ban, CheckedBan, Prefix, Source};

use crate::abi::{BanKey, BanValue, KeyV4, KeyV6, MAP_BANS_V4, MAP_BANS_V6, MAP_COUNTS};
use crate::attach::{self, AttachRequest, Attachment, Tier, TierReport};
use crate::bans::BanTable;
use crate::counters::{BanRefusals, FilterCounters};
use crate::error::{AttachError, BanError, os_error, with_causes};
use crate::object::{self, refused};
use crate::sys;

/// Ended bans removed by one call of [`KernelFilter::sweep`]. When more have ended: they pass
/// already, and the next call removes them.
pub const SWEEP_STEP_MAX: usize = 4_096;

/// A ban that has ended and was removed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct EndedBan {
    /// Whom it hit.
    pub source: Prefix,
    /// Packets dropped on account of it.
    pub packets_dropped: u64,
}

/// The kernel filter, loaded and attached. Dropping it detaches it.
pub struct KernelFilter {
    // First, so that it is dropped first: no packet meets a filter whose maps are going away.
    attachment: Attachment,
    report: Option<TierReport>,
    maps: Maps,
    table: BanTable,
    refusals: BanRefusals,
    /// Removed by [`KernelFilter::ban`] to make room, for the next [`KernelFilter::sweep`] to
    /// return. Holds fewer than two steps' worth.
    unreported: Vec<EndedBan>,
    ebpf: Ebpf,
}

impl fmt::Debug for KernelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelFilter")
            .field("report", &self.report)
            .field("bans_held", &self.table.len())
            .finish_non_exhaustive()
    }
}

struct Maps {
    bans_v4: HashMap<MapData, KeyV4, BanValue>,
    bans_v6: HashMap<MapData, KeyV6, BanValue>,
    counts: PerCpuArray<MapData, u64>,
}

impl KernelFilter {
    /// Loads the filter and attaches it in the best tier this host allows;
    /// [`KernelFilter::tier`] says which and why not a better one.
    ///
    /// # Errors
    /// See [`AttachError`]. Nothing stays attached after an error.
    pub fn attach(request: &AttachRequest<'_>) -> Result<KernelFilter, AttachError> {
        let mut filter = KernelFilter::load(request.max_bans)?;
        let (attachment, report) = attach::attach(&mut filter.ebpf, request)?;
        filter.attachment = attachment;
        filter.report = Some(report);
        Ok(filter)
    }

    /// The filter with its maps, attached to nothing.
    pub(crate) fn load(max_bans: u32) -> Result<KernelFilter, AttachError> {
        let mut ebpf = object::load(max_bans)?;
        let mut take = |name| {
            let missing = || AttachError::Kernel { detail: format!("map {name} is missing") };
            ebpf.take_map(name).ok_or_else(missing)
        };
        let (bans_v4, bans_v6, counts) =
            (take(MAP_BANS_V4)?, take(MAP_BANS_V6)?, take(MAP_COUNTS)?);
        Ok(KernelFilter {
            attachment: Attachment::Nothing,
            report: None,
            maps: Maps::of(bans_v4, bans_v6, counts).map_err(|error| refused(&error))?,
            table: BanTable::new(max_bans),
            refusals: BanRefusals::default(),
            unreported: Vec::new(),
            ebpf,
        })
    }

    /// The tier in force. None only inside a [`DryRun`](crate::DryRun), which is attached to
    /// nothing.
    pub fn tier(&self) -> Option<&TierReport> {
        self.report.as_ref()
    }

    /// Puts the filter on a listening TCP socket opened later. In the XDP tiers there is nothing
    /// to do: they see the packets of every socket behind their interface.
    ///
    /// # Errors
    /// [`AttachError::NotPermitted`] or [`AttachError::Kernel`]; the listener then has no filter.
    pub fn add_listener(&mut self, listener: impl AsFd) -> Result<(), AttachError> {
        match self.attachment {
            Attachment::Sockets => attach::attach_listener(&mut self.ebpf, listener),
            Attachment::Xdp { .. } | Attachment::Nothing => Ok(()),
        }
    }

    /// Takes the filter off a listener that stays open. Closing a listener needs no call.
    ///
    /// # Errors
    /// [`AttachError::Kernel`].
    pub fn remove_listener(&mut self, listener: impl AsFd) -> Result<(), AttachError> {
        match self.attachment {
            Attachment::Sockets => attach::detach_listener(listener),
            Attachment::Xdp { .. } | Attachment::Nothing => Ok(()),
        }
    }

    /// Enforces `ban` until its end; `now_ms` is the wall clock, ms since the epoch. A ban of a
    /// source that is banned already replaces its end and keeps its count, but for packets dropped
    /// while this call runs.
    ///
    /// # Errors
    /// See [`BanError`]; every refusal is counted. When full, nothing is evicted.
    pub fn ban(&mut self, ban: &CheckedBan, now_ms: u64) -> Result<(), BanError> {
        let result = self.try_ban(ban.ban(), now_ms);
        match &result {
            Ok(()) => {}
            Err(BanError::Over) => self.refusals.over += 1,
            Err(BanError::Full { .. }) => self.refusals.full += 1,
            Err(BanError::NeverBanned(_) | BanError::NotExact(_)) => {
                self.refusals.never_banned += 1;
            }
            Err(BanError::Kernel(_)) => self.refusals.kernel += 1,
        }
        result
    }

    fn try_ban(&mut self, ban: &Ban, now_ms: u64) -> Result<(), BanError> {
        let remaining_ms = remaining_ms(ban, now_ms).ok_or(BanError::Over)?;
        let key = bannable_key(ban.source)?;
        let now_ns = sys::monotonic_ns();
        if !self.table.has_room_for(key) && self.unreported.len() < SWEEP_STEP_MAX {
            // What has ended takes places for nothing.
            let ended = self.remove_ended(now_ns);
            self.unreported.extend(ended);
        }
        if !self.table.has_room_for(key) {
            return Err(BanError::Full { max: self.table.per_family_max() });
        }
        let expires_ktime_ns = now_ns.saturating_add(remaining_ms.saturating_mul(1_000_000));
        let packets = match self.table.contains(key) {
            true => self.maps.get(key).map_err(kernel)?.map_or(0, |held| held.packets),
            false => 0,
        };
        self.maps.insert(key, BanValue { expires_ktime_ns, packets }).map_err(|error| {
            // E2BIG: alloc_htab_elem in kernel/bpf/hashtab.c. The account above says so first,
            // unless somebody else wrote to the map.
            match os_error(&error) {
                Some(libc::E2BIG) => BanError::Full { max: self.table.per_family_max() },
                _ => kernel(error),
            }
        })?;
        self.table.set(key, expires_ktime_ns);
        Ok(())
    }

    /// Lifts the ban of an IPv4 /32 or an IPv6 /64 ([`Source::counted`]). True when there was one.
    ///
    /// # Errors
    /// [`BanError::NotExact`] for any other prefix, [`BanError::Kernel`].
    pub fn unban(&mut self, prefix: Prefix) -> Result<bool, BanError> {
        let key = BanKey::of(prefix).ok_or(BanError::NotExact(prefix))?;
        if !self.table.contains(key) {
            return Ok(false);
        }
        self.maps.remove(key).map_err(kernel)?;
        self.table.remove(key);
        Ok(true)
    }

    /// Removes bans that have ended, at most [`SWEEP_STEP_MAX`], and returns them with what they
    /// dropped, together with those removed to make room since the last call. An ended ban passes
    /// packets before it is swept; sweeping frees its place. About once a second will do.
    ///
    /// The ends stand on the kernel's clock, which is read here: a step of the wall clock neither
    /// shortens nor lengthens a ban.
    pub fn sweep(&mut self) -> Vec<EndedBan> {
        let mut ended = std::mem::take(&mut self.unreported);
        ended.extend(self.remove_ended(sys::monotonic_ns()));
        ended
    }

    fn remove_ended(&mut self, now_ns: u64) -> Vec<EndedBan> {
        let mut removed = Vec::new();
        for key in self.table.ended(now_ns, SWEEP_STEP_MAX) {
            let packets_dropped = match self.maps.get(key) {
                Ok(Some(held)) => held.packets,
                Ok(None) | Err(_) => 0,
            };
            // On failure it stays in the account and the next call tries again; until then it
            // passes packets like any ended ban.
            if self.maps.remove(key).is_ok() {
                self.table.remove(key);
                removed.push(EndedBan { source: key.prefix(), packets_dropped });
            }
        }
        removed
    }

    /// What the filter has seen since it was loaded.
    ///
    /// # Errors
    /// [`BanError::Kernel`] when the counters cannot be read.
    pub fn counters(&self) -> Result<FilterCounters, BanError> {
        let counters = FilterCounters::read(&self.maps.counts).map_err(kernel)?;
        Ok(FilterCounters {
            bans_held: self.table.len() as u64,
            bans_refused: self.refusals,
            ..counters
        })
    }

    /// Packets dropped on account of the ban of `source`. None when it is not banned, or its ban
    /// was swept ([`KernelFilter::sweep`] returns the count then).
    ///
    /// # Errors
    /// [`BanError::Kernel`].
    pub fn dropped_by(&self, source: Source) -> Result<Option<u64>, BanError> {
        let prefix = source.counted();
        let key = BanKey::of(prefix).ok_or(BanError::NotExact(prefix))?;
        Ok(self.maps.get(key).map_err(kernel)?.map(|held| held.packets))
    }

    /// For [`DryRun`](crate::DryRun).
    pub(crate) fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

impl Drop for KernelFilter {
    fn drop(&mut self) {
        let tier = self.report.as_ref().map(|report| report.tier);
        if tier != Some(Tier::SocketFilter) {
            // The link takes the XDP program off the interface when it is dropped.
            return;
        }
        // Open sockets keep their filter, and with it the maps. Without bans it passes everything.
        let keys: Vec<BanKey> = self.table.keys().collect();
        let left = keys.into_iter().filter(|key| self.maps.remove(*key).is_err()).count();
        if left > 0 {
            tracing::warn!(left, "bans could not be lifted; they end by themselves");
        }
    }
}

impl Maps {
    fn of(bans_v4: Map, bans_v6: Map, counts: Map) -> Result<Maps, MapError> {
        Ok(Maps {
            bans_v4: bans_v4.try_into()?,
            bans_v6: bans_v6.try_into()?,
            counts: counts.try_into()?,
        })
    }

    fn get(&self, key: BanKey) -> Result<Option<BanValue>, MapError> {
        let held = match key {
            BanKey::V4(key) => self.bans_v4.get(&key, 0),
            BanKey::V6(key) => self.bans_v6.get(&key, 0),
        };
        match held {
            Ok(held) => Ok(Some(held)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn insert(&mut self, key: BanKey, value: BanValue) -> Result<(), MapError> {
        match key {
            BanKey::V4(key) => self.bans_v4.insert(key, value, 0),
            BanKey::V6(key) => self.bans_v6.insert(key, value, 0),
        }
    }

    /// Removes `key`; that it is gone already is no error.
    fn remove(&mut self, key: BanKey) -> Result<(), MapError> {
        let removed = match key {
            BanKey::V4(key) => self.bans_v4.remove(&key),
            BanKey::V6(key) => self.bans_v6.remove(&key),
        };
        match removed {
            Err(error) if os_error(&error) != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }
}

/// How much of `ban` is left at `now_ms`: no more than its own length, although the wall clock may
/// have stepped back, and no more than any ban may last. None when it is over.
fn remaining_ms(ban: &Ban, now_ms: u64) -> Option<u64> {
    let left_ms = ban.until_ms.checked_sub(now_ms).filter(|left_ms| *left_ms > 0)?;
    Some(left_ms.min(ban.until_ms.saturating_sub(ban.from_ms)).min(BAN_TTL_MS_MAX))
}

/// The key of `source`, unless a ban would cover this host or its neighbours on the link: `::/64`
/// holds `::1`, and `fe80::/64` the routers and neighbour discovery (RFC 4291 §§ 2.5.3, 2.5.6).
fn bannable_key(source: Source) -> Result<BanKey, BanError> {
    let prefix = source.counted();
    let never = match prefix.address() {
        std::net::IpAddr::V4(v4) => v4 == std::net::Ipv4Addr::LOCALHOST,
        std::net::IpAddr::V6(v6) => {
            prefix.contains(std::net::Ipv6Addr::LOCALHOST.into()) || v6.is_unicast_link_local()
        }
    };
    if never {
        return Err(BanError::NeverBanned(prefix));
    }
    BanKey::of(prefix).ok_or(BanError::NotExact(prefix))
}

fn kernel(error: MapError) -> BanError {
    BanError::Kernel(with_causes(&error))
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
        for text in ["127.0.0.1", "::1", "::2", "::ffff:127.0.0.1", "fe80::1", "fe80::1:2:3:4"] {
            let source = Source::new(text.parse().unwrap());
            assert!(matches!(bannable_key(source), Err(BanError::NeverBanned(_))), "{text}");
        }
        for text in ["127.7.7.7", "203.0.113.9", "2001:db8::1", "fd00::1"] {
            assert!(bannable_key(Source::new(text.parse().unwrap())).is_ok(), "{text}");
        }
    }
}
