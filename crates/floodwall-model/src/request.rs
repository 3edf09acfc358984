//! From the parts of a request to its row of attributes.
//!
//! Every observer (gateway, log reader, simulation) fills in what it can see and gets the same row
//! for the same request. What it cannot see stays [`ValueId::UNKNOWN`], which no predicate matches
//! by accident because no rule is ever made of it.

use std::sync::Arc;

use crate::claim::{Hints, claim};
use crate::geography::{Geography, NetworkClass, PlaceIds, Places};
use crate::limits::{BATCH_NAMES_MAX, VALUE_TEXT_BYTES_MAX};
use crate::observation::RequestKind;
use crate::source::Source;
use crate::template::{agent_shape, language_shape, path_template, printable, query_shape};
use crate::value::{ATTR_COUNT, Attr, Attrs, ValueId, ValueKey, ValueName};

/// Something that may be invisible, absent, or there.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Seen<T> {
    /// The observer cannot see it.
    #[default]
    Unknown,
    /// The observer can see that it is not there.
    Absent,
    /// This is it.
    Is(T),
}

/// The parts of a request that an observer can see, borrowed from wherever they lie.
#[derive(Copy, Clone, Debug, Default)]
pub struct RequestFacts<'a> {
    /// Method, as sent.
    pub method: &'a [u8],
    /// Path without query, as sent.
    pub path: &'a [u8],
    /// Query without `?`; empty when there is none.
    pub query: &'a [u8],
    /// Protocol version in a fixed spelling: `HTTP/1.1`, `HTTP/2`.
    pub version: &'a [u8],
    /// Host, lower case, without port.
    pub host: Seen<&'a [u8]>,
    /// Names of all header fields in the order sent, lower case, joined by commas.
    pub header_names: Seen<&'a [u8]>,
    /// User-Agent.
    pub user_agent: Seen<&'a [u8]>,
    /// Accept-Language.
    pub language: Seen<&'a [u8]>,
    /// Referer.
    pub referer: Seen<&'a [u8]>,
    /// Whether a Cookie came along.
    pub cookie: Seen<()>,
    /// Sec-Fetch-Dest, which says outright what the browser wants it for.
    pub fetch_dest: Seen<&'a [u8]>,
    /// Accept.
    pub accept: Seen<&'a [u8]>,
    /// Accept-Encoding.
    pub encodings: Seen<&'a [u8]>,
    /// Client hints.
    pub hints: Hints<'a>,
    /// Who sent it, to look its place up. `None`: unknown, or no address of the sender's own.
    pub source: Option<Source>,
}

/// Header fields that one and the same client sends on some requests and not on others. They are
/// left out of the header order, which would otherwise describe the page instead of the client.
pub const VARYING_HEADERS: [&str; 16] = [
    "authorization",
    "cache-control",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "origin",
    "pragma",
    "range",
    "referer",
    "sec-fetch-user",
    "upgrade-insecure-requests",
    "x-requested-with",
];

/// Slots per attribute for names announced already. When two ids share a slot the later one wins
/// and the earlier is announced again when next met; that costs bytes, never correctness.
const ANNOUNCED_SLOTS: usize = 1_024;

/// Fills rows and announces names. One per edge worker; owns its scratch space.
#[derive(Debug)]
pub struct AttrWriter {
    key: ValueKey,
    scratch: Vec<u8>,
    announced: Box<[[u64; ANNOUNCED_SLOTS]; ATTR_COUNT]>,
    names: Vec<ValueName>,
    names_dropped: u64,
    places: Option<Places>,
}

impl AttrWriter {
    /// A writer under `key`.
    pub fn new(key: ValueKey) -> Self {
        AttrWriter {
            key,
            scratch: Vec::with_capacity(512),
            announced: Box::new([[0; ANNOUNCED_SLOTS]; ATTR_COUNT]),
            names: Vec::new(),
            names_dropped: 0,
            places: None,
        }
    }

    /// The same with somebody who knows where addresses belong. Without: places stay unknown.
    pub fn with_geography(mut self, geography: Option<Arc<dyn Geography>>) -> Self {
        self.places = geography.map(Places::new);
        self
    }

    /// The names met since the last call, at most [`BATCH_NAMES_MAX`].
    pub fn take_names(&mut self) -> Vec<ValueName> {
        std::mem::take(&mut self.names)
    }

    /// How many names did not fit into their batch since the start.
    pub const fn names_dropped(&self) -> u64 {
        self.names_dropped
    }

    /// The row of attributes of a request.
    pub fn attrs(&mut self, facts: &RequestFacts<'_>) -> Attrs {
        let mut attrs = Attrs::default();
        attrs[Attr::Method] = self.value(Attr::Method, facts.method);
        attrs[Attr::HttpVersion] = self.value(Attr::HttpVersion, facts.version);
        attrs[Attr::Host] = self.seen(Attr::Host, facts.host);
        attrs[Attr::Language] = self.seen(Attr::Language, facts.language);
        attrs[Attr::UserAgent] = self.seen(Attr::UserAgent, facts.user_agent);
        attrs[Attr::AgentShape] = match facts.user_agent {
            Seen::Is(agent) => self.shaped(Attr::AgentShape, agent, agent_shape),
            other => self.seen(Attr::AgentShape, other),
        };
        attrs[Attr::PathTemplate] = self.shaped(Attr::PathTemplate, facts.path, path_template);
        attrs[Attr::QueryShape] = if facts.query.is_empty() {
            ValueId::ABSENT
        } else {
            self.shaped(Attr::QueryShape, facts.query, query_shape)
        };
        attrs[Attr::HeaderOrder] = match facts.header_names {
            Seen::Is(names) => self.shaped(Attr::HeaderOrder, names, steady_header_names),
            other => self.seen(Attr::HeaderOrder, other),
        };
        attrs[Attr::CookieState] = match facts.cookie {
            Seen::Unknown => ValueId::UNKNOWN,
            Seen::Absent => ValueId::ABSENT,
            Seen::Is(()) => self.value(Attr::CookieState, b"sent"),
        };
        attrs[Attr::RefererClass] = self.referer_class(facts);
        attrs[Attr::Accept] = self.accept(facts);
        attrs[Attr::ClientHints] = self.joined(Attr::ClientHints, &facts.hints.parts());
        attrs[Attr::Claim] = claim(facts, request_kind(facts) == RequestKind::Page);
        self.derive(facts, &mut attrs);
        if let Some(source) = facts.source {
            let [country, network, class] = self.place(source);
            attrs[Attr::Country] = country;
            attrs[Attr::Network] = network;
            attrs[Attr::NetworkClass] = class;
        }
        attrs
    }

    /// The values of the source's place.
    fn place(&mut self, source: Source) -> PlaceIds {
        let Some(mut places) = self.places.take() else { return PlaceIds::default() };
        let ids = places.remembered(source).unwrap_or_else(|| self.look_up(source, &mut places));
        self.places = Some(places);
        ids
    }

    fn look_up(&mut self, source: Source, places: &mut Places) -> PlaceIds {
        let place = places.ask(source);
        let dropped = self.names_dropped;
        let country = place.country.map(|c| self.value(Attr::Country, c.letters()));
        // The number alone makes the value: two databases may spell the name differently.
        let network = place.network.map(|network| {
            let id = self.key.id(Attr::Network, &network.number.to_be_bytes());
            self.announce(Attr::Network, id, network.to_string().as_bytes());
            id
        });
        let class = place.class.map(NetworkClass::id);
        let ids = [country, network, class].map(|id| id.unwrap_or(ValueId::UNKNOWN));
        // What could not be announced is looked up again, or it would never be.
        if place.of_whole_network && self.names_dropped == dropped {
            places.remember(source, ids);
        }
        ids
    }

    /// Fills in what is made of other attributes.
    fn derive(&mut self, facts: &RequestFacts<'_>, attrs: &mut Attrs) {
        let [brands, mobile, platform] = facts.hints.parts();
        let wording = self.shape_id(Attr::Language, facts.language, language_shape);
        let brands = self.shape_id(Attr::ClientHints, brands, agent_shape);
        let mobile = self.shape_id(Attr::ClientHints, mobile, agent_shape);
        let platform = self.shape_id(Attr::ClientHints, platform, agent_shape);
        let tls = attrs[Attr::Ja4];
        let (version, order) = (attrs[Attr::HttpVersion], attrs[Attr::HeaderOrder]);
        let wanted = attrs[Attr::Accept];
        let shape = attrs[Attr::AgentShape];
        attrs[Attr::Stack] = self.key.combine(
            Attr::Stack,
            &[tls, version, order, wanted, wording, shape, brands, mobile, platform],
        );
        let (agent, hints) = (attrs[Attr::UserAgent], attrs[Attr::ClientHints]);
        attrs[Attr::Implementation] = self
            .key
            .combine(Attr::Implementation, &[tls, version, order, wanted, wording, agent, hints]);
    }

    /// Of a page: what a browser accepts for an image differs from image to image.
    fn accept(&mut self, facts: &RequestFacts<'_>) -> ValueId {
        if request_kind(facts) != RequestKind::Page {
            return ValueId::UNKNOWN;
        }
        self.joined(Attr::Accept, &[facts.accept, facts.encodings])
    }

    /// Several fields as one value: absent if all are, unknown if one is.
    fn joined(&mut self, attr: Attr, parts: &[Seen<&[u8]>]) -> ValueId {
        if parts.contains(&Seen::Unknown) {
            return ValueId::UNKNOWN;
        }
        if parts.iter().all(|part| *part == Seen::Absent) {
            return ValueId::ABSENT;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                scratch.extend_from_slice(b" | ");
            }
            if let Seen::Is(text) = part {
                scratch.extend_from_slice(text);
            }
        }
        let id = self.value(attr, &scratch);
        self.scratch = scratch;
        id
    }

    /// The id of a text's shape, which nobody needs to read.
    fn shape_id(
        &mut self,
        attr: Attr,
        seen: Seen<&[u8]>,
        shape: fn(&[u8], &mut Vec<u8>),
    ) -> ValueId {
        match seen {
            Seen::Unknown => ValueId::UNKNOWN,
            Seen::Absent => ValueId::ABSENT,
            Seen::Is(text) => {
                shape(text, &mut self.scratch);
                self.key.id(attr, &self.scratch)
            }
        }
    }

    fn referer_class(&mut self, facts: &RequestFacts<'_>) -> ValueId {
        let referer = match facts.referer {
            Seen::Unknown => return ValueId::UNKNOWN,
            Seen::Absent => return ValueId::ABSENT,
            Seen::Is(referer) => referer,
        };
        let class: &[u8] = match (referer_host(referer), facts.host) {
            (None, _) => b"not a web address",
            (Some(_), Seen::Unknown | Seen::Absent) => b"a page",
            (Some(host), Seen::Is(own)) if host.eq_ignore_ascii_case(own) => b"this site",
            (Some(_), Seen::Is(_)) => b"another site",
        };
        self.value(Attr::RefererClass, class)
    }

    fn seen(&mut self, attr: Attr, seen: Seen<&[u8]>) -> ValueId {
        match seen {
            Seen::Unknown => ValueId::UNKNOWN,
            Seen::Absent => ValueId::ABSENT,
            Seen::Is(bytes) => self.value(attr, bytes),
        }
    }

    fn shaped(&mut self, attr: Attr, bytes: &[u8], shape: fn(&[u8], &mut Vec<u8>)) -> ValueId {
        let mut scratch = std::mem::take(&mut self.scratch);
        shape(bytes, &mut scratch);
        let id = self.value(attr, &scratch);
        self.scratch = scratch;
        id
    }

    fn value(&mut self, attr: Attr, bytes: &[u8]) -> ValueId {
        let id = self.key.id(attr, bytes);
        self.announce(attr, id, bytes);
        id
    }

    fn announce(&mut self, attr: Attr, id: ValueId, bytes: &[u8]) {
        let slot = &mut self.announced[attr as usize][id.0 as usize % ANNOUNCED_SLOTS];
        if *slot != id.0 {
            if self.names.len() < BATCH_NAMES_MAX {
                *slot = id.0;
                let text = printable(bytes, VALUE_TEXT_BYTES_MAX).into_boxed_str();
                self.names.push(ValueName { attr, id, text });
            } else {
                self.names_dropped += 1;
            }
        }
    }
}

/// Copies the comma-joined `names` without [`VARYING_HEADERS`].
fn steady_header_names(names: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for name in names.split(|b| *b == b',') {
        let varies = VARYING_HEADERS.binary_search_by(|v| v.as_bytes().cmp(name)).is_ok();
        if !varies && !name.is_empty() {
            if !out.is_empty() {
                out.push(b',');
            }
            out.extend_from_slice(name);
        }
    }
}

/// The host part of an `http` or `https` address, without port.
fn referer_host(referer: &[u8]) -> Option<&[u8]> {
    let rest = referer.strip_prefix(b"https://").or_else(|| referer.strip_prefix(b"http://"))?;
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let host = &rest[..end];
    let end = memchr::memchr(b':', host).unwrap_or(host.len());
    (end > 0).then_some(&host[..end])
}

/// What kind of thing a request asks for: by what the browser declares, else by the ending of the
/// path, else by what it accepts.
pub fn request_kind(facts: &RequestFacts<'_>) -> RequestKind {
    if !matches!(facts.method, b"GET" | b"HEAD") {
        return RequestKind::Other;
    }
    if let Seen::Is(dest) = facts.fetch_dest {
        return match dest {
            b"document" | b"iframe" | b"frame" => RequestKind::Page,
            b"empty" | b"report" | b"serviceworker" => RequestKind::Other,
            _ => RequestKind::Asset,
        };
    }
    match extension(facts.path) {
        Some(ext) if is_asset_extension(ext) => RequestKind::Asset,
        Some(ext) if is_data_extension(ext) => RequestKind::Other,
        _ => match facts.accept {
            Seen::Is(accept) if memchr::memmem::find(accept, b"text/html").is_some() => {
                RequestKind::Page
            }
            // A client that accepts anything still asked for a document's address.
            Seen::Is(accept) if memchr::memmem::find(accept, b"*/*").is_none() => {
                RequestKind::Other
            }
            _ => RequestKind::Page,
        },
    }
}

fn extension(path: &[u8]) -> Option<&[u8]> {
    let name = &path[memchr::memrchr(b'/', path).map_or(0, |at| at + 1)..];
    let dot = memchr::memrchr(b'.', name)?;
    let ext = &name[dot + 1..];
    (!ext.is_empty() && ext.len() <= 8).then_some(ext)
}

fn is_asset_extension(ext: &[u8]) -> bool {
    const ASSETS: [&[u8]; 25] = [
        b"css",
        b"js",
        b"mjs",
        b"png",
        b"jpg",
        b"jpeg",
        b"gif",
        b"svg",
        b"ico",
        b"webp",
        b"avif",
        b"woff",
        b"woff2",
        b"ttf",
        b"otf",
        b"eot",
        b"map",
        b"mp4",
        b"webm",
        b"mp3",
        b"ogg",
        b"bmp",
        b"wasm",
        b"webmanifest",
        b"cur",
    ];
    ASSETS.iter().any(|a| a.eq_ignore_ascii_case(ext))
}

fn is_data_extension(ext: &[u8]) -> bool {
    const DATA: [&[u8]; 8] = [b"json", b"xml", b"rss", b"atom", b"txt", b"csv", b"ics", b"zip"];
    DATA.iter().any(|a| a.eq_ignore_ascii_case(ext))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>(path: &'a [u8]) -> RequestFacts<'a> {
        RequestFacts { method: b"GET", path, version: b"HTTP/1.1", ..RequestFacts::default() }
    }

    #[test]
    fn varying_headers_are_sorted_for_the_search() {
        assert!(VARYING_HEADERS.is_sorted());
    }

    #[test]
    fn what_an_observer_cannot_see_stays_unknown() {
        let attrs = AttrWriter::new(ValueKey::new(1, 2)).attrs(&facts(b"/"));
        assert_eq!(attrs[Attr::HeaderOrder], ValueId::UNKNOWN);
        assert_eq!(attrs[Attr::QueryShape], ValueId::ABSENT);
        assert!(attrs[Attr::PathTemplate].is_known());
    }

    #[test]
    fn a_new_release_keeps_the_make_and_another_header_does_not() {
        let agent = b"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";
        let newer = b"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
        let browser = RequestFacts {
            user_agent: Seen::Is(agent),
            language: Seen::Is(b"en-GB,en;q=0.5"),
            accept: Seen::Is(b"text/html,*/*;q=0.8"),
            encodings: Seen::Is(b"gzip, deflate, br"),
            header_names: Seen::Is(b"user-agent,accept,accept-language"),
            ..facts(b"/")
        };
        let mut writer = AttrWriter::new(ValueKey::new(1, 2));
        let first = writer.attrs(&browser);
        let updated = writer.attrs(&RequestFacts { user_agent: Seen::Is(newer), ..browser });
        assert_eq!(first[Attr::Stack], updated[Attr::Stack]);
        assert_ne!(first[Attr::Implementation], updated[Attr::Implementation]);
        let polish =
            writer.attrs(&RequestFacts { language: Seen::Is(b"pl-PL,pl;q=0.5"), ..browser });
        assert_eq!(first[Attr::Stack], polish[Attr::Stack], "a language is not software");
        let worded = writer.attrs(&RequestFacts { language: Seen::Is(b"pl,en;q=0.9"), ..browser });
        assert_ne!(first[Attr::Stack], worded[Attr::Stack]);
        let plain = writer.attrs(&RequestFacts { encodings: Seen::Is(b"gzip"), ..browser });
        assert_ne!(first[Attr::Stack], plain[Attr::Stack]);
    }

    #[test]
    fn what_an_image_is_wanted_as_is_not_looked_at() {
        let mut writer = AttrWriter::new(ValueKey::new(1, 2));
        let image = RequestFacts {
            accept: Seen::Is(b"image/avif,*/*;q=0.8"),
            encodings: Seen::Is(b"gzip"),
            ..facts(b"/a.png")
        };
        assert_eq!(writer.attrs(&image)[Attr::Accept], ValueId::UNKNOWN);
        assert!(writer.attrs(&RequestFacts { path: b"/a", ..image })[Attr::Accept].is_known());
    }

    #[test]
    fn a_cookie_does_not_change_the_header_order() {
        let mut writer = AttrWriter::new(ValueKey::new(1, 2));
        let with = |names| RequestFacts { header_names: Seen::Is(names), ..facts(b"/") };
        let a = writer.attrs(&with(b"host,user-agent,accept,cookie"));
        let b = writer.attrs(&with(b"host,user-agent,accept"));
        let c = writer.attrs(&with(b"host,accept,user-agent"));
        assert_eq!(a[Attr::HeaderOrder], b[Attr::HeaderOrder]);
        assert_ne!(a[Attr::HeaderOrder], c[Attr::HeaderOrder]);
    }

    #[test]
    fn a_name_is_announced_once() {
        let mut writer = AttrWriter::new(ValueKey::new(1, 2));
        writer.attrs(&facts(b"/a/1"));
        let first = writer.take_names();
        assert!(first.iter().any(|n| &*n.text == "/a/{n}"));
        writer.attrs(&facts(b"/a/2"));
        assert!(writer.take_names().is_empty());
    }

    #[test]
    fn names_of_a_flood_of_new_values_are_bounded_and_counted() {
        let mut writer = AttrWriter::new(ValueKey::new(1, 2));
        for n in 0..5_000 {
            let path = format!("/{}", "x".repeat(n % 97) + &"ab".repeat(n / 97));
            writer.attrs(&facts(path.as_bytes()));
        }
        assert!(writer.take_names().len() <= BATCH_NAMES_MAX);
        assert!(writer.names_dropped() > 0);
    }

    #[test]
    fn kinds_follow_declaration_then_ending_then_accept() {
        let kind = |f: RequestFacts<'_>| request_kind(&f);
        assert_eq!(kind(facts(b"/")), RequestKind::Page);
        assert_eq!(kind(facts(b"/a.CSS")), RequestKind::Asset);
        assert_eq!(kind(facts(b"/feed.xml")), RequestKind::Other);
        assert_eq!(kind(facts(b"/page.php")), RequestKind::Page);
        let post = RequestFacts { method: b"POST", ..facts(b"/") };
        assert_eq!(kind(post), RequestKind::Other);
        let image = RequestFacts { fetch_dest: Seen::Is(b"image"), ..facts(b"/render") };
        assert_eq!(kind(image), RequestKind::Asset);
        let api = RequestFacts { accept: Seen::Is(b"application/json"), ..facts(b"/api") };
        assert_eq!(kind(api), RequestKind::Other);
    }

    #[test]
    fn referers_are_classed_by_host() {
        let mut writer = AttrWriter::new(ValueKey::new(1, 2));
        let own = RequestFacts {
            host: Seen::Is(b"a.example"),
            referer: Seen::Is(b"https://A.example:443/x"),
            ..facts(b"/")
        };
        writer.attrs(&own);
        let names = writer.take_names();
        assert!(names.iter().any(|n| &*n.text == "this site"));
    }
}
