//! Milliseconds since the Unix epoch as a date and time people can read, always UTC.
//!
//! Twenty lines instead of a date library: no time zones, no parsing, no locale is needed here, and
//! the day-by-day count in the tests judges the arithmetic.

use std::fmt;

const DAY_S: u64 = 86_400;

/// A moment as `2026-11-23 14:05:03 UTC`.
pub fn utc(ms: u64) -> String {
    format!("{} UTC", Civil::of(ms))
}

/// A moment as `2026-11-23 14:05:03`, for columns whose heading says UTC.
pub(crate) fn utc_bare(ms: u64) -> String {
    Civil::of(ms).to_string()
}

/// A civil date and time of day.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Civil {
    /// The days are counted from 1 March of year 0, so that the leap day comes last in its year
    /// (Hinnant, <https://howardhinnant.github.io/date_algorithms.html>, `civil_from_days`).
    fn of(ms: u64) -> Civil {
        let seconds = ms / 1_000;
        let days = seconds / DAY_S + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Civil {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            second_of_day: seconds % DAY_S,
        }
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, second_of_day: s } = *self;
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (999, "1970-01-01 00:00:00 UTC"),
            (951_782_399_000, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (951_868_800_000, "2000-03-01 00:00:00 UTC"),
            (1_709_164_800_000, "2024-02-29 00:00:00 UTC"),
            (1_795_442_703_123, "2026-11-23 14:05:03 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(ms), expected);
        }
    }

    #[test]
    fn nothing_panics_at_the_end_of_time() {
        assert!(utc(u64::MAX).ends_with("UTC"));
    }

    /// Day by day over 500 years, counting on the fingers.
    #[test]
    fn every_day_follows_the_day_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..500 * 366 {
            let civil = Civil::of(days * DAY_S * 1_000);
            assert_eq!((civil.year, civil.month, civil.day), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days_in_month = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > days_in_month {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
