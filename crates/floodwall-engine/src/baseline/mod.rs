//! What is normal here, in three sets: the last hour, the same hour of earlier weeks, and visitors who
//! proved themselves; with bounds on how fast they may change, so that nobody teaches Floodwall to
//! take an attack for normal.
//!
//! Requests wait in quarantine before they are learned, and nothing is learned while an alarm is
//! open. Sources are kept under pseudonyms: what is remembered for weeks holds no addresses.

mod drift;
mod frozen;
mod growth;
mod last_hour;
mod networks;
mod quarantine;
mod ripening;
mod same_hour;
mod verified;

use floodwall_model::{Attr, ValueId, ValueKey};

use crate::memory::{Damaged, Reader, Writer};
use crate::random::Random;
use crate::recent::Epoch;
use crate::record::Record;
use crate::sources::Sources;
use drift::Drift;
use frozen::{Halves, Parts};
use growth::Growth;
use last_hour::LastHour;
use quarantine::Quarantine;
use ripening::Ripening;
use same_hour::SameHour;
use verified::Verified;

pub use drift::DRIFT_MAX;
pub use frozen::{Frozen, Learned, UNSEEN_ATTRS};
pub use networks::SeenNetworks;

/// Between two looks for what is too old, ms.
const FORGET_EVERY_MS: u64 = 60_000;

/// The learned past.
#[derive(Debug)]
pub struct Baseline {
    key: ValueKey,
    now_ms: u64,
    forgot_ms: u64,
    revision: u64,
    quarantine: Quarantine,
    learned: LearnedPast,
}

/// What outlives a restart. Cloning is cheap: the samples are shared.
#[derive(Clone, Debug, Default)]
pub struct LearnedPast {
    since_ms: Option<u64>,
    last_hour: LastHour,
    same_hour: SameHour,
    verified: Verified,
    growth: Growth,
    ripening: Ripening,
    drift: Drift,
    networks: SeenNetworks,
}

impl Baseline {
    /// Nothing learned, under a key that is no secret.
    #[cfg(test)]
    pub fn new() -> Self {
        Baseline::keyed(ValueKey::new(0, 0))
    }

    /// Nothing learned; sources get pseudonyms under `key`.
    pub fn keyed(key: ValueKey) -> Self {
        let networks = SeenNetworks::new(secret(&key));
        Baseline {
            key,
            now_ms: 0,
            forgot_ms: 0,
            revision: 0,
            quarantine: Quarantine::default(),
            learned: LearnedPast { networks, ..LearnedPast::default() },
        }
    }

    /// Puts a closed epoch into quarantine. Requests about which a rule spoke are left out.
    pub fn admit(&mut self, epoch: &Epoch) {
        self.learned.since_ms.get_or_insert(epoch.start_ms);
        self.quarantine.admit(epoch);
    }

    /// Learns what has been in quarantine long enough at `now_ms`.
    pub fn learn(&mut self, now_ms: u64, sources: &Sources, random: &mut Random) {
        self.now_ms = now_ms;
        let age_ms = now_ms.saturating_sub(self.learned.since_ms.unwrap_or(now_ms));
        while let Some(waiting) = self.quarantine.release(now_ms, age_ms) {
            self.revision += 1;
            for record in waiting.records {
                self.learn_one(record, waiting.end_ms, sources, random);
            }
        }
        self.forget();
    }

    fn learn_one(&mut self, record: Record, at_ms: u64, sources: &Sources, random: &mut Random) {
        let past = &mut self.learned;
        if !past.growth.admits(&record.attrs, at_ms) {
            return;
        }
        let state = sources.find(record.source);
        let engaged = state.map(|s| s.engaged());
        if engaged == Some(true) {
            past.networks.note(record.source, at_ms);
        }
        let network = pseudonym(&self.key, networks::network_of(record.source));
        let pseudonymous = Record { source: pseudonym(&self.key, record.source), ..record };
        let learned = Learned { record: pseudonymous, engaged };
        past.ripening.meet(&learned, network, at_ms);
        past.last_hour.learn(at_ms, learned, random);
        past.same_hour.learn(at_ms, learned, random);
        if state.is_some_and(|s| s.proved_itself(record.attrs[Attr::UserAgent])) {
            past.verified.learn(at_ms, learned, random);
        }
    }

    fn forget(&mut self) {
        let past = &mut self.learned;
        if past.last_hour.forget(self.now_ms) {
            self.revision += 1;
        }
        if self.now_ms < self.forgot_ms + FORGET_EVERY_MS {
            return;
        }
        self.forgot_ms = self.now_ms;
        past.same_hour.forget(self.now_ms);
        past.verified.forget(self.now_ms);
        past.ripening.forget(self.now_ms);
        past.networks.forget(self.now_ms);
        past.drift.look(self.now_ms, past.same_hour.last_week(self.now_ms));
    }

    /// Records learned that rules are proved on.
    pub fn records(&self) -> usize {
        self.learned.last_hour.records()
    }

    /// The stretch of time they come from, s.
    pub fn span_s(&self) -> u64 {
        self.learned.last_hour.span_s()
    }

    /// How far today's software differs from that of four weeks ago, 0 to 1, once known.
    pub const fn drift(&self) -> Option<f64> {
        self.learned.drift.present()
    }

    /// Drops what is in quarantine from `since_ms` on: it belonged to an attack.
    pub fn discard_since(&mut self, since_ms: u64) {
        self.quarantine.discard_since(since_ms);
    }

    /// The tables: name, places in use, places in all, and what was displaced or not learned.
    pub fn tables(&self) -> [(&'static str, (usize, usize, u64)); 7] {
        let past = &self.learned;
        let (counted, places, displaced) = past.growth.occupancy();
        [
            ("quarantine", self.quarantine.occupancy()),
            ("past: last hour", past.last_hour.occupancy()),
            ("past: same hour of the week", past.same_hour.occupancy()),
            ("past: verified visitors", past.verified.occupancy()),
            ("past: values of software", past.ripening.occupancy()),
            // Not learned because of too fast growth counts as displaced: it found no place.
            ("past: growth by value", (counted, places, displaced + past.growth.refused())),
            ("past: visitors' networks", past.networks.occupancy()),
        ]
    }

    /// A copy to judge by.
    pub fn freeze(&self, seed: u64) -> Frozen {
        let past = &self.learned;
        let same_hour = past.same_hour.around(self.now_ms);
        Frozen::new(Parts {
            last_hour: Halves::of(past.last_hour.iter(), seed),
            same_hour: Halves::of(same_hour.iter(), seed),
            verified: Halves::of(past.verified.iter(), seed),
            ripening: &past.ripening,
            networks: past.networks.clone(),
            span_s: self.span_s(),
            revision: self.revision,
        })
    }

    /// What shall be remembered. Quarantine is not: it was not judged yet.
    pub fn remembered(&self) -> LearnedPast {
        self.learned.clone()
    }

    /// Goes on at `now_ms` from what was remembered.
    pub fn recall(&mut self, past: LearnedPast, now_ms: u64) {
        self.now_ms = now_ms;
        self.learned = past;
        self.quarantine = Quarantine::default();
        self.revision += 1;
    }
}

impl LearnedPast {
    /// Writes it.
    pub fn pack(&self, out: &mut Writer) {
        out.number(self.since_ms.map_or(0, |ms| ms + 1));
        self.last_hour.pack(out);
        self.same_hour.pack(out);
        self.verified.pack(out);
        self.growth.pack(out);
        self.ripening.pack(out);
        self.drift.pack(out);
        self.networks.pack(out);
    }

    /// Reads it back at `now_ms`; `key` is the one it was learned under.
    pub fn unpack(
        input: &mut Reader<'_>,
        key: &ValueKey,
        now_ms: u64,
    ) -> Result<LearnedPast, Damaged> {
        Ok(LearnedPast {
            since_ms: input.number()?.checked_sub(1).map(|ms| ms.min(now_ms)),
            last_hour: LastHour::unpack(input, now_ms)?,
            same_hour: SameHour::unpack(input, now_ms)?,
            verified: Verified::unpack(input, now_ms)?,
            growth: Growth::unpack(input, now_ms)?,
            ripening: Ripening::unpack(input, now_ms)?,
            drift: Drift::unpack(input, now_ms)?,
            networks: SeenNetworks::unpack(input, secret(key))?,
        })
    }
}

/// Under which a source or a network is remembered.
fn pseudonym(key: &ValueKey, of: u64) -> u64 {
    let ValueId(id) = key.combine(Attr::Host, &[ValueId(of)]);
    id
}

fn secret(key: &ValueKey) -> u64 {
    pseudonym(key, 0x6e65_7477_6f72_6b73)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recent::Recent;
    use floodwall_model::{Attrs, Handling, Observation, RequestKind, Source, Stage};

    fn observation(at_ms: u64, source: u32, agent: u64) -> Observation {
        let mut attrs = Attrs::default();
        attrs[Attr::UserAgent] = ValueId(agent);
        Observation {
            at_ms,
            source: Source::new(std::net::Ipv4Addr::from(source).into()),
            attrs,
            kind: RequestKind::Page,
            handling: Handling::Passed,
            stage: Stage::Whole,
            outcome: None,
            handshake: true,
        }
    }

    /// Feeds ten requests a second for `seconds`, from `sources` sources in turn.
    fn fed(seconds: u64, sources: u32) -> (Baseline, u64) {
        let (mut baseline, mut recent) = (Baseline::new(), Recent::new());
        let (mut random, table) = (Random::new(1), Sources::new(64));
        for tick in 0..seconds * 10 {
            let now_ms = tick * 100;
            if let Some(closed) = recent.advance(now_ms) {
                baseline.admit(closed);
            }
            recent.offer(&observation(now_ms, tick as u32 % sources, 10), false, &mut random);
            baseline.learn(now_ms, &table, &mut random);
        }
        (baseline, seconds * 1000)
    }

    #[test]
    fn the_newest_part_stays_in_quarantine() {
        let (baseline, _) = fed(20, 50);
        assert!((160..=180).contains(&baseline.records()), "{}", baseline.records());
        let (baseline, _) = fed(1_200, 50);
        let learned_s = baseline.records() / 10;
        assert!((1_070..=1_090).contains(&learned_s), "{learned_s}");
    }

    #[test]
    fn what_belonged_to_an_attack_is_never_learned() {
        let (mut baseline, now_ms) = fed(20, 50);
        let before = baseline.records();
        baseline.discard_since(0);
        baseline.learn(now_ms + 600_000, &Sources::new(64), &mut Random::new(1));
        assert_eq!(baseline.records(), before);
    }

    #[test]
    fn an_hour_is_kept_and_older_records_only_while_few() {
        let (busy, _) = fed(2 * 3_600, 50);
        assert!((3_300..=3_700).contains(&busy.span_s()), "{}", busy.span_s());
    }

    #[test]
    fn a_source_is_in_one_half_only() {
        let (baseline, _) = fed(300, 40);
        let frozen = baseline.freeze(7);
        let sources = |half: &[Learned]| -> std::collections::HashSet<u64> {
            half.iter().map(|l| l.record.source).collect()
        };
        assert!(sources(&frozen.mining).is_disjoint(&sources(&frozen.validation)));
        assert!(!frozen.mining.is_empty() && !frozen.validation.is_empty());
    }

    #[test]
    fn unseen_is_measured_on_requests_that_did_not_help_to_learn() {
        let (baseline, _) = fed(300, 40);
        let frozen = baseline.freeze(7);
        assert!(frozen.known.is_unseen(Attr::UserAgent, ValueId(99)));
        assert!(!frozen.known.is_unseen(Attr::UserAgent, ValueId(10)));
        let first = frozen.mining[0].record;
        assert!(!frozen.unseen_leaving_out(&first, Attr::UserAgent), "many sources share it");
    }
}
