//! Reading values with their lines: every getter notes what is wrong and goes on.

use std::path::{Path, PathBuf};

use toml_edit::{Item, TableLike, Value};

use super::mistake::{Mistake, Mistakes, Place, line_of};
use super::nearest::nearest;
use super::{event, geography, kernel, limits, site, top};

/// A value and the line it is on.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// The text being read and the mistakes found so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    directory: &'a Path,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str, directory: &'a Path) -> Self {
        Reader { text, directory, mistakes: Vec::new() }
    }

    /// Notes a mistake.
    pub(super) fn wrong(&mut self, line: usize, message: impl Into<String>) {
        self.mistakes.push(Mistake { place: Place::Line(line), message: message.into() });
    }

    /// Notes a mistake in another file, which this one names.
    pub(super) fn wrong_in(&mut self, file: &str, line: usize, message: String) {
        let place = Place::Other { file: file.to_owned(), line };
        self.mistakes.push(Mistake { place, message });
    }

    /// Notes a mistake of the file as a whole: something is missing.
    pub(super) fn missing(&mut self, message: impl Into<String>) {
        self.mistakes.push(Mistake { place: Place::File, message: message.into() });
    }

    /// The mistakes, if there are any.
    pub(super) fn finish(self, file: &str) -> Result<(), Mistakes> {
        Mistakes::found(Some(file), self.mistakes).map_or(Ok(()), Err)
    }

    /// The line of a byte.
    pub(super) fn line_at(&self, byte: usize) -> usize {
        line_of(self.text, byte)
    }

    /// The line of a key.
    pub(super) fn key_line(&self, table: &dyn TableLike, key: &str) -> usize {
        let span = table.get_key_value(key).and_then(|(key, item)| key.span().or(item.span()));
        span.map_or(1, |span| line_of(self.text, span.start))
    }

    /// Notes every key of `table` that is not among `known`.
    pub(super) fn check_keys(&mut self, table: &dyn TableLike, known: &[&str]) {
        let unknown = table.iter().map(|(key, _)| key).filter(|key| !known.contains(key));
        for key in unknown {
            let line = self.key_line(table, key);
            self.wrong(line, unknown_key(key, known));
        }
    }

    /// A text.
    pub(super) fn string(&mut self, table: &dyn TableLike, key: &str) -> Option<At<String>> {
        let item = table.get(key)?;
        let line = self.key_line(table, key);
        match item.as_str() {
            Some(text) => Some(At { value: text.to_owned(), line }),
            None => {
                self.wrong_type(line, key, item, "a text in quotes");
                None
            }
        }
    }

    /// A path; a relative one counts from the file's directory.
    pub(super) fn path(&mut self, table: &dyn TableLike, key: &str) -> Option<At<PathBuf>> {
        let At { value, line } = self.string(table, key)?;
        if value.is_empty() {
            self.wrong(line, format!("`{key}` is empty; it must be a path"));
            return None;
        }
        Some(At { value: self.directory.join(value), line })
    }

    /// A list of texts, each parsed by `parse`; those that do not parse are noted and left out.
    /// `None` when the key is not there.
    pub(super) fn list<T>(
        &mut self,
        table: &dyn TableLike,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<At<T>>> {
        let item = table.get(key)?;
        let line = self.key_line(table, key);
        let Some(array) = item.as_array() else {
            self.wrong_type(line, key, item, "a list of texts, as in [\"…\", \"…\"]");
            return Some(Vec::new());
        };
        let mut values = Vec::new();
        for entry in array {
            let line = entry.span().map_or(line, |span| line_of(self.text, span.start));
            match entry.as_str().map(&parse) {
                Some(Ok(value)) => values.push(At { value, line }),
                Some(Err(what)) => self.wrong(line, format!("`{key}`: {what}")),
                None => {
                    let found = type_words(entry);
                    self.wrong(
                        line,
                        format!("`{key}` holds {found}; it must hold texts in quotes"),
                    );
                }
            }
        }
        Some(values)
    }

    /// A whole number from `least` to `most`.
    pub(super) fn integer(
        &mut self,
        table: &dyn TableLike,
        key: &str,
        least: u64,
        most: u64,
    ) -> Option<u64> {
        let item = table.get(key)?;
        let line = self.key_line(table, key);
        let allowed = format!("a whole number from {least} to {most}");
        let Some(number) = item.as_integer() else {
            self.wrong_type(line, key, item, &allowed);
            return None;
        };
        let in_range = u64::try_from(number).ok().filter(|n| (least..=most).contains(n));
        if in_range.is_none() {
            self.wrong(line, format!("`{key}` is {number}; it must be {allowed}"));
        }
        in_range
    }

    /// A list of whole numbers from `least` to `most`; others are noted and left out. `None` when
    /// the key is not there.
    pub(super) fn integers(
        &mut self,
        table: &dyn TableLike,
        key: &str,
        least: u64,
        most: u64,
    ) -> Option<Vec<At<u64>>> {
        let item = table.get(key)?;
        let line = self.key_line(table, key);
        let allowed = format!("whole numbers from {least} to {most}");
        let Some(array) = item.as_array() else {
            self.wrong_type(line, key, item, &format!("a list of {allowed}, as in [{least}]"));
            return Some(Vec::new());
        };
        let mut values = Vec::new();
        for entry in array {
            let line = entry.span().map_or(line, |span| line_of(self.text, span.start));
            let number = entry.as_integer();
            match number.and_then(|n| u64::try_from(n).ok()).filter(|n| (least..=most).contains(n))
            {
                Some(value) => values.push(At { value, line }),
                None => {
                    let found = match number {
                        Some(number) => number.to_string(),
                        None => type_words(entry).to_owned(),
                    };
                    self.wrong(line, format!("`{key}` holds {found}; it must hold {allowed}"));
                }
            }
        }
        Some(values)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, table: &dyn TableLike, key: &str) -> Option<At<bool>> {
        let item = table.get(key)?;
        let line = self.key_line(table, key);
        match item.as_bool() {
            Some(value) => Some(At { value, line }),
            None => {
                self.wrong_type(line, key, item, "true or false, without quotes");
                None
            }
        }
    }

    /// Notes that a value has the wrong type.
    pub(super) fn wrong_type(&mut self, line: usize, key: &str, item: &Item, allowed: &str) {
        let found = item.as_value().map_or("a table", type_words);
        self.wrong(line, format!("`{key}` is {found}; it must be {allowed}"));
    }
}

fn type_words(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::InlineTable(_) => "a table",
    }
}

/// A list of known keys longer than this is cut to those that begin like the unknown one.
const KEYS_LISTED: usize = 12;

fn unknown_key(key: &str, known: &[&str]) -> String {
    // A key that was put into the wrong section is spelt right: say where it belongs.
    let sections = [
        (top::KEYS, "at the top of the file, before the first [section]"),
        (site::KEYS, "in a [site.\"…\"] section"),
        (kernel::KEYS, "in the [kernel] section"),
        (geography::KEYS, "in the [geography] section"),
        (limits::KEYS, "in the [limits] section"),
        (event::KEYS, "in an [[event]] section"),
    ];
    for (keys, place) in sections {
        if keys.contains(&key) {
            return format!("`{key}` does not belong here; it stands {place}");
        }
    }
    if let Some(guess) = nearest(key, known) {
        return format!("unknown key `{key}`; did you mean `{guess}`?");
    }
    let first_word = |key: &str| key.split('_').next().map(str::to_owned);
    let alike: Vec<&str> =
        known.iter().copied().filter(|other| first_word(other) == first_word(key)).collect();
    if known.len() > KEYS_LISTED && !alike.is_empty() {
        return format!("unknown key `{key}`; known here and alike: {}", alike.join(", "));
    }
    format!("unknown key `{key}`; known here: {}", known.join(", "))
}
