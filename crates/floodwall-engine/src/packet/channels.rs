//! Onset for packets: per kind of packet, when did its rate leave its envelope?
//!
//! The kinds are the classes, and only what could be a flood is counted (see `record::is_suspect`).
//! A finding starts a search and nothing else.

use floodwall_model::packet::{PACKET_CLASS_COUNT, PacketClass};

use crate::cusum::{Cusum, CusumTuning};

/// Quicker than for requests: a false finding costs a search and nothing else.
const TUNING: CusumTuning = CusumTuning { rho: 2.0, threshold: 12.0 };
/// Time constant of the expected rate, s.
const TRACK_S: f64 = 120.0;
/// Margin above the expected rate: at least, at most, and per unit of variability.
const MARGIN_MIN: f64 = 0.5;
const MARGIN_MAX: f64 = 2.0;
const MARGIN_PER_DEVIATION: f64 = 4.0;
/// Rates learned over less than this say little, s; the neutral profile's stand beside them.
const WARM_UP_S: f64 = 10.0;
/// Below this excess there is nothing worth acting on, packets/s.
const EXCESS_PPS_MIN: f64 = 12.0;

/// What an ordinary small server meets, packets/s: nobody's surprise even without a past.
const fn neutral_pps(class: PacketClass) -> f64 {
    match class {
        PacketClass::Syn => 20.0,
        PacketClass::Udp => 20.0,
        PacketClass::Ack | PacketClass::Data => 15.0,
        PacketClass::Icmp => 10.0,
        PacketClass::Rst | PacketClass::Fin => 8.0,
        PacketClass::SynAck | PacketClass::Fragment | PacketClass::Other => 5.0,
        PacketClass::TcpOdd | PacketClass::NotIp => 2.0,
    }
}

#[derive(Copy, Clone, Debug, Default)]
struct Channel {
    cusum: Cusum,
    rate: f64,
    deviation: f64,
    tick: f64,
    last_1s: f64,
    rest_ms: u64,
}

/// What left its envelope.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct PacketFinding {
    /// The kind of packets.
    pub class: PacketClass,
    /// When it seems to have begun, ms.
    pub onset_ms: u64,
    /// Its rate now, packets/s.
    pub observed_pps: f64,
    /// The rate expected, packets/s.
    pub expected_pps: f64,
}

/// All channels.
#[derive(Debug)]
pub struct Channels {
    channels: [Channel; PACKET_CLASS_COUNT],
    age_s: f64,
}

impl Channels {
    /// Channels that know nothing yet.
    pub fn new() -> Self {
        Channels { channels: Default::default(), age_s: 0.0 }
    }

    /// Counts `packets` suspects of a class.
    pub fn count(&mut self, class: PacketClass, packets: f64) {
        self.channels[class as usize].tick += packets;
    }

    /// The rate expected of a class, packets/s. Little past means the neutral rate.
    pub fn expected_pps(&self, class: PacketClass) -> f64 {
        let known = (1.0 - (-self.age_s / TRACK_S).exp()).max(0.01);
        let own = self.channels[class as usize].rate / known;
        if self.age_s < WARM_UP_S { own.max(neutral_pps(class)) } else { own }
    }

    /// The rate expected of all suspects, packets/s.
    pub fn expected_all_pps(&self) -> f64 {
        PacketClass::ALL.iter().map(|class| self.expected_pps(*class)).sum()
    }

    fn upper_pps(&self, class: PacketClass) -> f64 {
        let channel = &self.channels[class as usize];
        let margin = (channel.deviation * MARGIN_PER_DEVIATION).clamp(MARGIN_MIN, MARGIN_MAX);
        let floor = neutral_pps(class) / 2.0;
        self.expected_pps(class) * (1.0 + margin) + floor
    }

    /// Ends a tick of `interval_s`; `learning` is off while an alarm is open.
    pub fn tick(&mut self, now_ms: u64, interval_s: f64, learning: bool) -> Vec<PacketFinding> {
        let mut findings = Vec::new();
        for class in PacketClass::ALL {
            let (upper, expected) = (self.upper_pps(class), self.expected_pps(class));
            let age_s = self.age_s;
            let channel = &mut self.channels[class as usize];
            let packets = std::mem::take(&mut channel.tick);
            channel.cusum.update(TUNING, packets, upper, interval_s);
            let keep = (-interval_s).exp();
            channel.last_1s = channel.last_1s * keep + packets * (1.0 - keep) / interval_s;
            if channel.cusum.at_rest() || channel.rest_ms == 0 {
                channel.rest_ms = now_ms;
            }
            if learning && !channel.cusum.suspicious(TUNING) {
                channel.learn(packets, expected, age_s, interval_s);
            }
            // The smoothed rate lags; what just came in counts at once.
            let observed_pps = channel.last_1s.max((packets / interval_s).min(upper * 2.0));
            if channel.cusum.alarmed(TUNING) && observed_pps - expected > EXCESS_PPS_MIN {
                let onset_ms = channel.rest_ms.max(now_ms.saturating_sub(60_000));
                findings.push(PacketFinding {
                    class,
                    onset_ms,
                    observed_pps,
                    expected_pps: expected,
                });
            }
        }
        if learning {
            self.age_s += interval_s;
        }
        findings.sort_by(|a, b| b.observed_pps.total_cmp(&a.observed_pps));
        findings
    }

    /// Takes present rates for normal: what rose was looked at long enough.
    pub fn settle(&mut self) {
        let known = 1.0 - (-self.age_s / TRACK_S).exp();
        for channel in &mut self.channels {
            channel.cusum = Cusum::default();
            channel.rate = channel.rate.max(channel.last_1s * known);
        }
    }
}

impl Channel {
    fn learn(&mut self, packets: f64, expected: f64, age_s: f64, interval_s: f64) {
        let keep = (-interval_s / TRACK_S).exp();
        self.rate = self.rate * keep + packets / TRACK_S;
        if expected > 0.0 && age_s > WARM_UP_S {
            let off = ((self.last_1s - expected).abs() / expected).min(1.0);
            self.deviation = self.deviation * keep + off * (1.0 - keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks_until_finding(
        channels: &mut Channels,
        from: u64,
        pps: f64,
        ticks: u64,
    ) -> Option<u64> {
        (0..ticks).find(|tick| {
            channels.count(PacketClass::Syn, pps * 0.05);
            !channels.tick((from + tick) * 50, 0.05, true).is_empty()
        })
    }

    #[test]
    fn a_flood_of_a_thousand_syns_a_second_is_seen_within_two_ticks() {
        let mut channels = Channels::new();
        assert_eq!(ticks_until_finding(&mut channels, 0, 10.0, 600), None);
        assert!(ticks_until_finding(&mut channels, 600, 1_010.0, 20).unwrap() <= 2);
    }

    #[test]
    fn a_flood_is_seen_at_once_where_no_past_is_known() {
        let mut channels = Channels::new();
        assert!(ticks_until_finding(&mut channels, 0, 5_000.0, 20).unwrap() <= 1);
    }

    #[test]
    fn a_low_reflection_beside_a_busy_site_is_seen_within_a_second() {
        let mut channels = Channels::new();
        for tick in 0..600 {
            channels.count(PacketClass::Syn, 500.0 * 0.05);
            channels.tick(tick * 50, 0.05, true);
        }
        let seen = (600..620).find(|tick| {
            channels.count(PacketClass::Syn, 500.0 * 0.05);
            channels.count(PacketClass::SynAck, 100.0 * 0.05);
            channels.tick(tick * 50, 0.05, true).iter().any(|f| f.class == PacketClass::SynAck)
        });
        assert!(seen.is_some_and(|tick| tick < 620));
    }

    #[test]
    fn a_busy_morning_is_no_finding() {
        let mut channels = Channels::new();
        for minute in 0..30u64 {
            let pps = 50.0 + minute as f64 * 3.0;
            assert_eq!(ticks_until_finding(&mut channels, minute * 1_200, pps, 1_200), None);
        }
    }
}
