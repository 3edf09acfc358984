//! Which conversations that were begun were also carried on: the behaviour of packets.
//!
//! A client that gets its SYN or its first datagram answered goes on; a flood does not, because its
//! senders do not exist or do not listen. Kept in tables of fixed size; a full set forgets what is oldest.

use floodwall_model::packet::{PacketClass, PacketFacts};

use super::record::{flow_key, follows_handshake, is_syn, source_key};

/// Connections begun that are remembered. When a set is full: the oldest of it is forgotten.
const FLOWS_MAX: usize = 1 << 16;
/// Sources remembered for having completed a handshake. When a set is full: the oldest gives way.
const SOURCES_MAX: usize = 1 << 16;
const WAYS: usize = 4;

#[derive(Copy, Clone, Debug, Default)]
struct Place {
    key: u64,
    at_ms: u64,
    followed: bool,
}

#[derive(Debug)]
struct Table {
    places: Vec<Place>,
    mask: usize,
}

impl Table {
    fn new(places: usize) -> Self {
        Table { places: vec![Place::default(); places], mask: places / WAYS - 1 }
    }

    fn set(&self, key: u64) -> std::ops::Range<usize> {
        let start = (key as usize & self.mask) * WAYS;
        start..start + WAYS
    }

    fn find(&self, key: u64) -> Option<&Place> {
        self.places[self.set(key)].iter().find(|p| p.key == key && p.at_ms != 0)
    }

    fn find_mut(&mut self, key: u64) -> Option<&mut Place> {
        let set = self.set(key);
        self.places[set].iter_mut().find(|p| p.key == key && p.at_ms != 0)
    }

    fn insert(&mut self, key: u64, at_ms: u64) {
        let set = self.set(key);
        if let Some(oldest) = self.places[set].iter_mut().min_by_key(|p| p.at_ms) {
            *oldest = Place { key, at_ms: at_ms.max(1), followed: false };
        }
    }
}

/// What became of connections.
#[derive(Debug)]
pub struct Flows {
    begun: Table,
    good_sources: Table,
    followed: u64,
}

impl Flows {
    /// Nothing seen.
    pub fn new() -> Self {
        Flows { begun: Table::new(FLOWS_MAX), good_sources: Table::new(SOURCES_MAX), followed: 0 }
    }

    /// Takes in a packet. What is sent again keeps the time of the first.
    pub fn observe(&mut self, facts: &PacketFacts, at_ms: u64) {
        if is_syn(facts) {
            let key = flow_key(facts);
            if self.begun.find(key).is_none_or(|p| p.followed) {
                self.begun.insert(key, at_ms);
            }
        } else if facts.class == PacketClass::Rst {
            // A reset carries nothing on: whoever's address was borrowed for a flood resets the
            // answers that he did not ask for.
        } else if facts.solicited() || follows_handshake(facts) {
            self.carry_on(facts, at_ms);
        } else if self.begun.find(flow_key(facts)).is_none() {
            self.begun.insert(flow_key(facts), at_ms);
        }
    }

    /// The sender goes on with what it began: it got an answer.
    fn carry_on(&mut self, facts: &PacketFacts, at_ms: u64) {
        let carried_on = match self.begun.find_mut(flow_key(facts)) {
            Some(place) if !place.followed => {
                place.followed = true;
                true
            }
            _ => false,
        };
        if !carried_on {
            return;
        }
        self.followed += u64::from(follows_handshake(facts));
        let source = crate::random::mix(source_key(facts));
        if self.good_sources.find(source).is_none() {
            self.good_sources.insert(source, at_ms);
        }
    }

    /// Connections seen to be carried on since the start.
    pub const fn followed(&self) -> u64 {
        self.followed
    }

    /// Whether what this packet began was carried on; `None` if it was forgotten.
    pub fn was_followed(&self, begun: &PacketFacts) -> Option<bool> {
        self.begun.find(flow_key(begun)).map(|p| p.followed)
    }

    /// Whether the source has completed a handshake before.
    pub fn is_good_source(&self, facts: &PacketFacts) -> bool {
        self.good_sources.find(crate::random::mix(source_key(facts))).is_some()
    }
}
