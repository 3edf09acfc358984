//! Results night: twenty times the traffic, all of it welcome. No blocking rule may appear.

mod support;

use floodwall_sim::site::RESULTS;
use floodwall_sim::{Label, Planned, Traffic, VisitorsConfig};
use support::{Score, Stage0, View, run, with_seeds};

fn crowd(config: VisitorsConfig, view: View, seed: u64) -> Score {
    let stage = Stage0::new(seed);
    let config = VisitorsConfig { start_ms: 60_000, ..config };
    let streams = vec![stage.visitors(VisitorsConfig::honest(50.0)), stage.visitors(config)];
    run(streams, 110_000, view, seed)
}

/// Visitors to whom the crowd's page does not exist until the crowd comes: it was published then.
struct BeforeItIsPublished(Box<dyn Traffic>);

impl Traffic for BeforeItIsPublished {
    fn due_ms(&mut self) -> Option<u64> {
        self.0.due_ms()
    }

    fn take(&mut self) -> Option<Planned> {
        let planned = self.0.take()?;
        let too_early = planned.at_ms < 60_000 && planned.request.path.as_str() == RESULTS;
        if too_early { self.take() } else { Some(planned) }
    }

    fn told(&mut self, passed: bool) {
        self.0.told(passed);
    }
}

fn check_untouched(score: &Score) {
    println!("{score:#?}");
    assert_eq!(score.block_rules, 0, "{:?}", score.rules);
    assert_eq!(score.refused_share(Label::Crowd), 0.0);
    assert_eq!(score.refused_share(Label::Honest), 0.0);
}

#[test]
fn a_crowd_of_twenty_times_the_traffic_is_let_in() {
    with_seeds(|seed| {
        check_untouched(&crowd(VisitorsConfig::crowd(1_000.0, RESULTS), View::Gateway, seed));
    });
}

#[test]
fn the_same_crowd_in_an_access_log_gets_no_rule_either() {
    with_seeds(|seed| {
        check_untouched(&crowd(VisitorsConfig::crowd(1_000.0, RESULTS), View::AccessLog, seed));
    });
}

#[test]
fn a_crowd_through_one_app_never_seen_before_is_let_in() {
    with_seeds(|seed| {
        let config = VisitorsConfig::push_crowd(1_000.0, RESULTS, seed);
        check_untouched(&crowd(config, View::Gateway, seed));
    });
}

/// Their path is one "never seen before", too, and the app is one that was never seen before.
#[test]
fn a_crowd_on_a_page_published_this_minute_is_let_in() {
    with_seeds(|seed| {
        for config in [
            VisitorsConfig::crowd(1_000.0, RESULTS),
            VisitorsConfig::push_crowd(1_000.0, RESULTS, seed),
        ] {
            let stage = Stage0::new(seed);
            let crowd = stage.visitors(VisitorsConfig { start_ms: 60_000, ..config });
            let before = BeforeItIsPublished(stage.visitors(VisitorsConfig::honest(50.0)));
            check_untouched(&run(vec![Box::new(before), crowd], 110_000, View::Gateway, seed));
        }
    });
}

#[test]
fn a_day_of_ordinary_traffic_gets_no_rule() {
    with_seeds(|seed| {
        let stage = Stage0::new(seed);
        let honest = stage.visitors(VisitorsConfig::honest(5.0));
        check_untouched(&run(vec![honest], 4 * 3_600_000, View::Gateway, seed));
    });
}
