//! A rise as what it costs: the same search ([`crate::miner`]) over records weighed by what their
//! routes usually cost the origin, instead of one for one.
//!
//! Weighing is done by drawing: of requests that cost a tenth of the dearest, one in ten stays, so
//! that every record that stays stands for the same work, now and in the past, and the search needs
//! to know nothing of weights. What a signature would have hit is still counted in requests, all of
//! them. It must never decide who is refused: it only says where to look.

use floodwall_model::{Attr, ValueId};

use crate::baseline::Frozen;
use crate::costs::Costs;
use crate::random::mix;
use crate::recent::Sample;
use crate::record::Record;

/// How records are weighed.
#[derive(Copy, Clone, Debug)]
pub struct Scale<'a> {
    /// What routes usually cost.
    pub costs: &'a Costs,
    /// Most that one request counts for, ms.
    pub most_ms: f64,
    /// What counts as one request, ms: the mean, so that the rate expected stays what it is.
    pub one_ms: f64,
}

impl Scale<'_> {
    fn worth_ms(&self, record: &Record) -> f64 {
        self.costs.usual_ms(&record.attrs).min(self.most_ms)
    }

    /// Whether the record is drawn: the same record always or never.
    fn draws(&self, record: &Record) -> bool {
        let ValueId(path) = record.attrs[Attr::PathTemplate];
        let word = mix(record.source ^ mix(record.at_ms) ^ path.rotate_left(7));
        let unit = (word >> 11) as f64 / (1u64 << 53) as f64;
        unit < self.worth_ms(record) / self.most_ms.max(1e-9)
    }

    /// What arrives now, in requests of mean cost.
    pub fn now(&self, sample: &Sample) -> Sample {
        let requests_each = sample.count as f64 / sample.records.len().max(1) as f64;
        let cost_ms: f64 = sample.records.iter().map(|r| self.worth_ms(r)).sum();
        Sample {
            records: sample.records.iter().filter(|r| self.draws(r)).copied().collect(),
            count: (cost_ms * requests_each / self.one_ms.max(1e-9)).round() as u64,
            span_ms: sample.span_ms,
        }
    }

    /// The past to hold it against.
    pub fn past(&self, past: &Frozen) -> Frozen {
        past.weighed(|record| !record.prompted && self.draws(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Learned;
    use floodwall_model::{Attrs, RequestKind};

    fn record(n: u64, path: u64) -> Record {
        let mut attrs = Attrs::default();
        attrs[Attr::PathTemplate] = ValueId(path);
        Record {
            at_ms: n * 7,
            source: n,
            attrs,
            kind: RequestKind::Page,
            explained: false,
            passed: true,
            prompted: false,
        }
    }

    /// 900 requests for a page that costs 20 ms, 100 for one that costs 160.
    fn costs_and_records() -> (Costs, Vec<Record>) {
        let mut costs = Costs::new();
        let records: Vec<Record> =
            (0..1_000).map(|n| record(n, if n % 10 == 0 { 160 } else { 20 })).collect();
        for record in &records {
            let ValueId(took_ms) = record.attrs[Attr::PathTemplate];
            costs.learn(&record.attrs, took_ms as u32, 0);
        }
        (costs, records)
    }

    #[test]
    fn rates_become_work_and_every_record_stands_for_as_much_of_it() {
        let (costs, records) = costs_and_records();
        let scale = Scale { costs: &costs, most_ms: 160.0, one_ms: 34.0 };
        let sample = Sample { records, count: 2_000, span_ms: 10_000 };
        let now = scale.now(&sample);
        assert_eq!(now.count, 2_000, "34 ms is what they cost on average");
        let dear = |r: &&Record| r.attrs[Attr::PathTemplate] == ValueId(160);
        let (dear, all) = (now.records.iter().filter(dear).count(), now.records.len());
        assert_eq!(dear, 100);
        let share = dear as f64 / all as f64;
        assert!((share - 16.0 / 34.0).abs() < 0.06, "{share} of the work");
    }

    #[test]
    fn the_past_is_weighed_alike_and_collateral_is_still_counted_in_requests() {
        let (costs, records) = costs_and_records();
        let scale = Scale { costs: &costs, most_ms: 160.0, one_ms: 34.0 };
        let learned = |r: &Record| Learned { record: *r, engaged: None };
        let past = Frozen::for_tests(records.iter().map(learned).collect(), Vec::new());
        let weighed = scale.past(&past);
        assert_eq!(weighed.mining.len(), past.mining.len());
        assert_eq!(weighed.count(Attr::PathTemplate, ValueId(160)), 100);
        let cheap = weighed.count(Attr::PathTemplate, ValueId(20));
        assert!((85..140).contains(&cheap), "{cheap} of 900");
        assert_eq!(weighed.unprompted(), 100 + cheap as usize);
    }
}
