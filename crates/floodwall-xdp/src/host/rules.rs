//! A plan's rules in the kernel's own table, matched by the kernel's own function (bpf/rules.h), in
//! this process's memory: 5 MiB per set of rules. Built anew for every plan; nothing grows.
#![allow(unsafe_code)]

use std::fmt;

use floodwall_model::packet::{PacketFacts, PacketRule};

use super::RawPacket;

/// Rules that fit (`FW_RULES` in bpf/abi.h); header.rs holds it.
pub(super) const RULES_MAX: usize = 64;

// SAFETY: the declarations repeat bpf/host.c. `table` is struct fw_rules there.
unsafe extern "C" {
    fn fw_host_rules_size() -> u64;
    fn fw_host_rules_add(table: *mut u64, rule: u32, expires: u32);
    fn fw_host_rules_look_at(table: *mut u64, rule: u32, dimension: u32);
    fn fw_host_rules_satisfy(table: *mut u64, rule: u32, dimension: u32, value: u16);
    fn fw_host_match(table: *const u64, packet: *const RawPacket, now: u32) -> u32;
}

/// The rules of one plan, ready to be matched.
pub struct HostRules {
    /// `struct fw_rules`, whose strictest alignment is that of its 64-bit words.
    table: Vec<u64>,
    rules: usize,
}

impl fmt::Debug for HostRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRules").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl HostRules {
    /// Compiles `rules`, those of a [`CheckedPacketPlan`](floodwall_model::packet::CheckedPacketPlan),
    /// most important first. A plan holds at most 64; what is beyond could not be told apart and is
    /// left out.
    pub fn new(rules: &[PacketRule]) -> HostRules {
        let rules = rules.get(..RULES_MAX).unwrap_or(rules);
        // SAFETY: no arguments.
        let size = unsafe { fw_host_rules_size() } as usize;
        let mut host = HostRules { table: vec![0; size.div_ceil(8)], rules: rules.len() };
        for (number, rule) in (0..).zip(rules) {
            host.add(number, rule);
        }
        host
    }

    fn add(&mut self, number: u32, rule: &PacketRule) {
        // A signature of no predicates matches nothing (PacketSignature::matches); in a table it
        // would match everything.
        if rule.signature.predicates().is_empty() {
            return;
        }
        let table = self.table.as_mut_ptr();
        // SAFETY (all four): `table` is zeroed memory of struct fw_rules' size and alignment, held
        // exclusively; `number` is below RULES_MAX and the dimension an attribute's number, below
        // FW_DIMS; the C side masks the value to the dimension's width.
        unsafe { fw_host_rules_add(table, number, milliseconds(rule.expires_at_ms)) };
        for predicate in rule.signature.predicates() {
            let dimension = predicate.attr() as u32;
            unsafe { fw_host_rules_look_at(table, number, dimension) };
            for value in predicate.values() {
                unsafe { fw_host_rules_satisfy(table, number, dimension, value) };
            }
        }
    }

    /// Index of the rule that speaks about the packet at `now_ms`, ms since the epoch: the first
    /// that matches and has not ended.
    pub fn matches(&self, facts: &PacketFacts, now_ms: u64) -> Option<usize> {
        let raw = RawPacket::from_facts(facts);
        // SAFETY: both are laid out as the C side has them, and only read.
        let rule =
            unsafe { fw_host_match(self.table.as_ptr(), &raw const raw, milliseconds(now_ms)) };
        Some(rule as usize).filter(|rule| *rule < self.rules)
    }
}

/// The table's clock has 32 bits of any unit, compared by their difference (fw_is_over in
/// bpf/abi.h): jiffies in the kernel, milliseconds here.
fn milliseconds(at_ms: u64) -> u32 {
    at_ms as u32
}
