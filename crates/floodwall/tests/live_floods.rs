//! Floods against a host behind `floodwall run`, with honest visitors beside them: SYN, UDP,
//! amplification, ACK, SYN-ACK, fragments, each over IPv4 and IPv6.
//!
//! `cargo test -p floodwall --test live_floods -- --nocapture` prints the figures of every run.
//! With FLOODWALL_LIVE_COMPARE=1 each flood is run once more with nothing before the host, for
//! comparison; nothing is asserted of that run. One core is the sender's, everything else shares
//! another: on two cores the times are rough, so the tests assert answers and not times. The cable
//! has a queue for each core, as a network card has: the flood's core carries the flood, and no
//! visitor's packet waits in the flood's queue. The sender carries each packet through the filter
//! before it makes the next, so what the filter costs is seen in the sender's rate.
//!
//! Traffic stays on a cable between two namespaces that the test makes, and every sender stops by
//! itself ([`LIMITS`]).

mod live;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use floodwall_xdp::{AttachError, DryRun};
use live::cable::{FAR, Family, FarHost, with_two_hosts, with_two_plain_hosts};
use live::floods::Kind;
use live::protection::Protection;
use live::report::Run;
use live::visitors::{Manner, visit};
use live::wire::{SendLimits, send, stay_on_core};
use live::{names, origin, skip};

/// A flood is no longer and no larger.
const LIMITS: SendLimits = SendLimits { packets_max: 4_000_000, time_max: Duration::from_secs(5) };
/// Visitors are alone for so long before the flood, and after it.
const BEFORE: Duration = Duration::from_millis(2_500);
const AFTER: Duration = Duration::from_millis(1_000);

/// Everything else is on the first.
const SENDERS_CORE: usize = 1;

/// One flood at a time: they share the cores.
static CORES: Mutex<()> = Mutex::new(());

/// Whether the filter can be loaded here; says SKIPPED when not.
fn require_bpf() -> bool {
    match DryRun::new(1) {
        Ok(_) => true,
        Err(error @ (AttachError::NotBuilt { .. } | AttachError::NotPermitted { .. })) => {
            skip::skipped(&error.to_string());
            false
        }
        Err(error) => panic!("the filter cannot be loaded: {error}"),
    }
}

/// The flood against a protected host; what is promised must hold.
fn flood(kind: Kind, family: Family) {
    let _alone = CORES.lock().unwrap_or_else(PoisonError::into_inner);
    if !require_bpf() {
        return;
    }
    if std::env::var("FLOODWALL_LIVE_COMPARE").is_ok_and(|value| value == "1") {
        with_two_hosts(move |far| run(kind, family, far, false).print());
    }
    with_two_hosts(move |far| {
        let run = run(kind, family, far, true);
        run.print();
        run.check();
    });
}

/// The far end as most containers have it: what the filter sends back by XDP is lost on it, and
/// every new visitor hung for as long as the SYN proof stood.
#[test]
fn a_syn_flood_from_a_far_end_that_does_not_poll() {
    let _alone = CORES.lock().unwrap_or_else(PoisonError::into_inner);
    if !require_bpf() {
        return;
    }
    with_two_plain_hosts(|far| {
        let run = run(Kind::SynOrdinary, Family::V4, far, true);
        run.print();
        run.check();
    });
}

fn run(kind: Kind, family: Family, far: &FarHost, protected: bool) -> Run {
    let (protection, server) = if protected {
        let protection =
            Protection::start(family.near(), origin::start(Ipv4Addr::LOCALHOST.into()));
        let server = protection.server;
        (Some(protection), server)
    } else {
        (None, origin::start(family.near()))
    };
    let frames = kind.frames(family, server.port(), 42);
    let stop = Arc::new(AtomicBool::new(false));

    let began = Instant::now();
    let visitors = [Manner::Anew, Manner::KeptAlive].map(|manner| {
        let stop = Arc::clone(&stop);
        far.spawn(move || visit(server, manner, &stop))
    });
    let asked = (kind == Kind::Amplification).then(|| ask_for_names(family, far, &stop));
    std::thread::sleep(BEFORE);
    let sender = far.spawn(move || {
        // On a machine of one core it shares that.
        let _ = stay_on_core(SENDERS_CORE);
        send(FAR, &frames, LIMITS)
    });
    let sent = sender.join().expect("the sender ends by itself");
    std::thread::sleep(AFTER);
    stop.store(true, Ordering::Relaxed);
    let visits = visitors.map(|visitor| visitor.join().expect("a visitor leaves"));
    let questions = asked.map_or_else(Vec::new, |asked| asked.join().expect("a list"));
    let account = protection.map(Protection::stop);
    Run { kind, family, sent, began, ended: Instant::now(), visits, questions, account }
}

fn ask_for_names(
    family: Family,
    far: &FarHost,
    stop: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<Vec<names::Question>> {
    let server_stops = Arc::clone(stop);
    far.spawn(move || names::serve(family.far(), &server_stops));
    let stop = Arc::clone(stop);
    std::thread::spawn(move || names::resolve(family.far(), &stop))
}

macro_rules! floods {
    ($($name:ident: $kind:ident, $family:ident;)+) => {
        $(#[test]
        fn $name() {
            flood(Kind::$kind, Family::$family);
        })+
    };
}

floods! {
    a_plain_syn_flood_over_ipv4: Syn, V4;
    a_plain_syn_flood_over_ipv6: Syn, V6;
    a_syn_flood_of_ordinary_syns_over_ipv4: SynOrdinary, V4;
    a_syn_flood_of_ordinary_syns_over_ipv6: SynOrdinary, V6;
    a_udp_flood_over_ipv4: Udp, V4;
    a_udp_flood_over_ipv6: Udp, V6;
    an_amplification_flood_while_names_are_resolved_over_ipv4: Amplification, V4;
    an_amplification_flood_while_names_are_resolved_over_ipv6: Amplification, V6;
    an_ack_flood_over_ipv4: Ack, V4;
    an_ack_flood_over_ipv6: Ack, V6;
    a_reflected_syn_ack_flood_over_ipv4: SynAck, V4;
    a_reflected_syn_ack_flood_over_ipv6: SynAck, V6;
    a_flood_of_fragments_over_ipv4: Fragments, V4;
    a_flood_of_fragments_over_ipv6: Fragments, V6;
}
