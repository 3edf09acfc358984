//! Whole stories: honest traffic, an attack from some moment on, honest traffic again.

use std::net::IpAddr;

use fastrand::Rng;

use super::attack::{
    Amplification, Flood, Gre, Icmp, LaterFragments, Misused, Reflection, Senders, SynCopied,
    Target, TcpFlood, Udp, Vector,
};
use super::clients::log_uniform;
use super::honest::{Crowd, HonestConfig, Host, WARM_UP_US};
use super::stream::{About, LabelledPacket, Stream};
use crate::chance::{happens, stream};

/// Attack packets per second at most; faster ones are cut to it.
pub const ATTACK_PPS_MAX: f64 = 500_000.0;
/// Inbound packets that the honest rate is measured over, at most.
const MEASURED_PACKETS_MAX: u64 = 20_000;
/// Nobody would call less an attack, packets per second.
const ATTACK_PPS_MIN: f64 = 1.0;

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal; )+) => {
        /// What happens.
        #[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
        pub enum Kind { $( $(#[doc = $doc])+ $name, )+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[ $( Kind::$name, )+ ];

            /// Its name in test output; also the group of its attack packets.
            pub const fn name(self) -> &'static str {
                match self { $( Kind::$name => $text, )+ }
            }
        }
    };
}

kinds! {
    /// No attack.
    Quiet = "quiet";
    /// No attack, but twenty times as many visitors within seconds.
    Crowd = "crowd";
    /// SYNs with some of the artefacts of flood tools, or none.
    SynFlood = "syn-flood";
    /// SYNs with headers copied from browsers' systems.
    SynCopied = "syn-copied";
    /// SYNs with ECE and CWR.
    SynEcn = "syn-ecn";
    /// ACKs, with or without payload.
    AckFlood = "ack-flood";
    /// RSTs or FINs.
    RstFlood = "rst-flood";
    /// Senseless flags.
    OddTcp = "odd-tcp";
    /// SYN-ACKs of reflectors.
    SynAckReflection = "syn-ack-reflection";
    /// The same, to the port they come from.
    SynAckSamePort = "syn-ack-same-port";
    /// UDP from anywhere to anywhere.
    UdpFlood = "udp-flood";
    /// Answers of a well-known service.
    AmplificationKnown = "amplification-known";
    /// Answers of a service on any port.
    AmplificationUnknown = "amplification-unknown";
    /// Answers of name servers, while the host itself looks up names.
    AmplificationDns = "amplification-dns";
    /// ICMP.
    IcmpFlood = "icmp-flood";
    /// Fragments without a beginning.
    FragmentFlood = "fragment-flood";
    /// GRE.
    GreFlood = "gre-flood";
    /// Any of these, at all 256 addresses of a network.
    Carpet = "carpet";
    /// Any of them, from one address.
    SingleSource = "single-source";
    /// Any of them, 5 to 20 s at a time.
    Pulse = "pulse";
    /// Two to four of them together.
    Mix = "mix";
}

/// Those that [`Kind::Carpet`], [`Kind::Pulse`] and [`Kind::Mix`] choose from.
const SIMPLE: [Kind; 14] = [
    Kind::SynFlood,
    Kind::SynEcn,
    Kind::AckFlood,
    Kind::RstFlood,
    Kind::OddTcp,
    Kind::SynAckReflection,
    Kind::SynAckSamePort,
    Kind::UdpFlood,
    Kind::AmplificationKnown,
    Kind::AmplificationUnknown,
    Kind::AmplificationDns,
    Kind::IcmpFlood,
    Kind::FragmentFlood,
    Kind::GreFlood,
];

/// Those that one machine can send.
const SINGLE: [Kind; 5] =
    [Kind::SynFlood, Kind::AckFlood, Kind::UdpFlood, Kind::IcmpFlood, Kind::FragmentFlood];

/// How fast the attack sends.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Rate {
    /// Times the honest inbound packets per second.
    Ratio(f64),
    /// Packets per second.
    Pps(f64),
}

/// What comes before the attack.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Lead {
    /// At least ten seconds of honest traffic.
    Honest,
    /// Nothing: the stream begins in the middle of the attack.
    None,
}

/// A story's settings.
#[derive(Clone, Debug)]
pub struct ScenarioConfig {
    /// What happens.
    pub kind: Kind,
    /// How fast.
    pub rate: Rate,
    /// What comes before.
    pub lead: Lead,
    /// How long the attack lasts, µs.
    pub attack_us: u64,
    /// Honest traffic after it, µs.
    pub tail_us: u64,
    /// Honest traffic; `None`: drawn from the seed, with 0.2 to 200 new connections per second.
    pub honest: Option<HonestConfig>,
    /// The seed.
    pub seed: u64,
}

impl ScenarioConfig {
    /// With honest traffic before, an attack of 30 s at `ratio` times its packets, and 10 s after.
    pub fn new(kind: Kind, ratio: f64, seed: u64) -> ScenarioConfig {
        ScenarioConfig {
            kind,
            rate: Rate::Ratio(ratio),
            lead: Lead::Honest,
            attack_us: 30_000_000,
            tail_us: 10_000_000,
            honest: None,
            seed,
        }
    }

    /// The stream.
    pub fn stream(&self) -> Stream {
        let rng = &mut stream(self.seed, 1);
        let mut honest = self
            .honest
            .clone()
            .unwrap_or_else(|| HonestConfig::drawn(log_uniform(rng, 0.2, 200.0), self.seed));
        if self.kind == Kind::AmplificationDns {
            honest.lookups_ps = honest.lookups_ps.max(5.0);
        }
        let onset_us = match self.lead {
            Lead::Honest => rng.u64(10_000_000..25_000_000),
            Lead::None => 0,
        };
        let until_us = onset_us + self.attack_us + self.tail_us;
        let honest_pps = measure(&honest, until_us, self.seed);
        if self.kind == Kind::Crowd {
            let rise_us = rng.u64(500_000..5_000_000);
            honest.crowd = Some(Crowd { at_us: onset_us, rise_us, factor: 20.0 });
        }
        let (host, mut sources) = honest.sources(self.seed);
        let attack_pps = match self.rate {
            Rate::Ratio(ratio) => ratio * honest_pps,
            Rate::Pps(pps) => pps,
        };
        let attack_pps = attack_pps.clamp(ATTACK_PPS_MIN, ATTACK_PPS_MAX);
        let spans_us = self.spans_us(onset_us, rng);
        let shifted = shift(&spans_us);
        let mut names = Vec::new();
        let vectors = self.vectors(rng);
        // Vectors at the same time share the rate.
        let rate_pps = attack_pps / vectors.len().max(1) as f64;
        for (number, (kind, group)) in vectors.into_iter().enumerate() {
            names.push(kind.name());
            let flood_rng = stream(self.seed, 1_000 + 100 * self.kind as u64 + number as u64);
            let floods = self.flood(kind, group, &host, rate_pps, &shifted, flood_rng);
            sources.push(Box::new(floods));
        }
        let attack_pps = if names.is_empty() { 0.0 } else { attack_pps };
        let words = format!(
            "{} ({}) at {attack_pps:.0} packets/s beside {honest_pps:.0} from {:.0} s, seed {}",
            self.kind.name(),
            names.join(" + "),
            onset_us as f64 / 1e6,
            self.seed,
        );
        let attack_spans_us = if names.is_empty() { Vec::new() } else { spans_us };
        let about = About { host, attack_spans_us, honest_pps, attack_pps, words };
        Stream::new(sources, WARM_UP_US, WARM_UP_US + until_us, about)
    }

    /// The kinds that are sent at once, and the group of their packets.
    fn vectors(&self, rng: &mut Rng) -> Vec<(Kind, &'static str)> {
        let simple = |rng: &mut Rng| SIMPLE[rng.usize(..SIMPLE.len())];
        match self.kind {
            Kind::Quiet | Kind::Crowd => Vec::new(),
            Kind::Mix => {
                let count = rng.usize(2..=4);
                let mut chosen = SIMPLE.to_vec();
                rng.shuffle(&mut chosen);
                chosen.truncate(count);
                chosen.into_iter().map(|kind| (kind, kind.name())).collect()
            }
            Kind::Carpet | Kind::Pulse => vec![(simple(rng), self.kind.name())],
            Kind::SingleSource => vec![(SINGLE[rng.usize(..SINGLE.len())], self.kind.name())],
            kind => vec![(kind, kind.name())],
        }
    }

    fn spans_us(&self, onset_us: u64, rng: &mut Rng) -> Vec<(u64, u64)> {
        let end_us = onset_us + self.attack_us;
        if self.kind != Kind::Pulse {
            return vec![(onset_us, end_us)];
        }
        let mut spans_us = Vec::new();
        let mut from_us = onset_us;
        while from_us < end_us {
            let until_us = (from_us + rng.u64(5_000_000..20_000_000)).min(end_us);
            spans_us.push((from_us, until_us));
            from_us = until_us + rng.u64(5_000_000..20_000_000);
        }
        spans_us
    }

    fn flood(
        &self,
        kind: Kind,
        group: &'static str,
        host: &Host,
        rate_pps: f64,
        spans_us: &[(u64, u64)],
        mut rng: Rng,
    ) -> Flood {
        let carpet = self.kind == Kind::Carpet;
        let v6 = !carpet && happens(&mut rng, 0.12) && spoofable(kind);
        let address: IpAddr = if v6 { host.v6 } else { host.v4 };
        let senders = if self.kind == Kind::SingleSource {
            Senders::single(v6, &mut rng)
        } else {
            Senders::drawn(v6, &mut rng)
        };
        let vector = vector(kind, senders, v6, &host.ports, &mut rng);
        let target = Target { address, carpet, ports: host.ports.clone() };
        Flood::new(vector, target, group, rate_pps, spans_us.to_vec(), rng)
    }
}

/// A stream of `kind` at `ratio` times the honest packets, after honest traffic.
pub fn scenario(kind: Kind, ratio: f64, seed: u64) -> Stream {
    ScenarioConfig::new(kind, ratio, seed).stream()
}

/// Whether it comes from machines that can write any source address.
fn spoofable(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::SynAckReflection
            | Kind::SynAckSamePort
            | Kind::AmplificationKnown
            | Kind::AmplificationUnknown
            | Kind::AmplificationDns
    )
}

fn vector(
    kind: Kind,
    senders: Senders,
    v6: bool,
    ports: &[u16],
    rng: &mut Rng,
) -> Box<dyn Vector + Send> {
    match kind {
        Kind::SynCopied => Box::new(SynCopied::drawn(senders, ports, rng)),
        Kind::SynEcn => Box::new(TcpFlood::syn_ecn(senders, ports, rng)),
        Kind::AckFlood => Box::new(TcpFlood::ack(senders, ports, rng)),
        Kind::RstFlood => Box::new(TcpFlood::rst(senders, ports, rng)),
        Kind::OddTcp => Box::new(TcpFlood::odd(senders, ports, rng)),
        Kind::SynAckReflection => Box::new(Reflection::drawn(false, rng)),
        Kind::SynAckSamePort => Box::new(Reflection::drawn(true, rng)),
        Kind::UdpFlood => Box::new(Udp::drawn(senders, ports, rng)),
        Kind::AmplificationKnown => Box::new(Amplification::drawn(Misused::Known, rng)),
        Kind::AmplificationUnknown => Box::new(Amplification::drawn(Misused::Unknown, rng)),
        Kind::AmplificationDns => Box::new(Amplification::drawn(Misused::Dns, rng)),
        Kind::IcmpFlood => Box::new(Icmp::drawn(senders, v6, rng)),
        Kind::FragmentFlood => Box::new(LaterFragments::drawn(senders, v6, rng)),
        Kind::GreFlood => Box::new(Gre::drawn(senders, rng)),
        Kind::SynFlood
        | Kind::Quiet
        | Kind::Crowd
        | Kind::Carpet
        | Kind::SingleSource
        | Kind::Pulse
        | Kind::Mix => Box::new(TcpFlood::syn(senders, ports, rng)),
    }
}

fn shift(spans_us: &[(u64, u64)]) -> Vec<(u64, u64)> {
    spans_us.iter().map(|(from, until)| (from + WARM_UP_US, until + WARM_UP_US)).collect()
}

/// Mean inbound packets per second of this honest traffic without a crowd.
fn measure(honest: &HonestConfig, until_us: u64, seed: u64) -> f64 {
    let (host, sources) = HonestConfig { crowd: None, ..honest.clone() }.sources(seed);
    let about = About {
        host,
        attack_spans_us: Vec::new(),
        honest_pps: 0.0,
        attack_pps: 0.0,
        words: String::new(),
    };
    let mut packets = 0;
    let mut last_us = until_us;
    let alone = Stream::new(sources, WARM_UP_US, WARM_UP_US + until_us, about);
    for LabelledPacket { at_us, inbound, .. } in alone {
        packets += u64::from(inbound);
        if packets >= MEASURED_PACKETS_MAX {
            last_us = at_us;
            break;
        }
    }
    packets as f64 * 1e6 / last_us.max(1) as f64
}
