//! Packet sentences for the guards: the SYN proof, out-of-state TCP, UDP by service and question,
//! each source's share, ICMP; and for what a rule spares because it answers a question of ours.

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use floodwall_model::packet::{
    Guards, ICMP_ERRORS, ICMP_QUESTIONS, IcmpRate, IpMark, PacketAttr, PacketPredicate,
    PacketReason, TransportMark,
};
use floodwall_model::{Mode, Prefix};
use floodwall_xdp::{AttachRequest, DryRun, Services, SourceRate, SourceRates, Verdict};
use support::namespace::{in_namespace, ip};
use support::packet::{ACK, PSH, Packet, RST, SYN, checksum};
use support::plan::{plan, rule};
use support::sentence::{CLIENT, CLIENT_V6, SERVER, SERVER_V6, check};
use support::{require_bpf, wall_ms};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn tcp(flags: u8) -> Packet {
    Packet::tcp((CLIENT, 40_000), (SERVER, 80), flags)
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

/// A cookie is asked for only of listeners that the kernel remembers to have overflowed. A visitor
/// whom the kernel itself answered by a cookie, because a queue was full, must get in; and a listener
/// that never overflowed sent none, so that the kernel, too, would refuse what says it is one.
#[test]
fn a_cookie_proves_a_handshake_from_the_moment_the_kernel_sends_them() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (first, port) = server_in_namespace();
        let services = Services { tcp: vec![port], udp: vec![] };
        let request = AttachRequest { services, max_bans: 1, ..AttachRequest::default() };
        let mut run = DryRun::with(&request).unwrap();
        guarded(&mut run, Guards { syn_proof: true, tcp_state: true, ..Guards::default() });
        let last_packets = [(CLIENT, SERVER), (CLIENT_V6, SERVER_V6)].map(|(client, server)| {
            let syn = Packet::tcp((client, 40_000), (server, port), SYN);
            let (_, answer) = run.xdp_answer(&syn.bytes()).unwrap();
            let cookie = assert_syn_ack(&syn.bytes(), &answer, 0, client.contains(':'));
            let (from, to) = ((client, 40_000), (server, port));
            Packet::tcp_numbered(from, to, ACK, 1_001, cookie.wrapping_add(1))
        });
        guarded(&mut run, Guards { tcp_state: true, ..Guards::default() });
        let setting = |value: &str| {
            std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", value).unwrap();
        };
        use PacketReason::{CookieValid, OutOfState};
        let mut all = |description: &str, expected| {
            for packet in &last_packets {
                check(&mut run, description, packet, expected);
            }
        };
        all("the SYN proof has fallen a moment ago", CookieValid);
        drop(first);
        all("nobody listens any more", OutOfState);
        let _second = TcpListener::bind(("::", port)).unwrap();
        all("a listener that never overflowed", OutOfState);
        setting("2");
        std::net::TcpStream::connect((SERVER, port)).unwrap();
        all("the kernel has sent a cookie of its own", CookieValid);
        setting("1");
        all("it sends none now, and one may be on the way", CookieValid);
        setting("0");
        all("it takes none", OutOfState);
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
    let request =
        AttachRequest { source_rates: Some(rates), max_bans: 1, ..AttachRequest::default() };
    let mut run = DryRun::with(&request).unwrap();
    assert_eq!(passed(&mut run, &tcp(ACK), 50), 10);
    assert_eq!(
        passed(&mut run, &Packet::tcp(("203.0.113.10", 1), (SERVER, 80), ACK), 50),
        10,
        "its neighbour"
    );
    assert_eq!(
        passed(&mut run, &Packet::tcp(("203.0.113.11", 1), (SERVER, 80), SYN), 50),
        3,
        "SYNs"
    );
    let hosts = |text: String| Packet::tcp((&text, 1), (SERVER_V6, 80), ACK);
    assert_eq!(passed(&mut run, &hosts("2001:db8:1:100::1".into()), 50), 10, "a /64");
    assert_eq!(passed(&mut run, &hosts("2001:db8:1:100::2".into()), 50), 0, "the same /64");
    assert_eq!(passed(&mut run, &hosts("2001:db8:1:101::1".into()), 50), 10, "another of its /56");
    assert_eq!(
        passed(&mut run, &hosts("2001:db8:1:102::1".into()), 50),
        0,
        "the /56 has had its share"
    );
    assert_eq!(passed(&mut run, &hosts("2001:db8:1:200::1".into()), 50), 10, "another /56");
    assert_eq!(
        passed(&mut run, &hosts("2001:db8:1:300::1".into()), 50),
        0,
        "the /48 has had its share"
    );
    let beyond = run.filter().counters().unwrap().of(PacketReason::SourceRate);
    assert_eq!(beyond, 9 * 50 - 53, "every drop has its reason");
    run.filter_mut().set_source_rates(None);
    assert_eq!(passed(&mut run, &tcp(ACK), 50), 50, "the operator lifts it");
}

/// Most tokens that have come back to a bucket since `then`: the kernel's clock ticks, so one more.
fn tokens_since(then: Instant, rate: IcmpRate) -> u64 {
    (then.elapsed().as_secs_f64() * f64::from(rate.rate_pps)) as u64 + 1
}

/// How many of `count` copies pass.
fn passed(run: &mut DryRun, packet: &Packet, count: u32) -> u64 {
    let before = run.filter().counters().unwrap().passed;
    run.xdp(&packet.bytes(), count).unwrap();
    run.filter().counters().unwrap().passed - before
}

#[test]
fn icmp_that_the_network_needs_passes_and_the_rest_at_a_small_rate() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        server_in_namespace();
        let mut run = DryRun::new(1).unwrap();
        let began = Instant::now();
        let v4 = |kind, code| Packet::icmp(CLIENT, SERVER, kind, code);
        let v6 = |kind, code| Packet::icmp(CLIENT_V6, SERVER_V6, kind, code);
        let near = |kind| Packet::icmp("fe80::9", SERVER_V6, kind, 0).ttl(255);
        let errors = u64::from(ICMP_ERRORS.burst);
        let questions = u64::from(ICMP_QUESTIONS.burst);
        let of_v4 = vec![
            ("fragmentation needed", v4(3, 4), 400),
            ("port unreachable", v4(3, 3), errors),
            ("no more of the same source", v4(11, 0), 0),
            ("an echo request has its own rate", v4(8, 0), questions),
            ("an echo reply nobody asked for", v4(0, 0), 0),
            ("a later piece of a message", v4(8, 0).fragment(7, 9, false), 0),
            ("a piece that says it is vital", v4(3, 4).fragment(7, 0, true), 0),
            ("UDP is not its business", Packet::udp((CLIENT, 5), (SERVER, 9), &[1]), 400),
            ("to forward", Packet::icmp(CLIENT, "192.0.2.200", 8, 0), 400),
        ];
        let of_v6 = vec![
            ("packet too big", v6(2, 0), 400),
            ("a router's solicitation", near(133), 400),
            ("a router's advertisement", near(134), 400),
            ("a neighbour's solicitation", near(135), 400),
            ("a neighbour's advertisement", near(136), 400),
            ("a redirect", near(137), 400),
            ("who listens", Packet::icmp("fe80::9", SERVER_V6, 130, 0).ttl(1), 400),
            ("unreachable", v6(1, 4), errors),
            ("no more of the same source", v6(3, 0), 0),
            ("an echo request", v6(128, 0), questions),
            ("an echo reply nobody asked for", v6(129, 0), 0),
            ("a neighbour from beyond a router", v6(135, 0).ttl(254), 0),
            ("a later piece", v6(128, 0).fragment(7, 9, false), 0),
            ("a piece that says it is vital", v6(2, 0).fragment(7, 0, true), 0),
        ];
        for sentences in [of_v4, of_v6] {
            // Raised anew, because the two clients may fall together in one share.
            guarded(&mut run, Guards::default());
            guarded(&mut run, Guards { icmp: true, ..Guards::default() });
            let raised = Instant::now();
            for (description, packet, least) in sentences {
                let passed = passed(&mut run, &packet, 400);
                let most = least + tokens_since(raised, ICMP_ERRORS);
                assert!((least..=most).contains(&passed), "{description}: {passed} of 400");
            }
        }
        let dropped = run.filter().counters().unwrap().of(PacketReason::IcmpRate);
        assert!(dropped > 3_000, "{dropped}");
        assert!(began.elapsed() < Duration::from_secs(60), "too slow to say anything");
    });
}

#[test]
fn an_answer_to_our_echo_request_passes_and_a_flood_from_one_source_takes_one_share() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        server_in_namespace();
        let mut run = DryRun::new(1).unwrap();
        for (peer, server, ask, answer) in
            [(CLIENT, SERVER, 8, 0), (CLIENT_V6, SERVER_V6, 128, 129)]
        {
            // Raised anew, so that the buckets are full.
            guarded(&mut run, Guards::default());
            guarded(&mut run, Guards { icmp: true, ..Guards::default() });
            let raised = Instant::now();
            let flood = Packet::icmp(peer, server, ask, 0);
            passed(&mut run, &flood, 400);
            let reply = Packet::icmp(peer, server, answer, 0);
            let unasked = passed(&mut run, &reply, 50);
            assert!(unasked <= tokens_since(raised, ICMP_QUESTIONS), "nobody asked: {unasked}");
            run.egress(&Packet::icmp(server, peer, ask, 0).bytes()).unwrap();
            assert_eq!(passed(&mut run, &reply, 50), 50, "answers to our ping");
            let asked = passed(&mut run, &flood, 50);
            assert!(asked <= tokens_since(raised, ICMP_QUESTIONS), "no licence to ask: {asked}");
            let visitors = (1..=64u8).map(|n| match peer.contains(':') {
                true => format!("2001:db8:7:{n:x}::1"),
                false => format!("192.0.2.{n}"),
            });
            let lucky = visitors
                .filter(|from| passed(&mut run, &Packet::icmp(from, server, ask, 0), 1) == 1)
                .count();
            // 15 of 16 shares with four tokens each: 48 expected of 64, since some fall together.
            assert!(lucky >= 24, "{lucky} of 64 others got their ping through");
        }
    });
}

/// Otherwise this host's own pings would be suspects to the engine.
#[test]
fn a_sampled_echo_reply_that_we_asked_for_is_marked_as_an_answer() {
    if !require_bpf() {
        return;
    }
    let mut run = DryRun::new(1).unwrap();
    let now_ms = wall_ms();
    // So slow that the filter samples every packet, but for the first draw.
    run.filter_mut().read_batch(now_ms).unwrap();
    run.filter_mut().read_batch(now_ms + 50).unwrap();
    for (peer, server, ask, answer) in [(CLIENT, SERVER, 8, 0), (CLIENT_V6, SERVER_V6, 128, 129)] {
        let reply = Packet::icmp(peer, server, answer, 0).bytes();
        run.xdp(&reply, 300).unwrap();
        run.egress(&Packet::icmp(server, peer, ask, 0).bytes()).unwrap();
        run.xdp(&reply, 300).unwrap();
    }
    let batch = run.filter_mut().read_batch(now_ms + 100).unwrap();
    for v6 in [false, true] {
        let of = batch.observations.iter().filter(|o| o.facts.source.is_ipv6() == v6);
        let (all, asked) =
            of.fold((0, 0), |(all, asked), o| (all + 1, asked + u32::from(o.facts.solicited())));
        let unasked = all - asked;
        assert!(asked >= 200 && unasked >= 200, "{asked} asked for, {unasked} not");
    }
}

#[test]
fn the_guard_for_icmp_begins_with_full_buckets_each_time_it_is_raised() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        server_in_namespace();
        let mut run = DryRun::new(1).unwrap();
        let ping = Packet::icmp(CLIENT, SERVER, 8, 0);
        assert_eq!(passed(&mut run, &ping, 100), 100, "at rest every ping passes");
        for _ in 0..2 {
            guarded(&mut run, Guards { icmp: true, ..Guards::default() });
            let raised = Instant::now();
            let through = passed(&mut run, &ping, 100);
            let most = u64::from(ICMP_QUESTIONS.burst) + tokens_since(raised, ICMP_QUESTIONS);
            assert!((ICMP_QUESTIONS.burst.into()..=most).contains(&through), "{through}");
            // Applying the same again gives nobody new tokens.
            guarded(&mut run, Guards { icmp: true, ..Guards::default() });
            assert!(passed(&mut run, &ping, 100) <= tokens_since(raised, ICMP_QUESTIONS));
            guarded(&mut run, Guards::default());
        }
    });
}

/// A rule found in an amplification flood says "later fragments of UDP, no conversation of ours".
/// The kernel once marked no later fragment as part of a conversation, so that such a rule took
/// the rest of this host's own large DNS answers.
#[test]
fn a_rule_on_later_fragments_spares_the_rest_of_an_answer_without_a_guard() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let mut run = DryRun::new(1).unwrap();
        let now_ms = wall_ms();
        let unsolicited_later = rule(
            1,
            vec![
                PacketPredicate::Bits(
                    PacketAttr::IpMarks,
                    IpMark::LATER_FRAGMENT.into(),
                    IpMark::LATER_FRAGMENT.into(),
                ),
                PacketPredicate::Bits(
                    PacketAttr::TransportMarks,
                    TransportMark::SOLICITED.into(),
                    0,
                ),
            ],
            now_ms,
        );
        let plan = plan(vec![unsolicited_later], Guards::default(), Mode::Protect, now_ms);
        run.filter_mut().apply(&plan, now_ms).unwrap();
        for (resolver, other, server) in
            [("192.0.2.53", CLIENT, SERVER), ("2001:db8:53::1", CLIENT_V6, SERVER_V6)]
        {
            let answer = |source| Packet::udp((source, 53), (server, 33_000), &[7; 64]);
            let first = |source, id| answer(source).fragment(id, 0, true);
            let later = |source, id| answer(source).fragment(id, 9, false);
            use PacketReason::{NoObjection, Signature};
            check(&mut run, "nobody asked: the first", &first(resolver, 70), NoObjection);
            check(&mut run, "nobody asked: the rest", &later(resolver, 70), Signature);
            let question = Packet::udp((server, 33_000), (resolver, 53), &[7; 20]);
            run.egress(&question.bytes()).unwrap();
            check(&mut run, "the rest before the first", &later(resolver, 71), Signature);
            check(&mut run, "an answer's first", &first(resolver, 71), NoObjection);
            check(&mut run, "an answer's rest", &later(resolver, 71), NoObjection);
            check(&mut run, "the rest of another", &later(resolver, 72), Signature);
            check(&mut run, "somebody else's first", &first(other, 71), NoObjection);
            check(&mut run, "somebody else's rest", &later(other, 71), Signature);
        }
    });
}
