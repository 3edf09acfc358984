//! Incidents of packets, as the engine writes them, for the tests of the report.

use crate::report::reading::{NOW, ONSET};
use floodwall_model::incident::TimelineKind;
use floodwall_model::packet::{Hypothesis, PacketAccount, PacketClass, SourceTest, SpoofingGrade};
use floodwall_model::{
    Action, Collateral, Evidence, Family, Incident, IncidentVerdict, Mode, RuleId, RuleRecord,
};

pub(super) const TCP_GUARD: &str = "TCP packets of no connection were dropped";
pub(super) const SYN_GUARD: &str = "new connections had to prove themselves by a SYN cookie";
pub(super) const UPSTREAM: &str = "Packets that never reached this host (a full line upstream, a filter in \
    front) are not counted.";
pub(super) const NEUTRAL: &str = "Too little of this host's own past was known: what is normal was taken from \
    a packaged neutral profile.";

pub(super) fn evidence(family: Family, log_odds: f64, statement: &str) -> Evidence {
    Evidence { family, log_odds, statement: statement.into() }
}

pub(super) fn test(name: &str, value: f64, speaks_for_spoofing: bool, says: &str) -> SourceTest {
    SourceTest { name: name.into(), value, speaks_for_spoofing, says: says.into() }
}

pub(super) fn kinds(counts: &[(PacketClass, u64)]) -> Vec<(String, u64)> {
    counts.iter().map(|(class, n)| (class.words().to_owned(), *n)).collect()
}

pub(super) fn packets(incident: &mut Incident) -> &mut PacketAccount {
    incident.packets.get_or_insert_default()
}

/// A SYN flood from made-up sources, described by one rule.
pub(super) fn spoofed_syn_flood() -> Incident {
    let mut incident = Incident {
        id: 4,
        mode: Mode::Protect,
        onset_at_ms: ONSET,
        opened_at_ms: ONSET + 1_400,
        mitigated_at_ms: Some(ONSET + 1_400),
        closed_at_ms: Some(ONSET + 730_000),
        updated_at_ms: ONSET + 730_000,
        verdict: IncidentVerdict::Attack,
        baseline_records: 18_204,
        rules: vec![RuleRecord {
            id: RuleId(8),
            words: "packets with TCP flags SYN and TCP window 0 and no TCP options".into(),
            predicates: vec!["TCP flags SYN".into(), "TCP window 0".into()],
            action: Action::Block,
            first_at_ms: ONSET + 1_400,
            ended_at_ms: Some(ONSET + 130_000),
            ended_why: Some("nothing matched any more".into()),
            returns: 0,
            matched: 2_204_118,
            projected: Collateral { hits: 0, records: 18_204 },
            measured: Collateral { hits: 2, records: 31_877 },
            live: Default::default(),
            evidence: vec![
                evidence(
                    Family::Inconsistency,
                    3.0,
                    "100 % begin a connection without any TCP option; 100 % have a sequence number \
                     divisible by 65,536",
                ),
                evidence(
                    Family::Behaviour,
                    4.0,
                    "of 4212 connections begun, 0.0 % were carried on by who began them",
                ),
            ],
        }],
        packets: Some(PacketAccount {
            expected_pps: 12.4,
            peak_1s_pps: 48_211.0,
            peak_10s_pps: 46_902.3,
            peak_1s_bps: 23_141_280.0,
            received: 2_297_406,
            dropped: 2_204_118,
            refused: vec![("port_zero".into(), 31)],
            classes: kinds(&[
                (PacketClass::Syn, 2_205_902),
                (PacketClass::Ack, 40_118),
                (PacketClass::Data, 50_233),
                (PacketClass::Udp, 1_153),
            ]),
            sources: 1_820_500,
            spoofing: SpoofingGrade::Strong,
            tests: vec![
                test(
                    "share of the three most frequent TTLs",
                    1.0,
                    true,
                    "9121 networks (/16); 0.95 or more from 2000 or more networks means few machines",
                ),
                test(
                    "entropy of the first octet, bits",
                    7.712,
                    true,
                    "7.5 or more means sources drawn at random from the whole address space",
                ),
                test(
                    "sequence numbers divisible by 65,536, share",
                    1.0,
                    true,
                    "half or more is the mark of a generator",
                ),
                test(
                    "share of addresses that nobody can have",
                    0.0,
                    false,
                    "more than 0.01 proves forged sources; none proves nothing",
                ),
            ],
            tested_packets: 20_000,
            consistent_with: vec![Hypothesis {
                name: "few machines that forge their sources (a rented booter, or one server)"
                    .into(),
                indicators: vec![
                    "sources are forged".into(),
                    "one to three TTL values hold nearly everything".into(),
                ],
            }],
            ..PacketAccount::default()
        }),
        blind_spots: vec![UPSTREAM.into()],
        ..Incident::default()
    };
    incident.note(
        ONSET,
        TimelineKind::Onset,
        "packets that belong to no conversation left what is expected (12/s); they are 44012/s by \
         now"
        .into(),
    );
    incident.note(ONSET + 1_400, TimelineKind::Opened, "incident opened".into());
    incident.note(ONSET + 1_400, TimelineKind::RulePlaced, "rule r8 came into force".into());
    incident.note(ONSET + 730_000, TimelineKind::Closed, "incident closed".into());
    incident
}

/// Answers from port 53 that nobody asked for, and their later fragments.
pub(super) fn reflection_from_port_53() -> Incident {
    let flood = spoofed_syn_flood();
    let rule = |id: u32, words: &str, matched: u64| RuleRecord {
        id: RuleId(id),
        words: words.into(),
        returns: 0,
        matched,
        measured: Collateral { hits: 0, records: 31_877 },
        live: Default::default(),
        evidence: vec![
            evidence(
                Family::Implementation,
                1.5,
                "UDP that belong to no conversation of ours make up 91 % of what arrives (normally \
                 0.4 %)",
            ),
            evidence(Family::Inconsistency, 1.5, "100 % of 2104 sources send from port 53"),
            evidence(
                Family::Behaviour,
                4.0,
                "3911 packets of 3890 conversations that this side takes no part in, from 2104 \
                 sources",
            ),
        ],
        ..flood.rules[0].clone()
    };
    Incident {
        id: 5,
        rules: vec![
            rule(
                9,
                "packets with protocol UDP and source port 53 and no conversation of ours",
                702_144,
            ),
            rule(10, "packets with later fragment and length 1500", 1_311_020),
        ],
        packets: Some(PacketAccount {
            expected_pps: 3.1,
            peak_1s_pps: 71_310.0,
            peak_10s_pps: 69_004.0,
            peak_1s_bps: 811_000_000.0,
            received: 2_101_880,
            dropped: 2_013_164,
            classes: kinds(&[
                (PacketClass::Udp, 704_020),
                (PacketClass::Fragment, 1_311_020),
                (PacketClass::Data, 86_840),
            ]),
            sources: 2_104,
            spoofing: SpoofingGrade::NoIndication,
            tests: vec![test("entropy of the TTL, bits", 4.31, false, "61 values")],
            tested_packets: 20_000,
            consistent_with: vec![Hypothesis {
                name: "reflection off other people's servers".into(),
                indicators: vec![
                    "answers from few service ports: 53 (98 %)".into(),
                    "sources at many distances (TTL entropy 4.3 bits)".into(),
                ],
            }],
            ..PacketAccount::default()
        }),
        ..flood
    }
}

/// Nothing describes the flood; guards hold it.
pub(super) fn held_by_guards() -> Incident {
    let mut incident = Incident {
        id: 6,
        mitigated_at_ms: Some(ONSET + 900),
        rules: vec![],
        timeline: vec![],
        packets: Some(PacketAccount {
            expected_pps: 9.0,
            peak_1s_pps: 31_400.0,
            peak_10s_pps: 30_100.0,
            peak_1s_bps: 18_100_000.0,
            received: 1_204_000,
            refused: vec![
                ("header_too_short".into(), 4),
                ("cookie_sent".into(), 800_311),
                ("out_of_state".into(), 320_900),
            ],
            classes: kinds(&[
                (PacketClass::Syn, 811_200),
                (PacketClass::Ack, 352_800),
                (PacketClass::Data, 40_000),
            ]),
            guards: vec![SYN_GUARD.into(), TCP_GUARD.into()],
            samples_lost: 212,
            ..PacketAccount::default()
        }),
        ..spoofed_syn_flood()
    };
    incident.note(ONSET + 900, TimelineKind::RulePlaced, format!("guard raised: {SYN_GUARD}"));
    incident.note(ONSET + 950, TimelineKind::RulePlaced, format!("guard raised: {TCP_GUARD}"));
    incident.note(ONSET + 131_000, TimelineKind::RuleEnded, format!("guard lowered: {SYN_GUARD}"));
    incident
}

/// A recording of which nothing ordinary is known: the profile stands in, and the record ends open.
pub(super) fn judged_by_the_neutral_profile() -> Incident {
    let mut incident = spoofed_syn_flood();
    incident.id = 7;
    incident.mode = Mode::Shadow;
    incident.closed_at_ms = None;
    incident.updated_at_ms = ONSET + 60_000;
    incident.baseline_records = 140;
    incident.blind_spots.push(NEUTRAL.into());
    incident.timeline.pop();
    incident.rules[0].ended_at_ms = None;
    incident.rules[0].ended_why = None;
    incident.rules[0].projected = Collateral { hits: 0, records: 4_236 };
    incident.rules[0].measured = Collateral::default();
    let packets = packets(&mut incident);
    packets.neutral_profile = true;
    packets.would_drop = std::mem::take(&mut packets.dropped);
    packets.spoofing = SpoofingGrade::Indicative;
    packets.tests.truncate(1);
    packets.consistent_with.clear();
    packets.guards = vec![SYN_GUARD.into()];
    incident
}

/// A record in which next to nothing was measured.
pub(super) fn nothing_assessable() -> Incident {
    Incident {
        id: 8,
        onset_at_ms: ONSET,
        opened_at_ms: ONSET,
        updated_at_ms: NOW,
        packets: Some(PacketAccount::default()),
        ..Incident::default()
    }
}

pub(super) fn all() -> [Incident; 5] {
    [
        spoofed_syn_flood(),
        reflection_from_port_53(),
        held_by_guards(),
        judged_by_the_neutral_profile(),
        nothing_assessable(),
    ]
}
