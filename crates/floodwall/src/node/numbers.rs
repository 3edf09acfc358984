//! One row of incident numbers for both engines.
//!
//! Each engine counts its incidents by itself and knows nothing of the other. Whoever runs an engine
//! exchanges its numbers for those of the installation before anybody else sees them, in the order
//! in which incidents begin; the store says where the row goes on after a restart.
//!
//! Rule numbers are not exchanged, since a checked plan must not be rewritten: of the numbers that
//! the store sets aside, each engine takes every second one ([`rule_ids`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use floodwall_model::RuleIds;
use floodwall_store::{RULE_IDS_RESERVED, Store, StoreError};

/// Numbers exchanged lately that are remembered. An engine has one incident open at a time, so the
/// older ones are closed and never named again.
const EXCHANGED_MAX: usize = 16;

/// The rows of rule numbers of this run: the request engine's, and the packet engine's. They never
/// meet, and what is set aside bounds neither: every stored record raises the store's next free
/// number above its rules.
pub(crate) fn rule_ids(store: &mut Store) -> Result<(RuleIds, RuleIds), StoreError> {
    let mut rows = RuleIds::rows(store.reserve_rule_ids(RULE_IDS_RESERVED)?, 2);
    let mut row = || rows.next().unwrap_or_default();
    Ok((row(), row()))
}

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
    use floodwall_model::{Incident, RuleId, RuleRecord};

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

    /// The packet engine had a block of 16,384 numbers in front of the request engine's. A flood that
    /// comes back every minute, each time in another guise, uses that up in twelve days; from then
    /// on two rules of one run had one number.
    #[test]
    fn months_of_floods_and_five_restarts_give_no_number_twice() {
        let directory = tempfile::tempdir().unwrap();
        let mut given = std::collections::HashSet::new();
        for restart in 0..=5 {
            let mut store = Store::open(&directory.path().join("floodwall.db")).unwrap();
            let (mut requests, mut packets) = rule_ids(&mut store).unwrap();
            // 45 days, and two engines that are not equally busy.
            for pulse in 0..65_000 {
                let mut incident = Incident { id: restart * 65_000 + pulse, ..Incident::default() };
                let rows = [(true, &mut packets), (pulse % 100 == 0, &mut requests)];
                for (_, row) in rows.into_iter().filter(|(placed, _)| *placed) {
                    assert!(given.insert(row.next()), "{:?} of restart {restart}", row.next());
                    incident.add_rule(record(row.next()));
                    row.taken();
                }
                // Each record is stored; the numbers only rise, so that the last is enough here.
                if pulse == 64_999 {
                    store.save_incident(&incident).unwrap();
                }
            }
        }
        assert_eq!(given.len(), 6 * (65_000 + 650));
    }

    fn record(id: RuleId) -> RuleRecord {
        RuleRecord {
            id,
            words: String::new(),
            predicates: Vec::new(),
            action: floodwall_model::Action::Block,
            first_at_ms: 0,
            ended_at_ms: None,
            ended_why: None,
            returns: 0,
            matched: 0,
            projected: Default::default(),
            measured: Default::default(),
            live: Default::default(),
            evidence: Vec::new(),
        }
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
