use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    demo: DemoArgs,
}

/// No defence at all: visitors connect straight to the origin. It claims a rule at a given time.
struct PassThrough {
    origin: SocketAddr,
    rule_at_ms: Option<u64>,
    stopped: Arc<std::sync::atomic::AtomicBool>,
}

impl Defence for PassThrough {
    fn address(&self) -> SocketAddr {
        self.origin
    }
    fn rules(&self) -> Vec<RuleView> {
        let rule = |placed_at_ms| RuleView {
            id: 1,
            words: "anything".to_owned(),
            action: "throttle",
            placed_at_ms,
            in_force: true,
        };
        self.rule_at_ms.filter(|at_ms| wall_ms() >= *at_ms).map(rule).into_iter().collect()
    }
    fn counters(&self) -> DefenceCounters {
        DefenceCounters::default()
    }
    fn incident_report(&self) -> Option<String> {
        Some("An account.".to_owned())
    }
    fn stop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

const SHORT: Schedule =
    Schedule { attack_ms: 1_500, calm_ms: 4_000, crowd_ms: 4_500, end_ms: 6_500 };

fn short_args() -> DemoArgs {
    let words = [
        "x",
        "--fast",
        "--seed=3",
        "--honest-rps=20",
        "--capacity=300",
        "--attack-sources=200",
        "--attack-period=1",
    ];
    Line::try_parse_from(words).unwrap().demo
}

fn played(rule_after_ms: Option<u64>) -> (Finished, bool) {
    let stopped = Arc::default();
    let flag = Arc::clone(&stopped);
    let finished = play(&short_args(), SHORT, Box::new(io::sink()), false, move |site| {
        assert_eq!(site.host, "ashbourne-together.example");
        let rule_at_ms = rule_after_ms.map(|after_ms| wall_ms() + after_ms);
        Ok(Box::new(PassThrough { origin: site.origin, rule_at_ms, stopped: flag }))
    });
    (finished.unwrap(), stopped.load(Ordering::Relaxed))
}

#[test]
fn a_run_without_defence_tells_that_the_attack_got_through() {
    let (finished, stopped) = played(None);
    let outcome = finished.outcome;
    assert!(stopped, "the defence is stopped at the end");
    assert_eq!(finished.incident_report.as_deref(), Some("An account."));
    assert_eq!((outcome.onset_to_rule_s, outcome.rules.len()), (None, 0));
    assert_eq!(outcome.honest_success.before, Some(1.0));
    assert_eq!(outcome.honest_success.during, None);
    assert!((300..=500).contains(&outcome.attack.sent), "{:?}", outcome.attack);
    assert!(outcome.attack.reached_origin >= outcome.attack.sent);
    // Two seconds of a ramp are a dozen visits; how many requests those make differs by half from
    // one seed to the next.
    assert!(outcome.crowd.sent > 40 && outcome.honest.sent > 60, "{outcome:?}");
    assert!(outcome.load_cpu_us_per_request.is_some());
    assert!(!outcome.all_met());
}

#[test]
fn a_rule_divides_the_attack_in_two() {
    // Breath 300 ms, onset at 1.5 s, rule about a second later.
    let (finished, _) = played(Some(2_800));
    let outcome = finished.outcome;
    let after_s = outcome.onset_to_rule_s.unwrap();
    assert!((0.5..1.6).contains(&after_s), "{after_s}");
    assert!(outcome.honest_success.until_rule.is_some());
    assert!(outcome.honest_success.during.is_some());
    assert!(outcome.attack_leakage.is_some_and(|share| share > 0.9), "{outcome:?}");
    assert_eq!(outcome.crowd_block_rules, Some(0));
}

#[test]
fn a_defence_that_does_not_start_ends_the_demo_with_its_words() {
    let result = play(&short_args(), SHORT, Box::new(io::sink()), false, |_| {
        Err("the port is taken".to_owned())
    });
    assert_eq!(result.unwrap_err().to_string(), "the gateway did not start: the port is taken");
}

#[test]
fn too_few_descriptors_are_said_beforehand() {
    let args = DemoArgs { attack_sources: 10_000, ..short_args() };
    assert_eq!((args.descriptors_min(), args.descriptors_needed()), (21_000, 44_000));
    assert!(descriptors_allowed().is_some_and(|allowed| allowed > 0));
}
