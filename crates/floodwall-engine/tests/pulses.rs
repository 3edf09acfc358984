//! Attacks that come in waves: the rule sleeps while they pause and is back with them.

mod support;

use floodwall_model::Incident;
use floodwall_model::incident::TimelineKind;
use floodwall_sim::site::RESULTS;
use floodwall_sim::trial::T0_MS;
use floodwall_sim::{CouncilConfig, Label, VisitorsConfig};
use support::{Score, Stage0, View, run, with_seeds};

/// The scene with the attack on from and to these seconds, each time the same one.
fn pulses(on_s: &[(u64, u64)], end_s: u64, crowd: Option<VisitorsConfig>, seed: u64) -> Score {
    pulses_on(100.0, on_s, end_s, crowd, seed)
}

fn pulses_on(
    honest_rps: f64,
    on_s: &[(u64, u64)],
    end_s: u64,
    crowd: Option<VisitorsConfig>,
    seed: u64,
) -> Score {
    let stage = Stage0::new(seed);
    let mut streams = vec![stage.visitors(VisitorsConfig::honest(honest_rps))];
    streams.extend(crowd.map(|crowd| stage.visitors(crowd)));
    for (from_s, to_s) in on_s {
        let (start_ms, end_ms) = (from_s * 1_000, to_s * 1_000);
        streams.push(stage.council(CouncilConfig { start_ms, end_ms, ..Default::default() }));
    }
    run(streams, end_s * 1_000, View::Gateway, seed)
}

fn the_incident(score: &Score) -> &Incident {
    assert_eq!(score.incidents.len(), 1, "{score:#?}");
    score.incidents.values().next().unwrap()
}

/// When rules came into force, ms of the scene.
fn placed_ms(incident: &Incident) -> Vec<u64> {
    let placed = incident.timeline.iter().filter(|e| e.kind == TimelineKind::RulePlaced);
    placed.map(|e| e.at_ms - T0_MS).collect()
}

#[test]
fn a_wave_after_two_minutes_is_met_within_two_tenths_of_a_second() {
    with_seeds(|seed| {
        let score = pulses(&[(60, 75), (200, 215), (340, 350)], 360, None, seed);
        let incident = the_incident(&score);
        println!("{:#?}", incident.timeline);
        for wave_ms in [200_000, 340_000] {
            let back = placed_ms(incident).into_iter().find(|ms| *ms >= wave_ms);
            assert!(back.is_some_and(|ms| ms <= wave_ms + 200), "{back:?} for {wave_ms}");
        }
        assert!(incident.rules.iter().any(|rule| rule.returns == 2), "{:#?}", incident.rules);
        // Attack over: no rule in force a minute later.
        let ended = incident.timeline.iter().filter(|e| e.kind == TimelineKind::RuleEnded);
        let ended: Vec<u64> = ended.map(|e| e.at_ms - T0_MS).collect();
        assert!(ended.iter().any(|ms| (75_000..=135_100).contains(ms)), "{ended:?}");
        assert!(score.refused_share(Label::Honest) <= 0.001);
    });
}

#[test]
fn pulses_faster_than_a_rule_lives_keep_it_in_force() {
    with_seeds(|seed| {
        let on_s: Vec<(u64, u64)> = (0..6).map(|n| (60 + n * 15, 65 + n * 15)).collect();
        let score = pulses(&on_s, 155, None, seed);
        let incident = the_incident(&score);
        println!("{:#?}", incident.timeline);
        assert!(incident.rules.iter().all(|rule| rule.returns == 0));
        let lasting = incident.rules.iter().filter(|rule| rule.ended_at_ms.is_none()).count();
        assert!(lasting >= 1, "{:#?}", incident.rules);
        // All of the later pulses is stopped, from their first request on.
        assert!(score.leakage() <= 0.02, "leakage {}", score.leakage());
    });
}

/// Twenty minutes apart: two waves of one incident, which had closed in between. More than an hour
/// apart: two incidents.
#[test]
fn waves_less_than_an_hour_apart_are_one_incident() {
    with_seeds(|seed| {
        let waves_s = [(120, 130), (1_330, 1_340), (5_000, 5_010)];
        let score = pulses_on(20.0, &waves_s, 5_015, None, seed);
        let mut incidents: Vec<&Incident> = score.incidents.values().collect();
        incidents.sort_by_key(|incident| incident.id);
        let waves: Vec<usize> = incidents.iter().map(|i| i.waves.len()).collect();
        assert_eq!(waves, [2, 1], "{incidents:#?}");
        let met_ms: Vec<u64> = incidents[0].waves.iter().map(|w| w.met_at_ms - T0_MS).collect();
        for (met_ms, (from_s, _)) in met_ms.iter().zip(waves_s) {
            assert!((from_s * 1_000..from_s * 1_000 + 3_000).contains(met_ms), "{met_ms}");
        }
        let ended: Vec<bool> = incidents[0].waves.iter().map(|w| w.ended_at_ms.is_some()).collect();
        assert_eq!(ended, [true, true]);
        let closed = incidents[0].timeline.iter().filter(|e| e.kind == TimelineKind::Closed);
        assert_eq!(closed.count(), 2, "{:#?}", incidents[0].timeline);
    });
}

/// The sleeping rule may say no more than "whoever is new here", and these are all new.
#[test]
fn a_crowd_of_newcomers_after_the_attack_does_not_wake_its_rule() {
    with_seeds(|seed| {
        let crowd = VisitorsConfig::push_crowd(500.0, RESULTS, seed);
        let crowd = VisitorsConfig { start_ms: 160_000, ..crowd };
        let score = pulses(&[(60, 75)], 200, Some(crowd), seed);
        let (refused, all) = score.refused(Label::Crowd);
        assert!(all > 5_000 && refused * 2_000 <= all, "crowd refused {refused}/{all}");
    });
}

#[test]
fn a_crowd_after_the_attack_does_not_wake_its_rule() {
    with_seeds(|seed| {
        let crowd = VisitorsConfig { start_ms: 160_000, ..VisitorsConfig::crowd(500.0, RESULTS) };
        let score = pulses(&[(60, 75)], 200, Some(crowd), seed);
        for incident in score.incidents.values() {
            assert!(incident.rules.iter().all(|r| r.returns == 0), "{:#?}", incident.timeline);
        }
        let (refused, all) = score.refused(Label::Crowd);
        assert!(all > 5_000 && refused * 2_000 <= all, "crowd refused {refused}/{all}");
    });
}
