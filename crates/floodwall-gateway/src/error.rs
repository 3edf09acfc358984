//! What can go wrong before the gateway carries traffic: closed lists, naming file or address.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A configuration that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A certificate or key could not be read.
    #[error("cannot read {}: {source}", path.display())]
    CertificateRead {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {why}", path.display())]
    CertificateContent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A TLS listener, and nothing to present on it.
    #[error("listener {0} speaks TLS but no site has a certificate")]
    NoCertificate(SocketAddr),
    /// One name, two sites.
    #[error("two sites are named `{0}`")]
    NameTwice(String),
    /// Two sites claim every host.
    #[error("two sites have no name; only one can take every other host")]
    CatchAllTwice,
    /// A name that cannot be a host.
    #[error("`{0}` cannot be a host name")]
    BadName(String),
    /// An address twice.
    #[error("listener {0} is given twice")]
    ListenerTwice(SocketAddr),
    /// Nothing to listen on.
    #[error("there is no listener")]
    NoListener,
    /// Nothing to serve.
    #[error("there is no site")]
    NoSite,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}{}", self.advice())]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

impl BindError {
    /// What the operator can do about the usual reasons.
    fn advice(&self) -> String {
        let port = self.addr.port();
        match self.source.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("; another program has it: `ss -ltnp 'sport = :{port}'` names it")
            }
            std::io::ErrorKind::PermissionDenied if port < 1024 => format!(
                "; ports below 1024 are for root: run it as root, or allow them with \
                 `sysctl net.ipv4.ip_unprivileged_port_start={port}`"
            ),
            std::io::ErrorKind::AddrNotAvailable => {
                "; no interface of this host has that address".to_owned()
            }
            _ => String::new(),
        }
    }
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operator's mistake.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system gave us no thread or no event queue.
    #[error("cannot start a worker: {0}")]
    Worker(std::io::Error),
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The operator's mistake.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A new address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}
