//! Who sends a flood, and who it says it is.

use std::net::IpAddr;

use fastrand::Rng;

use crate::chance::happens;
use crate::packets::clients::{hops, public_v4, public_v6};

/// The flood's machines. A spoofed address does not change the way that packets take: their times
/// to live are those of a few machines, unless the tool makes them up as well.
#[derive(Clone, Debug)]
pub(crate) enum Senders {
    /// Any address, sent by machines at these distances.
    Spoofed {
        /// Times to live on arrival, one per machine.
        ttls: Vec<u8>,
        /// Whether the tool draws the time to live as well.
        ttl_made_up: bool,
        /// Whether addresses that nobody has are drawn too (a plain random number).
        careless: bool,
        /// Whether over IPv6.
        v6: bool,
    },
    /// These addresses with their times to live on arrival.
    Real(Vec<(IpAddr, u8)>),
}

impl Senders {
    /// Spoofed, from one machine to a few hundred.
    pub(crate) fn spoofed(v6: bool, rng: &mut Rng) -> Senders {
        let machines = [1, 1, 2, 5, 20, 200][rng.usize(..6)];
        let initial = [64, 64, 128, 255][rng.usize(..4)];
        Senders::Spoofed {
            ttls: (0..machines).map(|_| initial - hops(rng)).collect(),
            ttl_made_up: happens(rng, 0.15),
            careless: happens(rng, 0.3),
            v6,
        }
    }

    /// A botnet that uses its own addresses.
    pub(crate) fn bots(rng: &mut Rng) -> Senders {
        let count = [10, 100, 1_000, 5_000][rng.usize(..4)];
        Senders::real(count, rng)
    }

    /// One machine.
    pub(crate) fn single(v6: bool, rng: &mut Rng) -> Senders {
        let address = if v6 { public_v6(rng).into() } else { public_v4(rng).into() };
        Senders::Real(vec![(address, [64, 128, 255][rng.usize(..3)] - hops(rng))])
    }

    fn real(count: usize, rng: &mut Rng) -> Senders {
        let sender = |rng: &mut Rng| {
            let initial = [64, 64, 64, 128, 255][rng.usize(..5)];
            (IpAddr::from(public_v4(rng)), initial - hops(rng))
        };
        Senders::Real((0..count).map(|_| sender(rng)).collect())
    }

    /// Spoofed mostly, else bots.
    pub(crate) fn drawn(v6: bool, rng: &mut Rng) -> Senders {
        if v6 || happens(rng, 0.65) { Senders::spoofed(v6, rng) } else { Senders::bots(rng) }
    }

    /// The next packet's source and time to live.
    pub(crate) fn draw(&self, rng: &mut Rng) -> (IpAddr, u8) {
        match self {
            Senders::Real(all) => all[rng.usize(..all.len())],
            Senders::Spoofed { ttls, ttl_made_up, careless, v6 } => {
                let address = match (*v6, *careless) {
                    (true, _) => public_v6(rng).into(),
                    (false, true) => IpAddr::from(rng.u32(..).to_be_bytes()),
                    (false, false) => public_v4(rng).into(),
                };
                let ttl = if *ttl_made_up { rng.u8(30..) } else { ttls[rng.usize(..ttls.len())] };
                (address, ttl)
            }
        }
    }
}
