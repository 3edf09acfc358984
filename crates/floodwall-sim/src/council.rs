//! The council attack: thousands of sources, one request each every few seconds.
//!
//! Modelled on a real attack of autumn 2024 (about 3,000 addresses, about 1,000 page requests a
//! second, a few URL patterns). No source may ever send more than one request per period: that is
//! what makes limits per source blind to it.

use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;

use crate::address::AddressPool;
use crate::attack::{Disguise, Kit, UrlPattern};
use crate::chance::stream;
use crate::mix::ClientMix;
use crate::profile::ClientProfile;
use crate::request::Planned;
use crate::site::Site;

/// Sources at most. More are cut to it when the attack is made.
pub const SOURCES_MAX: usize = 65_536;

/// The attack's size and shape.
#[derive(Clone, Debug)]
pub struct CouncilConfig {
    /// How many addresses, at most [`SOURCES_MAX`].
    pub sources: usize,
    /// How long each waits between two requests, ms.
    pub period_ms: u64,
    /// First request at or after this time, ms.
    pub start_ms: u64,
    /// No request at or after this time, ms.
    pub end_ms: u64,
    /// How its clients look.
    pub disguise: Disguise,
    /// What it asks for; `None`: three patterns drawn from the seed.
    pub patterns: Option<Vec<UrlPattern>>,
}

impl Default for CouncilConfig {
    fn default() -> Self {
        CouncilConfig {
            sources: 3_000,
            period_ms: 3_000,
            start_ms: 0,
            end_ms: u64::MAX,
            disguise: Disguise::StolenAgents,
            patterns: None,
        }
    }
}

/// One source of the attack.
#[derive(Debug)]
pub struct Member {
    kit: Arc<Kit>,
    source: IpAddr,
    client: ClientProfile,
    rng: Rng,
    due_ms: u64,
    period_ms: u64,
    end_ms: u64,
    view: u64,
}

impl Member {
    /// Its address.
    pub fn source(&self) -> IpAddr {
        self.source
    }
}

impl Iterator for Member {
    type Item = Planned;

    /// Its next request; `None` after the end.
    fn next(&mut self) -> Option<Planned> {
        let at_ms = self.due_ms;
        if at_ms >= self.end_ms {
            return None;
        }
        self.due_ms = at_ms.saturating_add(self.period_ms);
        // Members count from different multiples of the largest number of sources.
        self.view += SOURCES_MAX as u64;
        Some(self.kit.planned(&self.client, self.source, at_ms, self.view, &mut self.rng))
    }
}

/// The whole attack as one stream in the order of its times.
#[derive(Debug)]
pub struct Council {
    members: Vec<Member>,
    turn: usize,
}

impl Council {
    /// The attack of `config` on `site`. Addresses are distinct.
    pub fn new(
        config: &CouncilConfig,
        site: &Site,
        addresses: &AddressPool,
        honest: &ClientMix,
        seed: u64,
    ) -> Self {
        let mut rng = stream(seed, 0x636f_756e);
        let patterns = match &config.patterns {
            Some(patterns) => patterns.clone(),
            None => UrlPattern::drawn(site, 3, &mut rng),
        };
        let kit = Arc::new(Kit::new(config.disguise, site, patterns, honest, &mut rng));
        let period_ms = config.period_ms.max(1);
        let mut taken = std::collections::HashSet::new();
        let mut members: Vec<Member> = (0..config.sources.clamp(1, SOURCES_MAX))
            .map(|index| Member {
                kit: Arc::clone(&kit),
                source: unused(addresses, &mut taken, &mut rng),
                client: kit.client(&mut rng),
                rng: rng.fork(),
                due_ms: config.start_ms.saturating_add(rng.u64(..period_ms)),
                period_ms,
                end_ms: config.end_ms,
                view: index as u64,
            })
            .collect();
        // All have one period, so whoever sends first in one round does in every round.
        members.sort_by_key(|member| member.due_ms);
        Council { members, turn: 0 }
    }

    /// The sources one by one, for a driver that gives each its own connection.
    pub fn into_members(self) -> Vec<Member> {
        self.members
    }
}

/// An address not drawn before. A pool smaller than the attack gives some twice.
fn unused(
    addresses: &AddressPool,
    taken: &mut std::collections::HashSet<IpAddr>,
    rng: &mut Rng,
) -> IpAddr {
    let mut address = addresses.draw(rng);
    for _ in 0..64 {
        if taken.insert(address) {
            break;
        }
        address = addresses.draw(rng);
    }
    address
}

impl Iterator for Council {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let count = self.members.len();
        let planned = self.members.get_mut(self.turn)?.next();
        self.turn = (self.turn + 1) % count;
        planned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressPlan;
    use crate::attack::FloodFew;
    use crate::mix::MixConfig;
    use std::collections::{HashMap, HashSet};

    fn honest(seed: u64) -> ClientMix {
        ClientMix::everyday(&MixConfig::default(), seed)
    }

    fn council(disguise: Disguise, seed: u64, end_ms: u64) -> Vec<Planned> {
        let config = CouncilConfig { disguise, end_ms, ..CouncilConfig::default() };
        let addresses = AddressPlan::loopback().attack;
        Council::new(&config, &Site::campaign(), &addresses, &honest(seed), seed).collect()
    }

    fn distinct<'a>(sent: &'a [Planned], of: impl Fn(&'a Planned) -> Option<&'a str>) -> usize {
        sent.iter().filter_map(of).collect::<HashSet<_>>().len()
    }

    #[test]
    fn a_thousand_requests_a_second_and_no_source_faster_than_its_period() {
        for seed in 0..3 {
            let sent = council(Disguise::StolenAgents, seed, 12_000);
            assert!(sent.is_sorted_by_key(|p| p.at_ms));
            assert_eq!(sent.len(), 12_000);
            let first_second = sent.iter().filter(|p| p.at_ms < 1_000).count();
            assert!((900..1_100).contains(&first_second), "{first_second}");
            let mut last: HashMap<IpAddr, u64> = HashMap::new();
            for planned in &sent {
                if let Some(before_ms) = last.insert(planned.source, planned.at_ms) {
                    assert!(planned.at_ms - before_ms >= 3_000);
                }
            }
            assert_eq!(last.len(), 3_000);
        }
    }

    #[test]
    fn it_asks_for_three_patterns_and_nothing_a_page_needs() {
        let sent = council(Disguise::StolenAgents, 1, 6_000);
        assert_eq!(distinct(&sent, |p| Some(p.request.path.as_str())), 3);
        let queries = distinct(&sent, |p| p.request.query.as_ref().map(|q| q.as_str()));
        assert!(queries > 1_000, "{queries}");
        for planned in &sent {
            assert!(planned.request.header("cookie").is_none());
            assert!(planned.request.header("referer").is_none());
        }
    }

    #[test]
    fn each_disguise_is_what_it_says() {
        let site = Site::campaign();
        for seed in 0..6 {
            let mix = honest(seed);
            let pairs: HashSet<(&str, *const crate::layouts::Layout)> = mix
                .implementations()
                .iter()
                .map(|one| (one.user_agent.as_str(), std::ptr::from_ref(one.layout)))
                .collect();
            let config = CouncilConfig { sources: 300, ..CouncilConfig::default() };
            let wrong_share = |disguise| {
                let config = CouncilConfig { disguise, ..config.clone() };
                let addresses = AddressPlan::loopback().attack;
                let members = Council::new(&config, &site, &addresses, &mix, seed).into_members();
                let wrong = members.iter().filter(|member| {
                    let one = &member.client.implementation;
                    !pairs.contains(&(one.user_agent.as_str(), std::ptr::from_ref(one.layout)))
                });
                wrong.count() as f64 / 300.0
            };
            assert_eq!(wrong_share(Disguise::JointMimic), 0.0);
            assert_eq!(wrong_share(Disguise::OneBrowser), 0.0);
            assert_eq!(wrong_share(Disguise::PlainTool), 1.0);
            assert_eq!(wrong_share(Disguise::StolenAgents), 1.0);
            assert!(wrong_share(Disguise::CopiedMarginals) > 0.3);
        }
        let agent = |p: &'_ Planned| p.request.header("user-agent").unwrap_or("").to_owned();
        let few: HashSet<String> =
            council(Disguise::StolenAgents, 2, 3_000).iter().map(agent).collect();
        assert!((1..=4).contains(&few.len()));
        let many: HashSet<String> =
            council(Disguise::RandomAgent, 2, 3_000).iter().map(agent).collect();
        assert!(many.len() > 300, "{}", many.len());
    }

    #[test]
    fn seeds_change_agents_pages_and_orders() {
        let looks: HashSet<(String, String, usize)> = (0..12)
            .map(|seed| {
                let sent = council(Disguise::StolenAgents, seed, 1_500);
                let first = &sent[0].request;
                let agent = first.header("user-agent").unwrap_or("").to_owned();
                let mut paths: Vec<&str> = sent.iter().map(|p| p.request.path.as_str()).collect();
                paths.sort_unstable();
                paths.dedup();
                (agent, paths.join(" "), first.headers.len())
            })
            .collect();
        assert!(looks.len() >= 11, "{looks:?}");
    }

    #[test]
    fn one_seed_gives_one_attack() {
        for disguise in Disguise::ALL {
            assert_eq!(council(disguise, 7, 4_000), council(disguise, 7, 4_000));
        }
    }

    #[test]
    fn few_sources_flood_fast_and_caches_are_missed() {
        let site = Site::campaign();
        let mut rng = Rng::with_seed(1);
        let patterns = vec![UrlPattern::cache_bust("/")];
        let kit = Kit::new(Disguise::StolenAgents, &site, patterns, &honest(1), &mut rng);
        let addresses = AddressPlan::loopback().attack;
        let sent: Vec<Planned> =
            FloodFew::new(kit, &addresses, 8, 2_000.0, (500, 5_500), 1).collect();
        assert!((9_500..10_500).contains(&sent.len()), "{}", sent.len());
        assert_eq!(sent.iter().map(|p| p.source).collect::<HashSet<_>>().len(), 8);
        let queries = distinct(&sent, |p| p.request.query.as_ref().map(|q| q.as_str()));
        assert!(queries > 9_000, "{queries}");
        assert!(sent.iter().all(|p| (500..5_500).contains(&p.at_ms)));
    }
}
