//! What a replay of packets counts: everything exact, whatever is sampled for the engine.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use floodwall_model::RuleId;
use floodwall_model::packet::{ClassCount, PACKET_CLASS_COUNT, PacketFacts, PacketReason};

use super::enforce::Decision;

/// Link types listed. When full: further ones are counted together, as -2.
const LINK_TYPES_MAX: usize = 64;
/// The place of link types that are not listed.
const OTHER_LINK_TYPES: i32 = -2;

/// Rules whose packets are counted one by one. When full: further rules' packets are only counted
/// as dropped.
const RULES_MAX: usize = 65_536;

/// The first packet refused for a reason, as an example to judge by.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Example {
    pub(crate) number: u64,
    pub(crate) at_ms: u64,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

/// Packets refused for one reason.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusals {
    pub(crate) packets: u64,
    pub(crate) first: Example,
}

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) packets: u64,
    /// On the wire.
    pub(crate) bytes: u64,
    pub(crate) classes: [ClassCount; PACKET_CLASS_COUNT],
    /// Packets whose IP header was read.
    pub(crate) read: u64,
    /// Packets of which the recorder kept too little to read their headers.
    pub(crate) cut_by_recorder: u64,
    /// Packets that went on because they could not be read, by reason.
    pub(crate) unreadable: BTreeMap<PacketReason, u64>,
    pub(crate) links_unread: BTreeMap<i32, u64>,
    pub(crate) pass: u64,
    pub(crate) drop: u64,
    pub(crate) challenge: u64,
    pub(crate) refusals: BTreeMap<PacketReason, Refusals>,
    pub(crate) matched: HashMap<RuleId, u64>,
    /// (second, packets) of the busiest second.
    pub(crate) busiest: (u64, u64),
    second: (u64, u64),
}

impl Tally {
    /// Counts a packet as it comes.
    pub(crate) fn arrive(&mut self, wire_bytes: u32, at_ms: u64) {
        self.packets += 1;
        self.bytes += u64::from(wire_bytes);
        let second = at_ms / 1_000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        if self.second.1 > self.busiest.1 {
            self.busiest = self.second;
        }
    }

    /// Counts one of a link type that is not read.
    pub(crate) fn link_unread(&mut self, link_type: i32) {
        let room = self.links_unread.len() < LINK_TYPES_MAX;
        let known = self.links_unread.contains_key(&link_type);
        let place = if room || known { link_type } else { OTHER_LINK_TYPES };
        *self.links_unread.entry(place).or_default() += 1;
    }

    /// Counts what was done with packet `number`.
    pub(crate) fn decided(
        &mut self,
        number: u64,
        at_ms: u64,
        facts: Option<&PacketFacts>,
        decision: Decision,
    ) {
        match decision {
            Decision::Pass | Decision::LinkUnread => self.pass += 1,
            Decision::Let(reason) => {
                self.pass += 1;
                *self.unreadable.entry(reason).or_default() += 1;
            }
            Decision::Drop(rule) => {
                self.drop += 1;
                if self.matched.len() < RULES_MAX || self.matched.contains_key(&rule) {
                    *self.matched.entry(rule).or_default() += 1;
                }
            }
            Decision::Refuse(reason) | Decision::Challenge(reason) => {
                match decision {
                    Decision::Challenge(_) => self.challenge += 1,
                    _ => self.drop += 1,
                }
                let Some(facts) = facts else { return };
                let PacketFacts { source, destination, .. } = *facts;
                let first = Example { number, at_ms, source, destination };
                self.refusals.entry(reason).or_insert(Refusals { packets: 0, first }).packets += 1;
            }
        }
    }
}
