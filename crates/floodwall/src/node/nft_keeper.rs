//! The nftables set as the node uses it: kept by a thread of its own.
//!
//! Every change starts nft(8), some milliseconds or, on a host that is short of breath, many more;
//! the engine's thread must never wait for that. So orders go into a mailbox, and what the set has
//! counted is read from a copy. A table that somebody else removed (`nft flush ruleset` is the
//! first line of many a firewall's file) is made anew and said so.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use floodwall_model::{CheckedBan, Prefix};
use floodwall_xdp::{FilterCounters, NFT_BATCH_MAX, NftFilter};

use super::lock;
use crate::clock::now_ms;

/// Orders waiting for nft. When full: a ban is refused and counted by whoever gave it, and the
/// board still closes; an order to lift waits to be given again and the ban ends by itself.
const ORDERS_MAX: usize = 16_384;
/// How often ended bans are swept and counters read. The set forgets counts 2.5 s after this.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Between two warnings about one thing.
const WARN_EVERY: Duration = Duration::from_secs(60);

enum Order {
    Ban(CheckedBan),
    BanAll(Vec<CheckedBan>),
    LiftAll(Vec<Prefix>),
    Allow { gone: Vec<Prefix>, come: Vec<Prefix> },
}

/// What the thread shows to others.
#[derive(Debug, Default)]
struct Shown {
    counters: Option<FilterCounters>,
    /// How often the table was made anew, and is empty.
    remade: u64,
}

/// The set in force. Dropping it takes the set away.
#[derive(Debug)]
pub(crate) struct NftKeeper {
    /// `None` only while it is dropped.
    orders: Option<SyncSender<Order>>,
    shown: Arc<Mutex<Shown>>,
    thread: Option<JoinHandle<()>>,
}

impl NftKeeper {
    /// Gives `filter` a thread, in the calling thread's network namespace.
    pub(crate) fn start(filter: NftFilter) -> std::io::Result<NftKeeper> {
        let (orders, inbox) = sync_channel(ORDERS_MAX);
        let shown = Arc::new(Mutex::new(Shown {
            counters: Some(FilterCounters::default()),
            ..Shown::default()
        }));
        let keeper = Keeper {
            filter,
            inbox,
            shown: Arc::clone(&shown),
            bans: Vec::new(),
            before: FilterCounters::default(),
            said: [None; THINGS],
        };
        let thread = std::thread::Builder::new().name("floodwall-nft".into());
        let thread = Some(thread.spawn(move || keeper.run())?);
        Ok(NftKeeper { orders: Some(orders), shown, thread })
    }

    /// True if the order was taken; what the kernel then says is counted and, when it refuses, said.
    pub(crate) fn ban(&self, ban: &CheckedBan) -> bool {
        self.give(Order::Ban(*ban))
    }

    /// Many at once.
    pub(crate) fn ban_all(&self, bans: Vec<CheckedBan>) -> bool {
        self.give(Order::BanAll(bans))
    }

    /// Lifts bans.
    pub(crate) fn lift_all(&self, prefixes: Vec<Prefix>) -> bool {
        self.give(Order::LiftAll(prefixes))
    }

    /// Changes the allow list.
    pub(crate) fn allow(&self, gone: Vec<Prefix>, come: Vec<Prefix>) -> bool {
        self.give(Order::Allow { gone, come })
    }

    fn give(&self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }

    /// What it had counted a second ago at most; `None` when it could not be read.
    pub(crate) fn counters(&self) -> Option<FilterCounters> {
        lock(&self.shown).counters.clone()
    }

    /// How often the table was made anew: whoever holds bans gives them again.
    pub(crate) fn remade(&self) -> u64 {
        lock(&self.shown).remade
    }
}

impl Drop for NftKeeper {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It never panics; if it did, its table ends with its bans.
            let _ = thread.join();
        }
    }
}

/// What can be wrong; one must not keep another from being said.
#[derive(Copy, Clone)]
enum Thing {
    Lifting,
    Allowing,
    Banning,
    Table,
}

const THINGS: usize = 4;

struct Keeper {
    filter: NftFilter,
    inbox: Receiver<Order>,
    shown: Arc<Mutex<Shown>>,
    /// Gathered for one transaction.
    bans: Vec<CheckedBan>,
    /// What tables that are gone had counted.
    before: FilterCounters,
    /// When each thing was said last.
    said: [Option<Instant>; THINGS],
}

impl Keeper {
    fn run(mut self) {
        let mut sweep_at = Instant::now();
        loop {
            let now = Instant::now();
            if now >= sweep_at {
                self.filter.sweep();
                self.read();
                sweep_at = now + SWEEP_EVERY;
            }
            match self.inbox.recv_timeout(sweep_at.saturating_duration_since(Instant::now())) {
                Ok(order) => self.take(order),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // What has come meanwhile goes into the same transaction.
            while self.bans.len() < NFT_BATCH_MAX {
                match self.inbox.try_recv() {
                    Ok(order) => self.take(order),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            self.commit();
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Ban(ban) => self.bans.push(ban),
            Order::BanAll(bans) => self.bans.extend(bans),
            Order::LiftAll(prefixes) => {
                // In the order given: what was banned before shall be lifted too.
                self.commit();
                if let Err(error) = self.filter.unban_all(&prefixes) {
                    self.warn(
                        Thing::Lifting,
                        &format!("bans could not be lifted and end by themselves: {error}"),
                    );
                }
            }
            Order::Allow { gone, come } => {
                self.commit();
                for prefix in gone {
                    self.filter.disallow(prefix);
                }
                for prefix in come {
                    if let Err(error) = self.filter.allow(prefix) {
                        self.warn(
                            Thing::Allowing,
                            &format!("{prefix} could not be put on the allow list: {error}"),
                        );
                    }
                }
            }
        }
    }

    fn commit(&mut self) {
        let bans = std::mem::take(&mut self.bans);
        let refused: Vec<_> = self.filter.ban_all(&bans, now_ms());
        let refused: Vec<_> = refused.into_iter().filter_map(Result::err).collect();
        if let Some(first) = refused.first() {
            let count = refused.len();
            self.warn(
                Thing::Banning,
                &format!("nftables did not take {count} of {} bans: {first}", bans.len()),
            );
        }
    }

    fn read(&mut self) {
        match self.filter.counters() {
            Ok(now) => lock(&self.shown).counters = Some(sum(&self.before, now)),
            Err(error) => self.remake(&error.to_string()),
        }
    }

    /// The table is not there any more.
    fn remake(&mut self, why: &str) {
        match self.filter.remake() {
            Ok(()) => {
                self.warn(
                    Thing::Table,
                    &format!(
                        "somebody else removed the nftables table, and it was made anew: {why}"
                    ),
                );
                let mut shown = lock(&self.shown);
                if let Some(counted) = shown.counters.clone() {
                    self.before = FilterCounters { bans_held: 0, ..counted };
                }
                shown.remade += 1;
            }
            Err(error) => {
                lock(&self.shown).counters = None;
                self.warn(
                    Thing::Table,
                    &format!("the nftables table is gone and cannot be made anew: {error}"),
                );
            }
        }
    }

    fn warn(&mut self, thing: Thing, what: &str) {
        let Some(said) = self.said.get_mut(thing as usize) else { return };
        if said.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!("{what}");
        }
    }
}

/// `now` with what earlier tables had counted. The account of refused bans outlives tables.
fn sum(before: &FilterCounters, now: FilterCounters) -> FilterCounters {
    let mut by_reason = now.by_reason;
    by_reason.iter_mut().zip(before.by_reason).for_each(|(now, before)| *now += before);
    FilterCounters {
        packets_seen: now.packets_seen + before.packets_seen,
        passed: now.passed + before.passed,
        dropped: now.dropped + before.dropped,
        by_reason,
        ..now
    }
}

#[cfg(test)]
mod tests {
    use floodwall_model::{Ban, Protected, Source};

    use super::*;

    fn ban() -> CheckedBan {
        let source = Source::new(std::net::Ipv4Addr::new(203, 0, 113, 9).into());
        let from_ms = now_ms();
        let ban = Ban { source, from_ms, until_ms: from_ms + 1_000, handshake: true, blocked: 20 };
        ban.check(&Protected::default()).unwrap()
    }

    #[test]
    fn a_full_mailbox_refuses_and_never_waits() {
        let (orders, inbox) = sync_channel(ORDERS_MAX);
        let keeper = NftKeeper { orders: Some(orders), shown: Arc::default(), thread: None };
        for _ in 0..ORDERS_MAX {
            assert!(keeper.ban(&ban()));
        }
        assert!(!keeper.ban(&ban()), "whoever gave it counts it");
        assert!(!keeper.lift_all(vec![ban().ban().source.counted()]));
        assert!(matches!(inbox.try_recv(), Ok(Order::Ban(_))));
        assert!(keeper.ban(&ban()), "there is room again");
        drop(inbox);
        assert!(!keeper.ban(&ban()), "the thread is gone");
    }

    #[test]
    fn what_a_removed_table_had_counted_stays_counted() {
        let counted = |dropped: u64| {
            let mut counters = FilterCounters { dropped, packets_seen: 10, ..Default::default() };
            counters.by_reason[3] = dropped;
            counters
        };
        let now = FilterCounters { bans_held: 2, ..counted(1) };
        let sum = sum(&counted(7), now);
        assert_eq!((sum.dropped, sum.packets_seen, sum.by_reason[3]), (8, 20, 8));
        assert_eq!(sum.bans_held, 2, "what is held is what the new table holds");
    }
}
