//! Packet sentences: a description, a packet built in code, and the verdict and reason expected of
//! the kernel's own run of the program.

mod support;

use floodwall_model::packet::PacketReason;
use floodwall_model::{Reason, Source};
use floodwall_xdp::{DryRun, Verdict};
use proptest::prelude::*;
use support::damaged::{BANNED_V4, BANNED_V6, damaged_frame, reason_of};
use support::frames::{ARP, IPV4, IPV6, PROVIDER_VLAN, VLAN, arp, frame, ipv4, ipv6};
use support::{ban, require_bpf};

/// Longer than any of these tests runs.
const LONG_MS: u64 = 600_000;
/// The program's clock stands still between timer ticks, of which the slowest kernels have 100 a
/// second; twice that.
const TICK_MAX: std::time::Duration = std::time::Duration::from_millis(20);

/// A filter in which BANNED_V4 and the /64 of BANNED_V6 are banned.
fn filter_with_bans() -> DryRun {
    let mut run = DryRun::new(16).unwrap();
    for source in [BANNED_V4, BANNED_V6] {
        let ban = ban(source, LONG_MS);
        run.filter_mut().ban(&ban, ban.ban().from_ms).unwrap();
    }
    run
}

fn counts(run: &DryRun) -> [u64; PacketReason::ALL.len()] {
    run.filter().counters().unwrap().by_reason
}

/// Runs one frame and asserts its verdict and that exactly its reason was counted, once.
fn check(run: &mut DryRun, description: &str, frame: &[u8], expected: PacketReason) {
    let verdict = Verdict::of(expected);
    let mut expected_counts = counts(run);
    expected_counts[expected as usize] += 1;
    assert_eq!(run.xdp(frame, 1).unwrap().verdict, verdict, "{description}");
    assert_eq!(counts(run), expected_counts, "{description}: counts of {:?}", PacketReason::ALL);
}

#[test]
fn each_packet_gets_its_verdict_and_its_reason() {
    if !require_bpf() {
        return;
    }
    let mut run = filter_with_bans();
    use PacketReason::{Malformed, NoObjection as NoBan, NotIp, SourceBanned as Banned};
    let sentences: &[(&str, Vec<u8>, PacketReason)] = &[
        ("IPv4 from a banned source", frame(&[], IPV4, &ipv4(BANNED_V4, 0)), Banned),
        ("IPv4 from its neighbour", frame(&[], IPV4, &ipv4("203.0.113.10", 0)), NoBan),
        ("IPv4 with all options it can have", frame(&[], IPV4, &ipv4(BANNED_V4, 10)), Banned),
        ("IPv6 from the banned address", frame(&[], IPV6, &ipv6(BANNED_V6)), Banned),
        (
            "IPv6 from another address of the banned /64",
            frame(&[], IPV6, &ipv6("2001:db8:1:2:ffff:ffff:ffff:ffff")),
            Banned,
        ),
        ("IPv6 from the /64 above", frame(&[], IPV6, &ipv6("2001:db8:1:3::7")), NoBan),
        ("IPv6 from the /64 below", frame(&[], IPV6, &ipv6("2001:db8:1:1::7")), NoBan),
        ("IPv6 that differs in the first bit", frame(&[], IPV6, &ipv6("a001:db8:1:2::7")), NoBan),
        (
            "IPv6 whose lower half is the banned /64",
            frame(&[], IPV6, &ipv6("::2001:db8:1:2")),
            NoBan,
        ),
        ("one VLAN tag, banned", frame(&[VLAN], IPV4, &ipv4(BANNED_V4, 0)), Banned),
        ("one VLAN tag, not banned", frame(&[VLAN], IPV4, &ipv4("192.0.2.1", 0)), NoBan),
        ("one VLAN tag, IPv6, banned", frame(&[VLAN], IPV6, &ipv6(BANNED_V6)), Banned),
        ("QinQ, banned", frame(&[PROVIDER_VLAN, VLAN], IPV4, &ipv4(BANNED_V4, 0)), Banned),
        ("QinQ, IPv6, banned", frame(&[PROVIDER_VLAN, VLAN], IPV6, &ipv6(BANNED_V6)), Banned),
        ("two customer tags, banned", frame(&[VLAN, VLAN], IPV4, &ipv4(BANNED_V4, 0)), Banned),
        (
            "three tags are not looked through",
            frame(&[PROVIDER_VLAN, VLAN, VLAN], IPV4, &ipv4(BANNED_V4, 0)),
            NotIp,
        ),
        ("ARP", frame(&[], ARP, &arp()), NotIp),
        ("IPv4 bytes under ARP's type", frame(&[], ARP, &ipv4(BANNED_V4, 0)), NotIp),
        ("IPv6 bytes under IPv4's type", frame(&[], IPV4, &ipv6(BANNED_V6)), Malformed),
        ("IPv4 bytes under IPv6's type", frame(&[], IPV6, &ipv4(BANNED_V4, 0)), Malformed),
        (
            "an IPv4 header shorter than its minimum",
            frame(&[], IPV4, &[&[0x44], &ipv4(BANNED_V4, 0)[1..]].concat()),
            Malformed,
        ),
    ];
    for (description, bytes, expected) in sentences {
        check(&mut run, description, bytes, *expected);
    }
    let counters = run.filter().counters().unwrap();
    assert_eq!(counters.packets_seen, sentences.len() as u64);
    assert_eq!(counters.passed + counters.dropped, counters.packets_seen);
    assert_eq!(counters.dropped_for(Reason::SourceBanned), counters.dropped);
}

/// The kernel's test run wants an Ethernet header at least, so frames shorter than that are tried
/// on the host only (tests/parser_on_host.rs).
#[test]
fn a_frame_cut_before_the_end_of_its_headers_passes() {
    if !require_bpf() {
        return;
    }
    let mut run = filter_with_bans();
    for (description, tags, ether_type, packet, header) in [
        ("IPv4", &[][..], IPV4, ipv4(BANNED_V4, 0), 20),
        ("IPv4 with options", &[], IPV4, ipv4(BANNED_V4, 10), 60),
        ("IPv6", &[], IPV6, ipv6(BANNED_V6), 40),
        ("IPv4 behind a tag", &[VLAN], IPV4, ipv4(BANNED_V4, 3), 32),
        ("IPv6 behind two tags", &[PROVIDER_VLAN, VLAN], IPV6, ipv6(BANNED_V6), 40),
    ] {
        let whole = frame(tags, ether_type, &packet);
        // The TCP header too: a packet whose headers are not all there has no source to ban.
        let readable = 14 + tags.len() * 4 + header + 20;
        for length in 14..=whole.len() {
            let expected = match length < readable {
                true => PacketReason::Truncated,
                false => PacketReason::SourceBanned,
            };
            check(&mut run, &format!("{description}, {length} bytes"), &whole[..length], expected);
        }
    }
}

#[test]
fn a_ban_that_has_ended_passes_before_it_is_swept() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(16).unwrap();
    let bytes = frame(&[], IPV4, &ipv4(BANNED_V4, 0));
    let long = ban(BANNED_V4, LONG_MS);
    run.filter_mut().ban(&long, long.ban().from_ms).unwrap();
    check(&mut run, "while it lasts", &bytes, PacketReason::SourceBanned);
    // The last word counts: now it ends in a moment. The clock is the kernel's, so this waits.
    let short = ban(BANNED_V4, 1);
    run.filter_mut().ban(&short, short.ban().from_ms).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1) + TICK_MAX);
    check(&mut run, "when it has ended", &bytes, PacketReason::BanExpired);

    let ended = run.filter_mut().sweep();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].source.to_string(), "203.0.113.9/32");
    assert_eq!(ended[0].packets_dropped, 1);
    check(&mut run, "when it is swept", &bytes, PacketReason::NoObjection);
    assert_eq!(run.filter_mut().sweep(), []);
    assert_eq!(run.filter().counters().unwrap().bans_held, 0);
}

#[test]
fn a_ban_can_be_renewed_counted_and_lifted() {
    if !require_bpf() {
        return;
    }
    for (source, ether_type, packet) in
        [(BANNED_V4, IPV4, ipv4(BANNED_V4, 0)), (BANNED_V6, IPV6, ipv6(BANNED_V6))]
    {
        let mut run = filter_with_bans();
        let bytes = frame(&[], ether_type, &packet);
        let counted = Source::new(source.parse().unwrap());
        run.xdp(&bytes, 3).unwrap();
        let again = ban(source, LONG_MS);
        run.filter_mut().ban(&again, again.ban().from_ms).unwrap();
        run.xdp(&bytes, 2).unwrap();
        assert_eq!(run.filter().dropped_by(counted).unwrap(), Some(5), "{source}");

        assert!(run.filter_mut().unban(counted.counted()).unwrap());
        assert!(!run.filter_mut().unban(counted.counted()).unwrap(), "it was lifted");
        assert_eq!(run.filter().dropped_by(counted).unwrap(), None);
        check(&mut run, "lifted", &bytes, PacketReason::NoObjection);
        assert!(run.filter_mut().unban("203.0.113.0/24".parse().unwrap()).is_err());
    }
}

#[test]
fn a_full_map_refuses_counts_and_evicts_nothing() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(3).unwrap();
    let address = |n: u32| format!("203.0.113.{n}");
    for n in 1..=3 {
        let ban = ban(&address(n), LONG_MS);
        run.filter_mut().ban(&ban, ban.ban().from_ms).unwrap();
    }
    let one_more = ban(&address(4), LONG_MS);
    let refused = run.filter_mut().ban(&one_more, one_more.ban().from_ms);
    assert!(matches!(refused, Err(floodwall_xdp::BanError::Full { max: 3 })), "{refused:?}");
    assert_eq!(run.filter().counters().unwrap().bans_refused.full, 1);
    for n in 1..=3 {
        let bytes = frame(&[], IPV4, &ipv4(&address(n), 0));
        check(&mut run, "an earlier ban holds", &bytes, PacketReason::SourceBanned);
    }
    let renewed = ban(&address(2), LONG_MS);
    run.filter_mut().ban(&renewed, renewed.ban().from_ms).unwrap();
    let v6 = ban(BANNED_V6, LONG_MS);
    run.filter_mut().ban(&v6, v6.ban().from_ms).unwrap();
}

#[test]
fn a_full_map_takes_a_ban_in_place_of_one_that_has_ended() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(1).unwrap();
    let short = ban("203.0.113.1", 1);
    run.filter_mut().ban(&short, short.ban().from_ms).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2));
    let next = ban("203.0.113.2", LONG_MS);
    run.filter_mut().ban(&next, next.ban().from_ms).unwrap();
    let reported: Vec<String> =
        run.filter_mut().sweep().iter().map(|ended| ended.source.to_string()).collect();
    assert_eq!(reported, ["203.0.113.1/32"], "what made room is still reported");
}

#[test]
fn a_ban_that_is_over_is_refused_and_counted() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(3).unwrap();
    let late = ban(BANNED_V4, 1_000);
    let refused = run.filter_mut().ban(&late, late.ban().until_ms);
    assert!(matches!(refused, Err(floodwall_xdp::BanError::Over)), "{refused:?}");
    let refusals = run.filter().counters().unwrap().bans_refused;
    assert_eq!((refusals.over, refusals.full), (1, 0));
}

/// The kernel counts entries of large maps approximately; the bans the engine may hold must fit
/// all the same, in either family.
#[test]
fn every_ban_the_engine_may_hold_fits() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(floodwall_xdp::BANS_DEFAULT).unwrap();
    for n in 0..floodwall_model::limits::BANS_MAX as u32 {
        let v4 = ban(&std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string(), LONG_MS);
        run.filter_mut().ban(&v4, v4.ban().from_ms).unwrap();
    }
    let counters = run.filter().counters().unwrap();
    assert_eq!(counters.bans_held, floodwall_model::limits::BANS_MAX as u64);
    check(
        &mut run,
        "the last",
        &frame(&[], IPV4, &ipv4("10.1.134.159", 0)),
        PacketReason::SourceBanned,
    );
    check(
        &mut run,
        "the next",
        &frame(&[], IPV4, &ipv4("10.1.134.160", 0)),
        PacketReason::NoObjection,
    );
}

#[test]
fn the_socket_filter_gives_the_same_verdicts() {
    if !require_bpf() {
        return;
    }
    let mut run = filter_with_bans();
    for (description, bytes, verdict) in [
        ("IPv4, banned", frame(&[], IPV4, &ipv4(BANNED_V4, 0)), Verdict::Drop),
        ("IPv4 with options, banned", frame(&[], IPV4, &ipv4(BANNED_V4, 10)), Verdict::Drop),
        ("IPv4, not banned", frame(&[], IPV4, &ipv4("203.0.113.10", 0)), Verdict::Pass),
        ("IPv6, banned", frame(&[], IPV6, &ipv6("2001:db8:1:2::99")), Verdict::Drop),
        ("IPv6, not banned", frame(&[], IPV6, &ipv6("2001:db8:1:3::99")), Verdict::Pass),
        ("ARP", frame(&[], ARP, &arp()), Verdict::Pass),
    ] {
        assert_eq!(run.socket_filter(&bytes, 1).unwrap().verdict, verdict, "{description}");
    }
    let counters = run.filter().counters().unwrap();
    assert_eq!((counters.packets_seen, counters.passed, counters.dropped), (6, 3, 3));
}

#[test]
fn damaged_frames_are_read_as_on_this_host() {
    if !require_bpf() {
        return;
    }
    let run = std::cell::RefCell::new(filter_with_bans());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&damaged_frame(), |bytes| {
            check(&mut run.borrow_mut(), &format!("{bytes:02x?}"), &bytes, reason_of(&bytes));
            Ok(())
        })
        .unwrap();
}
