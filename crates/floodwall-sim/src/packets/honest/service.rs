//! A service over UDP beside the web: a tunnel, a game, calls. Small datagrams both ways at a steady
//! pace, from a session's first to its last.

use fastrand::Rng;

use super::Host;
use crate::packets::clients::{Clients, log_uniform};
use crate::packets::header::{IpHeader, Payload};
use crate::packets::stream::LabelledPacket;

/// Datagrams of one session each way, at most.
const SESSION_DATAGRAMS_MAX: u64 = 3_000;

/// The service.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct UdpService {
    /// Its port.
    pub port: u16,
    /// Sessions that begin per second.
    pub sessions_ps: f64,
    /// Between two datagrams of a session, ms.
    pub pace_ms: u64,
}

impl UdpService {
    pub(super) fn drawn(rng: &mut Rng) -> UdpService {
        UdpService {
            port: rng.u16(1_024..),
            sessions_ps: log_uniform(rng, 0.02, 1.0),
            pace_ms: rng.u64(15..100),
        }
    }
}

/// Writes a whole session.
pub(super) fn session(
    service: UdpService,
    host: &Host,
    clients: &Clients,
    at_us: u64,
    rng: &mut Rng,
    out: &mut Vec<LabelledPacket>,
) {
    let mut client = clients.draw(rng);
    let address = host.address_for(client.address);
    let client_port = client.new_port(rng);
    let lasts_ms = log_uniform(rng, 2_000.0, 60_000.0) as u64;
    let datagrams = (lasts_ms / service.pace_ms.max(1)).clamp(1, SESSION_DATAGRAMS_MAX);
    // The first bytes tell a session; what follows is encrypted.
    let session = rng.u32(..).to_be_bytes();
    let usual_bytes = rng.u16(20..300);
    let pace_us = service.pace_ms * 1_000;
    let mut at_us = at_us;
    for number in 0..datagrams {
        let mut send = |at_us: u64, inbound: bool, rng: &mut Rng| {
            let mut first = rng.u64(..).to_le_bytes();
            first[..4].copy_from_slice(&session);
            let payload = Payload::new(usual_bytes + rng.u16(0..200), first);
            let facts = if inbound {
                let id = client.next_id(rng);
                let ip = IpHeader::new(client.address, address, client.ttl, id);
                ip.udp(client_port, service.port, payload)
            } else {
                let ip = IpHeader::new(address, client.address, 64, 0);
                ip.udp(service.port, client_port, payload)
            };
            let solicited = inbound && number > 0;
            let group = "udp-service";
            out.push(LabelledPacket { at_us, facts, attack: false, group, inbound, solicited });
        };
        send(at_us, true, rng);
        send(at_us + 300, false, rng);
        at_us += pace_us * 9 / 10 + rng.u64(0..=pace_us / 5);
    }
}
