//! Floods: what is sent at the host to hurt it.
//!
//! What a flood looks like is drawn anew with every seed, within what flood tools and reflectors
//! do. It must never take anything from the honest side but the target's addresses and ports.

mod amplification;
mod number;
mod reflection;
mod senders;
mod tcp;
mod volume;

use std::net::IpAddr;

use fastrand::Rng;
use floodwall_model::packet::PacketFacts;

pub(crate) use amplification::{Amplification, Misused};
pub(crate) use number::Number;
pub(crate) use reflection::Reflection;
pub(crate) use senders::Senders;
pub(crate) use tcp::{SynCopied, TcpFlood};
pub(crate) use volume::{Gre, Icmp, LaterFragments, Udp};

use super::stream::{LabelledPacket, Source};
use crate::chance::exponential_ms;

/// What a flood is aimed at.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its address; of a carpet, one among 256.
    pub(crate) address: IpAddr,
    /// All of the address's /24.
    pub(crate) carpet: bool,
    /// TCP ports that answer.
    pub(crate) ports: Vec<u16>,
}

impl Target {
    /// Where the next packet goes.
    pub(crate) fn draw(&self, rng: &mut Rng) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) if self.carpet => {
                let [a, b, c, _] = v4.octets();
                IpAddr::from([a, b, c, rng.u8(..)])
            }
            address => address,
        }
    }
}

/// A packet of a flood, or one that it causes.
pub(crate) struct Shot {
    pub(crate) facts: PacketFacts,
    /// After the flood's own time, µs.
    pub(crate) delay_us: u64,
    /// Whether it counts as the attack; otherwise it is the host's answer, or an innocent's to that.
    pub(crate) attack: bool,
    pub(crate) inbound: bool,
    pub(crate) solicited: bool,
}

impl Shot {
    pub(crate) fn attack(facts: PacketFacts) -> Shot {
        Shot { facts, delay_us: 0, attack: true, inbound: true, solicited: false }
    }

    /// What the host answers.
    pub(crate) fn answer(facts: PacketFacts) -> Shot {
        Shot { facts, delay_us: 45, attack: false, inbound: false, solicited: false }
    }
}

/// A way to flood.
pub(crate) trait Vector {
    /// The next packets: at least one of the attack.
    fn shoot(&mut self, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>);
}

/// How packets follow each other.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Pace {
    /// At equal distances, as one program sends.
    Regular,
    /// At random, as many senders together.
    Random,
    /// So many at once.
    Bursts(u32),
}

impl Pace {
    pub(crate) fn drawn(rng: &mut Rng) -> Pace {
        match rng.u8(..4) {
            0 => Pace::Regular,
            1 | 2 => Pace::Random,
            _ => Pace::Bursts(rng.u32(2..64)),
        }
    }
}

/// A vector sent at a rate during spans of time.
pub(crate) struct Flood {
    pub(crate) vector: Box<dyn Vector + Send>,
    pub(crate) target: Target,
    pub(crate) group: &'static str,
    /// Attack packets per second while it sends.
    pub(crate) rate_pps: f64,
    pub(crate) pace: Pace,
    /// When it sends, µs, ascending.
    pub(crate) spans_us: Vec<(u64, u64)>,
    pub(crate) rng: Rng,
    state: FloodState,
}

#[derive(Default)]
struct FloodState {
    span: usize,
    due_us: f64,
    in_burst: u32,
    shots: Vec<Shot>,
}

impl Flood {
    pub(crate) fn new(
        vector: Box<dyn Vector + Send>,
        target: Target,
        group: &'static str,
        rate_pps: f64,
        spans_us: Vec<(u64, u64)>,
        mut rng: Rng,
    ) -> Flood {
        let pace = Pace::drawn(&mut rng);
        let due_us = spans_us.first().map_or(f64::INFINITY, |span| span.0 as f64);
        let state = FloodState { due_us, ..FloodState::default() };
        Flood { vector, target, group, rate_pps, pace, spans_us, rng, state }
    }

    fn step(&mut self, packets: u32) {
        let gap_us = f64::from(packets) * 1e6 / self.rate_pps;
        self.state.due_us += match self.pace {
            Pace::Regular => gap_us,
            Pace::Random => 1_000.0 * exponential_ms(&mut self.rng, gap_us / 1_000.0),
            Pace::Bursts(size) => {
                self.state.in_burst += packets;
                if self.state.in_burst < size {
                    0.0
                } else {
                    let burst_us = f64::from(self.state.in_burst) * 1e6 / self.rate_pps;
                    self.state.in_burst = 0;
                    burst_us
                }
            }
        };
        while let Some(span) = self.spans_us.get(self.state.span) {
            if self.state.due_us < span.1 as f64 {
                self.state.due_us = self.state.due_us.max(span.0 as f64);
                return;
            }
            self.state.span += 1;
        }
        self.state.due_us = f64::INFINITY;
    }
}

impl Source for Flood {
    fn due_us(&self) -> u64 {
        // A cast saturates: infinity is `u64::MAX`.
        self.state.due_us as u64
    }

    fn make(&mut self, out: &mut Vec<LabelledPacket>) {
        let at_us = self.due_us();
        self.vector.shoot(&self.target, &mut self.rng, &mut self.state.shots);
        let mut packets = 0;
        for shot in self.state.shots.drain(..) {
            packets += u32::from(shot.attack);
            out.push(LabelledPacket {
                at_us: at_us + shot.delay_us,
                facts: shot.facts,
                attack: shot.attack,
                group: match (shot.attack, shot.inbound) {
                    (true, _) => self.group,
                    (false, false) => "answer",
                    (false, true) => "backscatter",
                },
                inbound: shot.inbound,
                solicited: shot.solicited,
            });
        }
        self.step(packets.max(1));
    }
}
