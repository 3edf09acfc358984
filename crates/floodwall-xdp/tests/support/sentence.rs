//! One packet sentence: a frame built in code, run by the kernel, its verdict and reason asserted.

use floodwall_model::packet::PacketReason;
use floodwall_xdp::{DryRun, Verdict};

use super::packet::Packet;

pub(crate) const CLIENT: &str = "203.0.113.9";
pub(crate) const SERVER: &str = "198.51.100.1";
pub(crate) const CLIENT_V6: &str = "2001:db8:1:2::7";
pub(crate) const SERVER_V6: &str = "2001:db8:ffff::1";

/// Runs one frame and asserts its verdict and that exactly its reason was counted, once.
pub(crate) fn check(run: &mut DryRun, description: &str, packet: &Packet, expected: PacketReason) {
    let mut counts = run.filter().counters().unwrap().by_reason;
    counts[expected as usize] += 1;
    let verdict = run.xdp(&packet.bytes(), 1).unwrap().verdict;
    let counted = run.filter().counters().unwrap().by_reason;
    assert_eq!(counted, counts, "{description}: counts of {:?}", PacketReason::ALL);
    assert_eq!(verdict, Verdict::of(expected), "{description}");
}
