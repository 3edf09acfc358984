//! One log: its lines parsed one after the other, broken ones counted.
//!
//! The format is chosen line by line (a JSON record begins with a brace, nothing else does), so a
//! file that changed its format half-way is read to its end. Reading never fails on content; an
//! input that breaks off (a gzip file cut short) ends there and says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use clap::ValueEnum;
use floodwall_model::template::printable;

use super::combined::CombinedParser;
use super::error::ReplayError;
use super::field::FieldName;
use super::input;
use super::json::JsonParser;
use super::lines::{Line, LineReader};
use super::record::{Entry, ObservationWriter};

/// Bytes of a broken line shown.
const EXCERPT_BYTES_MAX: usize = 120;

/// What lines are taken for.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// By each line's first character.
    #[default]
    Auto,
    /// nginx and Apache "combined", with or without a leading virtual host.
    Combined,
    /// Apache "common": like combined, without referer and user agent.
    Common,
    /// One JSON object per line.
    Json,
}

/// Parses lines of one file.
#[derive(Debug)]
struct LineParser {
    format: LogFormat,
    combined: CombinedParser,
    json: JsonParser,
}

/// What became of a file's lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogTally {
    /// Lines read, blank ones included.
    pub(crate) lines: u64,
    /// Lines that were records.
    pub(crate) records: u64,
    /// Of these, JSON.
    pub(crate) json_records: u64,
    /// Broken lines.
    pub(crate) skipped: u64,
    /// Of these, lines that were too long.
    pub(crate) too_long: u64,
    /// The first broken line: its number and what can be shown of it.
    pub(crate) first_broken: Option<(u64, String)>,
    /// Why reading ended before the end.
    pub(crate) broke_off: Option<String>,
}

/// A log being read.
pub(crate) struct Log {
    /// As given.
    pub(crate) path: PathBuf,
    /// What was met so far.
    pub(crate) tally: LogTally,
    lines: LineReader<input::Bytes>,
    parser: LineParser,
}

/// How to read logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) format: LogFormat,
    pub(crate) fields: Vec<FieldName>,
    /// Bytes read from disk, all inputs together.
    pub(crate) read_bytes: Arc<AtomicU64>,
}

impl Log {
    /// Opens `path`.
    pub(crate) fn open(path: &Path, reading: &Reading) -> Result<Self, ReplayError> {
        Ok(Log {
            path: path.to_owned(),
            tally: LogTally::default(),
            lines: LineReader::new(input::open(path, &reading.read_bytes)?),
            parser: LineParser {
                format: reading.format,
                combined: CombinedParser::default(),
                json: JsonParser::new(&reading.fields),
            },
        })
    }

    /// The next record; `None` at the end.
    pub(crate) fn next_entry(&mut self, writer: &mut ObservationWriter) -> Option<Entry> {
        self.entry_within(u64::MAX, writer)
    }

    /// The next record before line `lines_max`, if there is one.
    pub(crate) fn entry_within(
        &mut self,
        lines_max: u64,
        writer: &mut ObservationWriter,
    ) -> Option<Entry> {
        while self.tally.lines < lines_max {
            let line = match self.lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => return None,
                Err(error) => {
                    self.tally.broke_off = Some(error.to_string());
                    return None;
                }
            };
            self.tally.lines += 1;
            let text = match line {
                Line::Text(text) => text.trim_ascii(),
                Line::TooLong => {
                    self.tally.too_long += 1;
                    self.tally.skip(b"(longer than 64 KiB)");
                    continue;
                }
            };
            if text.is_empty() {
                continue;
            }
            match self.parser.entry(text, writer) {
                Some((entry, is_json)) => {
                    self.tally.records += 1;
                    self.tally.json_records += u64::from(is_json);
                    return Some(entry);
                }
                None => self.tally.skip(text),
            }
        }
        None
    }
}

impl LineParser {
    fn entry(&mut self, text: &[u8], writer: &mut ObservationWriter) -> Option<(Entry, bool)> {
        let is_json = match self.format {
            LogFormat::Auto => text.first() == Some(&b'{'),
            LogFormat::Json => true,
            LogFormat::Combined | LogFormat::Common => false,
        };
        let mut record =
            if is_json { self.json.parse(text)? } else { self.combined.parse(text)? };
        if self.format == LogFormat::Common {
            record.referer = Default::default();
            record.user_agent = Default::default();
        }
        Some((writer.entry(&record), is_json))
    }
}

impl LogTally {
    fn skip(&mut self, text: &[u8]) {
        self.skipped += 1;
        if self.first_broken.is_none() {
            self.first_broken = Some((self.lines, printable(text, EXCERPT_BYTES_MAX)));
        }
    }

    /// Which format most records had.
    pub(crate) fn format_name(&self) -> &'static str {
        match self.records {
            0 => "none",
            records if self.json_records * 2 > records => "json",
            _ => "combined",
        }
    }

    /// Why not one line was a record.
    pub(crate) fn why_no_record(&self, format: LogFormat) -> String {
        let Some((number, excerpt)) = &self.first_broken else {
            return "it is empty".to_owned();
        };
        let tried = match format {
            LogFormat::Auto => "neither combined nor common nor JSON",
            LogFormat::Combined => "not combined",
            LogFormat::Common => "not common",
            LogFormat::Json => "not JSON with a time, a source and a request",
        };
        let guess = guess(excerpt).map_or(String::new(), |what| format!(" ({what})"));
        format!("{} lines, {tried}; line {number}: {excerpt}{guess}", self.skipped)
    }
}

/// What else a line may be, for the reader's next step.
fn guess(line: &str) -> Option<&'static str> {
    if line.starts_with('{') {
        return Some("JSON, but time, source or request were not found; name them with --field");
    }
    let nginx_error = line.get(4..5) == Some("/") && line.contains("] ") && line.contains('#');
    let apache_error = line.starts_with('[')
        && ["error]", "notice]", "warn]", "info]"].iter().any(|l| line.contains(l));
    (nginx_error || apache_error).then_some("this looks like an error log; give the access log")
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::ValueKey;
    use std::io::Write;

    fn read(format: LogFormat, content: &[u8]) -> (LogTally, usize) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let mut log = Log::open(file.path(), &Reading { format, ..Reading::default() }).unwrap();
        let mut writer = ObservationWriter::new(ValueKey::new(1, 2));
        let count = std::iter::from_fn(|| log.next_entry(&mut writer)).count();
        (log.tally, count)
    }

    const LINE: &str =
        "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"Moz\"\n";
    const JSON: &str = "{\"ts\":1431857103,\"ip\":\"192.0.2.1\",\"request\":\"GET / HTTP/1.1\"}\n";

    #[test]
    fn blank_lines_are_neither_records_nor_broken() {
        let (tally, count) =
            read(LogFormat::Auto, format!("\n{LINE}  \r\nnonsense\n{JSON}").as_bytes());
        assert_eq!((count, tally.records, tally.skipped, tally.lines), (2, 2, 1, 5));
        assert_eq!(tally.first_broken, Some((4, "nonsense".to_owned())));
        assert_eq!(tally.json_records, 1);
    }

    #[test]
    fn a_named_format_reads_no_other() {
        let both = format!("{LINE}{JSON}");
        assert_eq!(read(LogFormat::Json, both.as_bytes()).0.skipped, 1);
        assert_eq!(read(LogFormat::Combined, both.as_bytes()).0.skipped, 1);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_counted() {
        let (tally, count) =
            read(LogFormat::Auto, format!("{}\n{LINE}", "x".repeat(70_000)).as_bytes());
        assert_eq!((count, tally.skipped, tally.too_long), (1, 1, 1));
    }

    #[test]
    fn a_gzip_file_cut_short_gives_what_it_held() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(LINE.repeat(1_000).as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let (tally, count) = read(LogFormat::Auto, &packed[..packed.len() / 2]);
        assert!(count > 100 && count < 1_000);
        assert!(tally.broke_off.is_some());
    }

    #[test]
    fn a_file_without_any_record_is_explained() {
        let error_log = b"[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok\n";
        let (tally, _) = read(LogFormat::Auto, error_log);
        let why = tally.why_no_record(LogFormat::Auto);
        assert!(why.contains("line 1: [Sun Dec 04") && why.contains("error log"), "{why}");
        let (tally, _) = read(LogFormat::Auto, b"{\"version\":6}\n");
        assert!(tally.why_no_record(LogFormat::Auto).contains("--field"));
        let (tally, _) = read(LogFormat::Auto, b"\x1b[31mred\n");
        assert!(tally.why_no_record(LogFormat::Auto).contains("\\u{1b}"));
        assert_eq!(read(LogFormat::Auto, b"").0.why_no_record(LogFormat::Auto), "it is empty");
    }
}
