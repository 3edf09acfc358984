//! Background: many captures laid end to end and side by side, until there are enough frames.
//!
//! Every laying has its own addresses, so that the same capture laid twice is two visitors.

use std::collections::HashMap;
use std::net::IpAddr;

use fastrand::Rng;

use super::lay::MixedFrame;
use super::read::{Frame, Recording};
use super::rewrite::{Home, Local, Rewrite, Rewriter};
use super::view::View;

/// Longest pause in the background: longer ones are cut to this, ns.
const PAUSE_NS_MAX: u64 = 500_000_000;
/// Frames of one laying at most: a long capture must not be all of the background.
const LAYING_FRAMES_MAX: usize = 2_000;
/// One laying is slowed down to this share of the whole background's rate.
const LAYING_RATE_SHARE: f64 = 0.5;
/// Within a laying frames follow each other at most at this many times the whole background's rate:
/// what was recorded on a fast local network must not be a flood on a slow background.
const BURST_RATE_SHARE: f64 = 2.0;
/// Captures are laid from this long before the mix begins, µs, so that it begins in their middle.
const WARM_UP_US: f64 = 10_000_000.0;

/// How much background.
#[derive(Copy, Clone, Debug)]
pub(super) struct Wanted {
    pub(super) rate_pps: f64,
    pub(super) duration_us: u64,
    pub(super) rewrite: Rewrite,
    pub(super) home: Home,
}

impl Wanted {
    fn frames(&self) -> usize {
        (self.rate_pps * self.duration_us as f64 / 1e6) as usize
    }
}

/// Lays captures drawn at random; empty if none of them has a frame.
pub(super) fn lay(captures: &[Recording], wanted: &Wanted, rng: &mut Rng) -> Vec<MixedFrame> {
    let usable: Vec<&Recording> = captures.iter().filter(|c| !c.frames.is_empty()).collect();
    let total = wanted.frames();
    let mut laid = Vec::with_capacity(total);
    if usable.is_empty() {
        return laid;
    }
    // Most layings put most of their frames inside; the bound only ends a hopeless search.
    for _ in 0..total.saturating_mul(20) {
        if laid.len() >= total {
            break;
        }
        let capture = usable[rng.usize(..usable.len())];
        lay_one(capture, wanted, total - laid.len(), rng, &mut laid);
    }
    laid
}

fn lay_one(
    capture: &Recording,
    wanted: &Wanted,
    room: usize,
    rng: &mut Rng,
    laid: &mut Vec<MixedFrame>,
) {
    let frames_max = LAYING_FRAMES_MAX.min((wanted.frames() / 10).max(50));
    let all = capture.frames.len();
    let from = if all > frames_max { rng.usize(..=all - frames_max) } else { 0 };
    let piece = &capture.frames[from..all.min(from + frames_max)];
    let local = busiest(piece);
    let mut rewriter = Rewriter::new(wanted.rewrite, wanted.home, local, None, rng);
    let times_us = times_us(piece, wanted.rate_pps);
    let duration_us = wanted.duration_us as f64;
    let start_us = rng.f64() * (duration_us + WARM_UP_US) - WARM_UP_US;
    let placed = piece.iter().zip(times_us).filter_map(|(frame, offset_us)| {
        let at_us = start_us + offset_us;
        (0.0..duration_us).contains(&at_us).then_some((frame, at_us as u64))
    });
    for (frame, at_us) in placed.take(room) {
        let mut bytes = frame.bytes.clone();
        rewriter.apply(&mut bytes);
        laid.push(MixedFrame { at_us, bytes, wire_bytes: frame.wire_bytes, attack: false });
    }
}

/// When each frame comes after the first, µs, without long pauses and not faster than beside a
/// background of `rate_pps`.
fn times_us(piece: &[Frame], rate_pps: f64) -> Vec<f64> {
    let mut times_us = Vec::with_capacity(piece.len());
    let (mut at_us, mut before_ns) = (0.0, piece.first().map_or(0, |frame| frame.at_ns));
    let gap_us_min = 1e6 / (rate_pps * BURST_RATE_SHARE);
    for frame in piece {
        let gap_us = (frame.at_ns - before_ns).min(PAUSE_NS_MAX) as f64 / 1_000.0;
        at_us += if times_us.is_empty() { 0.0 } else { gap_us.max(gap_us_min) };
        before_ns = frame.at_ns;
        times_us.push(at_us);
    }
    let least_us = piece.len() as f64 * 1e6 / (rate_pps * LAYING_RATE_SHARE);
    if at_us > 0.0 && at_us < least_us {
        times_us.iter_mut().for_each(|time| *time *= least_us / at_us);
    }
    times_us
}

/// The address of each family that takes part in most packets: it becomes the host.
pub(super) fn busiest(frames: &[Frame]) -> Local {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for frame in frames {
        let view = View::of(&frame.bytes);
        let Some((from, to)) = view.and_then(|view| view.addresses(&frame.bytes)) else { continue };
        for address in [from, to] {
            *counts.entry(address).or_default() += 1;
        }
    }
    Local::most_frequent(&counts, frames)
}
