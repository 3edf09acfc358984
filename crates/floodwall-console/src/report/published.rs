//! The one published distribution that a peak is compared with.
//!
//! Vendors count different things above different floors and diverge (IMC 2024, "DDoScovery"), so
//! the sentence names one source, its period and its caveat. It must never be a second sentence
//! from a second source, and never say "worldwide".

use crate::words::{number, rate, volume};
use crate::wrap::NO_BREAK;

/// Cloudflare, DDoS threat report for 2024 Q4: share of HTTP attacks up to a rate, in percent.
const HTTP_ATTACKS_UP_TO_PERCENT: u64 = 63;
/// The rate, requests/s.
const HTTP_ATTACKS_UP_TO_RPS: u64 = 50_000;

/// The same report: share of attacks on the network and transport layers up to a packet rate.
const PACKET_ATTACKS_UP_TO_PERCENT: u64 = 87;
/// The rate, packets/s.
const PACKET_ATTACKS_UP_TO_PPS: u64 = 50_000;
/// Share of the same attacks up to a volume.
const VOLUME_ATTACKS_UP_TO_PERCENT: u64 = 93;
/// The volume, Mbit/s.
const VOLUME_ATTACKS_UP_TO_MBPS: u64 = 500;

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

/// Where a flood of packets lies by its highest second, or `None` where there was none to compare.
pub(super) fn compared_packets(peak_1s_pps: f64, peak_1s_bps: f64) -> Option<String> {
    let known = |peak: f64| peak.is_finite() && peak > 0.0;
    if !known(peak_1s_pps) {
        return None;
    }
    let place = |percent: u64, within: bool, limit: &str| {
        if within {
            format!("among the {percent}{NO_BREAK}% that stayed at or below {limit}")
        } else {
            let rest = 100 - percent;
            format!("among the {rest}{NO_BREAK}% that went above {limit}")
        }
    };
    let by_rate = place(
        PACKET_ATTACKS_UP_TO_PERCENT,
        peak_1s_pps <= PACKET_ATTACKS_UP_TO_PPS as f64,
        &format!("{} packets/s", number(PACKET_ATTACKS_UP_TO_PPS)),
    );
    let by_volume = if known(peak_1s_bps) {
        let within = peak_1s_bps <= VOLUME_ATTACKS_UP_TO_MBPS as f64 * 1e6;
        let limit = format!("{VOLUME_ATTACKS_UP_TO_MBPS}{NO_BREAK}Mbit/s");
        format!(
            ", and with {} {}",
            volume(peak_1s_bps),
            place(VOLUME_ATTACKS_UP_TO_PERCENT, within, &limit)
        )
    } else {
        String::new()
    };
    Some(format!(
        "Of the attacks on the network and transport layers {SOURCE}, the highest second, {} \
         packets/s with visitors included, lies {by_rate}{by_volume}. {CAVEAT}",
        rate(peak_1s_pps)
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

    #[test]
    fn a_flood_of_packets_lies_on_its_side_of_both_published_figures() {
        let low = compared_packets(50_000.0, 500e6).unwrap();
        assert!(
            low.contains("the 87\u{a0}% that stayed") && low.contains("the 93\u{a0}% that stayed")
        );
        let high = compared_packets(50_000.1, 500.1e6).unwrap();
        assert!(
            high.contains("the 13\u{a0}% that went") && high.contains("the 7\u{a0}% that went")
        );
        assert!(!compared_packets(1.0, 0.0).unwrap().contains("bit/s"));
        assert_eq!(compared_packets(0.0, 1.0), None);
        assert_eq!(compared_packets(f64::NAN, 1.0), None);
    }
}
