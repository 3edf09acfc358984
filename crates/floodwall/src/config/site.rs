//! A site: its names, its origin, its certificate.

use std::path::{Path, PathBuf};

use toml_edit::TableLike;

use super::reader::{At, Reader};

/// The keys known in a site.
pub(super) const KEYS: &[&str] = &["origin", "aliases", "certificate", "key"];

/// RFC 1035 § 2.3.4, in text without the final dot.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A certificate or key file is only looked into so far to tell which of the two it is.
const PEM_BYTES_LOOKED_AT: u64 = 256 << 10;

/// One site.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SiteConfig {
    /// Its host names in lower case, the one of the section first. `*.example.org` stands for one
    /// further label. Empty: every host that no other site names (`[site."*"]`).
    pub names: Vec<String>,
    /// Where its requests go.
    pub origin: OriginConfig,
    /// What it presents on TLS listeners.
    pub certificate: Option<CertificateConfig>,
}

/// An HTTP origin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginConfig {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A certificate with its key, as PEM files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateConfig {
    /// The chain, the site's own certificate first.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A site as it was read, with its lines, for checks across keys.
#[derive(Clone, Debug)]
pub(super) struct ReadSite {
    /// `None` if its origin is missing or wrong.
    pub(super) site: Option<SiteConfig>,
    pub(super) origin_line: usize,
    /// `None` if neither certificate nor key was written; wrong ones have a line.
    pub(super) certificate_line: Option<usize>,
    /// The names as written with their lines; `*` for the site of every host.
    pub(super) names: Vec<At<String>>,
}

/// Reads every `[site."…"]`.
pub(super) fn read_all(reader: &mut Reader<'_>, top: &dyn TableLike) -> Vec<ReadSite> {
    let mut sites = Vec::new();
    let Some(item) = top.get("site") else { return sites };
    let Some(all) = item.as_table_like() else {
        let line = reader.key_line(top, "site");
        reader.wrong_type(line, "site", item, "one section per site: [site.\"name\"]");
        return sites;
    };
    for (name, item) in all.iter() {
        let line = item
            .as_table()
            .and_then(|t| t.span())
            .map_or_else(|| reader.key_line(all, name), |span| reader.line_at(span.start));
        match item.as_table_like() {
            Some(table) => match unquoted_name(name, table) {
                Some(whole) => reader.wrong(
                    line,
                    format!("[site.{whole}] needs quotes around its name: [site.\"{whole}\"]"),
                ),
                None => sites.push(read_one(reader, name, line, table)),
            },
            None => reader.wrong(
                line,
                format!("`{name}` is no key of [site]; a site is a section: [site.\"name\"]"),
            ),
        }
    }
    sites
}

/// For TOML, `[site.campaign.example]` is a table in a table in a table. Returns the name that was
/// meant.
fn unquoted_name(name: &str, table: &dyn TableLike) -> Option<String> {
    let inner = |table: &dyn TableLike| {
        let is_part = |key: &str| !KEYS.contains(&key);
        table
            .iter()
            .find(|(key, item)| is_part(key) && item.is_table())
            .map(|(key, _)| key.to_owned())
    };
    let mut whole = name.to_owned();
    let mut part = inner(table)?;
    let mut table = table.get(&part)?.as_table_like()?;
    loop {
        whole.push('.');
        whole.push_str(&part);
        match inner(table) {
            Some(next) => {
                table = table.get(&next)?.as_table_like()?;
                part = next;
            }
            None => return Some(whole),
        }
    }
}

fn read_one(reader: &mut Reader<'_>, name: &str, line: usize, table: &dyn TableLike) -> ReadSite {
    reader.check_keys(table, KEYS);
    let names = read_names(reader, name, line, table);
    let origin = read_origin(reader, name, line, table);
    let given = ["certificate", "key"].into_iter().find(|key| table.contains_key(key));
    let certificate_line = given.map(|key| reader.key_line(table, key));
    let certificate = read_certificate(reader, table);
    let origin_line = origin.as_ref().map_or(line, |origin| origin.line);
    let every_host = names.iter().any(|name| name.value == "*");
    let hosts =
        if every_host { Vec::new() } else { names.iter().map(|name| name.value.clone()).collect() };
    let site = origin.map(|origin| SiteConfig { names: hosts, origin: origin.value, certificate });
    ReadSite { site, origin_line, certificate_line, names }
}

fn read_names(
    reader: &mut Reader<'_>,
    name: &str,
    line: usize,
    table: &dyn TableLike,
) -> Vec<At<String>> {
    let mut names = Vec::new();
    match parse_name(name) {
        Ok(value) => names.push(At { value, line }),
        Err(what) => reader.wrong(line, what),
    }
    let aliases = reader.list(table, "aliases", parse_name).unwrap_or_default();
    if name == "*" && !aliases.is_empty() {
        let line = reader.key_line(table, "aliases");
        reader.wrong(line, "`aliases` in [site.\"*\"], which stands for every host already");
    } else {
        names.extend(aliases);
    }
    names
}

/// A host name in lower case, or what is wrong with it.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.into());
    }
    let wrong = |what: &str| {
        Err(format!("`{text}` is not a host name: {what}; it must be like campaign.example"))
    };
    if text.contains("://") || text.contains('/') {
        return wrong("it has a scheme or a path");
    }
    if !text.is_ascii() {
        return wrong("it has letters beyond ASCII (write its xn-- form)");
    }
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    if text.contains(':') {
        return wrong("it has a port (ports stand in `listen`)");
    }
    let plain = text.strip_prefix("*.").unwrap_or(text);
    if plain.is_empty() || text.len() > NAME_BYTES_MAX {
        return wrong("it is empty or too long");
    }
    let label_is_right = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if !plain.split('.').all(label_is_right) {
        return wrong(
            "a part between dots is empty, too long, or has other characters than a-z 0-9 -",
        );
    }
    Ok(text.to_ascii_lowercase())
}

fn read_origin(
    reader: &mut Reader<'_>,
    name: &str,
    line: usize,
    table: &dyn TableLike,
) -> Option<At<OriginConfig>> {
    if !table.contains_key("origin") {
        reader.wrong(
            line,
            format!(
                "[site.\"{name}\"] has no `origin`, such as origin = \"http://127.0.0.1:8080\""
            ),
        );
        return None;
    }
    let At { value, line } = reader.string(table, "origin")?;
    match parse_origin(&value) {
        Ok(value) => Some(At { value, line }),
        Err(what) => {
            reader.wrong(line, format!("`origin`: {what}"));
            None
        }
    }
}

/// `http://host[:port]`, or what is wrong with it.
pub(super) fn parse_origin(text: &str) -> Result<OriginConfig, String> {
    let wrong =
        |what: &str| Err(format!("`{text}` {what}; it must be http://host or http://host:port"));
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong("has no scheme");
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" => {
            return Err(format!(
                "`{text}`: TLS to the origin is not supported yet; use http:// on a trusted path, \
                 such as this host or a tunnel"
            ));
        }
        _ => return wrong("has a scheme other than http"),
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return wrong("has a path (requests keep their own)");
    }
    if authority.contains('@') {
        return wrong("has a user name");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
        Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
        Some(_) => return wrong("has brackets without an IPv6 address"),
        None => match authority.find(':') {
            Some(at) => authority.split_at(at),
            None => (authority, ""),
        },
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => 80,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return wrong("has no port from 1 to 65535 (IPv6 stands in brackets)"),
        },
        None => return wrong("has something odd after its host"),
    };
    match parse_name(host) {
        Ok(host) if !host.starts_with('*') => Ok(OriginConfig { host, port }),
        _ => wrong("has no right host"),
    }
}

fn read_certificate(reader: &mut Reader<'_>, table: &dyn TableLike) -> Option<CertificateConfig> {
    let chain = reader.path(table, "certificate");
    let key = reader.path(table, "key");
    for (given, other) in [("certificate", "key"), ("key", "certificate")] {
        if table.contains_key(given) && !table.contains_key(other) {
            let line = reader.key_line(table, given);
            reader.wrong(line, format!("`{given}` without `{other}`; TLS needs both"));
        }
    }
    let mut readable = true;
    for (path, label) in [(&chain, "CERTIFICATE"), (&key, "PRIVATE KEY")] {
        if let Some(At { value, line }) = path
            && let Err(what) = look_into(value, label)
        {
            reader.wrong(*line, what);
            readable = false;
        }
    }
    match (chain, key) {
        (Some(chain), Some(key)) if readable => {
            Some(CertificateConfig { chain: chain.value, key: key.value })
        }
        _ => None,
    }
}

/// Whether the file is there, readable, and holds a PEM block of that kind (RFC 7468). Swapped
/// files are the usual mistake. Whether they fit together is found out when they are loaded.
fn look_into(path: &Path, label: &str) -> Result<(), String> {
    use std::io::Read;
    let shown = path.display();
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(PEM_BYTES_LOOKED_AT).read_to_end(&mut bytes))
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let text = String::from_utf8_lossy(&bytes);
    let begins = |line: &str| line.starts_with("-----BEGIN ") && line.contains(label);
    if text.lines().any(begins) {
        Ok(())
    } else {
        Err(format!("{shown} holds no `-----BEGIN {label}-----` (PEM)"))
    }
}
