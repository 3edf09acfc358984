//! Whether a request's user agent and client hints tell the same story.
//!
//! A browser fills both from one place, so they agree; a tool that copies one field from here and
//! another from there contradicts itself. This only states the fact: whether a contradiction means
//! anything on a site is for the past to say, never for this file.

use crate::request::Seen;

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

/// Whether user agent and hints name different software, versions or platforms; `None` where one of
/// them cannot be seen. Most software sends no hints and contradicts nothing.
pub fn contradicts(agent: Seen<&[u8]>, hints: &Hints<'_>) -> Option<bool> {
    let parts = hints.parts();
    if agent == Seen::Unknown || parts.contains(&Seen::Unknown) {
        return None;
    }
    if parts.iter().all(|part| *part == Seen::Absent) {
        return Some(false);
    }
    let Seen::Is(agent) = agent else { return Some(true) };
    let contradicts = contradicts_brands(agent, hints.brands)
        || contradicts_platform(agent, hints.platform)
        || contradicts_mobile(agent, hints.mobile);
    Some(contradicts)
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

    fn told(agent: &str, brands: &str, mobile: &str, platform: &str) -> bool {
        let seen = |text: &'static str| match text {
            "" => Seen::Absent,
            text => Seen::Is(text.as_bytes()),
        };
        let leak = |text: &str| -> &'static str { text.to_owned().leak() };
        let hints = Hints {
            brands: seen(leak(brands)),
            mobile: seen(leak(mobile)),
            platform: seen(leak(platform)),
        };
        contradicts(seen(leak(agent)), &hints).expect("everything is visible")
    }

    #[test]
    fn one_story_agrees_and_two_contradict_each_other() {
        for (what, agent, brands, mobile, platform, expected) in [
            ("Chrome on Windows", WINDOWS, BRANDS, "?0", "\"Windows\"", false),
            ("Chrome on a telephone", PHONE, BRANDS, "?1", "\"Android\"", false),
            ("Firefox sends none", FIREFOX, "", "", "", false),
            ("Firefox with hints", FIREFOX, BRANDS, "?0", "\"Linux\"", true),
            ("another platform", WINDOWS, BRANDS, "?0", "\"macOS\"", true),
            ("a telephone that is none", WINDOWS, BRANDS, "?1", "\"Windows\"", true),
            ("another version", &WINDOWS.replace("142", "131"), BRANDS, "?0", "", true),
            ("hints and no agent", "", BRANDS, "?0", "\"Windows\"", true),
            ("a platform of tomorrow", WINDOWS, BRANDS, "?0", "\"Fuchsia\"", false),
        ] {
            assert_eq!(told(agent, brands, mobile, platform), expected, "{what}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_not_judged() {
        assert_eq!(contradicts(Seen::Is(WINDOWS.as_bytes()), &Hints::default()), None);
        let none = Hints { brands: Seen::Absent, mobile: Seen::Absent, platform: Seen::Absent };
        assert_eq!(contradicts(Seen::Unknown, &none), None);
    }

    proptest! {
        #[test]
        fn nothing_a_stranger_sends_upsets_it(agent: Vec<u8>, brands: Vec<u8>, mobile: Vec<u8>) {
            let hints = Hints {
                brands: Seen::Is(&brands),
                mobile: Seen::Is(&mobile),
                platform: Seen::Absent,
            };
            contradicts(Seen::Is(&agent), &hints);
        }
    }
}
