use floodwall_model::IncidentVerdict;
use floodwall_model::packet::{Guards, PacketReason};

use super::*;
use crate::summary::IncidentKind;

const HOUR_MS: u64 = 3_600_000;

fn quiet() -> Status {
    Status {
        version: "0.1.0".into(),
        mode: Mode::Shadow,
        started_at_ms: 1_795_442_703_000,
        at_ms: 1_795_442_703_000 + 2 * HOUR_MS,
        sites: vec![SiteStatus {
            name: "campaign.example".into(),
            origin: "http://127.0.0.1:8080".into(),
        }],
        listeners: vec![
            ListenerStatus { address: "0.0.0.0:80".into(), tls: false },
            ListenerStatus { address: "0.0.0.0:443".into(), tls: true },
        ],
        kernel: KernelStatus {
            tier: KernelTier::SocketFilter,
            interface: None,
            interfaces: vec![],
            not_done: vec![],
            why_not_better: Some("no interface is named in the configuration".into()),
            dropped_packets: None,
        },
        rates: Rates { per_1s: 4.0, per_10s: 3.52, expected: 3.5 },
        baseline: BaselineStatus {
            state: BaselineState::Ready,
            records: 12_672,
            records_min: 200,
            span_s: 3_600,
            drift: None,
        },
        alarm: None,
        rules: vec![],
        bans: 0,
        open_incident: None,
        reasons: vec![ReasonCount { reason: Reason::Malformed, count: 0 }],
        events: vec![],
        counts: Counts::default(),
        packets: None,
        health: Health::default(),
    }
}

pub(crate) fn under_attack() -> Status {
    let quiet = quiet();
    Status {
        mode: Mode::Protect,
        kernel: KernelStatus {
            tier: KernelTier::XdpGeneric,
            interface: Some("eth0".into()),
            interfaces: vec![],
            not_done: vec![],
            why_not_better: Some("the driver of eth0 has no native XDP".into()),
            dropped_packets: Some(48_211),
        },
        baseline: BaselineStatus { state: BaselineState::Frozen, ..quiet.baseline },
        rules: vec![RuleStatus {
            id: RuleId(7),
            action: Action::Block,
            words: "path /search/{x}, user agent \"Go\u{1b}[2J\"".into(),
            matched: 61_090,
            projected: Collateral { hits: 0, records: 12_672 },
            expires_at_ms: quiet.at_ms + 42_000,
        }],
        alarm: Some(AlarmStatus {
            since_ms: quiet.at_ms - 61_000,
            nothing_placed_because: Some("the evidence is too weak or contradicted".into()),
        }),
        bans: 1,
        open_incident: Some(IncidentSummary {
            id: 3,
            kind: IncidentKind::Requests,
            mode: Mode::Protect,
            verdict: IncidentVerdict::Attack,
            onset_at_ms: quiet.at_ms - 61_000,
            opened_at_ms: quiet.at_ms - 60_000,
            closed_at_ms: None,
            peak_per_1s_rps: Some(1_021.6),
            peak_per_1s_pps: None,
            stopped: 61_090,
            would_stop: 0,
            rules: 1,
            guards: 0,
        }),
        reasons: vec![
            ReasonCount { reason: Reason::Malformed, count: 3 },
            ReasonCount { reason: Reason::RuleBlocked, count: 61_090 },
        ],
        health: Health {
            observations_lost: 1,
            lag_ms: 1_500,
            lag_60s_ms_max: 2_100,
            tables: vec![
                TableUse { name: "sources".into(), used: 900, max: 1_000, displaced: 0 },
                TableUse { name: "bans".into(), used: 1, max: 100_000, displaced: 2 },
            ],
            records_unsaved: 1,
            records_lost: 0,
            store_failures: 4,
            bans_refused: 0,
            ..Health::default()
        },
        ..quiet
    }
}

#[test]
fn a_quiet_host() {
    crate::golden::check("status_quiet.txt", &status_text(&quiet()));
}

#[test]
fn a_host_under_attack_shows_its_weaknesses() {
    crate::golden::check("status_attack.txt", &status_text(&under_attack()));
}

#[test]
fn a_declared_event_is_shown_before_it_begins_and_while_it_lasts() {
    let quiet = quiet();
    for (from_ms, words) in
        [(quiet.at_ms + 540_000, "begins in 9 minutes"), (quiet.at_ms - HOUR_MS, "ends in 2 hours")]
    {
        let until_ms = quiet.at_ms + 2 * HOUR_MS;
        let event = EventStatus {
            name: "Results night".into(),
            from_ms,
            until_ms,
            paths: vec!["/results".into(), "/live/*".into()],
            expected_factor: Some(20),
        };
        let text = status_text(&Status { events: vec![event], ..self::quiet() });
        let aloud = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["Results night", words, "/results, /live/*", "20 times"] {
            assert!(aloud.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn loss_and_what_is_given_up_are_weaknesses() {
    let health = Health {
        blindness: Some("6 % of the requests were not observed; nobody new is blocked".into()),
        lost_10s_share: 0.06,
        lag_60s_ms_max: 4_000,
        step_ms: 120,
        step_60s_ms_max: 310,
        shed: vec![
            ShedStatus {
                name: "names".into(),
                words: "texts of values".into(),
                now: true,
                times: 9,
            },
            ShedStatus { name: "searches".into(), words: "searches".into(), now: false, times: 3 },
            ShedStatus { name: "learning".into(), words: "learning".into(), now: false, times: 0 },
        ],
        ..Health::default()
    };
    let text = status_text(&Status { health, ..quiet() });
    let aloud = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "nobody new is blocked",
        "within the last minute, judgements came up to 4 seconds late",
        "given up now, to keep up: texts of values (9 times since the start)",
        "given up at times, and not now: searches (3 times since the start)",
    ] {
        assert!(aloud.contains(part), "{part}: {text}");
    }
    assert!(!aloud.contains("learning ("), "{text}");
}

#[test]
fn bans_that_do_not_stand_are_a_weakness() {
    let health = Health { bans_refused: 3, ..Health::default() };
    let text = status_text(&Status { health, ..quiet() });
    assert!(text.contains("3 bans not carried out, or not in the kernel"), "{text}");
}

/// What the tier in force does not do is told, and each of several interfaces tells its own tier.
#[test]
fn a_weaker_tier_says_what_it_does_not_do() {
    let interface = |name: &str, tier, why: Option<&str>| InterfaceStatus {
        name: name.into(),
        tier,
        why_not_better: why.map(String::from),
    };
    let kernel = KernelStatus {
        tier: KernelTier::Nftables,
        interface: Some("eth0, tun0".into()),
        interfaces: vec![
            interface("eth0", KernelTier::XdpNative, None),
            interface("tun0", KernelTier::Nftables, Some("it is a tunnel")),
        ],
        not_done: vec!["rules for packets".into(), "guards".into()],
        why_not_better: Some("it is a tunnel".into()),
        dropped_packets: Some(7),
    };
    let text = status_text(&Status { kernel, ..quiet() });
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "banned sources are dropped on each interface by itself; 7 packets dropped eth0: in the",
        "tun0: in an nftables set; not better because it is a tunnel",
        "not done where it is weakest: rules for packets; guards",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let kernel = KernelStatus { tier: KernelTier::None, ..quiet().kernel };
    let text = status_text(&Status { kernel, ..quiet() });
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("no filter: banned sources are closed by the gateway"), "{words}");
}

#[test]
fn a_host_that_still_learns_says_how_much_is_missing() {
    let quiet = quiet();
    let baseline = BaselineStatus { state: BaselineState::Learning, records: 1, ..quiet.baseline };
    let text = status_text(&Status { baseline, ..quiet });
    let words = "still learning: 1 past request over 1 hour; on fewer than 200 only what no browser \
                 sends is refused";
    assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{text}");
}

#[test]
fn a_status_survives_the_socket() {
    let status = under_attack();
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
}

pub(crate) fn flooded() -> PacketsStatus {
    let at_ms = quiet().at_ms;
    PacketsStatus {
        not_carried_out_because: None,
        expected_pps: 12.4,
        own_packets: 18_204,
        neutral_profile: false,
        alarm: Some(AlarmStatus { since_ms: at_ms - 20_000, nothing_placed_because: None }),
        rules: vec![PacketRuleStatus {
            id: RuleId(8),
            words: "packets with TCP flags SYN and TCP window 0 and no TCP options".into(),
            matched: 2_204_118,
            projected: Collateral { hits: 0, records: 18_204 },
            expires_at_ms: at_ms + 42_000,
        }],
        guards: Guards { tcp_state: true, ..Guards::default() },
        open_incident: Some(IncidentSummary {
            id: 4,
            kind: IncidentKind::Packets,
            mode: Mode::Protect,
            verdict: IncidentVerdict::Attack,
            onset_at_ms: at_ms - 21_000,
            opened_at_ms: at_ms - 20_000,
            closed_at_ms: None,
            peak_per_1s_rps: None,
            peak_per_1s_pps: Some(48_211.0),
            stopped: 2_204_500,
            would_stop: 0,
            rules: 1,
            guards: 1,
        }),
        refused: vec![
            PacketReasonCount { reason: PacketReason::PortZero, count: 2 },
            PacketReasonCount { reason: PacketReason::OutOfState, count: 382 },
        ],
        samples_lost: 7,
    }
}

#[test]
fn a_host_that_is_flooded_with_packets() {
    let text = status_text_with(&quiet_and_protecting(), Some(&flooded()));
    crate::golden::check("status_packets.txt", &text);
}

fn quiet_and_protecting() -> Status {
    Status { mode: Mode::Protect, ..quiet() }
}

#[test]
fn a_host_without_a_past_and_without_a_filter_says_both() {
    let packets = PacketsStatus {
        not_carried_out_because: Some("the kernel filter needs root".into()),
        neutral_profile: true,
        ..PacketsStatus::default()
    };
    let text = status_text_with(&quiet(), Some(&packets));
    let aloud = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "no rule and no guard in force",
        "judged by the packaged neutral profile (0 packets of its own past known)",
        "not carried out, because the kernel filter needs root",
    ] {
        assert!(aloud.contains(words), "{text}");
    }
}

#[test]
fn shadow_mode_drops_no_packet() {
    let aloud = status_text_with(&quiet(), Some(&flooded()));
    assert!(aloud.contains("would drop") && !aloud.contains(" drops "), "{aloud}");
    assert!(aloud.contains("guards that would stand"), "{aloud}");
}

#[test]
fn a_status_of_packets_survives_the_socket() {
    let status = flooded();
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<PacketsStatus>(&text).unwrap(), status);
}

#[test]
fn without_packets_watched_nothing_is_said_of_them() {
    let text = status_text_with(&quiet(), None);
    assert_eq!(text, status_text(&quiet()));
    assert!(!text.contains("\npackets"));
}
