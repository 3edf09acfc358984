//! In which order client software sends its header fields, and what it accepts.
//!
//! The order is as telling as the user agent and harder to get right, so it is kept as data. Orders
//! of browsers are those of HTTP/1.1 requests to a secure site (without one, browsers leave out
//! client hints and fetch metadata), from memory of captures of Chromium 109–142, Firefox 115–144 and Safari
//! 16–26; the Safari 17 order is also in curl-impersonate's `tests/signatures`.

/// A header field a client may send.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Field {
    /// `Host`
    Host,
    /// `Connection: keep-alive`
    Connection,
    /// `sec-ch-ua`
    SecChUa,
    /// `sec-ch-ua-mobile`
    SecChUaMobile,
    /// `sec-ch-ua-platform`
    SecChUaPlatform,
    /// `Upgrade-Insecure-Requests`, pages only
    UpgradeInsecureRequests,
    /// `User-Agent`
    UserAgent,
    /// `Accept`
    Accept,
    /// `X-Requested-With`, Android's embedded browser only
    XRequestedWith,
    /// `Sec-Fetch-Site`
    SecFetchSite,
    /// `Sec-Fetch-Mode`
    SecFetchMode,
    /// `Sec-Fetch-User`, pages asked for by a person only
    SecFetchUser,
    /// `Sec-Fetch-Dest`
    SecFetchDest,
    /// `Referer`, if there is one
    Referer,
    /// `Accept-Encoding`
    AcceptEncoding,
    /// `Accept-Language`
    AcceptLanguage,
    /// `Cookie`, if there is one
    Cookie,
    /// `If-None-Match`, if the client holds a copy
    IfNoneMatch,
    /// `Priority`
    Priority,
    /// `Cache-Control`
    CacheControl,
    /// `From`, robots only
    From,
    /// `DNT`
    Dnt,
}

use Field as F;

/// The orders of one client software.
#[derive(Debug)]
pub struct Layout {
    /// For a page.
    pub page: &'static [Field],
    /// For what a page needs.
    pub asset: &'static [Field],
}

/// How the engine words its values.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Engine {
    /// Chrome, Edge, Opera, Samsung Internet, Android's embedded browser.
    Chromium,
    /// Firefox.
    Gecko,
    /// Safari and everything on iOS.
    WebKit,
    /// Neither: readers, robots, tools, text browsers.
    Plain,
}

/// Chromium since 127.
pub const CHROMIUM: Layout = Layout {
    page: CHROMIUM_PAGE,
    asset: &[
        F::Host, F::Connection, F::SecChUaPlatform, F::UserAgent, F::SecChUa, F::SecChUaMobile,
        F::Accept, F::SecFetchSite, F::SecFetchMode, F::SecFetchDest, F::Referer,
        F::AcceptEncoding, F::AcceptLanguage, F::Cookie, F::IfNoneMatch,
    ],
};

/// Chromium up to 126.
pub const CHROMIUM_OLD: Layout = Layout {
    page: CHROMIUM_PAGE,
    asset: &[
        F::Host, F::Connection, F::SecChUa, F::SecChUaMobile, F::UserAgent, F::SecChUaPlatform,
        F::Accept, F::SecFetchSite, F::SecFetchMode, F::SecFetchDest, F::Referer,
        F::AcceptEncoding, F::AcceptLanguage, F::Cookie, F::IfNoneMatch,
    ],
};

const CHROMIUM_PAGE: &[Field] = &[
    F::Host, F::Connection, F::SecChUa, F::SecChUaMobile, F::SecChUaPlatform,
    F::UpgradeInsecureRequests, F::UserAgent, F::Accept, F::SecFetchSite, F::SecFetchMode,
    F::SecFetchUser, F::SecFetchDest, F::Referer, F::AcceptEncoding, F::AcceptLanguage, F::Cookie,
];

/// Chromium with "do not track" switched on.
pub const CHROMIUM_DNT: Layout = Layout {
    page: &[
        F::Host, F::Connection, F::SecChUa, F::SecChUaMobile, F::SecChUaPlatform, F::Dnt,
        F::UpgradeInsecureRequests, F::UserAgent, F::Accept, F::SecFetchSite, F::SecFetchMode,
        F::SecFetchUser, F::SecFetchDest, F::Referer, F::AcceptEncoding, F::AcceptLanguage,
        F::Cookie,
    ],
    asset: &[
        F::Host, F::Connection, F::SecChUaPlatform, F::UserAgent, F::SecChUa, F::Dnt,
        F::SecChUaMobile, F::Accept, F::SecFetchSite, F::SecFetchMode, F::SecFetchDest, F::Referer,
        F::AcceptEncoding, F::AcceptLanguage, F::Cookie, F::IfNoneMatch,
    ],
};

/// Android's embedded browser, which names the app.
pub const WEBVIEW: Layout = Layout {
    page: &[
        F::Host, F::Connection, F::SecChUa, F::SecChUaMobile, F::SecChUaPlatform,
        F::UpgradeInsecureRequests, F::UserAgent, F::Accept, F::XRequestedWith, F::SecFetchSite,
        F::SecFetchMode, F::SecFetchUser, F::SecFetchDest, F::Referer, F::AcceptEncoding,
        F::AcceptLanguage, F::Cookie,
    ],
    asset: &[
        F::Host, F::Connection, F::SecChUaPlatform, F::UserAgent, F::SecChUa, F::SecChUaMobile,
        F::Accept, F::XRequestedWith, F::SecFetchSite, F::SecFetchMode, F::SecFetchDest,
        F::Referer, F::AcceptEncoding, F::AcceptLanguage, F::Cookie, F::IfNoneMatch,
    ],
};

/// Firefox since 128, which sends Priority.
pub const GECKO: Layout = Layout {
    page: &[
        F::Host, F::UserAgent, F::Accept, F::AcceptLanguage, F::AcceptEncoding, F::Referer,
        F::Connection, F::Cookie, F::UpgradeInsecureRequests, F::SecFetchDest, F::SecFetchMode,
        F::SecFetchSite, F::SecFetchUser, F::Priority,
    ],
    asset: &[
        F::Host, F::UserAgent, F::Accept, F::AcceptLanguage, F::AcceptEncoding, F::Connection,
        F::Referer, F::Cookie, F::SecFetchDest, F::SecFetchMode, F::SecFetchSite, F::IfNoneMatch,
        F::Priority,
    ],
};

/// Firefox up to 127.
pub const GECKO_OLD: Layout = Layout {
    page: &[
        F::Host, F::UserAgent, F::Accept, F::AcceptLanguage, F::AcceptEncoding, F::Referer,
        F::Connection, F::Cookie, F::UpgradeInsecureRequests, F::SecFetchDest, F::SecFetchMode,
        F::SecFetchSite, F::SecFetchUser,
    ],
    asset: &[
        F::Host, F::UserAgent, F::Accept, F::AcceptLanguage, F::AcceptEncoding, F::Connection,
        F::Referer, F::Cookie, F::SecFetchDest, F::SecFetchMode, F::SecFetchSite, F::IfNoneMatch,
    ],
};

/// Firefox with tracking protection at its strictest.
pub const GECKO_DNT: Layout = Layout {
    page: &[
        F::Host, F::UserAgent, F::Accept, F::AcceptLanguage, F::AcceptEncoding, F::Referer,
        F::Dnt, F::Connection, F::Cookie, F::UpgradeInsecureRequests, F::SecFetchDest,
        F::SecFetchMode, F::SecFetchSite, F::SecFetchUser, F::Priority,
    ],
    asset: &[
        F::Host, F::UserAgent, F::Accept, F::AcceptLanguage, F::AcceptEncoding, F::Dnt,
        F::Connection, F::Referer, F::Cookie, F::SecFetchDest, F::SecFetchMode, F::SecFetchSite,
        F::IfNoneMatch, F::Priority,
    ],
};

/// Safari since 17.4.
pub const WEBKIT: Layout = Layout {
    page: &[
        F::Host, F::SecFetchDest, F::UserAgent, F::Accept, F::Referer, F::SecFetchSite,
        F::SecFetchMode, F::Cookie, F::AcceptLanguage, F::Priority, F::AcceptEncoding,
        F::Connection,
    ],
    asset: &[
        F::Host, F::SecFetchDest, F::UserAgent, F::Accept, F::Referer, F::SecFetchSite,
        F::SecFetchMode, F::Cookie, F::IfNoneMatch, F::AcceptLanguage, F::Priority,
        F::AcceptEncoding, F::Connection,
    ],
};

/// Safari 16.4 to 17.3.
pub const WEBKIT_OLD: Layout = Layout {
    page: &[
        F::Host, F::Accept, F::SecFetchSite, F::Cookie, F::AcceptEncoding, F::SecFetchMode,
        F::UserAgent, F::AcceptLanguage, F::Referer, F::SecFetchDest, F::Connection,
    ],
    asset: &[
        F::Host, F::Accept, F::SecFetchSite, F::Cookie, F::IfNoneMatch, F::AcceptEncoding,
        F::SecFetchMode, F::UserAgent, F::AcceptLanguage, F::Referer, F::SecFetchDest,
        F::Connection,
    ],
};

/// A reader or a robot that says little.
pub const READER: Layout = plain(&[
    F::Host, F::UserAgent, F::Accept, F::AcceptEncoding, F::IfNoneMatch, F::Connection,
]);

/// A robot that says whom to write to.
pub const ROBOT: Layout = plain(&[
    F::Host, F::Connection, F::Accept, F::From, F::UserAgent, F::AcceptEncoding, F::IfNoneMatch,
]);

/// A robot built on Chromium's network code.
pub const ROBOT_BROAD: Layout = plain(&[
    F::CacheControl, F::Connection, F::Accept, F::AcceptLanguage, F::AcceptEncoding, F::Host,
    F::UserAgent, F::IfNoneMatch,
]);

/// A service that looks whether the site is up.
pub const MONITOR: Layout =
    plain(&[F::Host, F::UserAgent, F::Accept, F::AcceptEncoding, F::CacheControl, F::Connection]);

/// An app's own client of the site's interface.
pub const APP: Layout =
    plain(&[F::UserAgent, F::AcceptLanguage, F::Host, F::Connection, F::AcceptEncoding]);

/// curl.
pub const CURL: Layout = plain(&[F::Host, F::UserAgent, F::Accept]);

/// Python's requests.
pub const PYTHON_REQUESTS: Layout =
    plain(&[F::Host, F::UserAgent, F::AcceptEncoding, F::Accept, F::Connection]);

/// A text browser.
pub const TEXT_BROWSER: Layout = plain(&[
    F::Host, F::Accept, F::AcceptEncoding, F::AcceptLanguage, F::UserAgent, F::Cookie, F::Referer,
]);

/// What attack tools send: their library's order, with what somebody thought a browser sends.
/// Go's library sorts the fields it was given; Python's keep the order they were typed in.
pub const TOOLS: [Layout; 8] = [
    plain(&[F::Host, F::UserAgent, F::AcceptEncoding]),
    plain(&[F::Host, F::UserAgent, F::Accept, F::AcceptLanguage, F::AcceptEncoding]),
    plain(&[F::Host, F::UserAgent, F::Accept, F::CacheControl, F::AcceptEncoding]),
    plain(&[
        F::Host, F::UserAgent, F::Accept, F::AcceptLanguage, F::CacheControl, F::Connection,
        F::UpgradeInsecureRequests, F::AcceptEncoding,
    ]),
    plain(&[F::Host, F::UserAgent, F::AcceptEncoding, F::Accept, F::Connection]),
    plain(&[
        F::Host, F::UserAgent, F::AcceptEncoding, F::Accept, F::Connection, F::AcceptLanguage,
        F::CacheControl,
    ]),
    plain(&[F::Host, F::Accept, F::AcceptEncoding, F::UserAgent]),
    plain(&[F::Accept, F::AcceptLanguage, F::UserAgent, F::AcceptEncoding, F::Host, F::Connection]),
];

const fn plain(order: &'static [Field]) -> Layout {
    Layout { page: order, asset: order }
}
