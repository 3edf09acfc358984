//! Visits as one stream of requests in virtual time.
//!
//! Every answer is assumed to arrive after a delay drawn for it, however many requests there are:
//! good enough to feed an engine, and never a model of a drowning origin. The demo drives the same
//! visits against real answers instead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;

use fastrand::Rng;

use crate::chance::{exponential_ms, stream};
use crate::request::Planned;
use crate::session::{Answer, Session, Step};
use crate::visitors::SessionArrivals;

/// Visits going on at once. When full: an arriving visit does not take place; counted in
/// [`OpenLoop::visits_refused`].
pub const VISITS_LIVE_MAX: usize = 100_000;

/// Requests of visits in the order of their times. Endless if the arrivals are.
#[derive(Debug)]
pub struct OpenLoop {
    arrivals: SessionArrivals,
    live: BinaryHeap<Reverse<Due>>,
    answer_ms_mean: f64,
    visits_live_max: usize,
    rng: Rng,
    refused: u64,
    /// Whose request was taken last, when it was sent, and how soon it is answered, ms.
    asking: Option<(Session, u64, u64)>,
}

#[derive(Debug)]
struct Due {
    planned: Planned,
    session: Session,
    /// Ties are broken by who came first, so that a seed gives one order.
    order: u64,
}

impl OpenLoop {
    /// Answers arrive after a delay of `answer_ms_mean` on average.
    pub fn new(arrivals: SessionArrivals, answer_ms_mean: f64, seed: u64) -> Self {
        let rng = stream(seed, 0x6f70_656e);
        OpenLoop {
            arrivals,
            live: BinaryHeap::new(),
            answer_ms_mean,
            visits_live_max: VISITS_LIVE_MAX,
            rng,
            refused: 0,
            asking: None,
        }
    }

    /// The same with fewer visits at once than [`VISITS_LIVE_MAX`].
    pub fn with_visits_live_max(mut self, visits: usize) -> Self {
        self.visits_live_max = visits.min(VISITS_LIVE_MAX);
        self
    }

    /// Visits that did not take place because as many as may be were going on.
    pub fn visits_refused(&self) -> u64 {
        self.refused
    }

    /// Visits going on.
    pub fn visits_live(&self) -> usize {
        self.live.len()
    }

    /// When the next request is due, ms.
    pub fn due_ms(&mut self) -> Option<u64> {
        self.admit();
        self.live.peek().map(|Reverse(due)| due.planned.at_ms)
    }

    /// The next request. Its visit waits for [`OpenLoop::answered`].
    pub fn take(&mut self) -> Option<Planned> {
        self.admit();
        let Reverse(Due { planned, session, .. }) = self.live.pop()?;
        let delay_ms = exponential_ms(&mut self.rng, self.answer_ms_mean) as u64;
        self.asking = Some((session, planned.at_ms, delay_ms));
        Some(planned)
    }

    /// Whether the request taken last was answered well. A refusal comes at once.
    pub fn answered(&mut self, ok: bool) {
        let Some((session, sent_ms, delay_ms)) = self.asking.take() else { return };
        let delay_ms = if ok { delay_ms } else { 1 };
        self.advance(session, &Answer { ok, ..Answer::ok(sent_ms + delay_ms) });
    }

    /// Starts every visit that begins before the next request due.
    fn admit(&mut self) {
        while let Some(at_ms) = self.arrivals.next_at_ms() {
            if self.live.peek().is_some_and(|Reverse(due)| due.planned.at_ms < at_ms) {
                return;
            }
            let Some(session) = self.arrivals.next_session() else { return };
            if self.live.len() >= self.visits_live_max {
                self.refused += 1;
                continue;
            }
            self.advance(session, &Answer::ok(at_ms));
        }
    }

    fn advance(&mut self, mut session: Session, answer: &Answer) {
        match session.next(answer) {
            Step::Send(planned) => {
                let order = planned.page_view;
                self.live.push(Reverse(Due { planned, session, order }));
            }
            Step::Done => self.arrivals.remember(session, answer.at_ms),
        }
    }
}

impl Iterator for OpenLoop {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let planned = self.take();
        self.answered(true);
        planned
    }
}

impl Due {
    fn key(&self) -> (u64, u64) {
        (self.planned.at_ms, self.order)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Several streams as one, in the order of their times.
pub struct Merged {
    streams: Vec<Peekable<Box<dyn Iterator<Item = Planned> + Send>>>,
}

/// Merges streams that are each in the order of their times.
pub fn merge(streams: Vec<Box<dyn Iterator<Item = Planned> + Send>>) -> Merged {
    Merged { streams: streams.into_iter().map(Iterator::peekable).collect() }
}

impl Iterator for Merged {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let heads = self.streams.iter_mut().enumerate();
        let first = heads.filter_map(|(i, stream)| Some((stream.peek()?.at_ms, i))).min()?;
        self.streams[first.1].next()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::address::AddressPlan;
    use crate::request::Label;
    use crate::site::{RESULTS, Site};
    use crate::visitors::VisitorsConfig;

    fn stream_of(config: VisitorsConfig) -> OpenLoop {
        let (site, plan) = (Arc::new(Site::campaign()), AddressPlan::loopback());
        let pool = if config.label == Label::Crowd { plan.crowd } else { plan.honest };
        OpenLoop::new(SessionArrivals::new(config, site, &pool, 1), 30.0, 1)
    }

    #[test]
    fn visits_beyond_the_maximum_do_not_take_place_and_are_counted() {
        let mut stream =
            stream_of(VisitorsConfig::crowd(2_000.0, RESULTS)).with_visits_live_max(50);
        while stream.next().is_some_and(|planned| planned.at_ms < 15_000) {
            assert!(stream.visits_live() <= 50);
        }
        assert!(stream.visits_refused() > 100, "{}", stream.visits_refused());
    }

    #[test]
    fn arrivals_that_end_end_the_stream() {
        let config = VisitorsConfig { end_ms: 3_000, ..VisitorsConfig::honest(50.0) };
        let last = stream_of(config).last().unwrap();
        assert!(last.at_ms > 3_000, "visits begun before go on");
    }

    #[test]
    fn merged_streams_are_in_order_and_whole() {
        let honest = VisitorsConfig { end_ms: 5_000, ..VisitorsConfig::honest(50.0) };
        let crowd = VisitorsConfig { end_ms: 5_000, ..VisitorsConfig::crowd(500.0, RESULTS) };
        let apart = stream_of(honest.clone()).count() + stream_of(crowd.clone()).count();
        let merged: Vec<Planned> =
            merge(vec![Box::new(stream_of(honest)), Box::new(stream_of(crowd))]).collect();
        assert!(merged.is_sorted_by_key(|p| p.at_ms));
        assert_eq!(merged.len(), apart);
    }
}
