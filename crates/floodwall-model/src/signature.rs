//! A signature: the sentence that tells attack requests from others.
//!
//! Matching is a handful of integer comparisons and is used by everyone who must agree: the miner
//! on samples, the gateway on live requests, replay on recorded ones.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::claim::Claim;
use crate::limits::KNOWN_VALUES_MAX;
use crate::value::{ATTR_COUNT, Attr, Attrs, ValueId};

/// One condition on one attribute.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    /// The attribute has exactly this value.
    Is(Attr, ValueId),
    /// The attribute has a value that did not occur in the traffic learned before onset.
    Unseen(Attr),
}

impl Predicate {
    /// The attribute spoken about.
    pub const fn attr(self) -> Attr {
        match self {
            Predicate::Is(attr, _) | Predicate::Unseen(attr) => attr,
        }
    }

    /// Whether the condition tells which software sent the request.
    ///
    /// Only such a predicate may carry a BLOCK: a rule made of path, method and referer alone
    /// blocked 75 % of a legitimate crowd in the prototype (docs/decisions/0003). That hints are
    /// missing says nothing, because most software sends none; nor that a browser is one.
    pub fn names_software(self) -> bool {
        match self {
            Predicate::Is(Attr::ClientHints, ValueId::ABSENT) => false,
            Predicate::Is(Attr::Claim, id) => {
                matches!(Claim::of(id), Some(Claim::Contradicted | Claim::Undressed))
            }
            other => other.attr().is_implementation(),
        }
    }

    /// Whether `attrs` fulfils the condition, given what had been learned.
    pub fn matches(self, attrs: &Attrs, known: &KnownValues) -> bool {
        match self {
            Predicate::Is(attr, value) => attrs[attr] == value,
            Predicate::Unseen(attr) => known.is_unseen(attr, attrs[attr]),
        }
    }
}

/// A conjunction of predicates, at most one per attribute, in attribute order.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(Vec<Predicate>);

impl Signature {
    /// A signature of `predicates`, brought into canonical order without repetition.
    pub fn new(mut predicates: Vec<Predicate>) -> Self {
        predicates.sort_unstable();
        predicates.dedup();
        Signature(predicates)
    }

    /// The predicates.
    pub fn predicates(&self) -> &[Predicate] {
        &self.0
    }

    /// Whether every predicate holds. An empty signature matches nothing: it would be everyone.
    pub fn matches(&self, attrs: &Attrs, known: &KnownValues) -> bool {
        !self.0.is_empty() && self.0.iter().all(|p| p.matches(attrs, known))
    }
}

/// Ids are already keyed hashes; hashing them again would cost and gain nothing.
#[derive(Default)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// The values of one attribute that occurred in learned traffic.
pub type KnownSet = HashSet<ValueId, BuildHasherDefault<IdentityHasher>>;

/// Per attribute, what had been seen before onset. Frozen with the baseline and shared: a copy costs
/// a few counters.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct KnownValues {
    sets: [Option<Arc<KnownSet>>; ATTR_COUNT],
}

impl std::fmt::Debug for KnownValues {
    /// How many values of each attribute; the ids say nothing to anybody.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let learned = Attr::ALL.iter().zip(&self.sets);
        f.debug_map()
            .entries(learned.filter_map(|(attr, set)| Some((attr, set.as_ref()?.len()))))
            .finish()
    }
}

impl KnownValues {
    /// Nothing learned: `Unseen` matches nothing.
    pub fn none() -> Self {
        KnownValues::default()
    }

    /// Records what was learned of `attr`. A set over [`KNOWN_VALUES_MAX`] is withheld, because
    /// "unseen" would then only mean "did not fit".
    pub fn learn(&mut self, attr: Attr, values: KnownSet) {
        self.sets[attr as usize] = (values.len() <= KNOWN_VALUES_MAX).then(|| Arc::new(values));
    }

    /// Whether `value` is visible, and was never seen although the attribute was learned.
    pub fn is_unseen(&self, attr: Attr, value: ValueId) -> bool {
        match &self.sets[attr as usize] {
            Some(set) => value.is_known() && !set.contains(&value),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attrs(method: u64, agent: u64) -> Attrs {
        let mut attrs = Attrs::default();
        attrs[Attr::Method] = ValueId(method);
        attrs[Attr::UserAgent] = ValueId(agent);
        attrs
    }

    #[test]
    fn an_empty_signature_matches_nobody() {
        assert!(!Signature::default().matches(&attrs(5, 6), &KnownValues::none()));
    }

    #[test]
    fn every_predicate_must_hold() {
        let signature = Signature::new(vec![
            Predicate::Is(Attr::UserAgent, ValueId(6)),
            Predicate::Is(Attr::Method, ValueId(5)),
        ]);
        assert!(signature.matches(&attrs(5, 6), &KnownValues::none()));
        assert!(!signature.matches(&attrs(5, 7), &KnownValues::none()));
    }

    #[test]
    fn unseen_needs_something_learned_and_something_visible() {
        let mut known = KnownValues::none();
        assert!(!known.is_unseen(Attr::UserAgent, ValueId(9)), "nothing learned yet");
        known.learn(Attr::UserAgent, KnownSet::from_iter([ValueId(6)]));
        assert!(known.is_unseen(Attr::UserAgent, ValueId(9)));
        assert!(!known.is_unseen(Attr::UserAgent, ValueId(6)));
        assert!(!known.is_unseen(Attr::UserAgent, ValueId::UNKNOWN));
    }

    #[test]
    fn a_known_set_that_overflows_is_withheld() {
        let mut known = KnownValues::none();
        let many = (2..KNOWN_VALUES_MAX as u64 + 3).map(ValueId).collect();
        known.learn(Attr::PathTemplate, many);
        assert!(!known.is_unseen(Attr::PathTemplate, ValueId(u64::MAX)));
    }
}
