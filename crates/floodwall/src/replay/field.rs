//! Which field of a JSON log means what: names in use by common servers, and the user's own.
//!
//! Names are dotted paths into nested objects (`request.headers.User-Agent`); a flat key that
//! contains dots is found as well. Built once per run; looking a key up never allocates.

/// What a field tells.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Field {
    Time,
    Source,
    Request,
    Method,
    Target,
    Query,
    Version,
    Status,
    Bytes,
    Referer,
    Agent,
    Host,
    Language,
    Accept,
    FetchDest,
    Cookie,
    OriginTime,
    /// The object that holds all request headers: what is missing in it was not sent.
    Headers,
}

/// Number of fields.
pub(crate) const FIELD_COUNT: usize = Field::Headers as usize + 1;

/// Names per field, the most telling first: the first one present counts. Where two names are
/// usual for one time, the finer comes first. In turn: nginx habits, Caddy, Traefik, Elastic Common
/// Schema, Google load balancers.
#[rustfmt::skip]
const SYNONYMS: [(Field, &str, &[&str]); FIELD_COUNT] = [
    (Field::Time, "time", &[
        "msec", "time_msec", "timestamp_ms", "ts", "time_iso8601", "StartUTC", "timestamp",
        "@timestamp", "time", "time_local", "datetime", "date",
    ]),
    (Field::Source, "source", &[
        "remote_addr", "client_ip", "clientip", "clientIp", "remote_ip", "remoteAddr",
        "request.client_ip", "request.remote_ip", "request.remote_addr", "ClientHost", "client.ip",
        "source.ip", "httpRequest.remoteIp", "client_addr", "src_ip", "ip", "remote_host", "client",
    ]),
    (Field::Request, "request", &["request", "request_line"]),
    (Field::Method, "method", &[
        "request_method", "method", "request.method", "RequestMethod", "http.request.method",
        "httpRequest.requestMethod", "http_method", "verb",
    ]),
    (Field::Target, "target", &[
        "request_uri", "uri", "request.uri", "RequestPath", "url.original", "url", "path",
        "url.path", "httpRequest.requestUrl", "request_path", "uri_path",
    ]),
    (Field::Query, "query", &["query_string", "args", "query", "url.query", "uri_query"]),
    (Field::Version, "version", &[
        "server_protocol", "protocol", "request.proto", "RequestProtocol", "http_version",
        "http.version", "httpRequest.protocol", "httpversion", "proto",
    ]),
    (Field::Status, "status", &[
        "status", "status_code", "DownstreamStatus", "http.response.status_code",
        "httpRequest.status", "response", "code",
    ]),
    (Field::Bytes, "bytes", &[
        "body_bytes_sent", "bytes_sent", "bytes", "size", "DownstreamContentSize",
        "http.response.body.bytes", "httpRequest.responseSize", "response_size",
    ]),
    (Field::Referer, "referer", &[
        "http_referer", "http_referrer", "referer", "referrer", "request.headers.Referer",
        "request_Referer", "http.request.referrer", "httpRequest.referer",
    ]),
    (Field::Agent, "agent", &[
        "http_user_agent", "user_agent", "request.headers.User-Agent", "userAgent", "useragent",
        "request_User-Agent", "user_agent.original", "httpRequest.userAgent", "agent",
    ]),
    (Field::Host, "host", &[
        "http_host", "host", "request.host", "RequestHost", "vhost", "virtual_host", "server_name",
        "url.domain",
    ]),
    (Field::Language, "language", &[
        "http_accept_language", "accept_language", "request.headers.Accept-Language",
    ]),
    (Field::Accept, "accept", &["http_accept", "request.headers.Accept"]),
    (Field::FetchDest, "fetch_dest", &[
        "http_sec_fetch_dest", "sec_fetch_dest", "request.headers.Sec-Fetch-Dest",
    ]),
    (Field::Cookie, "cookie", &["http_cookie", "request.headers.Cookie"]),
    (Field::OriginTime, "request_time", &[
        "upstream_header_time", "upstream_response_time", "request_time", "duration",
    ]),
    (Field::Headers, "headers", &["request.headers"]),
];

/// A user's own name for a field: `--field source=http_x_forwarded_for`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldName {
    field: Field,
    path: String,
}

impl std::str::FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) =
            text.split_once('=').ok_or("write it as FIELD=NAME, e.g. source=remote_addr")?;
        if path.is_empty() || path.split('.').any(str::is_empty) {
            return Err("the name after = is empty or has an empty part".to_owned());
        }
        let known = |(_, n, _): &&(Field, &str, &[&str])| *n == name;
        match SYNONYMS.iter().find(known) {
            Some((field, _, _)) => Ok(FieldName { field: *field, path: path.to_owned() }),
            None => {
                let names: Vec<&str> = SYNONYMS.iter().map(|(_, name, _)| *name).collect();
                Err(format!("`{name}` is no field; the fields are {}", names.join(", ")))
            }
        }
    }
}

/// What a name stands for.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Meaning {
    pub(crate) field: Field,
    /// Lower is more telling.
    pub(crate) rank: u8,
    /// The name says that it is a forwarded header.
    pub(crate) forwarded: bool,
}

#[derive(Debug, Default)]
struct Node {
    /// Sorted by name.
    children: Vec<(Box<str>, usize)>,
    meaning: Option<Meaning>,
}

/// A place among nested objects.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place(usize);

/// All names, as a tree of objects.
#[derive(Debug)]
pub(crate) struct FieldTree {
    nodes: Vec<Node>,
}

impl FieldTree {
    /// The outermost object.
    pub(crate) const ROOT: Place = Place(0);

    /// The usual names, those of a field replaced where `own` names it.
    pub(crate) fn new(own: &[FieldName]) -> Self {
        let mut tree = FieldTree { nodes: vec![Node::default()] };
        for (field, _, synonyms) in SYNONYMS {
            let chosen: Vec<&str> =
                own.iter().filter(|o| o.field == field).map(|o| o.path.as_str()).collect();
            let names = if chosen.is_empty() { synonyms } else { &chosen };
            for (rank, path) in names.iter().enumerate() {
                let forwarded = path.to_ascii_lowercase().contains("forward");
                let meaning = Meaning { field, rank: rank.min(255) as u8, forwarded };
                tree.insert(&path.split('.').collect::<Vec<_>>(), meaning);
                tree.insert(&[path], meaning);
            }
        }
        for node in &mut tree.nodes {
            node.children.sort();
        }
        tree
    }

    fn insert(&mut self, path: &[&str], meaning: Meaning) {
        let mut at = 0;
        for name in path {
            let known = self.nodes[at].children.iter().find(|(n, _)| **n == **name);
            at = match known {
                Some((_, child)) => *child,
                None => {
                    self.nodes.push(Node::default());
                    let child = self.nodes.len() - 1;
                    self.nodes[at].children.push(((*name).into(), child));
                    child
                }
            };
        }
        // The user's name for one field may be the usual name of another: the user's came to say so.
        let node = &mut self.nodes[at];
        if node.meaning.is_none_or(|m| m.rank > meaning.rank) {
            node.meaning = Some(meaning);
        }
    }

    /// The place of `key` inside `place`, if any name leads there.
    pub(crate) fn enter(&self, place: Place, key: &str) -> Option<Place> {
        let children = &self.nodes.get(place.0)?.children;
        let at = children.binary_search_by(|(name, _)| (**name).cmp(key)).ok()?;
        children.get(at).map(|(_, child)| Place(*child))
    }

    /// What a value at `place` means.
    pub(crate) fn meaning(&self, place: Place) -> Option<Meaning> {
        self.nodes.get(place.0)?.meaning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_stands_at_its_own_place() {
        for (index, (field, _, names)) in SYNONYMS.iter().enumerate() {
            assert_eq!(*field as usize, index);
            assert!(!names.is_empty());
        }
    }

    #[test]
    fn no_usual_name_means_two_things() {
        let mut names: Vec<&str> =
            SYNONYMS.iter().flat_map(|(_, _, names)| names.iter().copied()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn names_lead_to_meanings_nested_or_flat() {
        let tree = FieldTree::new(&[]);
        let find = |path: &[&str]| {
            let place = path.iter().try_fold(FieldTree::ROOT, |at, key| tree.enter(at, key))?;
            tree.meaning(place).map(|m| m.field)
        };
        assert_eq!(find(&["remote_addr"]), Some(Field::Source));
        assert_eq!(find(&["request"]), Some(Field::Request));
        assert_eq!(find(&["request", "headers", "User-Agent"]), Some(Field::Agent));
        assert_eq!(find(&["request", "headers"]), Some(Field::Headers));
        assert_eq!(find(&["source.ip"]), Some(Field::Source));
        assert_eq!(find(&["source", "ip"]), Some(Field::Source));
        assert_eq!(find(&["nothing"]), None);
    }

    #[test]
    fn a_users_name_replaces_the_usual_ones() {
        let own = ["source=http_x_forwarded_for", "time=when.exactly"].map(|t| t.parse().unwrap());
        let tree = FieldTree::new(&own);
        assert!(tree.enter(FieldTree::ROOT, "remote_addr").is_none());
        let place = tree.enter(FieldTree::ROOT, "http_x_forwarded_for").unwrap();
        assert!(tree.meaning(place).unwrap().forwarded);
        let when = tree.enter(FieldTree::ROOT, "when").unwrap();
        let exactly = tree.enter(when, "exactly").unwrap();
        assert_eq!(tree.meaning(exactly).unwrap().field, Field::Time);
    }

    #[test]
    fn wrong_field_options_say_what_is_wrong() {
        let wrong = |text: &str| text.parse::<FieldName>().unwrap_err();
        assert!(wrong("source").contains("FIELD=NAME"));
        assert!(wrong("sauce=x").contains("source"));
        assert!(wrong("source=").contains("empty"));
        assert!(wrong("source=a..b").contains("empty"));
    }
}
