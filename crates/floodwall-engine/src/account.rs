//! Keeps the account of the incident that is open: counts, peaks, sources, rules, timeline.
//!
//! It records; it decides nothing. Everything that grows with traffic is a sketch of fixed size.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use floodwall_model::incident::{Counted, TimelineKind};
use floodwall_model::{
    Handling, Incident, IncidentVerdict, Mode, Observation, Prefix, RuleRecord, Wave,
};

use crate::distinct::Distinct;
use crate::ending::Ending;
use crate::heavy::HeavyHitters;
use crate::rules::{ActiveRule, RuleBook};
use crate::window::WindowStats;

/// Sets of the table of networks, eight places each.
const NETWORK_SETS: usize = 128;
/// A request that is blocked after waiting came at most so long before, ms.
const LONGEST_WAIT_MS: u64 = 2_500;
/// Networks named in the record.
const NETWORKS_NAMED: usize = 10;

/// The open incident and the sketches behind its figures.
#[derive(Debug)]
pub struct Account {
    incident: Incident,
    sources: Distinct,
    attack_sources: Distinct,
    attack_networks: HeavyHitters,
    attack_requests: u64,
    last_active_ms: u64,
}

impl Account {
    /// Opens an incident.
    pub fn open(incident: Incident, now_ms: u64) -> Self {
        Account {
            incident,
            sources: Distinct::default(),
            attack_sources: Distinct::default(),
            attack_networks: HeavyHitters::new(NETWORK_SETS),
            attack_requests: 0,
            last_active_ms: now_ms,
        }
    }

    /// The record as it stands.
    pub const fn incident(&self) -> &Incident {
        &self.incident
    }

    /// The record, to add to.
    pub const fn incident_mut(&mut self) -> &mut Incident {
        &mut self.incident
    }

    /// Takes note of a request that arrived.
    pub fn note(&mut self, observation: &Observation) {
        let totals = &mut self.incident.totals;
        let key = observation.source.key();
        totals.received += 1;
        self.sources.insert(key);
        match observation.handling {
            Handling::Passed => totals.passed += 1,
            Handling::WouldBlock(_) | Handling::WouldThrottle(_) => {
                totals.passed += 1;
                totals.would_stop += 1;
                totals.attack_reached_origin += 1;
            }
            // How many they were stands with their rule.
            Handling::HeldBack(_) => totals.passed += 1,
            Handling::Blocked(_) => totals.blocked += 1,
            Handling::Throttled(_) => totals.throttled += 1,
            Handling::Refused(_) => totals.refused += 1,
        }
        if observation.handling.rule().is_some() {
            self.attack_sources.insert(key);
            self.attack_networks.insert(network_key(key));
            self.attack_requests += 1;
        }
    }

    /// A request was blocked after it had waited. It came when the incident was not open yet and
    /// is counted now, or it was counted as let through when it came.
    pub fn note_blocked_late(&mut self, now_ms: u64) {
        let totals = &mut self.incident.totals;
        totals.blocked += 1;
        // The estimate of what reached the origin took it for one that did.
        totals.attack_reached_origin = totals.attack_reached_origin.saturating_sub(1);
        if now_ms < self.incident.opened_at_ms + LONGEST_WAIT_MS {
            totals.received += 1;
        } else {
            totals.passed = totals.passed.saturating_sub(1);
        }
    }

    /// Ends a tick. While `active` (an attack goes on, or a rise that nobody has named) it raises
    /// the peaks: what comes after an attack is not its size.
    pub fn tick(&mut self, window: &WindowStats, active: bool) {
        if !active {
            return;
        }
        let peaks = &mut self.incident.peaks;
        peaks.per_1s = peaks.per_1s.max(window.per_1s_rps);
        peaks.per_10s = peaks.per_10s.max(window.per_10s_rps);
        peaks.per_60s = peaks.per_60s.max(window.per_60s_rps);
        self.last_active_ms = window.now_ms;
    }

    /// Takes up the account again: the attack came back.
    pub fn reopen(&mut self, now_ms: u64) {
        let pause_s = now_ms.saturating_sub(self.last_active_ms) / 1_000;
        let note = format!(
            "incident reopened: the attack came back after {} minutes and {} seconds",
            pause_s / 60,
            pause_s % 60
        );
        self.incident.closed_at_ms = None;
        self.incident.note(now_ms, TimelineKind::Opened, note);
        self.last_active_ms = now_ms;
    }

    /// A rule came into force when none was.
    pub fn wave_began(&mut self, began_at_ms: u64, now_ms: u64) {
        self.incident.add_wave(Wave { began_at_ms, met_at_ms: now_ms, ended_at_ms: None });
    }

    /// No rule is in force any more; the last match was at `ended_at_ms`.
    pub fn wave_ended(&mut self, ended_at_ms: u64) {
        if let Some(wave) = self.incident.waves.last_mut() {
            wave.ended_at_ms.get_or_insert(ended_at_ms);
        }
    }

    /// When something was last alarming or a rule in force, ms.
    pub const fn last_active_ms(&self) -> u64 {
        self.last_active_ms
    }

    /// Records a rule that came into force. `before` is the estimate of requests it would have
    /// matched since onset: they reached the origin.
    pub fn rule_placed(&mut self, active: &ActiveRule, mode: Mode, before: u64, now_ms: u64) {
        let rule = &active.rule;
        let acted =
            if mode == Mode::Protect { "placed" } else { "placed in shadow (not carried out)" };
        self.incident.note(
            now_ms,
            TimelineKind::RulePlaced,
            format!("rule {} {acted}: {} them", rule.id, rule.action.name()),
        );
        self.incident.verdict = IncidentVerdict::Attack;
        self.incident.totals.attack_reached_origin += before;
        if self.incident.mitigated_at_ms.is_none() && mode == Mode::Protect {
            self.incident.mitigated_at_ms = Some(now_ms);
        }
        self.incident.add_rule(RuleRecord {
            id: rule.id,
            words: rule.words.clone(),
            predicates: rule.predicates.clone(),
            action: rule.action,
            first_at_ms: now_ms,
            ended_at_ms: None,
            ended_why: None,
            returns: 0,
            matched: 0,
            projected: rule.projected,
            measured: Default::default(),
            live: Default::default(),
            evidence: rule.evidence.clone(),
        });
    }

    /// Records that a rule went out of force.
    pub fn rule_ended(&mut self, active: &ActiveRule, why: Ending, now_ms: u64) {
        let (id, why) = (active.rule.id, why.words());
        self.incident.note(now_ms, TimelineKind::RuleEnded, format!("rule {id} ended ({why})"));
        self.read_rule(active);
        if let Some(record) = self.incident.rule_mut(id) {
            record.ended_at_ms = Some(now_ms);
            record.ended_why = Some(why);
        }
    }

    /// Records that a rule which had been put aside came into force again.
    pub fn rule_back(&mut self, active: &ActiveRule, mode: Mode, now_ms: u64) {
        let id = active.rule.id;
        let Some(record) = self.incident.rule_mut(id) else {
            // Its earlier waves are another incident's.
            self.rule_placed(active, mode, 0, now_ms);
            return;
        };
        (record.ended_at_ms, record.ended_why) = (None, None);
        record.returns += 1;
        let acted = if mode == Mode::Protect { "" } else { " in shadow (not carried out)" };
        self.incident.note(
            now_ms,
            TimelineKind::RulePlaced,
            format!("rule {id} is back{acted}: what it matches came again"),
        );
    }

    /// Copies the rules' counts into the record.
    pub fn read_rules(&mut self, book: &RuleBook) {
        book.active().iter().for_each(|active| self.read_rule(active));
    }

    fn read_rule(&mut self, active: &ActiveRule) {
        if let Some(record) = self.incident.rule_mut(active.rule.id) {
            record.matched = active.matched;
            record.measured = active.measured();
            record.live = active.live();
        }
    }

    /// The record brought up to date at `now_ms`.
    pub fn snapshot(&mut self, now_ms: u64) -> Incident {
        self.incident.updated_at_ms = now_ms;
        self.incident.sources = self.sources.estimate();
        self.incident.attack_sources = self.attack_sources.estimate();
        let all = self.attack_requests.max(1) as f64;
        self.incident.top_networks = self
            .attack_networks
            .top(NETWORKS_NAMED)
            .into_iter()
            .map(|heavy| Counted {
                name: network_of(heavy.key).to_string(),
                share: heavy.count_min as f64 / all,
            })
            .collect();
        self.incident.clone()
    }
}

/// A source key without its host part: /24 for IPv4, /48 for IPv6.
const fn network_key(source_key: u64) -> u64 {
    if source_key >> 32 == 0xffff_ffff { source_key & !0xff } else { source_key & !0xffff }
}

fn network_of(network_key: u64) -> Prefix {
    if network_key >> 32 == 0xffff_ffff {
        Prefix::new(IpAddr::V4(Ipv4Addr::from(network_key as u32)), 24)
    } else {
        Prefix::new(IpAddr::V6(Ipv6Addr::from(u128::from(network_key) << 64)), 48)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::Source;

    #[test]
    fn networks_are_named_as_operators_write_them() {
        let network = |address: &str| {
            let source = Source::new(address.parse().unwrap());
            network_of(network_key(source.key())).to_string()
        };
        assert_eq!(network("203.0.113.77"), "203.0.113.0/24");
        assert_eq!(network("2001:db8:1:2::3"), "2001:db8:1::/48");
    }
}
