//! How many connections each source holds, and all together.
//!
//! Shared by all workers because the kernel spreads one source's connections over them. An entry
//! lives as long as one of its connections, so the table is never larger than the number of
//! connections, which has its own maximum.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use floodwall_model::{Reason, Source};

use crate::limits::Limits;

const SHARDS: usize = 64;

/// Connections by source.
#[derive(Debug)]
pub(crate) struct ConnectionTable {
    shards: Box<[Mutex<HashMap<u64, u32>>]>,
    open: AtomicUsize,
    /// Used where the limits give no total.
    open_max: usize,
}

impl ConnectionTable {
    pub(crate) fn new(open_max: usize) -> Self {
        ConnectionTable {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            open: AtomicUsize::new(0),
            open_max,
        }
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A place for a connection of `source`, or why there is none. An operator's is not counted
    /// against its source.
    pub(crate) fn admit(
        self: &Arc<Self>,
        source: Source,
        is_operator: bool,
        limits: &Limits,
    ) -> Result<ConnectionPlace, Reason> {
        let open_max = limits.connections_max.unwrap_or(self.open_max);
        if self.open.fetch_add(1, Ordering::Relaxed) >= open_max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Reason::ConnectionsTotal);
        }
        // From here on the place gives back what was taken.
        let mut place = ConnectionPlace { table: self.clone(), key: None };
        if !is_operator {
            let key = source.key();
            let max = if source.address().is_ipv4() {
                limits.connections_per_v4_max
            } else {
                limits.connections_per_v6_64_max
            };
            let mut shard = self.shard(key);
            let held = shard.entry(key).or_insert(0);
            if *held >= max {
                if *held == 0 {
                    shard.remove(&key);
                }
                drop(shard);
                return Err(Reason::ConnectionsPerSource);
            }
            *held += 1;
            drop(shard);
            place.key = Some(key);
        }
        Ok(place)
    }

    fn shard(&self, key: u64) -> std::sync::MutexGuard<'_, HashMap<u64, u32>> {
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        // A panic under this lock leaves at worst one count too high.
        self.shards[mixed as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, given back on drop.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    table: Arc<ConnectionTable>,
    key: Option<u64>,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.table.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(key) = self.key
            && let Entry::Occupied(mut held) = self.table.shard(key).entry(key)
        {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::new(address.parse().unwrap())
    }

    #[test]
    fn a_source_holds_so_many_and_gets_them_back() {
        let table = Arc::new(ConnectionTable::new(100));
        let limits = Limits { connections_per_v4_max: 2, ..Limits::default() };
        let a = source("192.0.2.1");
        let first = table.admit(a, false, &limits).unwrap();
        let _second = table.admit(a, false, &limits).unwrap();
        assert_eq!(table.admit(a, false, &limits).unwrap_err(), Reason::ConnectionsPerSource);
        assert!(table.admit(source("192.0.2.2"), false, &limits).is_ok(), "another is unaffected");
        assert!(table.admit(a, true, &limits).is_ok(), "an operator is not counted");
        drop(first);
        assert!(table.admit(a, false, &limits).is_ok());
    }

    #[test]
    fn a_64_is_one_source() {
        let table = Arc::new(ConnectionTable::new(100));
        let limits = Limits { connections_per_v6_64_max: 1, ..Limits::default() };
        let _held = table.admit(source("2001:db8::1"), false, &limits).unwrap();
        assert!(table.admit(source("2001:db8::2"), false, &limits).is_err());
    }

    #[test]
    fn the_total_holds_for_operators_too_and_nothing_is_left_behind() {
        let table = Arc::new(ConnectionTable::new(3));
        let limits = Limits::default();
        let places: Vec<_> = (1..=3)
            .map(|n| table.admit(source(&format!("192.0.2.{n}")), false, &limits).unwrap())
            .collect();
        let refused = table.admit(source("192.0.2.9"), true, &limits).unwrap_err();
        assert_eq!(refused, Reason::ConnectionsTotal);
        drop(places);
        assert_eq!(table.open(), 0);
        assert!(table.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn a_source_that_may_hold_none_leaves_no_entry() {
        let table = Arc::new(ConnectionTable::new(3));
        let limits = Limits { connections_per_v4_max: 0, ..Limits::default() };
        assert!(table.admit(source("192.0.2.1"), false, &limits).is_err());
        assert!(table.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
        assert_eq!(table.open(), 0);
    }
}
