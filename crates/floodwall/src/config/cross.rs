//! Checks across keys: what is right by itself and wrong together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::reader::Reader;
use super::site::{OriginConfig, SiteConfig};
use super::top::Places;
use super::{Config, LISTEN_PORTS};

/// Notes what does not go together, and fills in the default listener.
pub(super) fn check(reader: &mut Reader<'_>, config: &mut Config, places: &Places) {
    if places.listen.is_none() && places.listen_tls.is_none() {
        config.listen = default_listen(&config.sites);
    }
    listeners(reader, config, places);
    names(reader, places);
    certificates(reader, config, places);
    for read in &places.sites {
        if let Some(what) = read.site.as_ref().and_then(|site| loops(&site.origin, config)) {
            reader.wrong(read.origin_line, format!("`origin`: {what}"));
        }
    }
    if !places.any_site {
        reader.missing(
            "no site; add [site.\"campaign.example\"] with origin = \"http://127.0.0.1:8080\"",
        );
    }
}

fn listeners(reader: &mut Reader<'_>, config: &Config, places: &Places) {
    for (address, line) in config.listen_tls.iter().zip(&places.listen_tls_lines) {
        if config.listen.contains(address) {
            reader.wrong(*line, format!("`{address}` stands in `listen` and in `listen_tls`"));
        }
    }
    // Empty as it is written; wrong entries have been noted.
    if places.entries_to_listen == 0
        && let Some(line) = places.listen.or(places.listen_tls)
    {
        reader.wrong(line, "nothing to listen on; leave `listen` out for the default");
    }
}

fn names(reader: &mut Reader<'_>, places: &Places) {
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for name in places.sites.iter().flat_map(|site| &site.names) {
        match seen.iter().find(|(other, _)| *other == name.value) {
            Some((_, first)) => {
                let message = format!("the name `{}` is taken by line {first}", name.value);
                reader.wrong(name.line, message);
            }
            None => seen.push((&name.value, name.line)),
        }
    }
}

fn certificates(reader: &mut Reader<'_>, config: &Config, places: &Places) {
    // Wrong certificates have been noted: only none at all is worth a further line.
    let mut given = places.sites.iter().filter_map(|read| read.certificate_line).peekable();
    if let Some(line) = places.listen_tls
        && !config.listen_tls.is_empty()
        && given.peek().is_none()
    {
        reader.wrong(line, "`listen_tls` needs at least one site with `certificate` and `key`");
    }
    if places.listen_tls.is_none() {
        for line in given {
            reader.wrong(line, "a certificate without `listen_tls`: nothing would present it");
        }
    }
}

/// The listener where none is given.
pub(super) fn default_listen(sites: &[SiteConfig]) -> Vec<SocketAddr> {
    let here = |port: u16| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let free = |port: &&u16| !sites.iter().any(|site| is_same_place(&site.origin, here(**port)));
    LISTEN_PORTS.iter().find(free).map(|port| here(*port)).into_iter().collect()
}

/// Says so if the origin is a listener of ours: every request would come back for ever.
pub(super) fn loops(origin: &OriginConfig, config: &Config) -> Option<String> {
    let listeners = config.listen.iter().chain(&config.listen_tls);
    let own = listeners.copied().find(|listener| is_same_place(origin, *listener))?;
    Some(format!(
        "port {} of this host is where Floodwall itself listens ({own}); give one of them another \
         port",
        origin.port
    ))
}

/// Whether a request to `origin` would arrive at `listener`, as far as can be told without asking
/// the network: names other than localhost are taken for other hosts.
fn is_same_place(origin: &OriginConfig, listener: SocketAddr) -> bool {
    if origin.port != listener.port() || listener.port() == 0 {
        return false;
    }
    let own = listener.ip();
    let host: IpAddr = match origin.host.parse() {
        Ok(address) => address,
        Err(_) => return origin.host == "localhost" && (own.is_loopback() || own.is_unspecified()),
    };
    let on_this_host = host.is_loopback() || host.is_unspecified();
    host == own || (on_this_host && own.is_unspecified() && host.is_ipv4() == own.is_ipv4())
}
