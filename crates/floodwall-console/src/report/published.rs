//! The one published distribution that a peak is compared with.
//!
//! Vendors count different things above different floors and diverge (IMC 2024, "DDoScovery"), so
//! the sentence names one source, its period and its caveat. It must never be a second sentence
//! from a second source, and never say "worldwide".

use crate::words::{number, rate};
use crate::wrap::NO_BREAK;

/// Cloudflare, DDoS threat report for 2024 Q4: share of HTTP attacks up to a rate, in percent.
const HTTP_ATTACKS_UP_TO_PERCENT: u64 = 63;
/// The rate, requests/s.
const HTTP_ATTACKS_UP_TO_RPS: u64 = 50_000;

const SOURCE: &str = "that Cloudflare reported for the fourth quarter of 2024";
const CAVEAT: &str = "Caveat: those are attacks on customers of one provider, counted above a \
    floor of its own; over how long their rates were averaged is not stated; they do not stand for \
    attacks elsewhere.";

/// Where a peak of `peak_per_1s_rps` lies, or `None` where there was no peak to compare.
pub(super) fn compared(peak_per_1s_rps: f64) -> Option<String> {
    if !peak_per_1s_rps.is_finite() || peak_per_1s_rps <= 0.0 {
        return None;
    }
    let limit = number(HTTP_ATTACKS_UP_TO_RPS);
    let place = if peak_per_1s_rps <= HTTP_ATTACKS_UP_TO_RPS as f64 {
        format!(
            "within the {HTTP_ATTACKS_UP_TO_PERCENT}{NO_BREAK}% of HTTP attacks {SOURCE} which \
             stayed at or below {limit} requests/s"
        )
    } else {
        let rest = 100 - HTTP_ATTACKS_UP_TO_PERCENT;
        format!(
            "within the {rest}{NO_BREAK}% of HTTP attacks {SOURCE} which went above {limit} \
             requests/s"
        )
    };
    let peak = rate(peak_per_1s_rps);
    Some(format!(
        "The highest second, {peak} requests/s with visitors included, lies {place}. {CAVEAT}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_lies_on_its_side_of_the_published_rate() {
        assert!(compared(1_021.0).unwrap().contains("at or below 50,000"));
        assert!(compared(50_000.0).unwrap().contains("63\u{a0}%"));
        assert!(compared(50_000.1).unwrap().contains("37\u{a0}%"));
        assert_eq!(compared(0.0), None);
        assert_eq!(compared(f64::NAN), None);
    }
}
