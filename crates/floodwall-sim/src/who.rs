//! Who an honest visitor is, in the terms in which harm to some is told from harm to all.
//!
//! A rule that refuses one request in a thousand may refuse every screen reader. So each honest
//! request carries, beside it and never in it, what its sender is; the score counts every group by
//! itself. Countries are not modelled: the language stands in for them.

use crate::layouts::Engine;
use crate::profile::{ClientClass, ClientProfile, Implementation};

/// What kind of software, as an operator would name it.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Hash)]
#[repr(u8)]
pub enum Software {
    /// Chrome and its relatives on desks.
    #[default]
    Chromium,
    /// Chrome and its relatives in hands.
    ChromiumMobile,
    /// Firefox.
    Firefox,
    /// Safari on desks.
    Safari,
    /// Safari and what is built on it, in hands.
    SafariMobile,
    /// Browsers inside apps.
    InApp,
    /// Screen readers' and text browsers: no script, no images.
    TextBrowser,
    /// Feed readers.
    FeedReader,
    /// Search robots.
    SearchBot,
    /// Monitors.
    Monitor,
    /// Link previews.
    LinkPreview,
    /// Command-line tools.
    Tool,
    /// Programs that use the site's interface.
    ApiClient,
}

impl Software {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Software; 13] = [
        Software::Chromium,
        Software::ChromiumMobile,
        Software::Firefox,
        Software::Safari,
        Software::SafariMobile,
        Software::InApp,
        Software::TextBrowser,
        Software::FeedReader,
        Software::SearchBot,
        Software::Monitor,
        Software::LinkPreview,
        Software::Tool,
        Software::ApiClient,
    ];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Software::Chromium => "Chrome, desk",
            Software::ChromiumMobile => "Chrome, hand",
            Software::Firefox => "Firefox",
            Software::Safari => "Safari, desk",
            Software::SafariMobile => "Safari, hand",
            Software::InApp => "in-app browser",
            Software::TextBrowser => "screen reader or text browser",
            Software::FeedReader => "feed reader",
            Software::SearchBot => "search robot",
            Software::Monitor => "monitor",
            Software::LinkPreview => "link preview",
            Software::Tool => "command-line tool",
            Software::ApiClient => "API client",
        }
    }

    /// What this implementation is.
    pub fn of(implementation: &Implementation) -> Self {
        let agent = implementation.user_agent.as_str();
        let embedded = implementation.app.is_some()
            || ["FBAN", "Instagram", "LinkedInApp"].iter().any(|app| agent.contains(app));
        match (implementation.class, implementation.engine, implementation.mobile) {
            (ClientClass::TextBrowser, ..) => Software::TextBrowser,
            (ClientClass::FeedReader, ..) => Software::FeedReader,
            (ClientClass::SearchBot, ..) => Software::SearchBot,
            (ClientClass::Monitor, ..) => Software::Monitor,
            (ClientClass::LinkPreview, ..) => Software::LinkPreview,
            (ClientClass::ApiClient, ..) => Software::ApiClient,
            (ClientClass::Tool, ..) | (_, Engine::Plain, _) => Software::Tool,
            _ if embedded => Software::InApp,
            (_, Engine::Gecko, _) => Software::Firefox,
            (_, Engine::WebKit, true) => Software::SafariMobile,
            (_, Engine::WebKit, false) => Software::Safari,
            (_, Engine::Chromium, true) => Software::ChromiumMobile,
            (_, Engine::Chromium, false) => Software::Chromium,
        }
    }
}

/// Who sent a request, as far as groups are concerned.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Hash)]
pub struct Who {
    /// With what.
    pub software: Software,
    /// In which language: two lower-case letters.
    pub language: [u8; 2],
    /// From an address that others use too: a mobile carrier, an office.
    pub shared: bool,
    /// Here before.
    pub returning: bool,
}

impl Who {
    /// Who somebody with this client is.
    pub fn of(profile: &ClientProfile, shared: bool, returning: bool) -> Self {
        let mut letters = profile.language.as_str().bytes().filter(u8::is_ascii_lowercase);
        let language = [letters.next().unwrap_or(b'x'), letters.next().unwrap_or(b'x')];
        Who { software: Software::of(&profile.implementation), language, shared, returning }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::{ClientMix, MixConfig};
    use std::collections::HashSet;

    #[test]
    fn the_everyday_mix_has_every_kind_of_software() {
        let config = MixConfig { api_clients: 0.01, ..MixConfig::default() };
        let mix = ClientMix::everyday(&config, 1);
        let met: HashSet<Software> =
            mix.implementations().iter().map(|i| Software::of(i)).collect();
        for software in Software::ALL {
            assert!(met.contains(&software), "{}", software.name());
        }
    }

    #[test]
    fn names_are_distinct_and_discriminants_count_up() {
        let names: HashSet<&str> = Software::ALL.iter().map(|s| s.name()).collect();
        assert_eq!(names.len(), Software::ALL.len());
        assert!(Software::ALL.iter().enumerate().all(|(at, s)| *s as usize == at));
    }
}
