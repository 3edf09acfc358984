//! Everyday packets of a web server's host, both ways.
//!
//! It must never depend on whether there is an attack. Sources begin [`WARM_UP_US`] before the
//! stream does, so that conversations are under way at its first packet.

mod arrivals;
mod background;
mod own;
mod quic;
mod service;
mod tcp;

use std::net::IpAddr;

use fastrand::Rng;

pub(crate) use arrivals::Arrivals;
pub use arrivals::Crowd;
pub use service::UdpService;

use super::clients::{Clients, log_uniform, public_v4, public_v6};
use super::stream::{LabelledPacket, Source};
use crate::chance::{happens, stream};

/// How long before a stream's beginning its sources begin, µs.
pub(crate) const WARM_UP_US: u64 = 40_000_000;
/// Connections of one visitor at a time, at most; two on average.
const VISIT_CONNECTIONS_MAX: u64 = 3;

/// The host whose link is watched.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its IPv4 address.
    pub v4: IpAddr,
    /// Its IPv6 address.
    pub v6: IpAddr,
    /// Its web services' TCP ports, the busiest first. HTTP/3 is on the first one's number.
    pub ports: Vec<u16>,
    /// The name servers that it asks.
    pub resolvers: Vec<IpAddr>,
}

impl Host {
    fn drawn(rng: &mut Rng) -> Host {
        let ports = match rng.u8(..10) {
            0..7 => vec![443, 80],
            7 => vec![80],
            8 => vec![443, 80, rng.u16(1_024..32_768)],
            _ => vec![rng.u16(1_024..32_768), 443],
        };
        let resolvers = (0..rng.usize(1..=3)).map(|_| public_v4(rng).into()).collect();
        Host { v4: public_v4(rng).into(), v6: public_v6(rng).into(), ports, resolvers }
    }

    /// Its address of the family of `other`.
    pub fn address_for(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv6() { self.v6 } else { self.v4 }
    }

    /// A port for a new connection: mostly the busiest.
    fn draw_port(&self, rng: &mut Rng) -> u16 {
        let second = self.ports.len() > 1 && happens(rng, 0.15);
        self.ports[if second { rng.usize(1..self.ports.len()) } else { 0 }]
    }
}

/// How much of what goes on. Rates are per second.
#[derive(Clone, Debug)]
pub struct HonestConfig {
    /// New connections, 0.2 to 2,000.
    pub connections_ps: f64,
    /// Objects fetched over one connection, on average.
    pub objects: f64,
    /// Share of the connections that are HTTP/3.
    pub quic_share: f64,
    /// Share of the visitors that come over IPv6.
    pub v6_share: f64,
    /// Names that the host looks up.
    pub lookups_ps: f64,
    /// Whether it asks the world's name servers itself instead of its provider's.
    pub recursive: bool,
    /// Connections that the host opens to others.
    pub outgoing_ps: f64,
    /// Echo requests to the host.
    pub pings_ps: f64,
    /// Errors that routers report to the host, path MTU messages among them.
    pub errors_ps: f64,
    /// Packets of scanners and other background radiation.
    pub scans_ps: f64,
    /// A service over UDP beside the web.
    pub udp_service: Option<UdpService>,
    /// A crowd of visitors.
    pub crowd: Option<Crowd>,
}

impl HonestConfig {
    /// A host with this many new connections per second; the rest drawn from `seed`.
    pub fn drawn(connections_ps: f64, seed: u64) -> HonestConfig {
        let rng = &mut stream(seed, 11);
        HonestConfig {
            connections_ps,
            objects: log_uniform(rng, 1.5, 8.0),
            quic_share: if happens(rng, 0.5) { 0.1 + rng.f64() * 0.4 } else { 0.0 },
            v6_share: if happens(rng, 0.6) { 0.05 + rng.f64() * 0.4 } else { 0.0 },
            lookups_ps: log_uniform(rng, 0.05, 20.0) + connections_ps * rng.f64() * 0.1,
            recursive: happens(rng, 0.4),
            outgoing_ps: log_uniform(rng, 0.02, 2.0) + connections_ps * rng.f64() * 0.05,
            pings_ps: log_uniform(rng, 0.02, 2.0),
            errors_ps: 0.05 + connections_ps * 0.002,
            scans_ps: log_uniform(rng, 0.05, 3.0),
            udp_service: happens(rng, 0.3).then(|| UdpService::drawn(rng)),
            crowd: None,
        }
    }

    /// The host and its traffic's sources.
    pub(crate) fn sources(&self, seed: u64) -> (Host, Vec<Box<dyn Source + Send>>) {
        let host = Host::drawn(&mut stream(seed, 12));
        let clients = Clients::new(self.v6_share, &mut stream(seed, 13));
        let mut sources: Vec<Box<dyn Source + Send>> = Vec::new();
        let visits = {
            let (host, clients, config) = (host.clone(), clients.clone(), self.clone());
            let visit = move |at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>| {
                visit(&host, &clients, &config, at_us, rng, out);
            };
            let mean = (1 + VISIT_CONNECTIONS_MAX) as f64 / 2.0;
            Arrivals::new(self.connections_ps / mean, stream(seed, 14), visit)
                .with_crowd(self.crowd)
        };
        sources.push(Box::new(visits));
        if let Some(service) = self.udp_service {
            let (host, clients) = (host.clone(), clients.clone());
            let session = move |at_us: u64, rng: &mut Rng, out: &mut Vec<LabelledPacket>| {
                service::session(service, &host, &clients, at_us, rng, out);
            };
            let sessions = Arrivals::new(service.sessions_ps, stream(seed, 15), session);
            sources.push(Box::new(sessions));
        }
        sources.extend(own::sources(self, &host, seed));
        sources.extend(background::sources(self, &host, &clients, seed));
        (host, sources)
    }
}

fn visit(
    host: &Host,
    clients: &Clients,
    config: &HonestConfig,
    at_us: u64,
    rng: &mut Rng,
    out: &mut Vec<LabelledPacket>,
) {
    let mut client = clients.draw(rng);
    let mut at_us = at_us;
    for _ in 0..rng.u64(1..=VISIT_CONNECTIONS_MAX) {
        if happens(rng, config.quic_share) {
            quic::conversation(host, &mut client, config.objects, at_us, rng, out);
        } else {
            let port = host.draw_port(rng);
            tcp::Connection::open(host, &mut client, port, at_us, rng, out).run(config.objects);
        }
        at_us += rng.u64(0..400_000);
    }
}
