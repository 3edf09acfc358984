//! Content lines of iCalendar (RFC 5545 § 3.1): unfolded, split into name, parameters and value.

use super::{Wrong, shown};

/// One content line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Property {
    /// In capitals.
    pub(super) name: String,
    /// Names in capitals, values without their quotes.
    pub(super) parameters: Vec<(String, String)>,
    /// As written, unfolded.
    pub(super) value: String,
    /// The line it begins on, counted from one.
    pub(super) line: usize,
}

impl Property {
    /// The value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The properties of a text, or what is wrong with a line. Empty lines, which some programs write at
/// the end, are passed over.
pub(super) fn properties(text: &str) -> Vec<Result<Property, Wrong>> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some((_, whole))) => whole.push_str(more),
            _ => lines.push((number, line.to_owned())),
        }
    }
    let filled = lines.into_iter().filter(|(_, line)| !line.trim().is_empty());
    filled.map(|(number, line)| property(number, &line)).collect()
}

fn property(line: usize, text: &str) -> Result<Property, Wrong> {
    let mut quoted = false;
    let is_end = |c: char| {
        quoted ^= c == '"';
        c == ':' && !quoted
    };
    let Some((head, value)) = text.split_once(is_end) else {
        return Err((line, format!("`{}` is no content line (NAME:VALUE)", shown(text))));
    };
    let mut quoted = false;
    let mut parts = head.split(|c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let name = parts.next().unwrap_or_default().trim().to_ascii_uppercase();
    let parameters = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.to_ascii_uppercase(), value.trim_matches('"').to_owned()))
        .collect();
    Ok(Property { name, parameters, value: value.to_owned(), line })
}

/// A text value without its escapes (RFC 5545 § 3.3.11).
pub(super) fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('n' | 'N') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            c => text.push(c),
        }
    }
    text
}
