//! The egress program on kernels with and without TCX links: it hears this host's questions on
//! both, and what a killed process leaves behind is taken away by the next.

mod support;

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use floodwall_model::Mode;
use floodwall_model::packet::Guards;
use floodwall_xdp::{AttachRequest, KernelFeatures, KernelFilter, Tier};
use support::cable::{Family, FarHost, NEAR, with_two_hosts};
use support::controller::{CHILD, Controller, say_in_force};
use support::namespace::{in_namespace, ip};
use support::plan::plan;
use support::{require_bpf, wall_ms};

/// As on Linux 6.1, which Debian 12 has.
fn without_tcx(interface: &str) -> AttachRequest<'static> {
    let features = KernelFeatures { tcx: false, ..KernelFeatures::ask() };
    AttachRequest {
        interface: Some(interface.to_owned()),
        features: Some(features),
        ..AttachRequest::default()
    }
}

/// How often a program of ours hangs on the interface's clsact egress, by tc(8).
fn hung_on(interface: &str) -> usize {
    let output =
        Command::new("tc").args(["filter", "show", "dev", interface, "egress"]).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter(|line| line.contains("floodwall_out"))
        .count()
}

fn ask_and_hear(request: &AttachRequest<'_>, far: &FarHost) {
    let mut filter = KernelFilter::attach(request).unwrap();
    let report = filter.tier().unwrap();
    assert_eq!((report.tier, report.egress), (Tier::XdpNative, true), "{report}");
    let guards = Guards { udp_solicited: true, ..Guards::default() };
    let now_ms = wall_ms();
    let applied = filter.apply(&plan(vec![], guards, Mode::Protect, now_ms), now_ms).unwrap();
    assert_eq!(applied.guards, guards, "{:?}", applied.guards_refused);
    for family in [Family::V4, Family::V6] {
        let resolver = far
            .spawn(move || {
                let socket = UdpSocket::bind((family.far(), 53)).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                socket
            })
            .join()
            .unwrap();
        let asking = UdpSocket::bind((family.near(), 0)).unwrap();
        asking.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut answer = [0; 16];
        resolver.send_to(b"nobody asked", asking.local_addr().unwrap()).unwrap();
        assert!(asking.recv(&mut answer).is_err(), "{}: not asked for", family.name());
        asking.send_to(b"question", (family.far(), 53)).unwrap();
        let (_, from) = resolver.recv_from(&mut answer).unwrap();
        resolver.send_to(b"answer", from).unwrap();
        assert_eq!(asking.recv(&mut answer).unwrap(), 6, "{}: an answer", family.name());
    }
}

#[test]
fn answers_to_own_questions_pass_the_udp_guard_with_and_without_tcx() {
    if !require_bpf() {
        return;
    }
    with_two_hosts(|far| {
        ask_and_hear(&without_tcx(NEAR), far);
        assert_eq!(hung_on(NEAR), 0, "it goes with the filter");
        let with = AttachRequest { interface: Some(NEAR.to_owned()), ..AttachRequest::default() };
        ask_and_hear(&with, far);
    });
}

#[test]
fn what_a_killed_process_left_on_egress_is_taken_away_and_nothing_else() {
    if std::env::var(CHILD).is_ok() {
        let _filter = KernelFilter::attach(&without_tcx("here0")).unwrap();
        say_in_force();
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    if !require_bpf() {
        return;
    }
    in_namespace(|| {
        ip("link add here0 type veth peer name there0");
        ip("link set here0 up");
        let tc = |arguments: &[&str]| {
            assert!(
                Command::new("tc").args(arguments).status().unwrap().success(),
                "{arguments:?}"
            );
        };
        tc(&["qdisc", "add", "dev", "here0", "clsact"]);
        // Classic BPF of one instruction: "no match".
        let somebody_elses = ["prio", "7", "protocol", "ip", "bpf", "bytecode", "1,6 0 0 0,"];
        tc(&[&["filter", "add", "dev", "here0", "egress"], &somebody_elses[..]].concat());
        let test = "what_a_killed_process_left_on_egress_is_taken_away_and_nothing_else";
        let controller = Controller::start(test, "without TCX");
        assert_eq!(hung_on("here0"), 1);
        controller.signal("KILL");
        drop(controller);
        assert_eq!(hung_on("here0"), 1, "nobody was left to take it away");
        let filter = KernelFilter::attach(&without_tcx("here0")).unwrap();
        assert!(filter.tier().unwrap().egress);
        assert_eq!(hung_on("here0"), 1, "the new one");
        drop(filter);
        assert_eq!(hung_on("here0"), 0);
        let output =
            Command::new("tc").args(["filter", "show", "dev", "here0", "egress"]).output().unwrap();
        let left = String::from_utf8(output.stdout).unwrap();
        assert!(left.contains("pref 7"), "somebody else's filter is still there: {left}");
    });
}
