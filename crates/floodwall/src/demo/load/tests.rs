use floodwall_sim::{
    AddressPlan, Council, CouncilConfig, Label, SessionArrivals, Site, VisitorsConfig,
};

use super::*;
use crate::demo::meter::{Counts, Phase};
use crate::demo::origin::{Origin, OriginCounters};

struct Scene {
    capacity: u32,
    honest_rps: f64,
    attack: Option<CouncilConfig>,
    reconnects: bool,
    lasts: Duration,
}

struct Played {
    meter: Arc<Meter>,
    origin: Arc<OriginCounters>,
    load: Arc<LoadCounters>,
}

/// Plays a scene with the load straight at the origin, no gateway between.
fn play(scene: Scene) -> Played {
    let (site, plan) = (Arc::new(Site::campaign()), AddressPlan::loopback());
    let phase = Arc::new(CurrentPhase::default());
    let origin = Origin::bind(&site, scene.capacity, plan.clone(), Arc::clone(&phase)).unwrap();
    let (address, counters) = (origin.address().unwrap(), origin.counters());
    let (stop, stopped) = watch::channel(false);
    let context = LoadContext {
        site: address,
        epoch: Instant::now(),
        meter: Arc::default(),
        phase,
        counters: Arc::default(),
        stop: stopped,
    };
    let serving = spawn("origin", context.clone(), |_| async {
        tokio::task::spawn_local(origin.serve());
    });
    let config = VisitorsConfig::honest(scene.honest_rps);
    let arrivals = SessionArrivals::new(config, Arc::clone(&site), &plan.honest, 1);
    let mix = arrivals.mix().clone();
    let mut threads = vec![serving, spawn_visitors(context.clone(), vec![arrivals])];
    if let Some(config) = scene.attack {
        let period_ms = config.period_ms;
        let members = Council::new(&config, &site, &plan.attack, &mix, 1).into_members();
        threads.push(spawn_attack(context.clone(), members, period_ms, scene.reconnects));
    }
    std::thread::sleep(scene.lasts);
    stop.send(true).unwrap();
    threads.into_iter().for_each(|thread| thread.unwrap().join().unwrap());
    Played { meter: context.meter, origin: counters, load: context.counters }
}

fn honest(played: &Played) -> Counts {
    played.meter.tally(Label::Honest, Phase::Before).counts
}

#[test]
fn below_capacity_every_visitor_is_answered_well_and_the_labels_are_right() {
    let lasts = Duration::from_secs(4);
    let played =
        play(Scene { capacity: 2_000, honest_rps: 80.0, attack: None, reconnects: false, lasts });
    let counts = honest(&played);
    assert!((150..500).contains(&counts.sent), "{counts:?}");
    assert_eq!(counts.well, counts.sent, "{counts:?}");
    let reached = played.origin.reached_total(Label::Honest);
    assert!(reached >= counts.sent && reached <= counts.sent + 20, "{reached}");
    assert_eq!(played.origin.reached_total(Label::Attack), 0);
    assert_eq!(played.origin.strangers.load(Ordering::Relaxed), 0);
    let p95 = played.meter.tally(Label::Honest, Phase::Before).latency.quantile_ms(0.95);
    assert!(p95.is_some_and(|ms| ms < 100.0), "{p95:?}");
}

#[test]
fn above_capacity_visitors_fail_and_the_attack_sends_what_was_planned_and_no_more() {
    let attack = Some(CouncilConfig {
        sources: 300,
        period_ms: 1_000,
        end_ms: 3_000,
        ..CouncilConfig::default()
    });
    let lasts = Duration::from_secs(4);
    let played = play(Scene { capacity: 100, honest_rps: 40.0, attack, reconnects: false, lasts });
    let success = honest(&played).success().unwrap();
    assert!(success < 0.9, "{success}");
    let attack = played.meter.total(Label::Attack);
    let skipped = played.load.attack_skipped.load(Ordering::Relaxed);
    assert_eq!(attack.sent + skipped, 3 * 300, "{attack:?}");
    assert!(skipped < 90, "{skipped}");
    assert!(attack.unavailable > 0, "{attack:?}");
    assert!(played.load.first_attack_ms().is_some());
}

#[test]
fn an_attack_that_reconnects_sends_as_much() {
    let attack = Some(CouncilConfig {
        sources: 100,
        period_ms: 500,
        end_ms: 1_500,
        ..CouncilConfig::default()
    });
    let lasts = Duration::from_secs(2);
    let played = play(Scene { capacity: 2_000, honest_rps: 5.0, attack, reconnects: true, lasts });
    let attack = played.meter.total(Label::Attack);
    let skipped = played.load.attack_skipped.load(Ordering::Relaxed);
    assert_eq!(attack.sent + skipped, 3 * 100, "{attack:?}");
    assert_eq!(attack.well, attack.sent, "{attack:?}");
}
