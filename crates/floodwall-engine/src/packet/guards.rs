//! Guards: proofs asked of packets that no signature tells apart. Raised late, lowered late.
//!
//! A guard hits only what cannot be of use to this host: a SYN whose sender does not return a
//! cookie, TCP without a connection, UDP that nobody here asked for or serves.

use floodwall_model::packet::{Guards, PacketClass};

use super::channels::Channels;

/// A signature has so long to be found before a guard is raised, ms.
const PATIENCE_MS: u64 = 1_300;
/// Where the sockets are known, what belongs to none is known to be useless, and later fragments
/// would fill the memory in which honest ones wait for their rest: so long only, ms.
const PATIENCE_KNOWN_MS: u64 = 100;
/// Unexplained excess that raises the guard for new connections, packets/s, …
const RAISE_SYN_PPS_MIN: f64 = 60.0;
/// … and the others, which a crowd's stray packets shall not raise, …
const RAISE_PPS_MIN: f64 = 150.0;
/// … and as a multiple of what is expected.
const RAISE_FACTOR: f64 = 5.0;
/// A guard is not raised against less than this part of all suspects: resets and messages that a
/// flood causes elsewhere.
const PART_MIN: f64 = 0.1;
/// A guard falls when it was not needed for so long, ms.
const LOWER_MS: u64 = 5_000;

#[derive(Copy, Clone, Debug, Default)]
struct Guard {
    above_since_ms: Option<u64>,
    needed_ms: u64,
    up: bool,
}

impl Guard {
    fn update(
        &mut self,
        least_pps: f64,
        unexplained_pps: f64,
        expected_pps: f64,
        patience_ms: u64,
        now_ms: u64,
    ) {
        let level = least_pps.max(RAISE_FACTOR * expected_pps);
        // Half the level keeps it up (hysteresis); what rules drop keeps it up no longer.
        let threshold = if self.up { level / 2.0 } else { level };
        if unexplained_pps < threshold {
            self.above_since_ms = None;
            self.up &= now_ms < self.needed_ms + LOWER_MS;
            return;
        }
        let since_ms = *self.above_since_ms.get_or_insert(now_ms);
        if now_ms >= since_ms + patience_ms {
            self.up = true;
        }
        self.needed_ms = now_ms;
    }
}

/// The guards' state.
#[derive(Debug, Default)]
pub struct GuardPost {
    syn: Guard,
    tcp: Guard,
    udp: Guard,
}

/// Conversations that a group of suspects must claim to belong to: fewer are perhaps one whose
/// other half we do not see.
const FLOWS_MIN: usize = 20;

/// What no rule explains.
pub trait Unexplained {
    /// Rate of suspects of these classes, packets/s.
    fn pps(&self, classes: &[PacketClass]) -> f64;
    /// Different conversations they claim to belong to.
    fn flows(&self, classes: &[PacketClass]) -> usize;
    /// Whether the mark for conversations is the word of whoever keeps the sockets.
    fn knows_sockets(&self) -> bool;
    /// Whether most of them go to one network (/24, /48): what goes everywhere floods nobody.
    fn is_aimed(&self, classes: &[PacketClass]) -> bool;
    /// Whether conversations of these classes are seen from both sides, so that a packet of none
    /// is known to be one.
    fn sees_both_ways(&self, classes: &[PacketClass]) -> bool;
}

impl GuardPost {
    /// Which guards stand now. `handshakes_per_s` are connections completed, which need no proof.
    pub fn update(
        &mut self,
        channels: &Channels,
        unexplained: &impl Unexplained,
        handshakes_per_s: f64,
        suspects_pps: f64,
        now_ms: u64,
    ) -> Guards {
        const OUT_OF_STATE: [PacketClass; 6] = [
            PacketClass::SynAck,
            PacketClass::Rst,
            PacketClass::Fin,
            PacketClass::Ack,
            PacketClass::Data,
            PacketClass::TcpOdd,
        ];
        const UDP: [PacketClass; 2] = [PacketClass::Udp, PacketClass::Fragment];
        const SYN: [PacketClass; 1] = [PacketClass::Syn];
        let expected = |classes: &[PacketClass]| -> f64 {
            classes.iter().map(|class| channels.expected_pps(*class)).sum()
        };
        // Most rates are low, and then nothing else is worth looking at.
        let of_many = |classes: &[PacketClass]| {
            let pps = unexplained.pps(classes);
            let worth = pps >= RAISE_SYN_PPS_MIN / 2.0 && pps >= PART_MIN * suspects_pps;
            let flood =
                worth && unexplained.flows(classes) >= FLOWS_MIN && unexplained.is_aimed(classes);
            if flood { pps } else { 0.0 }
        };
        let known = |classes: &[PacketClass]| {
            let pps = of_many(classes);
            if pps > 0.0 && unexplained.sees_both_ways(classes) { pps } else { 0.0 }
        };
        let patience_ms = if unexplained.knows_sockets() { PATIENCE_KNOWN_MS } else { PATIENCE_MS };
        let syn_pps = (of_many(&SYN) - handshakes_per_s).max(0.0);
        self.syn.update(RAISE_SYN_PPS_MIN, syn_pps, expected(&SYN), PATIENCE_MS, now_ms);
        self.tcp.update(
            RAISE_PPS_MIN,
            known(&OUT_OF_STATE),
            expected(&OUT_OF_STATE),
            patience_ms,
            now_ms,
        );
        self.udp.update(RAISE_PPS_MIN, known(&UDP), expected(&UDP), patience_ms, now_ms);
        Guards {
            syn_proof: self.syn.up,
            tcp_state: self.tcp.up,
            udp_solicited: self.udp.up,
            source_rate: false,
        }
    }
}

/// The guards that stand, in words.
pub fn words(guards: Guards) -> Vec<&'static str> {
    [
        (guards.syn_proof, "new connections had to prove themselves by a SYN cookie"),
        (guards.tcp_state, "TCP packets of no connection were dropped"),
        (guards.udp_solicited, "UDP that nobody here asked for was dropped"),
        (guards.source_rate, "each source was held to its share"),
    ]
    .into_iter()
    .filter_map(|(stands, words)| stands.then_some(words))
    .collect()
}
