//! This host's own addresses in the kernel (`fw_local`), which the guards stand for: buckets in shared
//! memory, because a look into them is the last before every drop of a guard and a kernel hash costs
//! ten times as much.
//!
//! It must never show the kernel an address that somebody else has: his packets, which this host only
//! forwards, would be dropped for having no socket here. An address is two words; while it comes or
//! goes, its second half stands alone for a moment, as an address of ::/64, which nobody has on a
//! network (RFC 4291 § 2.5).

use std::collections::HashMap;
use std::sync::atomic::Ordering::Release;

use crate::abi::{LOCAL_BUCKETS, LOCAL_PLACES};
use crate::ban_slots::{MIX_THIRD, choices, shift_for};
use crate::mapped::Mapped;

/// Bytes of an address in memory, in two words.
const ADDRESS: usize = 16;

/// The addresses, and where each stands, counted over all buckets.
#[derive(Debug)]
pub(crate) struct LocalAddresses {
    memory: Mapped,
    secret: u64,
    places: HashMap<[u8; ADDRESS], usize>,
}

/// The first half and the second, as they stand in the packet.
fn words(address: [u8; ADDRESS]) -> [u64; 2] {
    let both = u128::from_ne_bytes(address);
    let (low, high) = (both as u64, (both >> 64) as u64);
    if cfg!(target_endian = "little") { [low, high] } else { [high, low] }
}

impl LocalAddresses {
    /// Bytes of the map.
    pub(crate) const BYTES: usize = LOCAL_BUCKETS * LOCAL_PLACES * ADDRESS;

    pub(crate) fn new(memory: Mapped, secret: u64) -> LocalAddresses {
        LocalAddresses { memory, secret, places: HashMap::new() }
    }

    /// Exactly `wanted` from now on. Returns how many found their bucket full: the guards spare those.
    pub(crate) fn set(&mut self, wanted: &[[u8; ADDRESS]]) -> usize {
        let gone: Vec<_> =
            self.places.keys().filter(|held| !wanted.contains(held)).copied().collect();
        for address in gone {
            if let Some(place) = self.places.remove(&address) {
                // The word that tells it from a free place and most other addresses goes first.
                self.word(place, 0).store(0, Release);
                self.word(place, 1).store(0, Release);
            }
        }
        let mut left_out = 0;
        for address in wanted {
            // All zeros is how a free place looks, and no interface has it.
            if self.places.contains_key(address) || *address == [0; ADDRESS] {
                continue;
            }
            match self.free_place(*address) {
                Some(place) => {
                    let [first, second] = words(*address);
                    self.word(place, 1).store(second, Release);
                    self.word(place, 0).store(first, Release);
                    self.places.insert(*address, place);
                }
                None => left_out += 1,
            }
        }
        left_out
    }

    fn free_place(&self, address: [u8; ADDRESS]) -> Option<usize> {
        let bucket = self.bucket(address);
        let taken = |place: &usize| self.places.values().any(|held| held == place);
        (bucket * LOCAL_PLACES..(bucket + 1) * LOCAL_PLACES).find(|place| !taken(place))
    }

    /// As fw_is_local in bpf/guards.h.
    fn bucket(&self, address: [u8; ADDRESS]) -> usize {
        let [first, second] = words(address);
        let key = first ^ second.wrapping_mul(MIX_THIRD);
        choices(key, self.secret, shift_for(LOCAL_BUCKETS as u32)).0
    }

    fn word(&self, place: usize, half: usize) -> &std::sync::atomic::AtomicU64 {
        self.memory.u64_at(place * ADDRESS + half * 8)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::abi::LOCAL_MAX;

    fn table() -> LocalAddresses {
        LocalAddresses::new(Mapped::anonymous(LocalAddresses::BYTES).unwrap(), 7)
    }

    /// An address of its own for each number.
    fn address(n: usize) -> [u8; ADDRESS] {
        (0x2001_0db8_u128 << 96 | n as u128).to_be_bytes()
    }

    fn in_memory(table: &LocalAddresses) -> usize {
        let places = 0..LOCAL_BUCKETS * LOCAL_PLACES;
        places.filter(|place| table.word(*place, 0).load(Relaxed) != 0).count()
    }

    #[test]
    fn as_many_as_are_promised_find_a_place_and_leave_it_again() {
        let mut table = table();
        let all: Vec<_> = (1..=LOCAL_MAX).map(address).collect();
        for _ in 0..2 {
            assert_eq!(table.set(&all), 0);
            assert_eq!(in_memory(&table), LOCAL_MAX);
        }
        assert_eq!(table.set(&all[..3]), 0);
        assert_eq!(in_memory(&table), 3);
        for held in &all[..3] {
            let place = table.places[held];
            assert_eq!([0, 1].map(|half| table.word(place, half).load(Relaxed)), words(*held));
            assert_eq!(place / LOCAL_PLACES, table.bucket(*held));
        }
        table.set(&[]);
        assert_eq!(in_memory(&table), 0);
    }

    #[test]
    fn a_full_bucket_leaves_out_and_says_how_many() {
        let mut table = table();
        let first = table.bucket(address(1));
        let together: Vec<_> = (1..)
            .map(address)
            .filter(|one| table.bucket(*one) == first)
            .take(LOCAL_PLACES + 2)
            .collect();
        assert_eq!(table.set(&together), 2);
        assert_eq!(in_memory(&table), LOCAL_PLACES);
        assert_eq!(table.set(&together[2..]), 0, "two have gone, so two find a place");
    }

    #[test]
    fn no_address_is_a_free_place() {
        assert_eq!(table().set(&[[0; ADDRESS]]), 0);
    }
}
