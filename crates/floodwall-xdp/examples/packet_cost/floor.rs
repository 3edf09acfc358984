//! The least that each question to the kernel costs, asked by a program that does nothing else
//! (bpf/floor.bpf.c), and how much of the filter's dear paths that is. It must measure exactly as
//! the filter's own paths are measured, in the same run, or the two could not be held together.

use std::net::{TcpListener, TcpStream};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, Map};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use floodwall_model::packet::Guards;
use floodwall_xdp::{AttachRequest, DryRun, Services, Verdict};

use super::{
    ACK, Failure, NETWORKS, SERVER, SYN, measured, network, now_ms, outsider, peer,
    peer_single_runs, plan, tcp, tcp_between, v4,
};

#[cfg(floodwall_bpf)]
const OBJECT: Option<&[u8]> =
    Some(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/floor.bpf.o")));
#[cfg(not(floodwall_bpf))]
const OBJECT: Option<&[u8]> = None;

/// The design's bound on the longest path, ns.
const TARGET_NS: u64 = 67;

const BOUNDS: &str = "floor: bounds check and nothing else";
const NO_SOCKET: &str = "floor: socket lookup, none";
const LISTENER: &str = "floor: socket lookup and release, a listener";
const CONNECTION: &str = "floor: socket lookup and release, a connection";
const MAKES: &str = "floor: cookie made";
const CALM: &str = "floor: socket lookup, listener asked, never overflowed";
const FORGED: &str = "floor: socket lookup, listener asked, forged cookie";
const NOT_IN_LRU24: &str = "floor: LRU hash lookup, 24-byte key, not found";
const IN_LRU16: &str = "floor: LRU hash lookup, 16-byte key, found";
const IN_TRIE: &str = "floor: trie lookup among 100000 networks, found";
const BOUNDS_SINGLY: &str = "floor: bounds check (single runs)";
const LISTENER_SINGLY: &str = "floor: socket lookup, a listener (single runs)";
const MAKES_SINGLY: &str = "floor: cookie made (single runs)";

/// How often a question is asked, and its row.
type Asked = (u64, &'static str);

/// What the filter asks the kernel on a path, by reading bpf/guards.h, bans.h and cookie.h: the path,
/// a bounds check measured the same way, and the questions.
const ASKED: [(&str, &str, &[Asked]); 11] = [
    ("100000 networks: banned", BOUNDS, &[(1, IN_TRIE)]),
    ("TCP state: no connection", BOUNDS, &[(1, NO_SOCKET)]),
    ("TCP state: no connection, to a listener", BOUNDS, &[(1, CALM)]),
    ("TCP state: established", BOUNDS, &[(1, CONNECTION)]),
    ("TCP state and SYN proof: forged cookie", BOUNDS, &[(1, FORGED)]),
    ("UDP guard: unsolicited", BOUNDS, &[(1, NOT_IN_LRU24)]),
    ("source rate: IPv4", BOUNDS, &[(1, IN_LRU16)]),
    ("source rate: IPv6, three widths", BOUNDS, &[(3, IN_LRU16)]),
    ("64 signatures, all guards: established", BOUNDS, &[(1, CONNECTION), (1, IN_LRU16)]),
    ("64 signatures, all guards: forged cookie", BOUNDS, &[(1, FORGED)]),
    (
        "SYN proof: cookie sent (single runs)",
        BOUNDS_SINGLY,
        &[(1, LISTENER_SINGLY), (1, MAKES_SINGLY)],
    ),
];

/// Measures every question by itself.
pub(super) fn floor() -> Result<(), Failure> {
    let object = OBJECT.ok_or("this build has no programs for the kernel: clang is missing")?;
    // No kernel type is used, as in the filter.
    let mut ebpf = EbpfLoader::new().btf(None).load(object)?;
    fill(&mut ebpf)?;
    let listener = TcpListener::bind((SERVER, 0))?;
    let port = listener.local_addr()?.port();
    let client = TcpStream::connect((SERVER, port))?;
    let connection = tcp_between((SERVER, client.local_addr()?.port()), (SERVER, port), ACK, &[]);
    let to_listener = |n| tcp_between((v4(n), 40_000), (SERVER, port), ACK, &[]);
    // The helper wants a header just as long as it says of itself.
    let syn = |n| tcp_between((v4(n), 40_000), (SERVER, port), SYN, &[2, 4, 0x05, 0xb4]);
    let stranger = tcp(outsider(), ACK);
    let inside = tcp(network(5).octets().into(), ACK);
    use Verdict::{Drop, Pass, Tx};
    let mut run = DryRun::new(1)?;
    for (path, program, frame, expected) in [
        (BOUNDS, "floor_bounds", &stranger, Pass),
        ("floor: a call of a function", "floor_call", &stranger, Pass),
        ("floor: the verdict XDP_TX, without a driver", "floor_tx", &stranger, Tx),
        (NO_SOCKET, "floor_socket", &stranger, Pass),
        (LISTENER, "floor_socket", &to_listener(1), Drop),
        (CONNECTION, "floor_socket", &connection, Drop),
        (MAKES, "floor_gen", &syn(1), Drop),
        ("floor: cookie checked without a listener, forged", "floor_check", &stranger, Pass),
        (CALM, "floor_ask", &to_listener(1), Pass),
        ("floor: bpf_ktime_get_ns", "floor_clock", &stranger, Pass),
        ("floor: bpf_ktime_get_coarse_ns", "floor_coarse", &stranger, Pass),
        ("floor: hash lookup, found", "floor_in_hash", &inside, Drop),
        ("floor: hash lookup, not found", "floor_in_hash", &stranger, Pass),
        (NOT_IN_LRU24, "floor_in_lru24", &stranger, Pass),
        (IN_LRU16, "floor_in_lru16", &inside, Drop),
        ("floor: LRU hash lookup, 16-byte key, not found", "floor_in_lru16", &stranger, Pass),
        (IN_TRIE, "floor_in_lpm", &inside, Drop),
        ("floor: trie lookup, not found", "floor_in_lpm", &stranger, Pass),
    ] {
        let verdict = peer(&mut run, load(&mut ebpf, program)?, path, frame)?;
        as_meant(path, verdict, expected)?;
    }
    overflow(port)?;
    let verdict = peer(&mut run, load(&mut ebpf, "floor_ask")?, FORGED, &to_listener(1))?;
    as_meant(FORGED, verdict, Pass)?;
    type Frame<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let singly: [(&str, &str, Frame<'_>, Verdict); 3] = [
        (BOUNDS_SINGLY, "floor_bounds", &to_listener, Pass),
        (LISTENER_SINGLY, "floor_socket", &to_listener, Drop),
        (MAKES_SINGLY, "floor_gen", &syn, Drop),
    ];
    for (path, program, frame, expected) in singly {
        let verdict = peer_single_runs(&mut run, load(&mut ebpf, program)?, path, frame)?;
        as_meant(path, verdict, expected)?;
    }
    Ok(())
}

/// Makes the listener remember an overflow: the filter does that before it sends a first cookie.
fn overflow(port: u16) -> Result<(), Failure> {
    let services = Services { tcp: vec![port], udp: vec![] };
    let mut run = DryRun::with(&AttachRequest { services, ..AttachRequest::default() })?;
    let guards = Guards { syn_proof: true, ..Guards::default() };
    run.filter_mut().apply(&plan(0, guards)?, now_ms())?;
    let outcome = run.xdp(&super::syn(outsider(), port), 1)?;
    as_meant("the SYN that is to be answered by a cookie", outcome.verdict, Verdict::Tx)
}

/// A path that is not the one meant is an error, not a figure.
fn as_meant(path: &str, verdict: Verdict, expected: Verdict) -> Result<(), Failure> {
    if verdict == expected {
        return Ok(());
    }
    Err(format!("{path}: {verdict:?}, and {expected:?} was expected").into())
}

fn load<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a Xdp, Failure> {
    let program: &mut Xdp =
        ebpf.program_mut(name).ok_or_else(|| format!("no program {name}"))?.try_into()?;
    if program.fd().is_err() {
        program.load()?;
    }
    Ok(program)
}

/// As full as the filter's tables are in its own measurements: one entry that is asked for, and the
/// same networks.
fn fill(ebpf: &mut Ebpf) -> Result<(), Failure> {
    let source = network(5).octets();
    let mut hash: HashMap<_, [u8; 16], u32> = HashMap::try_from(map(ebpf, "floor_hash")?)?;
    let mut key = [0; 16];
    key[..4].copy_from_slice(&source);
    hash.insert(key, 1, 0)?;
    let mut lru: HashMap<_, [u8; 16], [u32; 4]> = HashMap::try_from(map(ebpf, "floor_lru16")?)?;
    lru.insert(key, [1; 4], 0)?;
    let mut trie: LpmTrie<_, [u8; 4], [u32; 2]> = LpmTrie::try_from(map(ebpf, "floor_lpm")?)?;
    for n in 0..NETWORKS {
        trie.insert(&Key::new(24, network(n).octets()), [u32::MAX, 0], 0)?;
    }
    Ok(())
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Map, Failure> {
    ebpf.map_mut(name).ok_or_else(|| format!("no map {name}").into())
}

/// Of each path over the target and of the SYN proof: how much the questions cost that it asks.
pub(super) fn account() -> Result<(), Failure> {
    println!(
        "paths over {TARGET_NS} ns: what the kernel's own helpers cost of it, each asked alone"
    );
    println!("{:<44} {:>7} {:>7} {:>7}  helpers", "path", "net", "helpers", "rest");
    for (path, bounds, asked) in ASKED {
        let (net, bounds) = (measured(path)?, measured(bounds)?);
        if net <= TARGET_NS {
            continue;
        }
        let (mut helpers, mut words) = (0, Vec::new());
        for (times, name) in asked {
            let alone = measured(name)?.saturating_sub(bounds);
            helpers += times * alone;
            let word = name.strip_prefix("floor: ").unwrap_or(name);
            let word = word.strip_suffix(" (single runs)").unwrap_or(word);
            let times = if *times > 1 { format!("{times} x ") } else { String::new() };
            words.push(format!("{times}{alone} {word}"));
        }
        let rest = net.saturating_sub(helpers);
        println!("{path:<44} {net:>7} {helpers:>7} {rest:>7}  {}", words.join(" + "));
    }
    Ok(())
}
