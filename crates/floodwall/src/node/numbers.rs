//! One row of incident numbers for both engines.
//!
//! Each engine counts its incidents by itself and knows nothing of the other. Whoever runs an engine
//! exchanges its numbers for those of the installation before anybody else sees them, in the order
//! in which incidents begin; the store says where the row goes on after a restart.
//!
//! Rule numbers are not exchanged, since a checked plan must not be rewritten: each engine has a
//! block of its own, set aside in the store ([`PACKET_RULE_IDS`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use floodwall_store::RULE_IDS_RESERVED;

/// Rule numbers set aside for the packet engine at a start. Its block comes first, so that the
/// request engine, whose block is last, may go on beyond it. When a run places more rules for
/// packets than this, numbers of request rules of the same run return; a run has at most 64 at once.
pub(crate) const PACKET_RULE_IDS: u32 = 4 * RULE_IDS_RESERVED;

/// Numbers exchanged lately that are remembered. An engine has one incident open at a time, so the
/// older ones are closed and never named again.
const EXCHANGED_MAX: usize = 16;

/// Exchanges the incident numbers of one engine.
#[derive(Debug)]
pub(crate) struct IncidentNumbers {
    next: Arc<AtomicU64>,
    exchanged: VecDeque<(u64, u64)>,
}

impl IncidentNumbers {
    /// `next` is shared with the other engine.
    pub(crate) fn new(next: Arc<AtomicU64>) -> Self {
        IncidentNumbers { next, exchanged: VecDeque::new() }
    }

    /// The installation's number for the engine's incident `own`.
    pub(crate) fn exchange(&mut self, own: u64) -> u64 {
        if let Some((_, number)) = self.exchanged.iter().find(|(known, _)| *known == own) {
            return *number;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.exchanged.truncate(EXCHANGED_MAX - 1);
        self.exchanged.push_front((own, number));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_engines_that_count_alike_share_one_row() {
        let next = Arc::new(AtomicU64::new(41));
        let mut requests = IncidentNumbers::new(Arc::clone(&next));
        let mut packets = IncidentNumbers::new(next);
        assert_eq!(requests.exchange(1), 41);
        assert_eq!(packets.exchange(1), 42);
        assert_eq!(requests.exchange(1), 41, "a record that is stored again keeps its number");
        assert_eq!(packets.exchange(2), 43);
        assert_eq!(requests.exchange(2), 44);
        assert_eq!(packets.exchange(2), 43);
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let mut numbers = IncidentNumbers::new(Arc::new(AtomicU64::new(1)));
        for own in 0..100 {
            numbers.exchange(own);
        }
        assert_eq!(numbers.exchanged.len(), EXCHANGED_MAX);
        assert_eq!(numbers.exchange(99), 100);
    }
}
