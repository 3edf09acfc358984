//! The kernel's table of exact bans, as user space writes it: buckets of one cache line, each key
//! in one of two buckets. bpf/bans.h reads it.
//!
//! The promise that makes one look enough: a key is in its second bucket only while its first is
//! full to the last place. So taking a key out of a full bucket brings one of its overflowed keys
//! home, and the last place of a bucket is free only when none is elsewhere.
//!
//! It must never leave a key out of both its buckets while it moves, and never evict one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::Ordering::{Relaxed, Release};

use crate::abi::{BUCKET_V4, BUCKET_V6};
use crate::mapped::Mapped;

/// FW_MIX_FIRST, FW_MIX_SECOND and FW_MIX_THIRD in bpf/bans.h.
const MIX_FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX_SECOND: u64 = 0xff51_afd7_ed55_8ccd;
pub(crate) const MIX_THIRD: u64 = 0xc4ce_b9fe_1a85_ec53;

/// The first and the second bucket of a key, of 2^(64 - shift).
pub(crate) fn choices(key: u64, secret: u64, shift: u32) -> (usize, usize) {
    let mut mixed = (key ^ secret).wrapping_mul(MIX_FIRST);
    mixed ^= mixed >> 32;
    mixed = mixed.wrapping_mul(MIX_SECOND);
    let again = (mixed ^ (mixed >> 29)).wrapping_mul(MIX_THIRD);
    ((mixed >> shift) as usize, (again >> shift) as usize)
}

/// How one family's entries lie in memory. A place is counted over all buckets.
pub(crate) trait Slots {
    /// A source in the kernel's words.
    type Key: Copy + Eq + Hash + Into<u64>;
    /// Places in a bucket.
    const PLACES: usize;
    fn is_free(&self, place: usize) -> bool;
    /// Who stands at a place that is not free.
    fn key(&self, place: usize) -> Self::Key;
    /// Puts a key where none is or another was. No reader may see a mixture.
    fn write(&self, place: usize, key: Self::Key, expires: u32);
    fn renew(&self, place: usize, key: Self::Key, expires: u32);
    fn clear(&self, place: usize);
    fn expires(&self, place: usize) -> u32;
    fn packets(&self, place: usize) -> u32;
    fn set_packets(&self, place: usize, packets: u32);
}

/// `struct fw_bucket_v4` and `struct fw_hits_v4`.
#[derive(Debug)]
pub(crate) struct SlotsV4 {
    pub(crate) entries: Mapped,
    pub(crate) hits: Mapped,
}

impl Slots for SlotsV4 {
    type Key = u32;
    const PLACES: usize = BUCKET_V4 as usize;

    fn is_free(&self, place: usize) -> bool {
        self.entries.u64_at(place * 8).load(Relaxed) == 0
    }

    fn key(&self, place: usize) -> u32 {
        self.entries.u64_at(place * 8).load(Relaxed) as u32
    }

    fn write(&self, place: usize, key: u32, expires: u32) {
        self.hits.u32_at(place * 4).store(0, Relaxed);
        self.renew(place, key, expires);
    }

    fn renew(&self, place: usize, key: u32, expires: u32) {
        // One store of both halves.
        let entry = u64::from(expires.max(1)) << 32 | u64::from(key);
        self.entries.u64_at(place * 8).store(entry, Release);
    }

    fn clear(&self, place: usize) {
        self.entries.u64_at(place * 8).store(0, Release);
    }

    fn expires(&self, place: usize) -> u32 {
        (self.entries.u64_at(place * 8).load(Relaxed) >> 32) as u32
    }

    fn packets(&self, place: usize) -> u32 {
        self.hits.u32_at(place * 4).load(Relaxed)
    }

    fn set_packets(&self, place: usize, packets: u32) {
        self.hits.u32_at(place * 4).store(packets, Relaxed);
    }
}

/// `struct fw_bucket_v6`: network, end, packets; 16 bytes. End 0 is no ban, so it is cleared before
/// the network changes and set after.
#[derive(Debug)]
pub(crate) struct SlotsV6 {
    pub(crate) entries: Mapped,
}

impl Slots for SlotsV6 {
    type Key = u64;
    const PLACES: usize = BUCKET_V6 as usize;

    fn is_free(&self, place: usize) -> bool {
        self.entries.u64_at(place * 16).load(Relaxed) == 0
    }

    fn key(&self, place: usize) -> u64 {
        self.entries.u64_at(place * 16).load(Relaxed)
    }

    fn write(&self, place: usize, key: u64, expires: u32) {
        self.entries.u32_at(place * 16 + 8).store(0, Release);
        self.entries.u64_at(place * 16).store(key, Release);
        self.entries.u32_at(place * 16 + 12).store(0, Relaxed);
        self.renew(place, key, expires);
    }

    fn renew(&self, place: usize, _key: u64, expires: u32) {
        self.entries.u32_at(place * 16 + 8).store(expires.max(1), Release);
    }

    fn clear(&self, place: usize) {
        self.entries.u32_at(place * 16 + 8).store(0, Release);
        self.entries.u64_at(place * 16).store(0, Release);
    }

    fn expires(&self, place: usize) -> u32 {
        self.entries.u32_at(place * 16 + 8).load(Relaxed)
    }

    fn packets(&self, place: usize) -> u32 {
        self.entries.u32_at(place * 16 + 12).load(Relaxed)
    }

    fn set_packets(&self, place: usize, packets: u32) {
        self.entries.u32_at(place * 16 + 12).store(packets, Relaxed);
    }
}

/// Both buckets of a key are full.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct BothFull;

/// The table with the loader's account of what is where.
#[derive(Debug)]
pub(crate) struct BanSlots<S: Slots> {
    slots: S,
    secret: u64,
    shift: u32,
    places: HashMap<S::Key, usize>,
    /// Keys in their second bucket, by their first.
    overflowed: HashMap<usize, Vec<S::Key>>,
}

/// How many buckets of `per_bucket` places hold `bans` at half load: a power of two, at least two.
pub(crate) fn buckets_for(bans: u32, per_bucket: u32) -> u32 {
    bans.saturating_mul(2).div_ceil(per_bucket).next_power_of_two().max(2)
}

/// The shift that turns 64 mixed bits into a number of one of `buckets`.
pub(crate) fn shift_for(buckets: u32) -> u32 {
    64 - buckets.trailing_zeros()
}

impl<S: Slots> BanSlots<S> {
    /// An empty table of `buckets` buckets, where `secret` decides what stands where.
    pub(crate) fn new(slots: S, secret: u64, buckets: u32) -> Self {
        BanSlots {
            slots,
            secret,
            shift: shift_for(buckets),
            places: HashMap::new(),
            overflowed: HashMap::new(),
        }
    }

    fn choices(&self, key: S::Key) -> (usize, usize) {
        choices(key.into(), self.secret, self.shift)
    }

    fn free_in(&self, bucket: usize) -> Option<usize> {
        let first = bucket * S::PLACES;
        (first..first + S::PLACES).find(|place| self.slots.is_free(*place))
    }

    /// Writes a ban or renews it.
    pub(crate) fn insert(&mut self, key: S::Key, expires: u32) -> Result<(), BothFull> {
        if let Some(place) = self.places.get(&key) {
            self.slots.renew(*place, key, expires);
            return Ok(());
        }
        let (first, second) = self.choices(key);
        let free = self.free_in(first).or_else(|| self.free_in(second));
        let place = free.or_else(|| self.make_room(first)).or_else(|| self.make_room(second));
        let place = place.ok_or(BothFull)?;
        self.slots.write(place, key, expires);
        self.place(key, place);
        Ok(())
    }

    /// Notes where a key stands.
    fn place(&mut self, key: S::Key, place: usize) {
        let (first, _) = self.choices(key);
        self.places.insert(key, place);
        if place / S::PLACES != first {
            self.overflowed.entry(first).or_default().push(key);
        }
    }

    /// Moves a key of a full bucket to its second choice, and returns its place, which is to be
    /// written at once: until then the key stands in both. One step of a cuckoo's (Pagh and
    /// Rodler, ESA 2001); more are not worth it at half load.
    fn make_room(&mut self, bucket: usize) -> Option<usize> {
        for place in bucket * S::PLACES..(bucket + 1) * S::PLACES {
            let key = self.slots.key(place);
            let (first, second) = self.choices(key);
            // One that is here by its second choice has a full first.
            if first != bucket || second == bucket {
                continue;
            }
            if let Some(free) = self.free_in(second) {
                self.copy(key, place, free);
                self.place(key, free);
                return Some(place);
            }
        }
        None
    }

    fn copy(&self, key: S::Key, from: usize, to: usize) {
        self.slots.write(to, key, self.slots.expires(from));
        self.slots.set_packets(to, self.slots.packets(from));
    }

    /// Takes a ban out. True when it was there.
    pub(crate) fn remove(&mut self, key: S::Key) -> bool {
        let Some(place) = self.places.remove(&key) else { return false };
        let (first, _) = self.choices(key);
        if place / S::PLACES != first {
            self.forget_overflow(first, key);
        }
        self.vacate(place);
        true
    }

    fn forget_overflow(&mut self, first: usize, key: S::Key) {
        if let Some(keys) = self.overflowed.get_mut(&first) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.overflowed.remove(&first);
            }
        }
    }

    /// Frees a place, or gives it to a key that belongs there and stands elsewhere; then that place
    /// is free, and so on. Each step brings one key home, so it ends.
    fn vacate(&mut self, mut place: usize) {
        loop {
            let bucket = place / S::PLACES;
            let waiting = self.overflowed.get(&bucket).and_then(|keys| keys.last().copied());
            let Some((key, from)) = waiting.and_then(|k| Some((k, *self.places.get(&k)?))) else {
                self.slots.clear(place);
                return;
            };
            // In both places for a moment, in none never.
            self.copy(key, from, place);
            self.places.insert(key, place);
            self.forget_overflow(bucket, key);
            place = from;
        }
    }

    /// Packets dropped on account of a ban, modulo 2^32.
    pub(crate) fn packets(&self, key: S::Key) -> Option<u32> {
        Some(self.slots.packets(*self.places.get(&key)?))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn v4(buckets: u32) -> BanSlots<SlotsV4> {
        let memory = |bytes| Mapped::anonymous(bytes).unwrap();
        let slots =
            SlotsV4 { entries: memory(buckets as usize * 64), hits: memory(buckets as usize * 32) };
        BanSlots::new(slots, 0x1234_5678_9abc_def1, buckets)
    }

    fn v6(buckets: u32) -> BanSlots<SlotsV6> {
        let slots = SlotsV6 { entries: Mapped::anonymous(buckets as usize * 64).unwrap() };
        BanSlots::new(slots, 7, buckets)
    }

    /// What the kernel does, in the plainest words (fw_find_v4 in bpf/bans.h).
    fn kernel_finds_v4(table: &BanSlots<SlotsV4>, key: u32) -> Option<u32> {
        let (first, second) = table.choices(key);
        let entry = |place: usize| table.slots.entries.u64_at(place * 8).load(Relaxed);
        for bucket in [first, second] {
            for place in bucket * 8..bucket * 8 + 8 {
                if entry(place) as u32 == key && entry(place) >> 32 != 0 {
                    return Some((entry(place) >> 32) as u32);
                }
            }
            if entry(bucket * 8 + 7) == 0 {
                return None;
            }
        }
        None
    }

    fn kernel_finds_v6(table: &BanSlots<SlotsV6>, key: u64) -> Option<u32> {
        let (first, second) = table.choices(key);
        let network = |place: usize| table.slots.entries.u64_at(place * 16).load(Relaxed);
        for bucket in [first, second] {
            for place in bucket * 4..bucket * 4 + 4 {
                if network(place) == key {
                    return Some(table.slots.expires(place)).filter(|expires| *expires != 0);
                }
            }
            if network(bucket * 4 + 3) == 0 {
                return None;
            }
        }
        None
    }

    #[test]
    fn sizes_are_powers_of_two_at_half_load() {
        for (bans, per_bucket, buckets) in
            [(1, 8, 2), (8, 8, 2), (9, 8, 4), (131_072, 8, 32_768), (1_048_576, 4, 524_288)]
        {
            assert_eq!(buckets_for(bans, per_bucket), buckets, "{bans}");
        }
        assert_eq!(shift_for(2), 63);
    }

    #[test]
    fn at_half_load_everything_fits() {
        let bans = 100_000;
        let mut v4 = v4(buckets_for(bans, 8));
        let mut v6 = v6(buckets_for(bans, 4));
        for n in 1..=bans {
            v4.insert(n.to_be(), n).unwrap();
            v6.insert((0x2001_0db8_0000_0000 | u64::from(n)).to_be(), n).unwrap();
        }
        for n in 1..=bans {
            assert_eq!(kernel_finds_v4(&v4, n.to_be()), Some(n));
            let network = (0x2001_0db8_0000_0000 | u64::from(n)).to_be();
            assert_eq!(kernel_finds_v6(&v6, network), Some(n));
        }
        assert_eq!(v4.len(), bans as usize);
        let second = v4.overflowed.values().map(Vec::len).sum::<usize>();
        assert!(second < bans as usize / 20, "{second} of {bans} in their second bucket");
    }

    #[test]
    fn when_both_buckets_are_full_nothing_is_evicted() {
        let mut table = v4(2);
        let taken: Vec<u32> = (1..200).filter(|key| table.insert(*key, 9).is_ok()).collect();
        assert_eq!(taken.len(), 16, "two buckets of eight");
        assert!(taken.iter().all(|key| kernel_finds_v4(&table, *key) == Some(9)));
    }

    proptest! {
        /// Small tables, so that buckets overflow all the time. The oracle is a plain map.
        #[test]
        fn it_agrees_with_a_plain_map(
            steps in prop::collection::vec((any::<bool>(), 1u32..60, 1u32..1000), 0..400)
        ) {
            let (mut v4, mut v6) = (v4(4), v6(8));
            let (mut oracle_v4, mut oracle_v6) = (BTreeMap::new(), BTreeMap::new());
            for (insert, key, expires) in steps {
                if insert {
                    if v4.insert(key, expires).is_ok() {
                        oracle_v4.insert(key, expires);
                    }
                    if v6.insert(u64::from(key), expires).is_ok() {
                        oracle_v6.insert(u64::from(key), expires);
                    }
                } else {
                    prop_assert_eq!(v4.remove(key), oracle_v4.remove(&key).is_some());
                    let held = oracle_v6.remove(&u64::from(key)).is_some();
                    prop_assert_eq!(v6.remove(u64::from(key)), held);
                }
                for key in 1..60 {
                    prop_assert_eq!(kernel_finds_v4(&v4, key), oracle_v4.get(&key).copied());
                    let wide = u64::from(key);
                    prop_assert_eq!(kernel_finds_v6(&v6, wide), oracle_v6.get(&wide).copied());
                }
            }
        }
    }
}
