//! Certificates for tests, and clients that trust them.

use std::net::SocketAddr;
use std::sync::Arc;

use floodwall_gateway::CertificateFiles;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A self-signed certificate in files that live as long as this.
pub struct TestCertificate {
    pub dir: tempfile::TempDir,
    pub der: CertificateDer<'static>,
}

pub fn certificate(names: &[&str]) -> TestCertificate {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("chain.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    TestCertificate { dir, der: made.cert.der().clone() }
}

impl TestCertificate {
    pub fn files(&self) -> CertificateFiles {
        CertificateFiles {
            chain: self.dir.path().join("chain.pem"),
            key: self.dir.path().join("key.pem"),
        }
    }
}

/// Connects with TLS to `name`, trusting `certificate` alone, offering `alpn`.
pub async fn connect(
    addr: SocketAddr,
    name: &str,
    certificate: &TestCertificate,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
