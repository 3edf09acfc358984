//! Lays an attack into background at a ratio.

use std::collections::HashMap;
use std::net::IpAddr;

use fastrand::Rng;

use super::background::{self, Wanted};
use super::filter::Filter;
use super::read::{Frame, Recording};
use super::rewrite::{Home, Local, Ports, Rewrite, Rewriter};
use super::view::View;
use crate::chance::stream;
use crate::packets::clients::{public_v4, public_v6};
use crate::packets::scenario::Lead;

/// Frames of a mix at most: what is more is refused before it is made.
pub const FRAMES_MAX: usize = 3_000_000;

/// What is mixed, and how.
#[derive(Clone, Debug)]
pub struct MixConfig {
    /// Background, frames per second.
    pub background_pps: f64,
    /// Attack frames per background frame while it lasts.
    pub ratio: f64,
    /// Whether the background begins 10 to 25 s before the attack, or with it.
    pub lead: Lead,
    /// How long the attack lasts, µs.
    pub attack_us: u64,
    /// Background after it, µs.
    pub tail_us: u64,
    /// What is rewritten in the attack. In the background, ports stay.
    pub rewrite: Rewrite,
    /// The seed.
    pub seed: u64,
}

impl MixConfig {
    /// 500 frames per second of background, 20 s of attack, 5 s after, all rewritten.
    pub fn new(ratio: f64, seed: u64) -> MixConfig {
        MixConfig {
            background_pps: 500.0,
            ratio,
            lead: Lead::Honest,
            attack_us: 20_000_000,
            tail_us: 5_000_000,
            rewrite: Rewrite::ALL,
            seed,
        }
    }
}

/// Why there is no mix.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum MixError {
    /// The label's filter matches nothing in the capture: one of the two is the wrong one.
    #[error("the filter matches no frame of the attack's capture")]
    NoAttack,
    /// None of the background's captures has a frame.
    #[error("no frame in any capture for the background")]
    NoBackground,
    /// Lower the rates or the durations.
    #[error("{frames} frames are more than the {FRAMES_MAX} that a mix may have")]
    TooMany {
        /// As many would be needed.
        frames: usize,
    },
}

/// A frame of a mix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MixedFrame {
    /// When, µs since the mix's beginning.
    pub at_us: u64,
    /// Ethernet, as far as it was recorded.
    pub bytes: Vec<u8>,
    /// Length on the wire, bytes.
    pub wire_bytes: u32,
    /// Whether its label says that it is part of the attack.
    pub attack: bool,
}

/// An attack in its background.
#[derive(Clone, Debug)]
pub struct Mix {
    /// In the order of time.
    pub frames: Vec<MixedFrame>,
    /// The host's IPv4 address.
    pub v4: IpAddr,
    /// The host's IPv6 address.
    pub v6: IpAddr,
    /// When the attack begins, µs.
    pub onset_us: u64,
    /// When it ends, µs.
    pub until_us: u64,
    /// How often the attack's capture was begun anew.
    pub loops: u64,
}

impl Mix {
    /// Frames labelled as attack.
    pub fn attack_frames(&self) -> usize {
        self.frames.iter().filter(|frame| frame.attack).count()
    }
}

/// Mixes what `filter` matches in `attack` into `background`. What it does not match comes along,
/// unlabelled, at its place.
///
/// # Errors
/// If there is nothing to mix, or too much.
pub fn mix(
    attack: &Recording,
    filter: &Filter,
    background: &[Recording],
    config: &MixConfig,
) -> Result<Mix, MixError> {
    let rng = &mut stream(config.seed, 41);
    let home = Home { v4: public_v4(rng), v6: public_v6(rng) };
    let onset_us = match config.lead {
        Lead::Honest => rng.u64(10_000_000..25_000_000),
        Lead::None => 0,
    };
    let until_us = onset_us + config.attack_us;
    let wanted = Wanted {
        rate_pps: config.background_pps,
        duration_us: until_us + config.tail_us,
        rewrite: Rewrite { ports: false, ..config.rewrite },
        home,
    };
    let seconds = |us: u64| us as f64 / 1e6;
    let attack_frames = (config.background_pps * config.ratio * seconds(config.attack_us)) as usize;
    let background_frames = (config.background_pps * seconds(wanted.duration_us)) as usize;
    let labelled = Labelled::new(attack, filter).ok_or(MixError::NoAttack)?;
    let most = attack_frames.saturating_mul(attack.frames.len().div_ceil(labelled.attacks));
    if most.saturating_add(background_frames) > FRAMES_MAX {
        return Err(MixError::TooMany { frames: most.saturating_add(background_frames) });
    }
    let mut frames = background::lay(background, &wanted, &mut stream(config.seed, 42));
    if frames.is_empty() {
        return Err(MixError::NoBackground);
    }
    let rng = &mut stream(config.seed, 43);
    let ports = config.rewrite.ports.then(|| Ports::drawn(rng));
    let rewriter = Rewriter::new(config.rewrite, home, labelled.victim(), ports, rng);
    let span_us = (onset_us, until_us);
    let loops = labelled.lay(attack_frames.max(1), span_us, rewriter, rng, &mut frames);
    // Stable: frames of one time keep the order of their captures.
    frames.sort_by_key(|frame| frame.at_us);
    Ok(Mix { frames, v4: home.v4.into(), v6: home.v6.into(), onset_us, until_us, loops })
}

/// The attack's capture with its labels.
struct Labelled<'a> {
    capture: &'a [Frame],
    frames: Vec<(&'a Frame, bool)>,
    attacks: usize,
    /// Time of one round, ns: the last frame is as far from the first as frames are on average.
    round_ns: u64,
}

impl<'a> Labelled<'a> {
    fn new(capture: &'a Recording, filter: &Filter) -> Option<Labelled<'a>> {
        let label = |frame: &'a Frame| (frame, filter.matches(&frame.bytes));
        let frames: Vec<_> = capture.frames.iter().map(label).collect();
        let attacks = frames.iter().filter(|(_, attack)| *attack).count();
        let last_ns = frames.last().map_or(0, |(frame, _)| frame.at_ns);
        let round_ns = last_ns + (last_ns / frames.len().max(1) as u64).max(1_000);
        (attacks > 0).then_some(Labelled { capture: &capture.frames, frames, attacks, round_ns })
    }

    /// To whom most of the attack goes.
    fn victim(&self) -> Local {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (frame, _) in self.frames.iter().filter(|(_, attack)| *attack) {
            let view = View::of(&frame.bytes);
            if let Some((_, to)) = view.and_then(|view| view.addresses(&frame.bytes)) {
                *counts.entry(to).or_default() += 1;
            }
        }
        Local::most_frequent(&counts, self.capture)
    }

    /// Lays so many attack frames over the span, from a random place in the capture; the capture's
    /// own rhythm stays, faster or slower. Returns how often the capture began anew.
    fn lay(
        &self,
        wanted: usize,
        (from_us, until_us): (u64, u64),
        mut rewriter: Rewriter,
        rng: &mut Rng,
        out: &mut Vec<MixedFrame>,
    ) -> u64 {
        let first = rng.usize(..self.frames.len());
        let begun = out.len();
        let (mut laid, mut at, mut rounds) = (0, first, 0);
        let start_ns = self.frames[first].0.at_ns;
        let mut last_ns = 0;
        while laid < wanted {
            let (frame, attack) = self.frames[at];
            last_ns = rounds * self.round_ns + frame.at_ns - start_ns;
            let mut bytes = frame.bytes.clone();
            rewriter.apply(&mut bytes);
            // Still in the capture's time; scaled below.
            out.push(MixedFrame { at_us: last_ns, bytes, wire_bytes: frame.wire_bytes, attack });
            laid += usize::from(attack);
            at += 1;
            if at == self.frames.len() {
                (at, rounds) = (0, rounds + 1);
            }
        }
        let scale = (until_us - from_us) as f64 / (last_ns + 1) as f64;
        for frame in &mut out[begun..] {
            frame.at_us = from_us + (frame.at_us as f64 * scale) as u64;
        }
        rounds
    }
}
