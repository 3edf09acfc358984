//! Step 1: is it a request we serve, and for which site.
//!
//! What the bytes of an HTTP/1 head can get wrong the meter has refused before; here is what needs
//! the parsed head, and what holds for HTTP/2 as well. It refuses or names the site; it changes
//! nothing.

use std::borrow::Cow;

use floodwall_model::Reason;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};

use crate::connection_state::ConnectionState;
use crate::hosts::{host_of_authority, normal};
use crate::limits::Limits;
use crate::snapshot::{SiteFacts, Snapshot};

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) site: SiteFacts,
    /// Host with port as the client sent it; `None` for HTTP/1.0 without.
    pub(crate) authority: Option<HeaderValue>,
    pub(crate) is_websocket: bool,
}

/// What the checks found.
pub(crate) struct Checked<'a> {
    /// Host in normal form, if there is a sound one.
    pub(crate) host: Option<Cow<'a, str>>,
    pub(crate) target: Result<Target, Reason>,
}

/// Checks a request's head.
pub(crate) fn check<'a>(
    parts: &'a Parts,
    has_body: bool,
    state: &ConnectionState,
    snapshot: &Snapshot,
) -> Checked<'a> {
    let authority = match authority(parts) {
        Ok(authority) => authority,
        Err(reason) => return Checked { host: None, target: Err(reason) },
    };
    let host = match authority.map(host_of_authority) {
        Some(Some(host)) => Some(normal(host)),
        Some(None) => return Checked { host: None, target: Err(Reason::Malformed) },
        None => None,
    };
    let target = check_shape(parts, &snapshot.limits)
        .and_then(|()| site(host.as_deref(), state, snapshot))
        .and_then(|site| {
            let is_websocket = check_upgrade(parts, has_body)?;
            check_length(&parts.headers, snapshot.limits.body_bytes_max)?;
            let authority = authority.and_then(|text| HeaderValue::from_str(text).ok());
            Ok(Target { site, authority, is_websocket })
        });
    Checked { host, target }
}

/// The authority a request is for. Where two places name one, they must agree: the origin might
/// look at the other (RFC 9112 § 3.2.2, RFC 9113 § 8.3.1).
fn authority(parts: &Parts) -> Result<Option<&str>, Reason> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let field = match hosts.next() {
        Some(value) => Some(value.to_str().map_err(|_| Reason::Malformed)?),
        None => None,
    };
    if hosts.next().is_some() {
        return Err(Reason::HostMissing);
    }
    match (parts.uri.authority().map(http::uri::Authority::as_str), field) {
        (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => {
            Err(Reason::Malformed)
        }
        (Some(target), _) => Ok(Some(target)),
        (None, Some(field)) => Ok(Some(field)),
        (None, None) if parts.version == Version::HTTP_10 => Ok(None),
        (None, None) => Err(Reason::HostMissing),
    }
}

/// Method, and for HTTP/2 the sizes that the meter holds for HTTP/1.
fn check_shape(parts: &Parts, limits: &Limits) -> Result<(), Reason> {
    // TRACE would tell the client what we added (RFC 9110 § 9.3.8); CONNECT is for forward proxies.
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Reason::MethodRefused);
    }
    let scheme = parts.uri.scheme_str().unwrap_or("http");
    if !matches!(scheme, "http" | "https") {
        return Err(Reason::Malformed);
    }
    if parts.uri.scheme().is_none() && parts.uri.authority().is_some() {
        // `GET a.example HTTP/1.1`: the form that is CONNECT's (RFC 9112 § 3.2.3).
        return Err(Reason::Malformed);
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    if target.len() > limits.uri_bytes_max {
        return Err(Reason::UriTooLong);
    }
    let is_server_wide = target == "*" && parts.method == Method::OPTIONS;
    if !(target.starts_with('/') || is_server_wide) {
        return Err(Reason::Malformed);
    }
    // Crumbs of one cookie (RFC 9113 § 8.2.3) are one field when they are put together again.
    let crumbs = parts.headers.get_all(http::header::COOKIE).iter().count();
    if parts.headers.len() - crumbs.saturating_sub(1) > limits.head_fields_max
        || crumbs > COOKIE_CRUMBS_MAX
    {
        return Err(Reason::HeadTooLarge);
    }
    Ok(())
}

/// Cookie fields in one request. Beyond: 431. Browsers send one per cookie.
const COOKIE_CRUMBS_MAX: usize = 64;

fn site(
    host: Option<&str>,
    state: &ConnectionState,
    snapshot: &Snapshot,
) -> Result<SiteFacts, Reason> {
    let host = host.unwrap_or_default();
    let site = snapshot.site(host).ok_or(Reason::HostUnknown)?;
    if let Some(tls) = &state.tls {
        let shown = tls.server_name.as_deref();
        if shown != Some(host) && !snapshot.name_covers(shown, host) {
            return Err(Reason::HostUnknown);
        }
    }
    Ok(site.clone())
}

/// Whether the request opens a WebSocket (RFC 6455 § 4.1). Any other wish to upgrade is not
/// followed, as any server may choose (RFC 9110 § 7.8), and the request goes on without it; but
/// with a body it is refused, because what follows the head then depends on who is asked.
fn check_upgrade(parts: &Parts, has_body: bool) -> Result<bool, Reason> {
    if parts.version != Version::HTTP_11 || !parts.headers.contains_key(UPGRADE) {
        return Ok(false);
    }
    let headers = &parts.headers;
    if has_body {
        return Err(Reason::UpgradeRefused);
    }
    let mut wishes = headers.get_all(UPGRADE).iter();
    let wish = wishes.next().map_or(&b""[..], HeaderValue::as_bytes);
    let asks = wish.eq_ignore_ascii_case(b"websocket")
        && wishes.next().is_none()
        && lists_token(headers, "upgrade");
    if !asks {
        return Ok(false);
    }
    let is = |name: &str, sound: fn(&[u8]) -> bool| {
        let mut values = headers.get_all(name).iter();
        values.next().is_some_and(|value| sound(value.as_bytes())) && values.next().is_none()
    };
    let sound = parts.method == Method::GET
        && is("sec-websocket-version", |version| version == b"13")
        // Sixteen bytes in base64.
        && is("sec-websocket-key", |key| key.len() == 24 && key.ends_with(b"=="));
    if sound { Ok(true) } else { Err(Reason::UpgradeRefused) }
}

/// Whether `Connection` lists `token`.
fn lists_token(headers: &HeaderMap, token: &str) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|b| *b == b',')
            .any(|t| t.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// A body that says it is too large is refused before a byte of it is read.
fn check_length(headers: &HeaderMap, bytes_max: u64) -> Result<(), Reason> {
    let Some(length) = headers.get(CONTENT_LENGTH) else { return Ok(()) };
    let length = length.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    match length {
        Some(length) if length <= bytes_max => Ok(()),
        Some(_) => Err(Reason::BodyTooLarge),
        None => Err(Reason::AmbiguousFraming),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(http::Request::builder().uri("/")).body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_two_names_of_a_host_must_agree() {
        let both = |uri: &str, host: &str| {
            let parts = parts(|b| b.uri(uri).header(HOST, host));
            authority(&parts).map(|a| a.map(str::to_owned))
        };
        assert_eq!(both("http://A.example/", "a.example"), Ok(Some("A.example".into())));
        assert_eq!(both("/", "a.example:80"), Ok(Some("a.example:80".into())));
        assert_eq!(both("http://a.example/", "b.example"), Err(Reason::Malformed));
        let none = parts(|b| b);
        assert_eq!(authority(&none), Err(Reason::HostMissing));
        let old = parts(|b| b.version(Version::HTTP_10));
        assert_eq!(authority(&old), Ok(None));
    }

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn only_a_sound_websocket_handshake_upgrades() {
        type Build = fn(http::request::Builder) -> http::request::Builder;
        let sound: Build = |b| {
            b.header("connection", "keep-alive, Upgrade")
                .header("upgrade", "WebSocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", KEY)
        };
        let rows: [(&str, Build, bool, Result<bool, Reason>); 8] = [
            ("sound", sound, false, Ok(true)),
            ("with a body", sound, true, Err(Reason::UpgradeRefused)),
            (
                "h2c",
                |b| b.header("connection", "upgrade").header("upgrade", "h2c"),
                false,
                Ok(false),
            ),
            ("h2c, body", |b| b.header("upgrade", "h2c"), true, Err(Reason::UpgradeRefused)),
            ("not listed", |b| b.header("upgrade", "websocket"), false, Ok(false)),
            ("no upgrade", |b| b, true, Ok(false)),
            (
                "no key",
                |b| {
                    b.header("connection", "upgrade")
                        .header("upgrade", "websocket")
                        .header("sec-websocket-version", "13")
                },
                false,
                Err(Reason::UpgradeRefused),
            ),
            (
                "old version",
                |b| {
                    b.header("connection", "upgrade")
                        .header("upgrade", "websocket")
                        .header("sec-websocket-version", "8")
                        .header("sec-websocket-key", KEY)
                },
                false,
                Err(Reason::UpgradeRefused),
            ),
        ];
        for (name, build, has_body, expected) in rows {
            assert_eq!(check_upgrade(&parts(build), has_body), expected, "{name}");
        }
        let post = parts(|b| sound(b).method(Method::POST));
        assert_eq!(check_upgrade(&post, false), Err(Reason::UpgradeRefused));
        let h2 = parts(|b| sound(b).version(Version::HTTP_2));
        assert_eq!(check_upgrade(&h2, false), Ok(false));
    }

    #[test]
    fn fields_are_counted_with_cookie_crumbs_as_one() {
        let limits = Limits { head_fields_max: 3, ..Limits::default() };
        let crumbs = |n: usize| {
            parts(|mut b| {
                for at in 0..n {
                    b = b.header("cookie", format!("c{at}=1"));
                }
                b.header("a", "1").header("b", "1")
            })
        };
        assert_eq!(check_shape(&crumbs(30), &limits), Ok(()));
        assert_eq!(check_shape(&crumbs(65), &limits), Err(Reason::HeadTooLarge));
        let many = parts(|b| b.header("a", "1").header("b", "1").header("c", "1").header("d", "1"));
        assert_eq!(check_shape(&many, &limits), Err(Reason::HeadTooLarge));
    }
}
