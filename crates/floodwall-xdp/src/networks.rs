//! Banned networks and the allow list: longest-prefix tries in the kernel, and the loader's account
//! of them.
//!
//! The two never overlap: a ban that would hold an allowed address, or lie in an allowed network,
//! is refused, and allowing a network lifts the bans that overlap it. So the kernel need not ask
//! the allow list before it obeys a ban.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aya::Pod;
use aya::maps::lpm_trie::Key;
use aya::maps::{LpmTrie, MapData, MapError};
use floodwall_model::Prefix;

use crate::error::os_error;

/// Two tries, one per family.
pub(crate) struct Tries<V: Pod> {
    v4: LpmTrie<MapData, [u8; 4], V>,
    v6: LpmTrie<MapData, [u8; 16], V>,
}

impl<V: Pod> Tries<V> {
    pub(crate) fn new(
        v4: LpmTrie<MapData, [u8; 4], V>,
        v6: LpmTrie<MapData, [u8; 16], V>,
    ) -> Tries<V> {
        Tries { v4, v6 }
    }

    pub(crate) fn insert(&mut self, prefix: Prefix, value: V) -> Result<(), MapError> {
        let bits = u32::from(prefix.bits());
        match prefix.address() {
            IpAddr::V4(v4) => self.v4.insert(&Key::new(bits, v4.octets()), value, 0),
            IpAddr::V6(v6) => self.v6.insert(&Key::new(bits, v6.octets()), value, 0),
        }
    }

    /// Removes `prefix`; that it is gone already is no error.
    pub(crate) fn remove(&mut self, prefix: Prefix) -> Result<(), MapError> {
        let bits = u32::from(prefix.bits());
        let removed = match prefix.address() {
            IpAddr::V4(v4) => self.v4.remove(&Key::new(bits, v4.octets())),
            IpAddr::V6(v6) => self.v6.remove(&Key::new(bits, v6.octets())),
        };
        match removed {
            Err(error) if os_error(&error) != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether one holds the other.
pub(crate) fn overlap(a: Prefix, b: Prefix) -> bool {
    a.contains(b.address()) && a.bits() <= b.bits()
        || b.contains(a.address()) && b.bits() <= a.bits()
}

/// Networks with an end each.
#[derive(Debug, Default)]
pub(crate) struct NetTable {
    end_ns: BTreeMap<(IpAddr, u8), u64>,
    by_end: BTreeSet<(u64, IpAddr, u8)>,
    in_v4: u32,
}

impl NetTable {
    /// Networks of one family.
    pub(crate) fn held(&self, v4: bool) -> u32 {
        let all = u32::try_from(self.end_ns.len()).unwrap_or(u32::MAX);
        if v4 { self.in_v4 } else { all - self.in_v4 }
    }

    pub(crate) fn contains(&self, prefix: Prefix) -> bool {
        self.end_ns.contains_key(&(prefix.address(), prefix.bits()))
    }

    /// The last word counts.
    pub(crate) fn set(&mut self, prefix: Prefix, end_ns: u64) {
        let (address, bits) = (prefix.address(), prefix.bits());
        match self.end_ns.insert((address, bits), end_ns) {
            Some(before) => {
                self.by_end.remove(&(before, address, bits));
            }
            None => self.in_v4 += u32::from(address.is_ipv4()),
        }
        self.by_end.insert((end_ns, address, bits));
    }

    pub(crate) fn remove(&mut self, prefix: Prefix) -> bool {
        let (address, bits) = (prefix.address(), prefix.bits());
        let Some(end_ns) = self.end_ns.remove(&(address, bits)) else { return false };
        self.by_end.remove(&(end_ns, address, bits));
        self.in_v4 -= u32::from(address.is_ipv4());
        true
    }

    /// Up to `max` networks that have ended at `now_ns`.
    pub(crate) fn ended(&self, now_ns: u64, max: usize) -> Vec<Prefix> {
        let ended = self.by_end.iter().take_while(|(end_ns, ..)| *end_ns <= now_ns);
        ended.take(max).map(|(_, address, bits)| Prefix::new(*address, *bits)).collect()
    }

    /// Every network that overlaps `prefix`.
    pub(crate) fn overlapping(&self, prefix: Prefix) -> Vec<Prefix> {
        let all = self.end_ns.keys().map(|(address, bits)| Prefix::new(*address, *bits));
        all.filter(|held| overlap(*held, prefix)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        for (a, b, expected) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.1.0.0/16", "10.0.0.0/8", true),
            ("10.1.0.0/16", "10.2.0.0/16", false),
            ("203.0.113.9/32", "203.0.113.9/32", true),
            ("2001:db8::/32", "2001:db8:1:2::/64", true),
            ("::/0", "10.0.0.0/8", false),
        ] {
            assert_eq!(overlap(prefix(a), prefix(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_account_of_networks_ends_them_in_order() {
        let mut table = NetTable::default();
        table.set(prefix("10.0.0.0/8"), 5);
        table.set(prefix("2001:db8::/32"), 3);
        table.set(prefix("10.0.0.0/8"), 2);
        assert_eq!((table.held(true), table.held(false)), (1, 1));
        assert_eq!(table.ended(2, 9), [prefix("10.0.0.0/8")]);
        assert_eq!(table.overlapping(prefix("10.9.0.0/16")), [prefix("10.0.0.0/8")]);
        assert!(table.remove(prefix("10.0.0.0/8")) && !table.remove(prefix("10.0.0.0/8")));
        assert_eq!((table.held(true), table.held(false)), (0, 1));
    }
}
