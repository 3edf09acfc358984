//! TCP reflection: servers all over the internet answer SYNs that carried the host's address.

use std::net::IpAddr;

use fastrand::Rng;
use floodwall_model::packet::TcpFlag;

use super::tcp::answer;
use super::{Number, Shot, Target, Vector};
use crate::chance::happens;
use crate::packets::clients::{hops, log_uniform, public_v4};
use crate::packets::header::{IpHeader, Payload, TcpHeader};
use crate::packets::stacks::ServerStack;

/// Services that answer SYNs everywhere.
const SERVICES: [u16; 8] = [443, 80, 22, 179, 8_080, 53, 25, 21];

struct Reflector {
    address: IpAddr,
    ttl: u8,
    port: u16,
    stack: ServerStack,
    id: u16,
}

/// SYN-ACKs of reflectors. A server repeats what is not acknowledged; so the same one comes several
/// times, seconds apart.
pub(crate) struct Reflection {
    reflectors: Vec<Reflector>,
    /// Ports of the host that the spoofed SYNs carried; `None`: the reflector's own.
    ports: Option<Number>,
    /// Whether all spoofed SYNs carried one sequence number.
    sequence: Option<u32>,
    /// How often each is repeated.
    repeats: u32,
    waiting: Vec<(u32, IpHeader, TcpHeader<'static>)>,
    /// Share of RSTs among the answers: closed ports.
    rst_share: f64,
}

/// Answers remembered for repetition, at most; beyond it they are not repeated.
const WAITING_MAX: usize = 10_000;

impl Reflection {
    /// 60 to 5,000 reflectors.
    pub(crate) fn drawn(same_port: bool, rng: &mut Rng) -> Reflection {
        let count = log_uniform(rng, 60.0, 5_000.0) as usize;
        // Attackers choose by service, and their SYNs offer options or not.
        let services = if happens(rng, 0.6) { 1 } else { SERVICES.len() };
        let first = rng.usize(..SERVICES.len());
        let full = happens(rng, 0.3);
        let reflector = |rng: &mut Rng| {
            let stack = if full {
                ServerStack::FULL[rng.usize(..ServerStack::FULL.len())]
            } else {
                ServerStack::BARE[rng.usize(..ServerStack::BARE.len())]
            };
            Reflector {
                address: public_v4(rng).into(),
                ttl: stack.initial_ttl - hops(rng),
                port: SERVICES[(first + rng.usize(..services)) % SERVICES.len()],
                stack,
                id: rng.u16(..),
            }
        };
        let ports = match rng.u8(..3) {
            0 => Number::Fixed(u32::from(SERVICES[rng.usize(..2)])),
            1 => Number::Fixed(rng.u32(1_024..=0xffff)),
            _ => Number::Between(1_024, 0xffff),
        };
        Reflection {
            reflectors: (0..count).map(|_| reflector(rng)).collect(),
            ports: (!same_port).then_some(ports),
            sequence: happens(rng, 0.2).then(|| rng.u32(..)),
            repeats: rng.u32(0..5),
            waiting: Vec::new(),
            rst_share: if happens(rng, 0.5) { rng.f64() * 0.1 } else { 0.0 },
        }
    }

    fn fresh(&mut self, target: &Target, rng: &mut Rng) -> (IpHeader, TcpHeader<'static>) {
        let number = rng.usize(..self.reflectors.len());
        let reflector = &mut self.reflectors[number];
        reflector.id = reflector.id.wrapping_add(1);
        let id = if reflector.stack.id_zero { 0 } else { reflector.id };
        let ip = IpHeader::new(reflector.address, target.draw(rng), reflector.ttl, id);
        let destination_port = match &mut self.ports {
            Some(ports) => ports.draw_port(rng),
            None => reflector.port,
        };
        let closed = happens(rng, self.rst_share);
        let stack = reflector.stack;
        let tcp = TcpHeader {
            source_port: reflector.port,
            destination_port,
            sequence: if closed { 0 } else { rng.u32(..) },
            acknowledgement: self.sequence.unwrap_or_else(|| rng.u32(..)).wrapping_add(1),
            flags: TcpFlag::ACK | if closed { TcpFlag::RST } else { TcpFlag::SYN },
            window: if closed { 0 } else { stack.window },
            options: if closed { &[] } else { stack.options },
            mss: if closed { 0 } else { stack.mss },
            payload: Payload::NONE,
        };
        (ip, tcp)
    }
}

impl Vector for Reflection {
    fn shoot(&mut self, target: &Target, rng: &mut Rng, out: &mut Vec<Shot>) {
        let ready = !self.waiting.is_empty()
            && happens(rng, f64::from(self.repeats) / f64::from(self.repeats + 1));
        let (left, ip, tcp) = if ready {
            self.waiting.swap_remove(rng.usize(..self.waiting.len()))
        } else {
            let (ip, tcp) = self.fresh(target, rng);
            (self.repeats, ip, tcp)
        };
        if left > 0 && self.waiting.len() < WAITING_MAX {
            self.waiting.push((left - 1, ip, tcp));
        }
        out.push(Shot::attack(ip.tcp(&tcp)));
        answer(target, &ip, &tcp, 0.0, rng, out);
    }
}
