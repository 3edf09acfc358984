//! Two hosts on one cable: the near one is protected, the far one holds visitors and attacker.
//!
//! Each host is a network namespace of a thread; both go with their threads, however a test ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;

use floodwall_xdp::{AttachRequest, KernelFilter};

use super::namespace::{enter_new_namespace, in_namespace, ip, thread_id};
use super::wire;

/// The ends of the cable.
pub const NEAR: &str = "near0";
pub const FAR: &str = "far0";
pub const NEAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The router's, through which strangers' packets come and whose answers go: the far host sees
/// what is for it and does not look at it.
pub const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

/// A queue for each of two cores, as a network card has.
const CORES: usize = 2;

/// The two address families.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn near(self) -> IpAddr {
        self.host(1)
    }

    pub fn far(self) -> IpAddr {
        self.host(2)
    }

    fn router(self) -> IpAddr {
        self.host(3)
    }

    fn host(self, number: u8) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 77, 0, number).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, u16::from(number)).into(),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The far host: runs what it is given on threads of its own.
pub struct FarHost {
    jobs: mpsc::Sender<Job>,
}

impl FarHost {
    /// Runs `work` on a new thread of the far host.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let (give, take) = mpsc::channel();
        let job = move || give.send(std::thread::spawn(work)).expect("the caller waits");
        self.jobs.send(Box::new(job)).expect("the far host lives");
        take.recv().expect("a thread")
    }
}

/// Runs `test` on the near host. Everything stays on the first core; a sender moves itself to
/// another.
pub fn with_two_hosts(test: impl FnOnce(&FarHost) + Send + 'static) {
    with_two_plain_hosts(|far| {
        let polls = far.spawn(|| receive_by_polling(FAR));
        let polls = polls.join().expect("the far host is configured");
        test(far);
        drop(polls);
    });
}

/// Likewise, with a far end as it comes: most containers' is one, and what the near host's XDP
/// program sends back is lost on it.
pub fn with_two_plain_hosts(test: impl FnOnce(&FarHost) + Send + 'static) {
    in_namespace(move || {
        wire::stay_on_core(0);
        let (jobs, to_do) = mpsc::channel::<Job>();
        let (tell, hear) = mpsc::channel();
        let far = std::thread::spawn(move || {
            assert!(enter_new_namespace());
            ip("link set lo up");
            tell.send(thread_id()).expect("the near host waits");
            for job in to_do {
                job();
            }
        });
        let namespace = hear.recv().expect("the far host begins");
        let queues = format!("numtxqueues {CORES} numrxqueues {CORES}");
        ip(&format!(
            "link add {NEAR} {queues} type veth peer name {FAR} netns {namespace} {queues}"
        ));
        let host = FarHost { jobs };
        configure(NEAR, NEAR_MAC, Family::near);
        let configured = host.spawn(|| configure(FAR, FAR_MAC, Family::far));
        configured.join().expect("the far host is configured");
        // What the near host answers to strangers goes out, as it would on a real host.
        for family in [Family::V4, Family::V6] {
            let (router, mac) = (family.router(), text_of(ROUTER_MAC));
            ip(&format!("neigh replace {router} lladdr {mac} dev {NEAR} nud permanent"));
            let version = if family == Family::V4 { 4 } else { 6 };
            ip(&format!("-{version} route add default via {router} dev {NEAR}"));
        }
        test(&host);
        drop(host);
        far.join().expect("the far host ends");
    });
}

/// An end of a veth pair takes what the other end's XDP program sends back (XDP_TX) only while it
/// has a program of its own; otherwise such frames vanish (veth_xdp_xmit in drivers/net/veth.c). A
/// network card needs nothing of the kind. This one passes everything.
pub fn receive_by_polling(interface: &str) -> KernelFilter {
    KernelFilter::attach(&AttachRequest {
        interface: Some(interface.to_owned()),
        max_bans: 1,
        sanity: false,
        egress: false,
        ..AttachRequest::default()
    })
    .expect("a program on the far end")
}

fn configure(interface: &str, mac: [u8; 6], own: fn(Family) -> IpAddr) {
    ip(&format!("link set {interface} address {}", text_of(mac)));
    ip(&format!("address add {}/24 dev {interface}", own(Family::V4)));
    ip(&format!("address add {}/64 dev {interface} nodad", own(Family::V6)));
    ip(&format!("link set {interface} up"));
    queue_by_core(interface);
}

/// What a core sends goes through that core's queue. A card's queues have their cores too; veth
/// without this lets whoever sends next carry all that waits, and a visitor would have to work off
/// the flood (veth_xdp_flush in drivers/net/veth.c schedules on the calling core).
fn queue_by_core(interface: &str) {
    let queue = |core: usize| {
        format!("echo {:x} > /sys/class/net/{interface}/queues/tx-{core}/xps_cpus", 1 << core)
    };
    let script: Vec<String> = (0..CORES).map(queue).collect();
    // The file system shows the namespace of whoever mounts it.
    let script = format!("mount -t sysfs sysfs /sys && {}", script.join(" && "));
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output();
    let output = output.expect("unshare(1) runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn text_of(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
