//! Figures in words: counts with their noun, shares, durations. Singular and plural right.

use floodwall_model::Collateral;

use crate::wrap::NO_BREAK;

/// A whole number with commas: `1,234,567`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 request`, `2,000 requests`. The plural takes an s, or `noun` gives it
/// after a bar: `address|addresses`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    let (one, many) = match noun.split_once('|') {
        Some((one, many)) => (one.to_owned(), many.to_owned()),
        None => (noun.to_owned(), format!("{noun}s")),
    };
    format!("{}{NO_BREAK}{}", number(n), if n == 1 { one } else { many })
}

/// `was` or `were`.
pub(crate) const fn was(n: u64) -> &'static str {
    if n == 1 { "was" } else { "were" }
}

/// A rate with three figures: `1,022`, `35.1`, `3.50`, `0.02`.
pub(crate) fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second < 0.0 {
        "unknown".into()
    } else if per_second >= 99.95 {
        number(per_second.round() as u64)
    } else if per_second >= 9.995 {
        format!("{per_second:.1}")
    } else {
        format!("{per_second:.2}")
    }
}

/// A share: `0 %`, `under 0.01 %`, `0.25 %`, `12 %`. Zero is said of zero alone, and 100 of all.
pub(crate) fn share(share: f64) -> String {
    let percent = share * 100.0;
    let figure = if !percent.is_finite() || percent < 0.0 {
        return "unknown".into();
    } else if percent == 0.0 {
        "0".into()
    } else if percent < 0.01 {
        "under 0.01".into()
    } else if percent < 9.995 {
        format!("{percent:.2}")
    } else if percent < 99.5 {
        format!("{percent:.0}")
    } else if percent < 100.0 {
        "over 99".into()
    } else {
        format!("{percent:.0}")
    };
    format!("{figure}{NO_BREAK}%")
}

/// A duration with its two largest units; below ten seconds with a decimal.
pub(crate) fn duration(ms: u64) -> String {
    if ms < 9_950 {
        let tenths = (ms + 50) / 100;
        let text = format!("{}.{}", tenths / 10, tenths % 10);
        let text = text.strip_suffix(".0").unwrap_or(&text).to_owned();
        let noun = if text == "1" { "second" } else { "seconds" };
        return format!("{text}{NO_BREAK}{noun}");
    }
    let seconds = ms.saturating_add(500) / 1_000;
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, noun) in units.iter().skip(first).take(2) {
        if left / size > 0 {
            parts.push(count(left / size, noun));
        }
        left %= size;
    }
    parts.join(" ")
}

/// A duration for a table: `1d 03h`, `2h 05m`, `10m 06s`, `42s`.
pub(crate) fn duration_short(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        86_400.. => format!("{}d {:02}h", s / 86_400, s / 3_600 % 24),
        3_600.. => format!("{}h {:02}m", s / 3_600, s / 60 % 60),
        60.. => format!("{}m {:02}s", s / 60, s % 60),
        _ => format!("{s}s"),
    }
}

/// A volume with its unit: `812 bit/s`, `29.1 Mbit/s`. Decimal units, as networks count.
pub(crate) fn volume(bits_per_second: f64) -> String {
    if !bits_per_second.is_finite() || bits_per_second < 0.0 {
        return "unknown".into();
    }
    let units = [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")];
    match units.into_iter().find(|(size, _)| bits_per_second >= *size) {
        Some((size, unit)) => format!("{}{NO_BREAK}{unit}", rate(bits_per_second / size)),
        None => format!("{bits_per_second:.0}{NO_BREAK}bit/s"),
    }
}

/// A collateral with what it can promise: `3 of 1,204 requests (0.25 %; with 95 % confidence at
/// most 0.6 %)`. `noun` is what was counted.
pub(crate) fn collateral(collateral: &Collateral, noun: &str) -> Option<String> {
    (collateral.records > 0).then(|| {
        let bound = share(collateral.upper_bound());
        let at_most = if bound.starts_with("under") { "" } else { "at most " };
        format!(
            "{} of {} ({}; with 95{NO_BREAK}% confidence {at_most}{bound})",
            number(collateral.hits),
            count(collateral.records, noun),
            share(collateral.share()),
        )
    })
}

/// A list in a sentence: `a`, `a and b`, `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(got: &str, expected: &str) {
        assert_eq!(got.replace(NO_BREAK, " "), expected);
    }

    #[test]
    fn numbers_have_commas_and_nouns_their_plural() {
        check(&number(0), "0");
        check(&number(999), "999");
        check(&number(1_000), "1,000");
        check(&number(u64::MAX), "18,446,744,073,709,551,615");
        check(&count(1, "request"), "1 request");
        check(&count(0, "request"), "0 requests");
        check(&count(2, "address|addresses"), "2 addresses");
    }

    #[test]
    fn shares_never_round_to_none_or_all() {
        check(&share(0.0), "0 %");
        check(&share(0.000_001), "under 0.01 %");
        check(&share(0.0025), "0.25 %");
        check(&share(0.62), "62 %");
        check(&share(0.999_9), "over 99 %");
        check(&share(1.0), "100 %");
        check(&share(f64::NAN), "unknown");
    }

    #[test]
    fn rates_have_three_figures() {
        check(&rate(1_021.6), "1,022");
        check(&rate(35.06), "35.1");
        check(&rate(0.0), "0.00");
        check(&rate(f64::INFINITY), "unknown");
    }

    #[test]
    fn volumes_have_decimal_units() {
        check(&volume(0.0), "0 bit/s");
        check(&volume(999.0), "999 bit/s");
        check(&volume(29_130_000.0), "29.1 Mbit/s");
        check(&volume(1.2e9), "1.20 Gbit/s");
        check(&volume(f64::NAN), "unknown");
        check(&volume(f64::INFINITY), "unknown");
        check(&volume(-1.0), "unknown");
    }

    #[test]
    fn durations_have_two_units() {
        check(&duration(0), "0 seconds");
        check(&duration(1_000), "1 second");
        check(&duration(2_449), "2.4 seconds");
        check(&duration(9_949), "9.9 seconds");
        check(&duration(9_950), "10 seconds");
        check(&duration(60_000), "1 minute");
        check(&duration(606_000), "10 minutes 6 seconds");
        check(&duration(3_600_000), "1 hour");
        check(&duration(90_061_000), "1 day 1 hour");
        check(&duration(3_605_000), "1 hour");
        check(&duration_short(606_000), "10m 06s");
        check(&duration_short(900), "0s");
        check(&duration_short(97_200_000), "1d 03h");
    }

    #[test]
    fn an_unknown_collateral_has_no_words() {
        assert_eq!(collateral(&Collateral::default(), "request"), None);
        let measured = collateral(&Collateral { hits: 3, records: 1_204 }, "request").unwrap();
        check(&measured, "3 of 1,204 requests (0.25 %; with 95 % confidence at most 0.62 %)");
        let clean = collateral(&Collateral { hits: 0, records: 31_877 }, "packet").unwrap();
        check(&clean, "0 of 31,877 packets (0 %; with 95 % confidence under 0.01 %)");
    }

    #[test]
    fn lists_read_well() {
        let items: Vec<String> = ["a", "b", "c"].map(String::from).into();
        assert_eq!(list(&items), "a, b and c");
        assert_eq!(list(&items[..2]), "a and b");
        assert_eq!(list(&items[..1]), "a");
    }
}
