//! Honest visits, recorded and played again from other addresses: what no signature can describe.
//!
//! The requests are sent as they were recorded, with their cookies, pages and parts of pages in
//! their order and at their pace. Whether a cookie is still valid is not the traffic's business.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;

use fastrand::Rng;
use floodwall_model::RequestKind;

use super::pace::{Beat, Pace};
use crate::address::AddressPool;
use crate::chance::stream;
use crate::request::{Label, Planned, RequestSpec};
use crate::session::VIEWS_MAX;
use crate::traffic::Traffic;
use crate::who::Who;

/// Requests recorded at most. What comes later is not recorded.
pub const RECORDED_MAX: usize = 50_000;
/// Only what a visit sends this soon counts towards the rate, ms: the attack is at its strength
/// after this time, and what visits send later comes on top.
const COUNTED_MS: u64 = 10_000;

type Visit = Vec<(u64, RequestKind, RequestSpec)>;

/// What a visit under way sends next. Ordered by time, then by who began first.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
struct Next {
    at_ms: u64,
    played: u64,
    visit: usize,
    source: usize,
    request: usize,
}

/// Recorded visits under way again.
#[derive(Debug)]
pub struct Replay {
    visits: Vec<Visit>,
    pace: Pace,
    sources: Vec<IpAddr>,
    begins: Option<Beat>,
    live: BinaryHeap<Reverse<Next>>,
    played: u64,
    rng: Rng,
}

impl Replay {
    /// Plays what `recorded` holds, so that requests come at the rate of `pace`.
    pub fn new(
        recorded: impl Iterator<Item = Planned>,
        mut pace: Pace,
        addresses: &AddressPool,
        sources: usize,
        seed: u64,
    ) -> Self {
        let mut rng = stream(seed, 0x7265_706c);
        let visits = visits(recorded);
        let soon = |visit: &Visit| visit.iter().filter(|(ms, ..)| *ms < COUNTED_MS).count();
        let requests: usize = visits.iter().map(soon).sum();
        // Visits begin as often as their length asks for.
        pace.rps *= visits.len() as f64 / requests.max(1) as f64;
        let begins = if visits.is_empty() { None } else { pace.next(&mut rng) };
        let sources = (0..sources.max(1)).map(|_| addresses.draw(&mut rng)).collect();
        Replay { visits, pace, sources, begins, live: BinaryHeap::new(), played: 0, rng }
    }

    fn begin_due(&mut self) {
        while let Some(beat) = self.begins {
            if self.live.peek().is_some_and(|Reverse(next)| next.at_ms < beat.at_ms) {
                return;
            }
            self.played += 1;
            let visit = self.rng.usize(..self.visits.len());
            let source = self.rng.usize(..self.sources.len());
            let (at_ms, played) = (beat.at_ms, self.played);
            self.live.push(Reverse(Next { at_ms, played, visit, source, request: 0 }));
            self.begins = self.pace.next(&mut self.rng);
        }
    }
}

impl Traffic for Replay {
    fn due_ms(&mut self) -> Option<u64> {
        self.begin_due();
        let at_ms = self.live.peek().map(|Reverse(next)| next.at_ms)?;
        (at_ms < self.pace.end_ms).then_some(at_ms)
    }

    fn take(&mut self) -> Option<Planned> {
        self.due_ms()?;
        let Reverse(now) = self.live.pop()?;
        let requests = &self.visits[now.visit];
        let (offset_ms, kind, request) = &requests[now.request];
        if let Some((next_ms, ..)) = requests.get(now.request + 1) {
            let at_ms = now.at_ms + (next_ms - offset_ms);
            self.live.push(Reverse(Next { at_ms, request: now.request + 1, ..now }));
        }
        Some(Planned {
            at_ms: now.at_ms,
            source: self.sources[now.source],
            request: request.clone(),
            kind: *kind,
            label: Label::Attack,
            page_view: now.played,
            who: Who::default(),
            wave: 0,
        })
    }

    fn told(&mut self, _passed: bool) {}
}

/// Requests of one visit, in the order recorded, with the time since its first. By the visit and not
/// by the source: a shared address has a hundred visitors, a monitor never ends.
fn visits(recorded: impl Iterator<Item = Planned>) -> Vec<Visit> {
    let mut of_visit: HashMap<u64, usize> = HashMap::new();
    let mut visits: Vec<(u64, Visit)> = Vec::new();
    for planned in recorded.take(RECORDED_MAX) {
        let number = planned.page_view / u64::from(VIEWS_MAX + 1);
        let visit = *of_visit.entry(number).or_insert_with(|| {
            visits.push((planned.at_ms, Vec::new()));
            visits.len() - 1
        });
        let (first_ms, requests) = &mut visits[visit];
        requests.push((planned.at_ms - *first_ms, planned.kind, planned.request));
    }
    visits.into_iter().map(|(_, requests)| requests).collect()
}
