//! The last seconds of packets as samples: suspects, which are mined, and packets of conversations,
//! which no rule may hit.

use std::collections::VecDeque;

use floodwall_model::packet::PacketObservation;

use super::record::{PacketRecord, is_suspect};
use crate::random::Random;
use crate::reservoir::Reservoir;

/// Length of an epoch, ms.
const EPOCH_MS: u64 = 100;
/// Suspects kept of an epoch. When full: a uniform sample of the epoch.
const SUSPECTS_MAX: usize = 2_048;
/// Packets of conversations kept of an epoch. When full: a uniform sample.
const HONEST_MAX: usize = 512;
/// Epochs kept: three seconds.
const EPOCHS_MAX: usize = 30;
/// Suspects wanted in the window that is mined.
const SUSPECTS_WANTED: usize = 1_500;

#[derive(Debug)]
struct Epoch {
    start_ms: u64,
    end_ms: u64,
    suspects: Reservoir<PacketRecord>,
    honest: Reservoir<PacketRecord>,
    /// Packets that all suspects of the epoch stand for.
    weight: f64,
}

/// A window that ends now.
#[derive(Clone, Debug, Default)]
pub struct PacketSample {
    /// Suspects that no rule explains. Their weights add up to what arrived.
    pub suspects: Vec<PacketRecord>,
    /// Packets of conversations in the same window.
    pub honest: Vec<PacketRecord>,
    /// Length of the window, ms.
    pub span_ms: u64,
}

impl PacketSample {
    /// Rate of unexplained suspects, packets/s.
    pub fn rate_pps(&self) -> f64 {
        let packets: f64 = self.suspects.iter().map(|r| r.weight).sum();
        packets * 1000.0 / self.span_ms.max(1) as f64
    }
}

/// The ring of epochs.
#[derive(Debug, Default)]
pub struct RecentPackets {
    epochs: VecDeque<Epoch>,
    /// The last step, ms.
    stepped_ms: u64,
}

impl RecentPackets {
    /// Moves to `now_ms`. Returns what closed, for learning.
    pub fn advance(&mut self, now_ms: u64) -> bool {
        let over = match self.epochs.back_mut() {
            Some(open) => {
                open.end_ms = now_ms.clamp(open.start_ms, open.start_ms + 2 * EPOCH_MS);
                now_ms >= open.start_ms + EPOCH_MS
            }
            None => true,
        };
        if over {
            let (mut suspects, mut honest) =
                (Reservoir::new(SUSPECTS_MAX), Reservoir::new(HONEST_MAX));
            if self.epochs.len() == EPOCHS_MAX
                && let Some(mut old) = self.epochs.pop_front()
            {
                old.suspects.clear();
                old.honest.clear();
                (suspects, honest) = (old.suspects, old.honest);
            }
            // What is offered next arrived since the step before.
            let start_ms = self.stepped_ms.max(now_ms.saturating_sub(EPOCH_MS));
            let epoch = Epoch { start_ms, end_ms: now_ms, suspects, honest, weight: 0.0 };
            self.epochs.push_back(epoch);
        }
        self.stepped_ms = now_ms;
        over && self.epochs.len() > 1
    }

    /// Offers a packet to the open epoch. `known_good` marks a SYN whose connection was carried on.
    pub fn offer(&mut self, observation: &PacketObservation, random: &mut Random) {
        let Some(open) = self.epochs.back_mut() else { return };
        if is_suspect(&observation.facts) {
            open.weight += f64::from(observation.weight.max(1));
            open.suspects.offer_with(random, || PacketRecord::of(observation));
        } else {
            open.honest.offer_with(random, || PacketRecord::of(observation));
        }
    }

    /// The packets of the epoch that closed last.
    pub fn closed(&self) -> impl Iterator<Item = &PacketRecord> {
        let closed = self.epochs.len().checked_sub(2).and_then(|i| self.epochs.get(i));
        closed.into_iter().flat_map(|e| e.suspects.items().iter().chain(e.honest.items()))
    }

    /// The newest window that says enough, but not from before `since_ms`; suspects for which
    /// `explained` holds are left out.
    pub fn sample(
        &self,
        now_ms: u64,
        since_ms: u64,
        explained: impl Fn(&PacketRecord) -> bool,
    ) -> PacketSample {
        let mut sample = PacketSample::default();
        let mut from_ms = now_ms;
        for epoch in self.epochs.iter().rev() {
            if epoch.end_ms <= since_ms && sample.span_ms > 0 {
                break;
            }
            from_ms = from_ms.min(epoch.start_ms);
            sample.span_ms = now_ms.saturating_sub(from_ms).max(1);
            let offered: f64 = epoch.suspects.items().iter().map(|r| r.weight).sum();
            let scale = if offered > 0.0 { epoch.weight / offered } else { 1.0 };
            let unexplained =
                epoch.suspects.items().iter().filter(|r| !r.explained && !explained(r));
            sample
                .suspects
                .extend(unexplained.map(|r| PacketRecord { weight: r.weight * scale, ..*r }));
            sample.honest.extend(epoch.honest.items());
            if sample.suspects.len() >= SUSPECTS_WANTED {
                break;
            }
        }
        sample
    }

    /// Every suspect kept that arrived at or after `since_ms`, weighted, newest epoch first.
    pub fn since(&self, since_ms: u64) -> impl Iterator<Item = PacketRecord> + '_ {
        self.epochs.iter().rev().take_while(move |e| e.end_ms >= since_ms).flat_map(move |e| {
            let offered: f64 = e.suspects.items().iter().map(|r| r.weight).sum();
            let scale = if offered > 0.0 { e.weight / offered } else { 1.0 };
            e.suspects
                .items()
                .iter()
                .filter(move |r| r.at_ms >= since_ms)
                .map(move |r| PacketRecord { weight: r.weight * scale, ..*r })
        })
    }
}
