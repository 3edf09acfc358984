//! The `[kernel]` section: what the kernel filter has to know of this host and its operators.
//!
//! Where the filter sits is `interface`, at the top. Nothing here is needed: what is not given is
//! found out while running.

use floodwall_model::Prefix;
use floodwall_xdp::ALLOW_MAX;
use toml_edit::TableLike;

use super::reader::{At, Reader};
use super::top;

/// The keys known in `[kernel]`.
pub(super) const KEYS: &[&str] =
    &["interfaces", "allow", "udp_services", "source_rate", "source_connection_rate", "sanity"];

/// Below these one ordinary visitor would feel it: a page with pictures comes to some hundred packets
/// and a dozen connections.
const SOURCE_RATE_MIN: u64 = 500;
const SOURCE_CONNECTION_RATE_MIN: u64 = 20;
/// Beyond this it is no limit, and the kernel's buckets could not keep count.
const SOURCE_RATE_MAX: u64 = 1_000_000;

/// What is said about the kernel filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KernelConfig {
    /// Whose packets are never dropped, beside `operators` and `trusted_proxies`.
    pub allow: Vec<Prefix>,
    /// UDP ports whose datagrams are welcome although nobody here asked for them, beside those
    /// that programs on this host are bound to.
    pub udp_services: Vec<u16>,
    /// Most packets a second from one IPv4 address or IPv6 /64, in protect mode.
    pub source_rate: Option<u32>,
    /// Most new connections a second from the same.
    pub source_connection_rate: Option<u32>,
    /// Drop packets that no working stack sends, in shadow mode too.
    pub sanity: bool,
}

impl Default for KernelConfig {
    fn default() -> Self {
        KernelConfig {
            allow: Vec::new(),
            udp_services: Vec::new(),
            source_rate: None,
            source_connection_rate: None,
            sanity: true,
        }
    }
}

/// Reads the section, if it is there.
pub(super) fn read(reader: &mut Reader<'_>, top: &dyn TableLike) -> KernelConfig {
    let Some(item) = top.get("kernel") else { return KernelConfig::default() };
    let Some(table) = item.as_table_like() else {
        let line = reader.key_line(top, "kernel");
        reader.wrong_type(line, "kernel", item, "a section: [kernel]");
        return KernelConfig::default();
    };
    reader.check_keys(table, KEYS);
    let everybody = "would exempt everybody, so that nothing could ever be stopped";
    let allow = top::read_prefixes(reader, table, "allow", everybody);
    // Port 0 is nobody's (RFC 768, RFC 6335 § 6).
    let ports = reader.integers(table, "udp_services", 1, u64::from(u16::MAX)).unwrap_or_default();
    let mut udp_services: Vec<u16> = Vec::new();
    for At { value, line } in ports {
        let Ok(port) = u16::try_from(value) else { continue };
        if udp_services.contains(&port) {
            reader.wrong(line, format!("`udp_services`: {port} is given twice"));
        } else {
            udp_services.push(port);
        }
    }
    let mut rate = |key, least| {
        reader.integer(table, key, least, SOURCE_RATE_MAX).and_then(|pps| u32::try_from(pps).ok())
    };
    let source_rate = rate("source_rate", SOURCE_RATE_MIN);
    let source_connection_rate = rate("source_connection_rate", SOURCE_CONNECTION_RATE_MIN);
    let sanity = reader.boolean(table, "sanity").is_none_or(|sanity| sanity.value);
    KernelConfig { allow, udp_services, source_rate, source_connection_rate, sanity }
}

/// The interfaces, if they are named here and not by `interface` at the top.
pub(super) fn read_interfaces(reader: &mut Reader<'_>, top: &dyn TableLike) -> Option<Vec<String>> {
    let table = top.get("kernel")?.as_table_like()?;
    let read = reader.list(table, "interfaces", |name| Ok::<_, String>(name.to_owned()))?;
    let line = reader.key_line(table, "interfaces");
    let names: Vec<String> = read.into_iter().map(|at| at.value).collect();
    for what in top::check_interfaces(&names) {
        reader.wrong(line, format!("`interfaces`: {what}"));
    }
    Some(names)
}

/// Notes an allow list that the kernel's tables would not hold.
pub(super) fn check_room(reader: &mut Reader<'_>, allowed: &[Prefix]) {
    for (family, is_v4) in [("IPv4", true), ("IPv6", false)] {
        let count = allowed.iter().filter(|p| p.address().is_ipv4() == is_v4).count();
        if count > ALLOW_MAX as usize {
            reader.missing(format!(
                "`operators`, `trusted_proxies` and `allow` hold {count} {family} prefixes; the \
                 kernel filter takes {ALLOW_MAX}. Put neighbouring ones together"
            ));
        }
    }
}
