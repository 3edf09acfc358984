//! Layers 3 and 4: the same pipeline for packets.
//!
//! [`PacketEngine::step`] takes a time and what arrived, and returns what shall be done; `step.rs`
//! has one line per arrow, `step/` what each line does, and the other files what it is done with:
//! `recent` and `flows` (observation → samples), `channels` and `alarm` (→ finding), `mine` (→
//! signature), `evidence` and `pending` (is it a flood, does it hold), `rules` and `guards` (→ plan
//! → checked plan), `account` and `spoofing` (→ incident).
//!
//! It must never read a clock, open a file, start a thread or panic on anything in a packet.

mod account;
mod alarm;
mod channels;
mod company;
mod evidence;
mod flows;
mod guards;
mod mine;
mod neutral;
mod past;
mod pending;
mod recent;
mod record;
mod rules;
mod spoofing;
mod status;
mod step;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;

use floodwall_model::packet::{CheckedPacketPlan, PacketFacts};
use floodwall_model::{Incident, Mode, RuleIds};

use account::{Arrivals, PacketIncident};
use alarm::Alarm;
use channels::Channels;
use company::StoppedSources;
use flows::Flows;
use guards::GuardPost;
use past::PacketPast;
use pending::PendingPackets;
use recent::RecentPackets;
use rules::PacketRules;
pub use status::PacketStatus;

use crate::random::Random;

/// The engine's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketEngineConfig {
    /// Whether plans shall be carried out.
    pub mode: Mode,
    /// An incident closes when nothing was needed for so long, ms.
    pub incident_close_ms: u64,
    /// Number of the next incident.
    pub next_incident_id: u64,
    /// Numbers of the next rules.
    pub rule_ids: RuleIds,
}

impl Default for PacketEngineConfig {
    fn default() -> Self {
        PacketEngineConfig {
            mode: Mode::Shadow,
            incident_close_ms: 600_000,
            next_incident_id: 1,
            rule_ids: RuleIds::default(),
        }
    }
}

/// What shall be done.
#[derive(Clone, Debug)]
pub enum PacketEffect {
    /// Apply this whole plan from now on.
    Publish(Arc<CheckedPacketPlan>),
    /// Store this record; it replaces the one with its number.
    Incident(Box<Incident>),
}

/// Rates smoothed over half a second, packets/s.
#[derive(Copy, Clone, Debug, Default)]
struct Rates {
    /// All packets.
    all_pps: f64,
    /// Suspects, stopped or not.
    suspects_pps: f64,
    /// Suspects in this step, packets.
    suspects_step: f64,
    /// The highest of it lately: it is forgotten slowly, because floods pause.
    suspects_peak_pps: f64,
    /// SYNs, stopped or not, and the highest rate of them lately.
    syns_pps: f64,
    syns_peak_pps: f64,
}

/// The engine for packets.
#[derive(Debug)]
pub struct PacketEngine {
    config: PacketEngineConfig,
    random: Random,
    now_ms: u64,
    recent: RecentPackets,
    flows: Flows,
    channels: Channels,
    past: PacketPast,
    rules: PacketRules,
    guards: GuardPost,
    alarm: Option<Alarm>,
    pending: Vec<PendingPackets>,
    completed: Vec<PacketFacts>,
    stopped: StoppedSources,
    incident: Option<PacketIncident>,
    lately: VecDeque<Arrivals>,
    next_incident_id: u64,
    rates: Rates,
    handshakes_per_s: f64,
    counts_handshakes: bool,
    knows_sockets: bool,
    renewed_ms: u64,
    minings: u64,
    lost: u64,
}

impl PacketEngine {
    /// An engine that has seen nothing.
    pub fn new(config: PacketEngineConfig, seed: u64) -> Self {
        PacketEngine {
            random: Random::new(seed),
            now_ms: 0,
            recent: RecentPackets::default(),
            flows: Flows::new(),
            channels: Channels::new(),
            past: PacketPast::new(),
            rules: PacketRules::new(config.mode, config.rule_ids),
            guards: GuardPost::default(),
            alarm: None,
            pending: Vec::new(),
            completed: Vec::new(),
            stopped: StoppedSources::default(),
            incident: None,
            lately: VecDeque::new(),
            next_incident_id: config.next_incident_id,
            rates: Rates::default(),
            handshakes_per_s: 0.0,
            counts_handshakes: false,
            knows_sockets: false,
            renewed_ms: 0,
            minings: 0,
            lost: 0,
            config,
        }
    }

    /// Changes what is done with decisions.
    pub fn set_mode(&mut self, mode: Mode) {
        self.config.mode = mode;
        self.rules.set_mode(mode);
    }
}
