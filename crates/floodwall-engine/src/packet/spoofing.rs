//! Are the sources forged, and what kind of infrastructure would look like this?
//! (design/detection.md § 3.8; thresholds from the captures measured there)
//!
//! Never says who. "No bogons" and "many sources that sent one packet" are not evidence either way
//! and are not used.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use floodwall_model::packet::{
    EPHEMERAL_PORT_MIN, Hypothesis, PacketAccount, PacketAttr, PacketClass, PacketFacts,
    SourceTest, SpoofingGrade, TransportMark,
};

use super::evidence::top_share;
use super::record::{is_syn, source_key, wide_network_key};

/// Packets below which nothing is graded.
const PACKETS_MIN: usize = 1_000;
/// Packets at which the last octet's uniformity says something.
const UNIFORMITY_PACKETS_MIN: usize = 5_000;
/// Networks (/16) that a few TTL values cannot come from unless few machines send.
const NETWORKS_MIN: usize = 2_000;
/// Marks that make the grade strong.
const STRONG_MARKS: usize = 3;

/// Writes grade, tests and hypotheses about `packets`, which rules matched, into `account`.
/// `handshakes` is the share of their sources that completed a handshake.
pub fn assess(packets: &[PacketFacts], good_sources: f64, account: &mut PacketAccount) {
    account.tested_packets = packets.len() as u64;
    account.tests.clear();
    account.consistent_with.clear();
    if packets.len() < PACKETS_MIN {
        account.spoofing = SpoofingGrade::NotAssessable;
        return;
    }
    let profile = Profile::of(packets);
    account.tests = profile.tests(packets.len());
    let marks = account.tests.iter().filter(|t| t.speaks_for_spoofing).count();
    account.spoofing = if good_sources >= 0.5 {
        SpoofingGrade::NotSpoofed
    } else if profile.bogon_share > 0.01 {
        SpoofingGrade::Established
    } else if marks >= STRONG_MARKS {
        SpoofingGrade::Strong
    } else if marks >= 1 {
        SpoofingGrade::Indicative
    } else {
        SpoofingGrade::NoIndication
    };
    account.consistent_with = profile.hypotheses(account.spoofing);
}

/// The statistics of § 3.8.
struct Profile {
    ttl_entropy: f64,
    top_ttl_share: f64,
    ttl_values: usize,
    has_v4: bool,
    networks: usize,
    sources: usize,
    first_octet_entropy: f64,
    last_octet_chi2: f64,
    bogon_share: f64,
    low_zero_share: f64,
    constant_fields: usize,
    port_entropy: f64,
    top_ports: Vec<(u16, f64)>,
    several_ttls_share: f64,
    tcp_share: f64,
    syn_share: f64,
    length_top_share: f64,
}

impl Profile {
    fn of(packets: &[PacketFacts]) -> Profile {
        let n = packets.len() as f64;
        let share =
            |is: &dyn Fn(&PacketFacts) -> bool| packets.iter().filter(|f| is(f)).count() as f64 / n;
        let ttls = counts(packets.iter().map(|f| f.value(PacketAttr::Ttl)));
        // Later fragments have no ports.
        let ported = packets.iter().filter(|f| f.class != PacketClass::Fragment);
        let ports = counts(ported.map(|f| f.value(PacketAttr::SourcePort)));
        let octets: Vec<[u8; 4]> = packets.iter().filter_map(|f| v4(f.source)).collect();
        let low_zero = u16::from(TransportMark::SEQUENCE_LOW_ZERO);
        let constant = |attr: PacketAttr| {
            top_share(packets.iter().map(|f| f.value(attr))).is_some_and(|(value, top, _)| {
                top >= 0.95 && (value != 0 || attr == PacketAttr::Options)
            })
        };
        let tcp_share = share(&|f| f.value(PacketAttr::Protocol) == 6);
        let tcp_fields = [PacketAttr::Window, PacketAttr::Options, PacketAttr::Sequence];
        Profile {
            ttl_entropy: entropy(&ttls),
            top_ttl_share: largest(&ttls, 3),
            ttl_values: ttls.len(),
            has_v4: !octets.is_empty(),
            networks: distinct(packets.iter().map(wide_network_key)),
            sources: distinct(packets.iter().map(source_key)),
            first_octet_entropy: entropy(&counts(octets.iter().map(|o| u16::from(o[0])))),
            last_octet_chi2: chi2_per_degree(octets.iter().map(|o| o[3])),
            bogon_share: share(&|f| is_bogon(f.source)),
            low_zero_share: share(&|f| f.value(PacketAttr::TransportMarks) & low_zero != 0),
            constant_fields: if tcp_share > 0.95 {
                tcp_fields.into_iter().filter(|a| constant(*a)).count()
            } else {
                0
            },
            port_entropy: entropy(&ports),
            top_ports: top(&ports, 3),
            several_ttls_share: several_ttls(packets),
            tcp_share,
            syn_share: share(&is_syn),
            length_top_share: largest(
                &counts(packets.iter().map(|f| f.value(PacketAttr::Length))),
                1,
            ),
        }
    }

    fn few_senders(&self) -> bool {
        self.top_ttl_share >= 0.95 && self.networks >= NETWORKS_MIN
    }

    fn tests(&self, packets: usize) -> Vec<SourceTest> {
        let test = |name: &str, value: f64, speaks: bool, says: String| SourceTest {
            name: name.to_owned(),
            value,
            speaks_for_spoofing: speaks,
            says,
        };
        let mut tests = vec![
            test(
                "share of the three most frequent TTLs",
                self.top_ttl_share,
                self.few_senders(),
                format!(
                    "{} networks (/16); 0.95 or more from {NETWORKS_MIN} or more networks means few \
                     machines",
                    self.networks
                ),
            ),
            test(
                "sequence numbers divisible by 65,536, share",
                self.low_zero_share,
                self.low_zero_share >= 0.5,
                "half or more is the mark of a generator".to_owned(),
            ),
            test(
                "constant TCP fields (window, options, sequence)",
                self.constant_fields as f64,
                self.constant_fields >= 2 && self.sources >= 100,
                "two or more across many sources is the mark of a generator".to_owned(),
            ),
            test(
                "share of addresses that nobody can have",
                self.bogon_share,
                self.bogon_share > 0.01,
                "more than 0.01 proves forged sources; none proves nothing".to_owned(),
            ),
            test(
                "share of sources with five packets or more and more than two TTLs",
                self.several_ttls_share,
                self.several_ttls_share >= 0.3,
                "real machines keep their distance; 0.3 or more means borrowed addresses"
                    .to_owned(),
            ),
            test(
                "entropy of the TTL, bits",
                self.ttl_entropy,
                false,
                format!("{} values", self.ttl_values),
            ),
        ];
        if self.has_v4 {
            tests.push(test(
                "entropy of the first octet, bits",
                self.first_octet_entropy,
                self.first_octet_entropy >= 7.5,
                "7.5 or more means sources drawn at random from the whole address space".to_owned(),
            ));
        }
        if packets >= UNIFORMITY_PACKETS_MIN && self.has_v4 {
            tests.push(test(
                "chi-squared of the last octet, per degree of freedom",
                self.last_octet_chi2,
                self.last_octet_chi2 <= 1.5 && self.first_octet_entropy >= 7.0,
                "1.5 or less is as even as chance".to_owned(),
            ));
        }
        tests
    }

    fn hypotheses(&self, grade: SpoofingGrade) -> Vec<Hypothesis> {
        let mut all = Vec::new();
        let mut add = |name: &str, indicators: Vec<Option<String>>| {
            let indicators: Vec<String> = indicators.into_iter().flatten().collect();
            if indicators.len() >= 2 {
                all.push(Hypothesis { name: name.to_owned(), indicators });
            }
        };
        let fixed: f64 = self.top_ports.iter().map(|(_, share)| share).sum();
        let named = self.top_ports.first().is_some_and(|(p, _)| *p != 0 && *p < EPHEMERAL_PORT_MIN);
        let reflecting = fixed >= 0.8 && named && self.syn_share < 0.5;
        add(
            "reflection off other people's servers",
            vec![
                reflecting.then(|| {
                    let ports: Vec<String> = self
                        .top_ports
                        .iter()
                        .map(|(p, s)| format!("{p} ({:.0} %)", s * 100.0))
                        .collect();
                    format!("answers from few service ports: {}", ports.join(", "))
                }),
                (reflecting && self.ttl_entropy >= 2.0).then(|| {
                    format!("sources at many distances (TTL entropy {:.1} bits)", self.ttl_entropy)
                }),
                (reflecting && self.length_top_share >= 0.5)
                    .then(|| format!("{:.0} % have one length", self.length_top_share * 100.0)),
            ],
        );
        let forged = matches!(grade, SpoofingGrade::Established | SpoofingGrade::Strong);
        add(
            "few machines that forge their sources (a rented booter, or one server)",
            vec![
                forged.then(|| "sources are forged".to_owned()),
                self.few_senders()
                    .then(|| "one to three TTL values hold nearly everything".to_owned()),
                (self.constant_fields >= 2).then(|| "header fields never change".to_owned()),
            ],
        );
        let real = !forged && !reflecting && self.sources >= 100;
        add(
            "a botnet of many real machines",
            vec![
                (real && self.ttl_entropy >= 2.0)
                    .then(|| format!("{} sources at many distances", self.sources)),
                (real && self.tcp_share > 0.95 && self.constant_fields >= 1)
                    .then(|| "all send the same header".to_owned()),
                (real && self.port_entropy >= 8.0).then(|| "each from its own ports".to_owned()),
            ],
        );
        all
    }
}

fn v4(address: IpAddr) -> Option<[u8; 4]> {
    match address {
        IpAddr::V4(v4) => Some(v4.octets()),
        IpAddr::V6(_) => None,
    }
}

/// Addresses that no host on the Internet has (RFC 6890, and of IPv6 what IANA keeps back as whole
/// blocks of a /8 and wider), private and link-local ones left out: they may be ours.
pub fn is_bogon(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let first = v4.octets()[0];
            first == 0 || first >= 240 || v4.is_loopback() || v4.is_multicast()
        }
        IpAddr::V6(v6) => match v6.segments()[0] {
            // Translated IPv4 (RFC 6052), 6to4, and the blocks that registries hand out.
            0x0064 | 0x2000..=0x2cff => false,
            // Unique local (RFC 4193) and link-local.
            0xfc00..=0xfdff | 0xfe80..=0xfebf => false,
            _ => true,
        },
    }
}

fn distinct(keys: impl Iterator<Item = u64>) -> usize {
    keys.collect::<HashSet<u64>>().len()
}

fn counts(values: impl Iterator<Item = u16>) -> HashMap<u16, usize> {
    let mut counts = HashMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

fn entropy(counts: &HashMap<u16, usize>) -> f64 {
    let all = counts.values().sum::<usize>().max(1) as f64;
    let bits: f64 = counts
        .values()
        .map(|count| {
            let p = *count as f64 / all;
            -p * p.log2()
        })
        .sum();
    bits.max(0.0)
}

fn top(counts: &HashMap<u16, usize>, wanted: usize) -> Vec<(u16, f64)> {
    let all = counts.values().sum::<usize>().max(1) as f64;
    let mut by_count: Vec<(usize, u16)> = counts.iter().map(|(v, c)| (*c, *v)).collect();
    by_count.sort_unstable_by(|a, b| b.cmp(a));
    by_count.into_iter().take(wanted).map(|(c, v)| (v, c as f64 / all)).collect()
}

fn largest(counts: &HashMap<u16, usize>, wanted: usize) -> f64 {
    top(counts, wanted).iter().map(|(_, share)| share).sum()
}

/// χ² of the values against uniformity, per degree of freedom.
fn chi2_per_degree(octets: impl Iterator<Item = u8>) -> f64 {
    let mut counts = [0f64; 256];
    let mut all = 0.0;
    for octet in octets {
        counts[usize::from(octet)] += 1.0;
        all += 1.0;
    }
    let expected: f64 = all / 256.0;
    if expected <= 0.0 {
        return 0.0;
    }
    counts.iter().map(|count| (count - expected).powi(2) / expected).sum::<f64>() / 255.0
}

/// Of sources with at least five packets, the share with more than two TTLs.
fn several_ttls(packets: &[PacketFacts]) -> f64 {
    let mut by_source: HashMap<u64, (usize, HashSet<u16>)> = HashMap::new();
    for facts in packets.iter().filter(|f| f.class != PacketClass::Fragment) {
        let entry = by_source.entry(source_key(facts)).or_default();
        entry.0 += 1;
        entry.1.insert(facts.value(PacketAttr::Ttl));
    }
    let busy: Vec<_> = by_source.values().filter(|(packets, _)| *packets >= 5).collect();
    if busy.is_empty() {
        return 0.0;
    }
    busy.iter().filter(|(_, ttls)| ttls.len() > 2).count() as f64 / busy.len() as f64
}

#[cfg(test)]
mod tests;
