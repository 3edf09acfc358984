//! What the demo needs to know of the defence it shows.
//!
//! The demo sends traffic at an address and reads rules; it must not know how they come about. The
//! wiring puts the gateway and the engine behind this trait.

use std::net::SocketAddr;

/// A rule as the demo shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleView {
    /// Its number.
    pub id: u32,
    /// The signature in words.
    pub words: String,
    /// `block` or `throttle`.
    pub action: &'static str,
    /// When it came into force, ms since the Unix epoch.
    pub placed_at_ms: u64,
    /// Whether it is in force now.
    pub in_force: bool,
}

impl RuleView {
    /// Whether it blocks.
    pub fn blocks(&self) -> bool {
        self.action == "block"
    }
}

/// Counts kept by the defence since it started.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct DefenceCounters {
    /// Requests blocked by a rule.
    pub blocked: u64,
    /// Requests throttled by a rule.
    pub throttled: u64,
    /// Sources banned now.
    pub banned_sources: u64,
    /// Packets the kernel dropped because of a ban; `None` where no kernel filter runs.
    pub kernel_dropped_packets: Option<u64>,
}

/// A running defence in front of the demo's origin.
pub trait Defence: Send {
    /// Where visitors connect to: an IPv4 loopback address.
    fn address(&self) -> SocketAddr;
    /// Every rule placed since the start, whether still in force or not. Called twenty times a
    /// second.
    fn rules(&self) -> Vec<RuleView>;
    /// Counts since the start.
    fn counters(&self) -> DefenceCounters;
    /// The account of the attack, once there is one.
    fn incident_report(&self) -> Option<String>;
    /// Stops everything that was started. Called once, also after Ctrl-C.
    fn stop(&mut self);
}
