//! Is it a flood? Two independent kinds of evidence about a packet signature's target: what made
//! the packets (identity) and what their senders do (conduct).

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use floodwall_model::packet::{
    PacketAttr, PacketClass, PacketFacts, PacketSignature, TransportMark,
};
use floodwall_model::{Evidence, Family};

use super::company::StoppedSources;
use super::flows::Flows;
use super::past::PacketPast;
use super::recent::{PacketSample, RecentPackets};
use super::record::{PacketRecord, flow_key, is_syn, source_key, target_key, wide_network_key};
use super::spoofing::is_bogon;

/// Matched packets below which nothing is said.
const PACKETS_MIN: usize = 20;
/// Different conversations that matched packets must claim to belong to: fewer are perhaps a
/// conversation whose other half we do not see.
const FLOWS_MIN: usize = 20;
/// The same for SYN-ACKs, …
const SYN_ACK_FLOWS_MIN: usize = 4;
/// … unless each conversation repeats its own so many times within seconds.
const SYN_ACK_REPEATS_MIN: f64 = 10.0;
/// A value is constant when so large a share has it…
const CONSTANT_SHARE: f64 = 0.95;
/// … and it stands out when at most this share of the past's had one value.
const VARIED_SHARE_MAX: f64 = 0.6;
/// A value is unheard of when at most this share of packets of its kind had it.
const UNHEARD_SHARE_MAX: f64 = 0.01;
/// Share from addresses that nobody can have: strays are fewer, sources drawn at random are more.
const BOGON_SHARE_MIN: f64 = 0.05;
/// TTL values that so many networks cannot share unless few machines send (§ 3.8).
const FEW_TTLS: usize = 3;
/// Networks (/16) that make it so.
const MANY_NETWORKS: usize = 150;
/// A kind of packet is new here when its share of the past was at most this…
const KIND_SHARE_MAX: f64 = 0.02;
/// … and its share now is so many times that.
const KIND_LIFT_MIN: f64 = 5.0;
/// A SYN's sender has had time to acknowledge after so long, ms.
const ANSWER_MS: u64 = 300;
/// The same where only some packets are seen and handshakes are counted in all, ms.
const SAMPLED_ANSWER_MS: u64 = 1_000;
/// Conversations old enough that are needed to speak of their answers.
const SETTLED_MIN: usize = 15;
/// Of them, so many are looked at.
const SETTLED_MAX: usize = 2_000;
/// Share of handshakes completed: at most this is a flood's, at least that is visitors'.
const COMPLETED_FLOOD_MAX: f64 = 0.05;
const COMPLETED_VISITORS_MIN: f64 = 0.5;
/// Packets per target (address and port): a scan touches each once, a flood comes again.
const REPEATS_MIN: f64 = 5.0;
/// Rate from which packets to ever new ports are a flood whatever they touch, packets/s.
const SPRAY_PPS_MIN: f64 = 1_000.0;
/// The same for SYNs, if so many sources take part: a scan is one machine's work.
const SPRAY_SYN_PPS_MIN: f64 = 100.0;
const SPRAY_SOURCES_MIN: usize = 50;
/// Share of packets from sources that rules stop already: the same senders.
const COMPANY_SHARE_MIN: f64 = 0.8;
/// Packets of few conversations, and their rate, packets/s, from which strangers are a flood.
const STRANGERS_MIN: usize = 100;
const STRANGERS_PPS_MIN: f64 = 100.0;
/// Share of packets in conversations below which the observer seems to see one direction only.
pub const BOTH_WAYS_SHARE_MIN: f64 = 0.01;

/// Everything a family may look at.
pub struct PacketScene<'a> {
    /// Time, ms.
    pub now_ms: u64,
    /// What arrives now and no rule explains.
    pub sample: &'a PacketSample,
    /// The last seconds: what arrives now is too young to have been answered.
    pub recent: &'a RecentPackets,
    /// The past.
    pub past: &'a PacketPast,
    /// What became of connections.
    pub flows: &'a Flows,
    /// Handshakes completed, per second, where only some packets are seen.
    pub handshakes_per_s: Option<f64>,
    /// Whether the mark for conversations is the word of whoever keeps the sockets.
    pub knows_sockets: bool,
    /// Who sent what rules stopped.
    pub stopped: &'a StoppedSources,
}

/// All evidence about `signature`.
pub fn gather(signature: &PacketSignature, scene: &PacketScene<'_>) -> Vec<Evidence> {
    let matched: Vec<&PacketRecord> =
        scene.sample.suspects.iter().filter(|r| signature.matches(&r.facts)).collect();
    if matched.len() < PACKETS_MIN {
        return Vec::new();
    }
    [identity(&matched, scene), kind(&matched, scene), conduct(signature, &matched, scene)]
        .into_iter()
        .flatten()
        .collect()
}

/// The most frequent value, its share, and how many there were; `None` of nothing.
pub fn top_share<T: Eq + Hash + Ord + Copy>(
    values: impl Iterator<Item = T>,
) -> Option<(T, f64, usize)> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    let mut all = 0usize;
    for value in values {
        *counts.entry(value).or_default() += 1;
        all += 1;
    }
    let (value, count) = counts.into_iter().max_by_key(|(value, count)| (*count, *value))?;
    Some((value, count as f64 / all as f64, all))
}

fn distinct(keys: impl Iterator<Item = u64>) -> usize {
    keys.collect::<HashSet<u64>>().len()
}

/// E2: marks that a generator leaves and systems do not.
fn identity(matched: &[&PacketRecord], scene: &PacketScene<'_>) -> Option<Evidence> {
    let found = artefacts(matched, scene.past);
    (!found.is_empty()).then(|| Evidence {
        family: Family::Inconsistency,
        log_odds: (1.5 * found.len() as f64).min(3.0),
        statement: found.join("; "),
    })
}

/// What shows that one program made the packets, in words.
pub fn artefacts(matched: &[&PacketRecord], past: &PacketPast) -> Vec<String> {
    let mut found = Vec::new();
    let share = |is: &dyn Fn(&PacketFacts) -> bool| {
        matched.iter().filter(|r| is(&r.facts)).count() as f64 / matched.len() as f64
    };
    let sources = distinct(matched.iter().map(|r| source_key(&r.facts)));
    let flows = distinct(matched.iter().map(|r| flow_key(&r.facts)));
    let percent = |share: f64| format!("{:.0} %", share * 100.0);

    let bare = share(&|f| is_syn(f) && f.value(PacketAttr::Options) == 0);
    if bare >= CONSTANT_SHARE {
        found.push(format!("{} begin a connection without any TCP option", percent(bare)));
    }
    let nobodys = share(&|f| is_bogon(f.source));
    if nobodys >= BOGON_SHARE_MIN {
        found.push(format!("{} come from addresses that nobody can have", percent(nobodys)));
    }
    let low_zero = TransportMark::SEQUENCE_LOW_ZERO;
    let zeros = share(&|f| f.value(PacketAttr::TransportMarks) & u16::from(low_zero) != 0);
    if zeros >= 0.5 {
        found.push(format!("{} have a sequence number divisible by 65,536", percent(zeros)));
    }
    // Systems of one make send the same SYN: constant values in one that looks like a system's say
    // only that many of that make came, unless nobody is known to send such values.
    let like_a_systems = share(&|f| is_syn(f) && f.value(PacketAttr::Options) != 0) >= 0.05;
    if flows >= FLOWS_MIN {
        for attr in [
            PacketAttr::Window,
            PacketAttr::Length,
            PacketAttr::Payload,
            PacketAttr::Id,
            PacketAttr::Sequence,
            PacketAttr::Options,
            PacketAttr::Mss,
        ] {
            found.extend(constant(attr, matched, past, like_a_systems));
        }
    }
    if sources >= FLOWS_MIN
        && let Some((port, top, _)) =
            top_share(matched.iter().map(|r| r.facts.value(PacketAttr::SourcePort)))
        && port != 0
        && top >= CONSTANT_SHARE
        && matched[0].facts.class != PacketClass::Icmp
    {
        found.push(format!("{} of {sources} sources send from port {port}", percent(top)));
    }
    let networks = distinct(matched.iter().map(|r| wide_network_key(&r.facts)));
    let few = few_ttls(matched);
    if networks >= MANY_NETWORKS && few >= CONSTANT_SHARE {
        found.push(format!(
            "{networks} networks share {FEW_TTLS} TTL values in {}: few machines send",
            percent(few)
        ));
    }
    found
}

/// Share of the most frequent [`FEW_TTLS`] values.
pub fn few_ttls(matched: &[&PacketRecord]) -> f64 {
    let mut counts = [0usize; 256];
    for record in matched {
        counts[usize::from(record.facts.value(PacketAttr::Ttl) as u8)] += 1;
    }
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts.iter().take(FEW_TTLS).sum::<usize>() as f64 / matched.len().max(1) as f64
}

/// A value that nearly all share, where packets of this kind used to differ, or where `unheard`,
/// one that packets of this kind hardly ever had.
fn constant(
    attr: PacketAttr,
    matched: &[&PacketRecord],
    past: &PacketPast,
    unheard: bool,
) -> Option<String> {
    let (value, top, _) = top_share(matched.iter().map(|r| r.facts.value(attr)))?;
    if top < CONSTANT_SHARE || (value == 0 && attr != PacketAttr::Window) {
        return None;
    }
    let class = matched[0].facts.class;
    let tcp = matched[0].facts.value(PacketAttr::Protocol) == 6;
    let only_of_syns = matches!(attr, PacketAttr::Options | PacketAttr::Mss);
    let of_tcp = attr == PacketAttr::Window || only_of_syns;
    if of_tcp && (!tcp || class == PacketClass::Rst || (only_of_syns && !unheard)) {
        return None;
    }
    let usual = if unheard {
        past.value_share(attr, value, class)
    } else {
        past.top_share(attr, |f| f.class == class)
    };
    let usual_max = if unheard { UNHEARD_SHARE_MAX } else { VARIED_SHARE_MAX };
    (usual <= usual_max).then(|| {
        let before = if unheard { "have it" } else { "have one value" };
        format!(
            "{:.0} % have the same {} ({value}); usually at most {:.0} % {before}",
            top * 100.0,
            attr.words(),
            usual * 100.0
        )
    })
}

/// E1: a kind of packet that hardly ever came.
fn kind(matched: &[&PacketRecord], scene: &PacketScene<'_>) -> Option<Evidence> {
    let (class, top, _) = top_share(matched.iter().map(|r| r.facts.class))?;
    if is_syn(&matched[0].facts) || top < CONSTANT_SHARE {
        return None;
    }
    let now_all = scene.sample.suspects.len() + scene.sample.honest.len();
    let now = matched.len() as f64 / now_all.max(1) as f64;
    let before = scene.past.share(scene.knows_sockets, |f| f.class == class && !f.solicited());
    let remarkable = before <= KIND_SHARE_MAX && now >= KIND_LIFT_MIN * before.max(0.002);
    remarkable.then(|| Evidence {
        family: Family::Implementation,
        log_odds: 1.5,
        statement: format!(
            "{} that belong to no conversation of ours make up {:.0} % of what arrives (normally \
             {:.1} %)",
            class.words(),
            now * 100.0,
            before * 100.0
        ),
    })
}

/// E3: what its senders do.
fn conduct(
    signature: &PacketSignature,
    matched: &[&PacketRecord],
    scene: &PacketScene<'_>,
) -> Option<Evidence> {
    let flows = distinct(matched.iter().map(|r| flow_key(&r.facts)));
    // A SYN-ACK alone, never followed by anything of its conversation, is already out of order.
    let syn_acks = matched.iter().all(|r| r.facts.class == PacketClass::SynAck);
    // Real systems repeat one a few times in half a minute (tcp_synack_retries, five).
    let repeated = syn_acks && matched.len() as f64 >= SYN_ACK_REPEATS_MIN * flows as f64;
    if !repeated && flows < if syn_acks { SYN_ACK_FLOWS_MIN } else { FLOWS_MIN } {
        return company(matched, scene).or_else(|| strangers(matched, flows, scene));
    }
    let syns = matched.iter().filter(|r| is_syn(&r.facts)).count();
    let targets = distinct(matched.iter().map(|r| target_key(&r.facts)));
    let comes_again = matched.len() as f64 >= REPEATS_MIN * targets as f64;
    let rate = rate_pps(matched, scene);
    let sources = distinct(matched.iter().map(|r| source_key(&r.facts)));
    if syns * 2 > matched.len() {
        // Many sources do not share out a scan's ports among themselves at such a rate.
        let sprayed = sources >= SPRAY_SOURCES_MIN && rate >= SPRAY_SYN_PPS_MIN;
        let flood = comes_again || sprayed;
        return if flood { handshakes(signature, matched, scene) } else { company(matched, scene) };
    }
    if !(syn_acks || comes_again || sources >= FLOWS_MIN || rate >= SPRAY_PPS_MIN) {
        return company(matched, scene);
    }
    let settled = settled(signature, scene);
    if settled.len() < SETTLED_MIN {
        return None;
    }
    let answered =
        settled.iter().filter(|followed| **followed).count() as f64 / settled.len() as f64;
    if answered > COMPLETED_FLOOD_MAX {
        return Some(Evidence {
            family: Family::Behaviour,
            log_odds: if answered > 2.0 * COMPLETED_FLOOD_MAX { -4.0 } else { 0.0 },
            statement: format!(
                "of {} conversations begun, {:.0} % were carried on by both sides",
                settled.len(),
                answered * 100.0
            ),
        });
    }
    let honest = scene.sample.honest.len() as f64;
    let now = honest / (honest + scene.sample.suspects.len() as f64);
    let both_ways = scene.knows_sockets
        || now >= BOTH_WAYS_SHARE_MIN
        || scene.past.own_share(PacketFacts::solicited) >= 0.5;
    Some(Evidence {
        family: Family::Behaviour,
        log_odds: if both_ways { 4.0 } else { 2.5 },
        statement: format!(
            "{} packets of {flows} conversations that this side takes no part in, from {sources} \
             sources",
            matched.len()
        ),
    })
}

/// Of what was begun long enough ago for an answer: whether it was carried on.
fn settled(signature: &PacketSignature, scene: &PacketScene<'_>) -> Vec<bool> {
    older(signature, scene, ANSWER_MS)
        .filter_map(|r| scene.flows.was_followed(&r.facts))
        .take(SETTLED_MAX)
        .collect()
}

/// Matched packets of the last seconds that are at least `age_ms` old.
fn older<'a>(
    signature: &'a PacketSignature,
    scene: &'a PacketScene<'_>,
    age_ms: u64,
) -> impl Iterator<Item = PacketRecord> + 'a {
    let until_ms = scene.now_ms.saturating_sub(age_ms);
    scene.recent.since(0).filter(move |r| r.at_ms <= until_ms && signature.matches(&r.facts))
}

/// Few conversations say nothing by themselves, but their senders may be known already.
fn company(matched: &[&PacketRecord], scene: &PacketScene<'_>) -> Option<Evidence> {
    let known = matched.iter().filter(|r| scene.stopped.contains(source_key(&r.facts))).count();
    let share = known as f64 / matched.len() as f64;
    (share >= COMPANY_SHARE_MIN).then(|| Evidence {
        family: Family::Behaviour,
        log_odds: 4.0,
        statement: format!(
            "{:.0} % come from sources of packets that rules in force stop",
            share * 100.0
        ),
    })
}

/// Few conversations, of none of which this host's sockets know, from sources that never had one
/// here: no transfer whose other half goes unseen. SYNs are judged by their handshakes.
fn strangers(matched: &[&PacketRecord], flows: usize, scene: &PacketScene<'_>) -> Option<Evidence> {
    let rate_pps = rate_pps(matched, scene);
    let worth =
        scene.knows_sockets && matched.len() >= STRANGERS_MIN && rate_pps >= STRANGERS_PPS_MIN;
    let strange = |r: &&PacketRecord| !is_syn(&r.facts) && !scene.flows.is_good_source(&r.facts);
    (worth && matched.iter().all(strange)).then(|| Evidence {
        family: Family::Behaviour,
        log_odds: 4.0,
        statement: format!(
            "{rate_pps:.0} packets/s of {flows} conversations that no socket here knows, from sources \
             that never completed one"
        ),
    })
}

/// Rate of what matched, packets/s.
fn rate_pps(matched: &[&PacketRecord], scene: &PacketScene<'_>) -> f64 {
    let packets: f64 = matched.iter().map(|r| r.weight).sum();
    packets * 1000.0 / scene.sample.span_ms.max(1) as f64
}

/// Of connections begun long enough ago: how many were carried on?
fn handshakes(
    signature: &PacketSignature,
    matched: &[&PacketRecord],
    scene: &PacketScene<'_>,
) -> Option<Evidence> {
    let sampled = matched.iter().any(|r| r.sampled);
    let (completed, begun) = match scene.handshakes_per_s {
        Some(completed_per_s) if sampled => {
            // A crowd's first connections are not completed yet either, and the rate of those that
            // are is a mean over the last second.
            if older(signature, scene, SAMPLED_ANSWER_MS).take(SETTLED_MIN).count() < SETTLED_MIN {
                return None;
            }
            let begun = rate_pps(matched, scene);
            ((completed_per_s / begun).min(1.0), begun)
        }
        _ => {
            let settled = settled(signature, scene);
            if settled.len() < SETTLED_MIN {
                return None;
            }
            let followed = settled.iter().filter(|f| **f).count() as f64;
            (followed / settled.len() as f64, settled.len() as f64)
        }
    };
    let log_odds = if completed <= COMPLETED_FLOOD_MAX {
        4.0
    } else if completed >= COMPLETED_VISITORS_MIN {
        -4.0
    } else if completed <= 4.0 * COMPLETED_FLOOD_MAX {
        1.5
    } else {
        0.0
    };
    Some(Evidence {
        family: Family::Behaviour,
        log_odds,
        statement: format!(
            "of {begun:.0} connections begun, {:.1} % were carried on by who began them",
            completed * 100.0
        ),
    })
}
