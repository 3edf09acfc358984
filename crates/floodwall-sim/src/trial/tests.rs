use std::sync::Arc;

use floodwall_model::{
    Action, Attr, AttrWriter, Attrs, Ban, CheckedPlan, Collateral, Evidence, Family, Handling,
    Incident, IncidentVerdict, KnownValues, Mode, Observation, Plan, Predicate, RequestKind, Rule,
    RuleId, Signature, Source, Stage, ValueId, ValueKey,
};

use super::*;
use crate::request::{Label, Planned, RequestSpec};
use crate::scene::Moments;
use crate::who::{Software, Who};

const KEY: ValueKey = ValueKey::new(1, 2);

fn planned(at_ms: u64, label: Label, agent: &'static str, source: &str) -> Planned {
    let request = RequestSpec {
        method: "GET",
        path: "/".into(),
        query: None,
        version: "HTTP/1.1",
        headers: vec![("Host", "a.example".into()), ("User-Agent", agent.into())],
    };
    Planned {
        at_ms,
        source: source.parse().unwrap(),
        request,
        kind: RequestKind::Page,
        label,
        page_view: at_ms,
        who: Who { software: Software::Firefox, language: *b"en", ..Who::default() },
        wave: 0,
    }
}

fn rule(id: u32, action: Action, agent: &[u8]) -> Rule {
    let evidence = |family| Evidence { family, log_odds: 4.0, statement: String::new() };
    Rule {
        id: RuleId(id),
        signature: Signature::new(vec![Predicate::Is(
            Attr::UserAgent,
            KEY.id(Attr::UserAgent, agent),
        )]),
        known: KnownValues::none(),
        action,
        words: "an agent".to_owned(),
        predicates: Vec::new(),
        projected: Collateral { hits: 0, records: 100_000 },
        evidence: vec![evidence(Family::Implementation), evidence(Family::Behaviour)],
        placed_at_ms: T0_MS,
        expires_at_ms: T0_MS + 60_000,
    }
}

fn plan(rules: Vec<Rule>) -> Arc<CheckedPlan> {
    let mode = Mode::Protect;
    let plan = Plan { revision: 1, made_at_ms: T0_MS, mode, rules, ..Plan::default() };
    let (checked, rejected) = plan.check();
    assert!(rejected.is_empty(), "{rejected:?}");
    Arc::new(checked)
}

fn seen(planned: &Planned) -> Observation {
    View::Gateway.see(planned, T0_MS + planned.at_ms, &mut AttrWriter::new(KEY))
}

#[test]
fn the_gate_blocks_throttles_and_bans_as_the_plan_says() {
    let mut gate = Gate::default();
    let tool = planned(0, Label::Attack, "tool", "198.51.100.7");
    let decide = |gate: &mut Gate, agent, source: &str| {
        let observation = seen(&planned(0, Label::Attack, agent, source));
        gate.decide(&observation, T0_MS)
    };
    assert_eq!(decide(&mut gate, "tool", "198.51.100.7"), Fate::Passed);
    gate.apply(plan(vec![
        rule(1, Action::Block, b"tool"),
        rule(2, Action::Throttle { per_source_per_10s: 20 }, b"busy"),
    ]));
    assert_eq!(decide(&mut gate, "tool", "198.51.100.7"), Fate::Blocked(RuleId(1)));
    assert_eq!(decide(&mut gate, "other", "198.51.100.7"), Fate::Passed);
    let busy: Vec<bool> =
        (0..21).map(|_| decide(&mut gate, "busy", "198.51.100.8").passed()).collect();
    assert_eq!(busy.iter().filter(|passed| **passed).count(), 20);
    assert!(decide(&mut gate, "busy", "198.51.100.9").passed(), "each source has its own bucket");

    let ban = |handshake| Ban {
        source: Source::new(tool.source),
        from_ms: T0_MS,
        until_ms: T0_MS + 60_000,
        handshake,
        blocked: 20,
    };
    gate.ban(ban(false));
    assert!(!gate.bans(tool.source, T0_MS), "a ban that fails its checks is none");
    gate.ban(ban(true));
    assert!(gate.bans(tool.source, T0_MS + 59_999) && !gate.bans(tool.source, T0_MS + 60_000));
    assert_eq!(gate.kernel_dropped(), 1);
}

#[test]
fn a_full_table_of_buckets_throttles_nobody_new_and_counts() {
    let mut gate = Gate::default();
    gate.apply(plan(vec![rule(1, Action::Throttle { per_source_per_10s: 20 }, b"busy")]));
    let mut observation = seen(&planned(0, Label::Attack, "busy", "10.0.0.0"));
    for n in 0..super::gate::BUCKETS_MAX as u32 + 30 {
        observation.source = Source::new(std::net::Ipv4Addr::from(0x0a00_0000 + n).into());
        assert!(gate.decide(&observation, T0_MS).passed());
    }
    assert_eq!(gate.left_out(), 30);
    assert!((0..100).all(|_| gate.decide(&observation, T0_MS).passed()), "it fails open");
    observation.source = Source::new(std::net::Ipv4Addr::from(0x0a00_0000).into());
    assert!(!(0..30).all(|_| gate.decide(&observation, T0_MS).passed()));
}

#[test]
fn a_log_shows_less() {
    let planned = planned(0, Label::Honest, "x", "198.51.100.7");
    let mut writer = AttrWriter::new(KEY);
    let logged: Attrs = View::AccessLog.see(&planned, T0_MS, &mut writer).attrs;
    let whole: Attrs = View::Gateway.see(&planned, T0_MS, &mut writer).attrs;
    for attr in [Attr::HeaderOrder, Attr::Language, Attr::CookieState, Attr::Host] {
        assert!(whole[attr].is_known() && logged[attr] == ValueId::UNKNOWN, "{attr:?}");
    }
    assert_eq!(whole[Attr::UserAgent], logged[Attr::UserAgent]);
    assert_eq!(seen(&planned).stage, Stage::Whole);
    assert_eq!(seen(&planned).handling, Handling::Passed);
}

/// A score of a past of 10 s and an attack from then to 60 s; a rule at 12 s; `each` decides.
fn scored(each: impl Fn(&Planned) -> Fate) -> Score {
    let moments = Moments {
        past_ends_ms: 10_000,
        attack_ms: Some(10_000),
        attack_ends_ms: Some(60_000),
        end_ms: 90_000,
    };
    let mut score = Score::new(moments, None, 10.0);
    for at_ms in (0..90_000).step_by(100) {
        if at_ms == 12_000 {
            score.plan_changed(&plan(vec![rule(1, Action::Block, b"tool")]), at_ms);
        }
        if at_ms == 75_000 {
            score.plan_changed(&plan(Vec::new()), at_ms);
        }
        let visitor = planned(at_ms, Label::Honest, "x", "203.0.113.1");
        score.count(0, &visitor, each(&visitor));
        if (10_000..60_000).contains(&at_ms) {
            let tool = planned(at_ms, Label::Attack, "tool", "198.51.100.7");
            score.count(1, &tool, each(&tool));
        }
    }
    score.finish();
    score
}

fn after_rule(planned: &Planned, part: u64) -> Fate {
    let caught = planned.label == Label::Attack && planned.at_ms >= 12_500;
    if caught && !(planned.at_ms / 100).is_multiple_of(part) {
        Fate::Blocked(RuleId(1))
    } else {
        Fate::Passed
    }
}

#[test]
fn leakage_counts_from_the_rule_on_and_not_from_its_first_hit() {
    let score = scored(|planned| after_rule(planned, u64::MAX));
    assert_eq!(score.rule_after_ms, Some(2_000));
    // Of 480 requests since the rule, the five of its first half second.
    assert!((score.leakage() - 5.0 / 480.0).abs() < 1e-9, "{}", score.leakage());
    assert!((score.cost_leakage() - 5.0 / 480.0).abs() < 1e-9);
    assert_eq!(score.suppressed_after_ms, Some(4_000));
    assert_eq!(score.withdrawn_after_ms, Some(15_000));
    assert_eq!((score.block_rules, score.false_blocks), (1, 0));
    let half = scored(|planned| after_rule(planned, 2));
    assert!((0.45..0.55).contains(&half.leakage()), "{}", half.leakage());
    assert_eq!(half.suppressed_after_ms, None);
    let never = scored(|_| Fate::Passed);
    assert_eq!((never.leakage(), never.rule_after_ms), (1.0, None));
}

#[test]
fn harm_counts_from_the_end_of_the_past_and_by_group() {
    // Every tenth visitor is refused, in the past too; by the rule while it is in force.
    let score = scored(|planned| match planned.label {
        Label::Honest if planned.at_ms % 1_000 != 0 => Fate::Passed,
        Label::Honest if (12_000..75_000).contains(&planned.at_ms) => Fate::Blocked(RuleId(1)),
        Label::Honest => Fate::Banned,
        _ => Fate::Passed,
    });
    assert_eq!(score.honest, Part { all: 800 + 10, hit: 90 });
    let worst = score.groups.worst().unwrap();
    assert_eq!(worst.refused, Part { all: 810, hit: 90 });
    assert!(["Firefox", "first visits", "language en"].contains(&worst.name.as_str()));
    assert_eq!(score.views.first.hit, 90);
    assert_eq!(score.views.returning.all, 0);
    assert_eq!(score.false_blocks, 1, "it refused visitors and none of the attack");
    let life = &score.lives[0];
    assert_eq!(life.realised, Part { all: 630, hit: 63 }, "while it was in force");
    let banned = scored(|p| if p.label == Label::Honest { Fate::Banned } else { Fate::Passed });
    assert_eq!(banned.honest_banned, 900);
}

#[test]
fn waves_are_timed_each_from_its_first_request() {
    let mut score = Score::new(Moments { end_ms: 30_000, ..Moments::default() }, None, 1.0);
    score.plan_changed(&plan(vec![rule(1, Action::Block, b"tool")]), 0);
    for at_ms in (0..30_000).step_by(100) {
        let tool = Planned {
            wave: (at_ms / 10_000) as u32,
            ..planned(at_ms, Label::Attack, "tool", "198.51.100.7")
        };
        // Refused from 300 ms after the beginning of a wave on; the last one never.
        let refused = at_ms % 10_000 >= 300 && at_ms < 20_000;
        score.count(0, &tool, if refused { Fate::Blocked(RuleId(1)) } else { Fate::Passed });
    }
    score.finish();
    assert_eq!(score.rearmed_ms().collect::<Vec<_>>(), [Some(300), None]);
    assert_eq!(score.stopped_again_ms().collect::<Vec<_>>(), [Some(300 + 39 * 100), None]);
}

#[test]
fn a_line_is_judged_by_all_trials_together() {
    let text = "title = \"t\"\n[site]\nrps = 1\npast_s = 10\n[[attack]]\nlook = \"tool\"\ntimes = 1\n\
                sources = 1\nlasts_s = 50\n[expect]\nrule_within_s = 2\nleakage_max = 0.02\n\
                honest_refused_max = 0.001\nblock_rules_max = 1\nverdict = [\"attack\"]\n";
    let scene = crate::scene::Scene::read("t", "t.toml", text).unwrap().remove(0);
    let good = || {
        let mut score = scored(|planned| after_rule(planned, u64::MAX));
        score.incident(Incident { verdict: IncidentVerdict::Attack, ..Incident::default() });
        score
    };
    let line = judge(&scene, View::Gateway, &[good(), good(), good()]);
    assert!(line.hit(), "{line:#?}");
    assert_eq!(line.cell("rule").unwrap().median, 2.0);
    // One trial of three without a rule misses the time, which all must keep, not the middle
    // leakage.
    let never = scored(|_| Fate::Passed);
    let line = judge(&scene, View::Gateway, &[good(), good(), never]);
    assert_eq!(line.missed(), ["rule", "verdict"], "{line:#?}");
    assert_eq!(line.cell("rule").unwrap().worst, f64::INFINITY);
    assert_eq!(line.verdicts, ["attack", "attack", "none"]);
}
