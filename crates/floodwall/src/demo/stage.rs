//! What runs during a demo: the origin, the defence, the traffic. Dropping it stops everything, in
//! the order visitors would want: traffic first, then the defence, the origin last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use floodwall_sim::site::RESULTS;
use floodwall_sim::{AddressPlan, Council, CouncilConfig, SessionArrivals, Site, VisitorsConfig};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::args::DemoArgs;
use super::defence::Defence;
use super::load::{LoadContext, spawn_attack, spawn_visitors};
use super::origin::Origin;
use super::schedule::Schedule;

/// Everything that was started.
pub(super) struct Stage {
    stop_traffic: watch::Sender<bool>,
    traffic: Vec<JoinHandle<()>>,
    defence: Option<Box<dyn Defence>>,
    stop_origin: watch::Sender<bool>,
    origin: Option<JoinHandle<()>>,
}

impl Stage {
    /// Lets the origin serve on a thread of its own.
    pub(super) fn new(origin: Origin) -> io::Result<Stage> {
        let (stop_origin, mut stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = move || {
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, async {
                tokio::select! {
                    _ = origin.serve() => {}
                    _ = stopped.wait_for(|stop| *stop) => {}
                }
            });
        };
        let origin = std::thread::Builder::new().name("demo-origin".to_owned()).spawn(serve)?;
        Ok(Stage {
            stop_traffic: watch::channel(false).0,
            traffic: Vec::new(),
            defence: None,
            stop_origin,
            origin: Some(origin),
        })
    }

    /// Takes charge of a started defence; returns where it listens.
    pub(super) fn defend(&mut self, defence: Box<dyn Defence>) -> SocketAddr {
        let address = defence.address();
        self.defence = Some(defence);
        address
    }

    /// The defence, once started.
    pub(super) fn defence(&self) -> Option<&dyn Defence> {
        self.defence.as_deref()
    }

    /// Turns true when the traffic shall end.
    pub(super) fn stop_signal(&self) -> watch::Receiver<bool> {
        self.stop_traffic.subscribe()
    }

    /// Plans all traffic and starts it; it keeps to the schedule by itself.
    pub(super) fn start_traffic(
        &mut self,
        args: &DemoArgs,
        schedule: &Schedule,
        site: &Arc<Site>,
        plan: &AddressPlan,
        context: &LoadContext,
        seed: u64,
    ) -> io::Result<()> {
        let honest = VisitorsConfig::honest(f64::from(args.honest_rps));
        let honest = SessionArrivals::new(honest, Arc::clone(site), &plan.honest, seed);
        let period_ms = u64::from(args.attack_period) * 1_000;
        let council = CouncilConfig {
            sources: args.attack_sources as usize,
            period_ms,
            start_ms: schedule.attack_ms,
            end_ms: schedule.calm_ms,
            disguise: args.disguise.disguise(),
            patterns: None,
        };
        let council = Council::new(&council, site, &plan.attack, honest.mix(), seed);
        let mut visitors = vec![honest];
        if !args.no_crowd {
            let crowd = VisitorsConfig {
                start_ms: schedule.crowd_ms,
                end_ms: schedule.end_ms,
                ..VisitorsConfig::crowd(f64::from(args.crowd_rps()), RESULTS)
            };
            visitors.push(SessionArrivals::new(crowd, Arc::clone(site), &plan.crowd, seed));
        }
        self.traffic.push(spawn_visitors(context.clone(), visitors)?);
        let (members, reconnects) = (council.into_members(), args.attack_reconnects);
        self.traffic.push(spawn_attack(context.clone(), members, period_ms, reconnects)?);
        Ok(())
    }

    /// Ends the traffic and waits for its threads.
    pub(super) fn end_traffic(&mut self) {
        self.stop_traffic.send_replace(true);
        for thread in self.traffic.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end_traffic();
        if let Some(defence) = &mut self.defence {
            defence.stop();
        }
        self.stop_origin.send_replace(true);
        if let Some(origin) = self.origin.take() {
            let _ = origin.join();
        }
    }
}
