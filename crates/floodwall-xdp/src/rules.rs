//! The kernel's rule table, as user space writes it: by difference, so that a plan that changes one
//! rule touches one rule. bpf/rules.h reads it.
//!
//! A rule keeps its bit as long as its id stays. One that goes leaves the live mask first; one that
//! comes enters it last. So no packet ever meets half a rule.

use std::mem::offset_of;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

use floodwall_model::RuleId;
use floodwall_model::packet::{PACKET_ATTR_COUNT, PacketAttr, PacketSignature, TransportMark};

use crate::abi::{self, RULES, Rules};
use crate::mapped::Mapped;

/// A rule to be in force.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) id: RuleId,
    pub(crate) signature: PacketSignature,
    /// Jiffies, low half.
    pub(crate) expires: u32,
    pub(crate) shadow: bool,
}

/// What a change took.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct PlanChange {
    /// Rules that were not there before.
    pub added: usize,
    /// Rules that are there no more.
    pub removed: usize,
    /// Rules that stayed where they were.
    pub kept: usize,
    /// Rows of the kernel's table that were written.
    pub rows_written: usize,
}

/// The table with the loader's account of it.
#[derive(Debug)]
pub(crate) struct RuleTable {
    memory: Mapped,
    placed: [Option<(RuleId, PacketSignature)>; RULES],
}

impl RuleTable {
    /// Over zeroed memory of [`Rules`]'s size.
    pub(crate) fn new(memory: Mapped) -> RuleTable {
        RuleTable { memory, placed: [const { None }; RULES] }
    }

    /// Which rule each bit is.
    pub(crate) fn ids(&self) -> [Option<RuleId>; RULES] {
        std::array::from_fn(|bit| Some(self.placed.get(bit)?.as_ref()?.0))
    }

    /// Whether a rule looks at any of `attrs`.
    pub(crate) fn looks_at(&self, attrs: &[PacketAttr]) -> bool {
        self.signatures().any(|s| s.predicates().iter().any(|p| attrs.contains(&p.attr())))
    }

    /// Whether a rule asks if a packet belongs to a conversation of this host's. A predicate that
    /// holds for a value with and without the bit alike does not.
    pub(crate) fn looks_at_solicited(&self) -> bool {
        let solicited = u16::from(TransportMark::SOLICITED);
        self.signatures().flat_map(|s| s.predicates()).any(|p| {
            p.attr() == PacketAttr::TransportMarks
                && (0..256).any(|value| p.holds(value) != p.holds(value ^ solicited))
        })
    }

    /// Whether there is any rule.
    pub(crate) fn is_empty(&self) -> bool {
        self.placed.iter().all(Option::is_none)
    }

    fn signatures(&self) -> impl Iterator<Item = &PacketSignature> {
        self.placed.iter().flatten().map(|(_, signature)| signature)
    }

    /// Makes exactly `wanted` live. `settle` is called between taking out and putting in: when it
    /// returns, no packet is looked at any more that saw a rule which was taken out. Rules beyond
    /// [`RULES`] are left out, as a checked plan has none. A signature that repeats an attribute
    /// cannot be held; a checked plan has none either.
    pub(crate) fn apply(&mut self, wanted: &[Wanted], settle: impl FnOnce()) -> PlanChange {
        let mut change = PlanChange::default();
        let wanted: Vec<&Wanted> = wanted
            .iter()
            .filter(|w| !w.signature.predicates().is_empty() && !w.signature.repeats_attr())
            .collect();
        for bit in 0..RULES {
            let stays = self.placed[bit].as_ref().is_some_and(|(id, signature)| {
                wanted.iter().any(|w| w.id == *id && w.signature == *signature)
            });
            if self.placed[bit].is_some() && !stays {
                change.rows_written += self.take_out(bit);
                change.removed += 1;
            }
        }
        if change.removed > 0 {
            settle();
        }
        for rule in wanted {
            match self.bit_of(rule.id) {
                Some(bit) => {
                    self.write_values(bit, rule);
                    change.kept += 1;
                }
                None => {
                    let Some(bit) = self.placed.iter().position(Option::is_none) else { break };
                    change.rows_written += self.put_in(bit, rule);
                    change.added += 1;
                }
            }
        }
        self.write_dimensions();
        change
    }

    fn bit_of(&self, id: RuleId) -> Option<usize> {
        self.placed.iter().position(|p| p.as_ref().is_some_and(|(placed, _)| *placed == id))
    }

    fn take_out(&mut self, bit: usize) -> usize {
        let live = self.memory.u64_at(offset_of!(Rules, live));
        live.store(live.load(Relaxed) & !(1 << bit), SeqCst);
        let Some((_, signature)) = self.placed[bit].take() else { return 0 };
        self.set_rows(bit, &signature, false)
    }

    fn put_in(&mut self, bit: usize, rule: &Wanted) -> usize {
        self.write_values(bit, rule);
        let written = self.set_rows(bit, &rule.signature, true);
        self.placed[bit] = Some((rule.id, rule.signature.clone()));
        self.write_dimensions();
        let live = self.memory.u64_at(offset_of!(Rules, live));
        live.store(live.load(Relaxed) | 1 << bit, SeqCst);
        written
    }

    fn write_values(&self, bit: usize, rule: &Wanted) {
        let at = offset_of!(Rules, rules) + bit * size_of::<abi::Rule>();
        self.memory.u32_at(at).store(rule.expires, Release);
        self.memory.u32_at(at + 4).store(u32::from(rule.shadow), Release);
    }

    /// Sets or clears the bit in every row that `signature` is satisfied by, and where it is wild.
    fn set_rows(&self, bit: usize, signature: &PacketSignature, set: bool) -> usize {
        let mask = 1u64 << bit;
        let change = |offset: usize, set: bool| {
            let word = self.memory.u64_at(offset);
            let before = word.load(Relaxed);
            word.store(if set { before | mask } else { before & !mask }, Release);
        };
        let mut written = 0;
        for dimension in 0..PACKET_ATTR_COUNT {
            let predicate = signature.predicates().iter().find(|p| p.attr() as usize == dimension);
            change(offset_of!(Rules, wild) + dimension * 8, set && predicate.is_none());
            for value in predicate.into_iter().flat_map(|p| p.values()) {
                let row = abi::rule_row(dimension) + usize::from(value);
                change(offset_of!(Rules, rows) + row * 8, set);
                written += 1;
            }
        }
        written
    }

    fn write_dimensions(&self) {
        let attrs = self.signatures().flat_map(|s| s.predicates()).map(|p| p.attr() as u32);
        let dimensions = attrs.fold(0, |bits, attr| bits | 1 << attr);
        self.memory.u32_at(offset_of!(Rules, dimensions)).store(dimensions, SeqCst);
    }

    /// What the kernel finds (fw_match_rules in bpf/rules.h), in Rust.
    #[cfg(test)]
    fn matched(&self, values: &[u16; PACKET_ATTR_COUNT], now: u32) -> Option<RuleId> {
        let word = |offset: usize| self.memory.u64_at(offset).load(Relaxed);
        let mut left = word(offset_of!(Rules, live));
        let dimensions = self.memory.u32_at(offset_of!(Rules, dimensions)).load(Relaxed);
        for (dimension, value) in values.iter().enumerate() {
            if dimensions & 1 << dimension != 0 {
                let row = abi::rule_row(dimension) + usize::from(*value);
                let wild = word(offset_of!(Rules, wild) + dimension * 8);
                left &= wild | word(offset_of!(Rules, rows) + row * 8);
            }
        }
        for _ in 0..4 {
            let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
            let at = offset_of!(Rules, rules) + bit * 8;
            if (self.memory.u32_at(at).load(Relaxed).wrapping_sub(now) as i32) > 0 {
                return self.ids()[bit];
            }
            left &= left - 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use floodwall_model::packet::{PacketClass, PacketFacts, PacketPredicate};
    use proptest::prelude::*;

    use super::*;

    fn empty() -> RuleTable {
        RuleTable::new(Mapped::anonymous(size_of::<Rules>()).unwrap())
    }

    fn rule(id: u32, predicates: Vec<PacketPredicate>) -> Wanted {
        let signature = PacketSignature::new(predicates);
        Wanted { id: RuleId(id), signature, expires: 100, shadow: false }
    }

    fn facts(values: [u16; PACKET_ATTR_COUNT]) -> PacketFacts {
        PacketFacts {
            source: Ipv4Addr::LOCALHOST.into(),
            destination: Ipv4Addr::LOCALHOST.into(),
            class: PacketClass::Udp,
            values,
            sequence: 0,
            acknowledgement: 0,
            frame_bytes: 60,
        }
    }

    #[test]
    fn a_rule_keeps_its_bit_while_its_id_stays() {
        let ttl = |n| vec![PacketPredicate::Is(PacketAttr::Ttl, n)];
        let mut table = empty();
        table.apply(&[rule(1, ttl(1)), rule(2, ttl(2)), rule(3, ttl(3))], || ());
        let change = table.apply(&[rule(3, ttl(3)), rule(4, ttl(4)), rule(1, ttl(1))], || ());
        assert_eq!((change.added, change.removed, change.kept), (1, 1, 2));
        assert_eq!(change.rows_written, 2, "one value out, one in");
        let ids = table.ids();
        assert_eq!(ids[..4], [Some(RuleId(1)), Some(RuleId(4)), Some(RuleId(3)), None]);
        let nothing = table.apply(&[rule(3, ttl(3)), rule(4, ttl(4)), rule(1, ttl(1))], || ());
        assert_eq!((nothing.added, nothing.removed, nothing.rows_written), (0, 0, 0));
    }

    #[test]
    fn a_rule_that_changed_under_its_id_is_written_anew() {
        let mut table = empty();
        let ports = |n| vec![PacketPredicate::Is(PacketAttr::SourcePort, n)];
        table.apply(&[rule(1, ports(53))], || ());
        let change = table.apply(&[rule(1, ports(123))], || ());
        assert_eq!((change.added, change.removed), (1, 1));
        let mut values = [0; PACKET_ATTR_COUNT];
        values[PacketAttr::SourcePort as usize] = 53;
        assert_eq!(table.matched(&values, 0), None);
        values[PacketAttr::SourcePort as usize] = 123;
        assert_eq!(table.matched(&values, 0), Some(RuleId(1)));
        assert_eq!(table.matched(&values, 100), None, "it has ended");
    }

    #[test]
    fn only_a_predicate_that_turns_on_the_bit_asks_for_it() {
        let marks =
            |mask, wanted| vec![PacketPredicate::Bits(PacketAttr::TransportMarks, mask, wanted)];
        let mut table = empty();
        table.apply(&[rule(1, marks(0x10, 0x10))], || ());
        assert!(!table.looks_at_solicited());
        table.apply(&[rule(1, marks(0x11, 0x10))], || ());
        assert!(table.looks_at_solicited());
    }

    /// Few attributes and values, so that rules match often and overlap.
    fn predicate() -> impl Strategy<Value = PacketPredicate> {
        let attr = prop::sample::select(vec![
            PacketAttr::Protocol,
            PacketAttr::TcpFlags,
            PacketAttr::Ttl,
            PacketAttr::SourcePort,
            PacketAttr::Length,
        ]);
        (attr, 0u16..4, 0u16..4, 0..3).prop_map(|(attr, a, b, kind)| match kind {
            0 => PacketPredicate::Is(attr, a),
            1 => PacketPredicate::Between(attr, a.min(b), a.max(b)),
            _ => PacketPredicate::Bits(attr, a, a & b),
        })
    }

    fn plan() -> impl Strategy<Value = Vec<Wanted>> {
        let signature = prop::collection::vec(predicate(), 1..4);
        prop::collection::btree_map(0u32..20, signature, 0..12)
            .prop_map(|rules| rules.into_iter().map(|(id, p)| rule(id, p)).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// After any sequence of plans, the table matches what the last plan's signatures match.
        #[test]
        fn the_table_agrees_with_the_signatures(
            plans in prop::collection::vec(plan(), 1..5),
            packets in prop::collection::vec(prop::collection::vec(0u16..4, 5), 50),
        ) {
            let mut table = empty();
            for plan in &plans {
                table.apply(plan, || ());
            }
            let last: Vec<_> = plans.last().unwrap().iter()
                .filter(|w| !w.signature.repeats_attr()).collect();
            for packet in packets {
                let mut values = [0; PACKET_ATTR_COUNT];
                for (attr, value) in [0, 1, 4, 5, 7].into_iter().zip(packet) {
                    values[attr] = value;
                }
                let facts = facts(values);
                let matching: Vec<RuleId> =
                    last.iter().filter(|w| w.signature.matches(&facts)).map(|w| w.id).collect();
                match table.matched(&values, 0) {
                    Some(id) => prop_assert!(matching.contains(&id)),
                    None => prop_assert_eq!(matching, vec![]),
                }
            }
        }
    }
}
