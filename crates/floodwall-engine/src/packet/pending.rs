//! A signature on trial: it must match packets that it was not made from, and evidence about it is
//! gathered meanwhile. Floods come in bursts, so a trial outlasts the alarm that began it.

use floodwall_model::{Evidence, Family};

use super::mine::MinedPackets;

/// Matched packets that confirm a signature…
const CONFIRM_PACKETS: f64 = 12.0;
/// … at this share of the rate it was mined at.
const CONFIRM_SHARE: f64 = 0.4;
/// So many confirm it at any rate: floods come in bursts too.
const CONFIRM_PACKETS_ANY_RATE: f64 = 60.0;
/// What is less than this part of all that arrives must last, because honest bursts end soon, …
const STRONG_PART: f64 = 0.4;
/// … for so long, ms.
const LAST_MS: u64 = 800;
/// A pause that ends a burst, ms.
const PAUSE_MS: u64 = 500;
/// Without confirmation and evidence it is dropped after so long, ms.
const TRIAL_MS: u64 = 60_000;
/// Mined from so many packets, with so strong evidence of both kinds, it needs no confirmation: a
/// flood that comes in short bursts would be over each time.
const SURE_PACKETS: u64 = 300;
const SURE_LOG_ODDS: f64 = 5.5;
/// Fewer are enough where form and conduct each say as much as they can. A kind of packet that is
/// new here says less: others send such because of a flood.
const CLEAR_PACKETS: u64 = 60;
const CLEAR_FORM: f64 = 3.0;
const CLEAR_CONDUCT: f64 = 4.0;
/// Suspects since the trial began that make a share of them meaningful.
const ARRIVED_MIN: f64 = 500.0;
/// Evidence is gathered anew this often, ms.
const GATHER_EVERY_MS: u64 = 100;

/// A signature on trial.
#[derive(Clone, Debug)]
pub struct PendingPackets {
    /// What was mined.
    pub mined: MinedPackets,
    /// The first sign of what it is about, ms.
    pub onset_ms: u64,
    /// What was found for and against it, the latest of each family.
    pub evidence: Vec<Evidence>,
    began_ms: u64,
    /// Packets matched since the trial began, and suspects of any kind.
    matched: f64,
    arrived: f64,
    burst_began_ms: u64,
    matched_ms: u64,
    gathered_ms: u64,
}

/// What matched in one step.
#[derive(Copy, Clone, Debug, Default)]
pub struct Matches {
    /// Packets in this step.
    pub packets: f64,
    /// Suspects of any kind in this step.
    pub arrived: f64,
    /// Rate of the matched over the last fifth of a second, packets/s.
    pub lately_pps: f64,
    /// Rate of all packets, packets/s.
    pub all_pps: f64,
}

impl PendingPackets {
    /// Begins a trial.
    pub const fn new(mined: MinedPackets, onset_ms: u64, now_ms: u64) -> Self {
        PendingPackets {
            mined,
            onset_ms,
            evidence: Vec::new(),
            began_ms: now_ms,
            matched: 0.0,
            arrived: 0.0,
            burst_began_ms: now_ms,
            matched_ms: now_ms,
            gathered_ms: 0,
        }
    }

    /// The same signature was found again, in another sample.
    pub fn mined_again(&mut self, mined: MinedPackets) {
        let matched_pps = self.mined.matched_pps.max(mined.matched_pps);
        if mined.mined_from > self.mined.mined_from {
            self.mined = mined;
        }
        self.mined.matched_pps = matched_pps;
    }

    /// Takes in a step; true when the signature holds up on what came since.
    pub fn confirmed_by(&mut self, matches: &Matches, now_ms: u64) -> bool {
        if now_ms > self.began_ms {
            self.arrived += matches.arrived;
            self.matched += matches.packets;
        }
        if self.is_sure() {
            return true;
        }
        if now_ms <= self.began_ms || matches.packets <= 0.0 {
            return false;
        }
        if now_ms > self.matched_ms + PAUSE_MS {
            self.burst_began_ms = now_ms;
        }
        self.matched_ms = now_ms;
        let strong = matches.lately_pps >= STRONG_PART * matches.all_pps;
        let lasts = strong || now_ms >= self.burst_began_ms + LAST_MS;
        let as_fast = matches.lately_pps >= CONFIRM_SHARE * self.mined.matched_pps;
        lasts
            && self.matched >= CONFIRM_PACKETS
            && (as_fast || self.matched >= CONFIRM_PACKETS_ANY_RATE)
    }

    fn is_sure(&self) -> bool {
        let sum: f64 = self.evidence.iter().map(|e| e.log_odds).sum();
        let says = |family: Family, least: f64| {
            self.evidence.iter().any(|e| e.family == family && e.log_odds >= least)
        };
        let clear =
            says(Family::Inconsistency, CLEAR_FORM) && says(Family::Behaviour, CLEAR_CONDUCT);
        let least = if clear { CLEAR_PACKETS } else { SURE_PACKETS };
        self.mined.projected.hits == 0 && self.mined.mined_from >= least && sum >= SURE_LOG_ODDS
    }

    /// Its share of the suspects since the trial began; `None` while that says little.
    pub fn share(&self) -> Option<f64> {
        (self.arrived >= ARRIVED_MIN).then(|| self.matched / self.arrived)
    }

    /// Whether evidence is to be gathered now.
    pub const fn gathering_due(&mut self, now_ms: u64) -> bool {
        let due = now_ms >= self.gathered_ms + GATHER_EVERY_MS;
        if due {
            self.gathered_ms = now_ms;
        }
        due
    }

    /// Adds what was found; the latest word of each family counts.
    pub fn hear(&mut self, found: Vec<Evidence>) {
        for evidence in found {
            self.evidence.retain(|e| e.family != evidence.family);
            self.evidence.push(evidence);
        }
    }

    /// Whether it took too long.
    pub const fn given_up(&self, now_ms: u64) -> bool {
        now_ms >= self.began_ms + TRIAL_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::Collateral;
    use floodwall_model::packet::{PacketClass, PacketSignature};

    fn pending(matched_pps: f64) -> PendingPackets {
        let mined = MinedPackets {
            class: PacketClass::Udp,
            signature: PacketSignature::default(),
            matched_pps,
            mined_from: 50,
            projected: Collateral::default(),
        };
        PendingPackets::new(mined, 0, 1_000)
    }

    /// Ticks of 50 ms at `pps` until confirmation, beside `other_pps`.
    fn confirmed_after_ms(pps: f64, other_pps: f64, for_ms: u64) -> Option<u64> {
        let mut pending = pending(pps);
        (50..=for_ms).step_by(50).find(|after_ms| {
            let matches = Matches {
                packets: pps * 0.05,
                arrived: pps * 0.05,
                lately_pps: pps,
                all_pps: pps + other_pps,
            };
            pending.confirmed_by(&matches, 1_000 + after_ms)
        })
    }

    #[test]
    fn a_flood_stronger_than_the_traffic_is_confirmed_at_once() {
        assert_eq!(confirmed_after_ms(2_000.0, 500.0, 2_000), Some(50));
    }

    #[test]
    fn what_is_a_small_part_of_the_traffic_must_last() {
        assert_eq!(confirmed_after_ms(200.0, 800.0, 700), None, "a short burst");
        assert!(confirmed_after_ms(200.0, 800.0, 2_000).is_some_and(|ms| ms >= 750));
    }

    /// A recorded flood sent 81 SYNs at once, then nothing for 20 seconds, then 5,000 in a tenth of
    /// a second: waiting for the second burst was waiting for all of it.
    #[test]
    fn a_short_first_burst_is_enough_where_form_and_conduct_leave_no_doubt() {
        for (packets, form, kind, conduct, sure) in [
            (81, 3.0, 0.0, 4.0, true),
            (81, 1.5, 0.0, 4.0, false),
            (81, 1.5, 1.5, 4.0, false), // resets that the flood caused elsewhere
            (300, 1.5, 0.0, 4.0, true),
            (59, 3.0, 0.0, 4.0, false),
        ] {
            let mut pending = pending(900.0);
            pending.mined.mined_from = packets;
            let evidence =
                |family, log_odds| Evidence { family, log_odds, statement: String::new() };
            pending.hear(vec![
                evidence(Family::Inconsistency, form),
                evidence(Family::Implementation, kind),
                evidence(Family::Behaviour, conduct),
            ]);
            let nothing_since = Matches { all_pps: 500.0, ..Matches::default() };
            let confirmed = pending.confirmed_by(&nothing_since, 1_400);
            assert_eq!(confirmed, sure, "{packets} packets, {form}, {kind} and {conduct}");
        }
    }

    #[test]
    fn a_flood_that_pauses_is_confirmed_when_it_comes_back() {
        let mut pending = pending(3_000.0);
        let burst =
            Matches { packets: 300.0, arrived: 300.0, lately_pps: 3_000.0, all_pps: 3_500.0 };
        assert!(!pending.confirmed_by(&Matches { all_pps: 500.0, ..Matches::default() }, 5_000));
        assert!(pending.confirmed_by(&burst, 20_000));
    }
}
