//! The status: what Floodwall is doing at this moment, and how well it sees.
//!
//! Plain data, filled by the binary. It must not hide a weakness: what could work better says why
//! it does not, and every bounded table shows how full it is.

mod packets;
mod packets_text;
mod text;

use floodwall_model::{Action, Collateral, Mode, Reason, Rule, RuleId};
use serde::{Deserialize, Serialize};

pub use packets::{PacketReasonCount, PacketRuleStatus, PacketsStatus};
pub use text::{status_text, status_text_with};

use crate::summary::IncidentSummary;

/// What one running Floodwall is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Floodwall's version.
    pub version: String,
    /// Whether it acts.
    pub mode: Mode,
    /// Since when it runs, ms since the epoch.
    pub started_at_ms: u64,
    /// When this status was taken, ms since the epoch.
    pub at_ms: u64,
    /// The sites it stands in front of.
    pub sites: Vec<SiteStatus>,
    /// Where it listens.
    pub listeners: Vec<ListenerStatus>,
    /// How much of the work the kernel does.
    pub kernel: KernelStatus,
    /// Requests received.
    pub rates: Rates,
    /// What judgements rest on.
    pub baseline: BaselineStatus,
    /// The rise that is being looked into, if there is one.
    pub alarm: Option<AlarmStatus>,
    /// Rules in force.
    pub rules: Vec<RuleStatus>,
    /// Sources banned now.
    pub bans: u64,
    /// The incident that lasts, if one does.
    pub open_incident: Option<IncidentSummary>,
    /// Refusals since the start, by reason; reasons that never occurred may be left out.
    pub reasons: Vec<ReasonCount>,
    /// Declared events that last or begin soon.
    #[serde(default)]
    pub events: Vec<EventStatus>,
    /// What was counted since the start.
    #[serde(default)]
    pub counts: Counts,
    /// What is done about packets; `None` where the kernel filter is not asked to watch them.
    #[serde(default)]
    pub packets: Option<PacketsStatus>,
    /// How well it sees.
    pub health: Health,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteStatus {
    /// Its name.
    pub name: String,
    /// Where its requests go.
    pub origin: String,
}

/// A listening address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Address and port.
    pub address: String,
    /// Whether TLS is spoken there.
    pub tls: bool,
}

/// Where banned sources are dropped, best first.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelTier {
    /// In the network driver.
    XdpNative,
    /// At the head of the kernel's network stack.
    XdpGeneric,
    /// At the listening socket.
    SocketFilter,
    /// In an nftables set, without BPF.
    Nftables,
    /// Not in the kernel: banned sources are closed after they connected.
    None,
}

/// How much of the work the kernel does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelStatus {
    /// Where banned sources are dropped.
    pub tier: KernelTier,
    /// On which interface it was asked for; several are joined by commas.
    pub interface: Option<String>,
    /// What each of several interfaces has; empty where not more than one is named.
    #[serde(default)]
    pub interfaces: Vec<InterfaceStatus>,
    /// What a better tier does and this one does not.
    #[serde(default)]
    pub not_done: Vec<String>,
    /// Why it is not a better one; `None` at the best.
    pub why_not_better: Option<String>,
    /// Packets dropped since the start; `None` where nothing counts them.
    pub dropped_packets: Option<u64>,
}

/// One interface of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Where banned sources are dropped that come over it.
    pub tier: KernelTier,
    /// Why it is not a better one; `None` at the best.
    pub why_not_better: Option<String>,
}

/// Requests received, mean per second.
#[derive(Copy, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Over the last second.
    pub per_1s: f64,
    /// Over the last ten seconds.
    pub per_10s: f64,
    /// Expected at this time.
    pub expected: f64,
}

/// What the baseline is good for now.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaselineState {
    /// Too little traffic seen to judge a rise by.
    Learning,
    /// Good enough to judge by, and still learning.
    Ready,
    /// Held as it was at the onset of the open incident.
    Frozen,
}

/// What judgements rest on.
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineStatus {
    /// What it is good for.
    pub state: BaselineState,
    /// Requests in it.
    pub records: u64,
    /// Requests without which no rule is placed.
    pub records_min: u64,
    /// Seconds of traffic in it.
    pub span_s: u64,
    /// How far the software that visits today differs from that of four weeks ago, 0 to 1, while
    /// that is more than a site changes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<f64>,
}

/// A rise that is being looked into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmStatus {
    /// Since when, ms since the epoch.
    pub since_ms: u64,
    /// Why no rule was placed against it, when last tried.
    pub nothing_placed_because: Option<String>,
}

/// A rule in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Its number.
    pub id: RuleId,
    /// What it does.
    pub action: Action,
    /// What it matches, in words.
    pub words: String,
    /// Requests matched so far.
    pub matched: u64,
    /// Past requests it would have hit.
    pub projected: Collateral,
    /// When it ends unless renewed, ms since the epoch.
    pub expires_at_ms: u64,
}

impl RuleStatus {
    /// A rule in force that matched `matched` requests so far.
    pub fn new(rule: &Rule, matched: u64) -> RuleStatus {
        RuleStatus {
            id: rule.id,
            action: rule.action,
            words: rule.words.clone(),
            matched,
            projected: rule.projected,
            expires_at_ms: rule.expires_at_ms,
        }
    }
}

/// How often something was refused for a reason.
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Why.
    pub reason: Reason,
    /// How often since the start.
    pub count: u64,
}

/// A declared event that lasts or begins soon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventStatus {
    /// Its name.
    pub name: String,
    /// When this occurrence begins, ms since the epoch.
    pub from_ms: u64,
    /// When it ends, ms since the epoch.
    pub until_ms: u64,
    /// The declared paths.
    pub paths: Vec<String>,
    /// How many times the usual traffic is expected, if that was said.
    pub expected_factor: Option<u32>,
}

/// What was counted since the start.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Requests received.
    pub requests: u64,
    /// Those that went on towards a site.
    pub passed: u64,
    /// Those among them that a rule in shadow would have refused.
    pub would_refuse: u64,
    /// Alarms opened.
    pub alarms: u64,
    /// Incidents of requests opened.
    pub incidents: u64,
    /// Searches for signatures.
    pub searches: u64,
}

/// Something that is given up when Floodwall cannot keep up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShedStatus {
    /// Its name in metrics.
    pub name: String,
    /// What is given up, in words.
    pub words: String,
    /// Whether it is given up now.
    pub now: bool,
    /// How often since the start.
    pub times: u64,
}

/// How full a bounded table is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableUse {
    /// What is in it, in words.
    pub name: String,
    /// Places taken.
    pub used: u64,
    /// Places there are.
    pub max: u64,
    /// Entries that gave way to others because it was full, since the start.
    pub displaced: u64,
}

/// How well Floodwall sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Requests that were served and not observed, since the start.
    pub observations_lost: u64,
    /// Share of the last ten seconds' requests that was not observed.
    pub lost_10s_share: f64,
    /// Why nobody new is blocked, where too much is lost.
    pub blindness: Option<String>,
    /// Age of the oldest observation when it was judged, in the last step, ms.
    pub lag_ms: u64,
    /// The largest of these within the last minute, ms.
    pub lag_60s_ms_max: u64,
    /// Duration of the engine's last step, ms.
    pub step_ms: u64,
    /// The longest step within the last minute, ms.
    pub step_60s_ms_max: u64,
    /// Duration of the last step in which signatures were searched for, ms.
    pub search_ms: u64,
    /// The longest of these within the last minute, ms.
    pub search_60s_ms_max: u64,
    /// What is given up to keep up, in the order in which it is.
    pub shed: Vec<ShedStatus>,
    /// The bounded tables.
    pub tables: Vec<TableUse>,
    /// Incident records that are not on disk yet.
    pub records_unsaved: u64,
    /// Incident records given up, since the start.
    pub records_lost: u64,
    /// Writes of records that failed, since the start.
    pub store_failures: u64,
    /// Bans that were refused by their check, or that a full table or the kernel did not take, since
    /// the start.
    pub bans_refused: u64,
}

#[cfg(test)]
pub(crate) mod tests;
