//! Parts of the engine that a measurement may leave out, to show what each is for.
//!
//! Only for `bench/scenarios --ablation`; docs/benchmarks/engine.md has what came of it. No key of
//! the configuration file and no argument of the product leads here, and none may: an engine without
//! one of these hits visitors or misses attacks. Whatever is left out, the plan's check stays.

use floodwall_model::{Attr, Evidence, Family};

/// What is left out.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Ablation {
    /// Telling attack from crowd by software: every rise is taken for that of foreign software, and
    /// a signature need not be more frequent in the rise than in the past.
    NoGate,
    /// Telling attack from crowd by behaviour: every source is taken for one that fetches nothing.
    NoBehaviour,
    /// What is concluded from several headers together: the stack, the implementation, the claim,
    /// and that a value was never seen before.
    NoDerived,
    /// Other descriptions kept ready for when the attack changes.
    NoBackups,
    /// Windows that slide: only whole seconds that are over are mined, and signatures judged on them.
    Tumbling,
}

impl Ablation {
    /// All of them.
    pub const ALL: [Ablation; 5] = [
        Ablation::NoGate,
        Ablation::NoBehaviour,
        Ablation::NoDerived,
        Ablation::NoBackups,
        Ablation::Tumbling,
    ];

    /// What it is called on the command line of the measurement.
    pub const fn name(self) -> &'static str {
        match self {
            Ablation::NoGate => "no-gate",
            Ablation::NoBehaviour => "no-behaviour",
            Ablation::NoDerived => "no-derived",
            Ablation::NoBackups => "no-backups",
            Ablation::Tumbling => "tumbling",
        }
    }
}

/// Attributes that are concluded from others.
pub(crate) const DERIVED: [Attr; 3] = [Attr::Claim, Attr::Stack, Attr::Implementation];

/// Evidence that is taken for given because the family that would look for it is left out.
pub(crate) fn granted(family: Family, log_odds: f64) -> Evidence {
    let statement = "taken for given: this family is left out of a measurement".to_owned();
    Evidence { family, log_odds, statement }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineConfig;

    #[test]
    fn nothing_is_left_out_unless_a_measurement_asks() {
        assert_eq!(EngineConfig::default().ablation, None);
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Ablation::ALL.iter().map(|a| a.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Ablation::ALL.len());
    }
}
