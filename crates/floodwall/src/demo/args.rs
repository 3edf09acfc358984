//! What can be asked of the demo, each value within bounds that one machine can carry.

use clap::Args;
use clap::builder::RangedU64ValueParser;
use floodwall_sim::Disguise;

/// Requests per second of everyday visitors. At about 28 units a second (queue.rs) they use 4 % of
/// the origin; at eighty a second twenty seconds give 1,600 records to learn from.
pub const HONEST_RPS: u32 = 80;
/// The crowd sends this many times what everyday visitors send.
pub const CROWD_FACTOR: u32 = 20;
/// Units per second the origin can do. The crowd, twenty times eighty requests a second of which a
/// quarter are pages, needs about 550 units and everyday visitors 28: they fit. The attack's 1,000
/// pages a second need 1,000 units: they do not.
pub const CAPACITY_UNITS_PER_S: u32 = 700;
/// Sources of the attack.
pub const ATTACK_SOURCES: u32 = 3_000;
/// Seconds between two requests of one source.
pub const ATTACK_PERIOD_S: u32 = 3;

/// Show an attack and a crowd on a sample site, on this machine only.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Shorten the scenes: about 70 seconds instead of three minutes
    #[arg(long)]
    pub fast: bool,
    /// End with one JSON object on standard output; the progress goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Pages per second the sample site can serve (a style sheet or an image costs a tenth)
    #[arg(long, value_name = "PAGES", default_value_t = CAPACITY_UNITS_PER_S,
          value_parser = bounded(10, 100_000))]
    pub capacity: u32,
    /// Repeat a run: the seed that it printed
    #[arg(long)]
    pub seed: Option<u64>,
    /// Requests per second of everyday visitors
    #[arg(long, value_name = "RPS", default_value_t = HONEST_RPS, value_parser = bounded(5, 200))]
    pub honest_rps: u32,
    /// Addresses the attack comes from
    #[arg(long, value_name = "COUNT", default_value_t = ATTACK_SOURCES,
          value_parser = bounded(10, 10_000))]
    pub attack_sources: u32,
    /// Seconds between two requests of one attacking address
    #[arg(long, value_name = "SECONDS", default_value_t = ATTACK_PERIOD_S,
          value_parser = bounded(1, 60))]
    pub attack_period: u32,
    /// How well the attack copies browsers
    #[arg(long, value_enum, value_name = "HOW", default_value_t = DisguiseArg::Stolen)]
    pub disguise: DisguiseArg,
    /// Make every attacking request over a connection of its own
    #[arg(long)]
    pub attack_reconnects: bool,
    /// Put the kernel filter on this interface: lo. Without it, it sits on the listening sockets
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Leave out the second scene, the crowd
    #[arg(long)]
    pub no_crowd: bool,
}

/// How well the attack copies browsers.
#[derive(Copy, Clone, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum DisguiseArg {
    /// A tool under a few stolen browser names
    Stolen,
    /// A tool under a different browser name for every request
    Random,
    /// Real browsers' headers, wrongly combined
    Marginals,
    /// Real browsers' headers, rightly combined: nothing in a single request gives it away
    Mimic,
}

impl DisguiseArg {
    /// The same in the traffic model's terms.
    pub fn disguise(self) -> Disguise {
        match self {
            DisguiseArg::Stolen => Disguise::StolenAgents,
            DisguiseArg::Random => Disguise::RandomAgent,
            DisguiseArg::Marginals => Disguise::CopiedMarginals,
            DisguiseArg::Mimic => Disguise::JointMimic,
        }
    }
}

fn bounded(from: u64, to: u64) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(from..=to)
}

impl DemoArgs {
    /// Requests per second of the crowd.
    pub fn crowd_rps(&self) -> u32 {
        self.honest_rps * CROWD_FACTOR
    }

    /// Descriptors that the demo may need at once. Every connection of the attack has two ends
    /// here, and two more between gateway and origin while the origin drowns.
    pub fn descriptors_needed(&self) -> u64 {
        u64::from(self.attack_sources) * 4 + 4_000
    }

    /// Below this many descriptors the demo cannot show what it is meant to.
    pub fn descriptors_min(&self) -> u64 {
        u64::from(self.attack_sources) * 2 + 1_000
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser;
    use floodwall_model::RequestKind;
    use floodwall_sim::site::RESULTS;
    use floodwall_sim::{AddressPlan, OpenLoop, SessionArrivals, Site, VisitorsConfig};

    use super::*;
    use crate::demo::queue::{OTHER_UNITS, PAGE_UNITS};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        demo: DemoArgs,
    }

    #[test]
    fn the_defaults_are_the_reference_case() {
        let demo = Line::try_parse_from(["x"]).unwrap().demo;
        assert_eq!((demo.attack_sources, demo.attack_period), (3_000, 3));
        assert!(demo.seed.is_none() && !demo.fast && !demo.json);
        assert_eq!(demo.crowd_rps(), 1_600);
    }

    /// Units a second that visitors of this kind cost between two seconds of their scene.
    fn units_per_s(config: VisitorsConfig, from_s: u64, to_s: u64) -> f64 {
        let (site, plan) = (Arc::new(Site::campaign()), AddressPlan::loopback());
        let arrivals = SessionArrivals::new(config, site, &plan.crowd, 1);
        let within = OpenLoop::new(arrivals, 5.0, 1)
            .take_while(|planned| planned.at_ms < to_s * 1_000)
            .filter(|planned| planned.at_ms >= from_s * 1_000);
        let cost = |kind| if kind == RequestKind::Page { PAGE_UNITS } else { OTHER_UNITS };
        within.map(|planned| cost(planned.kind)).sum::<f64>() / (to_s - from_s) as f64
    }

    #[test]
    fn the_crowd_fits_into_the_capacity_and_the_attack_does_not() {
        let capacity = f64::from(CAPACITY_UNITS_PER_S);
        let honest = units_per_s(VisitorsConfig::honest(f64::from(HONEST_RPS)), 0, 60);
        let crowd_rps = f64::from(HONEST_RPS * CROWD_FACTOR);
        let crowd = units_per_s(VisitorsConfig::crowd(crowd_rps, RESULTS), 8, 40);
        let attack = f64::from(ATTACK_SOURCES / ATTACK_PERIOD_S) * PAGE_UNITS;
        assert!(honest < 0.06 * capacity, "{honest}");
        assert!((0.5..0.9).contains(&((honest + crowd) / capacity)), "{honest} + {crowd}");
        assert!(attack > 1.3 * capacity);
    }

    #[test]
    fn what_one_machine_cannot_carry_is_refused() {
        for wrong in [
            ["x", "--attack-sources=100000"],
            ["x", "--attack-period=0"],
            ["x", "--capacity=0"],
            ["x", "--honest-rps=5000"],
            ["x", "--disguise=perfect"],
        ] {
            assert!(Line::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
