//! Declared events: `[[event]]` tables and an iCalendar file.
//!
//! An event only says that visitors are expected on some paths at some time. It changes no limit and
//! exempts nobody (see `floodwall_model::event`), so it can be written by whoever keeps the calendar.

use floodwall_model::event::{EVENT_MS_MAX, EVENT_NAME_BYTES_MAX, EVENT_PATHS_MAX, EVENTS_MAX};
use floodwall_model::template::printable;
use floodwall_model::{Event, EventPath};
use toml_edit::TableLike;

use super::mistake::{self, Place};
use super::reader::{At, Reader};
use super::{Config, ics};
use crate::replay::stamp;

/// The keys known in an event.
pub(super) const KEYS: &[&str] = &["name", "from", "until", "paths", "expected"];

/// Beyond this an expectation says nothing.
const FACTOR_MAX: u32 = 10_000;

/// Reads both, if they are there.
pub(super) fn read(reader: &mut Reader<'_>, top: &dyn TableLike, config: &mut Config) {
    config.events = read_tables(reader, top);
    config.calendar = reader.path(top, "calendar").map(|path| path.value);
    if let Some(path) = &config.calendar {
        let name = path.display().to_string();
        match mistake::read_text_of(path, &name, "this is no calendar") {
            Ok(text) => {
                let (events, mistakes) = ics::read(&text);
                config.events.extend(events);
                for (line, message) in mistakes {
                    reader.wrong_in(&name, line, message);
                }
            }
            Err(mistakes) => {
                for mistake in mistakes.list() {
                    match mistake.place {
                        Place::Line(line) => reader.wrong_in(&name, line, mistake.message.clone()),
                        _ => {
                            let line = reader.key_line(top, "calendar");
                            reader.wrong(line, format!("`calendar`: {name}: {}", mistake.message));
                        }
                    }
                }
            }
        }
    }
    if config.events.len() > EVENTS_MAX {
        let count = config.events.len();
        reader.missing(format!("{count} events are declared; at most {EVENTS_MAX} are possible"));
    }
}

fn read_tables(reader: &mut Reader<'_>, top: &dyn TableLike) -> Vec<Event> {
    let Some(item) = top.get("event") else { return Vec::new() };
    let Some(tables) = item.as_array_of_tables() else {
        let line = reader.key_line(top, "event");
        reader.wrong_type(line, "event", item, "one section per event: [[event]]");
        return Vec::new();
    };
    let mut events = Vec::new();
    for table in tables {
        let line = table.span().map_or(1, |span| reader.line_at(span.start));
        events.extend(read_one(reader, line, table));
    }
    events
}

fn read_one(reader: &mut Reader<'_>, line: usize, table: &dyn TableLike) -> Option<Event> {
    reader.check_keys(table, KEYS);
    for key in ["name", "from", "until", "paths"] {
        if !table.contains_key(key) {
            reader.wrong(line, format!("this event has no `{key}`"));
        }
    }
    let name = reader.string(table, "name");
    if let Some(At { value, line }) = &name {
        check_name(value).unwrap_or_else(|what| reader.wrong(*line, format!("`name` {what}")));
    }
    let (from, until) = (moment(reader, table, "from"), moment(reader, table, "until"));
    if let (Some(from), Some(until)) = (&from, &until)
        && let Err(what) = check_span(from.value, until.value)
    {
        reader.wrong(until.line, format!("`until`: {what}"));
    }
    let expected_factor = expected(reader, table);
    let parse = |text: &str| EventPath::parse(text).map_err(|why| format!("`{text}`: {why}"));
    let paths = reader.list(table, "paths", parse)?;
    // Those written: wrong ones have been told.
    let written = table.get("paths").and_then(|item| item.as_array()).map_or(1, |list| list.len());
    if let Err(what) = check_count(written) {
        let line = reader.key_line(table, "paths");
        reader.wrong(line, format!("`paths`: {what}"));
    }
    Some(Event {
        name: name?.value,
        from_ms: from?.value,
        until_ms: until?.value,
        repeat: None,
        paths: paths.into_iter().map(|path| path.value).collect(),
        expected_factor,
    })
}

/// RFC 3339 with its offset, in quotes or as TOML writes it (an offset date-time).
fn moment(reader: &mut Reader<'_>, table: &dyn TableLike, key: &str) -> Option<At<u64>> {
    let item = table.get(key)?;
    let line = reader.key_line(table, key);
    let text = match (item.as_datetime(), item.as_str()) {
        (Some(moment), _) => moment.to_string(),
        (None, Some(text)) => text.to_owned(),
        (None, None) => {
            reader.wrong_type(line, key, item, "a time such as 2026-11-24T18:00:00+01:00");
            return None;
        }
    };
    let at_ms = stamp::rfc3339_ms(&text);
    if at_ms.is_none() {
        let text = printable(text.as_bytes(), EVENT_NAME_BYTES_MAX);
        reader.wrong(
            line,
            format!(
                "`{key}` is `{text}`; it must be a time with its offset from UTC (RFC 3339), such \
                 as 2026-11-24T18:00:00+01:00 or 2026-11-24T17:00:00Z"
            ),
        );
    }
    at_ms.map(|value| At { value, line })
}

fn expected(reader: &mut Reader<'_>, table: &dyn TableLike) -> Option<u32> {
    let At { value, line } = reader.string(table, "expected")?;
    let factor = value.strip_prefix(['x', '×']).and_then(|digits| digits.parse().ok());
    let in_range = factor.filter(|factor| (2..=FACTOR_MAX).contains(factor));
    if in_range.is_none() {
        let most = FACTOR_MAX;
        reader.wrong(
            line,
            format!(
                "`expected` must be a multiple of the usual traffic, from \"x2\" to \"x{most}\""
            ),
        );
    }
    in_range
}

fn check_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("is empty".into());
    }
    if name.len() > EVENT_NAME_BYTES_MAX {
        return Err(format!("is longer than the {EVENT_NAME_BYTES_MAX} bytes allowed"));
    }
    if printable(name.as_bytes(), EVENT_NAME_BYTES_MAX) != name {
        return Err("holds characters that cannot be shown".into());
    }
    Ok(())
}

/// Whether an event may last so.
pub(super) fn check_span(from_ms: u64, until_ms: u64) -> Result<(), String> {
    if until_ms <= from_ms {
        return Err("the event ends before it begins".into());
    }
    if until_ms - from_ms > EVENT_MS_MAX {
        let days = EVENT_MS_MAX / 86_400_000;
        return Err(format!(
            "the event lasts longer than {days} days; what always comes needs no declaration"
        ));
    }
    Ok(())
}

/// Whether an event may have so many paths.
pub(super) fn check_count(paths: usize) -> Result<(), String> {
    match paths {
        0 => Err("no path; name at least one, such as \"/results\" or \"/live/*\"".into()),
        1..=EVENT_PATHS_MAX => Ok(()),
        more => Err(format!("{more} are given; at most {EVENT_PATHS_MAX} are possible")),
    }
}
