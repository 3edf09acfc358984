//! Packet sentences for everything beyond bans: sanity, allow list, rules, guards, lease, samples.
//! Each packet is built in code and run by the kernel; verdict and reason are held against what the
//! sentence says.

mod support;

use std::net::TcpListener;

use floodwall_model::packet::{Guards, PacketAttr, PacketHandling, PacketPredicate, PacketReason};
use floodwall_model::{Mode, Prefix, RuleId};
use floodwall_xdp::{AttachRequest, BanError, DryRun, Services, SourceRate, SourceRates, Verdict};
use support::namespace::{in_namespace, ip};
use support::packet::{ACK, FIN, PSH, Packet, RST, SYN, URG, checksum};
use support::plan::{LIFE_MS, plan, rule};
use support::{ban, require_bpf, wall_ms};

const CLIENT: &str = "203.0.113.9";
const SERVER: &str = "198.51.100.1";
const CLIENT_V6: &str = "2001:db8:1:2::7";
const SERVER_V6: &str = "2001:db8:ffff::1";

/// Runs one frame and asserts its verdict and that exactly its reason was counted, once.
fn check(run: &mut DryRun, description: &str, packet: &Packet, expected: PacketReason) {
    let mut counts = run.filter().counters().unwrap().by_reason;
    counts[expected as usize] += 1;
    let verdict = run.xdp(&packet.bytes(), 1).unwrap().verdict;
    let counted = run.filter().counters().unwrap().by_reason;
    assert_eq!(counted, counts, "{description}: counts of {:?}", PacketReason::ALL);
    assert_eq!(verdict, Verdict::of(expected), "{description}");
}

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
        ("UDP from port 0", udp(CLIENT, 0, SERVER, 53), PortZero),
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
    let guards =
        Guards { syn_proof: false, tcp_state: true, udp_solicited: true, source_rate: true };
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

fn guarded(run: &mut DryRun, guards: Guards) {
    let now_ms = wall_ms();
    let applied =
        run.filter_mut().apply(&plan(vec![], guards, Mode::Protect, now_ms), now_ms).unwrap();
    assert_eq!(applied.guards, guards, "{:?}", applied.guards_refused);
}

/// Addresses of a server in the namespace, with a listener on both families.
fn server_in_namespace() -> (TcpListener, u16) {
    for address in ["198.51.100.1/32", "2001:db8:ffff::1/128"] {
        ip(&format!(
            "address add {address} dev lo{}",
            if address.contains(':') { " nodad" } else { "" }
        ));
    }
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn a_syn_is_answered_by_a_cookie_that_the_filter_takes_back() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (_listener, port) = server_in_namespace();
        let services = Services { tcp: vec![port], udp: vec![] };
        let request = AttachRequest { services, max_bans: 1, ..AttachRequest::default() };
        let mut run = DryRun::with(&request).unwrap();
        let guards = Guards { syn_proof: true, tcp_state: true, ..Guards::default() };
        guarded(&mut run, guards);
        for (client, server, tags) in [
            (CLIENT, SERVER, &[][..]),
            (CLIENT_V6, SERVER_V6, &[]),
            (CLIENT, SERVER, &[0x88a8, 0x8100]),
            (CLIENT_V6, SERVER_V6, &[0x8100]),
        ] {
            let syn = Packet::tcp((client, 40_000), (server, port), SYN).tagged(tags);
            let (verdict, answer) = run.xdp_answer(&syn.bytes()).unwrap();
            assert_eq!(verdict, Verdict::Tx, "{client} {tags:?}");
            let cookie =
                assert_syn_ack(&syn.bytes(), &answer, tags.len() * 4, client.contains(':'));
            let last = |sequence, acknowledgement, flags| {
                Packet::tcp_numbered(
                    (client, 40_000),
                    (server, port),
                    flags,
                    sequence,
                    acknowledgement,
                )
            };
            let valid = last(1_001, cookie.wrapping_add(1), ACK);
            check(&mut run, "the cookie comes back", &valid, PacketReason::CookieValid);
            let data = last(1_001, cookie.wrapping_add(1), ACK | PSH);
            check(&mut run, "with data", &data, PacketReason::CookieValid);
            // The lowest bits say the segment size; other values of them may be valid too.
            let forged = last(1_001, cookie.wrapping_add(0x1001), ACK);
            check(&mut run, "a forged one", &forged, PacketReason::OutOfState);
            let reset = last(1_001, cookie.wrapping_add(1), RST | ACK);
            check(&mut run, "a reset proves nothing", &reset, PacketReason::OutOfState);
        }
        let closed = Packet::tcp((CLIENT, 40_000), (SERVER, port ^ 1), SYN);
        check(&mut run, "a port without service", &closed, PacketReason::NoObjection);
        run.filter_mut().allow(prefix("203.0.113.0/24")).unwrap();
        let allowed = Packet::tcp((CLIENT, 40_000), (SERVER, port), SYN);
        check(&mut run, "an allowed source", &allowed, PacketReason::NoObjection);
        let setting = || std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies").unwrap();
        assert_eq!(setting().trim(), "2");
        guarded(&mut run, Guards::default());
        check(&mut run, "the guard has fallen", &allowed, PacketReason::NoObjection);
        assert_eq!(setting().trim(), "1", "the kernel's own default is back");
    });
}

/// Holds a SYN-ACK against the SYN it answers, byte by byte; returns its sequence number.
fn assert_syn_ack(syn: &[u8], answer: &[u8], tags: usize, v6: bool) -> u32 {
    let l3 = 14 + tags;
    assert_eq!((&answer[..6], &answer[6..12]), (&syn[6..12], &syn[..6]), "MAC addresses");
    assert_eq!(answer[12..l3], syn[12..l3], "VLAN tags and type");
    let (addresses, length, l4) = if v6 { (l3 + 8, 16, l3 + 40) } else { (l3 + 12, 4, l3 + 20) };
    let halves = |bytes: &[u8]| {
        let both = &bytes[addresses..addresses + 2 * length];
        (both[..length].to_vec(), both[length..].to_vec())
    };
    let ((source, destination), (from, to)) = (halves(answer), halves(syn));
    assert_eq!((&source, &destination), (&to, &from), "addresses");
    let tcp = &answer[l4..l4 + 24];
    let be16 = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let be32 = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
    assert_eq!((be16(0), be16(2)), (u16::from_be_bytes([syn[l4 + 2], syn[l4 + 3]]), 40_000));
    assert_eq!(be32(8), 1_001, "acknowledges the SYN");
    assert_eq!((tcp[12] >> 4, tcp[13]), (6, SYN | ACK));
    assert_eq!((&tcp[20..22], be16(22)), (&[2u8, 4][..], if v6 { 1_440 } else { 1_460 }));
    let pseudo = [&source[..], &destination, &[0, 0, 0, 24], &[0, 0, 0, 6]].concat();
    assert_eq!(checksum(&[&pseudo, tcp]), 0, "TCP checksum");
    if v6 {
        assert_eq!(u16::from_be_bytes([answer[l3 + 4], answer[l3 + 5]]), 24);
    } else {
        assert_eq!(u16::from_be_bytes([answer[l3 + 2], answer[l3 + 3]]), 44);
        assert_eq!(checksum(&[&answer[l3..l3 + 20]]), 0, "IPv4 checksum");
    }
    be32(4)
}

#[test]
fn tcp_without_a_connection_is_dropped_where_this_host_is_meant() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (_listener, port) = server_in_namespace();
        let mut run = DryRun::new(1).unwrap();
        guarded(&mut run, Guards { tcp_state: true, ..Guards::default() });
        let client = std::net::TcpStream::connect((SERVER, port)).unwrap();
        let from = client.local_addr().unwrap().port();
        let to_server = |flags| Packet::tcp((SERVER, from), (SERVER, port), flags);
        use PacketReason::{NoObjection, OutOfState};
        for (description, packet, expected) in [
            ("an ACK of a connection", to_server(ACK), NoObjection),
            (
                "an ACK to its other end",
                Packet::tcp((SERVER, port), (SERVER, from), ACK),
                NoObjection,
            ),
            ("a SYN opens one", Packet::tcp((CLIENT, 5), (SERVER, port), SYN), NoObjection),
            ("an ACK to the listener", Packet::tcp((CLIENT, 5), (SERVER, port), ACK), OutOfState),
            ("a reflected SYN-ACK", Packet::tcp((CLIENT, 443), (SERVER, 9), SYN | ACK), OutOfState),
            (
                "a reset out of nothing",
                Packet::tcp((CLIENT_V6, 443), (SERVER_V6, 9), RST),
                OutOfState,
            ),
            (
                "a packet to forward",
                Packet::tcp((CLIENT, 5), ("192.0.2.200", 80), ACK),
                NoObjection,
            ),
            ("UDP is not its business", Packet::udp((CLIENT, 5), (SERVER, 9), &[1]), NoObjection),
        ] {
            check(&mut run, description, &packet, expected);
        }
    });
}

#[test]
fn answers_and_services_live_while_other_datagrams_die() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        server_in_namespace();
        let services = Services { tcp: vec![], udp: vec![443] };
        let request = AttachRequest { services, max_bans: 1, ..AttachRequest::default() };
        let mut run = DryRun::with(&request).unwrap();
        guarded(&mut run, Guards { udp_solicited: true, ..Guards::default() });
        for (resolver, other, server) in
            [("192.0.2.53", CLIENT, SERVER), ("2001:db8:53::1", CLIENT_V6, SERVER_V6)]
        {
            let answer = || Packet::udp((resolver, 53), (server, 33_000), &[7; 40]);
            use PacketReason::{NoObjection, UnsolicitedUdp};
            check(&mut run, "before the question", &answer(), UnsolicitedUdp);
            let question = Packet::udp((server, 33_000), (resolver, 53), &[7; 20]);
            run.egress(&question.bytes()).unwrap();
            check(&mut run, "after the question", &answer(), NoObjection);
            let other_port = Packet::udp((resolver, 53), (server, 33_001), &[7; 40]);
            check(&mut run, "the resolver to another port", &other_port, UnsolicitedUdp);
            let reflected = Packet::udp((other, 53), (server, 33_000), &[7; 40]);
            check(&mut run, "another resolver to our port", &reflected, UnsolicitedUdp);
            let quic = Packet::udp((other, 9), (server, 443), &[7; 40]);
            check(&mut run, "a service", &quic, NoObjection);
        }
        let answer = |source, port| Packet::udp((source, 53), (SERVER, port), &[7; 64]);
        use PacketReason::{NoObjection, UnsolicitedUdp};
        let later = |source, id| answer(source, 33_000).fragment(id, 9, false);
        check(&mut run, "a later fragment first", &later("192.0.2.53", 70), UnsolicitedUdp);
        let first = answer("192.0.2.53", 33_000).fragment(70, 0, true);
        check(&mut run, "an answer's first fragment", &first, NoObjection);
        check(&mut run, "its later fragment", &later("192.0.2.53", 70), NoObjection);
        check(&mut run, "of another datagram", &later("192.0.2.53", 71), UnsolicitedUdp);
        check(&mut run, "of another source", &later(CLIENT, 70), UnsolicitedUdp);
        let forwarded = Packet::udp((CLIENT, 5), ("192.0.2.200", 53), &[1]);
        check(&mut run, "a datagram to forward", &forwarded, NoObjection);
        let volumes = run.filter().egress_volumes().unwrap();
        let networks: Vec<String> = volumes.iter().map(|v| v.destination.to_string()).collect();
        assert_eq!(networks, ["2001:db8:53::/48", "192.0.2.0/24"], "most bytes first");
        assert_eq!((volumes[1].packets, volumes[1].bytes), (1, 62));
    });
}

#[test]
fn each_source_is_held_to_its_share() {
    if !require_bpf() {
        return;
    }
    let slow = |burst| SourceRate { rate_pps: 1, burst };
    let rates = SourceRates { packets: slow(10), connections: slow(3), wider: [2, 3] };
    let request = AttachRequest { rates, max_bans: 1, ..AttachRequest::default() };
    let mut run = DryRun::with(&request).unwrap();
    guarded(&mut run, Guards { source_rate: true, ..Guards::default() });
    let mut passed = |packet: &Packet, count: u32| {
        let before = run.filter().counters().unwrap().passed;
        run.xdp(&packet.bytes(), count).unwrap();
        run.filter().counters().unwrap().passed - before
    };
    assert_eq!(passed(&tcp(ACK), 50), 10);
    assert_eq!(
        passed(&Packet::tcp(("203.0.113.10", 1), (SERVER, 80), ACK), 50),
        10,
        "its neighbour"
    );
    assert_eq!(passed(&Packet::tcp(("203.0.113.11", 1), (SERVER, 80), SYN), 50), 3, "SYNs");
    let hosts = |text: String| Packet::tcp((&text, 1), (SERVER_V6, 80), ACK);
    assert_eq!(passed(&hosts("2001:db8:1:100::1".into()), 50), 10, "a /64");
    assert_eq!(passed(&hosts("2001:db8:1:100::2".into()), 50), 0, "the same /64");
    assert_eq!(passed(&hosts("2001:db8:1:101::1".into()), 50), 10, "another of its /56");
    assert_eq!(passed(&hosts("2001:db8:1:102::1".into()), 50), 0, "the /56 has had its share");
    assert_eq!(passed(&hosts("2001:db8:1:200::1".into()), 50), 10, "another /56");
    assert_eq!(passed(&hosts("2001:db8:1:300::1".into()), 50), 0, "the /48 has had its share");
}
