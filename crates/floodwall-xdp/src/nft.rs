//! The last tier: banned sources in an nftables table of our own, for hosts without BPF.
//!
//! It sees addresses and nothing else, so it has no rules, no guards, no samples, no network bans
//! and no lease: what a silent controller leaves behind ends with its own end, ten minutes later at
//! most, because the kernel holds every end itself. It must never touch a table that is not ours.
//!
//! Every call starts nft(8), some milliseconds, in the calling thread's network namespace; a batch
//! of bans costs one.

use std::collections::HashMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use floodwall_model::packet::PacketReason;
use floodwall_model::{CheckedBan, Prefix, Source};

use crate::abi::{ALLOW_MAX, BANS_MAX, BanKey};
use crate::attach::AttachRequest;
use crate::bans::BanTable;
use crate::counters::{BanRefusals, FilterCounters};
use crate::error::{AttachError, BanError};
use crate::filter::{EndedBan, SWEEP_STEP_MAX, bannable_key, count_refusal, remaining_ms};
use crate::networks::overlap;
use crate::nft_command::{Nft, NftError};
use crate::nft_ruleset::{self, Count, Element, TABLE};
use crate::probe::capabilities_missing;
use crate::sys;

/// Bans in one transaction. What is more goes into the next.
pub const NFT_BATCH_MAX: usize = 1_024;

/// The counts of bans that end so soon are read: the kernel forgets an element with its end.
const READ_AHEAD_NS: u64 = 2_500_000_000;

/// Held while the table is ours: an abstract name (unix(7)) belongs to a network namespace, as the
/// table does, and ends with the process.
const OWNER: &[u8] = b"floodwall/nftables";

/// What this tier is and what it is not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NftReport {
    /// Why neither XDP nor the socket filter is in force.
    pub why_not_better: Vec<String>,
}

impl NftReport {
    /// The name used in metrics and logs.
    pub const NAME: &'static str = "nftables";

    /// What the other tiers do and this one cannot.
    pub const CANNOT: [&'static str; 5] = [
        "rules for packets",
        "guards against floods of SYN, UDP and ICMP, and rates per source",
        "samples for the engine",
        "bans of whole networks",
        "the lease: bans stay to their end although Floodwall is killed",
    ];
}

impl std::fmt::Display for NftReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "nftables set, bans of sources only; without {}", Self::CANNOT.join(", "))?;
        if !self.why_not_better.is_empty() {
            write!(f, " ({})", self.why_not_better.join("; "))?;
        }
        Ok(())
    }
}

/// The table in force. Dropping it removes it; drop it in the network namespace it was made in.
#[derive(Debug)]
pub struct NftFilter {
    nft: Nft,
    report: NftReport,
    table: BanTable,
    allowed: Vec<Prefix>,
    refusals: BanRefusals,
    /// What bans dropped when it was last read; only those that are about to end.
    counts: HashMap<BanKey, Count>,
    /// Removed to make room; the next sweep returns them. Fewer than two steps' worth.
    unreported: Vec<EndedBan>,
    /// Held for its drop.
    _owner: UnixDatagram,
}

impl NftFilter {
    /// Makes the table, in place of one that a killed process left behind. Of `request` it heeds
    /// `max_bans` and `allow`.
    ///
    /// # Errors
    /// [`AttachError::NftMissing`], [`AttachError::TableTaken`], [`AttachError::NotPermitted`],
    /// [`AttachError::TooManyBans`], [`AttachError::Kernel`]. Nothing is changed then.
    pub fn attach(
        request: &AttachRequest<'_>,
        why_not_better: Vec<String>,
    ) -> Result<NftFilter, AttachError> {
        let asked = request.max_bans;
        if asked == 0 || asked > BANS_MAX {
            return Err(AttachError::TooManyBans { asked, max: BANS_MAX });
        }
        let nft = Nft::find().ok_or(AttachError::NftMissing)?;
        if capabilities_missing().contains(&"CAP_NET_ADMIN") {
            let detail = "nftables needs CAP_NET_ADMIN".to_owned();
            return Err(AttachError::NotPermitted { detail });
        }
        let owner = own_the_table()?;
        nft.commit(&nft_ruleset::table(asked)).map_err(|error| error.attach_error())?;
        let mut filter = NftFilter {
            nft,
            report: NftReport { why_not_better },
            table: BanTable::new(asked),
            allowed: Vec::new(),
            refusals: BanRefusals::default(),
            counts: HashMap::new(),
            unreported: Vec::new(),
            _owner: owner,
        };
        for prefix in &request.allow {
            filter
                .allow(*prefix)
                .map_err(|error| AttachError::Kernel { detail: error.to_string() })?;
        }
        Ok(filter)
    }

    /// What is in force, and why not something better.
    pub fn report(&self) -> &NftReport {
        &self.report
    }

    /// As [`KernelFilter::ban`](crate::KernelFilter::ban), in a transaction of its own.
    ///
    /// # Errors
    /// See [`BanError`]; every refusal is counted.
    pub fn ban(&mut self, ban: &CheckedBan, now_ms: u64) -> Result<(), BanError> {
        self.ban_all(std::slice::from_ref(ban), now_ms).pop().unwrap_or(Ok(()))
    }

    /// Enforces `bans` until their ends, one transaction per [`NFT_BATCH_MAX`] of them; what became
    /// of each, in their order. When the kernel refuses a transaction, none of its bans stands.
    pub fn ban_all(&mut self, bans: &[CheckedBan], now_ms: u64) -> Vec<Result<(), BanError>> {
        let mut results = Vec::with_capacity(bans.len());
        for batch in bans.chunks(NFT_BATCH_MAX) {
            results.extend(self.ban_batch(batch, now_ms));
        }
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            count_refusal(&mut self.refusals, error);
        }
        results
    }

    fn ban_batch(&mut self, bans: &[CheckedBan], now_ms: u64) -> Vec<Result<(), BanError>> {
        let now_ns = sys::monotonic_ns();
        if self.unreported.len() < SWEEP_STEP_MAX {
            // What has ended takes places for nothing.
            let ended = self.remove_ended(now_ns);
            self.unreported.extend(ended);
        }
        let mut judged: Vec<Result<(), BanError>> = Vec::with_capacity(bans.len());
        // The last word about a source counts; a transaction holds one.
        let mut wanted: HashMap<BanKey, u64> = HashMap::new();
        let (mut new_v4, mut new_v6) = (0, 0);
        for ban in bans {
            let verdict = self.judge(ban, now_ms).and_then(|(key, length_ms)| {
                if !self.table.contains(key) && !wanted.contains_key(&key) {
                    let v4 = matches!(key, BanKey::V4(_));
                    let new = if v4 { &mut new_v4 } else { &mut new_v6 };
                    self.refuse_full(v4, *new)?;
                    *new += 1;
                }
                wanted.insert(key, length_ms);
                Ok(())
            });
            judged.push(verdict);
        }
        if let Err(error) = self.commit(&wanted, now_ns) {
            for verdict in judged.iter_mut().filter(|verdict| verdict.is_ok()) {
                *verdict = Err(BanError::Kernel(error.to_string()));
            }
        }
        judged
    }

    /// Whom `ban` hits and for how long, unless it must not.
    fn judge(&self, ban: &CheckedBan, now_ms: u64) -> Result<(BanKey, u64), BanError> {
        let left_ms = remaining_ms(ban.ban(), now_ms).filter(|ms| *ms > 0).ok_or(BanError::Over)?;
        let key = bannable_key(ban.ban().source)?;
        let banned = key.prefix();
        match self.allowed.iter().find(|allowed| overlap(**allowed, banned)) {
            Some(allowed) => Err(BanError::Allowed { banned, allowed: *allowed }),
            None => Ok((key, left_ms)),
        }
    }

    /// One more ban of a family must fit beside `new` that are about to be written.
    fn refuse_full(&self, v4: bool, new: u32) -> Result<(), BanError> {
        let max = self.table.per_family_max();
        if self.table.held(v4) + new >= max { Err(BanError::Full { max }) } else { Ok(()) }
    }

    fn commit(&mut self, wanted: &HashMap<BanKey, u64>, now_ns: u64) -> Result<(), NftError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let held: Vec<BanKey> =
            wanted.keys().copied().filter(|key| self.table.contains(*key)).collect();
        self.read_counts(&held);
        let elements: Vec<Element> = wanted
            .iter()
            .map(|(key, length_ms)| Element {
                key: *key,
                length_ms: *length_ms,
                dropped: self.counts.get(key).copied().unwrap_or_default(),
            })
            .collect();
        self.nft.commit(&nft_ruleset::bans(&elements))?;
        for (key, length_ms) in wanted {
            self.table.set(*key, now_ns.saturating_add(length_ms.saturating_mul(1_000_000)));
            self.counts.remove(key);
        }
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
        for batch in banned.chunks(NFT_BATCH_MAX) {
            self.lift(batch)?;
        }
        self.allowed.push(prefix);
        Ok(())
    }

    /// Takes `prefix` off the allow list. True when it was on it.
    pub fn disallow(&mut self, prefix: Prefix) -> bool {
        let at = self.allowed.iter().position(|held| *held == prefix);
        at.map(|at| self.allowed.swap_remove(at)).is_some()
    }

    fn lift(&mut self, keys: &[BanKey]) -> Result<(), BanError> {
        self.nft.commit(&nft_ruleset::lifts(keys)).map_err(kernel)?;
        for key in keys {
            self.table.remove(*key);
            self.counts.remove(key);
        }
        Ok(())
    }

    /// Lifts the ban of an IPv4 /32 or an IPv6 /64 ([`Source::counted`]). True when there was one.
    ///
    /// # Errors
    /// [`BanError::NotExact`] for a network, [`BanError::Kernel`].
    pub fn unban(&mut self, prefix: Prefix) -> Result<bool, BanError> {
        let key = BanKey::of(prefix).ok_or(BanError::NotExact(prefix))?;
        let held = self.table.contains(key);
        if held {
            self.lift(&[key])?;
        }
        Ok(held)
    }

    /// Lifts many, one transaction per [`NFT_BATCH_MAX`] of those that are there.
    ///
    /// # Errors
    /// As [`NftFilter::unban`], for the first that fails; what comes after it stays.
    pub fn unban_all(&mut self, prefixes: &[Prefix]) -> Result<(), BanError> {
        let mut held = Vec::new();
        for prefix in prefixes {
            let key = BanKey::of(*prefix).ok_or(BanError::NotExact(*prefix))?;
            if self.table.contains(key) {
                held.push(key);
            }
        }
        held.chunks(NFT_BATCH_MAX).try_for_each(|batch| self.lift(batch))
    }

    /// Makes the table anew, empty, when somebody else has removed it: `nft flush ruleset` takes
    /// every table. The allow list and the account of refusals stay.
    ///
    /// # Errors
    /// [`BanError::Kernel`]; the account is empty then, and so is the kernel.
    pub fn remake(&mut self) -> Result<(), BanError> {
        let max = self.table.per_family_max();
        self.table = BanTable::new(max);
        self.counts.clear();
        self.nft.commit(&nft_ruleset::table(max)).map_err(kernel)
    }

    /// Forgets bans that have ended, at most [`SWEEP_STEP_MAX`], and returns them with what they
    /// dropped, as of the last sweep before their end. The kernel has removed them by itself. About
    /// once a second will do; more than 2.5 s apart, counts of short bans are missed.
    pub fn sweep(&mut self) -> Vec<EndedBan> {
        let now_ns = sys::monotonic_ns();
        let mut ended = std::mem::take(&mut self.unreported);
        ended.extend(self.remove_ended(now_ns));
        let soon = self.table.ended(now_ns.saturating_add(READ_AHEAD_NS), SWEEP_STEP_MAX);
        self.read_counts(&soon);
        ended
    }

    fn remove_ended(&mut self, now_ns: u64) -> Vec<EndedBan> {
        let mut removed = Vec::new();
        for key in self.table.ended(now_ns, SWEEP_STEP_MAX) {
            self.table.remove(key);
            let packets_dropped = self.counts.remove(&key).map_or(0, |count| count.packets);
            removed.push(EndedBan { source: key.prefix(), packets_dropped });
        }
        removed
    }

    /// Reads what these bans dropped so far. nft(8) answers for all or none, so a batch of which
    /// one has just ended keeps what was read before.
    fn read_counts(&mut self, keys: &[BanKey]) {
        let (v4, v6): (Vec<BanKey>, Vec<BanKey>) =
            keys.iter().partition(|key| matches!(key, BanKey::V4(_)));
        for keys in v4.chunks(NFT_BATCH_MAX).chain(v6.chunks(NFT_BATCH_MAX)) {
            if let Ok(counts) = self.ask_counts(keys) {
                self.counts.extend(counts);
            }
        }
    }

    /// The counts of `keys`, which are of one family and not more than [`NFT_BATCH_MAX`].
    fn ask_counts(&self, keys: &[BanKey]) -> Result<Vec<(BanKey, Count)>, NftError> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        let set = nft_ruleset::set_of(*first);
        let list = nft_ruleset::element_list(keys);
        let mut arguments: Vec<&str> = vec!["get", "element"];
        arguments.extend(TABLE.split(' '));
        arguments.extend([set, &list]);
        let listing = self.nft.ask(&arguments)?;
        let counts = nft_ruleset::read_elements(&listing).into_iter();
        Ok(counts
            .filter_map(|(address, count)| {
                Some((BanKey::of(Source::new(address).counted())?, count))
            })
            .collect())
    }

    /// What the table has seen since it was made.
    ///
    /// # Errors
    /// [`BanError::Kernel`] when it cannot be read.
    pub fn counters(&self) -> Result<FilterCounters, BanError> {
        let mut arguments = vec!["list", "counters", "table"];
        arguments.extend(TABLE.split(' '));
        let listing = self.nft.ask(&arguments).map_err(kernel)?;
        let missing = || BanError::Kernel("nft does not list our counters".to_owned());
        let read = |name| nft_ruleset::read_counter(&listing, name).ok_or_else(missing);
        let (seen, dropped) = (read("seen")?.packets, read("dropped")?.packets);
        let passed = seen.saturating_sub(dropped);
        let mut counters = FilterCounters {
            packets_seen: seen,
            passed,
            dropped,
            bans_held: self.table.len() as u64,
            bans_refused: self.refusals,
            ..FilterCounters::default()
        };
        for (reason, packets) in
            [(PacketReason::NoObjection, passed), (PacketReason::SourceBanned, dropped)]
        {
            if let Some(count) = counters.by_reason.get_mut(reason as usize) {
                *count = packets;
            }
        }
        Ok(counters)
    }

    /// Packets dropped on account of the ban of `source`. None when it is not banned.
    ///
    /// # Errors
    /// [`BanError::Kernel`] when it cannot be read.
    pub fn dropped_by(&self, source: Source) -> Result<Option<u64>, BanError> {
        let prefix = source.counted();
        let key = BanKey::of(prefix).ok_or(BanError::NotExact(prefix))?;
        if !self.table.contains(key) {
            return Ok(None);
        }
        match self.ask_counts(&[key]) {
            Ok(counts) => Ok(counts.first().map(|(_, count)| count.packets)),
            // It has ended, and the kernel has removed it.
            Err(_) if self.table.ended(sys::monotonic_ns(), usize::MAX).contains(&key) => {
                Ok(self.counts.get(&key).map(|count| count.packets))
            }
            Err(error) => Err(kernel(error)),
        }
    }
}

impl Drop for NftFilter {
    fn drop(&mut self) {
        if let Err(error) = self.nft.commit(&nft_ruleset::no_table()) {
            tracing::warn!(
                "the nftables table `{TABLE}` could not be removed and its bans end by themselves \
                 within ten minutes: {error}"
            );
        }
    }
}

/// The name as ours until it is dropped.
pub(crate) fn own_the_table() -> Result<UnixDatagram, AttachError> {
    let bound =
        SocketAddr::from_abstract_name(OWNER).and_then(|name| UnixDatagram::bind_addr(&name));
    bound.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => AttachError::TableTaken,
        _ => AttachError::Kernel { detail: format!("the nftables table cannot be held: {error}") },
    })
}

fn kernel(error: NftError) -> BanError {
    BanError::Kernel(error.to_string())
}
