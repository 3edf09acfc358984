//! A configuration that has been found to work: what workers read.
//!
//! Made once from a [`GatewayConfig`], then immutable and swapped whole. Making it loads every
//! certificate, so that a reload fails before it has changed anything.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use floodwall_model::{Prefix, Source};
use rustls::ServerConfig;
use rustls::server::ProducesTickets;

use crate::certificate::{self, CertificateIndex, Certificates};
use crate::config::{GatewayConfig, Origin};
use crate::error::ConfigError;
use crate::hosts::{Hosts, is_site_name};
use crate::limits::Limits;

/// Fields of a head that the parser takes.
const HEAD_FIELDS_MAX: usize = 100;

/// An origin's number. The same origin keeps it over reloads, so that workers keep its connections.
pub(crate) type OriginIndex = usize;

/// Numbers origins over the life of the gateway. Grows only when an operator names a new one.
#[derive(Debug, Default)]
pub(crate) struct OriginNumbers(HashMap<Origin, OriginIndex>);

impl OriginNumbers {
    fn number(&mut self, origin: &Origin) -> OriginIndex {
        let next = self.0.len();
        *self.0.entry(origin.clone()).or_insert(next)
    }
}

/// What the pipeline needs to know of a site.
#[derive(Clone, Debug)]
pub(crate) struct SiteFacts {
    pub(crate) origin: Arc<Origin>,
    pub(crate) origin_index: OriginIndex,
}

/// The configuration in force.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) limits: Limits,
    /// Worker threads, for dividing what is divided.
    pub(crate) workers: usize,
    sites: Vec<SiteFacts>,
    by_host: Hosts<usize>,
    certificate_by_host: Arc<Hosts<CertificateIndex>>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    operators: Vec<Prefix>,
    trusted_proxies: Vec<Prefix>,
}

impl Snapshot {
    /// Checks `config` and loads its certificates.
    pub(crate) fn make(
        config: &GatewayConfig,
        workers: usize,
        numbers: &mut OriginNumbers,
        ticketer: Option<Arc<dyn ProducesTickets>>,
    ) -> Result<Self, ConfigError> {
        check_listeners(config)?;
        if config.sites.is_empty() {
            return Err(ConfigError::NoSite);
        }
        let provider = certificate::provider();
        let files = config.sites.iter().filter_map(|site| site.certificate.as_ref());
        let certificates = Arc::new(Certificates::load(files, &provider)?);
        let mut by_host = Hosts::default();
        let mut certificate_by_host = Hosts::default();
        let mut sites = Vec::with_capacity(config.sites.len());
        for (index, site) in config.sites.iter().enumerate() {
            let certificate = certificates.index(site.certificate.as_ref());
            for name in &site.names {
                if !is_site_name(name) {
                    return Err(ConfigError::BadName(name.clone()));
                }
                if !by_host.insert(name, index) {
                    return Err(ConfigError::NameTwice(name.clone()));
                }
                certificate_by_host.insert(name, certificate);
            }
            if site.names.is_empty() {
                if !by_host.insert_any(index) {
                    return Err(ConfigError::CatchAllTwice);
                }
                certificate_by_host.insert_any(certificate);
            }
            sites.push(SiteFacts {
                origin: Arc::new(site.origin.clone()),
                origin_index: numbers.number(&site.origin),
            });
        }
        let certificate_by_host = Arc::new(certificate_by_host);
        let tls_listener = config.listeners.iter().find(|listener| listener.tls);
        let tls = match tls_listener {
            Some(listener) if certificates.is_empty() => {
                return Err(ConfigError::NoCertificate(listener.addr));
            }
            _ if certificates.is_empty() => None,
            _ => Some(Arc::new(
                certificate::server_config(
                    provider,
                    certificates,
                    certificate_by_host.clone(),
                    ticketer,
                )
                .map_err(|e| ConfigError::CertificateContent {
                    path: Default::default(),
                    why: e.to_string(),
                })?,
            )),
        };
        let mut limits = config.limits.clone();
        // The parser behind has room for no more.
        limits.head_fields_max = limits.head_fields_max.min(HEAD_FIELDS_MAX);
        Ok(Snapshot {
            limits,
            workers,
            sites,
            by_host,
            certificate_by_host,
            tls,
            operators: config.operators.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
        })
    }

    /// The site that serves `host` (normal form).
    pub(crate) fn site(&self, host: &str) -> Option<&SiteFacts> {
        self.by_host.find_normal(host).and_then(|index| self.sites.get(index))
    }

    /// Whether a connection that was greeted with `server_name` may carry requests for `host`: the
    /// certificate it was shown must be the one of that host (RFC 9110 § 7.4).
    pub(crate) fn name_covers(&self, server_name: Option<&str>, host: &str) -> bool {
        let shown = server_name.and_then(|name| self.certificate_by_host.find(name)).unwrap_or(0);
        let wanted = self.certificate_by_host.find_normal(host).unwrap_or(0);
        shown == wanted
    }

    /// Whether no rule may refuse this source.
    pub(crate) fn is_operator(&self, source: Source) -> bool {
        self.operators.iter().any(|prefix| prefix.contains(source.address()))
    }

    /// Whether the forwarding fields of this peer are believed.
    pub(crate) fn is_trusted_proxy(&self, source: Source) -> bool {
        self.trusted_proxies.iter().any(|prefix| prefix.contains(source.address()))
    }
}

fn check_listeners(config: &GatewayConfig) -> Result<(), ConfigError> {
    let mut seen: HashSet<SocketAddr> = HashSet::new();
    for listener in &config.listeners {
        // Port 0 is a new port each time.
        if listener.addr.port() != 0 && !seen.insert(listener.addr) {
            return Err(ConfigError::ListenerTwice(listener.addr));
        }
    }
    if config.listeners.is_empty() { Err(ConfigError::NoListener) } else { Ok(()) }
}
