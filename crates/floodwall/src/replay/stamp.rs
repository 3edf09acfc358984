//! Times as access logs write them, parsed by hand: it happens once per line.
//!
//! A log has thousands of lines per day and per zone, so both are remembered and compared as bytes.
//! Must never panic and never allocate. Times before 1970 are refused.

/// A parsed time.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    /// Milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// The log gives no more than seconds: where in the second it happened is not known.
    pub(crate) whole_second: bool,
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse: (year, month, day) of a day number.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn rfc3339(at_ms: u64) -> String {
    let (days, of_day_ms) = ((at_ms / 86_400_000) as i64, at_ms % 86_400_000);
    let (year, month, day) = civil_from_days(days);
    let (s, ms) = (of_day_ms / 1_000, of_day_ms % 1_000);
    let (hours, minutes, seconds) = (s / 3_600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z")
}

/// `digits` as a number; `None` if one of them is no digit.
fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0_i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

/// The digits of `text` at `range`.
fn part(text: &[u8], range: std::ops::Range<usize>) -> Option<i64> {
    number(text.get(range)?)
}

/// Seconds of `HH:MM:SS`. A leap second is the second before it.
fn clock_s(text: &[u8]) -> Option<i64> {
    let text: &[u8; 8] = text.get(..8)?.try_into().ok()?;
    let (hours, minutes) = (number(&text[..2])?, number(&text[3..5])?);
    let seconds = number(&text[6..8])?.min(if &text[6..8] == b"60" { 59 } else { 99 });
    let in_range = hours < 24 && minutes < 60 && seconds < 60;
    (in_range && text[2] == b':' && text[5] == b':')
        .then_some(hours * 3_600 + minutes * 60 + seconds)
}

/// A fraction (`.` or `,` and digits) at the start of `text`: milliseconds and its length.
fn fraction(text: &[u8]) -> Option<(i64, usize)> {
    if !matches!(text.first(), Some(b'.' | b',')) {
        return None;
    }
    let digits = text[1..].iter().take_while(|b| b.is_ascii_digit()).count();
    let ms = (0..3).fold(0, |sum, place| {
        let digit = if place < digits { i64::from(text[1 + place] - b'0') } else { 0 };
        sum * 10 + digit
    });
    (digits > 0).then_some((ms, 1 + digits))
}

/// Offset from UTC in seconds: `Z`, `+HHMM`, `+HH:MM` or `+HH`, the whole of `text`.
fn zone_s(text: &[u8]) -> Option<i64> {
    let sign = match text.first()? {
        b'Z' | b'z' if text.len() == 1 => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match text.len() {
        3 => (part(text, 1..3)?, 0),
        5 => (part(text, 1..3)?, part(text, 3..5)?),
        6 if text[3] == b':' => (part(text, 1..3)?, part(text, 4..6)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn stamp(seconds: i64, fraction_ms: Option<i64>) -> Option<Stamp> {
    let at_ms = seconds.checked_mul(1_000)?.checked_add(fraction_ms.unwrap_or(0))?;
    Some(Stamp { at_ms: u64::try_from(at_ms).ok()?, whole_second: fraction_ms.is_none() })
}

/// Parses times and remembers the last day and zone.
#[derive(Debug, Default)]
pub(crate) struct StampParser {
    day: [u8; 11],
    day_s: i64,
    zone: [u8; 5],
    zone_s: i64,
}

impl StampParser {
    /// `17/May/2015:10:05:03 +0000`, with an optional fraction: the whole of `text`.
    pub(crate) fn clf(&mut self, text: &[u8]) -> Option<Stamp> {
        let day: &[u8; 11] = text.get(..11)?.try_into().ok()?;
        if *text.get(11)? != b':' {
            return None;
        }
        if *day != self.day {
            self.day_s = clf_day(day)? * 86_400;
            self.day = *day;
        }
        let of_day_s = clock_s(text.get(12..)?)?;
        let (fraction_ms, after) = match fraction(text.get(20..)?) {
            Some((ms, length)) => (Some(ms), 20 + length),
            None => (None, 20),
        };
        let zone = match text.get(after..)? {
            [b' ', zone @ ..] => zone,
            zone => zone,
        };
        let zone: &[u8; 5] = zone.try_into().ok()?;
        if *zone != self.zone {
            self.zone_s = zone_s(zone)?;
            self.zone = *zone;
        }
        stamp(self.day_s + of_day_s - self.zone_s, fraction_ms)
    }

    /// Any time a log may carry as text: CLF, ISO 8601, or Unix time in digits.
    pub(crate) fn any(&mut self, text: &[u8]) -> Option<Stamp> {
        let text = text.trim_ascii();
        let text = text.strip_prefix(b"[").and_then(|t| t.strip_suffix(b"]")).unwrap_or(text);
        match text.get(2)? {
            b'/' => self.clf(text),
            _ if text.get(4) == Some(&b'-') => iso8601(text),
            _ => unix_text(text),
        }
    }
}

/// Day number of `17/May/2015`.
fn clf_day(text: &[u8; 11]) -> Option<i64> {
    let month = 1 + MONTHS.iter().position(|m| m[..].eq_ignore_ascii_case(&text[3..6]))? as i64;
    if text[2] != b'/' || text[6] != b'/' {
        return None;
    }
    day_number(number(&text[7..11])?, month, number(&text[..2])?)
}

fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let days = days_from_civil(year, month, day);
    // A date that does not exist (30 February) comes back as another one.
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

/// `2015-05-17T10:05:03.250+02:00`. Without an offset it is taken for UTC, since nothing tells.
fn iso8601(text: &[u8]) -> Option<Stamp> {
    let (year, month, day) = (part(text, 0..4)?, part(text, 5..7)?, part(text, 8..10)?);
    if text[4] != b'-' || text[7] != b'-' || !matches!(text.get(10)?, b'T' | b't' | b' ') {
        return None;
    }
    let of_day_s = clock_s(text.get(11..)?)?;
    let rest = text.get(19..)?;
    let (fraction_ms, length) = match fraction(rest) {
        Some((ms, length)) => (Some(ms), length),
        None => (None, 0),
    };
    let zone = rest.get(length..)?.trim_ascii();
    let zone_s = if zone.is_empty() { 0 } else { zone_s(zone)? };
    stamp(day_number(year, month, day)? * 86_400 + of_day_s - zone_s, fraction_ms)
}

/// The whole of `text` as RFC 3339 with its offset from UTC, ms since the epoch.
pub(crate) fn rfc3339_ms(text: &str) -> Option<u64> {
    let text = text.as_bytes();
    // Where a log leaves the offset out it is guessed; here nothing is.
    let has_offset = matches!(text.last(), Some(b'Z' | b'z'))
        || text.get(19..).is_some_and(|rest| rest.iter().any(|b| matches!(b, b'+' | b'-')));
    iso8601(text).filter(|stamp| has_offset && stamp.at_ms <= LATEST_MS).map(|stamp| stamp.at_ms)
}

/// A date and a second of its day in UTC, ms since the epoch; `None` for a date that does not exist
/// or is before 1970.
pub(crate) fn civil_ms(year: u32, month: u32, day: u32, of_day_s: u32) -> Option<u64> {
    if !(1..=12).contains(&month) || year > 9_999 {
        return None;
    }
    let days = day_number(year.into(), month.into(), day.into())?;
    stamp(days * 86_400 + i64::from(of_day_s), None).map(|stamp| stamp.at_ms)
}

/// Unix time as digits with an optional fraction.
fn unix_text(text: &[u8]) -> Option<Stamp> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > 19 {
        return None;
    }
    let whole = u64::try_from(number_wide(&text[..digits])?).ok()?;
    match &text[digits..] {
        [] => unix_integer(whole),
        rest => {
            let (ms, length) = fraction(rest)?;
            let at_ms = whole.checked_mul(1_000)?.checked_add(ms as u64)?;
            (length == rest.len() && at_ms <= LATEST_MS)
                .then_some(Stamp { at_ms, whole_second: false })
        }
    }
}

fn number_wide(digits: &[u8]) -> Option<u128> {
    digits
        .iter()
        .try_fold(0_u128, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u128::from(b - b'0')))
}

/// Latest time accepted: the end of the year 9999, beyond which RFC 3339 cannot write it.
const LATEST_MS: u64 = 253_402_300_799_999;

/// Unix time as an integer of seconds, ms, µs or ns: told apart by size, since a log of today has
/// ten, thirteen, sixteen or nineteen digits.
pub(crate) fn unix_integer(value: u64) -> Option<Stamp> {
    let (at_ms, whole_second) = match value {
        0..100_000_000_000 => (value * 1_000, true),
        100_000_000_000..100_000_000_000_000 => (value, false),
        100_000_000_000_000..100_000_000_000_000_000 => (value / 1_000, false),
        _ => (value / 1_000_000, false),
    };
    (at_ms <= LATEST_MS).then_some(Stamp { at_ms, whole_second })
}

/// Unix time as a number with a fraction: seconds, or ms when it is too large for seconds.
pub(crate) fn unix_fraction(value: f64) -> Option<Stamp> {
    let at_ms = if value.abs() < 1e11 { value * 1e3 } else { value };
    let in_range = at_ms.is_finite() && at_ms >= 0.0 && at_ms <= LATEST_MS as f64;
    in_range.then(|| Stamp { at_ms: at_ms.round() as u64, whole_second: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Option<(u64, bool)>) {
        let parsed = StampParser::default().any(text.as_bytes());
        assert_eq!(parsed.map(|s| (s.at_ms, s.whole_second)), expected, "{text}");
    }

    #[test]
    fn the_ways_logs_write_one_moment() {
        let moment = 1_431_857_103_000;
        check("17/May/2015:10:05:03 +0000", Some((moment, true)));
        check("[17/May/2015:12:05:03 +0200]", Some((moment, true)));
        check("17/May/2015:10:05:03.250 +0000", Some((moment + 250, false)));
        check("17/may/2015:10:05:03 +0000", Some((moment, true)));
        check("2015-05-17T10:05:03Z", Some((moment, true)));
        check("2015-05-17T05:05:03-05:00", Some((moment, true)));
        check("2015-05-17T10:05:03.25Z", Some((moment + 250, false)));
        check("2015-05-17T10:05:03,250", Some((moment + 250, false)));
        check("2015-05-17 10:05:03", Some((moment, true)));
        check("2015-05-17T12:05:03+02", Some((moment, true)));
        check("1431857103", Some((moment, true)));
        check("1431857103.250", Some((moment + 250, false)));
        check("1431857103250", Some((moment + 250, false)));
        check("1431857103250123", Some((moment + 250, false)));
        check("1431857103250123456", Some((moment + 250, false)));
        check("29/Feb/2024:23:59:60 +0000", Some((1_709_251_199_000, true)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in [
            "",
            "-",
            "17/May/2015",
            "17/Mai/2015:10:05:03 +0000",
            "31/Feb/2015:10:05:03 +0000",
            "17/May/2015:24:05:03 +0000",
            "17/May/2015:10:05:03 +00",
            "17/May/2015:10:05:03",
            "01/Jan/1969:00:00:00 +0000",
            "2015-13-17T10:05:03Z",
            "2015-05-17T10:05",
            "yesterday",
            "99999999999999999999",
            "12.",
            "1.5.2",
            "Sun Dec 04 04:47:44 2005",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_remembered_day_and_zone_do_not_leak_into_the_next_line() {
        let mut parser = StampParser::default();
        let mut at = |text: &str| parser.clf(text.as_bytes()).map(|s| s.at_ms);
        assert_eq!(at("17/May/2015:10:05:03 +0000"), Some(1_431_857_103_000));
        assert_eq!(at("99/May/2015:10:05:03 +0000"), None);
        assert_eq!(at("17/May/2015:10:05:03 +0000"), Some(1_431_857_103_000));
        assert_eq!(at("18/May/2015:10:05:03 -0100"), Some(1_431_947_103_000));
        assert_eq!(at("18/May/2015:10:05:03 +9900"), None);
        assert_eq!(at("18/May/2015:10:05:03 -0100"), Some(1_431_947_103_000));
    }

    #[test]
    fn a_declared_time_has_its_offset() {
        for (text, expected) in [
            ("2015-05-17T10:05:03Z", Some(1_431_857_103_000)),
            ("2015-05-17T12:05:03+02:00", Some(1_431_857_103_000)),
            ("2015-05-17T09:05:03.5-01:00", Some(1_431_857_103_500)),
            ("2015-05-17T10:05:03", None),
            ("2015-05-17", None),
            ("10:05:03Z", None),
            ("", None),
        ] {
            assert_eq!(rfc3339_ms(text), expected, "{text}");
        }
        assert_eq!(civil_ms(2015, 5, 17, 36_303), Some(1_431_857_103_000));
        assert_eq!(civil_ms(2015, 2, 29, 0), None);
        assert_eq!(civil_ms(2015, 13, 1, 0), None);
        assert_eq!(civil_ms(1969, 12, 31, 0), None);
    }

    #[test]
    fn numbers_in_json_are_seconds_or_ms() {
        assert_eq!(unix_fraction(1_431_857_103.25).unwrap().at_ms, 1_431_857_103_250);
        assert_eq!(unix_fraction(1_431_857_103_250.0).unwrap().at_ms, 1_431_857_103_250);
        for wrong in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(unix_fraction(wrong), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(at_ms in 0..=LATEST_MS) {
            let text = rfc3339(at_ms);
            let parsed = StampParser::default().any(text.as_bytes());
            prop_assert_eq!(parsed, Some(Stamp { at_ms, whole_second: false }));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut parser = StampParser::default();
            let _ = rfc3339_ms(&String::from_utf8_lossy(&bytes));
            let _ = (parser.any(&bytes), parser.clf(&bytes), iso8601(&bytes), unix_text(&bytes));
        }
    }
}
