//! When an event of a calendar is: its times, its duration, how it comes again.

use floodwall_model::event::Repeat;

use super::line::Property;
use super::{Wrong, shown, utc_ms};

const DAY_MS: u64 = 86_400_000;
/// Longest interval between two occurrences, in days or weeks: beyond it two events say it better.
const INTERVAL_MAX: u64 = 1_000;
/// Most occurrences counted; more come to the same as no end.
const COUNT_MAX: u64 = 100_000;
/// 1970-01-01 was a Thursday (RFC 5545 § 3.3.10 names the days so).
const DAYS: [&str; 7] = ["TH", "FR", "SA", "SU", "MO", "TU", "WE"];

/// Beginning and end, ms since the epoch, of the event that began in line `began`.
pub(super) fn span<'a>(
    began: usize,
    find: impl Fn(&str) -> Option<&'a Property>,
) -> Result<(u64, u64), Wrong> {
    let Some(start) = find("DTSTART") else {
        return Err((began, "this event has no DTSTART".into()));
    };
    let from_ms = moment(start)?;
    let until_ms = match (find("DTEND"), find("DURATION")) {
        (Some(end), None) => moment(end)?,
        (None, Some(length)) => {
            let Some(ms) = duration_ms(&length.value) else {
                let text = shown(&length.value);
                let what = format!("DURATION `{text}` is none, such as PT2H30M or P1DT12H");
                return Err((length.line, what));
            };
            from_ms.saturating_add(ms)
        }
        (Some(end), Some(_)) => {
            return Err((end.line, "DTEND and DURATION exclude each other".into()));
        }
        (None, None) => return Err((began, "this event has neither DTEND nor DURATION".into())),
    };
    Ok((from_ms, until_ms))
}

/// A time of a property. Only UTC is understood.
fn moment(property: &Property) -> Result<u64, Wrong> {
    let Property { name, value, line, .. } = property;
    let text = value.trim();
    let is_utc =
        |zone: &str| zone.eq_ignore_ascii_case("UTC") || zone.eq_ignore_ascii_case("Etc/UTC");
    let wrong = match property.parameter("TZID") {
        _ if property.parameter("VALUE").is_some_and(|kind| kind.eq_ignore_ascii_case("DATE")) => {
            "is a whole day, which begins at another moment in every zone".to_owned()
        }
        Some(zone) if is_utc(zone) && !text.ends_with('Z') => match utc_ms(&format!("{text}Z")) {
            Some(ms) => return Ok(ms),
            None => format!("`{}` is no time", shown(text)),
        },
        Some(zone) => format!(
            "is a time of the zone {}, and Floodwall has no table of time zones",
            shown(zone)
        ),
        None => match utc_ms(text) {
            Some(ms) => return Ok(ms),
            None if utc_ms(&format!("{text}Z")).is_some() => {
                "is a time without a zone, which means another moment everywhere".to_owned()
            }
            None => format!("`{}` is no time", shown(text)),
        },
    };
    Err((*line, format!("{name} {wrong}; write it in UTC, such as 20261124T170000Z")))
}

/// `P1W`, `P1DT2H`, `PT90M` and the like, ms (RFC 5545 § 3.3.6); not negative.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text).strip_prefix('P')?;
    let (mut total_ms, mut number, mut in_time, mut any) = (0_u64, None::<u64>, false, false);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let grown = number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?;
            number = Some(grown);
            continue;
        }
        let unit_ms = match (c, in_time) {
            ('T', false) if number.is_none() => {
                in_time = true;
                continue;
            }
            ('W', false) => 7 * DAY_MS,
            ('D', false) => DAY_MS,
            ('H', true) => 3_600_000,
            ('M', true) => 60_000,
            ('S', true) => 1_000,
            _ => return None,
        };
        total_ms = total_ms.checked_add(number.take()?.checked_mul(unit_ms)?)?;
        any = true;
    }
    (any && number.is_none()).then_some(total_ms)
}

/// How an event that begins first at `from_ms` comes again.
pub(super) fn repeat(rule: &Property, from_ms: u64) -> Result<Repeat, Wrong> {
    let wrong = |what: String| (rule.line, format!("RRULE: {what}"));
    let (mut unit_ms, mut interval, mut count, mut until_ms) = (None, 1, None, None);
    let mut days = None;
    for part in rule.value.trim().split(';').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let whole = |most: u64| {
            let number = value.parse::<u64>().ok().filter(|n| (1..=most).contains(n));
            number.ok_or_else(|| wrong(format!("{key} must be a number from 1 to {most}")))
        };
        match key.to_ascii_uppercase().as_str() {
            "FREQ" => {
                unit_ms = match value.to_ascii_uppercase().as_str() {
                    "DAILY" => Some(DAY_MS),
                    "WEEKLY" => Some(7 * DAY_MS),
                    other => {
                        let what = "is not understood; DAILY and WEEKLY are";
                        return Err(wrong(format!("FREQ={} {what}", shown(other))));
                    }
                };
            }
            "INTERVAL" => interval = whole(INTERVAL_MAX)?,
            "COUNT" => count = Some(whole(COUNT_MAX)?),
            "UNTIL" => {
                let parsed = utc_ms(value);
                let what = "UNTIL must be a time in UTC, such as 20261231T235959Z";
                until_ms = Some(parsed.ok_or_else(|| wrong(what.into()))?);
            }
            "BYDAY" => days = Some(value.to_ascii_uppercase()),
            // Where a week begins changes nothing for one day a week.
            "WKST" => {}
            other => return Err(wrong(format!("{} is not understood", shown(other)))),
        }
    }
    let unit_ms = unit_ms.ok_or_else(|| wrong("FREQ is missing".into()))?;
    if count.is_some() && until_ms.is_some() {
        return Err(wrong("COUNT and UNTIL exclude each other".into()));
    }
    // Many programs write the day of a weekly event that its beginning tells already.
    let own_day = DAYS[(from_ms / DAY_MS % 7) as usize];
    if days.is_some_and(|days| unit_ms == DAY_MS || days != own_day) {
        return Err(wrong(
            "BYDAY is not understood but for the event's own day of a weekly event; write one event \
             for each day"
                .into(),
        ));
    }
    let every_ms = unit_ms * interval;
    let last_by_count = count.map(|count| from_ms.saturating_add(every_ms * (count - 1)));
    Ok(Repeat { every_ms, last_from_ms: last_by_count.or(until_ms).unwrap_or(u64::MAX) })
}
