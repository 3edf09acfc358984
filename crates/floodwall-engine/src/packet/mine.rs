//! Finding → signature, for packets: the shared beam search over header values.
//!
//! Mined is what could be a flood and no rule explains; the past, the neutral profile and the
//! packets of conversations going on at this moment say what a signature must not hit.

use std::collections::HashMap;
use std::sync::Arc;

use floodwall_model::Collateral;
use floodwall_model::limits::PACKET_PREDICATES_MAX;
use floodwall_model::packet::{
    IpMark, PACKET_COLLATERAL_MAX, PacketAttr, PacketClass, PacketFacts, PacketPredicate,
    PacketSignature, TransportMark,
};

use super::past::{Known, PacketPast};
use super::recent::PacketSample;
use super::record::PacketRecord;
use crate::beam::{BASELINE_SHARE_MIN, Beam, Judge, LITERALS_MAX, Literal, Scales};
use crate::bits::Bits;

/// Values tried per attribute.
const VALUES_PER_ATTR: usize = 6;
/// A value is tried if it explains this share of the rise.
const RESIDUAL_SHARE_MIN: f64 = 0.05;
/// Rate below which nothing is worth a rule, packets/s.
const EXCESS_PPS_MIN: f64 = 8.0;
/// Packets below which nothing is mined.
const PACKETS_MIN: usize = 30;
/// Past packets of the same kind that are enough to propose what hits none of them.
const CLEAN_PACKETS_MIN: u64 = 120;
/// Packets of any kind that make a past which would have known a kind if there was any.
const PAST_PACKETS_MIN: u64 = 1_500;
/// IP protocol number of TCP.
const TCP: u16 = 6;

/// Attributes whose single values are tried, in the order of tightening: of any packet…
const VALUED: [PacketAttr; 4] =
    [PacketAttr::Length, PacketAttr::Destination, PacketAttr::Ttl, PacketAttr::Id];
/// … of what has ports (or a type and code), …
const VALUED_PORTS: [PacketAttr; 3] =
    [PacketAttr::SourcePort, PacketAttr::DestinationPort, PacketAttr::Payload];
/// … and of TCP.
const VALUED_TCP: [PacketAttr; 5] = [
    PacketAttr::TcpFlags,
    PacketAttr::Options,
    PacketAttr::Window,
    PacketAttr::Mss,
    PacketAttr::Sequence,
];

/// A mark that is tried: (attribute, mask, wanted).
type Mark = (PacketAttr, u8, u8);
const MARKS_IP: [Mark; 4] = [
    (PacketAttr::IpMarks, IpMark::FIRST_FRAGMENT, IpMark::FIRST_FRAGMENT),
    (PacketAttr::IpMarks, IpMark::V6, IpMark::V6),
    (PacketAttr::IpMarks, IpMark::OPTIONS, IpMark::OPTIONS),
    (PacketAttr::IpMarks, IpMark::RESERVED, IpMark::RESERVED),
];
const MARKS_PORTS: [Mark; 4] = [
    (PacketAttr::TransportMarks, TransportMark::SAME_PORT, TransportMark::SAME_PORT),
    (PacketAttr::TransportMarks, TransportMark::SAME_PORT, 0),
    (PacketAttr::TransportMarks, TransportMark::PAYLOAD, 0),
    (PacketAttr::TransportMarks, TransportMark::LOW_SOURCE_PORT, TransportMark::LOW_SOURCE_PORT),
];
const MARKS_TCP: [Mark; 2] = [
    (
        PacketAttr::TransportMarks,
        TransportMark::SEQUENCE_LOW_ZERO,
        TransportMark::SEQUENCE_LOW_ZERO,
    ),
    (PacketAttr::TransportMarks, TransportMark::ACK_ZERO, TransportMark::ACK_ZERO),
];

/// What is not added merely because all packets of a flood have it in common: tools change it most
/// easily, or it changes on the way.
const NOT_TIGHTENED: [PacketAttr; 3] = [PacketAttr::Id, PacketAttr::Sequence, PacketAttr::Ttl];

/// A signature that describes part of the rise.
#[derive(Clone, Debug)]
pub struct MinedPackets {
    /// The kind of packets.
    pub class: PacketClass,
    /// The signature.
    pub signature: PacketSignature,
    /// Packets/s now that match.
    pub matched_pps: f64,
    /// Sampled packets that it was mined from.
    pub mined_from: u64,
    /// Honest packets it would hit.
    pub projected: Collateral,
}

/// The rise to be explained.
pub struct PacketRise<'a> {
    /// What arrives now.
    pub sample: &'a PacketSample,
    /// Connections begun lately and carried on: their SYNs.
    pub completed: &'a [PacketFacts],
    /// The kinds of packets that rose, and the rate of each expected, packets/s.
    pub classes: &'a [(PacketClass, f64)],
    /// Whether the mark for conversations is the word of whoever keeps the sockets.
    pub knows_sockets: bool,
    /// The past.
    pub past: &'a PacketPast,
}

/// Mines at most `wanted` signatures of each kind that rose, those that explain most first.
pub fn mine(rise: &PacketRise<'_>, wanted: usize) -> Vec<MinedPackets> {
    let of_class = |(class, expected_pps): &(PacketClass, f64)| {
        Stratum::of(rise, *class, *expected_pps).map_or_else(Vec::new, |s| s.mine(wanted))
    };
    let mut found: Vec<MinedPackets> = rise.classes.iter().flat_map(of_class).collect();
    found.sort_by(|a, b| b.matched_pps.total_cmp(&a.matched_pps));
    found.truncate(wanted);
    found
}

/// One kind of packets of one protocol: what every rule about it says first, what arrives now and
/// what came before.
struct Stratum<'a> {
    rise: &'a PacketRise<'a>,
    class: PacketClass,
    base: Vec<PacketPredicate>,
    tcp: bool,
    /// The transport header is there to be read.
    ports: bool,
    now: Vec<PacketRecord>,
    past: Vec<Known>,
    /// All packets of the past, of any kind.
    past_all: u64,
    expected_pps: f64,
}

impl<'a> Stratum<'a> {
    fn of(rise: &'a PacketRise<'a>, class: PacketClass, expected_pps: f64) -> Option<Self> {
        let of_class = |f: &PacketFacts| f.class == class;
        let suspects = rise.sample.suspects.iter().filter(|r| of_class(&r.facts));
        let protocols = suspects.clone().map(|r| r.facts.value(PacketAttr::Protocol));
        let (protocol, ..) = super::evidence::top_share(protocols)?;
        let base = base(class, protocol);
        let now: Vec<PacketRecord> =
            suspects.filter(|r| r.facts.value(PacketAttr::Protocol) == protocol).copied().collect();
        let mining = rise.past.mining(rise.knows_sockets);
        let past_all = mining.len() as u64;
        let alike = |k: &Known| of_class(&k.facts) && k.fulfil(&base);
        let past = mining.into_iter().filter(alike).collect();
        let tcp = protocol == TCP;
        let ports = !matches!(class, PacketClass::Fragment | PacketClass::Other);
        Some(Stratum { rise, class, base, tcp, ports, now, past, past_all, expected_pps })
    }

    fn rate_pps(&self) -> f64 {
        let packets: f64 = self.now.iter().map(|r| r.weight).sum();
        packets * 1000.0 / self.rise.sample.span_ms.max(1) as f64
    }

    fn mine(&self, wanted: usize) -> Vec<MinedPackets> {
        let rate = self.rate_pps();
        let excess = rate - self.expected_pps;
        if self.now.len() < PACKETS_MIN || excess < EXCESS_PPS_MIN {
            return Vec::new();
        }
        let mut scales = Scales {
            now_weight: rate / self.now.len() as f64,
            past_weight: self.expected_pps / self.past.len().max(1) as f64,
            past_records: self.past.len() as u64,
            expected: self.expected_pps,
            rise: excess,
            residual: excess,
            excess_min: EXCESS_PPS_MIN,
        };
        let literals = self.literals(&scales);
        let mut now_left = Bits::select(&self.now, |_| true);
        let past = Bits::select(&self.past, |_| true);
        let mut past_left = past.clone();
        let mut found = Vec::new();
        while found.len() < wanted {
            scales.residual = now_left.count() as f64 * scales.now_weight - self.expected_pps;
            if scales.residual <= (0.01 * excess).max(BASELINE_SHARE_MIN * self.expected_pps) {
                break;
            }
            let beam = Beam { literals: &literals, judge: self, past: &past, scales };
            let Some(best) = beam.best(&now_left, &past_left) else { break };
            now_left = now_left.and_not(&best.now);
            past_left = past_left.and_not(&best.past);
            let signature = self.signature(&best.predicates);
            found.push(MinedPackets {
                class: self.class,
                matched_pps: best.now.count() as f64 * scales.now_weight,
                mined_from: best.now.count(),
                projected: self.validate(&signature),
                signature,
            });
        }
        found
    }

    fn literals(&self, scales: &Scales) -> Vec<Literal<PacketPredicate>> {
        let mut all = Vec::new();
        let mut add = |predicate: PacketPredicate| {
            let attr = predicate.attr();
            all.push(Literal {
                predicate,
                now: Bits::select(&self.now, |r| predicate.holds(r.facts.value(attr))),
                past: Arc::new(Bits::select(&self.past, |k| k.fulfils(predicate))),
                prior: 0.0,
            });
        };
        // The base as a literal of its own, so that a kind of packet that hardly ever came can be
        // described by nothing but its kind.
        if let Some(first) = self.base.first() {
            add(*first);
        }
        let tcp_marks: &[Mark] = if self.tcp { &MARKS_TCP } else { &[] };
        let port_marks: &[Mark] = if self.ports { &MARKS_PORTS } else { &[] };
        for (attr, mask, wanted) in MARKS_IP.iter().chain(port_marks).chain(tcp_marks) {
            add(PacketPredicate::Bits(*attr, u16::from(*mask), u16::from(*wanted)));
        }
        let tcp_attrs: &[PacketAttr] = if self.tcp { &VALUED_TCP } else { &[] };
        let port_attrs: &[PacketAttr] = if self.ports { &VALUED_PORTS } else { &[] };
        for attr in tcp_attrs.iter().chain(port_attrs).chain(&VALUED) {
            for value in self.risen_values(scales, *attr) {
                add(PacketPredicate::Is(*attr, value));
            }
        }
        debug_assert!(all.len() <= LITERALS_MAX);
        all
    }

    fn risen_values(&self, scales: &Scales, attr: PacketAttr) -> Vec<u16> {
        let mut counts: HashMap<u16, (u32, u32)> = HashMap::new();
        for record in &self.now {
            counts.entry(record.facts.value(attr)).or_default().0 += 1;
        }
        for known in self.past.iter().filter(|k| !k.neutral) {
            if let Some((_, before)) = counts.get_mut(&known.facts.value(attr)) {
                *before += 1;
            }
        }
        let mut risen: Vec<(f64, u16)> = counts
            .into_iter()
            // Nothing there is told by a mark, or follows from the flags.
            .filter(|(value, _)| {
                *value != 0 || !matches!(attr, PacketAttr::Mss | PacketAttr::Payload)
            })
            .filter_map(|(value, (count, before))| {
                let excess =
                    f64::from(count) * scales.now_weight - f64::from(before) * scales.past_weight;
                (excess > RESIDUAL_SHARE_MIN * scales.residual).then_some((excess, value))
            })
            .collect();
        risen.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        risen.truncate(VALUES_PER_ATTR);
        risen.into_iter().map(|(_, value)| value).collect()
    }

    /// One predicate per attribute: marks of one attribute are joined into one mask.
    fn signature(&self, predicates: &[PacketPredicate]) -> PacketSignature {
        let mut joined: Vec<PacketPredicate> = Vec::new();
        for predicate in self.base.iter().chain(predicates) {
            let held = joined.iter_mut().find(|p| p.attr() == predicate.attr());
            match (held, *predicate) {
                (Some(PacketPredicate::Bits(_, m, w)), PacketPredicate::Bits(_, mask, wanted)) => {
                    (*m, *w) = (*m | mask, *w | wanted);
                }
                (Some(_), _) => {}
                (None, predicate) => joined.push(predicate),
            }
        }
        PacketSignature::new(joined)
    }

    /// Hits among honest packets that the rule was not chosen by: the other half of the past, and
    /// the conversations going on right now.
    fn validate(&self, signature: &PacketSignature) -> Collateral {
        let mut collateral = Collateral::default();
        for known in self.rise.past.validation(self.rise.knows_sockets) {
            collateral.records += 1;
            collateral.hits += u64::from(known.fulfil(signature.predicates()));
        }
        let now = self.rise.sample.honest.iter().map(|r| &r.facts);
        for facts in now.chain(self.rise.completed) {
            collateral.records += 1;
            collateral.hits += u64::from(signature.matches(facts));
        }
        collateral
    }
}

/// What every rule about a kind of packets says: the protocol, and that they belong to no
/// conversation of ours. Whether a SYN does needs no asking: none does.
fn base(class: PacketClass, protocol: u16) -> Vec<PacketPredicate> {
    let bits = |attr, mask: u8, wanted: u8| {
        PacketPredicate::Bits(attr, u16::from(mask), u16::from(wanted))
    };
    let mut base = vec![PacketPredicate::Is(PacketAttr::Protocol, protocol)];
    if class != PacketClass::Syn {
        base.push(bits(PacketAttr::TransportMarks, TransportMark::SOLICITED, 0));
    }
    if class == PacketClass::Fragment {
        let later = IpMark::LATER_FRAGMENT;
        base.push(bits(PacketAttr::IpMarks, later, later));
    }
    base
}

impl Judge<PacketPredicate> for Stratum<'_> {
    fn group(&self, predicate: &PacketPredicate) -> usize {
        match predicate {
            PacketPredicate::Bits(attr, mask, _) => {
                32 + *attr as usize * 16 + mask.trailing_zeros() as usize
            }
            _ => predicate.attr() as usize,
        }
    }

    /// A TCP rule names the flags; any rule names something that tells a maker of packets, unless
    /// the kind itself does, which the past decides.
    fn admits(&self, predicates: &[PacketPredicate]) -> bool {
        let flags = |p: &PacketPredicate| p.attr() == PacketAttr::TcpFlags;
        !self.tcp || predicates.iter().any(flags)
    }

    /// Nothing hit among many packets of the same kind, or of a past that hardly knows the kind; or
    /// next to nothing among all. What only says where a packet goes must hit nothing at all of its
    /// kind; how far it came adds nothing to that.
    fn bounded(&self, predicates: &[PacketPredicate], alike: Collateral, _: f64) -> bool {
        let all = Collateral { hits: alike.hits, records: self.past_all };
        let rare = all.upper_bound() <= PACKET_COLLATERAL_MAX;
        let unknown_kind = self.past_all >= PAST_PACKETS_MIN;
        let form = predicates.iter().any(|p| !says_little(p));
        if !form && predicates.iter().any(|p| p.attr() == PacketAttr::Ttl) {
            return false;
        }
        match (alike.hits, form) {
            (0, true) => alike.records >= CLEAN_PACKETS_MIN || unknown_kind,
            (0, false) => unknown_kind && alike.records == 0,
            (_, true) => rare,
            (_, false) => rare && alike.hits == alike.records,
        }
    }

    fn holds_up(&self, predicates: &[PacketPredicate]) -> bool {
        let collateral = self.validate(&self.signature(predicates));
        collateral.upper_bound() <= PACKET_COLLATERAL_MAX
            || (collateral.hits == 0 && collateral.records >= CLEAN_PACKETS_MIN)
    }

    fn telling(&self, _: &PacketPredicate) -> bool {
        false
    }

    fn tightens(&self, predicate: &PacketPredicate) -> bool {
        match predicate {
            PacketPredicate::Is(attr, _) => !NOT_TIGHTENED.contains(attr),
            PacketPredicate::Bits(_, _, wanted) => *wanted != 0,
            PacketPredicate::Between(..) => false,
        }
    }

    fn predicates_max(&self) -> usize {
        PACKET_PREDICATES_MAX - self.base.len() + 1
    }
}

/// Protocol, target and distance are no property of what made the packet.
fn says_little(predicate: &PacketPredicate) -> bool {
    matches!(
        predicate.attr(),
        PacketAttr::Protocol
            | PacketAttr::Destination
            | PacketAttr::DestinationPort
            | PacketAttr::Ttl
            | PacketAttr::TcpFlags
    )
}
