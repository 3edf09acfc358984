//! Who is at the other end: an address, a system, a path.
//!
//! Hops and round trips are those of the internet at large: 5 to 28 hops, mostly around 13; 5 to
//! 300 ms, mostly around 40 (log-normal).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use super::stacks::{Ids, Stack};
use crate::chance::happens;

/// Networks that ordinary users come from. A host's users are not spread evenly over all addresses.
const NETWORKS: usize = 300;

/// A visitor.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) stack: &'static Stack,
    /// Time to live as it arrives.
    pub(crate) ttl: u8,
    /// Round trip, µs.
    pub(crate) rtt_us: u64,
    /// Segment size it offers.
    pub(crate) mss: u16,
    /// Behind an address translator that rewrites ports.
    translated: bool,
    /// Where its identifications stand.
    id: u16,
}

impl Client {
    /// The identification of its next packet.
    pub(crate) fn next_id(&mut self, rng: &mut Rng) -> u16 {
        let step = match self.stack.ids {
            Ids::Zero => return 0,
            Ids::PerConnection => 1,
            Ids::PerHost => rng.u16(1..=9),
        };
        self.id = self.id.wrapping_add(step);
        self.id
    }

    /// A port for a new conversation; the connection's identifications start anew with it.
    pub(crate) fn new_port(&mut self, rng: &mut Rng) -> u16 {
        if self.stack.ids == Ids::PerConnection {
            self.id = rng.u16(..);
        }
        if self.translated {
            rng.u16(1_024..)
        } else {
            rng.u16(self.stack.ports.0..=self.stack.ports.1)
        }
    }
}

/// Where visitors come from.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    v4: Vec<u32>,
    v6: Vec<u128>,
    v6_share: f64,
}

impl Clients {
    pub(crate) fn new(v6_share: f64, rng: &mut Rng) -> Clients {
        let v4 = (0..NETWORKS).map(|_| u32::from(public_v4(rng)) & 0xffff_0000).collect();
        let v6 = (0..NETWORKS).map(|_| u128::from(public_v6(rng)) >> 80 << 80).collect();
        Clients { v4, v6, v6_share }
    }

    pub(crate) fn draw(&self, rng: &mut Rng) -> Client {
        let v6 = happens(rng, self.v6_share);
        // Squaring favours the networks at the front: some providers are large.
        let network = (rng.f64() * rng.f64() * NETWORKS as f64) as usize;
        let address: IpAddr = if v6 {
            Ipv6Addr::from(self.v6[network] | u128::from(rng.u64(..))).into()
        } else {
            let host = rng.u32(..) & 0xff00 | rng.u32(1..=254);
            Ipv4Addr::from(self.v4[network] | host).into()
        };
        let stack = Stack::draw(rng);
        Client {
            address,
            stack,
            ttl: stack.initial_ttl - hops(rng),
            rtt_us: round_trip_us(rng),
            mss: stack.draw_mss(v6, rng),
            translated: !v6 && happens(rng, if stack.mobile { 0.6 } else { 0.25 }),
            id: rng.u16(..),
        }
    }
}

/// Routers between here and somewhere on the internet.
pub(crate) fn hops(rng: &mut Rng) -> u8 {
    let sum: f64 = (0..4).map(|_| rng.f64()).sum();
    // Four uniform draws: mean 2, deviation 0.58.
    (13.0 + (sum - 2.0) * 7.0).round().clamp(5.0, 28.0) as u8
}

/// Round trip to a visitor, µs.
pub(crate) fn round_trip_us(rng: &mut Rng) -> u64 {
    ((log_normal(rng, 40.0, 0.8) * 1_000.0) as u64).clamp(5_000, 300_000)
}

/// A log-normal draw with this median.
pub(crate) fn log_normal(rng: &mut Rng, median: f64, deviation: f64) -> f64 {
    // Twelve uniform draws less six are near enough to normal, and never extreme.
    let normal: f64 = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
    median * (normal * deviation).exp()
}

/// A draw between two positive numbers, evenly over their logarithms.
pub(crate) fn log_uniform(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low * (high / low).powf(rng.f64())
}

/// An address that somebody on the internet may have: no private, loopback, multicast or reserved
/// one (RFC 6890 § 2.2.2).
pub(crate) fn public_v4(rng: &mut Rng) -> Ipv4Addr {
    loop {
        let address = Ipv4Addr::from(rng.u32(..));
        let [a, b, _, d] = address.octets();
        let odd = matches!(a, 0 | 10 | 127 | 224..)
            || (a == 100 && b & 0xc0 == 64)
            || (a == 169 && b == 254)
            || (a == 172 && b & 0xf0 == 16)
            || (a == 192 && b == 168)
            || (a == 198 && b & 0xfe == 18);
        if !odd && d != 0 && d != 255 {
            return address;
        }
    }
}

/// An address of the part of IPv6 that is given out (2000::/4).
pub(crate) fn public_v6(rng: &mut Rng) -> Ipv6Addr {
    Ipv6Addr::from(rng.u128(..) >> 4 | 0x2 << 124)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_what_the_internet_has() {
        let mut rng = Rng::with_seed(1);
        let mut sum_us = 0;
        for _ in 0..5_000 {
            assert!((5..=28).contains(&hops(&mut rng)));
            let rtt_us = round_trip_us(&mut rng);
            assert!((5_000..=300_000).contains(&rtt_us));
            sum_us += rtt_us;
        }
        assert!((40_000..80_000).contains(&(sum_us / 5_000)), "{sum_us}");
    }

    #[test]
    fn visitors_of_both_families_come_from_public_addresses() {
        let mut rng = Rng::with_seed(2);
        let clients = Clients::new(0.3, &mut rng);
        let drawn: Vec<Client> = (0..2_000).map(|_| clients.draw(&mut rng)).collect();
        let v6 = drawn.iter().filter(|c| c.address.is_ipv6()).count();
        assert!((500..700).contains(&v6), "{v6}");
        assert!(drawn.iter().all(|c| !c.address.is_multicast() && !c.address.is_loopback()));
        assert!(drawn.iter().all(|c| c.mss >= 1_220 && c.mss <= 1_460));
    }
}
