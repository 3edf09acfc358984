//! The filter in force: bans go in, counts come out. What the engine's plan changes is in
//! control.rs.
//!
//! It must never evict a ban to make room, never hold one longer than [`BAN_TTL_MS_MAX`], never ban
//! whom the allow list names, and never outlive the process.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::AsFd;

use aya::Ebpf;
use aya::maps::{HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, RingBuf};
use floodwall_model::limits::BAN_TTL_MS_MAX;
use floodwall_model::{Ban, CheckedBan, Prefix, Source};

use crate::abi::{self, ALLOW_MAX, BanKey, Counts, EgressNet, NETS_MAX, Net, Volume, holds};
use crate::attach::{self, AttachRequest, Attachment, Tier, TierReport};
use crate::ban_slots::{BanSlots, SlotsV4, SlotsV6};
use crate::bans::BanTable;
use crate::clock::Clock;
use crate::control::Control;
use crate::counters::{BanRefusals, FilterCounters, Totals};
use crate::error::{AttachError, BanError, os_error, with_causes};
use crate::icmp_shares::IcmpShares;
use crate::mapped::Mapped;
use crate::networks::{NetTable, Tries, overlap};
use crate::object::{self, Settings, refused};
use crate::policy::PolicyMap;
use crate::probe::capabilities_missing;
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

/// The kernel filter, loaded and attached. Dropping it detaches it.
pub struct KernelFilter {
    // First, so that it is dropped first: no packet meets a filter whose maps are going away.
    pub(crate) attachment: Attachment,
    report: Option<TierReport>,
    pub(crate) maps: Maps,
    pub(crate) clock: Clock,
    pub(crate) control: Control,
    table: BanTable,
    networks: NetTable,
    allowed: Vec<Prefix>,
    refusals: BanRefusals,
    /// Removed by [`KernelFilter::ban`] to make room, for the next [`KernelFilter::sweep`] to
    /// return. Holds fewer than two steps' worth.
    unreported: Vec<EndedBan>,
    pub(crate) ebpf: Ebpf,
}

impl fmt::Debug for KernelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelFilter")
            .field("report", &self.report)
            .field("bans_held", &self.table.len())
            .finish_non_exhaustive()
    }
}

/// The kernel's tables, those that are memory and those that are asked.
pub(crate) struct Maps {
    pub(crate) policy: PolicyMap,
    bans_v4: BanSlots<SlotsV4>,
    bans_v6: BanSlots<SlotsV6>,
    networks: Tries<Net>,
    allowed: Tries<u32>,
    counts: PerCpuArray<MapData, Counts>,
    pub(crate) ports: Mapped,
    pub(crate) icmp: IcmpShares,
    pub(crate) local: HashMap<MapData, [u8; 16], u32>,
    pub(crate) egress: PerCpuHashMap<MapData, EgressNet, Volume>,
    pub(crate) samples: RingBuf<MapData>,
}

impl KernelFilter {
    /// Loads the filter and attaches it in the best tier this host allows;
    /// [`KernelFilter::tier`] says which and why not a better one.
    ///
    /// # Errors
    /// See [`AttachError`]. Nothing stays attached after an error.
    pub fn attach(request: &AttachRequest<'_>) -> Result<KernelFilter, AttachError> {
        let mut filter = KernelFilter::load(request)?;
        let (attachment, report) = attach::attach(&mut filter.ebpf, request)?;
        filter.attachment = attachment;
        if report.tier == Tier::XdpNative {
            filter.control.answers.watch();
        }
        filter.report = Some(report);
        Ok(filter)
    }

    /// The filter with its maps, attached to nothing.
    pub(crate) fn load(request: &AttachRequest<'_>) -> Result<KernelFilter, AttachError> {
        let settings = Settings::new(request.max_bans, request.sanity)?;
        let missing = capabilities_missing();
        // CAP_NET_ADMIN is wanted for XDP alone.
        if object::is_built() && missing.iter().any(|name| *name != "CAP_NET_ADMIN") {
            let detail = format!("this process lacks {}", missing.join(", "));
            return Err(AttachError::NotPermitted { detail });
        }
        let mut ebpf = object::load(&settings)?;
        let (maps, rules) = Maps::take(&mut ebpf, &settings)?;
        let clock = Clock::measure(|| {
            attach::run_clock(&mut ebpf)?;
            Ok(maps.policy.reading())
        })
        .map_err(|error: aya::programs::ProgramError| refused(&error))?;
        let mut filter = KernelFilter {
            attachment: Attachment::Nothing,
            report: None,
            maps,
            clock,
            control: Control::new(rules, request),
            table: BanTable::new(request.max_bans),
            networks: NetTable::default(),
            allowed: Vec::new(),
            refusals: BanRefusals::default(),
            unreported: Vec::new(),
            ebpf,
        };
        filter
            .settle(request)
            .map_err(|error| AttachError::Kernel { detail: error.to_string() })?;
        for prefix in &request.allow {
            filter
                .allow(*prefix)
                .map_err(|error| AttachError::Kernel { detail: error.to_string() })?;
        }
        Ok(filter)
    }

    /// The tier in force. None only inside a [`DryRun`](crate::DryRun), which is attached to
    /// nothing.
    pub fn tier(&self) -> Option<&TierReport> {
        self.report.as_ref()
    }

    /// Puts a freshly loaded copy of the program in place of the attached one: no packet in between
    /// meets no filter, and bans, rules and counts stay. In the other tiers there is nothing to do.
    ///
    /// # Errors
    /// [`AttachError::NotPermitted`] or [`AttachError::Kernel`]; nothing may be attached then.
    pub fn replace(&mut self) -> Result<(), AttachError> {
        attach::replace(&mut self.ebpf, &mut self.attachment)
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

    /// What the filter has seen since it was loaded.
    ///
    /// # Errors
    /// [`BanError::Kernel`] when the counters cannot be read.
    pub fn counters(&self) -> Result<FilterCounters, BanError> {
        Ok(FilterCounters {
            bans_held: self.table.len() as u64,
            networks_held: u64::from(self.networks.held(true))
                + u64::from(self.networks.held(false)),
            bans_refused: self.refusals,
            ..self.totals()?.counters()
        })
    }

    pub(crate) fn totals(&self) -> Result<Totals, BanError> {
        Totals::read(&self.maps.counts).map_err(kernel)
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

    /// For [`DryRun`](crate::DryRun).
    pub(crate) fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

impl Drop for KernelFilter {
    fn drop(&mut self) {
        // The link takes the XDP program off the interface when it is dropped. Open sockets keep
        // their filter, and with it the maps: without bans, rules and lease it passes everything.
        self.maps.policy.set_guards(0, 0);
        self.maps.policy.set_lease_until(0);
    }
}

impl Maps {
    /// Out of the loaded object. The memory of the rule table comes apart.
    fn take(ebpf: &mut Ebpf, settings: &Settings) -> Result<(Maps, Mapped), AttachError> {
        let mut taken = Taken { ebpf };
        let (v4, v6) = (settings.buckets_v4(), settings.buckets_v6());
        let policy = PolicyMap::new(taken.memory(abi::MAP_POLICY, size_of::<abi::Policy>())?);
        let rules = taken.memory(abi::MAP_RULES, size_of::<abi::Rules>())?;
        let slots_v4 = SlotsV4 {
            entries: taken.memory(abi::MAP_BANS_V4, v4 as usize * 64)?,
            hits: taken.memory(abi::MAP_HITS_V4, v4 as usize * 32)?,
        };
        let slots_v6 = SlotsV6 { entries: taken.memory(abi::MAP_BANS_V6, v6 as usize * 64)? };
        let maps = Maps {
            policy,
            bans_v4: BanSlots::new(slots_v4, settings.secret, v4),
            bans_v6: BanSlots::new(slots_v6, settings.secret, v6),
            networks: Tries::new(
                taken.map::<LpmTrie<_, _, _>>(abi::MAP_NETS_V4)?,
                taken.map::<LpmTrie<_, _, _>>(abi::MAP_NETS_V6)?,
            ),
            allowed: Tries::new(
                taken.map::<LpmTrie<_, _, _>>(abi::MAP_ALLOW_V4)?,
                taken.map::<LpmTrie<_, _, _>>(abi::MAP_ALLOW_V6)?,
            ),
            counts: taken.map(abi::MAP_COUNTS)?,
            ports: taken.memory(abi::MAP_PORTS, 65_536 * size_of::<abi::Port>())?,
            icmp: IcmpShares::new(taken.memory(abi::MAP_ICMP, IcmpShares::BYTES)?),
            local: taken.map(abi::MAP_LOCAL)?,
            egress: taken.map(abi::MAP_EGRESS)?,
            samples: taken.map(abi::MAP_SAMPLES)?,
        };
        Ok((maps, rules))
    }
}

/// Takes maps out of a loaded object by name.
struct Taken<'a> {
    ebpf: &'a mut Ebpf,
}

impl Taken<'_> {
    fn any(&mut self, name: &str) -> Result<Map, AttachError> {
        let missing = || AttachError::Kernel { detail: format!("map {name} is missing") };
        self.ebpf.take_map(name).ok_or_else(missing)
    }

    fn map<M: TryFrom<Map, Error = MapError>>(&mut self, name: &str) -> Result<M, AttachError> {
        self.any(name)?.try_into().map_err(|error: MapError| refused(&error))
    }

    /// The map itself stays in the object, whose programs refer to it by descriptor when they are
    /// loaded.
    fn memory(&mut self, name: &str, bytes: usize) -> Result<Mapped, AttachError> {
        let Some(Map::Array(data)) = self.ebpf.map(name) else {
            return Err(AttachError::Kernel { detail: format!("there is no array {name}") });
        };
        Mapped::of(data.fd().as_fd(), bytes).map_err(|error| refused(&error))
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

pub(crate) fn kernel(error: MapError) -> BanError {
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
