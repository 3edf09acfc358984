//! Token buckets of throttled sources: one fixed table for all workers.
//!
//! Set-associative, so that its size never changes and a look-up touches one cache line or two. When
//! a set is full the bucket that was used longest ago makes room: whoever owned it starts afresh
//! with a full one. That is the failing-open side: a flood of sources can only make the throttle
//! more generous, never refuse somebody who did not exceed it.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use floodwall_model::{RuleId, Source, TokenBucket};

/// Sets in the table.
const SETS: usize = 16_384;
/// Buckets in one set. `SETS * WAYS` sources are throttled at once; beyond, the idlest is forgotten.
const WAYS: usize = 4;
/// Sets behind one lock.
const SETS_PER_SHARD: usize = 256;

#[derive(Copy, Clone, Debug)]
struct Entry {
    key: u64,
    rule: RuleId,
    used_ms: u64,
    bucket: TokenBucket,
}

type Set = [Option<Entry>; WAYS];

/// The buckets of throttled sources.
#[derive(Debug)]
pub(crate) struct ThrottleTable {
    shards: Box<[Mutex<Box<[Set]>>]>,
    /// Keyed, so that nobody can aim at another's set.
    hasher: RandomState,
    evicted: AtomicU64,
}

impl ThrottleTable {
    pub(crate) fn new() -> Self {
        let shard = || Mutex::new(vec![[None; WAYS]; SETS_PER_SHARD].into_boxed_slice());
        ThrottleTable {
            shards: (0..SETS / SETS_PER_SHARD).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            evicted: AtomicU64::new(0),
        }
    }

    /// Takes a token of `source` under `rule`, which grants `per_10s` requests in ten seconds, all
    /// of which may come at once. `false`: it exceeds its rate.
    pub(crate) fn take(&self, rule: RuleId, source: Source, per_10s: u32, now_ms: u64) -> bool {
        let key = source.key();
        let hash = self.hasher.hash_one((key, rule)) as usize % SETS;
        let mut shard = self.shards[hash / SETS_PER_SHARD]
            .lock()
            // A panic under this lock leaves at worst a wrong token count.
            .unwrap_or_else(PoisonError::into_inner);
        let set = &mut shard[hash % SETS_PER_SHARD];
        let entry = match set
            .iter()
            .position(|e| e.as_ref().is_some_and(|e| e.key == key && e.rule == rule))
        {
            Some(at) => &mut set[at],
            None => {
                let place = idlest(set);
                if place.is_some() {
                    self.evicted.fetch_add(1, Ordering::Relaxed);
                }
                *place = None;
                place
            }
        };
        let bucket = TokenBucket::full(per_10s, now_ms);
        let entry = entry.get_or_insert(Entry { key, rule, used_ms: now_ms, bucket });
        entry.used_ms = now_ms;
        entry.bucket.take(per_10s, per_10s, now_ms)
    }

    /// Buckets forgotten because their set was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

/// The free place of a set, or the one used longest ago.
fn idlest(set: &mut Set) -> &mut Option<Entry> {
    let mut best = 0;
    for at in 1..WAYS {
        let used = |e: &Option<Entry>| e.as_ref().map_or(0, |e| e.used_ms.saturating_add(1));
        if used(&set[at]) < used(&set[best]) {
            best = at;
        }
    }
    &mut set[best]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32) -> Source {
        Source::new(std::net::Ipv4Addr::from(n).into())
    }

    #[test]
    fn each_source_has_its_own_bucket_per_rule() {
        let table = ThrottleTable::new();
        let take = |rule, n| table.take(RuleId(rule), source(n), 20, 1_000);
        assert_eq!((0..25).filter(|_| take(1, 7)).count(), 20);
        assert_eq!((0..25).filter(|_| take(1, 8)).count(), 20);
        assert_eq!((0..25).filter(|_| take(2, 7)).count(), 20);
        assert!(!take(1, 7));
        assert!(table.take(RuleId(1), source(7), 20, 1_500), "one token in half a second");
    }

    #[test]
    fn a_full_table_forgets_the_idlest_and_counts() {
        let table = ThrottleTable::new();
        let sources = (SETS * WAYS) as u32 * 2;
        for n in 0..sources {
            assert!(table.take(RuleId(1), source(n), 20, u64::from(n)), "nobody new is refused");
        }
        assert!(table.evicted() >= u64::from(sources) - (SETS * WAYS) as u64);
    }
}
