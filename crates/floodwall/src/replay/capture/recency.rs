//! A table with a fixed maximum that forgets what was not used for longest: the shape of everything
//! a replay must remember of packets, whose senders choose how many there are.

use std::collections::HashMap;
use std::hash::Hash;

const NONE: u32 = u32::MAX;

/// Entries by key, in the order of their last use.
pub(crate) struct Recency<K, V> {
    places: HashMap<K, u32>,
    slots: Vec<Slot<K, V>>,
    newest: u32,
    oldest: u32,
    capacity: usize,
    /// Entries forgotten because the table was full.
    pub(crate) forgotten: u64,
}

struct Slot<K, V> {
    key: K,
    value: V,
    newer: u32,
    older: u32,
}

impl<K: Copy + Eq + Hash, V> Recency<K, V> {
    /// An empty table for at most `capacity` entries, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, NONE as usize - 1);
        Recency {
            places: HashMap::new(),
            slots: Vec::new(),
            newest: NONE,
            oldest: NONE,
            capacity,
            forgotten: 0,
        }
    }

    /// Number of entries.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The entry of `key`, left where it is in the order.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        let place = *self.places.get(key)?;
        self.slots.get(place as usize).map(|slot| &slot.value)
    }

    /// The same, to change it.
    pub(crate) fn peek_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = *self.places.get(key)?;
        self.slots.get_mut(place as usize).map(|slot| &mut slot.value)
    }

    /// The entry of `key`, which becomes the newest.
    pub(crate) fn touch_known(&mut self, key: &K) -> Option<&mut V> {
        let place = *self.places.get(key)?;
        self.unlink(place);
        self.link_newest(place);
        self.slots.get_mut(place as usize).map(|slot| &mut slot.value)
    }

    /// The entry of `key`, which becomes the newest; made by `fresh` if there is none, in place of
    /// the oldest if the table is full.
    pub(crate) fn touch(&mut self, key: K, fresh: impl FnOnce() -> V) -> &mut V {
        let place = match self.places.get(&key) {
            Some(place) => {
                let place = *place;
                self.unlink(place);
                place
            }
            None => self.place_for(key, fresh()),
        };
        self.link_newest(place);
        &mut self.slots[place as usize].value
    }

    /// A place that is in no order yet.
    fn place_for(&mut self, key: K, value: V) -> u32 {
        let place = if self.slots.len() < self.capacity {
            self.slots.push(Slot { key, value, newer: NONE, older: NONE });
            self.slots.len() as u32 - 1
        } else {
            let place = self.oldest;
            self.unlink(place);
            let slot = &mut self.slots[place as usize];
            self.places.remove(&slot.key);
            (slot.key, slot.value) = (key, value);
            self.forgotten += 1;
            place
        };
        self.places.insert(key, place);
        place
    }

    fn unlink(&mut self, place: u32) {
        let Slot { newer, older, .. } = self.slots[place as usize];
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, place: u32) {
        let before = self.newest;
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.newer = place,
            None => self.oldest = place,
        }
        let slot = &mut self.slots[place as usize];
        (slot.newer, slot.older) = (NONE, before);
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A list of keys, newest last, is the plain way.
        #[test]
        fn it_keeps_what_a_list_in_order_of_use_would(
            capacity in 1usize..6, uses in prop::collection::vec((0u8..10, any::<bool>()), 0..200),
        ) {
            let mut table = Recency::new(capacity);
            let mut list: Vec<(u8, u32)> = Vec::new();
            let mut forgotten = 0;
            for (key, peek_only) in uses {
                let known = list.iter().position(|(k, _)| *k == key);
                if peek_only {
                    prop_assert_eq!(table.peek(&key), known.map(|at| &list[at].1));
                    let touched = table.touch_known(&key).copied();
                    prop_assert_eq!(touched, known.map(|at| list[at].1));
                    if let Some(at) = known {
                        let entry = list.remove(at);
                        list.push(entry);
                    }
                    continue;
                }
                *table.touch(key, || 0) += 1;
                let count = known.map_or(0, |at| list.remove(at).1);
                if list.len() == capacity {
                    list.remove(0);
                    forgotten += 1;
                }
                list.push((key, count + 1));
                prop_assert_eq!(table.len(), list.len());
                prop_assert_eq!(table.forgotten, forgotten);
            }
        }
    }
}
