//! Honest clients that are not graphical browsers.
//!
//! They fetch no style sheets, keep no cookies, come from few addresses and send headers like
//! tools. Each of them would be hurt by a careless rule, which is why they are here.

use crate::layouts::{
    APP, CURL, Engine, Layout, MONITOR, PYTHON_REQUESTS, READER, ROBOT, ROBOT_BROAD, TEXT_BROWSER,
};
use crate::profile::{ClientClass, Implementation};

/// All of them with their shares within their class.
pub fn all() -> Vec<(Implementation, f64)> {
    let rows: &[(ClientClass, &'static Layout, &'static str, Option<&'static str>, f64)] = &[
        (
            ClientClass::FeedReader,
            &READER,
            "Feedly/1.0 (+https://feedly.com/poller.html; 14 subscribers)",
            None,
            0.3,
        ),
        (
            ClientClass::FeedReader,
            &READER,
            "NetNewsWire (RSS Reader; https://netnewswire.com/)",
            None,
            0.2,
        ),
        (
            ClientClass::FeedReader,
            &READER,
            "Mozilla/5.0 (compatible; Inoreader/1.0; +https://www.inoreader.com/feed-fetcher; 6 subscribers; )",
            None,
            0.15,
        ),
        (
            ClientClass::FeedReader,
            &READER,
            "FreshRSS/1.27.1 (Linux; https://freshrss.org)",
            None,
            0.1,
        ),
        (
            ClientClass::FeedReader,
            &READER,
            "Mozilla/5.0 (compatible; Miniflux/2.2.13; +https://miniflux.app)",
            None,
            0.1,
        ),
        (
            ClientClass::FeedReader,
            &READER,
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.5.0",
            None,
            0.1,
        ),
        (ClientClass::FeedReader, &READER, "newsboat/2.40.0 (Linux x86_64)", None, 0.05),
        (
            ClientClass::SearchBot,
            &ROBOT,
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.7444.134 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            Some("googlebot(at)googlebot.com"),
            0.5,
        ),
        (
            ClientClass::SearchBot,
            &ROBOT,
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            Some("googlebot(at)googlebot.com"),
            0.1,
        ),
        (
            ClientClass::SearchBot,
            &ROBOT_BROAD,
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/136.0.0.0 Safari/537.36",
            None,
            0.25,
        ),
        (
            ClientClass::SearchBot,
            &ROBOT,
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
            None,
            0.1,
        ),
        (
            ClientClass::SearchBot,
            &READER,
            "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
            None,
            0.05,
        ),
        (
            ClientClass::Monitor,
            &MONITOR,
            "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
            None,
            0.5,
        ),
        (
            ClientClass::Monitor,
            &MONITOR,
            "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
            None,
            0.3,
        ),
        (ClientClass::Monitor, &MONITOR, "Better Stack Better Uptime Bot Mozilla/5.0", None, 0.2),
        (
            ClientClass::LinkPreview,
            &READER,
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            None,
            0.4,
        ),
        (ClientClass::LinkPreview, &READER, "WhatsApp/2.23.20.0", None, 0.35),
        (
            ClientClass::LinkPreview,
            &READER,
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            None,
            0.15,
        ),
        (
            ClientClass::LinkPreview,
            &READER,
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            None,
            0.1,
        ),
        (ClientClass::Tool, &CURL, "curl/8.14.1", None, 0.5),
        (ClientClass::Tool, &CURL, "curl/7.88.1", None, 0.2),
        (ClientClass::Tool, &PYTHON_REQUESTS, "python-requests/2.32.5", None, 0.3),
        (ClientClass::ApiClient, &APP, "AshbourneApp/4.2 (Android 15)", None, 0.6),
        (
            ClientClass::ApiClient,
            &APP,
            "ResultsWidget/1.8 (+https://local-news.example)",
            None,
            0.4,
        ),
        (
            ClientClass::TextBrowser,
            &TEXT_BROWSER,
            "Lynx/2.9.2 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.8.9",
            None,
            0.5,
        ),
        (ClientClass::TextBrowser, &TEXT_BROWSER, "w3m/0.5.3+git20230121", None, 0.2),
        (ClientClass::TextBrowser, &TEXT_BROWSER, "edbrowse/3.8.10", None, 0.3),
    ];
    let share = |row: &(ClientClass, &'static Layout, &'static str, Option<&'static str>, f64)| {
        let implementation = Implementation {
            class: row.0,
            mobile: false,
            engine: Engine::Plain,
            layout: row.1,
            user_agent: row.2.into(),
            hints: None,
            app: None,
            from: row.3,
        };
        (implementation, row.4)
    };
    rows.iter().map(share).collect()
}
