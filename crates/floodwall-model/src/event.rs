//! A declared event: its operator expects many visitors, at a time, on some paths.
//!
//! It is a prior and never a permission: it may speak for a crowd a little, on the declared paths
//! and in the declared time only (design/detection.md § 3.10, "poisoned flash-crowd prior"), since
//! attackers read calendars too. Times are moments in UTC; time zones end at the door where an event
//! is read.

use crate::template::{path_template, printable};

/// Events declared at once. When over: the configuration is refused.
pub const EVENTS_MAX: usize = 256;
/// Paths of one event. When over: the configuration is refused.
pub const EVENT_PATHS_MAX: usize = 64;
/// Longest name of an event, bytes. When over: the configuration is refused.
pub const EVENT_NAME_BYTES_MAX: usize = 120;
/// Longest declared path, bytes: what is longer is cut in templates, so that it could not be told
/// from its neighbours.
pub const EVENT_PATH_BYTES_MAX: usize = 150;
/// Longest a single occurrence may last, ms: 31 days. What is expected for longer is no event but
/// ordinary traffic, which the baseline learns by itself.
pub const EVENT_MS_MAX: u64 = 31 * 86_400_000;

/// An event, once or at regular intervals.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Its name, fit to be shown.
    pub name: String,
    /// When it begins first, ms since the epoch.
    pub from_ms: u64,
    /// When it then ends, ms since the epoch; later than `from_ms`.
    pub until_ms: u64,
    /// How it comes again, if it does.
    pub repeat: Option<Repeat>,
    /// What its visitors will ask for.
    pub paths: Vec<EventPath>,
    /// How many times the usual traffic its operator expects: shown, and no decision rests on it.
    pub expected_factor: Option<u32>,
}

/// How an event comes again.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Repeat {
    /// From one beginning to the next, ms; at least as long as the event.
    pub every_ms: u64,
    /// No occurrence begins after this, ms since the epoch; `u64::MAX`: it goes on for ever.
    pub last_from_ms: u64,
}

impl Event {
    /// The occurrence that lasts at `now_ms`, or else the next: its beginning and its end. `None`
    /// once the last is over.
    pub fn occurrence(&self, now_ms: u64) -> Option<(u64, u64)> {
        if now_ms < self.until_ms {
            return Some((self.from_ms, self.until_ms));
        }
        let Repeat { every_ms, last_from_ms } = self.repeat?;
        let passed = (now_ms - self.until_ms).checked_div(every_ms)?.checked_add(1)?;
        let from_ms = self.from_ms.checked_add(passed.checked_mul(every_ms)?)?;
        let until_ms = from_ms.checked_add(self.until_ms.checked_sub(self.from_ms)?)?;
        (from_ms <= last_from_ms).then_some((from_ms, until_ms))
    }

    /// Whether `at_ms` lies in an occurrence.
    pub fn lasts_at(&self, at_ms: u64) -> bool {
        self.occurrence(at_ms)
            .is_some_and(|(from_ms, until_ms)| (from_ms..until_ms).contains(&at_ms))
    }
}

/// What is wrong with a declared path.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EventPathError {
    /// It does not begin with a slash.
    #[error("it must begin with /, as in /results")]
    NoSlash,
    /// It declares the whole site.
    #[error("it would declare every path; name those that visitors will come for")]
    Everything,
    /// A star elsewhere than as the last segment.
    #[error("a * stands for everything below a directory, as in /live/*, and nowhere else")]
    Star,
    /// A query, a fragment, or a character that no request carries as it is.
    #[error(
        "write the path as browsers send it: no query, no space, and what is not ASCII percent-encoded"
    )]
    Character,
    /// Longer than [`EVENT_PATH_BYTES_MAX`].
    #[error("it is longer than the {EVENT_PATH_BYTES_MAX} bytes allowed")]
    TooLong,
}

/// A declared path: one page, or all below a directory.
///
/// Requests are told apart by templates ([`crate::template::path_template`]), which do not know
/// numbers from each other: `/live/2026` declares `/live/2025`, too.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventPath {
    text: String,
    template: String,
    below: bool,
}

impl EventPath {
    /// Checks `text`: `/results`, or `/live/*` for everything below `/live/`.
    pub fn parse(text: &str) -> Result<EventPath, EventPathError> {
        if !text.starts_with('/') {
            return Err(EventPathError::NoSlash);
        }
        if text.len() > EVENT_PATH_BYTES_MAX {
            return Err(EventPathError::TooLong);
        }
        if text.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#')) {
            return Err(EventPathError::Character);
        }
        let directory = text.strip_suffix('*').filter(|d| d.ends_with('/'));
        let path = directory.unwrap_or(text);
        if path.contains('*') {
            return Err(EventPathError::Star);
        }
        if directory == Some("/") {
            return Err(EventPathError::Everything);
        }
        let mut template = Vec::new();
        path_template(path.as_bytes(), &mut template);
        // As edges announce it, see `AttrWriter`.
        let template = printable(&template, crate::limits::VALUE_TEXT_BYTES_MAX);
        Ok(EventPath { text: text.to_owned(), template, below: directory.is_some() })
    }

    /// As it was declared.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The template of the page, or the beginning of the templates of all below, up to its last
    /// slash.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Whether all below is meant.
    pub const fn is_below(&self) -> bool {
        self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(repeat: Option<Repeat>) -> Event {
        Event {
            name: "results".into(),
            from_ms: 1_000,
            until_ms: 1_500,
            repeat,
            paths: Vec::new(),
            expected_factor: None,
        }
    }

    #[test]
    fn an_event_is_before_it_in_it_or_over() {
        let once = event(None);
        for (now_ms, expected) in
            [(0, Some((1_000, 1_500))), (1_499, Some((1_000, 1_500))), (1_500, None)]
        {
            assert_eq!(once.occurrence(now_ms), expected, "{now_ms}");
        }
        assert!(!once.lasts_at(999) && once.lasts_at(1_000) && !once.lasts_at(1_500));
    }

    #[test]
    fn one_that_comes_again_does_so_until_its_last() {
        let thrice = event(Some(Repeat { every_ms: 10_000, last_from_ms: 21_000 }));
        for (now_ms, expected) in [
            (1_500, Some((11_000, 11_500))),
            (11_499, Some((11_000, 11_500))),
            (11_500, Some((21_000, 21_500))),
            (21_500, None),
            (u64::MAX, None),
        ] {
            assert_eq!(thrice.occurrence(now_ms), expected, "{now_ms}");
        }
        assert!(thrice.lasts_at(11_200) && !thrice.lasts_at(12_000));
        let for_ever = event(Some(Repeat { every_ms: 1, last_from_ms: u64::MAX }));
        assert_eq!(for_ever.occurrence(u64::MAX), None, "the end of time is no panic");
        let never = event(Some(Repeat { every_ms: 0, last_from_ms: u64::MAX }));
        assert_eq!(never.occurrence(2_000), None);
    }

    #[test]
    fn a_path_is_a_page_or_all_below_a_directory() {
        for (text, template, below) in [
            ("/", "/", false),
            ("/results", "/results", false),
            ("/results/2026", "/results/{n}", false),
            ("/live/*", "/live/", true),
            ("/live/2026/*", "/live/{n}/", true),
        ] {
            let path = EventPath::parse(text).unwrap();
            assert_eq!((path.template(), path.is_below(), path.text()), (template, below, text));
        }
        for (text, why) in [
            ("results", EventPathError::NoSlash),
            ("", EventPathError::NoSlash),
            ("/*", EventPathError::Everything),
            ("/live*", EventPathError::Star),
            ("/*/live", EventPathError::Star),
            ("/a b", EventPathError::Character),
            ("/bücher", EventPathError::Character),
            ("/results?x=1", EventPathError::Character),
            (&format!("/{}", "a".repeat(200)), EventPathError::TooLong),
        ] {
            assert_eq!(EventPath::parse(text), Err(why), "{text}");
        }
    }
}
