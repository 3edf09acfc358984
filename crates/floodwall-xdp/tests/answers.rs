//! The SYN proof on a cable whose far end does not take what the near end's driver sends back.
//!
//! Found in a container: the guard stood, every SYN was answered and counted, and no visitor ever
//! connected. veth drops XDP_TX without a word while the other end has neither an XDP program nor
//! GRO. A guard may cost a visitor one lost SYN; it must never stand in front of a dead door.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use floodwall_model::Mode;
use floodwall_model::packet::{Guards, PacketReason};
use floodwall_xdp::{AttachRequest, KernelFeatures, KernelFilter, PlanApplied, Services, Tier};
use support::cable::{
    FAR, Family, FarHost, NEAR, receive_by_polling, with_two_hosts, with_two_plain_hosts,
};
use support::namespace::{connect, listen};
use support::plan::plan;
use support::{require_bpf, wall_ms};

/// How often the node reads the filter.
const TICK: Duration = Duration::from_millis(50);
/// A visitor's second SYN comes 1 s after the first (RFC 6298 § 2.1), the third 2 s after that. The
/// second must be answered.
const SECOND_SYN: Duration = Duration::from_millis(1_900);
/// Less than a SYN that has to be sent again takes.
const FIRST_SYN: Duration = Duration::from_millis(900);
const PROOF: Guards =
    Guards { syn_proof: true, tcp_state: true, udp_solicited: false, icmp: false };

struct Host {
    filter: KernelFilter,
    listener: TcpListener,
    server: SocketAddr,
}

impl Host {
    /// With the guards raised.
    fn guarded(family: Family, request: AttachRequest<'_>) -> (Host, PlanApplied) {
        let (listener, server) = listen(&family.near().to_string());
        let mut filter = KernelFilter::attach(&AttachRequest {
            interface: Some(NEAR.to_owned()),
            services: Services { tcp: vec![server.port()], udp: vec![] },
            ..request
        })
        .unwrap();
        assert_eq!(filter.tier().unwrap().tier, Tier::XdpNative);
        let applied = apply(&mut filter, PROOF);
        (Host { filter, listener, server }, applied)
    }

    /// A visitor connects and is heard, while the filter is read as the node reads it. How long
    /// the handshake took.
    fn visit(&mut self, far: &FarHost, family: Family) -> Duration {
        let server = self.server;
        let visitor = far.spawn(move || {
            let from = Instant::now();
            let connected = connect(&family.far().to_string(), server);
            (connected, from.elapsed())
        });
        while !visitor.is_finished() {
            self.filter.read_batch(wall_ms()).unwrap();
            std::thread::sleep(TICK);
        }
        let (mut connected, took) = visitor.join().unwrap();
        let mut accepted = self.accept();
        connected.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        accepted.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        accepted.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        took
    }

    /// The kernel may have told the visitor of a connection whose last ACK it never saw.
    fn accept(&self) -> TcpStream {
        self.listener.set_nonblocking(true).unwrap();
        let from = Instant::now();
        loop {
            if let Ok((accepted, _)) = self.listener.accept() {
                return accepted;
            }
            assert!(from.elapsed() < Duration::from_secs(5), "never accepted");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn count(&self, reason: PacketReason) -> u64 {
        self.filter.counters().unwrap().of(reason)
    }
}

fn apply(filter: &mut KernelFilter, guards: Guards) -> PlanApplied {
    let now_ms = wall_ms();
    filter.apply(&plan(vec![], guards, Mode::Protect, now_ms), now_ms).unwrap()
}

fn syncookies() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies").unwrap().trim().to_owned()
}

#[test]
fn answers_that_the_driver_loses_leave_through_the_stack() {
    if !require_bpf() {
        return;
    }
    with_two_plain_hosts(|far| {
        for family in [Family::V4, Family::V6] {
            let (mut host, applied) = Host::guarded(family, AttachRequest::default());
            assert_eq!(applied.guards, PROOF, "{applied:?}");
            let took = host.visit(far, family);
            assert!(took < SECOND_SYN, "{family:?}: {took:?}");
            assert!(host.filter.needs_apply(), "whoever asks is told to look again");
            let applied = apply(&mut host.filter, PROOF);
            assert_eq!(applied.guards, PROOF, "{applied:?}");
            assert!(!host.filter.needs_apply());
            for _ in 0..3 {
                let took = host.visit(far, family);
                assert!(took < FIRST_SYN, "{family:?}: {took:?}");
            }
            assert_eq!(host.count(PacketReason::CookieValid), 4, "{family:?}");
            assert_eq!(host.count(PacketReason::OutOfState), 0, "{family:?}");
            assert_eq!(host.filter.counters().unwrap().unanswered, 0, "{family:?}");
        }
    });
}

#[test]
fn answers_that_arrive_are_left_to_the_driver() {
    if !require_bpf() {
        return;
    }
    with_two_hosts(|far| {
        for family in [Family::V4, Family::V6] {
            let (mut host, _) = Host::guarded(family, AttachRequest::default());
            for _ in 0..4 {
                let took = host.visit(far, family);
                assert!(took < FIRST_SYN, "{family:?}: {took:?}");
            }
            // Past the next look at the driver.
            std::thread::sleep(Duration::from_millis(250));
            host.filter.read_batch(wall_ms()).unwrap();
            assert!(!host.filter.needs_apply(), "{family:?}");
            let counters = host.filter.counters().unwrap();
            assert_eq!(host.count(PacketReason::CookieValid), 4, "{family:?}: {counters:?}");
        }
    });
}

#[test]
fn the_far_end_may_change_while_the_guard_stands() {
    if !require_bpf() {
        return;
    }
    with_two_plain_hosts(|far| {
        let polls = far.spawn(|| receive_by_polling(FAR)).join().unwrap();
        let (mut host, _) = Host::guarded(Family::V4, AttachRequest::default());
        assert!(host.visit(far, Family::V4) < FIRST_SYN);
        // The visitor's last answers have to be a second past: what was sent then arrived.
        drop(polls);
        assert!(host.visit(far, Family::V4) < Duration::from_millis(3_900));
        assert!(host.visit(far, Family::V4) < FIRST_SYN);
        let polls = far.spawn(|| receive_by_polling(FAR)).join().unwrap();
        assert!(host.visit(far, Family::V4) < FIRST_SYN);
        assert_eq!(host.count(PacketReason::CookieValid), 4);
        drop(polls);
    });
}

/// On a kernel without TCX no other way is open. The kernel's own cookies answer instead, and the
/// guard on TCP that belongs to no connection must let them prove themselves.
#[test]
fn where_no_way_is_open_the_guard_comes_down_and_the_kernel_answers() {
    if !require_bpf() {
        return;
    }
    with_two_plain_hosts(|far| {
        std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", "0").unwrap();
        for family in [Family::V4, Family::V6] {
            let features = Some(KernelFeatures { tcx: false, ..KernelFeatures::ask() });
            let request = AttachRequest { features, ..AttachRequest::default() };
            let (mut host, applied) = Host::guarded(family, request);
            assert_eq!(applied.guards, PROOF, "{applied:?}");
            let took = host.visit(far, family);
            assert!(took < SECOND_SYN, "{family:?}: {took:?}");
            assert!(host.filter.needs_apply());
            let applied = apply(&mut host.filter, PROOF);
            assert_eq!(applied.guards, Guards { syn_proof: false, ..PROOF }, "{applied:?}");
            let [refused] = &applied.guards_refused[..] else { panic!("{applied:?}") };
            for part in [
                "SYN proof: the driver of near0 (veth) does not send what the filter answers",
                "1 of the last 1 SYN-ACKs were lost",
                "Linux 6.6",
                "a cookie of its own",
            ] {
                assert!(refused.contains(part), "{refused}");
            }
            assert_eq!(syncookies(), "2");
            for _ in 0..3 {
                let took = host.visit(far, family);
                assert!(took < FIRST_SYN, "{family:?}: {took:?}");
            }
            assert_eq!(host.count(PacketReason::CookieSent), 1, "{family:?}");
            assert_eq!(host.count(PacketReason::CookieValid), 4, "{family:?}");
            apply(&mut host.filter, Guards::default());
            assert_eq!(syncookies(), "0", "as it was before");
            // It is not raised again for this attachment.
            assert!(!apply(&mut host.filter, PROOF).guards.syn_proof);
        }
    });
}
