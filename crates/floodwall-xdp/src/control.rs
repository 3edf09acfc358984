//! What the controller does to a filter in force: applies plans, reads batches, renews the lease.
//!
//! It must never raise a guard that would cut this host off: no SYN proof where the kernel does not
//! take its cookies back, no UDP guard where this host's own questions are not seen.

use std::collections::HashMap;
use std::mem::offset_of;
use std::net::IpAddr;
use std::sync::atomic::Ordering::{Relaxed, Release};

use floodwall_model::packet::{CheckedPacketPlan, Guards, PacketAttr, PacketBatch, PacketReason};
use floodwall_model::{Mode, Prefix, RuleId};

use crate::abi::{LOCAL_MAX, Port, RULES, guard, holds, service};
use crate::answers::{Answers, Way};
use crate::attach::{AttachRequest, Attachment, Services};
use crate::counters::Totals;
use crate::error::BanError;
use crate::filter::{KernelFilter, kernel};
use crate::icmp_shares;
use crate::limit::SourceRates;
use crate::mapped::Mapped;
use crate::probe::KernelFeatures;
use crate::rules::{PlanChange, RuleTable, Wanted};
use crate::samples::{self, RuleNames};
use crate::syncookies::{SynCookieSetting, SynCookies};
use crate::sys;

/// This host's addresses are looked up again so often, ms: they change rarely, and a guard spares
/// what it does not know.
const LOCAL_EVERY_MS: u64 = 10_000;
/// N of 1:N before any packet was counted.
const SAMPLE_EVERY_FIRST: u32 = 16;

/// What applying a plan came to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PlanApplied {
    /// Rules.
    pub change: PlanChange,
    /// Guards that stand now.
    pub guards: Guards,
    /// Guards that the plan wants and that do not stand, each with why.
    pub guards_refused: Vec<String>,
    /// Rules that the plan wants and that no filter holds, because the tier in force cannot.
    pub rules_refused: Vec<RuleId>,
}

impl PlanApplied {
    /// What becomes of `plan` where the tier in force holds neither rules nor guards. In shadow
    /// mode nothing is wanted of the kernel but counts.
    pub fn not_at_all(plan: &CheckedPacketPlan, now_ms: u64) -> PlanApplied {
        let live = plan.rules().iter().filter(|rule| rule.expires_at_ms > now_ms);
        let guards = match plan.mode() {
            Mode::Shadow => Guards::default(),
            Mode::Protect => plan.guards(now_ms),
        };
        let why = |name: &str| format!("{name}: the tier in force has no guards");
        PlanApplied {
            rules_refused: live.map(|rule| rule.id).collect(),
            guards_refused: guards.names().into_iter().map(why).collect(),
            ..PlanApplied::default()
        }
    }
}

/// Bytes that this host sent to one network, since the filter was loaded.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct EgressVolume {
    /// An IPv4 /24 or an IPv6 /48.
    pub destination: Prefix,
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// The controller's account of what it has told the kernel.
#[derive(Debug)]
pub(crate) struct Control {
    rules: RuleTable,
    names: RuleNames,
    revision: u32,
    cookies: SynCookies,
    pub(crate) answers: Answers,
    lease_ms: u64,
    /// What the plan wants, whether or not it stands.
    pub(crate) guards_wanted: Guards,
    pub(crate) guards_until_ms: u64,
    totals: Totals,
    matched_seen: [u64; RULES],
    /// Matched by rules that have gone since the last batch.
    matched: Vec<(RuleId, u64)>,
    handshakes: Option<u64>,
    read_at_ms: Option<u64>,
    local_at_ms: Option<u64>,
}

impl Control {
    pub(crate) fn new(rules: Mapped, request: &AttachRequest<'_>) -> Control {
        let rules = RuleTable::new(rules);
        let mut names = RuleNames::default();
        names.push(0, rules.ids());
        Control {
            rules,
            names,
            revision: 0,
            cookies: SynCookies::new(
                request
                    .cookie_setting
                    .clone()
                    .unwrap_or_else(|| SynCookieSetting::open(request.state_file.clone())),
            ),
            answers: Answers::new(
                request.interface.clone(),
                request.features.map_or_else(KernelFeatures::has_tcx, |features| features.tcx),
            ),
            lease_ms: request.lease_ms,
            guards_wanted: Guards::default(),
            guards_until_ms: 0,
            totals: Totals::default(),
            matched_seen: [0; RULES],
            matched: Vec::new(),
            handshakes: None,
            read_at_ms: None,
            local_at_ms: None,
        }
    }
}

impl KernelFilter {
    /// Writes what the filter has to know before its first packet.
    pub(crate) fn settle(&mut self, request: &AttachRequest<'_>) -> Result<(), BanError> {
        let policy = &self.maps.policy;
        policy.set_second(self.clock.hz());
        let mtu = request.interface.as_deref().and_then(|name| sys::mtu(name).ok());
        let (v4, v6) = segment_sizes(mtu.unwrap_or(1_500));
        policy.set_mss(v4, v6);
        self.set_source_rates(request.source_rates);
        self.maps.policy.set_icmp_rates(icmp_shares::rates(self.clock.hz()));
        self.set_services(&request.services);
        self.learn_local_addresses()?;
        self.renew();
        Ok(())
    }

    /// Bans, rules and guards hold for another lease from now.
    pub fn renew(&mut self) {
        self.maps.policy.set_lease_until(self.clock.in_ms(self.control.lease_ms));
    }

    /// What one source may send from now on, at any time; `None`: as much as it likes.
    pub fn set_source_rates(&mut self, rates: Option<SourceRates>) {
        let policy = &self.maps.policy;
        if let Some(rates) = rates {
            policy.set_rates(&rates.by_width(self.clock.hz()));
        }
        policy.set_holds(holds::SOURCE_RATE, rates.is_some());
    }

    /// Which ports the guards know; the last word counts.
    pub fn set_services(&mut self, services: &Services) {
        for port in 0..=u16::MAX {
            let tcp = if services.tcp.contains(&port) { service::TCP } else { 0 };
            let udp = if services.udp.contains(&port) { service::UDP } else { 0 };
            let at = usize::from(port) * size_of::<Port>() + offset_of!(Port, services);
            let word = self.maps.ports.u32_at(at);
            if word.load(Relaxed) != tcp | udp {
                word.store(tcp | udp, Release);
            }
        }
    }

    /// Reads this host's addresses, which the guards stand for, from the calling thread's network
    /// namespace. Beyond the map's size the others are spared.
    ///
    /// # Errors
    /// [`BanError::Kernel`].
    pub fn learn_local_addresses(&mut self) -> Result<(), BanError> {
        let addresses = sys::local_addresses().map_err(|e| BanError::Kernel(e.to_string()))?;
        let wanted: Vec<[u8; 16]> = addresses.into_iter().take(LOCAL_MAX).map(key_of).collect();
        let left_out = self.maps.local.set(&wanted);
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "some of this host's addresses found no place: guards spare them"
            );
        }
        Ok(())
    }

    /// Brings the kernel to `plan`: rules by difference, guards up and down. Applying it twice
    /// changes nothing. Renews the lease. `now_ms` is the wall clock, ms since the epoch.
    ///
    /// # Errors
    /// [`BanError::Kernel`] when the counters cannot be read; nothing is changed then.
    pub fn apply(
        &mut self,
        plan: &CheckedPacketPlan,
        now_ms: u64,
    ) -> Result<PlanApplied, BanError> {
        self.renew();
        self.collect_matched()?;
        let shadow = plan.mode() == Mode::Shadow;
        let wanted: Vec<Wanted> = plan
            .rules()
            .iter()
            .filter(|rule| rule.expires_at_ms > now_ms)
            .map(|rule| Wanted {
                id: rule.id,
                signature: rule.signature.clone(),
                expires: self.clock.in_ms(rule.expires_at_ms - now_ms) as u32,
                shadow,
            })
            .collect();
        let control = &mut self.control;
        let change = control.rules.apply(&wanted, sys::wait_for_packets_in_flight);
        if change.added + change.removed > 0 {
            control.revision = control.revision.wrapping_add(1);
            control.names.push(control.revision, control.rules.ids());
            self.maps.policy.set_revision(control.revision);
        }
        let (rules, policy) = (&control.rules, &self.maps.policy);
        policy.set_holds(holds::SOLICITED, rules.looks_at_solicited());
        let options = rules.looks_at(&[PacketAttr::Options, PacketAttr::Mss]);
        policy.set_holds(holds::OPTIONS, options);
        policy.set_holds(holds::RULES, !rules.is_empty());

        let guards = if shadow { Guards::default() } else { plan.guards(now_ms) };
        let (guards, guards_refused) = self.stand(guards, plan.guards_until_ms(), now_ms);
        self.told();
        Ok(PlanApplied { change, guards, guards_refused, rules_refused: Vec::new() })
    }

    /// Raises and lowers guards; returns those that stand, and why others do not.
    pub(crate) fn stand(
        &mut self,
        mut guards: Guards,
        until_ms: u64,
        now_ms: u64,
    ) -> (Guards, Vec<String>) {
        let mut refused = Vec::new();
        let wanted = guards;
        self.control.guards_wanted = wanted;
        if guards.any() && self.control.local_at_ms.is_none_or(|at| now_ms >= at + LOCAL_EVERY_MS) {
            self.control.local_at_ms = Some(now_ms);
            if let Err(error) = self.learn_local_addresses() {
                tracing::warn!(%error, "this host's addresses could not be read anew");
            }
        }
        if guards.udp_solicited && !self.sees_own_questions() {
            guards.udp_solicited = false;
            refused.push("UDP guard: what this host asks is not seen".to_owned());
        }
        if guards.syn_proof
            && let Err(error) = self.control.cookies.raise()
        {
            guards.syn_proof = false;
            refused.push(format!("SYN proof: the kernel would not take its cookies: {error}"));
        }
        let way = self.control.answers.way();
        if guards.syn_proof
            && let Way::Closed(why) = way
        {
            guards.syn_proof = false;
            refused.push(why.clone());
        }
        let bits = [
            (guards.syn_proof && *way == Way::Stack, guard::VIA_STACK),
            (guards.syn_proof, guard::SYN_PROOF),
            (guards.tcp_state, guard::TCP_STATE),
            (guards.udp_solicited, guard::UDP_SOLICITED),
            (guards.icmp, guard::ICMP),
        ];
        if guards.icmp && self.maps.policy.guards() & guard::ICMP == 0 {
            self.maps.icmp.fill(self.clock.hz(), self.clock.in_ms(0) as u32);
        }
        let bits = bits.iter().filter(|(stands, _)| *stands).fold(0, |bits, (_, bit)| bits | bit);
        let until = self.clock.in_ms(until_ms.saturating_sub(now_ms));
        self.maps.policy.set_guards(bits, until);
        self.control.guards_until_ms = until_ms;
        if !wanted.syn_proof {
            // After the guard: a cookie that is sent must be taken back. A guard that is wanted
            // and does not stand leaves the kernel to answer every SYN by a cookie of its own.
            self.control.cookies.restore();
        }
        (guards, refused)
    }

    fn sees_own_questions(&self) -> bool {
        match &self.attachment {
            Attachment::Xdp { egress, .. } => egress.is_some(),
            // A dry run is told by its caller.
            Attachment::Nothing => true,
            Attachment::Sockets => false,
        }
    }

    /// What happened since the last batch: counts of all packets, some of them whole. About every
    /// 50 ms; `now_ms` is the wall clock, ms since the epoch. Renews the lease and adapts how many
    /// packets are sampled.
    ///
    /// # Errors
    /// [`BanError::Kernel`] when the counters cannot be read.
    pub fn read_batch(&mut self, now_ms: u64) -> Result<PacketBatch, BanError> {
        self.renew();
        if self.maps.policy.guards() != 0 && now_ms >= self.control.guards_until_ms {
            // They have ended by themselves; the system setting has not.
            self.stand(Guards::default(), 0, now_ms);
        }
        let totals = self.collect_matched()?;
        self.watch_answers(&totals, now_ms);
        let before = std::mem::replace(&mut self.control.totals, totals.clone());
        let mut batch = PacketBatch {
            lost: totals.lost - before.lost,
            // The filter asks the kernel's sockets about TCP, and knows what was asked over UDP.
            knows_sockets: self.sees_own_questions(),
            ..PacketBatch::default()
        };
        let classes = totals.classes.iter().zip(&before.classes);
        for (count, (now, then)) in batch.counts.iter_mut().zip(classes) {
            count.packets = now.packets - then.packets;
            count.bytes = now.bytes - then.bytes;
        }
        for (reason, (now, then)) in
            PacketReason::ALL.iter().zip(totals.reasons.iter().zip(&before.reasons))
        {
            if !reason.passes() && *reason != PacketReason::Signature && now > then {
                batch.refused.push((*reason, now - then));
            }
        }
        let packets = batch.counts.iter().map(|count| count.packets).sum();
        self.adapt_sampling(packets, now_ms);
        let control = &mut self.control;
        batch.matched = sum_by_rule(std::mem::take(&mut control.matched));
        batch.observations =
            samples::drain(&mut self.maps.samples, &control.names, &self.clock, now_ms);
        batch.handshakes = count_handshakes(&mut control.handshakes);
        Ok(batch)
    }

    fn adapt_sampling(&mut self, packets: u64, now_ms: u64) {
        let policy = &self.maps.policy;
        let every = match (policy.sample_every(), self.control.read_at_ms.replace(now_ms)) {
            // Nobody read until now, so nothing was sampled.
            (0, _) | (_, None) => SAMPLE_EVERY_FIRST,
            (every, Some(then)) => {
                samples::next_every(every, packets, now_ms.saturating_sub(then).max(1))
            }
        };
        policy.set_sample_every(every);
    }

    /// Reads the counters, and puts what the rules matched aside under the ids that they have now.
    fn collect_matched(&mut self) -> Result<Totals, BanError> {
        let totals = self.totals()?;
        let control = &mut self.control;
        let ids = control.rules.ids();
        let deltas = totals.matched.iter().zip(&mut control.matched_seen);
        for (id, (now, seen)) in ids.iter().zip(deltas) {
            if let Some(id) = id
                && *now > *seen
            {
                control.matched.push((*id, *now - *seen));
            }
            *seen = *now;
        }
        Ok(totals)
    }

    /// Bytes that this host has sent, by destination network, most first; at most as many as the
    /// kernel's map holds (`FW_EGRESS_MAX`).
    ///
    /// # Errors
    /// [`BanError::Kernel`].
    pub fn egress_volumes(&self) -> Result<Vec<EgressVolume>, BanError> {
        let mut volumes = Vec::new();
        for entry in self.maps.egress.iter() {
            let (net, cpus) = entry.map_err(kernel)?;
            volumes.push(EgressVolume {
                destination: net.prefix(),
                packets: cpus.iter().map(|cpu| cpu.packets).sum(),
                bytes: cpus.iter().map(|cpu| cpu.bytes).sum(),
            });
        }
        volumes.sort_by_key(|volume| std::cmp::Reverse(volume.bytes));
        Ok(volumes)
    }
}

/// Segment sizes for packets of `mtu` bytes: 20 bytes of TCP header, and 20 or 40 of IP (RFC 9293
/// § 3.7.1).
fn segment_sizes(mtu: u32) -> (u16, u16) {
    let less = |header: u32, least: u16| {
        u16::try_from(mtu.saturating_sub(header)).unwrap_or(u16::MAX).max(least)
    };
    (less(40, 536), less(60, 1_220))
}

/// An address as the kernel's table has it.
fn key_of(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// One entry per rule.
fn sum_by_rule(matched: Vec<(RuleId, u64)>) -> Vec<(RuleId, u64)> {
    let mut by_rule: HashMap<RuleId, u64> = HashMap::new();
    for (id, packets) in matched {
        *by_rule.entry(id).or_default() += packets;
    }
    let mut summed: Vec<(RuleId, u64)> = by_rule.into_iter().collect();
    summed.sort_unstable();
    summed
}

/// Handshakes that this host completed as a server since the last call: the kernel's own count
/// (PassiveOpens, RFC 4022) of the calling thread's network namespace.
fn count_handshakes(before: &mut Option<u64>) -> Option<u64> {
    let now = passive_opens(&std::fs::read_to_string("/proc/thread-self/net/snmp").ok()?)?;
    let then = before.replace(now).unwrap_or(now);
    Some(now.saturating_sub(then))
}

/// The file has, for each protocol, a line of names and a line of values.
fn passive_opens(snmp: &str) -> Option<u64> {
    let mut tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next()?, tcp.next()?);
    let at = names.split_whitespace().position(|name| name == "PassiveOpens")?;
    values.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_sizes_leave_room_for_the_headers() {
        assert_eq!(segment_sizes(1_500), (1_460, 1_440));
        assert_eq!(segment_sizes(65_536), (65_496, 65_476));
        assert_eq!(segment_sizes(100), (536, 1_220), "never below what every host must take");
    }

    #[test]
    fn the_kernels_count_of_handshakes_is_found_by_its_name() {
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoMin PassiveOpens InSegs\nTcp: 200 41 9\n";
        assert_eq!(passive_opens(snmp), Some(41));
        for wrong in ["", "Tcp: PassiveOpens\n", "Tcp: A\nTcp: 1\n"] {
            assert_eq!(passive_opens(wrong), None, "{wrong:?}");
        }
        let mut before = None;
        assert_eq!(count_handshakes(&mut before), Some(0), "the first call counts from now");
    }

    #[test]
    fn matches_are_summed_by_rule() {
        let matched = vec![(RuleId(2), 5), (RuleId(1), 1), (RuleId(2), 7)];
        assert_eq!(sum_by_rule(matched), [(RuleId(1), 1), (RuleId(2), 12)]);
    }
}
