//! `floodwall run` with the kernel filter on an interface, from outside: what it says of itself,
//! and what it does when the interface goes and comes back.
//!
//! Everything happens in network namespaces that end with the test.

#[path = "../../floodwall-xdp/tests/support/namespace.rs"]
#[allow(dead_code, reason = "it serves other tests too")]
mod namespace;
#[path = "../../floodwall-xdp/tests/support/skip.rs"]
mod skip;
mod support;
#[path = "../../floodwall-xdp/tests/support/wire.rs"]
#[allow(dead_code, reason = "it serves other tests too")]
mod wire;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use floodwall_xdp::{AttachError, AttachRequest, KernelFilter};
use namespace::{in_namespace, ip};
use support::{Origin, Running, free_port};

/// The host's end of the cable.
const NEAR: &str = "near0";
const NEAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const NEAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The other end, from which frames come.
const FAR: &str = "far0";
const FAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Both ends in one namespace: what the far one sends is written frame by frame, so that no second
/// stack is needed.
fn lay_cable() {
    ip(&format!("link add {NEAR} address 02:00:00:00:00:01 type veth peer name {FAR}"));
    ip(&format!("address add {NEAR_ADDRESS}/24 dev {NEAR}"));
    ip(&format!("link set {NEAR} up"));
    ip(&format!("link set {FAR} up"));
}

/// Whether this test may put a filter on the cable; says SKIPPED where not.
fn may_attach() -> bool {
    let request = AttachRequest { interface: Some(NEAR.to_owned()), ..AttachRequest::default() };
    match KernelFilter::attach(&request) {
        Ok(_) => true,
        Err(error @ (AttachError::NotBuilt { .. } | AttachError::NotPermitted { .. })) => {
            skip::skipped(&error.to_string());
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// The checksum of an even number of bytes whose own place holds zeros (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes.chunks_exact(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!((folded & 0xffff) + (folded >> 16)) as u16).to_be_bytes()
}

/// An Ethernet frame for [`NEAR`] up to the end of its IP header, `bytes` of which follow
/// (RFC 791 § 3.1).
fn frame_of(protocol: u8, source: Ipv4Addr, bytes: u8) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 20 + bytes, 0, 1, 0, 0, 64, protocol, 0, 0];
    header.extend(source.octets());
    header.extend(NEAR_ADDRESS.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [&NEAR_MAC[..], &[2, 0, 0, 0, 0, 2], &[0x08, 0x00], &header].concat()
}

/// Four bytes over UDP (RFC 768; a checksum of zero is none).
fn datagram(source: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut frame = frame_of(17, source, 12);
    frame.extend(4_000u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 12, 0, 0, b'p', b'i', b'n', b'g']);
    frame
}

fn send(frame: Vec<u8>, count: u64) {
    let limits = wire::SendLimits { packets_max: count, time_max: Duration::from_secs(2) };
    assert_eq!(wire::send(FAR, &[frame], limits).packets, count);
}

fn configuration(port: u16, origin: &Origin, directory: &Path, kernel: &str) -> String {
    format!(
        "mode = \"protect\"\nlisten = [\"0.0.0.0:{port}\"]\nstate_dir = \"{dir}\"\n\
         control_socket = \"{dir}/control.sock\"\ninterface = \"{NEAR}\"\n\
         [kernel]\n{kernel}\n\
         [site.\"a.example\"]\norigin = \"{url}\"\n",
        dir = directory.display(),
        url = origin.url(),
    )
}

/// Runs `test` with a directory and a running Floodwall whose filter sits on [`NEAR`].
fn with_floodwall(kernel: &'static str, test: impl FnOnce(&Path, Running) + Send + 'static) {
    in_namespace(move || {
        lay_cable();
        if !may_attach() {
            return;
        }
        let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
        let running = start(&origin, directory.path(), kernel);
        test(directory.path(), running);
    });
}

fn start(origin: &Origin, directory: &Path, kernel: &str) -> Running {
    let port = free_port();
    let file = directory.join("floodwall.toml");
    std::fs::write(&file, configuration(port, origin, directory, kernel)).expect("a file");
    Running::start(&[file.to_str().expect("UTF-8")], directory, port)
}

const SETTING: &str = "/proc/sys/net/ipv4/tcp_syncookies";

/// Waits until `holds` of the status does.
fn wait_for(running: &Running, what: &str, holds: impl Fn(&serde_json::Value) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let status = running.status();
        if holds(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "never {what}: {status:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_xdp(status: &serde_json::Value) -> bool {
    status["kernel"]["tier"].as_str().is_some_and(|tier| tier.starts_with("xdp"))
}

fn refused(status: &serde_json::Value, reason: &str) -> u64 {
    let refused = status["packets"]["refused"].as_array();
    let found = refused.into_iter().flatten().find(|counted| counted["reason"] == reason);
    found.map_or(0, |counted| counted["count"].as_u64().expect("a count"))
}

/// SYNs to `port` from anywhere, that nothing tells apart from those of ordinary systems but their
/// number.
fn syns(port: u16) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(11);
    let syn = |_| {
        let source =
            Ipv4Addr::new(random.u8(11..100), random.u8(..), random.u8(..), random.u8(1..));
        let mut frame = frame_of(6, source, 40);
        frame.extend(random.u16(1_024..).to_be_bytes());
        frame.extend(port.to_be_bytes());
        frame.extend(random.u32(..).to_be_bytes());
        frame.extend([0, 0, 0, 0, 10 << 4, 0x02, 0xfa, 0xf0, 0, 0, 0, 0]);
        // MSS, SACK permitted, timestamps, no-operation, window scale (RFC 9293 § 3.2, RFC 7323).
        frame.extend([2, 4, 5, 0xb4, 4, 2, 8, 10]);
        frame.extend(random.u32(..).to_be_bytes());
        frame.extend([0, 0, 0, 0, 1, 3, 3, 7]);
        frame
    };
    (0..4_096).map(syn).collect()
}

/// An ICMP message with a right checksum and `rest` behind its first four bytes.
fn message(source: Ipv4Addr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind, code, 0, 0], rest].concat();
    bytes.resize(bytes.len().max(36) & !1, 0);
    let sum = checksum(&bytes);
    bytes[2..4].copy_from_slice(&sum);
    let mut frame = frame_of(1, source, bytes.len() as u8);
    frame.extend(bytes);
    frame
}

/// Messages of many kinds and lengths from anywhere, with nothing in common that a rule could name.
fn pings_like_nothing_else() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(12);
    let ping = |_| {
        let source =
            Ipv4Addr::new(random.u8(11..100), random.u8(..), random.u8(..), random.u8(1..));
        let mut rest = vec![0; random.usize(32..200)];
        random.fill(&mut rest);
        let kind = [8, 0, 13, 17, random.u8(18..)][random.usize(..5)];
        let mut frame = message(source, kind, random.u8(..16), &rest);
        // Another identification and time to live; the header's checksum changes with them.
        let (id, ttl) = (random.u16(..), random.u8(30..));
        frame[18..20].copy_from_slice(&id.to_be_bytes());
        frame[22] = ttl;
        frame[24..26].fill(0);
        let sum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum);
        frame
    };
    (0..4_096).map(ping).collect()
}

/// ICMP messages of type 3 that reached this namespace's stack (RFC 4293, icmpMsgStatsInPkts).
fn unreachable_messages() -> u64 {
    let snmp = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("the counters");
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("IcmpMsg: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let at = names.split_whitespace().position(|name| name == "InType3");
    at.and_then(|at| values.split_whitespace().nth(at)?.parse().ok()).unwrap_or(0)
}

/// Datagrams from a source that is no host's (RFC 1122 § 3.2.1.3), which every stack refuses.
fn send_martians(count: u64) {
    send(datagram(Ipv4Addr::new(0, 1, 2, 3), 9), count);
}

#[test]
fn status_shows_the_tier_and_what_was_refused_by_reason() {
    with_floodwall("sanity = true", |_, running| {
        wait_for(&running, "on the interface", is_xdp);
        let status = running.status();
        assert_eq!(status["kernel"]["interface"], NEAR, "{status:#}");
        assert!(status["packets"]["not_carried_out_because"].is_null(), "{status:#}");
        send_martians(25);
        wait_for(&running, "counted", |status| refused(status, "martian_source") == 25);
        let words = support::text(&running.ask(&["status"]).stdout);
        assert!(words.contains("25"), "{words}");
    });
}

#[test]
fn without_sanity_nothing_is_refused_at_rest() {
    with_floodwall("sanity = false", |_, running| {
        wait_for(&running, "on the interface", is_xdp);
        send_martians(25);
        std::thread::sleep(Duration::from_millis(300));
        let status = running.status();
        assert_eq!(status["packets"]["refused"].as_array().map(Vec::len), Some(0), "{status:#}");
    });
}

#[test]
fn an_interface_that_goes_and_comes_back_gets_its_filter_back() {
    with_floodwall("sanity = true", |directory, running| {
        wait_for(&running, "on the interface", is_xdp);
        send_martians(7);
        wait_for(&running, "counted", |status| refused(status, "martian_source") == 7);
        ip(&format!("link delete {NEAR}"));
        wait_for(&running, "without it", |status| {
            status["kernel"]["tier"] == "none"
                && status["kernel"]["why_not_better"].as_str().is_some_and(|w| w.contains("gone"))
        });
        let answer = support::get(running.address, "a.example", "/");
        assert!(answer.starts_with("HTTP/1.1 200"), "the node goes on: {answer}");
        assert_eq!(
            refused(&running.status(), "martian_source"),
            7,
            "what was counted stays counted"
        );

        lay_cable();
        wait_for(&running, "back on the interface", is_xdp);
        send_martians(5);
        wait_for(&running, "counted on", |status| refused(status, "martian_source") == 12);

        // Both at once, between two looks.
        ip(&format!("link delete {NEAR}"));
        lay_cable();
        let log = || std::fs::read_to_string(directory.join("log")).expect("a log");
        let deadline = Instant::now() + Duration::from_secs(10);
        while log().matches("is back").count() < 2 {
            assert!(Instant::now() < deadline, "{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        wait_for(&running, "on the newest", is_xdp);
        assert_eq!(log().matches("is gone").count(), 2, "said once each: {}", log());
    });
}

#[test]
fn a_setting_that_a_killed_floodwall_left_changed_is_put_back() {
    with_floodwall("", |directory, mut running| {
        let before = std::fs::read_to_string(SETTING).expect("the setting");
        running.signal("-KILL");
        running.wait();
        // As the SYN proof leaves it when its process is killed.
        std::fs::write(directory.join("tcp_syncookies"), before.trim()).expect("a note");
        std::fs::write(SETTING, "2").expect("the setting can be changed");
        std::fs::remove_file(directory.join("control.sock")).expect("its socket is left over");
        let origin = Origin::start();
        let again = start(&origin, directory, "");
        wait_for(&again, "on the interface", is_xdp);
        assert_eq!(std::fs::read_to_string(SETTING).expect("the setting"), before);
        assert!(!directory.join("tcp_syncookies").exists());
    });
}

#[test]
fn a_reload_changes_the_kernels_lists_and_not_sanity() {
    with_floodwall("allow = [\"10.77.0.9\"]", |directory, running| {
        wait_for(&running, "on the interface", is_xdp);
        let origin = Origin::start();
        let file = directory.join("floodwall.toml");
        let port = running.address.port();
        let write = |kernel: &str| {
            std::fs::write(&file, configuration(port, &origin, directory, kernel)).expect("a file");
            running.signal("-HUP");
        };
        let log = || std::fs::read_to_string(directory.join("log")).expect("a log");
        let wait_for_log = |words: &str| {
            let deadline = Instant::now() + Duration::from_secs(10);
            while !log().contains(words) {
                assert!(Instant::now() < deadline, "never “{words}”: {}", log());
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        write("sanity = false");
        wait_for_log("`sanity` cannot change while Floodwall runs");
        // 0.1.2.3 is what the martians come from: allowed, they pass.
        write("allow = [\"0.1.2.0/24\"]\nudp_services = [5000]");
        wait_for_log("configuration read again");
        send_martians(9);
        std::thread::sleep(Duration::from_millis(300));
        let status = running.status();
        assert_eq!(refused(&status, "martian_source"), 0, "{status:#}");
    });
}

#[test]
fn each_source_is_held_to_the_operators_rate_in_protect_mode_alone() {
    with_floodwall("source_rate = 500", |directory, running| {
        wait_for(&running, "on the interface", is_xdp);
        let beyond = |status: &serde_json::Value| refused(status, "source_rate");
        send(datagram(FAR_ADDRESS, 9), 5_000);
        // 1,000 at once, and 500 in each of the two seconds that sending may take.
        wait_for(&running, "held", |status| beyond(status) >= 3_000);
        let before = beyond(&running.status());
        send(datagram(Ipv4Addr::new(10, 77, 0, 3), 9), 400);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(beyond(&running.status()), before, "another source has its own share");

        let origin = Origin::start();
        let port = running.address.port();
        let text = configuration(port, &origin, directory, "source_rate = 500");
        let shadow = text.replace("\"protect\"", "\"shadow\"");
        std::fs::write(directory.join("floodwall.toml"), shadow).expect("a file");
        running.signal("-HUP");
        wait_for(&running, "in shadow mode", |status| status["mode"] == "shadow");
        std::thread::sleep(Duration::from_millis(300));
        send(datagram(Ipv4Addr::new(10, 77, 0, 4), 9), 5_000);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(beyond(&running.status()), before, "shadow mode drops nothing");
    });
}

#[test]
fn a_flood_of_packets_becomes_an_incident_with_a_number_that_is_kept() {
    with_floodwall("", |directory, mut running| {
        wait_for(&running, "on the interface", is_xdp);
        let before = std::fs::read_to_string(SETTING).expect("the setting");
        let sender = {
            let frames = syns(running.address.port());
            std::thread::spawn(move || {
                // 20,000 packets/s for six seconds.
                for _ in 0..120 {
                    let limits =
                        wire::SendLimits { packets_max: 1_000, time_max: Duration::from_secs(1) };
                    wire::send(FAR, &frames, limits);
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        };
        wait_for(&running, "an incident", |s| s["packets"]["open_incident"]["id"] == 1);
        wait_for(&running, "anything dropped", |s| {
            refused(s, "signature") + refused(s, "cookie_sent") > 1_000
        });
        sender.join().expect("the sender ends");
        let answer = support::get(running.address, "a.example", "/");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        running.signal("-TERM");
        assert_eq!(running.wait(), Some(0));
        assert_eq!(std::fs::read_to_string(SETTING).expect("the setting"), before);

        let origin = Origin::start();
        let again = start(&origin, directory, "");
        let listed = again.ask(&["incidents", "--json"]);
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        assert_eq!((&listed[0]["id"], &listed[0]["kind"]), (&1.into(), &"packets".into()));
        let report = support::text(&again.ask(&["report", "1"]).stdout);
        assert!(report.contains("packets"), "{report}");

        // For programs: what only requests have is left out, since nobody measured a zero there.
        let json = support::text(&again.ask(&["report", "1", "--json"]).stdout);
        let record: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(record["id"], 1, "{json}");
        assert!(record["packets"]["received"].as_u64() > Some(1_000), "{json}");
        for of_requests in ["totals", "peaks", "expected_rps", "top_paths", "attack_sources"] {
            assert!(record.get(of_requests).is_none(), "{of_requests}: {json}");
        }
        assert_eq!(record["verdict"], listed[0]["verdict"], "one verdict everywhere: {json}");
    });
}

#[test]
fn a_flood_of_icmp_is_held_to_a_rate_while_path_mtu_messages_arrive() {
    with_floodwall("", |_, running| {
        wait_for(&running, "on the interface", is_xdp);
        let sender = {
            let frames = pings_like_nothing_else();
            std::thread::spawn(move || {
                // 10,000 packets/s for five seconds.
                for _ in 0..100 {
                    let limits =
                        wire::SendLimits { packets_max: 500, time_max: Duration::from_secs(1) };
                    wire::send(FAR, &frames, limits);
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        };
        wait_for(&running, "the guard", |status| status["packets"]["guards"]["icmp"] == true);
        wait_for(&running, "dropped", |status| refused(status, "icmp_rate") > 1_000);
        let before = unreachable_messages();
        // Fragmentation needed, next MTU 1,400, about a packet of nobody's (RFC 1191 § 4).
        send(message(Ipv4Addr::new(192, 0, 2, 1), 3, 4, &[0, 0, 0x05, 0x78]), 200);
        let deadline = Instant::now() + Duration::from_secs(5);
        while unreachable_messages() < before + 200 {
            assert!(
                Instant::now() < deadline,
                "{} of 200 arrived",
                unreachable_messages() - before
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        sender.join().expect("the sender ends");
    });
}

#[test]
fn an_interface_that_is_not_there_at_the_start_is_the_operators_to_mend() {
    in_namespace(|| {
        let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
        let args = ["run", "--origin", &origin.url(), "--interface", "no-such-one"];
        let state_dir = directory.path().to_str().expect("UTF-8");
        let ended = support::output(&[&args[..], &["--state-dir", state_dir]].concat());
        assert_eq!(ended.status.code(), Some(1));
        let why = support::text(&ended.stderr);
        assert!(why.contains("no-such-one"), "{why}");
    });
}

#[test]
fn a_running_udp_service_is_reached_while_nothing_is_wrong() {
    with_floodwall("", |_, running| {
        wait_for(&running, "on the interface", is_xdp);
        let service = UdpSocket::bind((NEAR_ADDRESS, 0)).expect("a service");
        service.set_read_timeout(Some(Duration::from_secs(2))).expect("a deadline");
        send(datagram(FAR_ADDRESS, service.local_addr().expect("its address").port()), 3);
        let mut buffer = [0; 64];
        let (bytes, from) = service.recv_from(&mut buffer).expect("a datagram");
        assert_eq!((&buffer[..bytes], from.ip()), (&b"ping"[..], FAR_ADDRESS.into()));
    });
}
