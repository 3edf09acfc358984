//! The bans in force, as the gateway keeps them: the last resort where the kernel does not do it.
//!
//! Written seldom by whoever applies bans, read by every worker at accept and per request. When
//! there is no ban, reading is one atomic load. It takes only a [`CheckedBan`], so that nobody can
//! lock out the operator by way of it.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use floodwall_model::limits::BANS_MAX;
use floodwall_model::{CheckedBan, Source};

/// Readers of different sources should seldom meet on one lock.
const SHARDS: usize = 64;

/// The board is full.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("as many sources as may be banned are banned")]
pub struct BoardFull;

/// Who is banned until when.
#[derive(Debug)]
pub struct BanBoard {
    shards: Box<[RwLock<HashMap<u64, u64>>]>,
    count: AtomicUsize,
    refused: AtomicU64,
}

impl Default for BanBoard {
    fn default() -> Self {
        BanBoard::new()
    }
}

impl BanBoard {
    /// An empty board.
    pub fn new() -> Self {
        BanBoard {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            count: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Bans the source of `ban` until its end; a ban in force is replaced. When [`BANS_MAX`] are on
    /// the board it says so and counts.
    pub fn ban(&self, ban: &CheckedBan) -> Result<(), BoardFull> {
        let ban = ban.ban();
        let key = ban.source.key();
        let mut shard = write(self.shard(key));
        if let Some(until_ms) = shard.get_mut(&key) {
            *until_ms = ban.until_ms;
            return Ok(());
        }
        // Counted before it is inserted: several writers together never exceed the maximum.
        if self.count.fetch_add(1, Ordering::Relaxed) >= BANS_MAX {
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(BoardFull);
        }
        shard.insert(key, ban.until_ms);
        Ok(())
    }

    /// Lifts the ban of `source`. Whether there was one.
    pub fn unban(&self, source: Source) -> bool {
        let key = source.key();
        let lifted = write(self.shard(key)).remove(&key).is_some();
        if lifted {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        lifted
    }

    /// Whether the source with this [`Source::key`] is banned at `now_ms` (since the epoch).
    pub fn is_banned(&self, key: u64, now_ms: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        let shard = self.shard(key).read().unwrap_or_else(std::sync::PoisonError::into_inner);
        shard.get(&key).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Takes ended bans off the board. The gateway calls it about once a second.
    pub fn sweep(&self, now_ms: u64) {
        if self.is_empty() {
            return;
        }
        for shard in &self.shards {
            let mut shard = write(shard);
            let before = shard.len();
            shard.retain(|_, until_ms| now_ms < *until_ms);
            self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
    }

    /// Bans on the board, ended ones not yet swept included.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bans that found the board full since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn shard(&self, key: u64) -> &RwLock<HashMap<u64, u64>> {
        // A multiplicative mix; whoever collides in it only shares a lock.
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.shards[mixed as usize % SHARDS]
    }
}

fn write(shard: &RwLock<HashMap<u64, u64>>) -> std::sync::RwLockWriteGuard<'_, HashMap<u64, u64>> {
    // A panic under this lock cannot leave the map half-changed.
    shard.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{Ban, Protected};

    fn checked(address: std::net::IpAddr, until_ms: u64) -> CheckedBan {
        let source = Source::new(address);
        Ban { source, from_ms: 0, until_ms, handshake: true, blocked: 20 }
            .check(&Protected::default())
            .expect("a bannable address")
    }

    #[test]
    fn a_ban_holds_until_its_end_and_is_swept() {
        let board = BanBoard::new();
        let source = Source::new("203.0.113.9".parse().unwrap());
        board.ban(&checked(source.address(), 1_000)).unwrap();
        assert!(board.is_banned(source.key(), 999));
        assert!(!board.is_banned(source.key(), 1_000));
        assert!(!board.is_banned(Source::new("203.0.113.8".parse().unwrap()).key(), 0));
        board.sweep(1_000);
        assert!(board.is_empty());
    }

    #[test]
    fn one_address_of_a_64_bans_the_64() {
        let board = BanBoard::new();
        board.ban(&checked("2001:db8:5:6::1".parse().unwrap(), 1_000)).unwrap();
        let neighbour = Source::new("2001:db8:5:6:7::9".parse().unwrap());
        assert!(board.is_banned(neighbour.key(), 0));
        assert!(board.unban(neighbour));
        assert!(!board.is_banned(neighbour.key(), 0));
        assert!(!board.unban(neighbour));
        assert_eq!(board.len(), 0);
    }

    #[test]
    fn a_full_board_refuses_and_counts_and_renews() {
        let board = BanBoard::new();
        let address = |n: usize| {
            let n = (n + 1) as u32;
            std::net::IpAddr::from(std::net::Ipv4Addr::from(0x0b00_0000 + n))
        };
        for n in 0..BANS_MAX {
            board.ban(&checked(address(n), 1_000)).unwrap();
        }
        assert_eq!(board.ban(&checked(address(BANS_MAX), 1_000)), Err(BoardFull));
        assert_eq!(board.refused(), 1);
        assert_eq!(board.len(), BANS_MAX);
        board.ban(&checked(address(0), 2_000)).expect("a ban in force is renewed");
        assert!(board.is_banned(Source::new(address(0)).key(), 1_500));
    }
}
