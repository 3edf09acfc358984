//! Where the made-up addresses belong: a country, a network and its class for each network of an
//! [`AddressPlan`], as an operator's database would have them.
//!
//! Visitors come from a home country and some from elsewhere; whether a crowd comes from home or from
//! abroad, and from what kind of lines an attack, is drawn. It must never give a label away that a
//! real database would not: attackers and visitors share networks wherever both would have lines
//! there. Codes and numbers are those set aside for private use (ISO 3166-1 user-assigned codes; RFC
//! 6996).

use std::collections::HashMap;
use std::net::IpAddr;

use fastrand::Rng;
use floodwall_model::{Country, Geography, NetworkClass, NetworkNumber, Place, Source};

use crate::address::{AddressPlan, AddressPool};

/// Where a crowd comes from.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum CrowdFrom {
    /// Where visitors come from.
    Home,
    /// A country from which hardly anybody ever came: a newspaper there has a link.
    Abroad,
}

/// What lines an attack comes from.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum AttackFrom {
    /// Servers in several countries.
    Servers,
    /// Homes in the country the visitors come from.
    HomesHere,
    /// Homes in one country abroad.
    HomesAbroad,
    /// All sorts of lines everywhere.
    Everywhere,
}

impl AttackFrom {
    /// All of them.
    pub const ALL: [AttackFrom; 4] = [
        AttackFrom::Servers,
        AttackFrom::HomesHere,
        AttackFrom::HomesAbroad,
        AttackFrom::Everywhere,
    ];
}

/// The database.
#[derive(Clone, Debug)]
pub struct World {
    /// By the /16 of an IPv4 address or the /48 of an IPv6 one.
    places: HashMap<u64, Place>,
}

impl World {
    /// The world of `plan`, drawn from `rng`.
    pub fn drawn(plan: &AddressPlan, rng: &mut Rng) -> Self {
        let crowd = if rng.u8(..3) == 0 { CrowdFrom::Abroad } else { CrowdFrom::Home };
        let attack = AttackFrom::ALL[rng.usize(..AttackFrom::ALL.len())];
        World::new(plan, crowd, attack, rng)
    }

    /// The world of `plan` with a crowd and an attack from there.
    pub fn new(plan: &AddressPlan, crowd: CrowdFrom, attack: AttackFrom, rng: &mut Rng) -> Self {
        let mut world = World { places: HashMap::new() };
        world.settle(&plan.honest, rng, visitors);
        world.settle(&plan.crowd, rng, |rng| match crowd {
            CrowdFrom::Home => visitors(rng),
            CrowdFrom::Abroad => line("XF", 40, rng, NetworkClass::Residential),
        });
        world.settle(&plan.attack, rng, |rng| match attack {
            AttackFrom::Servers => {
                let country = ["XB", "XC", "XD", "XE"][rng.usize(..4)];
                line(country, 50, rng, NetworkClass::Hosting)
            }
            AttackFrom::HomesHere => line("XA", 0, rng, NetworkClass::Residential),
            AttackFrom::HomesAbroad => line("XG", 60, rng, NetworkClass::Residential),
            AttackFrom::Everywhere => {
                let class = NetworkClass::ALL[rng.usize(..3)];
                let country = ["XA", "XB", "XC", "XD", "XE", "XF", "XG"][rng.usize(..7)];
                line(country, 70, rng, class)
            }
        });
        world
    }

    fn settle(&mut self, pool: &AddressPool, rng: &mut Rng, place: impl Fn(&mut Rng) -> Place) {
        for prefix in pool.prefixes() {
            self.places.insert(network(prefix.address()), place(rng));
        }
    }
}

impl Geography for World {
    fn revision(&self) -> u64 {
        0
    }

    /// An address outside the plan is of no place that is known.
    fn place(&self, address: IpAddr) -> Place {
        let nowhere = Place { of_whole_network: true, ..Place::default() };
        self.places.get(&network(Source::new(address).address())).cloned().unwrap_or(nowhere)
    }
}

fn network(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(u32::from(v4) >> 16),
        IpAddr::V6(v6) => (u128::from(v6) >> 80) as u64,
    }
}

/// Networks of everyday visitors: most at home, on lines of homes and telephones; some abroad; a few
/// servers, for robots, monitors and offices behind them.
fn visitors(rng: &mut Rng) -> Place {
    match rng.u8(..20) {
        0..11 => line("XA", 0, rng, NetworkClass::Residential),
        11..16 => line("XA", 10, rng, NetworkClass::Mobile),
        16..19 => {
            let country = ["XB", "XC", "XD"][rng.usize(..3)];
            line(country, 20, rng, NetworkClass::Residential)
        }
        _ => line("XA", 30, rng, NetworkClass::Hosting),
    }
}

/// A line in one of eight networks of that kind and country.
fn line(country: &str, kind: u32, rng: &mut Rng, class: NetworkClass) -> Place {
    let number = 4_200_000_000 + kind * 10 + rng.u32(..8);
    Place {
        country: Country::of_code(country),
        network: Some(NetworkNumber::new(number, Some("Example network"))),
        class: Some(class),
        of_whole_network: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_plan_has_a_place_and_the_same_one_each_time() {
        let mut rng = Rng::with_seed(3);
        let plan = AddressPlan::scattered(&mut rng);
        for attack in AttackFrom::ALL {
            let world = World::new(&plan, CrowdFrom::Abroad, attack, &mut rng);
            for pool in [&plan.honest, &plan.crowd, &plan.attack] {
                for _ in 0..500 {
                    let address = pool.draw(&mut rng);
                    let place = world.place(address);
                    assert!(place.country.is_some() && place.network.is_some(), "{address}");
                    assert_eq!(place, world.place(address));
                }
            }
            assert_eq!(world.place("192.0.2.1".parse().unwrap()).country, None);
        }
    }

    #[test]
    fn a_crowd_is_from_where_it_is_said_to_be_and_visitors_are_not_all_of_a_kind() {
        let mut rng = Rng::with_seed(5);
        let plan = AddressPlan::scattered(&mut rng);
        let world = World::new(&plan, CrowdFrom::Abroad, AttackFrom::Servers, &mut rng);
        let mut of = |pool: &AddressPool| -> Vec<Place> {
            (0..2_000).map(|_| world.place(pool.draw(&mut rng))).collect()
        };
        let (honest, crowd, attack) = (of(&plan.honest), of(&plan.crowd), of(&plan.attack));
        assert!(crowd.iter().all(|place| place.country == Country::of_code("XF")));
        assert!(attack.iter().all(|place| place.class == Some(NetworkClass::Hosting)));
        let home = honest.iter().filter(|p| p.country == Country::of_code("XA")).count();
        assert!((1_200..1_990).contains(&home), "{home} of 2,000 from home");
        let servers = honest.iter().filter(|p| p.class == Some(NetworkClass::Hosting)).count();
        assert!((10..400).contains(&servers), "{servers} of 2,000 from servers");
    }
}
