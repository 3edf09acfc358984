//! Which bans are in the kernel, and when each ends: the loader's own account of the ban maps.
//!
//! User space alone writes those maps, so this account is complete, and finding what has ended
//! needs no walk over a kernel map (which restarts whenever its current key is removed). Pure: it
//! must never read a clock or call the kernel.

use std::collections::{BTreeSet, HashMap};

use crate::abi::BanKey;

/// The account.
#[derive(Debug)]
pub(crate) struct BanTable {
    end_ns: HashMap<BanKey, u64>,
    by_end: BTreeSet<(u64, BanKey)>,
    in_v4: u32,
    in_v6: u32,
    per_family_max: u32,
}

impl BanTable {
    /// An empty account of two maps that hold `per_family_max` entries each.
    pub(crate) fn new(per_family_max: u32) -> Self {
        BanTable {
            end_ns: HashMap::new(),
            by_end: BTreeSet::new(),
            in_v4: 0,
            in_v6: 0,
            per_family_max,
        }
    }

    /// Most bans of one family.
    pub(crate) fn per_family_max(&self) -> u32 {
        self.per_family_max
    }

    /// Bans of one family in the kernel, ended ones that were not removed yet included.
    pub(crate) fn held(&self, v4: bool) -> u32 {
        if v4 { self.in_v4 } else { self.in_v6 }
    }

    /// Bans in the kernel, ended ones that were not removed yet included.
    pub(crate) fn len(&self) -> usize {
        self.end_ns.len()
    }

    /// Whether `key` is in the kernel.
    pub(crate) fn contains(&self, key: BanKey) -> bool {
        self.end_ns.contains_key(&key)
    }

    /// Whether `key` can be written: it is there already or its map has a place left.
    pub(crate) fn has_room_for(&self, key: BanKey) -> bool {
        self.contains(key) || self.family(key) < self.per_family_max
    }

    /// Notes that `key` is in the kernel until `end_ns`. The last word counts.
    pub(crate) fn set(&mut self, key: BanKey, end_ns: u64) {
        match self.end_ns.insert(key, end_ns) {
            Some(before) => {
                self.by_end.remove(&(before, key));
            }
            None => *self.family_mut(key) += 1,
        }
        self.by_end.insert((end_ns, key));
    }

    /// Notes that `key` is in the kernel no more.
    pub(crate) fn remove(&mut self, key: BanKey) {
        if let Some(end_ns) = self.end_ns.remove(&key) {
            self.by_end.remove(&(end_ns, key));
            *self.family_mut(key) -= 1;
        }
    }

    /// Up to `max` bans that have ended at `now_ns`, the longest ended first.
    pub(crate) fn ended(&self, now_ns: u64, max: usize) -> Vec<BanKey> {
        let ended = self.by_end.iter().take_while(|(end_ns, _)| *end_ns <= now_ns);
        ended.take(max).map(|(_, key)| *key).collect()
    }

    /// Every ban in the kernel.
    pub(crate) fn keys(&self) -> impl Iterator<Item = BanKey> + '_ {
        self.end_ns.keys().copied()
    }

    fn family(&self, key: BanKey) -> u32 {
        match key {
            BanKey::V4(_) => self.in_v4,
            BanKey::V6(_) => self.in_v6,
        }
    }

    fn family_mut(&mut self, key: BanKey) -> &mut u32 {
        match key {
            BanKey::V4(_) => &mut self.in_v4,
            BanKey::V6(_) => &mut self.in_v6,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(v6: bool, number: u32) -> BanKey {
        if v6 { BanKey::V6(u64::from(number)) } else { BanKey::V4(number) }
    }

    #[test]
    fn a_full_family_leaves_the_other_its_room() {
        let mut table = BanTable::new(2);
        table.set(key(false, 1), 10);
        table.set(key(false, 2), 10);
        assert!(!table.has_room_for(key(false, 3)));
        assert!(table.has_room_for(key(false, 2)), "what is there can be renewed");
        assert!(table.has_room_for(key(true, 3)));
        table.remove(key(false, 1));
        assert!(table.has_room_for(key(false, 3)));
    }

    #[test]
    fn a_ban_ends_at_its_end_and_not_before() {
        let mut table = BanTable::new(2);
        table.set(key(false, 1), 10);
        assert_eq!(table.ended(9, 5), []);
        assert_eq!(table.ended(10, 5), [key(false, 1)]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(bool, u32, u64),
        Remove(bool, u32),
        Sweep(u64, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (any::<bool>(), 0..6u32, 0..20u64).prop_map(|(v6, n, end)| Step::Set(v6, n, end)),
            (any::<bool>(), 0..6u32).prop_map(|(v6, n)| Step::Remove(v6, n)),
            (0..25u64, 0..4usize).prop_map(|(now, max)| Step::Sweep(now, max)),
        ]
    }

    proptest! {
        /// The oracle is one plain map, searched from end to end.
        #[test]
        fn it_agrees_with_a_plain_map(steps in proptest::collection::vec(step(), 0..60)) {
            const MAX: u32 = 4;
            let mut table = BanTable::new(MAX);
            let mut oracle: BTreeMap<BanKey, u64> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(v6, number, end) => {
                        let key = key(v6, number);
                        let same_family = |k: &BanKey| matches!(k, BanKey::V6(_)) == v6;
                        let full = oracle.keys().filter(|k| same_family(k)).count() >= MAX as usize;
                        let room = oracle.contains_key(&key) || !full;
                        prop_assert_eq!(table.has_room_for(key), room);
                        if room {
                            table.set(key, end);
                            oracle.insert(key, end);
                        }
                    }
                    Step::Remove(v6, number) => {
                        table.remove(key(v6, number));
                        oracle.remove(&key(v6, number));
                    }
                    Step::Sweep(now, max) => {
                        let mut expected: Vec<(u64, BanKey)> =
                            oracle.iter().filter(|(_, e)| **e <= now).map(|(k, e)| (*e, *k)).collect();
                        expected.sort_unstable();
                        expected.truncate(max);
                        let expected: Vec<BanKey> = expected.into_iter().map(|(_, k)| k).collect();
                        prop_assert_eq!(&table.ended(now, max), &expected);
                        for key in expected {
                            table.remove(key);
                            oracle.remove(&key);
                        }
                    }
                }
                prop_assert_eq!(table.len(), oracle.len());
            }
        }
    }
}
