//! `floodwall run` with the kernel filter on several interfaces: one filter each, one account.
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

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use namespace::{in_namespace, ip};
use serde_json::Value;
use support::{Origin, Running, free_port, text};

/// The host's end of each cable, the other end, and the host's address there.
const CABLES: [(&str, &str, Ipv4Addr); 2] = [
    ("near0", "far0", Ipv4Addr::new(10, 80, 0, 1)),
    ("near1", "far1", Ipv4Addr::new(10, 80, 1, 1)),
];

fn lay(cable: usize) {
    let (near, far, address) = CABLES[cable];
    ip(&format!("link add {near} type veth peer name {far}"));
    ip(&format!("address add {address}/24 dev {near}"));
    ip(&format!("link set {near} up"));
    ip(&format!("link set {far} up"));
}

/// Runs `test` with a Floodwall that was given both interfaces, by its file or by its command line.
fn with_both(in_file: bool, test: impl FnOnce(&Path, Running) + Send + 'static) {
    in_namespace(move || {
        let host = floodwall_xdp::probe();
        if !host.filter_built || !host.capabilities_missing.is_empty() {
            return skip::skipped("the kernel filter is not built or not permitted");
        }
        lay(0);
        lay(1);
        let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
        let (port, dir) = (free_port(), directory.path().display().to_string());
        let running = if in_file {
            let file = directory.path().join("floodwall.toml");
            let content = format!(
                "mode = \"protect\"\nlisten = [\"0.0.0.0:{port}\"]\nstate_dir = \"{dir}\"\n\
                 control_socket = \"{dir}/control.sock\"\n\
                 [kernel]\ninterfaces = [\"near0\", \"near1\"]\n\
                 [site.\"a.example\"]\norigin = \"{}\"\n",
                origin.url()
            );
            std::fs::write(&file, content).expect("a file");
            Running::start(&[file.to_str().expect("UTF-8")], directory.path(), port)
        } else {
            let listen = format!("0.0.0.0:{port}");
            let args = ["--protect", "--origin", &origin.url(), "--listen", &listen];
            let more = ["--state-dir", &dir, "--interface", "near0", "--interface", "near1"];
            Running::start(&[&args[..], &more].concat(), directory.path(), port)
        };
        test(directory.path(), running);
    });
}

fn wait_for(running: &Running, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let status = running.status();
        if holds(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "never {what}: {status:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The tier of an interface, in the order given.
fn tier(status: &Value, at: usize) -> String {
    status["kernel"]["interfaces"][at]["tier"].as_str().unwrap_or_default().to_owned()
}

fn both_have_xdp(status: &Value) -> bool {
    (0..2).all(|at| tier(status, at).starts_with("xdp"))
}

fn refused(status: &Value, reason: &str) -> u64 {
    let refused = status["packets"]["refused"].as_array();
    let found = refused.into_iter().flatten().find(|counted| counted["reason"] == reason);
    found.map_or(0, |counted| counted["count"].as_u64().expect("a count"))
}

/// An IPv4 frame for the host's end of a cable, whose address does not matter here (RFC 791 § 3.1).
fn frame(cable: usize, source: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 20 + body.len() as u8, 0, 1, 0, 0, 64, protocol, 0, 0];
    header.extend(source.octets());
    header.extend(CABLES[cable].2.octets());
    let sum: u32 = header.chunks_exact(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    header[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &[0x08, 0x00], &header, body].concat()
}

fn send(cable: usize, frames: &[Vec<u8>], count: u64) {
    let limits = wire::SendLimits { packets_max: count, time_max: Duration::from_secs(2) };
    assert_eq!(wire::send(CABLES[cable].1, frames, limits).packets, count);
}

/// Datagrams from a source that is no host's (RFC 1122 § 3.2.1.3), which every stack refuses.
fn send_martians(cable: usize, count: u64) {
    let datagram = [15, 160, 0, 9, 0, 12, 0, 0, b'p', b'i', b'n', b'g'];
    send(cable, &[frame(cable, Ipv4Addr::new(0, 1, 2, 3), 17, &datagram)], count);
}

/// SYNs without options, with one sequence number and window, from anywhere: no system's.
fn syns(cable: usize, port: u16) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(7);
    let syn = |_| {
        let source =
            Ipv4Addr::new(random.u8(11..100), random.u8(..), random.u8(..), random.u8(1..));
        let mut body = random.u16(1_024..).to_be_bytes().to_vec();
        body.extend(port.to_be_bytes());
        body.extend([0x11, 0x22, 0, 0, 0, 0, 0, 0, 5 << 4, 0x02, 2, 0, 0, 0, 0, 0]);
        frame(cable, source, 6, &body)
    };
    (0..4_096).map(syn).collect()
}

#[test]
fn each_interface_has_its_filter_and_what_they_count_is_one_sum() {
    for in_file in [true, false] {
        with_both(in_file, |_, running| {
            let status = wait_for(&running, "on both", both_have_xdp);
            assert_eq!(status["kernel"]["interface"], "near0, near1", "{status:#}");
            assert!(status["packets"]["not_carried_out_because"].is_null(), "{status:#}");
            send_martians(0, 11);
            send_martians(1, 6);
            wait_for(&running, "counted on both", |s| refused(s, "martian_source") == 17);
            let page = text(&running.ask(&["status"]).stdout);
            for name in ["near0: in the network driver", "near1: in the network driver"] {
                assert!(page.contains(name), "{name}: {page}");
            }
        });
    }
}

#[test]
fn when_one_interface_goes_the_other_goes_on_and_it_is_taken_again_when_it_is_back() {
    with_both(true, |directory, running| {
        wait_for(&running, "on both", both_have_xdp);
        send_martians(1, 4);
        wait_for(&running, "counted", |s| refused(s, "martian_source") == 4);
        ip("link delete near1");
        let status = wait_for(&running, "without one", |s| tier(s, 1) == "none");
        assert!(tier(&status, 0).starts_with("xdp"), "the other goes on: {status:#}");
        let weakest = status["kernel"]["tier"].as_str().unwrap_or_default();
        assert!(weakest.starts_with("xdp"), "nothing comes over the other: {status:#}");
        let why = status["kernel"]["interfaces"][1]["why_not_better"].to_string();
        assert!(why.contains("near1 is gone"), "{why}");
        assert!(status["packets"]["not_carried_out_because"].is_null(), "{status:#}");
        send_martians(0, 3);
        wait_for(&running, "counted on, and what was counted stays", |s| {
            refused(s, "martian_source") == 7
        });

        lay(1);
        let status = wait_for(&running, "on both again", both_have_xdp);
        assert!(status["packets"]["not_carried_out_because"].is_null(), "{status:#}");
        send_martians(1, 5);
        wait_for(&running, "counted on the new one", |s| refused(s, "martian_source") == 12);
        let log = std::fs::read_to_string(directory.join("log")).expect("a log");
        assert_eq!(log.matches("near1 is gone").count(), 1, "said once: {log}");
        assert!(!log.contains("near0 is gone"), "{log}");
    });
}

/// A flood that came over one interface is dropped on the other one, too: one engine, one plan. And
/// the system setting that its proof changed is put back by the last filter.
#[test]
fn a_flood_on_one_interface_is_answered_on_all() {
    const SETTING: &str = "/proc/sys/net/ipv4/tcp_syncookies";
    with_both(true, |_, mut running| {
        wait_for(&running, "on both", both_have_xdp);
        let before = std::fs::read_to_string(SETTING).expect("the setting");
        let stopped = |s: &Value| refused(s, "signature") + refused(s, "cookie_sent");
        let flood = |cable: usize, ms: u64| {
            let frames = syns(cable, running.address.port());
            for _ in 0..ms / 50 {
                let limits =
                    wire::SendLimits { packets_max: 1_000, time_max: Duration::from_secs(1) };
                wire::send(CABLES[cable].1, &frames, limits);
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        flood(1, 5_000);
        let on_the_first = wait_for(&running, "stopped", |s| stopped(s) > 1_000);
        let one = stopped(&on_the_first);
        // Now over the other one, at once: nothing has to be found out anew.
        flood(0, 500);
        wait_for(&running, "stopped on the other", |s| stopped(s) > one + 9_000);
        running.signal("-TERM");
        assert_eq!(running.wait(), Some(0));
        assert_eq!(std::fs::read_to_string(SETTING).expect("the setting"), before);
    });
}

/// A tunnel carries no Ethernet, so it cannot have XDP: the host's filter on the sockets stands in,
/// and nobody is left in the dark about what is not done for it.
#[test]
fn an_interface_that_cannot_have_xdp_is_told_of_and_the_other_keeps_its_own() {
    in_namespace(|| {
        let host = floodwall_xdp::probe();
        if !host.filter_built || !host.capabilities_missing.is_empty() {
            return skip::skipped("the kernel filter is not built or not permitted");
        }
        lay(0);
        let made = std::process::Command::new("ip")
            .args(["tuntap", "add", "tun7", "mode", "tun"])
            .status();
        if !made.is_ok_and(|status| status.success()) {
            return skip::skipped("no tunnel can be made here");
        }
        ip("link set tun7 up");
        let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
        let (port, dir) = (free_port(), directory.path().display().to_string());
        let listen = format!("0.0.0.0:{port}");
        let args = ["--protect", "--origin", &origin.url(), "--listen", &listen];
        let more = ["--state-dir", &dir, "--interface", "near0", "--interface", "tun7"];
        let running = Running::start(&[&args[..], &more].concat(), directory.path(), port);
        let status = running.status();
        assert!(tier(&status, 0).starts_with("xdp"), "{status:#}");
        assert_eq!(tier(&status, 1), "socket_filter", "{status:#}");
        assert_eq!(status["kernel"]["tier"], "socket_filter", "the weakest: {status:#}");
        let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
        assert!(log.contains("for tun7: the kernel filter is on the listening sockets"), "{log}");
        let lacks = status["packets"]["not_carried_out_because"].to_string();
        assert!(lacks.contains("tun7") && lacks.contains("not Ethernet"), "{lacks}");
        send_martians(0, 8);
        wait_for(&running, "counted", |s| refused(s, "martian_source") == 8);
    });
}

#[test]
fn one_wrong_name_among_several_is_told_and_nothing_starts() {
    with_both(true, |directory, _running| {
        let dir = directory.join("other").display().to_string();
        let args = ["run", "--origin", "http://127.0.0.1:9", "--state-dir", &dir];
        for (more, why) in [
            (["--interface", "near0", "--interface", "near0"], "`near0` is given twice"),
            (["--interface", "lo", "--interface", "nosuch"], "no network interface `nosuch`"),
        ] {
            let ended = support::output(&[&args[..], &more].concat());
            assert!(!ended.status.success());
            assert!(text(&ended.stderr).contains(why), "{}", text(&ended.stderr));
        }
    });
}
