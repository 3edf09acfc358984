//! How many requests block rules may let through for a trial: one budget for all workers.
//!
//! Only requests of chosen sources come here, three in a thousand of those that a rule matches, so
//! that one lock does for all.

use std::sync::{Mutex, PoisonError};

use floodwall_model::HoldbackBudget;

/// The budget.
#[derive(Debug)]
pub(crate) struct TrialBudget(Mutex<HoldbackBudget>);

impl TrialBudget {
    pub(crate) fn new(now_ms: u64) -> Self {
        TrialBudget(Mutex::new(HoldbackBudget::full(now_ms)))
    }

    /// Takes one request from it; `false`: it is used up.
    pub(crate) fn take(&self, now_ms: u64) -> bool {
        // A panic under this lock leaves at worst a wrong token count.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(now_ms)
    }
}
