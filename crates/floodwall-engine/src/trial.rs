//! Sources that a block rule let through for a trial: do they behave like visitors?
//!
//! Counted per rule, in a table of fixed size. It only counts; what the counts mean is decided in
//! [`crate::harm`].

use floodwall_model::{Collateral, Observation};

use crate::sources::{Sources, agent_tag};

/// Sources on trial at once, per rule: three of a thousand stay let through for a minute. When full:
/// further ones are let through unwatched, counted.
const ON_TRIAL_MAX: usize = 256;
/// A source is judged so long after its first request that was let through, tenths of a second.
const JUDGED_AFTER_DS: u32 = 50;
/// It is forgotten, and may be on trial again, after so long, tenths of a second.
const FORGOTTEN_AFTER_DS: u32 = 700;
/// What was judged weighs half after so long, tenths of a second: those who come now count.
const FADES_DS: u32 = 600;

#[derive(Copy, Clone, Debug)]
struct OnTrial {
    key: u64,
    agent: u32,
    since_ds: u32,
    judged: bool,
}

/// The sources on trial for one rule, and what came of those before.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    sources: Vec<OnTrial>,
    requests: u64,
    seen: Collateral,
    lately: Collateral,
    faded_ds: u32,
    unwatched: u64,
}

impl Trial {
    /// Takes note of a request that was let through.
    pub fn note(&mut self, observation: &Observation, now_ds: u32) {
        self.requests += 1;
        let key = observation.source.key();
        if self.sources.iter().any(|s| s.key == key) {
            return;
        }
        if self.sources.len() >= ON_TRIAL_MAX {
            self.unwatched += 1;
            return;
        }
        let agent = agent_tag(observation);
        self.sources.push(OnTrial { key, agent, since_ds: now_ds, judged: false });
    }

    /// Judges those whose time has come. One that got no page had no chance and does not count.
    pub fn judge(&mut self, sources: &Sources, now_ds: u32) {
        if now_ds >= self.faded_ds.saturating_add(FADES_DS) {
            self.faded_ds = now_ds;
            self.lately.hits = self.lately.hits.div_ceil(2);
            self.lately.records = self.lately.records.div_ceil(2);
        }
        let (seen, lately) = (&mut self.seen, &mut self.lately);
        self.sources.retain_mut(|one| {
            let since_ds = now_ds.saturating_sub(one.since_ds);
            if !one.judged && since_ds >= JUDGED_AFTER_DS {
                one.judged = true;
                let state = sources.find(one.key);
                if let Some(state) = state.filter(|s| s.page_settled(now_ds, 0)) {
                    let behaved = u64::from(state.engaged_with(one.agent));
                    for sum in [&mut *seen, &mut *lately] {
                        sum.records += 1;
                        sum.hits += behaved;
                    }
                }
            }
            since_ds < FORGOTTEN_AFTER_DS
        });
    }

    /// Requests let through.
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Sources judged, and those of them that behaved like visitors.
    pub const fn seen(&self) -> Collateral {
        self.seen
    }

    /// The same, of the last minutes.
    pub const fn seen_lately(&self) -> Collateral {
        self.lately
    }

    /// Sources watched, most that fit, and those for which there was no room.
    pub const fn occupancy(&self) -> (usize, usize, u64) {
        (self.sources.len(), ON_TRIAL_MAX, self.unwatched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{Attrs, Handling, Outcome, RequestKind, RuleId, Source, Stage};

    fn request(n: u32, kind: RequestKind) -> Observation {
        Observation {
            at_ms: 0,
            source: Source::new(std::net::Ipv4Addr::from(n).into()),
            attrs: Attrs::default(),
            kind,
            handling: Handling::HeldBack(RuleId(1)),
            stage: Stage::Whole,
            outcome: Some(Outcome { status: 200, ..Outcome::default() }),
            handshake: true,
        }
    }

    #[test]
    fn who_fetches_what_his_page_needs_counts_as_a_visitor_and_each_source_once() {
        let (mut trial, mut sources) = (Trial::default(), Sources::new(256));
        let mut arrive = |trial: &mut Trial, n, kind, ds| {
            let request = request(n, kind);
            sources.observe(&request, ds);
            trial.note(&request, ds);
        };
        for n in 1..=10 {
            arrive(&mut trial, n, RequestKind::Page, 10);
            if n <= 7 {
                arrive(&mut trial, n, RequestKind::Asset, 15);
            }
            arrive(&mut trial, n, RequestKind::Page, 40);
        }
        trial.judge(&sources, 59);
        assert_eq!(trial.seen().records, 0, "too early");
        trial.judge(&sources, 60);
        trial.judge(&sources, 61);
        assert_eq!(trial.seen(), Collateral { hits: 7, records: 10 });
        assert_eq!(trial.requests(), 27);
    }

    #[test]
    fn more_sources_than_fit_are_counted() {
        let mut trial = Trial::default();
        for n in 0..ON_TRIAL_MAX as u32 + 5 {
            trial.note(&request(n, RequestKind::Page), 10);
        }
        assert_eq!(trial.occupancy(), (ON_TRIAL_MAX, ON_TRIAL_MAX, 5));
        trial.judge(&Sources::new(64), 10 + FORGOTTEN_AFTER_DS);
        assert!(trial.sources.is_empty());
    }
}
