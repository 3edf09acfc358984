//! Where clients come from: pools of source addresses.
//!
//! The addresses say who is honest only to the score. The pools of one plan are disjoint, so that
//! whoever sees an address can look up its label; a defence that blocks by network would cheat, and
//! Floodwall's rules never name a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use floodwall_model::Prefix;

use crate::request::Label;

/// Addresses to draw from.
#[derive(Clone, Debug)]
pub struct AddressPool {
    prefixes: Vec<Prefix>,
}

impl AddressPool {
    /// A pool over `prefixes`, drawn from equally often. `None` if there are none.
    pub fn new(prefixes: Vec<Prefix>) -> Option<Self> {
        (!prefixes.is_empty()).then_some(AddressPool { prefixes })
    }

    /// An address. In IPv4 the last octet is never 0 or 255, which hosts avoid.
    pub fn draw(&self, rng: &mut Rng) -> IpAddr {
        let prefix = self.prefixes[rng.usize(..self.prefixes.len())];
        let bits = u32::from(prefix.bits());
        match prefix.address() {
            IpAddr::V4(base) => {
                let host = rng.u32(..) & u32::MAX.unbounded_shr(bits);
                let host = if bits <= 24 { host & !0xff | rng.u32(1..=254) } else { host };
                Ipv4Addr::from(u32::from(base) | host).into()
            }
            IpAddr::V6(base) => {
                let host = rng.u128(..) & u128::MAX.unbounded_shr(bits);
                Ipv6Addr::from(u128::from(base) | host).into()
            }
        }
    }

    /// The pool of one address.
    pub fn single(address: IpAddr) -> Self {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        AddressPool { prefixes: vec![Prefix::new(address, bits)] }
    }

    /// One of the pool's networks by itself: `bits` long, or as long as the pool has it.
    pub fn network(&self, bits: u8, rng: &mut Rng) -> Self {
        let prefix = self.prefixes[rng.usize(..self.prefixes.len())];
        let within = AddressPool { prefixes: vec![prefix] }.draw(rng);
        AddressPool { prefixes: vec![Prefix::new(within, bits.max(prefix.bits()))] }
    }

    /// The networks it is drawn from.
    pub fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Whether `address` is one of the pool's.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefixes.iter().any(|prefix| prefix.contains(address))
    }
}

/// Which pool each kind of client comes from.
#[derive(Clone, Debug)]
pub struct AddressPlan {
    /// Everyday visitors and honest machines.
    pub honest: AddressPool,
    /// The attack's sources.
    pub attack: AddressPool,
    /// The crowd's visitors.
    pub crowd: AddressPool,
}

impl AddressPlan {
    /// Loopback addresses, for live traffic on one machine. Linux answers for all of 127.0.0.0/8;
    /// 127.0.0.0/16, where programs listen, is left out.
    pub fn loopback() -> Self {
        AddressPlan {
            honest: pool(&[([127, 16, 0, 0], 12)]),
            crowd: pool(&[([127, 32, 0, 0], 11)]),
            attack: pool(&[([127, 64, 0, 0], 10)]),
        }
    }

    /// Addresses scattered as on the internet: every label has many networks, among them IPv6.
    /// For virtual time only; which networks these are is drawn from `rng`.
    pub fn scattered(rng: &mut Rng) -> Self {
        let mut second: Vec<u8> = (0..=255).collect();
        rng.shuffle(&mut second);
        // The three labels interleave within the same /8s, so no short prefix tells them apart.
        let mut share = |from: usize, to: usize, v6: u16| {
            let mut prefixes = Vec::new();
            for octet in &second[from..to] {
                let first = [31, 45, 62, 78, 81, 86, 90, 109, 151, 188][rng.usize(..10)];
                prefixes.push(Prefix::new(Ipv4Addr::new(first, *octet, 0, 0).into(), 16));
            }
            for _ in 0..(to - from) / 4 {
                let address =
                    Ipv6Addr::new(0x2a00, v6 | rng.u16(..0x400), rng.u16(..), 0, 0, 0, 0, 0);
                prefixes.push(Prefix::new(address.into(), 48));
            }
            AddressPool { prefixes }
        };
        AddressPlan {
            honest: share(0, 96, 0x1000),
            crowd: share(96, 176, 0x2000),
            attack: share(176, 256, 0x4000),
        }
    }

    /// Whose address it is; `None` for one outside the plan.
    pub fn label(&self, address: IpAddr) -> Option<Label> {
        if self.honest.contains(address) {
            Some(Label::Honest)
        } else if self.attack.contains(address) {
            Some(Label::Attack)
        } else if self.crowd.contains(address) {
            Some(Label::Crowd)
        } else {
            None
        }
    }
}

fn pool(prefixes: &[([u8; 4], u8)]) -> AddressPool {
    let prefixes = prefixes.iter().map(|(a, bits)| Prefix::new(Ipv4Addr::from(*a).into(), *bits));
    AddressPool { prefixes: prefixes.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_plan_tells_its_label_and_no_other() {
        for plan in [AddressPlan::loopback(), AddressPlan::scattered(&mut Rng::with_seed(3))] {
            let mut rng = Rng::with_seed(1);
            for _ in 0..2_000 {
                for (pool, label) in [
                    (&plan.honest, Label::Honest),
                    (&plan.attack, Label::Attack),
                    (&plan.crowd, Label::Crowd),
                ] {
                    let address = pool.draw(&mut rng);
                    assert_eq!(plan.label(address), Some(label), "{address}");
                }
            }
        }
    }

    #[test]
    fn loopback_plans_stay_clear_of_listeners() {
        let plan = AddressPlan::loopback();
        for address in ["127.0.0.1", "127.0.255.9", "192.0.2.1", "::1"] {
            assert_eq!(plan.label(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn scattered_plans_hold_both_families() {
        let plan = AddressPlan::scattered(&mut Rng::with_seed(3));
        let mut rng = Rng::with_seed(1);
        let v6 = (0..1_000).filter(|_| plan.honest.draw(&mut rng).is_ipv6()).count();
        assert!((100..400).contains(&v6), "{v6}");
    }
}
