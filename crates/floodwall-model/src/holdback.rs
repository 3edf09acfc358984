//! Who is let through for a trial although a block rule matches him.
//!
//! A rule that refuses everybody never learns whether it should. So a few sources, chosen by a keyed
//! hash that nobody outside can compute, reach the site for a minute, all their requests or none, so
//! that it shows whether they fetch what a page needs as people's browsers do
//! (design/detection.md § 3.6). Every enforcer asks the plan, so that all agree on who is chosen.

use crate::bucket::TokenBucket;
use crate::source::Source;
use crate::value::{Attr, ValueId, ValueKey};

/// Of so many sources that block rules match, [`CHOSEN`] are let through.
const OUT_OF: u64 = 1_000;
/// Sources let through, in [`OUT_OF`].
const CHOSEN: u64 = 3;
/// After so long others are chosen, ms: whoever finds out that he is let through learns little.
const TERM_MS: u64 = 60_000;
/// Requests let through for a trial in ten seconds, of all rules and sources together: five per
/// second. What exceeds it is blocked like the rest.
pub const HELD_BACK_PER_10S_MAX: u32 = 50;

/// The choice of those who are let through.
#[derive(Copy, Clone, Debug)]
pub struct Holdback {
    key: ValueKey,
}

impl Holdback {
    /// The choice under `key`, which must be secret.
    pub const fn new(key: ValueKey) -> Self {
        Holdback { key }
    }

    /// Whether `source` is let through at `now_ms`.
    pub fn chooses(&self, source: Source, now_ms: u64) -> bool {
        // No attribute has parts like these, so that no id published elsewhere tells the answer.
        let parts = [ValueId(source.key()), ValueId(now_ms / TERM_MS), ValueId(OUT_OF)];
        self.key.combine(Attr::Method, &parts).0 % OUT_OF < CHOSEN
    }
}

/// How many may still be let through.
#[derive(Copy, Clone, Debug)]
pub struct HoldbackBudget(TokenBucket);

impl HoldbackBudget {
    /// All of it, at `now_ms`.
    pub const fn full(now_ms: u64) -> Self {
        HoldbackBudget(TokenBucket::full(HELD_BACK_PER_10S_MAX / 10, now_ms))
    }

    /// Takes one request from it; `false`: it is used up.
    pub fn take(&mut self, now_ms: u64) -> bool {
        self.0.take(HELD_BACK_PER_10S_MAX, HELD_BACK_PER_10S_MAX / 10, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(key: u64, now_ms: u64) -> Vec<u32> {
        let holdback = Holdback::new(ValueKey::new(key, 7));
        let source = |n: u32| Source::new(std::net::Ipv4Addr::from(0x0b00_0000 + n).into());
        (0..100_000).filter(|n| holdback.chooses(source(*n), now_ms)).collect()
    }

    #[test]
    fn three_sources_in_a_thousand_are_chosen() {
        let chosen = chosen(1, 0).len();
        assert!((240..=360).contains(&chosen), "{chosen}");
    }

    #[test]
    fn a_source_stays_chosen_for_its_minute_and_others_follow() {
        assert_eq!(chosen(1, 0), chosen(1, 59_999));
        let next = chosen(1, 60_000);
        assert!(chosen(1, 0).iter().filter(|n| next.contains(n)).count() < 20);
        assert_ne!(chosen(1, 0), chosen(2, 0), "the key decides");
    }

    #[test]
    fn five_requests_a_second_are_let_through_and_no_more() {
        let mut budget = HoldbackBudget::full(0);
        let taken = (0..100_000).filter(|n| budget.take(n / 10)).count();
        assert!((50..=56).contains(&taken), "{taken} in ten seconds");
    }
}
