//! What packets are normal here: a sample of the past, in a half for choosing rules and a half for
//! refuting them, with the neutral profile beside both.
//!
//! Packets wait in quarantine before they are learned; an alarm empties it, so that the first
//! moments of a flood are not taken for normal.

use std::collections::VecDeque;

use floodwall_model::packet::{PacketAttr, PacketClass, PacketFacts, PacketPredicate};

use super::neutral::neutral_profile;
use super::record::PacketRecord;
use crate::random::Random;

/// Own packets kept in each half. When full: a random one gives way, slowly.
const HALF_MAX: usize = 16_384;
/// Of the packets offered to a full half, one in so many is kept: about half of a sample is from
/// the last hour at the rate at which epochs are learned.
const KEEP_ONE_IN: u64 = 100;
/// Packets learned of one epoch of 100 ms. When over: an even subset.
const EPOCH_LEARNED_MAX: usize = 64;
/// How long packets wait, ms.
const QUARANTINE_MS: u64 = 2_000;
/// Packets in quarantine. When full: the oldest are dropped unlearned.
const QUARANTINE_MAX: usize = 4_096;
/// Own packets that make the past the host's own: below, the neutral profile says more.
const OWN_PACKETS_MIN: usize = 2_000;
/// Own packets that show how often packets of unknown connections come here.
const OWN_PACKETS_FEW: usize = 500;

/// A packet of the past.
#[derive(Copy, Clone, Debug)]
pub struct Known {
    /// What it was.
    pub facts: PacketFacts,
    /// It is from the neutral profile, not from here.
    pub neutral: bool,
}

impl Known {
    /// Whether the packet, or for the neutral profile one like it sent to this host, fulfils the
    /// predicate: the profile does not know this host's address, nor on which ports it listens.
    pub fn fulfils(&self, predicate: PacketPredicate) -> bool {
        let attr = predicate.attr();
        let about_us = match attr {
            PacketAttr::Destination => true,
            PacketAttr::DestinationPort => self.facts.class == PacketClass::Syn,
            // Nor how long the first datagrams of its services are.
            PacketAttr::Length => self.facts.class == PacketClass::Udp && !self.facts.solicited(),
            _ => false,
        };
        (self.neutral && about_us) || predicate.holds(self.facts.value(attr))
    }

    /// Whether it fulfils all of them.
    pub fn fulfil(&self, predicates: &[PacketPredicate]) -> bool {
        predicates.iter().all(|p| self.fulfils(*p))
    }
}

/// The learned past.
#[derive(Debug)]
pub struct PacketPast {
    mining: Vec<PacketFacts>,
    validation: Vec<PacketFacts>,
    neutral: Vec<PacketFacts>,
    quarantine: VecDeque<(u64, PacketFacts)>,
    learned: u64,
}

impl PacketPast {
    /// Nothing but the neutral profile.
    pub fn new() -> Self {
        PacketPast {
            mining: Vec::new(),
            validation: Vec::new(),
            // A constant: the profile is the same for everybody.
            neutral: neutral_profile(0x6e65_7574_7261_6c00),
            quarantine: VecDeque::new(),
            learned: 0,
        }
    }

    /// Puts the packets of a closed epoch into quarantine.
    pub fn admit<'a>(&mut self, packets: impl Iterator<Item = &'a PacketRecord>) {
        let packets: Vec<&PacketRecord> = packets.filter(|r| !r.explained).collect();
        let step = packets.len().div_ceil(EPOCH_LEARNED_MAX).max(1);
        for record in packets.into_iter().step_by(step) {
            if self.quarantine.len() == QUARANTINE_MAX {
                self.quarantine.pop_front();
            }
            self.quarantine.push_back((record.at_ms, record.facts));
        }
    }

    /// Learns what waited long enough.
    pub fn learn(&mut self, now_ms: u64, random: &mut Random) {
        while let Some((_, facts)) =
            self.quarantine.pop_front_if(|(at_ms, _)| *at_ms + QUARANTINE_MS <= now_ms)
        {
            self.learned += 1;
            let half = if self.learned.is_multiple_of(2) {
                &mut self.mining
            } else {
                &mut self.validation
            };
            if half.len() < HALF_MAX {
                half.push(facts);
            } else if random.below(KEEP_ONE_IN) == 0 {
                let place = random.below(HALF_MAX as u64) as usize;
                half[place] = facts;
            }
        }
    }

    /// Forgets what waits: it may be the flood.
    pub fn distrust(&mut self) {
        self.quarantine.clear();
    }

    /// Whether judgements rest on the neutral profile more than on this host's own past.
    pub fn rests_on_neutral(&self) -> bool {
        self.own_packets() < OWN_PACKETS_MIN
    }

    /// Own packets learned and kept.
    pub fn own_packets(&self) -> usize {
        self.mining.len() + self.validation.len()
    }

    /// The half that rules are chosen by, with half of the neutral profile.
    pub fn mining(&self, knows_sockets: bool) -> Vec<Known> {
        let (neutral, _) = self.neutral.split_at(self.neutral.len() / 2);
        self.beside(&self.mining, neutral, knows_sockets).collect()
    }

    /// The half that may refute them, with the other half of the neutral profile.
    pub fn validation(&self, knows_sockets: bool) -> impl Iterator<Item = Known> + '_ {
        let (_, neutral) = self.neutral.split_at(self.neutral.len() / 2);
        self.beside(&self.validation, neutral, knows_sockets)
    }

    /// Own packets and neutral ones. The profile's packets of connections that nobody here knows
    /// stand for an observer who came in the middle; one who knows better goes by his own past.
    fn beside<'a>(
        &self,
        own: &'a [PacketFacts],
        neutral: &'a [PacketFacts],
        knows_sockets: bool,
    ) -> impl Iterator<Item = Known> + use<'a> {
        let knows_better = knows_sockets || self.own_packets() >= OWN_PACKETS_FEW;
        let known = |neutral| move |facts: &PacketFacts| Known { facts: *facts, neutral };
        let stray = |f: &PacketFacts| {
            !f.solicited() && f.value(PacketAttr::Protocol) == 6 && f.class != PacketClass::Syn
        };
        // Where the own past is long, services that nobody uses here need no protection.
        let asked = |f: &PacketFacts| !f.solicited() && f.class == PacketClass::Udp;
        let long = !self.rests_on_neutral();
        let neutral =
            neutral.iter().filter(move |f| !((knows_better && stray(f)) || (long && asked(f))));
        own.iter().map(known(false)).chain(neutral.map(known(true)))
    }

    /// Share of the most frequent value of an attribute among packets for which `among` holds.
    pub fn top_share(&self, attr: PacketAttr, among: impl Fn(&PacketFacts) -> bool) -> f64 {
        let values =
            self.validation(false).filter(|k| among(&k.facts)).map(|k| k.facts.value(attr));
        super::evidence::top_share(values).map_or(0.0, |(_, share, _)| share)
    }

    /// Share of packets of a kind that have this value of an attribute.
    pub fn value_share(&self, attr: PacketAttr, value: u16, class: PacketClass) -> f64 {
        let (mut hits, mut all) = (0u64, 0u64);
        for known in self.validation(false).filter(|k| k.facts.class == class) {
            all += 1;
            hits += u64::from(known.facts.value(attr) == value);
        }
        hits as f64 / all.max(1) as f64
    }

    /// Share of this host's own past for which `is` holds; 0 without one.
    pub fn own_share(&self, is: impl Fn(&PacketFacts) -> bool) -> f64 {
        let hits = self.validation.iter().filter(|f| is(f)).count();
        hits as f64 / self.validation.len().max(1) as f64
    }

    /// Share of the past for which `is` holds.
    pub fn share(&self, knows_sockets: bool, is: impl Fn(&PacketFacts) -> bool) -> f64 {
        let all = self.validation(knows_sockets).count().max(1);
        self.validation(knows_sockets).filter(|k| is(&k.facts)).count() as f64 / all as f64
    }
}
