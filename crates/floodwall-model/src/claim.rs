//! What a client claims to be, and whether the rest of its request bears it out.
//!
//! A browser fills user agent and client hints from one place, and asks for a page with a language,
//! encodings and HTML; a tool under a browser's name forgets one or the other, or copies one field
//! from here and another from there. This only states the fact: whether it means anything on a site
//! is for the past to say, never for this file.

use crate::request::{RequestFacts, Seen};
use crate::value::ValueId;

/// The client hints that Chromium sends unasked (User-Agent Client Hints, W3C community draft, § 3).
#[derive(Copy, Clone, Debug, Default)]
pub struct Hints<'a> {
    /// `Sec-CH-UA`, the list of brands with their major versions.
    pub brands: Seen<&'a [u8]>,
    /// `Sec-CH-UA-Mobile`.
    pub mobile: Seen<&'a [u8]>,
    /// `Sec-CH-UA-Platform`.
    pub platform: Seen<&'a [u8]>,
}

impl<'a> Hints<'a> {
    /// The three in a fixed order: brands, mobile, platform.
    pub const fn parts(&self) -> [Seen<&'a [u8]>; 3] {
        [self.brands, self.mobile, self.platform]
    }
}

/// What a client claims. No claim at all is [`ValueId::ABSENT`].
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Claim {
    /// A browser, and nothing speaks against it.
    Browser,
    /// A browser; its client hints say another one.
    Contradicted,
    /// A browser; a page is asked for without language, encodings or HTML, which all browsers name.
    Undressed,
}

impl Claim {
    /// All of them.
    pub const ALL: [Claim; 3] = [Claim::Browser, Claim::Contradicted, Claim::Undressed];

    /// Its id, the same under every key: there are only so many, and nobody else chooses them.
    pub const fn id(self) -> ValueId {
        ValueId(match self {
            Claim::Browser => 2,
            Claim::Contradicted => 3,
            Claim::Undressed => 4,
        })
    }

    /// The claim with this id.
    pub fn of(id: ValueId) -> Option<Claim> {
        Claim::ALL.into_iter().find(|claim| claim.id() == id)
    }

    /// Completes "requests with …".
    pub const fn words(self) -> &'static str {
        match self {
            Claim::Browser => "a browser's headers throughout",
            Claim::Contradicted => "a user agent that its client hints contradict",
            Claim::Undressed => "a browser's user agent without what browsers send with it",
        }
    }
}

/// What the request claims; [`ValueId::UNKNOWN`] where that cannot be seen. `page` says whether it
/// asks for one.
pub fn claim(facts: &RequestFacts<'_>, page: bool) -> ValueId {
    let hints = facts.hints.parts();
    let Seen::Is(agent) = facts.user_agent else { return unseen_or_none(facts.user_agent) };
    if hints.contains(&Seen::Unknown) {
        return ValueId::UNKNOWN;
    }
    if contradicted(agent, &facts.hints) {
        return Claim::Contradicted.id();
    }
    if !names_browser(agent) {
        return ValueId::ABSENT;
    }
    let dress = [facts.language, facts.encodings, facts.accept];
    if !page || dress.contains(&Seen::Unknown) {
        return ValueId::UNKNOWN;
    }
    let html = matches!(facts.accept, Seen::Is(accept) if has(accept, b"text/html"));
    let dressed = html && !dress.contains(&Seen::Absent);
    if dressed { Claim::Browser.id() } else { Claim::Undressed.id() }
}

fn unseen_or_none(agent: Seen<&[u8]>) -> ValueId {
    if agent == Seen::Unknown { ValueId::UNKNOWN } else { ValueId::ABSENT }
}

/// Whether the user agent is a browser's. Robots that add who they are claim nothing.
fn names_browser(agent: &[u8]) -> bool {
    const BROWSERS: [&[u8]; 4] = [b"Chrome/", b"Firefox/", b"Safari/", b"CriOS/"];
    agent.starts_with(b"Mozilla/5.0 (")
        && BROWSERS.iter().any(|name| has(agent, name))
        && !has(agent, b"compatible;")
        && !has(agent, b"http")
}

/// Whether user agent and hints name different software, versions or platforms. Most software sends
/// no hints and contradicts nothing.
fn contradicted(agent: &[u8], hints: &Hints<'_>) -> bool {
    hints.parts().iter().any(|part| *part != Seen::Absent)
        && (contradicts_brands(agent, hints.brands)
            || contradicts_platform(agent, hints.platform)
            || contradicts_mobile(agent, hints.mobile))
}

fn has(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// The number right behind `mark`.
fn number_behind(text: &[u8], mark: &[u8]) -> Option<u32> {
    let at = memchr::memmem::find(text, mark)? + mark.len();
    let digits = text[at..].iter().take(6).take_while(|b| b.is_ascii_digit());
    digits.fold(None, |number, digit| Some(number.unwrap_or(0) * 10 + u32::from(digit - b'0')))
}

/// Only software built on Chromium sends hints, and its user agent carries Chromium's version
/// whatever the product is called.
fn contradicts_brands(agent: &[u8], brands: Seen<&[u8]>) -> bool {
    let Some(major) = number_behind(agent, b"Chrome/") else { return true };
    let Seen::Is(brands) = brands else { return false };
    number_behind(brands, b"\"Chromium\";v=\"").is_some_and(|told| told != major)
}

fn contradicts_platform(agent: &[u8], platform: Seen<&[u8]>) -> bool {
    let Seen::Is(platform) = platform else { return false };
    match platform {
        b"\"Windows\"" => !has(agent, b"Windows"),
        b"\"macOS\"" => !has(agent, b"Macintosh"),
        // A telephone asked for the desktop's page calls itself a Linux desktop.
        b"\"Android\"" => !has(agent, b"Android") && !has(agent, b"X11"),
        b"\"Linux\"" => !has(agent, b"Linux") && !has(agent, b"X11"),
        b"\"Chrome OS\"" | b"\"Chromium OS\"" => !has(agent, b"CrOS"),
        _ => false,
    }
}

fn contradicts_mobile(agent: &[u8], mobile: Seen<&[u8]>) -> bool {
    let says_mobile = has(agent, b"Mobile");
    match mobile {
        Seen::Is(b"?1") => !says_mobile,
        Seen::Is(b"?0") => says_mobile,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, \
                           like Gecko) Chrome/142.0.0.0 Safari/537.36";
    const PHONE: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like \
                         Gecko) Chrome/142.0.0.0 Mobile Safari/537.36";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";
    const BRANDS: &str =
        "\"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"";

    const NO_HINTS: [&str; 3] = [""; 3];

    fn seen(text: &str) -> Seen<&[u8]> {
        if text.is_empty() { Seen::Absent } else { Seen::Is(text.as_bytes()) }
    }

    /// The claim of a request for a page with a browser's other headers.
    fn told(agent: &str, hints: [&str; 3], language: &str) -> ValueId {
        let facts = RequestFacts {
            user_agent: seen(agent),
            language: seen(language),
            encodings: seen("gzip, deflate, br"),
            accept: seen("text/html,*/*;q=0.8"),
            hints: Hints {
                brands: seen(hints[0]),
                mobile: seen(hints[1]),
                platform: seen(hints[2]),
            },
            ..RequestFacts::default()
        };
        claim(&facts, true)
    }

    #[test]
    fn one_story_is_a_browser_and_two_contradict_each_other() {
        let older = WINDOWS.replace("142", "131");
        for (what, agent, hints, expected) in [
            ("Chrome on Windows", WINDOWS, [BRANDS, "?0", "\"Windows\""], Claim::Browser),
            ("Chrome on a telephone", PHONE, [BRANDS, "?1", "\"Android\""], Claim::Browser),
            ("Firefox sends none", FIREFOX, NO_HINTS, Claim::Browser),
            ("a platform of tomorrow", WINDOWS, [BRANDS, "?0", "\"Fuchsia\""], Claim::Browser),
            ("Firefox with hints", FIREFOX, [BRANDS, "?0", "\"Linux\""], Claim::Contradicted),
            ("another platform", WINDOWS, [BRANDS, "?0", "\"macOS\""], Claim::Contradicted),
            ("no telephone", WINDOWS, [BRANDS, "?1", "\"Windows\""], Claim::Contradicted),
            ("another version", &older, [BRANDS, "?0", ""], Claim::Contradicted),
        ] {
            assert_eq!(told(agent, hints, "en"), expected.id(), "{what}");
        }
    }

    #[test]
    fn a_browsers_name_without_its_language_is_undressed_and_a_robot_claims_nothing() {
        assert_eq!(told(FIREFOX, NO_HINTS, ""), Claim::Undressed.id());
        for robot in [
            "curl/8.5.0",
            "Mozilla/5.0 (compatible; Searcher/2.1; +http://search.example/bot.html)",
            "Mozilla/5.0 (Linux; Android 6.0.1) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/142.0.0.0 Mobile Safari/537.36 (compatible; Searcher/2.1)",
        ] {
            assert_eq!(told(robot, NO_HINTS, ""), ValueId::ABSENT, "{robot}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_not_judged() {
        let agent_only = RequestFacts { user_agent: seen(WINDOWS), ..RequestFacts::default() };
        assert_eq!(claim(&agent_only, true), ValueId::UNKNOWN);
        assert_eq!(claim(&RequestFacts::default(), true), ValueId::UNKNOWN);
    }

    #[test]
    fn ids_are_their_own() {
        for made in Claim::ALL {
            assert_eq!(Claim::of(made.id()), Some(made));
        }
        assert_eq!(Claim::of(ValueId::ABSENT), None);
    }

    proptest! {
        #[test]
        fn nothing_a_stranger_sends_upsets_it(agent: Vec<u8>, brands: Vec<u8>, mobile: Vec<u8>) {
            let hints = Hints {
                brands: Seen::Is(&brands),
                mobile: Seen::Is(&mobile),
                platform: Seen::Absent,
            };
            claim(
                &RequestFacts { user_agent: Seen::Is(&agent), hints, ..RequestFacts::default() },
                true,
            );
        }
    }
}
