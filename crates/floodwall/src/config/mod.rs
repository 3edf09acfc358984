//! The configuration: a TOML file or a command line, parsed once at the door into checked types.
//!
//! All mistakes are found in one pass and told together, each with its line, because nobody should
//! have to start a server five times to learn of five typing errors. A key that is not known is a
//! mistake: a protection that is spelt wrong and silently absent is worse than a refusal to start.
//!
//! Nothing here opens a socket or changes a file, so a file can be checked on a running host.
//!
//! ```toml
//! mode = "shadow"                    # or "protect"
//! listen = ["0.0.0.0:80"]            # plain HTTP; see Config::listen for the default
//! listen_tls = ["0.0.0.0:443"]
//! interface = "eth0"                 # for the kernel filter; absent: filter at the sockets only
//! state_dir = "/var/lib/floodwall"
//! control_socket = "/run/floodwall/control.sock"
//! operators = ["198.51.100.0/24"]    # never banned or blocked
//! calendar = "events.ics"            # the same from an iCalendar file
//! trusted_proxies = []               # whose word on the client's address is taken
//!
//! [site."campaign.example"]
//! origin = "http://127.0.0.1:8080"
//! aliases = ["www.campaign.example"]
//! certificate = "fullchain.pem"      # relative paths count from the directory of this file
//! key = "privkey.pem"
//!
//! [kernel]                           # all optional
//! interfaces = ["eth0", "eth1"]      # several, instead of `interface` above
//! allow = ["203.0.113.0/24"]         # whose packets are never dropped, beside the above
//! udp_services = [51820]             # beside the ports that programs are bound to
//! source_rate = 20_000               # most packets a second from one address; absent: any number
//! sanity = true                      # drop packets that no working stack sends
//!
//! [geography]                        # optional: where addresses belong
//! country = "country.mmdb"
//! network = "asn.mmdb"
//!
//! [limits]                           # those of the gateway; each has a default there
//! body_bytes_max = 10_485_760
//!
//! [[event]]                          # when and where many visitors are expected
//! name = "Results night"
//! from = 2026-11-24T18:00:00+01:00
//! until = 2026-11-25T02:00:00+01:00
//! paths = ["/results", "/live/*"]
//! expected = "x20"
//! ```

mod cross;
mod event;
mod geography;
mod ics;
mod kernel;
mod limits;
mod mistake;
mod nearest;
mod reader;
mod site;
mod top;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use floodwall_model::{Event, Mode, Prefix};

pub use kernel::KernelConfig;
pub use limits::LimitsConfig;
pub use mistake::{Mistake, Mistakes, Place};
pub use site::{CertificateConfig, OriginConfig, SiteConfig};

use crate::geography::GeographyConfig;
use crate::paths;
use reader::Reader;

/// Largest file read. When larger: a mistake, since it can be no configuration.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Interfaces that the kernel filter may sit on. Each has a filter with tables of its own, some
/// tens of megabytes.
pub const INTERFACES_MAX: usize = 8;

/// Ports tried for the default listener, the first that no origin on this host uses: the most
/// usual origin is port 8080 of this very host.
const LISTEN_PORTS: [u16; 3] = [8080, 8081, 8082];

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// Where plain HTTP is spoken. Where neither this nor `listen_tls` is given: all IPv4 addresses
    /// on port 8080, or 8081 where an origin on this host has 8080 (or 8082 where two have both).
    pub listen: Vec<SocketAddr>,
    /// Where TLS is spoken.
    pub listen_tls: Vec<SocketAddr>,
    /// The interfaces of the kernel filter, at most [`INTERFACES_MAX`]; none: filter at the listening
    /// sockets only.
    pub interfaces: Vec<String>,
    /// The directory of the data file.
    pub state_dir: PathBuf,
    /// The control socket.
    pub control_socket: PathBuf,
    /// Addresses that are never banned or blocked.
    pub operators: Vec<Prefix>,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<Prefix>,
    /// The sites, at least one.
    pub sites: Vec<SiteConfig>,
    /// What the kernel filter has to know.
    pub kernel: KernelConfig,
    /// Which databases say where addresses belong.
    pub geography: GeographyConfig,
    /// Limits that differ from the gateway's defaults.
    pub limits: LimitsConfig,
    /// The iCalendar file, if one is named.
    pub calendar: Option<PathBuf>,
    /// Declared events, of this file and of that calendar.
    pub events: Vec<Event>,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Config, Mistakes> {
        let name = path.display().to_string();
        let text = mistake::read_text(path, &name)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Config::parse(&name, directory, &text)
    }

    /// Checks a text. `name` is put before each mistake; relative paths count from `directory`.
    pub fn parse(name: &str, directory: &Path, text: &str) -> Result<Config, Mistakes> {
        let document = match toml_edit::Document::parse(text) {
            Ok(document) => document,
            Err(error) => return Err(Mistakes::of_syntax(name, text, &error)),
        };
        let mut reader = Reader::new(text, directory);
        let (mut config, places) = top::read(&mut reader, document.as_table());
        cross::check(&mut reader, &mut config, &places);
        reader.finish(name).map(|()| config)
    }

    /// The configuration of `floodwall run --origin URL [--listen ADDRESS]… [--interface NAME]…`: one
    /// site for every host name.
    pub fn for_origin(
        origin: &str,
        listen: &[String],
        interfaces: &[String],
    ) -> Result<Config, Mistakes> {
        let mut mistakes = Vec::new();
        let mut wrong = |argument: &str, message: String| {
            mistakes.push(Mistake { place: Place::Argument(argument.into()), message });
        };
        let parsed = site::parse_origin(origin).map_err(|what| wrong("--origin", what)).ok();
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for text in listen {
            match top::parse_address(text) {
                Ok(address) if addresses.contains(&address) => {
                    wrong("--listen", format!("`{address}` is given twice"));
                }
                Ok(address) => addresses.push(address),
                Err(what) => wrong("--listen", what),
            }
        }
        for what in top::check_interfaces(interfaces) {
            wrong("--interface", what);
        }
        let mut config = Config { listen: addresses, ..Config::empty() };
        config.interfaces = interfaces.to_vec();
        if let Some(origin) = parsed {
            config.sites.push(SiteConfig { names: Vec::new(), origin, certificate: None });
        }
        if listen.is_empty() {
            config.listen = cross::default_listen(&config.sites);
        }
        if let Some(what) = config.sites.first().and_then(|s| cross::loops(&s.origin, &config)) {
            wrong("--origin", what);
        }
        Mistakes::found(None, mistakes).map_or(Ok(config), Err)
    }

    /// The interfaces of `--interface` beside a file, checked as those in it.
    pub fn checked_interfaces(names: &[String]) -> Result<Vec<String>, Mistakes> {
        let place = || Place::Argument("--interface".into());
        let wrong = top::check_interfaces(names).into_iter();
        let mistakes = wrong.map(|message| Mistake { place: place(), message }).collect();
        Mistakes::found(None, mistakes).map_or(Ok(names.to_vec()), Err)
    }

    /// Whose packets the kernel filter never drops, each once.
    pub fn allowed(&self) -> Vec<Prefix> {
        let mut allowed: Vec<Prefix> = Vec::new();
        for prefix in self.operators.iter().chain(&self.trusted_proxies).chain(&self.kernel.allow) {
            if !allowed.contains(prefix) {
                allowed.push(*prefix);
            }
        }
        allowed
    }

    /// No listener and no site: what a file says comes on top.
    fn empty() -> Config {
        Config {
            mode: Mode::default(),
            listen: Vec::new(),
            listen_tls: Vec::new(),
            interfaces: Vec::new(),
            state_dir: paths::state_dir_default(),
            control_socket: paths::control_socket_default(),
            operators: Vec::new(),
            trusted_proxies: Vec::new(),
            sites: Vec::new(),
            kernel: KernelConfig::default(),
            geography: GeographyConfig::default(),
            limits: LimitsConfig::default(),
            calendar: None,
            events: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
