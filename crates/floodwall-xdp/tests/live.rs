//! The filter against real TCP connections, in network namespaces that the tests make.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use floodwall_model::packet::{Guards, PacketReason};
use floodwall_model::{Mode, Reason, Source};
use floodwall_xdp::{
    AttachError, AttachRequest, BANS_DEFAULT, KernelFeatures, KernelFilter, Services, Tier,
};
use support::namespace::{
    cannot_connect, connect, enter_new_namespace, in_namespace, ip, listen, thread_id,
};
use support::plan::plan;
use support::{ban, require_bpf, wall_ms};

/// Longer than any of these tests runs.
const LONG_MS: u64 = 600_000;

fn attach(
    interface: Option<&str>,
    listeners: &[&TcpListener],
) -> Result<KernelFilter, AttachError> {
    KernelFilter::attach(&AttachRequest {
        interface: interface.map(str::to_owned),
        listeners: listeners.iter().map(|listener| listener.as_fd()).collect(),
        max_bans: BANS_DEFAULT,
        ..AttachRequest::default()
    })
}

fn ban_for(filter: &mut KernelFilter, source: &str, length_ms: u64) {
    filter.ban(&ban(source, length_ms), wall_ms()).unwrap();
}

fn tier(filter: &KernelFilter) -> Tier {
    filter.tier().unwrap().tier
}

/// The whole life of a ban as a client sees it: `banned` and `free` are addresses of the client's,
/// `neighbour` another one of the same /64 if they are IPv6.
fn a_bans_life(
    mut filter: KernelFilter,
    server: SocketAddr,
    banned: &str,
    neighbour: Option<&str>,
    free: &str,
) {
    connect(banned, server);
    connect(free, server);
    assert_eq!(filter.counters().unwrap().dropped, 0);

    ban_for(&mut filter, banned, LONG_MS);
    cannot_connect(banned, server);
    if let Some(neighbour) = neighbour {
        cannot_connect(neighbour, server);
    }
    connect(free, server);
    let source = Source::new(banned.parse().unwrap());
    let dropped = filter.dropped_by(source).unwrap().unwrap();
    assert!(dropped > 0);
    let counters = filter.counters().unwrap();
    assert_eq!((counters.dropped, counters.dropped_for(Reason::SourceBanned)), (dropped, dropped));
    assert!(counters.passed > 0);

    // The last word counts: what is left of the ban is now a second.
    let (from, length) = (Instant::now(), Duration::from_millis(1_000));
    ban_for(&mut filter, banned, length.as_millis() as u64);
    cannot_connect(banned, server);
    connect(banned, server);
    assert!(from.elapsed() >= length - Duration::from_millis(1), "it ended early");
    let ended = filter.sweep();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].source, source.counted());
    assert!(ended[0].packets_dropped > dropped);

    ban_for(&mut filter, banned, LONG_MS);
    cannot_connect(banned, server);
    drop(filter);
    connect(banned, server);
}

/// IPv6 addresses in three /64, all of them this host's.
fn addresses_on(interface: &str) {
    for address in ["fd00:1::1", "fd00:1::2", "fd00:2::1", "fd00:9::1"] {
        ip(&format!("address add {address}/64 dev {interface} nodad"));
    }
}

#[test]
fn generic_xdp_on_loopback() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (_listener, server) = listen("127.0.0.1");
        let filter = attach(Some("lo"), &[]).unwrap();
        assert_eq!(tier(&filter), Tier::XdpGeneric);
        let report = filter.tier().unwrap().to_string();
        assert!(report.contains("xdp_native on lo: its driver cannot"), "{report}");
        a_bans_life(filter, server, "127.7.7.7", None, "127.8.8.8");
    });
}

#[test]
fn generic_xdp_on_loopback_over_ipv6() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        addresses_on("lo");
        let (_listener, server) = listen("fd00:9::1");
        let filter = attach(Some("lo"), &[]).unwrap();
        a_bans_life(filter, server, "fd00:1::1", Some("fd00:1::2"), "fd00:2::1");
    });
}

/// Two hosts: the server on one end of a veth pair, in a namespace of its own.
#[test]
fn native_xdp_on_a_cable_between_two_hosts() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (tell_client, client_hears) = mpsc::channel::<(SocketAddr, KernelFilter)>();
        let (tell_server, server_hears) = mpsc::channel::<i32>();
        // The filter travels to the client's thread: its descriptors work from any namespace.
        let client = std::thread::spawn(move || {
            assert!(enter_new_namespace());
            tell_server.send(thread_id()).unwrap();
            let (server, filter) = client_hears.recv().unwrap();
            ip("address add 10.77.0.2/24 dev cable1");
            ip("address add 10.77.0.3/24 dev cable1");
            ip("link set cable1 up");
            a_bans_life(filter, server, "10.77.0.2", None, "10.77.0.3");
        });
        let client_namespace = server_hears.recv().unwrap();
        ip(&format!("link add cable0 type veth peer name cable1 netns {client_namespace}"));
        ip("address add 10.77.0.1/24 dev cable0");
        ip("link set cable0 up");
        let (_listener, server) = listen("10.77.0.1");
        let filter = attach(Some("cable0"), &[]).unwrap();
        assert_eq!(tier(&filter), Tier::XdpNative);
        assert!(filter.tier().unwrap().why_not_better.is_empty());
        tell_client.send((server, filter)).unwrap();
        client.join().unwrap();
    });
}

#[test]
fn a_socket_filter_on_the_listener() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (listener, server) = listen("127.0.0.1");
        let filter = attach(None, &[&listener]).unwrap();
        assert_eq!(tier(&filter), Tier::SocketFilter);
        assert_eq!(filter.tier().unwrap().why_not_better, ["XDP: no interface was given"]);
        a_bans_life(filter, server, "127.7.7.7", None, "127.8.8.8");
    });
}

#[test]
fn a_socket_filter_on_the_listener_over_ipv6() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        addresses_on("lo");
        let (listener, server) = listen("fd00:9::1");
        let filter = attach(None, &[&listener]).unwrap();
        a_bans_life(filter, server, "fd00:1::1", Some("fd00:1::2"), "fd00:2::1");
    });
}

#[test]
fn a_socket_filter_on_a_listener_of_both_families_stops_ipv4() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (listener, server) = listen("::");
        let server = SocketAddr::from(([127, 0, 0, 1], server.port()));
        let filter = attach(None, &[&listener]).unwrap();
        a_bans_life(filter, server, "127.7.7.7", None, "127.8.8.8");
    });
}

#[test]
fn a_listener_that_comes_later_gets_the_socket_filter_too() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (first, _) = listen("127.0.0.1");
        let (second, server) = listen("127.0.0.2");
        let mut filter = attach(None, &[&first]).unwrap();
        ban_for(&mut filter, "127.7.7.7", LONG_MS);
        connect("127.7.7.7", server);
        filter.add_listener(&second).unwrap();
        cannot_connect("127.7.7.7", server);
        filter.remove_listener(&second).unwrap();
        connect("127.7.7.7", server);
    });
}

/// The kernel hands a listener's filter down to the connections accepted from it.
#[test]
fn a_ban_silences_connections_made_before_it_in_every_tier() {
    if !require_bpf() {
        return;
    }
    for interface in [None, Some("lo")] {
        in_namespace(move || {
            let (listener, server) = listen("127.0.0.1");
            let mut filter = attach(interface, &[&listener]).unwrap();
            let mut client = connect("127.7.7.7", server);
            let (mut accepted, _) = listener.accept().unwrap();
            client.write_all(b"before").unwrap();
            let mut buffer = [0; 6];
            accepted.read_exact(&mut buffer).unwrap();

            ban_for(&mut filter, "127.7.7.7", LONG_MS);
            client.write_all(b"during").unwrap();
            accepted.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let silence = accepted.read(&mut buffer).unwrap_err();
            assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock, "{interface:?}");

            drop(filter);
            accepted.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            accepted.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"during", "the client's kernel sends it again");
        });
    }
}

#[test]
fn a_filter_already_attached_is_never_replaced() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (listener, server) = listen("127.0.0.1");
        let mut first = attach(Some("lo"), &[]).unwrap();
        ban_for(&mut first, "127.7.7.7", LONG_MS);
        // Not even a listener to fall back to makes it go on: the operator has to know.
        let second = attach(Some("lo"), &[&listener]);
        assert!(
            matches!(&second, Err(AttachError::InterfaceTaken { interface }) if interface == "lo"),
            "{second:?}"
        );
        cannot_connect("127.7.7.7", server);
        drop(first);
        attach(Some("lo"), &[]).expect("the place is free again");
    });
}

#[test]
fn mistakes_of_the_operator_are_named() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (listener, _) = listen("127.0.0.1");
        let error = attach(Some("nosuch0"), &[&listener]).unwrap_err();
        assert_eq!(error.to_string(), "there is no network interface `nosuch0`");
        let error = attach(None, &[]).unwrap_err();
        assert!(matches!(error, AttachError::NothingToFilter), "{error}");
        for asked in [0, floodwall_xdp::BANS_MAX + 1] {
            let request = AttachRequest {
                interface: Some("lo".to_owned()),
                listeners: vec![],
                max_bans: asked,
                ..AttachRequest::default()
            };
            let error = KernelFilter::attach(&request).unwrap_err();
            assert!(matches!(error, AttachError::TooManyBans { .. }), "{error}");
        }
    });
}

/// Such an interface delivers packets without an Ethernet header, which the program would misread.
#[test]
fn an_interface_without_ethernet_gets_no_xdp() {
    if !require_bpf() {
        return;
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        support::skip::skipped("/dev/net/tun is not there");
        return;
    }
    in_namespace(|| {
        ip("tuntap add dev tunnel0 mode tun");
        let (listener, _) = listen("127.0.0.1");
        let filter = attach(Some("tunnel0"), &[&listener]).unwrap();
        let report = filter.tier().unwrap();
        assert_eq!(report.tier, Tier::SocketFilter);
        assert!(report.why_not_better[0].contains("not Ethernet"), "{report}");
        let error = attach(Some("tunnel0"), &[]).unwrap_err();
        assert!(matches!(error, AttachError::NoTier { .. }), "{error}");
    });
}

/// Names the part that the child process plays in the test below.
const CHILD: &str = "FLOODWALL_XDP_TEST_CHILD";

#[test]
fn nothing_stays_attached_after_kill_9() {
    if std::env::var_os(CHILD).is_some() {
        let mut filter = attach(Some("lo"), &[]).unwrap();
        ban_for(&mut filter, "127.7.7.7", LONG_MS);
        // Past the test harness's capture.
        writeln!(std::io::stdout(), "\nattached").unwrap();
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (_listener, server) = listen("127.0.0.1");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "nothing_stays_attached_after_kill_9"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let attached = std::io::BufRead::lines(stdout).any(|line| line.unwrap() == "attached");
        assert!(attached, "the child ended before it attached: {:?}", child.wait());
        cannot_connect("127.7.7.7", server);
        child.kill().unwrap();
        child.wait().unwrap();
        connect("127.7.7.7", server);
        attach(Some("lo"), &[]).expect("the place is free again");
    });
}

/// What a kernel cannot do is injected: the tests cannot change kernels.
#[test]
fn a_kernel_without_a_helper_falls_a_tier_and_says_which() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let (listener, server) = listen("127.0.0.1");
        let features = KernelFeatures { syn_cookies: false, ..KernelFeatures::ask() };
        let filter = KernelFilter::attach(&AttachRequest {
            interface: Some("lo".to_owned()),
            listeners: vec![listener.as_fd()],
            features: Some(features),
            ..AttachRequest::default()
        })
        .unwrap();
        let report = filter.tier().unwrap();
        assert_eq!(report.tier, Tier::SocketFilter);
        assert!(report.why_not_better[0].contains("no bpf_tcp_raw_gen_syncookie_ipv4"), "{report}");
        a_bans_life(filter, server, "127.7.7.7", None, "127.8.8.8");
    });
}

/// The program is replaced again and again while a client of a banned address sends without pause:
/// a single packet that met no program would arrive.
#[test]
fn the_program_is_replaced_without_a_packet_in_between() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let mut filter = attach(Some("lo"), &[]).unwrap();
        ban_for(&mut filter, "127.7.7.7", LONG_MS);
        let stop = Arc::new(AtomicBool::new(false));
        let sender = {
            let stop = stop.clone();
            // A thread stays in the network namespace of the one that made it.
            std::thread::spawn(move || {
                let socket = UdpSocket::bind("127.7.7.7:0").unwrap();
                let mut sent = 0u64;
                while !stop.load(Ordering::Relaxed) && sent < 2_000_000 {
                    socket.send_to(b"x", to).unwrap();
                    sent += 1;
                }
                sent
            })
        };
        for _ in 0..5 {
            filter.replace().unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().unwrap();
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(server.recv(&mut [0; 8]).is_err(), "a datagram went through");
        let source = Source::new("127.7.7.7".parse().unwrap());
        assert_eq!(filter.dropped_by(source).unwrap(), Some(sent), "every one was counted");
        assert!(sent > 100);
    });
}

/// A connection while the SYN proof stands: the handshake is the filter's, the connection the
/// kernel's.
#[test]
fn a_client_connects_through_the_syn_proof() {
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        addresses_on("lo");
        for (client, address) in [("127.8.8.8", "127.0.0.1"), ("fd00:1::1", "fd00:9::1")] {
            let (listener, server) = listen(address);
            let request = AttachRequest {
                interface: Some("lo".to_owned()),
                services: Services { tcp: vec![server.port()], udp: vec![] },
                ..AttachRequest::default()
            };
            let mut filter = KernelFilter::attach(&request).unwrap();
            let guards = Guards { syn_proof: true, tcp_state: true, ..Guards::default() };
            let now_ms = wall_ms();
            let plan = plan(vec![], guards, Mode::Protect, now_ms);
            assert_eq!(filter.apply(&plan, now_ms).unwrap().guards, guards);
            let mut connected = connect(client, server);
            let (mut accepted, _) = listener.accept().unwrap();
            connected.write_all(b"hello").unwrap();
            let mut heard = [0; 5];
            accepted.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");
            let counters = filter.counters().unwrap();
            assert!(counters.of(PacketReason::CookieSent) >= 1, "{counters:?}");
            assert!(counters.of(PacketReason::CookieValid) >= 1, "{counters:?}");
            assert_eq!(counters.of(PacketReason::OutOfState), 0, "{counters:?}");
        }
    });
}
