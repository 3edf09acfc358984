//! Sources that a rule lets through for a trial: who they are, how many, and what comes of it.

mod support;

use std::collections::BinaryHeap;
use std::sync::Arc;

use floodwall_engine::{Effect, Engine, EngineConfig};
use floodwall_model::{
    Action, AttrWriter, CheckedPlan, Handling, HoldbackBudget, Mode, Observation, Outcome,
    RequestKind, Stage, ValueKey,
};
use floodwall_sim::trial::T0_MS;
use floodwall_sim::{
    Council, CouncilConfig, Label, OpenLoop, Planned, SessionArrivals, VisitorsConfig, observe,
};
use support::{Score, Stage0, View, run, with_seeds};

fn attacked(seed: u64) -> Score {
    let stage = Stage0::new(seed);
    let attack = CouncilConfig { start_ms: 60_000, end_ms: 190_000, ..Default::default() };
    let streams = vec![stage.visitors(VisitorsConfig::honest(50.0)), stage.council(attack)];
    run(streams, 190_000, View::Gateway, seed)
}

/// The bots that are let through do not behave, so that the rule stays; what they cost the site is
/// next to nothing.
#[test]
fn a_right_rule_stays_and_its_trial_costs_three_requests_in_a_thousand() {
    with_seeds(|seed| {
        let score = attacked(seed);
        let incident = score.incidents.values().next().expect("an incident");
        let rules = &incident.rules;
        let held_back: u64 = rules.iter().map(|r| r.live.held_back_requests).sum();
        let judged: u64 = rules.iter().map(|r| r.live.held_back.records).sum();
        let behaved: u64 = rules.iter().map(|r| r.live.held_back.hits).sum();
        println!("{held_back} let through, {judged} sources judged, {behaved} behaved");
        assert!(held_back > 0 && held_back <= 5 * 190, "{held_back}");
        assert!(judged >= 5, "{judged}");
        assert!(behaved <= 1, "{behaved} of {judged}");
        assert!(rules.iter().any(|r| r.ended_at_ms.is_none()), "{:#?}", incident.timeline);
        assert!(score.leakage() <= 0.01, "leakage {}", score.leakage());
        assert!(score.refused_share(Label::Honest) <= 0.002);
    });
}

/// People whose software is the attack's own come when the bots have gone, and the rule refuses them:
/// the worst mistake there is. Whoever is refused tries once more and leaves; whoever gets his page
/// fetches what it needs. Nothing but the trial can tell.
#[test]
fn a_rule_that_meets_people_instead_is_taken_back_by_its_trial() {
    with_seeds(|seed| {
        let stage = Stage0::new(seed);
        let kit = |start_ms, end_ms, sources, period_ms| {
            let config =
                CouncilConfig { start_ms, end_ms, sources, period_ms, ..Default::default() };
            Council::new(&config, &stage.site, &stage.plan.attack, &stage.mix, stage.seed)
        };
        let mut due: BinaryHeap<Due> = kit(60_000, 80_000, 3_000, 3_000).map(Due::bot).collect();
        // Each of them comes once.
        due.extend(kit(90_000, 300_000, 30_000, 600_000).map(Due::person));
        let arrivals = SessionArrivals::new(
            VisitorsConfig::honest(50.0),
            Arc::clone(&stage.site),
            &stage.plan.honest,
            seed,
        );
        let mut honest = OpenLoop::new(arrivals, 40.0, seed).peekable();
        let key = ValueKey::new(seed, 1);
        let config = EngineConfig { mode: Mode::Protect, ..EngineConfig::default() };
        let mut engine = Engine::new(config, key, seed);
        let mut writer = AttrWriter::new(key);
        let (mut plan, mut trial) = (Arc::new(CheckedPlan::default()), HoldbackBudget::full(T0_MS));
        let mut last = None;
        for now_ms in (100..300_000).step_by(100) {
            let mut batch = Vec::new();
            while let Some(planned) = honest.next_if(|p| p.at_ms < now_ms) {
                batch.push(see(&planned, &mut writer));
            }
            while due.peek().is_some_and(|d| d.planned.at_ms < now_ms) {
                let Some(one) = due.pop() else { break };
                let mut observation = see(&one.planned, &mut writer);
                observation.handling = enforce(&plan, &observation, &mut trial);
                let passed = observation.handling.passed();
                observation.outcome = passed.then_some(observation.outcome).flatten();
                due.extend(one.then(passed));
                batch.push(observation);
            }
            engine.learn_names(&writer.take_names());
            for effect in engine.step(T0_MS + now_ms, &batch) {
                match effect {
                    Effect::Publish(new) => plan = new,
                    Effect::Incident(incident) => last = Some(incident),
                    Effect::Ban(_) => {}
                }
            }
        }
        let incident = last.expect("an incident");
        println!("{:#?}", incident.timeline);
        let harmed = incident.rules.iter().find(|rule| {
            rule.ended_why.as_deref().is_some_and(|why| why.contains("let through for a trial"))
        });
        let harmed = harmed.unwrap_or_else(|| panic!("{:#?}", incident.rules));
        let after_ms = harmed.ended_at_ms.unwrap() - T0_MS - 90_000;
        println!("taken back {after_ms} ms after people came");
        assert!(after_ms <= 180_000);
        let blocks = plan.rules().iter().filter(|r| r.action == Action::Block).count();
        assert_eq!(blocks, 0, "what was taken back stays away: {:#?}", incident.timeline);
    });
}

fn see(planned: &Planned, writer: &mut AttrWriter) -> Observation {
    let mut observation = observe(&planned.request, planned.source, T0_MS + planned.at_ms, writer);
    observation.stage = Stage::Whole;
    observation.kind = planned.kind;
    observation.outcome = Some(Outcome { status: 200, bytes: 5_000, origin_ms: Some(20) });
    observation
}

fn enforce(plan: &CheckedPlan, observation: &Observation, trial: &mut HoldbackBudget) -> Handling {
    match plan.decide(&observation.attrs, observation.at_ms) {
        Some(rule) if rule.action == Action::Block => {
            let chosen = plan.holds_back(observation.source, observation.at_ms);
            if chosen && trial.take(observation.at_ms) {
                Handling::HeldBack(rule.id)
            } else {
                Handling::Blocked(rule.id)
            }
        }
        _ => Handling::Passed,
    }
}

/// A request to come, and what its sender does afterwards.
struct Due {
    planned: Planned,
    person: bool,
    retry: bool,
}

impl Due {
    fn bot(planned: Planned) -> Self {
        Due { planned, person: false, retry: false }
    }

    fn person(mut planned: Planned) -> Self {
        // Other people's addresses than the bots'.
        if let std::net::IpAddr::V4(v4) = planned.source {
            planned.source = std::net::Ipv4Addr::from(u32::from(v4) ^ 0x0100_0000).into();
        }
        Due { planned, person: true, retry: false }
    }

    /// What follows when the request was let through, or was not.
    fn then(self, passed: bool) -> Vec<Due> {
        if !self.person || self.planned.kind != RequestKind::Page {
            return Vec::new();
        }
        let later = |ms: u64, kind, retry| {
            let mut planned = self.planned.clone();
            planned.at_ms += ms;
            planned.kind = kind;
            Due { planned, person: true, retry }
        };
        match (passed, self.retry) {
            (true, _) => vec![later(300, RequestKind::Asset, false)],
            (false, false) => vec![later(2_000, RequestKind::Page, true)],
            (false, true) => Vec::new(),
        }
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.planned.at_ms.cmp(&self.planned.at_ms)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.planned.at_ms == other.planned.at_ms
    }
}

impl Eq for Due {}
