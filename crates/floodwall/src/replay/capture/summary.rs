//! The result of a capture replay as one JSON object. Fields that mean the same as for logs have the
//! same names. Times are the recording's, in UTC.

use std::path::PathBuf;

use floodwall_model::packet::{Guards, PacketAccount, PacketClass, PacketReason};
use serde::Serialize;

use super::super::incidents::Told;
use super::super::input;
use super::super::stamp::rfc3339;
use super::super::summary::{IncidentSummary, incident_summary};
use super::enforce::{GuardSpan, GuardTally};
use super::link;
use super::notes;
use super::read::RecordingTally;
use super::session::{Outcomes, is_sanity};
use super::tally::Refusals;

/// The whole result.
#[derive(Debug, Serialize)]
pub(crate) struct CaptureSummary {
    /// Packets read, and their bytes on the wire.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Packets that were not looked at: of link types that are not read, or cut too short by the
    /// recorder.
    pub(crate) skipped: u64,
    /// From the first to the last packet, s.
    pub(crate) span_s: f64,
    /// Packets read in one second of our time.
    pub(crate) packets_per_second: f64,
    /// What would have been seen and done.
    pub(crate) incidents: Vec<PacketIncidentSummary>,
    /// First and last packet.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// Our time, s.
    pub(crate) elapsed_s: f64,
    /// Packets in the busiest second, and when that was.
    pub(crate) peak_per_second: u64,
    pub(crate) peak_at: Option<String>,
    /// What became of reading.
    pub(crate) parsed: ParseSummary,
    /// Link types that are not read, with their packets.
    pub(crate) links_unread: Vec<CountSummary>,
    /// Packets by kind.
    pub(crate) classes: Vec<ClassSummary>,
    /// What the kernel filter would have done with them.
    pub(crate) decisions: DecisionSummary,
    /// Packets dropped at any time because no working host sends such, by reason.
    pub(crate) sanity: Vec<RefusalSummary>,
    /// Packets dropped or challenged by guards, by reason.
    pub(crate) guarded: Vec<RefusalSummary>,
    /// When guards stood.
    pub(crate) guards: Vec<GuardSummary>,
    pub(crate) guard_limits: GuardTally,
    /// Packets a little out of order, moved to the time reached.
    pub(crate) late: u64,
    /// How often the recorder's clock stepped back, after which time went on from where it was.
    pub(crate) clock_set_back: u64,
    /// Whether both directions of conversations were recorded.
    pub(crate) both_directions: bool,
    /// Above the budget of packets looked at whole: the largest N of one in N.
    pub(crate) sampled_one_of: u32,
    /// Whether the packaged neutral profile stood in for a past of this host's own.
    pub(crate) neutral_profile: bool,
    pub(crate) incidents_left_out: u64,
    pub(crate) files: Vec<RecordingSummary>,
    /// What the reader must know about this result.
    pub(crate) notes: Vec<String>,
}

/// One input.
#[derive(Debug, Serialize)]
pub(crate) struct RecordingSummary {
    pub(crate) file: String,
    pub(crate) format: &'static str,
    pub(crate) packets: u64,
    /// Why reading ended before the end.
    pub(crate) broke_off: Option<String>,
}

/// What the parser made of the packets.
#[derive(Copy, Clone, Debug, Default, Serialize)]
pub(crate) struct ParseSummary {
    /// IP headers read.
    pub(crate) read: u64,
    /// Neither IPv4 nor IPv6.
    pub(crate) not_ip: u64,
    /// Shorter than their IP header says.
    pub(crate) truncated: u64,
    /// Their IP header contradicts itself.
    pub(crate) malformed: u64,
    /// The recorder kept too little of them.
    pub(crate) cut_by_recorder: u64,
}

/// A counted name.
#[derive(Debug, Serialize)]
pub(crate) struct CountSummary {
    pub(crate) name: String,
    pub(crate) packets: u64,
}

/// Packets of one kind.
#[derive(Debug, Serialize)]
pub(crate) struct ClassSummary {
    pub(crate) class: PacketClass,
    pub(crate) words: &'static str,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// How often each decision was taken.
#[derive(Copy, Clone, Debug, Default, Serialize)]
pub(crate) struct DecisionSummary {
    pub(crate) pass: u64,
    pub(crate) drop: u64,
    /// Would have been asked for a SYN cookie.
    pub(crate) challenge: u64,
    /// Of the dropped: by rules.
    pub(crate) by_rules: u64,
}

/// Packets refused for one reason, with the first as an example.
#[derive(Debug, Serialize)]
pub(crate) struct RefusalSummary {
    pub(crate) reason: &'static str,
    pub(crate) packets: u64,
    pub(crate) first_number: u64,
    pub(crate) first_at: String,
    pub(crate) first_source: String,
    pub(crate) first_destination: String,
    /// Why such packets are dropped.
    pub(crate) why: &'static str,
}

/// A stretch of time in which guards stood.
#[derive(Debug, Serialize)]
pub(crate) struct GuardSummary {
    pub(crate) guards: Vec<&'static str>,
    pub(crate) from: String,
    /// `null` while they stood at the end.
    pub(crate) until: Option<String>,
}

/// One incident.
#[derive(Debug, Serialize)]
pub(crate) struct PacketIncidentSummary {
    #[serde(flatten)]
    pub(crate) incident: IncidentSummary,
    /// From the onset to the first rule, s.
    pub(crate) onset_to_rule_s: Option<f64>,
    /// What was measured of packets, and where they can have come from.
    pub(crate) packets: Option<PacketAccount>,
}

/// What the reading side knows at the end.
pub(crate) struct ReadSide {
    pub(crate) recordings: Vec<(PathBuf, RecordingTally)>,
    pub(crate) lost: Vec<String>,
    pub(crate) elapsed_s: f64,
}

impl CaptureSummary {
    /// Puts both sides together.
    pub(crate) fn new(read: &ReadSide, outcomes: &Outcomes) -> Self {
        let tally = &outcomes.tally;
        let first_last = outcomes.first_last_ms;
        let (sanity, guarded) = refusals(outcomes);
        let links_unread: Vec<CountSummary> = tally
            .links_unread
            .iter()
            .map(|(link_type, packets)| CountSummary {
                name: link::name(*link_type),
                packets: *packets,
            })
            .collect();
        let unread: u64 = tally.links_unread.values().sum();
        let mut summary = CaptureSummary {
            packets: tally.packets,
            bytes: tally.bytes,
            skipped: unread + tally.cut_by_recorder,
            span_s: first_last.map_or(0.0, |(first, last)| (last - first) as f64 / 1e3),
            packets_per_second: (tally.packets as f64 / read.elapsed_s.max(1e-9)).round(),
            incidents: outcomes.incidents.iter().map(incident).collect(),
            from: first_last.map(|(first, _)| rfc3339(first)),
            to: first_last.map(|(_, last)| rfc3339(last)),
            elapsed_s: read.elapsed_s,
            peak_per_second: tally.busiest.1,
            peak_at: first_last.map(|_| rfc3339(tally.busiest.0 * 1_000)),
            parsed: parsed(outcomes),
            links_unread,
            classes: classes(outcomes),
            decisions: DecisionSummary {
                pass: tally.pass,
                drop: tally.drop,
                challenge: tally.challenge,
                by_rules: tally.matched.values().sum(),
            },
            sanity,
            guarded,
            guards: outcomes.guard_spans.iter().map(guard).collect(),
            guard_limits: outcomes.guards,
            late: outcomes.late,
            clock_set_back: outcomes.set_back,
            both_directions: outcomes.both_ways,
            sampled_one_of: outcomes.sampled_one_of,
            neutral_profile: outcomes.status.neutral_profile,
            incidents_left_out: outcomes.incidents_left_out,
            files: read.recordings.iter().map(recording).collect(),
            notes: Vec::new(),
        };
        summary.notes = notes::notes(&summary, read, outcomes);
        summary
    }
}

fn recording((path, tally): &(PathBuf, RecordingTally)) -> RecordingSummary {
    RecordingSummary {
        file: input::shown(path).display().to_string(),
        format: tally.format,
        packets: tally.packets,
        broke_off: tally.broke_off.clone(),
    }
}

fn incident(told: &Told) -> PacketIncidentSummary {
    let incident = &told.incident;
    let first_rule_ms = incident.rules.iter().map(|rule| rule.first_at_ms).min();
    PacketIncidentSummary {
        incident: incident_summary(incident, told.closed_at_ms, told.closed_after_end),
        onset_to_rule_s: first_rule_ms
            .map(|at_ms| at_ms.saturating_sub(incident.onset_at_ms) as f64 / 1e3),
        packets: incident.packets.clone(),
    }
}

fn parsed(outcomes: &Outcomes) -> ParseSummary {
    let tally = &outcomes.tally;
    let count = |reason| tally.unreadable.get(&reason).copied().unwrap_or(0);
    ParseSummary {
        read: tally.read,
        not_ip: count(PacketReason::NotIp),
        truncated: count(PacketReason::Truncated),
        malformed: count(PacketReason::Malformed),
        cut_by_recorder: tally.cut_by_recorder,
    }
}

fn classes(outcomes: &Outcomes) -> Vec<ClassSummary> {
    PacketClass::ALL
        .iter()
        .zip(&outcomes.tally.classes)
        .filter(|(_, count)| count.packets > 0)
        .map(|(class, count)| ClassSummary {
            class: *class,
            words: class.words(),
            packets: count.packets,
            bytes: count.bytes,
        })
        .collect()
}

/// By sanity, and by guards.
fn refusals(outcomes: &Outcomes) -> (Vec<RefusalSummary>, Vec<RefusalSummary>) {
    let summary = |(reason, refusals): (&PacketReason, &Refusals)| {
        let Refusals { packets, first } = *refusals;
        let why = why(*reason);
        let summary = RefusalSummary {
            reason: reason.name(),
            packets,
            first_number: first.number,
            first_at: rfc3339(first.at_ms),
            first_source: first.source.to_string(),
            first_destination: first.destination.to_string(),
            why,
        };
        (is_sanity(*reason), summary)
    };
    let (sanity, guarded): (Vec<_>, Vec<_>) =
        outcomes.tally.refusals.iter().map(summary).partition(|(sane, _)| *sane);
    let bare = |list: Vec<(bool, RefusalSummary)>| list.into_iter().map(|(_, r)| r).collect();
    (bare(sanity), bare(guarded))
}

/// Why packets are refused for `reason`, for who must judge whether they should have been.
fn why(reason: PacketReason) -> &'static str {
    match reason {
        PacketReason::ImpossibleFlags => {
            "no TCP takes these flags together, whatever sent them (RFC 9293 § 3.10.7)"
        }
        PacketReason::HeaderTooShort => {
            "the transport header is shorter than its minimum or contradicts the packet's length, \
             and the host would discard it as well; or it is a fragment too short for any link"
        }
        PacketReason::Land => {
            "it claims to come from the address and port that it is sent to (the \"land\" attack)"
        }
        PacketReason::MartianSource => {
            "nobody can be reached at its source address, and the host would discard it as well \
             (RFC 1122 § 3.2.1.3, RFC 4291 § 2.7)"
        }
        PacketReason::PortZero => {
            "nobody can be reached at port 0, which is reserved (RFC 6335 § 6), and no TCP connects \
             from it"
        }
        PacketReason::OutOfState => "TCP of no connection, while a guard against such stood",
        PacketReason::UnsolicitedUdp => {
            "UDP that is no answer and for no service, while a guard against such stood"
        }
        PacketReason::IcmpRate => {
            "ICMP that the network can do without, beyond the small rate left to it while a guard \
             against such stood"
        }
        PacketReason::CookieSent => {
            "a connection to be opened, while each had to prove its sender with a SYN cookie; \
             whether it would have is not in the recording"
        }
        _ => "",
    }
}

fn guard(span: &GuardSpan) -> GuardSummary {
    GuardSummary {
        guards: guard_names(span.guards),
        from: rfc3339(span.from_ms),
        until: span.until_ms.map(rfc3339),
    }
}

fn guard_names(guards: Guards) -> Vec<&'static str> {
    let all = [
        (guards.syn_proof, "syn_proof"),
        (guards.tcp_state, "tcp_state"),
        (guards.udp_solicited, "udp_solicited"),
        (guards.icmp, "icmp"),
    ];
    all.into_iter().filter_map(|(stands, name)| stands.then_some(name)).collect()
}
