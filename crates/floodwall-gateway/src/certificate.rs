//! Certificates: loading the files, choosing by name.
//!
//! Loading happens before anything changes and names the file in every error. Choosing happens in
//! each handshake and must never fail for a client that any certificate could serve: without a
//! known name the first one is presented, and the request is then judged by its Host.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::CertificateFiles;
use crate::error::ConfigError;
use crate::hosts::Hosts;

/// Loads one certificate with its key and checks that they belong together.
fn load(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, ConfigError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(&files.chain)?)
        .collect::<Result<_, _>>()
        .map_err(|e| content(&files.chain, format!("not a PEM certificate chain ({e:?})")))?;
    if chain.is_empty() {
        return Err(content(&files.chain, "holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|e| content(&files.key, format!("not a PEM private key ({e:?})")))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|e| content(&files.key, format!("unusable private key ({e})")))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // An algorithm that cannot be compared is found out by the first handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(content(&files.key, "is not the key of the certificate beside it"))
        }
        Err(e) => Err(content(&files.chain, format!("unusable certificate ({e})"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|source| ConfigError::CertificateRead { path: path.to_owned(), source })
}

fn content(path: &Path, why: impl Into<String>) -> ConfigError {
    ConfigError::CertificateContent { path: path.to_owned(), why: why.into() }
}

/// A certificate's place in [`Certificates`]. 0 is the one for everybody else.
pub(crate) type CertificateIndex = usize;

/// The certificates of one configuration.
#[derive(Debug)]
pub(crate) struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
    places: HashMap<CertificateFiles, CertificateIndex>,
}

impl Certificates {
    /// Loads every pair of files once.
    pub(crate) fn load<'a>(
        files: impl Iterator<Item = &'a CertificateFiles>,
        provider: &CryptoProvider,
    ) -> Result<Self, ConfigError> {
        let mut certificates = Certificates { keys: Vec::new(), places: HashMap::new() };
        for files in files {
            if !certificates.places.contains_key(files) {
                let key = load(files, provider)?;
                certificates.places.insert(files.clone(), certificates.keys.len());
                certificates.keys.push(Arc::new(key));
            }
        }
        Ok(certificates)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Where the certificate from `files` is; the common one for a site without.
    pub(crate) fn index(&self, files: Option<&CertificateFiles>) -> CertificateIndex {
        files.and_then(|files| self.places.get(files)).copied().unwrap_or(0)
    }
}

/// Chooses by server name.
#[derive(Debug)]
struct ByName {
    certificates: Arc<Certificates>,
    by_host: Arc<Hosts<CertificateIndex>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let index = hello.server_name().and_then(|name| self.by_host.find(name)).unwrap_or(0);
        self.certificates.keys.get(index).cloned()
    }
}

/// The cryptography in use.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS as the gateway speaks it: 1.2 and 1.3, h2 and http/1.1, stateless tickets. No early data:
/// it could be replayed.
pub(crate) fn server_config(
    provider: Arc<CryptoProvider>,
    certificates: Arc<Certificates>,
    by_host: Arc<Hosts<CertificateIndex>>,
    ticketer: Option<Arc<dyn ProducesTickets>>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName { certificates, by_host }));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A session store would be one lock for all workers, and a table that strangers fill.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if let Some(ticketer) = ticketer {
        config.ticketer = ticketer;
    }
    Ok(config)
}
