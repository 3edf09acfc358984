//! Packets of every shape, mutated: the C parser never crashes, and where it accepts it says what
//! etherparse says.

#[path = "support/captures.rs"]
#[allow(dead_code, reason = "only the link type is used here")]
mod captures;
#[path = "support/frames.rs"]
#[allow(dead_code, reason = "the specimens use their part")]
mod frames;
#[path = "support/second_opinion.rs"]
mod second_opinion;
#[path = "support/specimens.rs"]
mod specimens;

use captures::Link;
use floodwall_xdp::host::{Parsed, ParsedPacket, parse_frame, parse_ip};
use proptest::prelude::*;
use second_opinion::{Opinion, compare};

fn check(link: Link, bytes: &[u8]) -> Result<Option<ParsedPacket>, TestCaseError> {
    let parsed = if link == Link::Ethernet { parse_frame(bytes) } else { parse_ip(bytes) };
    let Parsed::Packet(parsed) = parsed else { return Ok(None) };
    match compare(link, bytes, &parsed) {
        Opinion::Contradicts(what) => Err(TestCaseError::fail(format!("{what}: {bytes:02x?}"))),
        Opinion::SaysLess(why) if why.contains("UNEXPECTED") => {
            Err(TestCaseError::fail(format!("{why}: {bytes:02x?}")))
        }
        _ => Ok(Some(parsed)),
    }
}

#[test]
fn both_parsers_see_every_specimen_alike() {
    let mut accepted = 0;
    for (name, frame) in specimens::all() {
        let parsed = check(Link::Ethernet, &frame).unwrap_or_else(|e| panic!("{name}: {e}"));
        accepted += usize::from(parsed.is_some());
    }
    assert!(accepted > 40, "{accepted}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50_000))]

    #[test]
    fn both_parsers_see_mutated_packets_alike(
        which in any::<prop::sample::Index>(),
        numbers in prop::collection::vec(any::<u32>(), 24),
        link in prop_oneof![3 => Just(Link::Ethernet), 1 => Just(Link::Ip)],
    ) {
        let all = specimens::all();
        let mut bytes = which.get(&all).1.clone();
        let mut numbers = numbers.into_iter();
        specimens::mutate(&mut bytes, |below| numbers.next().unwrap_or(0) as usize % below);
        if link == Link::Ip {
            bytes.drain(..bytes.len().min(14));
        }
        check(link, &bytes)?;
    }
}
