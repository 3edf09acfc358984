//! Networks (/24, /48) in which somebody behaved like a visitor during the last seven days.
//!
//! Seven daily generations of a blocked Bloom filter: a wrong "was here" makes an attacker's network
//! look a little friendlier, once in a hundred; a wrong "was never here" does not happen. It must
//! never decide anything alone, nor be used to ban.

use std::sync::Arc;

use crate::memory::{Damaged, Reader, Writer};
use crate::random::mix;

const DAY_MS: u64 = 24 * 3_600_000;
/// Days looked back.
const GENERATIONS: usize = 7;
/// Networks noted in one day. When full: those that come later that day are not noted, and counted.
pub const NETWORKS_PER_DAY_MAX: u32 = 131_072;
/// Words of a block: one cache line.
const BLOCK_WORDS: usize = 8;
/// Blocks of a generation: 256 KiB, 16 bits for each network. With six bits set per network, a full
/// generation errs once in 800; all seven, when full, stay below one in a hundred.
const BLOCKS: usize = 4_096;
/// Bits set per network.
const PROBES: u32 = 6;

/// Cloning shares the bits; the next network noted copies today's.
#[derive(Clone, Debug, Default)]
struct Generation {
    day: u64,
    noted: u32,
    /// Empty, or `BLOCKS * BLOCK_WORDS` words.
    bits: Arc<Vec<u64>>,
}

/// The generations.
#[derive(Clone, Debug, Default)]
pub struct SeenNetworks {
    generations: [Generation; GENERATIONS],
    secret: u64,
    turned_away: u64,
}

/// The network of a source's key: /24 of an IPv4 address, /48 of an IPv6 one. The two cannot meet:
/// an IPv4 key carries a tag above its address.
pub const fn network_of(source_key: u64) -> u64 {
    let is_v4 = source_key >> 32 == 0xffff_ffff;
    if is_v4 { source_key >> 8 } else { source_key >> 16 }
}

impl SeenNetworks {
    /// No networks yet. `secret` keeps outsiders from choosing addresses that share bits.
    pub fn new(secret: u64) -> Self {
        SeenNetworks { secret, ..SeenNetworks::default() }
    }

    /// Notes that the source behaved like a visitor at `at_ms`.
    pub fn note(&mut self, source_key: u64, at_ms: u64) {
        let (block, mask) = self.place(source_key);
        let day = at_ms / DAY_MS;
        let generation = &mut self.generations[(day % GENERATIONS as u64) as usize];
        if generation.bits.is_empty() || generation.day != day {
            // A day that is over cannot come again; if the clock was set back, its turn is due.
            *generation =
                Generation { day, noted: 0, bits: Arc::new(vec![0; BLOCKS * BLOCK_WORDS]) };
        }
        if holds(&generation.bits, block, &mask) {
            return;
        }
        if generation.noted >= NETWORKS_PER_DAY_MAX {
            self.turned_away += 1;
            return;
        }
        generation.noted += 1;
        let words = &mut Arc::make_mut(&mut generation.bits)[block..block + BLOCK_WORDS];
        for (word, bits) in words.iter_mut().zip(mask) {
            *word |= bits;
        }
    }

    /// Forgets days that are over for a week.
    pub fn forget(&mut self, now_ms: u64) {
        let today = now_ms / DAY_MS;
        for generation in &mut self.generations {
            if generation.day + GENERATIONS as u64 <= today || generation.day > today {
                *generation = Generation::default();
            }
        }
    }

    /// Whether somebody in the source's network behaved like a visitor within seven days. Wrongly
    /// true for one network in a hundred, when full.
    pub fn contains(&self, source_key: u64) -> bool {
        let (block, mask) = self.place(source_key);
        self.generations.iter().any(|g| holds(&g.bits, block, &mask))
    }

    /// Days of the last seven on which any visitor was met.
    pub fn days(&self) -> usize {
        self.generations.iter().filter(|g| g.noted > 0).count()
    }

    /// Networks noted (one that came on several days counts for each), most that fit, and those
    /// turned away.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        let noted = self.generations.iter().map(|g| g.noted as usize).sum();
        (noted, GENERATIONS * NETWORKS_PER_DAY_MAX as usize, self.turned_away)
    }

    /// First word of the network's block, and the bits it sets there.
    fn place(&self, source_key: u64) -> (usize, [u64; BLOCK_WORDS]) {
        let hash = mix(mix(network_of(source_key) ^ self.secret).wrapping_add(self.secret));
        let block = (hash >> 52) as usize & (BLOCKS - 1);
        let mut mask = [0; BLOCK_WORDS];
        // Six times nine bits out of the lower 54; the block took the upper twelve.
        let mut rest = mix(hash);
        for _ in 0..PROBES {
            mask[(rest as usize >> 6) & (BLOCK_WORDS - 1)] |= 1 << (rest & 63);
            rest >>= 9;
        }
        (block * BLOCK_WORDS, mask)
    }

    /// Writes what shall be remembered: all of it, 1.8 MiB at most.
    pub fn pack(&self, out: &mut Writer) {
        for generation in &self.generations {
            out.number(generation.day);
            out.number(u64::from(generation.noted));
            out.count(generation.bits.len());
            for word in generation.bits.iter() {
                out.word(*word);
            }
        }
    }

    /// Reads it back. `secret` must be the one it was made with.
    pub fn unpack(input: &mut Reader<'_>, secret: u64) -> Result<SeenNetworks, Damaged> {
        let mut networks = SeenNetworks::new(secret);
        for generation in &mut networks.generations {
            generation.day = input.number()?;
            let noted = input.number()?.min(u64::from(NETWORKS_PER_DAY_MAX));
            generation.noted = noted as u32;
            let words = input.count(BLOCKS * BLOCK_WORDS)?;
            if words != 0 && words != BLOCKS * BLOCK_WORDS {
                return Err(Damaged("a generation of networks has the wrong size"));
            }
            let bits: Result<Vec<u64>, Damaged> = (0..words).map(|_| input.word()).collect();
            generation.bits = Arc::new(bits?);
        }
        Ok(networks)
    }
}

fn holds(bits: &[u64], block: usize, mask: &[u64; BLOCK_WORDS]) -> bool {
    bits.get(block..block + BLOCK_WORDS)
        .is_some_and(|words| words.iter().zip(mask).all(|(word, bits)| word & bits == *bits))
}

const _: () = assert!(BLOCKS == 1 << 12 && PROBES * 9 <= 64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use floodwall_model::Source;

    const T0: u64 = 20_000 * DAY_MS;

    fn v4(n: u32) -> u64 {
        Source::new(std::net::Ipv4Addr::from(n).into()).key()
    }

    fn v6(text: &str) -> u64 {
        Source::new(text.parse::<std::net::Ipv6Addr>().unwrap().into()).key()
    }

    #[test]
    fn a_visitors_network_is_his_24_or_48_and_no_more() {
        let mut seen = SeenNetworks::new(9);
        seen.note(v4(0xc000_0205), T0);
        seen.note(v6("2001:db8:7:1::1"), T0);
        assert!(seen.contains(v4(0xc000_02ff)));
        assert!(!seen.contains(v4(0xc000_0305)));
        assert!(seen.contains(v6("2001:db8:7:ffff::9")));
        assert!(!seen.contains(v6("2001:db8:8:1::1")));
    }

    #[test]
    fn a_week_later_it_is_forgotten() {
        let mut seen = SeenNetworks::new(9);
        seen.note(v4(77 << 8), T0);
        for day in 1..=6 {
            seen.note(v4(1 << 16), T0 + day * DAY_MS);
            seen.forget(T0 + day * DAY_MS);
            assert!(seen.contains(v4(77 << 8)), "day {day}");
        }
        seen.forget(T0 + 7 * DAY_MS);
        assert!(!seen.contains(v4(77 << 8)));
        assert!(seen.contains(v4(1 << 16)));
    }

    #[test]
    fn a_clock_set_back_forgets_the_future_and_goes_on() {
        let mut seen = SeenNetworks::new(9);
        seen.note(v4(5 << 8), T0 + 30 * DAY_MS);
        seen.forget(T0);
        seen.note(v4(6 << 8), T0);
        assert!(!seen.contains(v4(5 << 8)) && seen.contains(v4(6 << 8)));
    }

    /// The promise in figures: seven full days, and strangers are taken for acquaintances at most
    /// once in a hundred. None that was noted is missed.
    #[test]
    fn seven_full_days_err_at_most_once_in_a_hundred() {
        let mut seen = SeenNetworks::new(0x5eed);
        let mut random = Random::new(3);
        let mut some = Vec::new();
        for day in 0..7 {
            for n in 0..NETWORKS_PER_DAY_MAX + 5_000 {
                let key = v4(random.word() as u32);
                let (before, _, _) = seen.occupancy();
                seen.note(key, T0 + day * DAY_MS);
                if n % 1_000 == 0 && seen.occupancy().0 > before {
                    some.push(key);
                }
            }
        }
        let (noted, places, turned_away) = seen.occupancy();
        assert_eq!(noted, places, "full");
        assert!(turned_away > 0, "and what came later was counted");
        assert!(some.iter().all(|key| seen.contains(*key)), "no network is missed");
        // IPv6 networks were never noted: each hit is an error.
        let wrong = (0..200_000).filter(|_| seen.contains(random.word() >> 3)).count();
        assert!(wrong <= 2_000, "{wrong} of 200,000");
    }

    #[test]
    fn what_was_remembered_is_the_same() {
        let mut seen = SeenNetworks::new(9);
        for n in 0..1_000 {
            seen.note(v4(n << 8), T0 + u64::from(n % 7) * DAY_MS);
        }
        let mut out = Writer::default();
        seen.pack(&mut out);
        let bytes = out.finish();
        let back = SeenNetworks::unpack(
            &mut Reader::open(&bytes, floodwall_model::ATTR_COUNT).unwrap(),
            9,
        )
        .unwrap();
        assert!((0..1_000).all(|n| back.contains(v4(n << 8))));
        assert_eq!(back.occupancy(), seen.occupancy());
    }
}
