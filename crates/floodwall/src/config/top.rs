//! The keys at the top of the file.

use std::net::SocketAddr;

use floodwall_model::{Mode, Prefix};
use toml_edit::TableLike;

use super::nearest::nearest;
use super::reader::{At, Reader};
use super::{Config, INTERFACES_MAX, event, geography, kernel, limits, site};

/// The keys known at the top.
pub(super) const KEYS: &[&str] = &[
    "mode",
    "listen",
    "listen_tls",
    "interface",
    "state_dir",
    "control_socket",
    "operators",
    "trusted_proxies",
    "calendar",
    "event",
    "site",
    "kernel",
    "geography",
    "limits",
];

/// `sun_path` has 108 bytes with its end mark (unix(7)), of which the socket's maker needs four.
const SOCKET_PATH_BYTES_MAX: usize = 103;
/// IFNAMSIZ with its end mark (linux/if.h).
const INTERFACE_BYTES_MAX: usize = 15;

/// The lines that checks across keys refer to.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) listen: Option<usize>,
    pub(super) listen_tls: Option<usize>,
    /// Entries of both lists, right or wrong.
    pub(super) entries_to_listen: usize,
    /// The line of each entry of [`Config::listen_tls`].
    pub(super) listen_tls_lines: Vec<usize>,
    /// Every site that was written, right or wrong.
    pub(super) sites: Vec<site::ReadSite>,
    /// Whether `site` was written at all.
    pub(super) any_site: bool,
}

/// Reads everything that can be judged key by key.
pub(super) fn read(reader: &mut Reader<'_>, table: &dyn TableLike) -> (Config, Places) {
    let mut config = Config::empty();
    let mut places = Places::default();
    reader.check_keys(table, KEYS);
    if let Some(mode) = read_mode(reader, table) {
        config.mode = mode;
    }
    (config.listen, _) = read_addresses(reader, table, "listen");
    (config.listen_tls, places.listen_tls_lines) = read_addresses(reader, table, "listen_tls");
    places.entries_to_listen = entries(table, "listen") + entries(table, "listen_tls");
    places.listen = table.contains_key("listen").then(|| reader.key_line(table, "listen"));
    places.listen_tls =
        table.contains_key("listen_tls").then(|| reader.key_line(table, "listen_tls"));
    if let Some(At { value, line }) = reader.string(table, "interface") {
        match check_interface(&value) {
            Ok(()) => config.interfaces = vec![value],
            Err(what) => reader.wrong(line, format!("`interface`: {what}")),
        }
    }
    if let Some(path) = reader.path(table, "state_dir") {
        config.state_dir = path.value;
    }
    if let Some(At { value, line }) = reader.path(table, "control_socket") {
        if value.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let most = SOCKET_PATH_BYTES_MAX;
            reader.wrong(line, format!("`control_socket` is longer than the {most} bytes allowed"));
        }
        config.control_socket = value;
    }
    config.operators = read_prefixes(
        reader,
        table,
        "operators",
        "would exempt everybody, so that nothing could ever be stopped",
    );
    config.trusted_proxies =
        read_prefixes(reader, table, "trusted_proxies", "would let everybody claim any address");
    places.any_site = table.contains_key("site");
    places.sites = site::read_all(reader, table);
    config.sites = places.sites.iter().filter_map(|read| read.site.clone()).collect();
    config.kernel = kernel::read(reader, table);
    if let Some(interfaces) = kernel::read_interfaces(reader, table) {
        if table.contains_key("interface") {
            let line = reader.key_line(table, "interface");
            reader.wrong(line, "`interface` and `interfaces` in [kernel] are both given; keep one");
        }
        config.interfaces = interfaces;
    }
    kernel::check_room(reader, &config.allowed());
    config.geography = geography::read(reader, table);
    config.limits = limits::read(reader, table);
    event::read(reader, table, &mut config);
    (config, places)
}

fn read_mode(reader: &mut Reader<'_>, table: &dyn TableLike) -> Option<Mode> {
    let At { value, line } = reader.string(table, "mode")?;
    match value.as_str() {
        "shadow" => return Some(Mode::Shadow),
        "protect" => return Some(Mode::Protect),
        _ => {}
    }
    let guess = nearest(&value, &["shadow", "protect"]);
    let guess = guess.map_or_else(String::new, |guess| format!("; did you mean \"{guess}\"?"));
    let allowed = "\"shadow\" (decide and record) or \"protect\" (act)";
    reader.wrong(line, format!("`mode` is \"{value}\"; it must be {allowed}{guess}"));
    None
}

fn entries(table: &dyn TableLike, key: &str) -> usize {
    table.get(key).map_or(0, |item| item.as_array().map_or(1, toml_edit::Array::len))
}

fn read_addresses(
    reader: &mut Reader<'_>,
    table: &dyn TableLike,
    key: &str,
) -> (Vec<SocketAddr>, Vec<usize>) {
    let read = reader.list(table, key, parse_address).unwrap_or_default();
    let mut addresses = Vec::new();
    let mut lines = Vec::new();
    for At { value, line } in read {
        if addresses.contains(&value) {
            reader.wrong(line, format!("`{key}`: `{value}` is given twice"));
        } else {
            addresses.push(value);
            lines.push(line);
        }
    }
    (addresses, lines)
}

/// An address to listen on, or what is wrong with it.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not an address with a port, such as 0.0.0.0:80 or [::]:443")
    })
}

/// Whether the kernel could have an interface of that name (linux, `dev_valid_name`).
pub(super) fn check_interface(name: &str) -> Result<(), String> {
    let odd = |c: char| c.is_whitespace() || c == '/' || c == ':' || c == '\0';
    if name.is_empty() || matches!(name, "." | "..") || name.contains(odd) {
        return Err(format!("`{name}` is not a name of an interface, such as eth0"));
    }
    if name.len() > INTERFACE_BYTES_MAX {
        return Err(format!("`{name}` is longer than the {INTERFACE_BYTES_MAX} bytes allowed"));
    }
    Ok(())
}

/// What is wrong with a list of interfaces.
pub(super) fn check_interfaces(names: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if let Err(what) = check_interface(name) {
            wrong.push(what);
        }
        if names.iter().take(at).any(|earlier| earlier == name) {
            wrong.push(format!("`{name}` is given twice"));
        }
    }
    if names.len() > INTERFACES_MAX {
        wrong.push(format!("{} are given; at most {INTERFACES_MAX} are possible", names.len()));
    }
    wrong
}

pub(super) fn read_prefixes(
    reader: &mut Reader<'_>,
    table: &dyn TableLike,
    key: &str,
    everybody: &str,
) -> Vec<Prefix> {
    let parse = |text: &str| text.parse::<Prefix>().map_err(|error| error.to_string());
    let mut prefixes = Vec::new();
    for At { value, line } in reader.list(table, key, parse).unwrap_or_default() {
        if value.bits() == 0 {
            reader.wrong(line, format!("`{key}`: `{value}` {everybody}"));
        } else {
            prefixes.push(value);
        }
    }
    prefixes
}
