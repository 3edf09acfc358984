//! Mistakes, told together: `file:line: what is wrong and what is allowed`.

use std::fmt;
use std::io::Read;
use std::path::Path;

use super::FILE_BYTES_MAX;

/// Where a mistake is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// In a line of the file, counted from one.
    Line(usize),
    /// In the file as a whole.
    File,
    /// In a line of a file that the file names.
    Other {
        /// That file.
        file: String,
        /// Its line, counted from one.
        line: usize,
    },
    /// In an argument of the command line.
    Argument(String),
}

/// One mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Every mistake of one file or command line, at least one, in the order of the lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistakes {
    file: Option<String>,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// Puts mistakes together; `None` when there are none. `file` is `None` for a command line.
    pub(super) fn found(file: Option<&str>, mut list: Vec<Mistake>) -> Option<Mistakes> {
        // Stable, so that mistakes of one line stay in the order they were found in.
        list.sort_by_key(|mistake| match mistake.place {
            Place::Line(line) => line,
            Place::File | Place::Other { .. } | Place::Argument(_) => usize::MAX,
        });
        (!list.is_empty()).then(|| Mistakes { file: file.map(String::from), list })
    }

    /// The one mistake of a text that is no TOML.
    pub(super) fn of_syntax(file: &str, text: &str, error: &toml_edit::TomlError) -> Mistakes {
        // An error at the very end belongs to the last line that has something on it.
        let end = text.trim_end().len();
        let place = match error.span() {
            Some(span) => Place::Line(line_of(text, span.start.min(end))),
            None => Place::File,
        };
        let mut message =
            format!("this is not TOML: {}", error.message().trim().replace('\n', "; "));
        if let Place::Line(line) = place
            && let Some(suspect) = unclosed_quote(text, line)
        {
            message.push_str(&format!("; a quote seems to be missing in line {suspect}"));
        }
        Mistakes { file: Some(file.into()), list: vec![Mistake { place, message }] }
    }

    /// The mistakes.
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("the command line");
        for Mistake { place, message } in &self.list {
            match place {
                Place::Line(line) => writeln!(f, "{file}:{line}: {message}")?,
                Place::File => writeln!(f, "{file}: {message}")?,
                Place::Other { file, line } => writeln!(f, "{file}:{line}: {message}")?,
                Place::Argument(argument) => writeln!(f, "{argument}: {message}")?,
            }
        }
        let count = self.list.len();
        write!(f, "{count} mistake{} in {file}", if count == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Mistakes {}

/// The line that holds the byte `at`, counted from one.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The last line up to `line` with an odd number of double quotes: the parser may notice a missing
/// quote only in the line after. Lines with other kinds of quotes are left alone.
fn unclosed_quote(text: &str, line: usize) -> Option<usize> {
    let odd = |line: &str| {
        let quotes = line.matches('"').count() - line.matches("\\\"").count();
        quotes % 2 == 1 && !line.contains("\"\"\"") && !line.contains(['\'', '#'])
    };
    (1..).zip(text.lines()).take(line).filter(|(_, text)| odd(text)).map(|(n, _)| n).last()
}

/// Reads a whole text file.
pub(super) fn read_text(path: &Path, name: &str) -> Result<String, Mistakes> {
    read_text_of(path, name, "this is no configuration")
}

/// The same; `too_large` is said of one that is larger than [`FILE_BYTES_MAX`].
pub(super) fn read_text_of(path: &Path, name: &str, too_large: &str) -> Result<String, Mistakes> {
    let wrong = |place, message| Mistakes {
        file: Some(name.into()),
        list: vec![Mistake { place, message }],
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(Place::File, format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("larger than {FILE_BYTES_MAX} bytes; {too_large}");
        return Err(wrong(Place::File, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count();
        wrong(Place::Line(line), "this is not UTF-8 text".into())
    })
}
