//! A packet signature: a conjunction of conditions, each a set of values of one attribute. That is
//! exactly what the kernel's bit vectors can hold, so the miner, a replay and the kernel agree.

use serde::{Deserialize, Serialize};

use super::facts::{PacketAttr, PacketFacts};

/// One condition.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PacketPredicate {
    /// The attribute has exactly this value.
    Is(PacketAttr, u16),
    /// The attribute lies between these values, both included.
    Between(PacketAttr, u16, u16),
    /// Of the bits in the first mask, exactly those in the second are set.
    Bits(PacketAttr, u16, u16),
}

impl PacketPredicate {
    /// The attribute spoken about.
    pub const fn attr(self) -> PacketAttr {
        match self {
            PacketPredicate::Is(attr, _)
            | PacketPredicate::Between(attr, _, _)
            | PacketPredicate::Bits(attr, _, _) => attr,
        }
    }

    /// Whether `value` of the attribute fulfils it.
    pub const fn holds(self, value: u16) -> bool {
        match self {
            PacketPredicate::Is(_, wanted) => value == wanted,
            PacketPredicate::Between(_, low, high) => low <= value && value <= high,
            PacketPredicate::Bits(_, mask, wanted) => value & mask == wanted,
        }
    }

    /// The values that fulfil it, of all that the attribute can have.
    pub fn values(self) -> impl Iterator<Item = u16> {
        let last = (self.attr().values() - 1) as u16;
        (0..=last).filter(move |value| self.holds(*value))
    }
}

/// A conjunction of predicates, at most one per attribute, in the order of the attributes.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PacketSignature(Vec<PacketPredicate>);

impl PacketSignature {
    /// A signature of `predicates`, in canonical order without repetition.
    pub fn new(mut predicates: Vec<PacketPredicate>) -> Self {
        predicates.sort_unstable_by_key(|p| (p.attr(), *p));
        predicates.dedup();
        PacketSignature(predicates)
    }

    /// The predicates.
    pub fn predicates(&self) -> &[PacketPredicate] {
        &self.0
    }

    /// Whether every predicate holds. An empty signature matches nothing: it would be everyone.
    pub fn matches(&self, facts: &PacketFacts) -> bool {
        !self.0.is_empty() && self.0.iter().all(|p| p.holds(facts.value(p.attr())))
    }

    /// Whether two predicates speak about one attribute, which the kernel's tables cannot hold.
    pub fn repeats_attr(&self) -> bool {
        self.0.windows(2).any(|pair| pair[0].attr() == pair[1].attr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_predicate_are_those_that_it_holds_for() {
        let between = PacketPredicate::Between(PacketAttr::Ttl, 250, 255);
        assert_eq!(between.values().collect::<Vec<_>>(), [250, 251, 252, 253, 254, 255]);
        assert_eq!(PacketPredicate::Is(PacketAttr::Window, 65_535).values().count(), 1);
        assert_eq!(PacketPredicate::Bits(PacketAttr::IpMarks, 0x06, 0x04).values().count(), 64);
    }
}
