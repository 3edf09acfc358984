use floodwall_model::packet::{PacketClass, SpoofingGrade};
use floodwall_model::{Collateral, Incident, Mode, Peaks, Totals};
use proptest::prelude::*;

use crate::report::report_text;
use crate::wrap::COLUMNS;

use super::fixtures::*;
use crate::report::reading::{NOW, never_says, says};

fn golden(name: &str, incident: &Incident) {
    crate::golden::check(name, &report_text(incident, NOW));
}

#[test]
fn a_spoofed_syn_flood_described_by_a_rule() {
    golden("report_packets_syn.txt", &spoofed_syn_flood());
}

#[test]
fn a_reflection_from_port_53() {
    golden("report_packets_reflection.txt", &reflection_from_port_53());
}

#[test]
fn a_flood_held_by_guards_only() {
    golden("report_packets_guards.txt", &held_by_guards());
}

#[test]
fn a_capture_judged_by_the_neutral_profile() {
    golden("report_packets_neutral.txt", &judged_by_the_neutral_profile());
}

#[test]
fn nothing_that_could_be_assessed() {
    golden("report_packets_blank.txt", &nothing_assessable());
}

#[test]
fn an_incident_of_packets_speaks_of_no_sums_of_requests() {
    for incident in all() {
        // Even if a record carried them by mistake.
        let incident = Incident {
            peaks: Peaks { per_1s: 77_777.0, ..Peaks::default() },
            totals: Totals { received: 88_888, observations_lost: 99_999, ..Totals::default() },
            expected_rps: 66_666.0,
            sources: 55_555,
            ..incident
        };
        never_says(
            &incident,
            &[
                "requests/s",
                "requests received",
                "77,777",
                "88,888",
                "99,999",
                "66,666",
                "55,555",
                "past request",
                "paths with",
                "pages named above",
                "t1499.002",
            ],
        );
    }
}

#[test]
fn no_word_that_size_or_origin_does_not_carry() {
    for incident in all() {
        never_says(
            &incident,
            &[
                "sophisticated",
                "no evidence of",
                "large-scale",
                "massive",
                "unprecedented",
                "severe",
                "critical",
                "state-sponsored",
                "worldwide",
                "confident that",
                "attackers",
            ],
        );
        says(&incident, &["No attribution is produced.", "could not assess whether data left"]);
    }
}

#[test]
fn the_first_paragraph_needs_no_knowledge_of_networks() {
    for incident in all() {
        let text = report_text(&incident, NOW);
        let start = text.find("What happened").unwrap();
        let first = &text[start..text.find("When\n").unwrap()];
        assert!(first.contains("A packet is"), "{first}");
        for term in ["SYN", "TCP", "UDP", "TTL", "port", "handshake", "spoof", "/16", "header"] {
            assert!(!first.contains(term), "`{term}` in {first}");
        }
    }
}

#[test]
fn forged_sources_are_nobodys_to_be_blamed() {
    says(
        &spoofed_syn_flood(),
        &[
            "Spoofing: strong indications that sources are forged.",
            "their owners may have sent nothing",
            "Do not ban, publish or report the source addresses",
            "share of the three most frequent TTLs: 1 (9121 networks (/16)",
            "consistent with T1499.001",
            "The attack itself: at least 2,204,116 packets.",
            "2 of 31,877 packets",
        ],
    );
}

#[test]
fn a_reflection_is_graded_as_preset_and_its_servers_are_not_accused() {
    says(
        &reflection_from_port_53(),
        &[
            "S2 on the evidence in hand",
            "T1498.002",
            "Do not accuse the owners of the source addresses",
            "the answers come from the servers' true addresses",
            "811 Mbit/s",
            "among the 13 % that went above 50,000 packets/s",
        ],
    );
}

#[test]
fn guards_alone_do_not_make_an_attack() {
    says(
        &held_by_guards(),
        &[
            "we cannot tell: the evidence does not decide",
            "Floodwall raised 2 guards by itself, the first of them 0.9 seconds after the first \
             sign. So the guards held up 1,121,211 packets.",
            "The record itself says attack.",
            "No rule was placed, so nothing describes the packets",
            "guard: asked for a proof, not passed on 800,311",
            "header that contradicts itself 4",
            "Spoofing: cannot be told. Only packets that a rule matched are examined",
            "Call it neither an attack nor a rush of visitors in public yet.",
            "Of those chosen to be looked at whole, 212 got lost",
        ],
    );
    never_says(
        &held_by_guards(),
        &["the attack itself", "t1499", "police", "two independent kinds of evidence agree"],
    );
}

#[test]
fn the_neutral_profile_is_named_wherever_it_matters() {
    says(
        &judged_by_the_neutral_profile(),
        &[
            "Nor what is normal on this server",
            "140 packets of this host's own past were known",
            "on the neutral profile and the past together",
            "the packaged neutral profile and on what was known",
            "in protect mode 2,204,118 packets would have been dropped by rule",
            "Guards that would have been raised",
            "No rule and no guard refused anybody",
            "20 minutes so far",
        ],
    );
    never_says(&judged_by_the_neutral_profile(), &["rule r8: dropped", "so the rule dropped"]);
    never_says(&spoofed_syn_flood(), &["profile"]);
}

#[test]
fn what_was_not_measured_is_not_called_zero() {
    says(
        &nothing_assessable(),
        &[
            "We could not assess this: the record holds no count of packets.",
            "highest mean over 1 second could not be assessed",
            "packets received could not be assessed",
            "sources of what rules matched could not be assessed",
            "Which kinds of packets came could not be assessed.",
            "no packet of this host's own past was known",
            "no rule was placed and no guard was raised",
        ],
    );
}

#[test]
fn collateral_larger_than_the_conversations_seen_is_no_share() {
    let mut incident = spoofed_syn_flood();
    incident.rules[0].measured = Collateral { hits: 40, records: 1 };
    says(
        &incident,
        &[
            "Measured: 40 packets of visitors, where 1 of conversations was seen during the incident.",
        ],
    );
}

#[test]
fn a_pattern_beside_guards_does_not_describe_everything() {
    let mut incident = spoofed_syn_flood();
    packets(&mut incident).guards.push(TCP_GUARD.into());
    packets(&mut incident).refused.push(("out_of_state".into(), 9));
    says(
        &incident,
        &[
            "wrote 1 rule and raised 1 guard by itself, the first of them 1.4 seconds",
            "So the rule dropped 2,204,118 packets and the guard held up 9 packets.",
            "What guards held up besides, no pattern describes.",
        ],
    );
}

#[test]
fn guards_that_nobody_counted_did_not_hold_up_nothing() {
    let mut incident = held_by_guards();
    packets(&mut incident).refused.clear();
    says(
        &incident,
        &[
            "How many packets guards held up is not on record.",
            "held up by a guard not in this record",
            "sent on could not be assessed",
        ],
    );
    never_says(&incident, &["held up 0 packets"]);
}

#[test]
fn every_grade_of_spoofing_says_what_follows_from_it() {
    let check = |grade: SpoofingGrade, sentence: &str| {
        let mut incident = spoofed_syn_flood();
        packets(&mut incident).spoofing = grade;
        says(&incident, &[sentence]);
    };
    check(SpoofingGrade::Established, "some are made up for certain");
    check(SpoofingGrade::Strong, "there are strong indications that they are made up");
    check(SpoofingGrade::Indicative, "too few to call them forged");
    check(SpoofingGrade::NoIndication, "does not prove that the sources are real");
    check(SpoofingGrade::NotSpoofed, "They are addresses of something real");
    check(SpoofingGrade::NotAssessable, "Too few packets were examined");
}

#[test]
fn the_kind_of_flood_gets_its_technique_from_what_came_most() {
    let check = |class: PacketClass, technique: &str| {
        let mut incident = spoofed_syn_flood();
        packets(&mut incident).classes = kinds(&[(class, 900), (PacketClass::NotIp, 100)]);
        says(&incident, &[technique]);
    };
    check(PacketClass::Syn, "consistent with T1499.001");
    check(PacketClass::Ack, "consistent with T1499.001");
    check(PacketClass::Udp, "consistent with T1498.001");
    check(PacketClass::Icmp, "consistent with T1498.001");
    check(PacketClass::Data, "the record does not decide which");
    let mut halves = spoofed_syn_flood();
    packets(&mut halves).classes =
        kinds(&[(PacketClass::Udp, 400), (PacketClass::Fragment, 400), (PacketClass::Data, 300)]);
    says(&halves, &["consistent with T1498.001"]);
}

#[test]
fn counts_that_contradict_each_other_give_no_remainder() {
    let mut incident = spoofed_syn_flood();
    packets(&mut incident).received = 5;
    says(&incident, &["sent on could not be assessed"]);
}

#[test]
fn a_name_from_another_version_is_printed_as_it_stands_and_made_harmless() {
    let mut incident = spoofed_syn_flood();
    packets(&mut incident).classes.push(("later\u{1b}[2Jkind".into(), 9_000_000));
    packets(&mut incident).refused.push(("later_reason".into(), 3));
    says(&incident, &["later\\u{1b}[2Jkind", "later_reason"]);
    assert!(report_text(&incident, NOW).chars().all(|c| c == '\n' || !c.is_control()));
}

proptest! {
    #[test]
    fn no_record_makes_a_line_too_long_or_a_panic(
        words in "\\PC{0,200}",
        n in proptest::collection::vec(any::<u64>(), 12),
        f in proptest::collection::vec(any::<f64>(), 5),
        grade in 0..6_usize,
        shadow in any::<bool>(),
        which in 0..5_usize,
    ) {
        let mut incident = all()[which].clone();
        incident.mode = if shadow { Mode::Shadow } else { Mode::Protect };
        incident.onset_at_ms = n[0];
        incident.mitigated_at_ms = Some(n[1]);
        incident.baseline_records = n[2];
        if let Some(rule) = incident.rules.first_mut() {
            rule.measured = Collateral { hits: n[3], records: n[4] };
            rule.words.clone_from(&words);
        }
        incident.rules_left_out = n[5];
        let packets = packets(&mut incident);
        packets.received = n[6];
        packets.dropped = n[7];
        packets.would_drop = n[8];
        packets.refused = vec![("cookie_sent".into(), n[9]), (words.clone(), n[10])];
        packets.classes = vec![("SYN".into(), n[11]), (words.clone(), n[10])];
        packets.sources = n[9];
        packets.samples_lost = n[10];
        packets.peak_1s_pps = f[0];
        packets.peak_10s_pps = f[1];
        packets.peak_1s_bps = f[2];
        packets.expected_pps = f[3];
        packets.tests = vec![test(&words, f[4], shadow, &words)];
        packets.guards.push(words);
        packets.spoofing = [
            SpoofingGrade::Established,
            SpoofingGrade::Strong,
            SpoofingGrade::Indicative,
            SpoofingGrade::NoIndication,
            SpoofingGrade::NotSpoofed,
            SpoofingGrade::NotAssessable,
        ][grade];
        let text = report_text(&incident, n[0]);
        for line in text.lines() {
            prop_assert!(line.chars().count() <= COLUMNS, "{}", line);
        }
    }
}
