//! Packet sentences for everything beyond bans and guards: sanity, allow list, rules, lease,
//! samples.
//! Each packet is built in code and run by the kernel; verdict and reason are held against what the
//! sentence says.

mod support;

use floodwall_model::packet::{Guards, PacketAttr, PacketHandling, PacketPredicate, PacketReason};
use floodwall_model::{Mode, Prefix, RuleId};
use floodwall_xdp::{AttachRequest, BanError, DryRun, SourceRates};
use support::packet::{ACK, FIN, PSH, Packet, RST, SYN, URG};
use support::plan::{LIFE_MS, plan, rule};
use support::sentence::{CLIENT, CLIENT_V6, SERVER, SERVER_V6, check};
use support::{ban, require_bpf, wall_ms};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn tcp(flags: u8) -> Packet {
    Packet::tcp((CLIENT, 40_000), (SERVER, 80), flags)
}

fn tcp_v6(flags: u8) -> Packet {
    Packet::tcp((CLIENT_V6, 40_000), (SERVER_V6, 80), flags)
}

#[test]
fn packets_that_no_stack_sends_are_dropped_and_odd_ones_pass() {
    if !require_bpf() {
        return;
    }
    use PacketReason::{
        HeaderTooShort, ImpossibleFlags, Land, MartianSource, NoObjection, PortZero,
    };
    let from_to = |source, destination| Packet::tcp((source, 40_000), (destination, 80), ACK);
    let udp =
        |source, port, destination, to| Packet::udp((source, port), (destination, to), &[0; 12]);
    let mdns_from = |source, to| udp(source, 5_353, to, 5_353);
    // The first `bytes` of a segment whose header says that it takes 60.
    let first_of_tcp = |bytes: usize| {
        let mut body = vec![1; 60];
        (body[12], body[13]) = (15 << 4, ACK);
        body.truncate(bytes);
        Packet::new(CLIENT, SERVER, 6, body).fragment(7, 0, true)
    };
    let mut run = DryRun::new(1).unwrap();
    for (description, packet, expected) in [
        ("a SYN", tcp(SYN), NoObjection),
        ("a SYN with ECN", tcp(SYN | 0xc0), NoObjection),
        ("a bare RST", tcp(RST), NoObjection),
        ("a FIN with its ACK", tcp(FIN | ACK), NoObjection),
        ("SYN and FIN", tcp(SYN | FIN), ImpossibleFlags),
        ("SYN and RST", tcp_v6(SYN | RST), ImpossibleFlags),
        ("no flags", tcp(0), ImpossibleFlags),
        ("FIN without ACK", tcp(FIN), ImpossibleFlags),
        ("a Xmas tree", tcp(FIN | PSH | URG), ImpossibleFlags),
        ("four bytes of TCP", Packet::new(CLIENT, SERVER, 6, vec![0; 4]), HeaderTooShort),
        ("three bytes of UDP", Packet::new(CLIENT_V6, SERVER_V6, 17, vec![0; 3]), HeaderTooShort),
        ("a later fragment of anything", tcp(SYN).fragment(7, 4, false), NoObjection),
        ("land", Packet::tcp((SERVER, 80), (SERVER, 80), SYN), Land),
        ("land over IPv6", Packet::tcp((SERVER_V6, 80), (SERVER_V6, 80), SYN), Land),
        ("one host, two ports", Packet::tcp((SERVER, 81), (SERVER, 80), SYN), NoObjection),
        ("NTP between two hosts", udp(CLIENT, 123, SERVER, 123), NoObjection),
        (
            "a host talks to itself",
            Packet::tcp(("127.0.0.1", 80), ("127.0.0.1", 80), ACK),
            NoObjection,
        ),
        ("a multicast source", from_to("224.0.0.5", SERVER), MartianSource),
        ("the broadcast address as source", from_to("255.255.255.255", SERVER), MartianSource),
        ("a source of a reserved network", from_to("240.0.0.1", SERVER), NoObjection),
        ("loopback to another host", from_to("127.0.0.1", SERVER), MartianSource),
        ("a source in network 0", from_to("0.1.2.3", SERVER), MartianSource),
        ("nobody opens TCP", from_to("0.0.0.0", SERVER), MartianSource),
        ("nobody greets everybody", udp("0.0.0.0", 9, "255.255.255.255", 9), NoObjection),
        ("nobody asks for names on the link", mdns_from("0.0.0.0", "224.0.0.251"), NoObjection),
        ("nobody speaks beyond the link", mdns_from("0.0.0.0", "239.1.2.3"), MartianSource),
        ("nobody to a network's broadcast", udp("0.0.0.0", 9, "10.1.0.255", 9), MartianSource),
        ("a DHCP client", udp("0.0.0.0", 68, "255.255.255.255", 67), NoObjection),
        ("an IGMP report", Packet::new("0.0.0.0", "224.0.0.22", 2, vec![0; 16]), NoObjection),
        ("an IPv6 multicast source", from_to("ff02::1", SERVER_V6), MartianSource),
        ("::1 to another host", from_to("::1", SERVER_V6), MartianSource),
        ("::1 to itself", from_to("::1", "::1"), NoObjection),
        (
            "duplicate address detection",
            Packet::new("::", "ff02::1:ff00:1", 58, vec![135; 24]),
            NoObjection,
        ),
        (":: opens TCP", from_to("::", SERVER_V6), MartianSource),
        ("TCP to port 0", Packet::tcp((CLIENT, 40_000), (SERVER, 0), SYN), PortZero),
        ("TCP from port 0", Packet::tcp((CLIENT, 0), (SERVER, 80), SYN), PortZero),
        ("a refusal by port 0", Packet::tcp((CLIENT, 0), (SERVER, 80), RST | ACK), NoObjection),
        ("UDP to port 0", udp(CLIENT, 4_059, SERVER, 0), PortZero),
        ("UDP that wants no answer", udp(CLIENT, 0, SERVER, 4_059), NoObjection),
        (
            "a first fragment as long as every link carries, inside its TCP header",
            first_of_tcp(48),
            NoObjection,
        ),
        ("a first fragment shorter than any link's", first_of_tcp(40), HeaderTooShort),
        ("a first fragment with half a TCP header", first_of_tcp(8), HeaderTooShort),
        ("ICMP has no ports", Packet::new(CLIENT, SERVER, 1, vec![0; 16]), NoObjection),
    ] {
        check(&mut run, description, &packet, expected);
        check(&mut run, description, &packet.tagged(&[0x88a8, 0x8100]), expected);
    }
}

#[test]
fn without_sanity_such_packets_pass() {
    if !require_bpf() {
        return;
    }
    let request = AttachRequest { sanity: false, max_bans: 1, ..AttachRequest::default() };
    let mut run = DryRun::with(&request).unwrap();
    check(&mut run, "no flags", &tcp(0), PacketReason::NoObjection);
}

#[test]
fn the_allow_list_wins_over_everything_and_cannot_be_banned() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(16).unwrap();
    let banned = ban(CLIENT, 60_000);
    let filter = run.filter_mut();
    filter.ban(&banned, wall_ms()).unwrap();
    filter.ban_network(prefix("203.0.112.0/20"), 60_000).unwrap();
    check(&mut run, "banned", &tcp(ACK), PacketReason::SourceBanned);
    check(
        &mut run,
        "its network is banned",
        &Packet::tcp(("203.0.113.77", 1), (SERVER, 80), ACK),
        PacketReason::NetworkBanned,
    );

    run.filter_mut().allow(prefix("203.0.113.0/24")).unwrap();
    check(&mut run, "allowing lifts both bans", &tcp(ACK), PacketReason::NoObjection);
    check(&mut run, "sanity objects in vain", &tcp(0), PacketReason::Allowed);
    let refused = run.filter_mut().ban(&banned, wall_ms());
    assert!(matches!(refused, Err(BanError::Allowed { .. })), "{refused:?}");
    for network in ["203.0.113.0/25", "203.0.0.0/16"] {
        let refused = run.filter_mut().ban_network(prefix(network), 60_000);
        assert!(matches!(refused, Err(BanError::Allowed { .. })), "{network}: {refused:?}");
    }
    assert_eq!(run.filter().counters().unwrap().bans_refused.allowed, 3);

    let now_ms = wall_ms();
    let everything = rule(1, vec![PacketPredicate::Between(PacketAttr::Ttl, 0, 255)], now_ms);
    let guards = Guards { tcp_state: true, udp_solicited: true, ..Guards::default() };
    run.filter_mut().set_source_rates(SourceRates::of(Some(1), Some(1)));
    run.filter_mut().apply(&plan(vec![everything], guards, Mode::Protect, now_ms), now_ms).unwrap();
    check(&mut run, "a rule objects in vain", &tcp(ACK), PacketReason::Allowed);
    let other = Packet::tcp(("192.0.2.1", 40_000), (SERVER, 80), ACK);
    check(&mut run, "another source", &other, PacketReason::Signature);
    run.filter_mut().allow(prefix("2001:db8:1::/48")).unwrap();
    check(&mut run, "IPv6 likewise", &tcp_v6(ACK), PacketReason::Allowed);
    assert!(run.filter_mut().disallow(prefix("203.0.113.0/24")).unwrap());
    check(&mut run, "no longer allowed", &tcp(ACK), PacketReason::Signature);
}

#[test]
fn networks_are_banned_until_their_end_and_never_too_wide() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(16).unwrap();
    let filter = run.filter_mut();
    for (network, wide) in
        [("203.0.0.0/11", true), ("2001:db8::/31", true), ("127.64.0.0/12", false)]
    {
        let refused = filter.ban_network(prefix(network), 60_000).unwrap_err();
        assert_eq!(matches!(refused, BanError::TooWide(_)), wide, "{refused}");
        assert_eq!(matches!(refused, BanError::NeverBanned(_)), !wide, "{refused}");
    }
    filter.ban_network(prefix("203.0.112.0/20"), 60_000).unwrap();
    filter.ban_network(prefix("2001:db8::/32"), 60_000).unwrap();
    check(&mut run, "IPv4", &tcp(ACK), PacketReason::NetworkBanned);
    check(&mut run, "IPv6", &tcp_v6(ACK), PacketReason::NetworkBanned);
    let neighbour = Packet::tcp(("203.0.128.1", 40_000), (SERVER, 80), ACK);
    check(&mut run, "the next network", &neighbour, PacketReason::NoObjection);
    run.filter_mut().ban_network(prefix("203.0.112.0/20"), 1).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(30));
    check(&mut run, "it has ended", &tcp(ACK), PacketReason::BanExpired);
    let ended = run.filter_mut().sweep();
    assert_eq!(ended.iter().map(|e| e.source).collect::<Vec<_>>(), [prefix("203.0.112.0/20")]);
    check(&mut run, "it is swept", &tcp(ACK), PacketReason::NoObjection);
    assert!(run.filter_mut().unban(prefix("2001:db8::/32")).unwrap());
    check(&mut run, "it is lifted", &tcp_v6(ACK), PacketReason::NoObjection);
}

#[test]
fn when_the_controller_falls_silent_everything_dynamic_passes() {
    if !require_bpf() {
        return;
    }
    let request = AttachRequest { lease_ms: 500, max_bans: 16, ..AttachRequest::default() };
    let mut run = DryRun::with(&request).unwrap();
    // Verifying the program takes a part of a second the first time.
    run.xdp(&tcp(ACK).bytes(), 1).unwrap();
    let now_ms = wall_ms();
    run.filter_mut().ban(&ban(CLIENT, 60_000), now_ms).unwrap();
    let ttl = rule(1, vec![PacketPredicate::Is(PacketAttr::Ttl, 9)], now_ms);
    let guards = Guards { udp_solicited: true, ..Guards::default() };
    run.filter_mut().apply(&plan(vec![ttl], guards, Mode::Protect, now_ms), now_ms).unwrap();
    let other = Packet::tcp(("192.0.2.1", 40_000), (SERVER, 80), ACK).ttl(9);
    check(&mut run, "banned", &tcp(ACK), PacketReason::SourceBanned);
    check(&mut run, "matched", &other, PacketReason::Signature);
    std::thread::sleep(std::time::Duration::from_millis(600));
    check(&mut run, "the ban is ignored", &tcp(ACK), PacketReason::NoObjection);
    check(&mut run, "the rule is ignored", &other, PacketReason::NoObjection);
    check(&mut run, "sanity is no policy", &tcp(0), PacketReason::ImpossibleFlags);
    assert!(run.filter().counters().unwrap().lapsed >= 3);
    run.filter_mut().renew();
    check(&mut run, "renewed", &tcp(ACK), PacketReason::SourceBanned);
}

#[test]
fn rules_come_and_go_by_difference_and_count_what_they_match() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(1).unwrap();
    let now_ms = wall_ms();
    let none = Guards::default();
    let ttl = |id, value| rule(id, vec![PacketPredicate::Is(PacketAttr::Ttl, value)], now_ms);
    let both = rule(
        3,
        vec![
            PacketPredicate::Is(PacketAttr::Mss, 1_400),
            PacketPredicate::Bits(PacketAttr::TcpFlags, 0x12, 0x02),
        ],
        now_ms,
    );
    let filter = run.filter_mut();
    filter.read_batch(now_ms).unwrap();
    let first = plan(vec![ttl(1, 1), ttl(2, 2), both.clone()], none, Mode::Protect, now_ms);
    assert_eq!(filter.apply(&first, now_ms).unwrap().change.added, 3);
    assert_eq!(filter.apply(&first, now_ms).unwrap().change.rows_written, 0);
    check(&mut run, "rule 1", &tcp(ACK).ttl(1), PacketReason::Signature);
    check(&mut run, "rule 2", &tcp(ACK).ttl(2), PacketReason::Signature);
    check(&mut run, "no rule", &tcp(ACK).ttl(3), PacketReason::NoObjection);
    check(&mut run, "rule 3 reads TCP options", &tcp(SYN).ttl(3), PacketReason::Signature);

    let second = plan(vec![ttl(2, 2), ttl(4, 3), both], none, Mode::Protect, now_ms);
    let change = run.filter_mut().apply(&second, now_ms).unwrap().change;
    assert_eq!((change.added, change.removed, change.kept), (1, 1, 2));
    check(&mut run, "rule 1 is gone", &tcp(ACK).ttl(1), PacketReason::NoObjection);
    check(&mut run, "rule 4 has come", &tcp(ACK).ttl(3), PacketReason::Signature);
    let batch = run.filter_mut().read_batch(now_ms + 50).unwrap();
    let once = |id| (RuleId(id), 1);
    assert_eq!(batch.matched, [once(1), once(2), once(3), once(4)]);
    let packets: u64 = batch.counts.iter().map(|count| count.packets).sum();
    assert_eq!(packets, 6);
    assert_eq!(batch.refused, []);

    let shadow = plan(vec![ttl(5, 5)], none, Mode::Shadow, now_ms);
    run.filter_mut().apply(&shadow, now_ms).unwrap();
    check(&mut run, "in shadow mode it passes", &tcp(ACK).ttl(5), PacketReason::NoObjection);
    let batch = run.filter_mut().read_batch(now_ms + 100).unwrap();
    assert_eq!(batch.matched, [once(5)], "and is counted");
    let over = now_ms + LIFE_MS;
    run.filter_mut().apply(&second, over).unwrap();
    check(&mut run, "rules have an end", &tcp(ACK).ttl(2), PacketReason::NoObjection);
}

#[test]
fn samples_say_what_was_seen_and_done() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(1).unwrap();
    let now_ms = wall_ms();
    let ttl = rule(7, vec![PacketPredicate::Is(PacketAttr::Ttl, 9)], now_ms);
    let filter = run.filter_mut();
    filter.apply(&plan(vec![ttl], Guards::default(), Mode::Protect, now_ms), now_ms).unwrap();
    filter.read_batch(now_ms).unwrap();
    // So slow that the filter samples every packet.
    filter.read_batch(now_ms + 50).unwrap();
    run.xdp(&tcp(ACK).ttl(9).bytes(), 300).unwrap();
    run.xdp(&tcp(0).bytes(), 300).unwrap();
    run.xdp(&tcp_v6(SYN).bytes(), 300).unwrap();
    let batch = run.filter_mut().read_batch(now_ms + 100).unwrap();
    assert_eq!(batch.lost, 0);
    let weight: u32 = batch.observations.iter().map(|o| o.weight).sum();
    // The first draw may still be from the wider spacing.
    assert!((860..=940).contains(&weight), "{weight}");
    let handled = |handling| batch.observations.iter().filter(move |o| o.handling == handling);
    let dropped = handled(PacketHandling::Dropped(RuleId(7))).next_back().unwrap();
    assert_eq!(dropped.facts.value(PacketAttr::Ttl), 9);
    assert_eq!(dropped.facts.source.to_string(), CLIENT);
    assert_eq!(dropped.facts.frame_bytes, 54);
    assert!(handled(PacketHandling::Refused(PacketReason::ImpossibleFlags)).count() > 200);
    let passed = handled(PacketHandling::Passed).next_back().unwrap();
    assert_eq!(passed.facts.value(PacketAttr::Mss), 1_400, "samples read TCP options");
    assert!(passed.at_ms <= now_ms + 100);
    assert_eq!(batch.refused, [(PacketReason::ImpossibleFlags, 300)]);
}
