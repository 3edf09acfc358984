//! An iCalendar file (RFC 5545), as far as declared events need it.
//!
//! Read: VEVENT with DTSTART and DTEND or DURATION in UTC, RRULE of FREQ=DAILY or WEEKLY with
//! INTERVAL, COUNT or UNTIL, STATUS:CANCELLED, SUMMARY as the name. The paths are those of
//! `X-FLOODWALL-PATHS:` (separated by commas or spaces) and the lines of DESCRIPTION that begin with
//! a slash. Events without paths are none of our business and are passed over, right or wrong.
//!
//! Not read, and a mistake in an event with paths: times of another zone than UTC, floating times,
//! and whole days. They would need a table of time zones that has to be kept up to date; a wrong hour
//! would have the prior hold while nobody comes. The same for RDATE, EXDATE, RECURRENCE-ID and other
//! parts of RRULE: an event that is half understood is declared at times that nobody meant.
//!
//! By hand and not with a crate: those that exist bring a date library with them, for one record of
//! a dozen kinds.

use floodwall_model::event::{EVENT_NAME_BYTES_MAX, EVENTS_MAX, Repeat};
use floodwall_model::template::printable;
use floodwall_model::{Event, EventPath};

use super::event::{check_count, check_span};
use crate::replay::stamp;

mod line;
mod when;

use line::{Property, properties};

/// Mistakes told about one file. What is beyond is counted in a last line.
const MISTAKES_MAX: usize = 20;

/// A mistake: its line, counted from one, and what is wrong.
pub(super) type Wrong = (usize, String);

/// The declared events of a calendar, and what is wrong with others.
pub(super) fn read(text: &str) -> (Vec<Event>, Vec<Wrong>) {
    let (mut events, mut mistakes) = (Vec::new(), Vec::new());
    let mut further = 0_usize;
    let mut note = |wrong: Wrong| {
        if mistakes.len() < MISTAKES_MAX {
            mistakes.push(wrong);
        } else {
            further += 1;
        }
    };
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut inside: Vec<Property> = Vec::new();
    let mut is_calendar = false;
    for property in properties(text) {
        let property = match property {
            Ok(property) => property,
            Err(wrong) => {
                note(wrong);
                continue;
            }
        };
        let component = property.value.trim().to_ascii_uppercase();
        match property.name.as_str() {
            "BEGIN" => {
                is_calendar |= component == "VCALENDAR";
                if component == "VEVENT" {
                    inside.clear();
                }
                if open.len() < COMPONENTS_DEEP_MAX {
                    open.push((component, property.line));
                } else {
                    note((property.line, "components are nested too deeply".into()));
                    open.clear();
                    break;
                }
            }
            "END" => {
                if open.last().is_none_or(|(name, _)| *name != component) {
                    note((property.line, format!("END:{} without its BEGIN", shown(&component))));
                    open.clear();
                    break;
                }
                let began = open.pop().map_or(property.line, |(_, line)| line);
                if component == "VEVENT" {
                    match event(began, &inside) {
                        Ok(Some(event)) if events.len() < EVENTS_MAX => events.push(event),
                        Ok(Some(_)) => {
                            note((began, format!("more than {EVENTS_MAX} events with paths")));
                            open.clear();
                            break;
                        }
                        Ok(None) => {}
                        Err(wrong) => wrong.into_iter().for_each(&mut note),
                    }
                }
            }
            // Only what is the event's own: an alarm inside it has properties of the same names.
            _ if open.last().is_some_and(|(name, _)| name == "VEVENT") => inside.push(property),
            _ => {}
        }
    }
    if !is_calendar {
        note((1, "this is no iCalendar file: it has no BEGIN:VCALENDAR".into()));
    } else if let Some((component, line)) = open.last() {
        note((*line, format!("BEGIN:{} without its END", shown(component))));
    }
    if further > 0 {
        let line = mistakes.last().map_or(1, |(line, _)| *line);
        mistakes.push((line, format!("and {further} further mistakes in this calendar")));
    }
    (events, mistakes)
}

/// VCALENDAR, VEVENT, VALARM; some programs add one.
const COMPONENTS_DEEP_MAX: usize = 8;

/// A stranger's text, fit for a message.
fn shown(text: &str) -> String {
    printable(text.as_bytes(), 60)
}

/// One event; `None` where it declares nothing.
fn event(began: usize, properties: &[Property]) -> Result<Option<Event>, Vec<Wrong>> {
    let find = |name: &str| properties.iter().find(|p| p.name == name);
    let mut wrong = Vec::new();
    let declared = declared_paths(properties);
    let cancelled = find("STATUS").is_some_and(|p| p.value.eq_ignore_ascii_case("CANCELLED"));
    if declared.is_empty() || cancelled {
        return Ok(None);
    }
    let mut paths: Vec<EventPath> = Vec::new();
    for (line, text) in declared {
        match EventPath::parse(&text) {
            Ok(path) if paths.contains(&path) => {}
            Ok(path) => paths.push(path),
            Err(why) => wrong.push((line, format!("the path `{}`: {why}", shown(&text)))),
        }
    }
    for name in ["RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID"] {
        if let Some(property) = find(name) {
            let what = "is not understood; write the occurrences as events of their own";
            wrong.push((property.line, format!("{name} {what}")));
        }
    }
    let (from_ms, until_ms) = match when::span(began, find) {
        Ok(span) => span,
        Err(mistake) => {
            wrong.push(mistake);
            return Err(wrong);
        }
    };
    if let Err(what) = check_span(from_ms, until_ms) {
        wrong.push((began, what));
    }
    if wrong.is_empty()
        && let Err(what) = check_count(paths.len())
    {
        wrong.push((began, what));
    }
    let repeat = match find("RRULE").map(|rule| when::repeat(rule, from_ms)).transpose() {
        Ok(repeat) => repeat,
        Err(mistake) => {
            wrong.push(mistake);
            None
        }
    };
    if repeat.is_some_and(|Repeat { every_ms, .. }| until_ms.saturating_sub(from_ms) > every_ms) {
        wrong.push((began, "the event comes again before it is over".into()));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let name = find("SUMMARY").map_or_else(String::new, |p| line::unescaped(&p.value));
    let name = printable(name.trim().as_bytes(), EVENT_NAME_BYTES_MAX);
    let name = if name.is_empty() { "without a name".into() } else { name };
    Ok(Some(Event { name, from_ms, until_ms, repeat, paths, expected_factor: None }))
}

/// The paths with the lines of their properties.
fn declared_paths(properties: &[Property]) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for property in properties {
        let text = line::unescaped(&property.value);
        match property.name.as_str() {
            "X-FLOODWALL-PATHS" => {
                let parts = text.split(|c: char| c == ',' || c.is_whitespace());
                let named = parts.filter(|part| !part.is_empty());
                paths.extend(named.map(|part| (property.line, part.to_owned())));
            }
            "DESCRIPTION" => {
                let lines = text.lines().map(str::trim).filter(|line| line.starts_with('/'));
                paths.extend(lines.map(|path| (property.line, path.to_owned())));
            }
            _ => {}
        }
    }
    paths
}

/// A moment of the calendar, ms since the epoch: `20261124T170000Z`.
fn utc_ms(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('Z')?;
    let (day, time) = digits.split_once('T')?;
    let number = |text: Option<&str>| text?.parse::<u32>().ok();
    let all_digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(day, 8) || !all_digits(time, 6) {
        return None;
    }
    let (year, month) = (number(day.get(..4))?, number(day.get(4..6))?);
    let (hour, minute) = (number(time.get(..2))?, number(time.get(2..4))?);
    // A leap second (RFC 5545 § 3.3.12) is the second before it.
    let second = number(time.get(4..6)).filter(|s| *s <= 60)?.min(59);
    let of_day_s = (hour < 24 && minute < 60).then_some(hour * 3_600 + minute * 60 + second)?;
    stamp::civil_ms(year, month, number(day.get(6..8))?, of_day_s)
}

#[cfg(test)]
mod tests;
