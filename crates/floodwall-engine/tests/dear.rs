//! What requests cost the origin: few dear ones are noticed, an origin that grows slow is not taken
//! for them.

mod support;

use std::net::IpAddr;

use floodwall_engine::{Effect, Engine, EngineConfig, EngineStatus};
use floodwall_model::request::AttrWriter;
use floodwall_model::{
    Incident, IncidentVerdict, Mode, Observation, Outcome, RequestKind, Stage, ValueKey,
};
use floodwall_sim::{Company, Planned, VisitorsConfig, observe};
use support::{Stage0, with_seeds};

const T0_MS: u64 = 1_700_000_000_000;
const PAST_MS: u64 = 900_000;
const END_MS: u64 = 1_200_000;

/// What an origin of ours takes for a request, ms.
fn usual_ms(planned: &Planned) -> u32 {
    match planned.kind {
        RequestKind::Page if planned.request.path.as_str() == "/search" => 200,
        RequestKind::Page => 25,
        RequestKind::Asset | RequestKind::Other => 3,
    }
}

/// Visitors at 60 requests a second. From the end of the past on `answer` says what becomes of a
/// request, and `extra` so many searches a second come from the same visitors' addresses.
fn played(
    seed: u64,
    extra_rps: u64,
    answer: impl Fn(&Planned) -> (u16, u32),
) -> (EngineStatus, Vec<Incident>) {
    let stage = Stage0::new(seed);
    let mut company = Company::new(vec![stage.visitors(VisitorsConfig::honest(60.0))]);
    let key = ValueKey::new(seed, 9);
    let mut engine =
        Engine::new(EngineConfig { mode: Mode::Protect, ..EngineConfig::default() }, key, seed);
    let mut writer = AttrWriter::new(key);
    let mut searches: Vec<Planned> = Vec::new();
    let mut incidents = Vec::new();
    let mut before = None;
    for now_ms in (100..=END_MS).step_by(100) {
        let mut planned: Vec<Planned> = Vec::new();
        while let Some((_, one)) = company.take_before(now_ms) {
            let search = one.kind == RequestKind::Page && one.request.path.as_str() == "/search";
            if search && searches.len() < 500 {
                searches.push(one.clone());
            }
            planned.push(one);
            company.told(true);
        }
        let late = now_ms > PAST_MS;
        if late && before.is_none() {
            before = Some(engine.status());
        }
        for n in 0..if late {
            extra_rps * now_ms / 1_000 - extra_rps * (now_ms - 100) / 1_000
        } else {
            0
        } {
            let again = &searches[((now_ms / 100 + n) as usize * 7) % searches.len()];
            // A visit that was, from another address: whole visitors' clients, nothing to tell them by.
            let source = IpAddr::from([10, (now_ms >> 16) as u8, (now_ms >> 8) as u8, n as u8 + 1]);
            planned.push(Planned { at_ms: now_ms, source, ..again.clone() });
        }
        let batch: Vec<Observation> = planned
            .iter()
            .map(|one| {
                let at_ms = T0_MS + one.at_ms;
                let mut seen = observe(&one.request, one.source, at_ms, &mut writer);
                let (status, took_ms) = if late { answer(one) } else { (200, usual_ms(one)) };
                seen.kind = one.kind;
                seen.stage = Stage::Whole;
                seen.outcome = Some(Outcome { status, bytes: 5_000, origin_ms: Some(took_ms) });
                seen
            })
            .collect();
        engine.learn_names(&writer.take_names());
        for effect in engine.step(T0_MS + now_ms, &batch) {
            if let Effect::Incident(incident) = effect {
                incidents.push(*incident);
            }
        }
    }
    let (before, mut after) = (before.expect("a past"), engine.status());
    after.alarms -= before.alarms;
    (after, incidents)
}

/// The same requests as always, answered twenty times slower.
#[test]
fn an_origin_that_grows_slow_alarms_nobody_by_itself() {
    with_seeds(|seed| {
        let (status, incidents) = played(seed, 0, |one| (200, usual_ms(one) * 20));
        let (calm, _) = played(seed, 0, |one| (200, usual_ms(one)));
        assert!(
            status.alarms <= calm.alarms,
            "{} alarms, {} when quick",
            status.alarms,
            calm.alarms
        );
        assert!(status.rules.is_empty() && incidents.is_empty(), "{incidents:#?}");
    });
}

/// Three searches a second more among sixty requests: nobody can tell them from visitors', so none is
/// refused. The account names the page, and says what it costs and what would help.
#[test]
fn what_no_signature_describes_gets_advice_that_names_the_page() {
    with_seeds(|seed| {
        let (status, incidents) = played(seed, 3, |one| (200, usual_ms(one)));
        assert!(status.rules.is_empty(), "{:#?}", status.rules);
        let incident = incidents.last().expect("an account of it");
        assert!(incident.rules.is_empty(), "{incident:#?}");
        assert_ne!(incident.verdict, IncidentVerdict::Crowd);
        let named = |text: &&String| text.contains("/search") && text.contains("ms a request");
        let advice = incident.advice.iter().find(named).expect("advice that names the page");
        let told: Vec<u32> = advice.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(told.iter().any(|ms| (150..=250).contains(ms)), "200 ms a request: {advice}");
    });
}

/// An origin that fails at everything is a sign, and no reason to refuse anybody.
#[test]
fn an_origin_that_fails_alarms_and_nobody_is_refused_for_it() {
    with_seeds(|seed| {
        let (status, _) = played(seed, 0, |one| (503, usual_ms(one)));
        assert!(status.alarms > 0, "nothing noticed");
        assert!(status.rules.is_empty(), "{:#?}", status.rules);
    });
}
