//! What the gateway is told: listeners, sites, limits.
//!
//! Already parsed: no text form lives here. What can be wrong beyond its shape (a certificate that
//! does not load, an address that is taken) is found out by [`crate::Gateway::start`] and
//! [`crate::Gateway::reload`] before anything changes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc::SyncSender};

use arc_swap::ArcSwap;
use floodwall_model::{CheckedPlan, Geography, ObservationBatch, Prefix, ValueKey};

use crate::ban_board::BanBoard;
use crate::limits::Limits;

/// Everything an operator decides about the gateway.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// What stands behind us, by name.
    pub sites: Vec<Site>,
    /// Deadlines, sizes and counts.
    pub limits: Limits,
    /// Worker threads, each with its own runtime and sockets. 0: one per core. A reload cannot
    /// change it.
    pub workers: usize,
    /// Addresses that no rule, ban or connection cap ever refuses.
    pub operators: Vec<Prefix>,
    /// Proxies in front of us whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Prefix>,
    /// How long running requests may take to finish when the gateway is dropped without
    /// [`crate::Gateway::drain`], ms.
    pub drain_ms: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        GatewayConfig {
            listeners: Vec::new(),
            sites: Vec::new(),
            limits: Limits::default(),
            workers: 0,
            operators: Vec::new(),
            trusted_proxies: Vec::new(),
            drain_ms: 10_000,
        }
    }
}

/// One address to listen on.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub struct Listener {
    /// The address. Port 0 lets the kernel choose.
    pub addr: SocketAddr,
    /// Whether clients speak TLS here. Without it HTTP/1.1 and HTTP/2 with prior knowledge
    /// (RFC 9113 § 3.3) are told apart by their first bytes.
    pub tls: bool,
}

/// One site: names in front, an origin behind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Site {
    /// Host names, without port. `*.example.org` covers one further label. Empty: every host that
    /// no other site names.
    pub names: Vec<String>,
    /// Where its requests go.
    pub origin: Origin,
    /// What to present on TLS listeners. Sites without one share the first certificate there is.
    pub certificate: Option<CertificateFiles>,
}

/// An HTTP/1.1 origin.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Origin {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct CertificateFiles {
    /// The chain, end entity first.
    pub chain: PathBuf,
    /// Its private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// What connects the gateway to the rest: the binary makes these and keeps the other ends.
#[derive(Clone, Debug)]
pub struct Links {
    /// The secret under which attribute values become ids.
    pub value_key: ValueKey,
    /// The plan in force. Read once per request.
    pub plan: Arc<ArcSwap<CheckedPlan>>,
    /// The bans in force.
    pub bans: Arc<BanBoard>,
    /// Where observations go. Never waited for: when it is full, batches are lost and counted.
    pub observations: SyncSender<ObservationBatch>,
    /// Who knows where addresses belong; `None`: nobody, and rules do not speak of it.
    pub geography: Option<Arc<dyn Geography>>,
}
