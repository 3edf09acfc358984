//! One client software in one language, and the headers it sends.
//!
//! A profile must send the same fields in the same order every time, apart from those that depend
//! on the page (cookie, referer, conditional requests): that constancy is what makes it one.

use std::sync::Arc;

use crate::layouts::{Engine, Field, Layout};
use crate::request::Text;

/// What kind of client it is.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum ClientClass {
    /// A graphical browser, in-app browsers among them.
    Browser,
    /// A browser without style, script or images: text, screen readers' and braille set-ups.
    TextBrowser,
    /// A feed reader.
    FeedReader,
    /// A search engine's robot.
    SearchBot,
    /// A service that looks whether the site is up.
    Monitor,
    /// A chat or social network's link preview.
    LinkPreview,
    /// A person or script with a command-line tool.
    Tool,
    /// An app or a partner's program that asks the site's interface for data.
    ApiClient,
}

/// Chromium's client hints.
#[derive(Clone, Debug)]
pub struct Hints {
    /// `sec-ch-ua`.
    pub brands: Text,
    /// `sec-ch-ua-platform`, quoted.
    pub platform: &'static str,
}

/// A client software at one version on one platform.
#[derive(Clone, Debug)]
pub struct Implementation {
    /// What kind of client it is.
    pub class: ClientClass,
    /// Held in a hand.
    pub mobile: bool,
    /// How it words its values.
    pub engine: Engine,
    /// In which order it sends its fields.
    pub layout: &'static Layout,
    /// User-Agent.
    pub user_agent: Text,
    /// Client hints, if it sends them.
    pub hints: Option<Hints>,
    /// The app that embeds it, on Android.
    pub app: Option<&'static str>,
    /// `From`, for robots.
    pub from: Option<&'static str>,
}

/// A client software as one person set it up.
#[derive(Clone, Debug)]
pub struct ClientProfile {
    /// The software.
    pub implementation: Arc<Implementation>,
    /// Accept-Language as this engine words it.
    pub language: Text,
}

/// What a request is for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// A page in a window.
    Document,
    /// A style sheet.
    Style,
    /// A script.
    Script,
    /// An image.
    Image,
    /// Data that a script asks for.
    Data,
    /// A feed, asked for by itself.
    Feed,
}

/// Everything about one request that is not the client's.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// What it is for.
    pub target: Target,
    /// Host.
    pub host: &'a Text,
    /// Referer.
    pub referer: Option<Text>,
    /// Whether the referer is a page of this site.
    pub from_this_site: bool,
    /// Cookie.
    pub cookie: Option<Text>,
    /// Tag of the copy the client holds.
    pub etag: Option<Text>,
}

impl ClientProfile {
    /// The header fields in the order sent.
    pub fn headers(&self, context: &Context<'_>) -> Vec<(&'static str, Text)> {
        let software = &*self.implementation;
        let page = matches!(context.target, Target::Document | Target::Feed);
        let order = if page { software.layout.page } else { software.layout.asset };
        let mut headers = Vec::with_capacity(order.len());
        for field in order {
            if let Some(value) = self.value(*field, context) {
                headers.push((name(*field, software.engine), value));
            }
        }
        headers
    }

    fn value(&self, field: Field, context: &Context<'_>) -> Option<Text> {
        let software = &*self.implementation;
        let page = context.target == Target::Document;
        Some(match field {
            Field::Host => context.host.clone(),
            Field::Connection => Text::Fixed("keep-alive"),
            Field::SecChUa => software.hints.as_ref()?.brands.clone(),
            Field::SecChUaMobile => {
                software.hints.as_ref()?;
                Text::Fixed(if software.mobile { "?1" } else { "?0" })
            }
            Field::SecChUaPlatform => Text::Fixed(software.hints.as_ref()?.platform),
            Field::UpgradeInsecureRequests => Text::Fixed("1"),
            Field::UserAgent => software.user_agent.clone(),
            Field::Accept => Text::Fixed(accept(software.engine, software.class, context.target)),
            Field::XRequestedWith => Text::Fixed(software.app?),
            Field::SecFetchSite => Text::Fixed(fetch_site(context)),
            Field::SecFetchMode => Text::Fixed(match context.target {
                Target::Document | Target::Feed => "navigate",
                Target::Data => "cors",
                Target::Style | Target::Script | Target::Image => "no-cors",
            }),
            Field::SecFetchUser if page => Text::Fixed("?1"),
            Field::SecFetchUser => return None,
            Field::SecFetchDest => Text::Fixed(match context.target {
                Target::Document | Target::Feed => "document",
                Target::Style => "style",
                Target::Script => "script",
                Target::Image => "image",
                Target::Data => "empty",
            }),
            Field::Referer => context.referer.clone()?,
            Field::AcceptEncoding => Text::Fixed(match software.engine {
                Engine::Chromium | Engine::Gecko => "gzip, deflate, br, zstd",
                Engine::WebKit => "gzip, deflate, br",
                Engine::Plain => "gzip",
            }),
            Field::AcceptLanguage => self.language.clone(),
            Field::Cookie => context.cookie.clone()?,
            Field::IfNoneMatch => context.etag.clone()?,
            Field::Priority => Text::Fixed(match context.target {
                Target::Document | Target::Feed => "u=0, i",
                Target::Style | Target::Script => "u=2",
                Target::Data => "u=4",
                Target::Image => "u=5, i",
            }),
            Field::CacheControl => Text::Fixed("no-cache"),
            Field::From => Text::Fixed(software.from?),
            Field::Dnt => Text::Fixed("1"),
        })
    }
}

fn fetch_site(context: &Context<'_>) -> &'static str {
    match (context.from_this_site, &context.referer) {
        (true, _) => "same-origin",
        (false, Some(_)) => "cross-site",
        (false, None) => "none",
    }
}

/// The field's name as the engine spells it in HTTP/1.1.
fn name(field: Field, engine: Engine) -> &'static str {
    match field {
        Field::Host => "Host",
        Field::Connection => "Connection",
        Field::SecChUa => "sec-ch-ua",
        Field::SecChUaMobile => "sec-ch-ua-mobile",
        Field::SecChUaPlatform => "sec-ch-ua-platform",
        Field::UpgradeInsecureRequests => "Upgrade-Insecure-Requests",
        Field::UserAgent => "User-Agent",
        Field::Accept => "Accept",
        Field::XRequestedWith => "X-Requested-With",
        Field::SecFetchSite => "Sec-Fetch-Site",
        Field::SecFetchMode => "Sec-Fetch-Mode",
        Field::SecFetchUser => "Sec-Fetch-User",
        Field::SecFetchDest => "Sec-Fetch-Dest",
        Field::Referer => "Referer",
        Field::AcceptEncoding => "Accept-Encoding",
        Field::AcceptLanguage => "Accept-Language",
        Field::Cookie => "Cookie",
        Field::IfNoneMatch => "If-None-Match",
        Field::Priority => "Priority",
        Field::CacheControl => "Cache-Control",
        Field::From => "From",
        Field::Dnt if engine == Engine::Chromium => "dnt",
        Field::Dnt => "DNT",
    }
}

fn accept(engine: Engine, class: ClientClass, target: Target) -> &'static str {
    const ANY: &str = "*/*";
    match (engine, target) {
        (Engine::Chromium, Target::Document | Target::Feed) => {
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
             image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
        }
        (Engine::Gecko | Engine::WebKit, Target::Document | Target::Feed) => {
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        }
        (Engine::Chromium | Engine::Gecko | Engine::WebKit, Target::Style) => "text/css,*/*;q=0.1",
        (Engine::Chromium, Target::Image) => {
            "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
        }
        (Engine::Gecko, Target::Image) => {
            "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
        }
        (Engine::WebKit, Target::Image) => {
            "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,\
             image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
        }
        (Engine::Chromium | Engine::Gecko | Engine::WebKit, Target::Script | Target::Data) => ANY,
        (Engine::Plain, _) => match class {
            ClientClass::FeedReader => {
                "application/rss+xml, application/atom+xml, application/xml;q=0.9, */*;q=0.8"
            }
            ClientClass::TextBrowser => "text/html, text/plain, text/sgml, text/css, */*;q=0.01",
            ClientClass::SearchBot => {
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
            }
            _ => ANY,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::{ClientMix, MixConfig};
    use floodwall_model::request::VARYING_HEADERS;

    fn names(profile: &ClientProfile, context: &Context<'_>) -> Vec<&'static str> {
        profile.headers(context).into_iter().map(|(name, _)| name).collect()
    }

    fn steady(names: Vec<&'static str>) -> Vec<&'static str> {
        let varies = |n: &str| VARYING_HEADERS.contains(&n.to_ascii_lowercase().as_str());
        names.into_iter().filter(|n| !varies(n)).collect()
    }

    #[test]
    fn the_order_of_a_profile_does_not_depend_on_the_page() {
        let host = Text::Fixed("a.example");
        let mix = ClientMix::everyday(&MixConfig::default(), 1);
        let bare = Context {
            target: Target::Document,
            host: &host,
            referer: None,
            from_this_site: false,
            cookie: None,
            etag: None,
        };
        let full = Context {
            referer: Some("https://a.example/".into()),
            from_this_site: true,
            cookie: Some("sid=1".into()),
            etag: Some("\"1\"".into()),
            ..bare.clone()
        };
        for implementation in mix.implementations() {
            let profile =
                ClientProfile { implementation: Arc::clone(implementation), language: "en".into() };
            assert_eq!(
                steady(names(&profile, &bare)),
                steady(names(&profile, &full)),
                "{:?}",
                profile.implementation.user_agent
            );
            let orders = [Target::Style, Target::Script, Target::Image, Target::Data]
                .map(|target| steady(names(&profile, &Context { target, ..full.clone() })));
            assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }

    #[test]
    fn no_field_is_sent_twice_and_every_request_names_its_host() {
        let mix = ClientMix::everyday(&MixConfig::default(), 1);
        for implementation in mix.implementations() {
            let layout = implementation.layout;
            for order in [layout.page, layout.asset] {
                for (i, field) in order.iter().enumerate() {
                    assert!(!order[..i].contains(field), "{field:?}");
                }
                assert!(order.contains(&Field::Host));
            }
        }
    }
}
