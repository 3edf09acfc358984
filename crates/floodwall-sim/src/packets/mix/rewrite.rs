//! Rewrites addresses, ports, times to live and identifications of one laying of a capture.
//!
//! All maps are bijections of the values they change, so that flows stay flows; prefixes stay
//! together (IPv4 by /16, IPv6 by /64).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use super::read::Frame;
use super::view::View;
use crate::chance::happens;

/// What is rewritten.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Rewrite {
    /// Addresses other than the host's own.
    pub addresses: bool,
    /// Ports: those below 32,768 among themselves, and those above.
    pub ports: bool,
    /// Times to live, by a constant.
    pub ttls: bool,
    /// Times to live by up to two more, the same for all packets of a source.
    pub ttl_jitter: bool,
    /// IPv4 identifications.
    pub ids: bool,
}

impl Rewrite {
    /// Nothing but the host's address.
    pub const NONE: Rewrite =
        Rewrite { addresses: false, ports: false, ttls: false, ttl_jitter: false, ids: false };
    /// All of it.
    pub const ALL: Rewrite =
        Rewrite { addresses: true, ports: true, ttls: true, ttl_jitter: true, ids: true };
}

/// The addresses of the host that everything is made to talk to.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Home {
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

/// Which of a capture's addresses becomes the host, and between which values its times to live are.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Local {
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
    pub(super) ttls: Option<(u8, u8)>,
}

impl Local {
    /// Of the addresses counted, the most frequent host of each family. Of equally frequent ones
    /// the least, so that the order of a hash map does not matter.
    pub(super) fn most_frequent(counts: &HashMap<IpAddr, usize>, frames: &[Frame]) -> Local {
        let host = |address: &IpAddr| match address {
            IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && !v4.is_unspecified(),
            IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
        };
        let best = |v6: bool| {
            let of_family = counts.iter().filter(|(a, _)| a.is_ipv6() == v6 && host(a));
            of_family.max_by_key(|(a, count)| (**count, Reverse(**a))).map(|(a, _)| *a)
        };
        let mut local = Local::default();
        if let Some(IpAddr::V4(v4)) = best(false) {
            local.v4 = Some(v4);
        }
        if let Some(IpAddr::V6(v6)) = best(true) {
            local.v6 = Some(v6);
        }
        let ttl = |frame: &Frame| View::of(&frame.bytes).map(|view| frame.bytes[view.ttl_at()]);
        let ttls = frames.iter().filter_map(ttl).filter(|ttl| *ttl > 1);
        local.ttls = ttls.fold(None, |range: Option<(u8, u8)>, ttl| {
            Some(range.map_or((ttl, ttl), |(low, high)| (low.min(ttl), high.max(ttl))))
        });
        local
    }

    /// A constant that moves no time to live out of its range: else different ones become equal.
    fn draw_ttl_shift(&self, rng: &mut Rng) -> i16 {
        let (low, high) =
            self.ttls.map_or((1, 255), |(low, high)| (i16::from(low), i16::from(high)));
        rng.i16((2 - low).clamp(-20, 0)..=(255 - high).min(20))
    }
}

#[derive(Copy, Clone, Debug)]
enum Ids {
    Keep,
    /// One to one: what was constant is another constant.
    Xor(u16),
    /// The same, but 0 stays 0, as senders of unfragmentable packets have it.
    XorButZero(u16),
    /// Each at random.
    Random,
}

/// The maps of one laying.
#[derive(Clone, Debug)]
pub(super) struct Rewriter {
    home: Home,
    local: Local,
    addresses: Option<u64>,
    ports: Option<Ports>,
    ttl_shift: i16,
    ttl_jitter: Option<u64>,
    ids: Ids,
    id_key: u16,
    rng: Rng,
}

/// Permutations x -> (factor x + shift) mod size, of service and of ephemeral ports.
#[derive(Copy, Clone, Debug)]
pub(super) struct Ports {
    services: (u32, u32),
    ephemeral: (u32, u32),
}

impl Ports {
    pub(super) fn drawn(rng: &mut Rng) -> Ports {
        // 32,767 = 7 · 31 · 151; a factor must have no divisor in common with it.
        let factor = loop {
            let factor = rng.u32(1..32_767);
            if [7, 31, 151].iter().all(|divisor| !factor.is_multiple_of(*divisor)) {
                break factor;
            }
        };
        Ports {
            services: (factor, rng.u32(..32_767)),
            ephemeral: (rng.u32(..16_384) * 2 + 1, rng.u32(..32_768)),
        }
    }

    /// The port that this one becomes; 0 stays 0.
    pub(super) fn map(self, port: u16) -> u16 {
        let of = |(factor, shift): (u32, u32), at: u32, size: u32| (at * factor + shift) % size;
        match u32::from(port) {
            0 => 0,
            service @ 1..32_768 => of(self.services, service - 1, 32_767) as u16 + 1,
            above => (of(self.ephemeral, above - 32_768, 32_768) + 32_768) as u16,
        }
    }
}

impl Rewriter {
    /// Draws the maps. `ports` are given, since several layings may share them.
    pub(super) fn new(
        what: Rewrite,
        home: Home,
        local: Local,
        ports: Option<Ports>,
        rng: &mut Rng,
    ) -> Rewriter {
        let key = rng.u16(1..);
        let ids = match rng.u8(..3) {
            _ if !what.ids => Ids::Keep,
            0 => Ids::Xor(key),
            1 => Ids::XorButZero(key),
            _ => Ids::Random,
        };
        Rewriter {
            home,
            local,
            addresses: what.addresses.then(|| rng.u64(..)),
            ports,
            ttl_shift: if what.ttls { local.draw_ttl_shift(rng) } else { 0 },
            ttl_jitter: (what.ttl_jitter && happens(rng, 0.5)).then(|| rng.u64(..)),
            ids,
            id_key: if what.ids { key } else { 0 },
            rng: rng.fork(),
        }
    }

    /// Rewrites a frame. What is no IP stays as it is.
    pub(super) fn apply(&mut self, frame: &mut [u8]) {
        let Some(view) = View::of(frame) else { return };
        let Some((source, destination)) = view.addresses(frame) else { return };
        let (to_source, to_destination) = (self.address(source), self.address(destination));
        let at = view.source_at();
        for (number, address) in [to_source, to_destination].into_iter().enumerate() {
            let at = at + number * view.address_bytes();
            match address {
                IpAddr::V4(v4) => frame[at..at + 4].copy_from_slice(&v4.octets()),
                IpAddr::V6(v6) => frame[at..at + 16].copy_from_slice(&v6.octets()),
            }
        }
        self.link(frame, self.is_home(to_source));
        self.network(frame, &view, to_source);
        if let (Some(ports), Some((from, to)), Some(at)) =
            (self.ports, view.ports(frame), view.transport_at)
        {
            frame[at..at + 2].copy_from_slice(&ports.map(from).to_be_bytes());
            frame[at + 2..at + 4].copy_from_slice(&ports.map(to).to_be_bytes());
        }
    }

    fn is_home(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(self.home.v4) || address == IpAddr::V6(self.home.v6)
    }

    /// Link addresses by direction; groups stay.
    fn link(&self, frame: &mut [u8], outbound: bool) {
        const HOST: [u8; 6] = [2, 0, 0, 0, 0, 2];
        const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];
        let (from, to) = if outbound { (HOST, ROUTER) } else { (ROUTER, HOST) };
        if frame[0] & 1 == 0 {
            frame[..6].copy_from_slice(&to);
        }
        frame[6..12].copy_from_slice(&from);
    }

    fn network(&mut self, frame: &mut [u8], view: &View, source: IpAddr) {
        let ttl_at = view.ttl_at();
        // Neighbour discovery must have 255; 1 is for the neighbourhood only.
        if view.protocol != 58 && frame[ttl_at] > 1 {
            let jitter = self.ttl_jitter.map_or(0, |key| (spread(source, key) % 5) as i16 - 2);
            let ttl = i16::from(frame[ttl_at]) + self.ttl_shift + jitter;
            frame[ttl_at] = ttl.clamp(1, 255) as u8;
        }
        if view.v6 {
            return;
        }
        let at = view.network_at + 4;
        let id = u16::from_be_bytes([frame[at], frame[at + 1]]);
        let rewritten = match self.ids {
            Ids::Keep => id,
            // Fragments of one datagram must keep one identification.
            Ids::Xor(_) | Ids::Random if view.fragment => id ^ self.id_key,
            Ids::XorButZero(_) if id == 0 => 0,
            Ids::Xor(key) | Ids::XorButZero(key) => id ^ key,
            Ids::Random => self.rng.u16(..),
        };
        frame[at..at + 2].copy_from_slice(&rewritten.to_be_bytes());
    }

    /// The address that this one becomes.
    pub(super) fn address(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(v4) => {
                let to = |at: Ipv4Addr| self.addresses.map_or(at, |key| other_v4(at, key));
                swap_in(v4, self.local.v4, self.home.v4, to).into()
            }
            IpAddr::V6(v6) => {
                let to = |at: Ipv6Addr| self.addresses.map_or(at, |key| other_v6(at, key));
                swap_in(v6, self.local.v6, self.home.v6, to).into()
            }
        }
    }
}

/// `local` becomes `home`; whoever would have become `home` becomes what `local` would have.
fn swap_in<A: PartialEq + Copy>(address: A, local: Option<A>, home: A, to: impl Fn(A) -> A) -> A {
    let Some(local) = local else { return to(address) };
    if address == local {
        home
    } else if to(address) == home {
        to(local)
    } else {
        to(address)
    }
}

/// Addresses that are no single host's (RFC 6890): they stay, and nothing becomes one of them.
fn stays_v4(prefix: u16) -> bool {
    matches!(prefix >> 8, 0 | 127 | 224..) || prefix == 0xa9fe
}

fn other_v4(address: Ipv4Addr, key: u64) -> Ipv4Addr {
    let bits = u32::from(address);
    let (mut prefix, low) = ((bits >> 16) as u16, bits as u16);
    if stays_v4(prefix) {
        return address;
    }
    let low = low ^ (mix64(u64::from(prefix) ^ key) as u16);
    // Walking the permutation's cycle until an address of a host comes is a permutation again.
    loop {
        prefix = permute16(prefix, key);
        if !stays_v4(prefix) {
            return Ipv4Addr::from(u32::from(prefix) << 16 | u32::from(low));
        }
    }
}

fn other_v6(address: Ipv6Addr, key: u64) -> Ipv6Addr {
    let segments = address.segments();
    // Groups, link-local addresses, and those that begin with zeros.
    if segments[0] == 0 || segments[0] >= 0xfe80 {
        return address;
    }
    let bits = u128::from(address);
    let prefix = (bits >> 64) as u64 ^ (mix64(key) >> 16);
    let low = bits as u64 ^ mix64(prefix ^ key);
    Ipv6Addr::from(u128::from(prefix) << 64 | u128::from(low))
}

/// A permutation of 16 bits: two rounds of multiplication by an odd number and a shift.
fn permute16(value: u16, key: u64) -> u16 {
    let mut value = value;
    for round in 0..2 {
        let part = (key >> (32 * round)) as u32;
        value = value.wrapping_mul(part as u16 | 1).wrapping_add((part >> 16) as u16);
        value ^= value >> 7;
    }
    value
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): a permutation of 64 bits.
fn mix64(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

fn spread(address: IpAddr, key: u64) -> u64 {
    match address {
        IpAddr::V4(v4) => mix64(u64::from(u32::from(v4)) ^ key),
        IpAddr::V6(v6) => mix64((u128::from(v6) >> 64) as u64 ^ mix64(u128::from(v6) as u64 ^ key)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ports_map_one_to_one_and_stay_on_their_side() {
        for seed in 0..5 {
            let ports = Ports::drawn(&mut Rng::with_seed(seed));
            let mapped: HashSet<u16> = (1..=u16::MAX).map(|port| ports.map(port)).collect();
            assert_eq!(mapped.len(), 65_535);
            assert_eq!(ports.map(0), 0);
            assert!((1..=u16::MAX).all(|port| (port < 32_768) == (ports.map(port) < 32_768)));
        }
    }

    #[test]
    fn prefixes_map_one_to_one_and_no_host_becomes_a_group() {
        for key in [1, 0xdead_beef_0bad_cafe, u64::MAX] {
            let mut seen = HashSet::new();
            for prefix in 0..=u16::MAX {
                let address = Ipv4Addr::from(u32::from(prefix) << 16 | 0x0102);
                let mapped = other_v4(address, key);
                assert!(seen.insert(mapped), "{address}");
                assert_eq!(stays_v4(prefix), stays_v4((u32::from(mapped) >> 16) as u16));
                let neighbour = other_v4(Ipv4Addr::from(u32::from(prefix) << 16 | 0x0103), key);
                assert_eq!(u32::from(neighbour) >> 16, u32::from(mapped) >> 16);
            }
        }
    }

    #[test]
    fn the_local_address_becomes_the_host_and_nobody_else_does() {
        let home = Home { v4: Ipv4Addr::new(203, 0, 113, 9), v6: Ipv6Addr::LOCALHOST };
        let local = Local { v4: Some(Ipv4Addr::new(10, 0, 0, 1)), ..Local::default() };
        let rewriter = Rewriter::new(Rewrite::NONE, home, local, None, &mut Rng::with_seed(1));
        let to = |a: [u8; 4]| rewriter.address(a.into());
        assert_eq!(to([10, 0, 0, 1]), IpAddr::from([203, 0, 113, 9]));
        assert_eq!(to([203, 0, 113, 9]), IpAddr::from([10, 0, 0, 1]));
        assert_eq!(to([8, 8, 8, 8]), IpAddr::from([8, 8, 8, 8]));
    }
}
