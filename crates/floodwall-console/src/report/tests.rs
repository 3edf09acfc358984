use floodwall_model::incident::{Counted, TimelineKind};
use floodwall_model::{
    Action, Collateral, Evidence, Family, Forecast, IncidentVerdict, LiveEstimates, Mode, Peaks,
    RuleId, RuleRecord, Totals, Wave,
};
use proptest::prelude::*;

use super::reading::{NOW, ONSET, never_says, says};
use super::*;
use crate::wrap::COLUMNS;

fn evidence(family: Family, log_odds: f64, statement: &str) -> Evidence {
    Evidence { family, log_odds, statement: statement.into() }
}

fn rule(id: u32) -> RuleRecord {
    RuleRecord {
        id: RuleId(id),
        words: "path /search/{x}, client implementation never seen here".into(),
        predicates: vec!["path /search/{x}".into(), "client implementation never seen here".into()],
        action: Action::Block,
        first_at_ms: ONSET + 2_400,
        ended_at_ms: Some(ONSET + 606_000),
        ended_why: Some("nothing matched it for 60 s".into()),
        returns: 0,
        matched: 586_091,
        projected: Collateral { hits: 0, records: 12_672 },
        measured: Collateral { hits: 3, records: 1_204 },
        live: Default::default(),
        evidence: vec![
            evidence(Family::Implementation, 3.0, "the mix of client software differs (JSD 0.97)"),
            evidence(Family::Behaviour, 4.0, "0.1 % of clients fetched what belongs to the page"),
            evidence(Family::Ramp, -1.0, "the rise took 14 s"),
        ],
    }
}

/// The council attack, held.
fn attack() -> Incident {
    let mut incident = Incident {
        id: 7,
        mode: Mode::Protect,
        onset_at_ms: ONSET,
        opened_at_ms: ONSET + 300,
        mitigated_at_ms: Some(ONSET + 2_400),
        closed_at_ms: Some(ONSET + 1_180_000),
        updated_at_ms: ONSET + 1_180_000,
        verdict: IncidentVerdict::Attack,
        expected_rps: 3.52,
        baseline_records: 12_672,
        baseline_span_s: 3_600,
        peaks: Peaks { per_1s: 1_021.6, per_10s: 1_004.2, per_60s: 998.7 },
        totals: Totals {
            received: 594_870,
            passed: 6_659,
            blocked: 586_091,
            throttled: 0,
            refused: 2_120,
            would_stop: 0,
            attack_reached_origin: 2_290,
            sources_banned: 2_871,
            kernel_dropped_packets: Some(1_204_533),
            observations_lost: 0,
        },
        sources: 3_240,
        attack_sources: 3_004,
        top_networks: vec![
            Counted { name: "192.0.2.0/24".into(), share: 0.043 },
            Counted { name: "2001:db8:7::/48".into(), share: 0.0021 },
        ],
        top_paths: vec![
            Counted { name: "/search/{x}".into(), share: 0.62 },
            Counted { name: "/".into(), share: 0.21 },
            Counted { name: "/news/{x}".into(), share: 0.17 },
        ],
        rules: vec![rule(12)],
        blind_spots: vec!["TLS fingerprints are not taken.".into()],
        ..Incident::default()
    };
    incident.note(ONSET, TimelineKind::Onset, "First sign: rate 4 times the expected.".into());
    incident.note(ONSET + 2_400, TimelineKind::RulePlaced, "Rule r12 came into force.".into());
    incident.note(ONSET + 1_180_000, TimelineKind::Closed, "Closed after a quiet time.".into());
    incident
}

fn shadow() -> Incident {
    let attack = attack();
    Incident {
        mode: Mode::Shadow,
        mitigated_at_ms: None,
        totals: Totals {
            passed: attack.totals.received - 2_120,
            blocked: 0,
            would_stop: 586_091,
            attack_reached_origin: 588_381,
            sources_banned: 0,
            kernel_dropped_packets: None,
            ..attack.totals
        },
        ..attack
    }
}

fn crowd() -> Incident {
    let attack = attack();
    let mut crowd = Incident {
        id: 8,
        verdict: IncidentVerdict::Crowd,
        mitigated_at_ms: None,
        rules: vec![],
        totals: Totals { received: 90_000, passed: 90_000, ..Totals::default() },
        attack_sources: 0,
        top_networks: vec![],
        timeline: vec![],
        ..attack
    };
    crowd.evidence = vec![
        evidence(Family::Implementation, -3.0, "the client software differs by 0.04"),
        evidence(Family::Behaviour, -4.0, "91 % of 812 sources fetched what the page needs"),
    ];
    crowd
}

fn cannot_tell_open() -> Incident {
    let mut incident = Incident {
        id: 9,
        verdict: IncidentVerdict::CannotTell,
        closed_at_ms: None,
        updated_at_ms: NOW - 1_000,
        evidence: vec![],
        ..crowd()
    };
    incident.note(
        ONSET + 3_000,
        TimelineKind::NothingPlaced,
        "Nothing was placed: no signature spares past visitors.".into(),
    );
    incident
}

#[test]
fn an_attack_that_was_held() {
    crate::golden::check("report_attack.txt", &report_text(&attack(), NOW));
}

#[test]
fn an_attack_in_shadow_mode() {
    crate::golden::check("report_shadow.txt", &report_text(&shadow(), NOW));
}

#[test]
fn a_crowd() {
    crate::golden::check("report_crowd.txt", &report_text(&crowd(), NOW));
}

#[test]
fn an_open_incident_that_nobody_can_name() {
    crate::golden::check("report_cannot_tell_open.txt", &report_text(&cannot_tell_open(), NOW));
}

#[test]
fn every_claim_that_embarrassed_somebody_is_kept_out() {
    for incident in [attack(), shadow(), crowd(), cannot_tell_open(), Incident::default()] {
        never_says(
            &incident,
            &[
                "sophisticated",
                "no evidence of",
                "large-scale",
                "massive",
                "unprecedented",
                "gbit",
                "gbps",
                "state-sponsored",
                "worldwide",
                "confident that",
            ],
        );
        says(&incident, &["No attribution is produced.", "could not assess whether data left"]);
    }
}

#[test]
fn the_attack_is_counted_with_its_window_and_its_lower_bound() {
    says(
        &attack(),
        &[
            "highest mean over 1 second 1,022 requests/s",
            "As seen by this host",
            // 586,091 blocked, less the 3 like people.
            "The attack itself: at least 586,088 requests.",
            "within the 63 % of HTTP attacks that Cloudflare reported for the fourth quarter of 2024",
            "S1 on the evidence in hand",
        ],
    );
}

#[test]
fn shadow_mode_stops_nothing_and_says_so() {
    says(
        &shadow(),
        &[
            "Nothing was stopped: Floodwall was in shadow mode.",
            "It wrote 1 rule, 2.4 seconds after the first sign; in protect mode 586,091 requests \
             would have been stopped.",
            "Rule r12: would have blocked what it matches.",
            "Would have been in force from",
            "set mode = \"protect\"",
            "No rule refused anybody",
            "The attack itself: at least 586,088 requests.",
        ],
    );
    never_says(&shadow(), &["rule r12: blocked", "586,091 requests were refused"]);
}

#[test]
fn a_crowd_is_not_spoken_of_as_an_attack() {
    says(
        &crowd(),
        &[
            "Many visitors came at once.",
            "No rule was placed, as it should be when visitors come.",
            "Do not report this as an attack.",
            "Not graded: the record does not establish that this was an attack.",
        ],
    );
    never_says(&crowd(), &["the attack itself", "t1499", "cloudflare", "police"]);
}

#[test]
fn a_rule_against_a_crowd_is_called_our_mistake() {
    let attack = attack();
    let hurt = Incident { rules: attack.rules, totals: attack.totals, ..crowd() };
    says(&hurt, &["1 rule refused 586,091 requests.", "that was our mistake"]);
    let spared = Incident { mode: Mode::Shadow, ..hurt };
    says(&spared, &["Nothing: Floodwall was in shadow mode.", "would have been our mistake"]);
}

#[test]
fn cannot_tell_is_a_finding() {
    says(
        &cannot_tell_open(),
        &[
            "we cannot tell so far: the evidence does not decide",
            "The incident is still open, so everything below can change.",
            "no rule was placed. The record says: Nothing was placed: no signature spares past visitors.",
            "Call it neither an attack nor a rush of visitors in public yet.",
            "20 minutes so far",
        ],
    );
    never_says(&cannot_tell_open(), &["ended because of that"]);
}

#[test]
fn what_was_not_measured_is_not_called_zero() {
    let blank = Incident {
        verdict: IncidentVerdict::Attack,
        mode: Mode::Protect,
        rules: vec![RuleRecord {
            projected: Collateral::default(),
            measured: Collateral::default(),
            live: Default::default(),
            evidence: vec![],
            ended_why: None,
            ..rule(1)
        }],
        ..Incident::default()
    };
    says(
        &blank,
        &[
            "Projected: could not be assessed",
            "Measured: could not be assessed",
            "How many visitors our rules refused, we could not assess",
            "packets dropped by the kernel could not be assessed",
            "Its place among published attacks could not be assessed.",
            "The judgement could not rest on past traffic: none had been seen.",
            "Ended: the reason is not on record.",
            "We could not assess which pages.",
        ],
    );
}

#[test]
fn lost_observations_make_every_count_a_lower_bound() {
    let mut incident = attack();
    incident.totals.observations_lost = 1;
    says(&incident, &["1 request could not be observed, so every count here is a lower bound."]);
}

#[test]
fn several_patterns_are_not_yet_skill() {
    let mut incident = attack();
    incident.rules.push(RuleRecord { first_at_ms: ONSET + 3_400, ..rule(13) });
    says(
        &incident,
        &["S1 or S2 on the evidence in hand: 2 patterns were found.", "within a minute"],
    );
    incident.rules.push(RuleRecord { first_at_ms: ONSET + 122_400, ..rule(14) });
    says(&incident, &["The last one came 2 minutes after the first"]);
    incident.rules.clear();
    says(&incident, &["Cannot tell: no pattern of the attack is on record."]);
}

#[test]
fn what_the_attacker_sent_cannot_rewrite_the_screen() {
    let mut incident = attack();
    incident.rules[0].words = "user agent \u{1b}[2J\u{1b}[H\rAll is well\u{202e}".into();
    incident.top_paths[0].name = "/\u{1b}]0;owned\u{7}".into();
    incident.timeline[0].text = "a\nFAKE LINE".into();
    let text = report_text(&incident, NOW);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!text.contains('\u{202e}') && !text.contains("\nFAKE LINE"));
}

#[test]
fn one_is_not_many() {
    let mut incident = attack();
    incident.totals.blocked = 1;
    incident.totals.refused = 1;
    incident.totals.attack_reached_origin = 0;
    incident.totals.sources_banned = 1;
    incident.totals.kernel_dropped_packets = Some(1);
    incident.rules[0].measured.hits = 1;
    says(
        &incident,
        &[
            "So 1 request was refused.",
            "1 source was banned for a time; the kernel dropped 1 packet from",
            "Our rules matched 1 request from sources",
            "1 request was refused; how many",
        ],
    );
    never_says(&incident, &[" 1 requests", " 1 sources", " 1 packets", " 1 rules", " 1 seconds"]);
}

proptest! {
    #[test]
    fn no_record_makes_a_line_too_long_or_a_panic(
        words in "\\PC{0,300}",
        numbers in proptest::collection::vec(any::<u64>(), 12),
        rates in proptest::collection::vec(any::<f64>(), 4),
        verdict in 0..3_usize,
        open in any::<bool>(),
    ) {
        let mut incident = attack();
        incident.verdict =
            [IncidentVerdict::Attack, IncidentVerdict::Crowd, IncidentVerdict::CannotTell][verdict];
        incident.onset_at_ms = numbers[0];
        incident.closed_at_ms = (!open).then_some(numbers[1]);
        incident.mitigated_at_ms = Some(numbers[2]);
        incident.totals.blocked = numbers[3];
        incident.totals.throttled = numbers[4];
        incident.totals.attack_reached_origin = numbers[5];
        incident.baseline_span_s = numbers[6];
        incident.sources = numbers[7];
        incident.rules[0].first_at_ms = numbers[8];
        incident.rules[0].measured = Collateral { hits: numbers[9], records: numbers[10] };
        incident.rules_left_out = numbers[11];
        incident.peaks = Peaks { per_1s: rates[0], per_10s: rates[1], per_60s: rates[2] };
        incident.expected_rps = rates[3];
        incident.rules[0].words.clone_from(&words);
        incident.top_paths[0].name = words;
        let text = report_text(&incident, numbers[11]);
        for line in text.lines() {
            prop_assert!(line.chars().count() <= COLUMNS, "{}", line);
        }
    }
}

#[test]
fn an_attack_in_waves_is_one_incident_and_says_so() {
    let mut incident = attack();
    says(&incident, &["First sign"]);
    never_says(&incident, &["waves"]);
    for (began_s, met_ms) in [(0, 2_400), (300, 200), (700, 1_400)] {
        let began_at_ms = ONSET + began_s * 1_000;
        incident.add_wave(Wave {
            began_at_ms,
            met_at_ms: began_at_ms + met_ms,
            ended_at_ms: Some(began_at_ms + 60_000),
        });
    }
    incident.rules[0].returns = 2;
    says(
        &incident,
        &[
            "It came in 3 waves; waves less than an hour apart are one incident.",
            "After the first, rules met each within 1.4 seconds of its first sign.",
            "it rested when its attack did and came back with it 2 times.",
        ],
    );
}

#[test]
fn what_was_let_through_for_a_trial_is_told_with_its_outcome() {
    let mut incident = attack();
    never_says(&incident, &["trial"]);
    incident.rules[0].live = LiveEstimates {
        held_back_requests: 1_204,
        held_back: Collateral { hits: 1, records: 43 },
        visitors: Some(Forecast { expected_rps: 90.0, observed_rps: 88.5 }),
    };
    says(
        &incident,
        &[
            "Trial: 1,204 requests that it matches were let through on purpose; of 43 sources judged, \
             1 went on as visitors do.",
            "Visitors: 88.5 requests a second of sources known as such got through, 90.0 were \
             expected.",
        ],
    );
}

#[test]
fn advice_on_record_is_given() {
    let advice = vec!["Serve /results from a cache.".to_owned()];
    says(&Incident { advice, ..attack() }, &["Serve /results from a cache."]);
}
