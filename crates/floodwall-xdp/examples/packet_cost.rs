//! What a packet costs in the kernel filter on this host: ns for each path, through the kernel's
//! test run, beside an XDP program that does nothing. Run it in release mode, as root:
//!
//! `cargo run --release -p floodwall-xdp --example packet_cost`
//!
//! "net" is the path less the empty program, measured right before it: both include the test run's
//! own loop. What the driver and the rest of the stack cost is left out. All packets of a path are
//! the same one, so what it looks at stays in the cache; "cold" visits another source with each
//! packet, and each of its figures then includes starting a test run, which "net" subtracts too.
//! "floor" rows are programs that ask the kernel one thing; see packet_cost/floor.rs.

#[path = "packet_cost/floor.rs"]
mod floor;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aya::maps::{PerCpuHashMap, PerCpuValues};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use floodwall_model::packet::{
    Guards, PacketAttr, PacketPlan, PacketPredicate, PacketRule, PacketSignature,
};
use floodwall_model::{Ban, Collateral, Evidence, Family, Mode, Protected, RuleId, Source};
use floodwall_xdp::{AttachRequest, BANS_MAX, DryRun, Services, SourceRate, SourceRates, Verdict};

/// Runs of one packet that are averaged.
const REPEAT: u32 = 1_000_000;
/// The best of so many such averages, since noise only adds.
const ROUNDS: usize = 5;
/// Sources visited in turn for the cold figure; more than a core's L2 cache holds entries of.
const COLD_SOURCES: u32 = 20_000;
/// Where distributions put the object of xdp-filter.
const XDP_FILTER_PATHS: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_ip.o", "/usr/lib/bpf/xdpfilt_alw_ip.o"];
/// Addresses that its table holds as shipped.
const XDP_FILTER_ADDRESSES: u32 = 10_000;
/// Its mark for "drop what comes from here", as `bpftool map dump` shows it after
/// `xdp-filter ip -m src`.
const XDP_FILTER_SOURCE: u64 = 1;
/// linux/bpf.h.
const XDP_DROP: u32 = 1;
const XDP_TX: u32 = 3;
/// Banned networks, where there are any.
const NETWORKS: u32 = 100_000;
/// Every path measured so far, and what it costs net, ns.
static MEASURED: Mutex<Vec<(String, u64)>> = Mutex::new(Vec::new());
/// An address of this host, which the guards stand for.
const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    println!("ns per packet, best of {ROUNDS} x {REPEAT} runs of one packet");
    println!("{:<52} {:>7} {:>7} {:>7}  verdict", "path", "empty", "filter", "net");
    at_rest()?;
    banned()?;
    signatures()?;
    guards()?;
    xdp_filter()?;
    floor::floor()?;
    println!();
    floor::account()
}

/// Debian's xdp-filter, "allow by default, drop listed addresses": its own object, run by itself
/// (without libxdp's dispatcher, which would add a call), on the same frames. Its table holds
/// 10,000 addresses as shipped; it is loaded with a larger one here where more are asked for.
fn xdp_filter() -> Result<(), Failure> {
    let Some(path) = XDP_FILTER_PATHS.iter().find(|path| std::path::Path::new(path).exists())
    else {
        println!("SKIPPED: xdp-filter is not installed (Debian package xdp-tools)");
        return Ok(());
    };
    let mut run = DryRun::new(1)?;
    for addresses in [0, 1_000, 1_000_000] {
        // It wants its maps pinned, and would take over whatever is pinned already.
        let pins = std::path::PathBuf::from(format!("/sys/fs/bpf/bench-{}", std::process::id()));
        std::fs::create_dir(&pins)?;
        let loaded = aya::EbpfLoader::new()
            .default_map_pin_directory(&pins)
            .map_max_entries("filter_ipv4", addresses.max(XDP_FILTER_ADDRESSES))
            .load_file(path);
        std::fs::remove_dir_all(&pins)?;
        let mut ebpf = loaded?;
        let map = ebpf.map_mut("filter_ipv4").ok_or("xdp-filter has no table of addresses")?;
        let mut map: PerCpuHashMap<_, [u8; 4], u64> = PerCpuHashMap::try_from(map)?;
        let cpus = aya::util::nr_cpus().map_err(|(what, error)| format!("{what}: {error}"))?;
        for n in 0..addresses {
            let listed = PerCpuValues::try_from(vec![XDP_FILTER_SOURCE; cpus])?;
            map.insert(v4(n).octets(), listed, 0)
                .map_err(|error| format!("xdp-filter's address {n} of {addresses}: {error}"))?;
        }
        let program: &mut Xdp =
            ebpf.program_mut("xdpfilt_alw_ip").ok_or("xdp-filter has no program")?.try_into()?;
        program.load()?;
        let many = format!("xdp-filter, {addresses} addresses");
        if addresses > 0 {
            peer(&mut run, program, &format!("{many}: IPv4 listed"), &tcp(v4(addresses / 2), ACK))?;
        }
        peer(&mut run, program, &format!("{many}: IPv4 not listed"), &tcp(outsider(), ACK))?;
    }
    Ok(())
}

/// Prints the cost of one path of another program.
fn peer(run: &mut DryRun, program: &Xdp, path: &str, frame: &[u8]) -> Result<Verdict, Failure> {
    let (mut empty, mut filter) = (Duration::MAX, Duration::MAX);
    let mut verdict = Verdict::Pass;
    for _ in 0..ROUNDS {
        empty = empty.min(run.empty(frame, REPEAT)?);
        let (took, said) = peer_run(program, frame, REPEAT)?;
        (filter, verdict) = (filter.min(took), said);
    }
    line(path, empty, filter, verdict);
    Ok(verdict)
}

fn peer_run(program: &Xdp, frame: &[u8], repeat: u32) -> Result<(Duration, Verdict), Failure> {
    let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() };
    let result = program.test_run(options)?;
    let verdict = match result.return_value {
        XDP_DROP => Verdict::Drop,
        XDP_TX => Verdict::Tx,
        _ => Verdict::Pass,
    };
    Ok((result.duration, verdict))
}

fn at_rest() -> Result<(), Failure> {
    let mut run = DryRun::new(1)?;
    report(&mut run, "0 bans, at rest: ARP", &arp())?;
    report(&mut run, "0 bans, at rest: IPv4 TCP ACK", &tcp(outsider(), ACK))?;
    report(&mut run, "0 bans, at rest: IPv4 SYN with options", &syn(outsider(), 80))?;
    report(&mut run, "0 bans, at rest: IPv4 UDP", &udp(outsider(), 9, 9))?;
    report(&mut run, "0 bans, at rest: IPv6 TCP ACK", &tcp_v6(v6(9), ACK))?;
    report(&mut run, "0 bans, at rest: impossible flags", &tcp(outsider(), 0))?;
    run.filter_mut().read_batch(now_ms())?;
    report(&mut run, "sampled 1:16: IPv4 TCP ACK", &tcp(outsider(), ACK))?;
    run.filter_mut().read_batch(now_ms() + 60_000)?;
    report(&mut run, "sampled 1:1: IPv4 TCP ACK", &tcp(outsider(), ACK))?;
    Ok(())
}

fn banned() -> Result<(), Failure> {
    for bans in [1_000, 1_000_000] {
        let mut run = DryRun::new(bans.min(BANS_MAX))?;
        for n in 0..bans {
            ban(&mut run, v4(n).into())?;
            ban(&mut run, v6(n).into())?;
        }
        let (held, many) = (bans / 2, format!("{bans} bans"));
        report(&mut run, &format!("{many}: IPv4 banned"), &tcp(v4(held), ACK))?;
        report(&mut run, &format!("{many}: IPv4 not banned"), &tcp(outsider(), ACK))?;
        report(&mut run, &format!("{many}: IPv6 banned"), &tcp_v6(v6(held), ACK))?;
        report(&mut run, &format!("{many}: IPv6 not banned"), &tcp_v6(v6(9_000_000), ACK))?;
        cold(&mut run, &format!("{many}: cold, IPv4 banned"), |n| v4(n * 7 % bans))?;
        cold(&mut run, &format!("{many}: cold, IPv4 not banned"), |n| v4(5_000_000 + n))?;
    }
    let mut run = DryRun::new(1)?;
    for n in 0..NETWORKS {
        let network = floodwall_model::Prefix::new(network(n).into(), 24);
        run.filter_mut().ban_network(network, 600_000)?;
    }
    report(&mut run, "100000 networks: banned", &tcp(Ipv4Addr::new(32, 0, 5, 9), ACK))?;
    report(&mut run, "100000 networks: not banned", &tcp(outsider(), ACK))?;
    Ok(())
}

fn signatures() -> Result<(), Failure> {
    for rules in [8, 64] {
        let mut run = DryRun::new(1)?;
        let filter = run.filter_mut();
        filter.apply(&plan(rules, Guards::default())?, now_ms())?;
        report(&mut run, &format!("{rules} signatures, none matches"), &tcp(outsider(), ACK))?;
        report(&mut run, &format!("{rules} signatures, SYN, none matches"), &syn(outsider(), 80))?;
        let matching = udp(outsider(), rules as u16, 9);
        report(&mut run, &format!("{rules} signatures, the last matches"), &matching)?;
    }
    Ok(())
}

fn guards() -> Result<(), Failure> {
    let listener = std::net::TcpListener::bind((SERVER, 0))?;
    let port = listener.local_addr()?.port();
    let client = std::net::TcpStream::connect((SERVER, port))?;
    let fast = SourceRate { rate_pps: u32::MAX, burst: 65_535 };
    let rates = SourceRates { packets: fast, connections: fast, wider: [1, 1] };
    let request = AttachRequest {
        services: Services { tcp: vec![port], udp: vec![] },
        ..AttachRequest::default()
    };
    let mut run = DryRun::with(&request)?;
    let stand = |run: &mut DryRun, guards| -> Result<(), Failure> {
        run.filter_mut().apply(&plan(0, guards)?, now_ms())?;
        Ok(())
    };
    let none = Guards::default();
    stand(&mut run, Guards { syn_proof: true, ..none })?;
    // A test run hands the rewritten packet to the next round, so each round starts anew.
    cold_frames(&mut run, "SYN proof: cookie sent (single runs)", |n| syn(v4(n), port))?;
    cold_frames(&mut run, "SYN proof: no service there (single runs)", |n| syn(v4(n), 9))?;
    stand(&mut run, Guards { tcp_state: true, ..none })?;
    report(&mut run, "TCP state: no connection", &tcp(outsider(), ACK))?;
    let calm = std::net::TcpListener::bind((SERVER, 0))?;
    let to_listener =
        tcp_between((outsider(), 40_000), (SERVER, calm.local_addr()?.port()), ACK, &[]);
    report(&mut run, "TCP state: no connection, to a listener", &to_listener)?;
    let from = client.local_addr()?.port();
    let known = tcp_between((SERVER, from), (SERVER, port), ACK, &[]);
    report(&mut run, "TCP state: established", &known)?;
    stand(&mut run, Guards { tcp_state: true, syn_proof: true, ..none })?;
    // This listener has sent cookies a moment ago, so the kernel would look at one.
    let forged = tcp_between((outsider(), 40_000), (SERVER, port), ACK, &[]);
    report(&mut run, "TCP state and SYN proof: forged cookie", &forged)?;
    stand(&mut run, Guards { udp_solicited: true, ..none })?;
    report(&mut run, "UDP guard: unsolicited", &udp(outsider(), 53, 9))?;
    stand(&mut run, Guards { icmp: true, ..none })?;
    report(&mut run, "ICMP guard: echo beyond its rate", &icmp(outsider(), 8))?;
    stand(&mut run, none)?;
    run.filter_mut().set_source_rates(Some(rates));
    report(&mut run, "source rate: IPv4", &tcp(outsider(), ACK))?;
    report(&mut run, "source rate: IPv6, three widths", &tcp_v6(v6(9), ACK))?;
    run.filter_mut().apply(
        &plan(64, Guards { syn_proof: true, tcp_state: true, udp_solicited: true, icmp: true })?,
        now_ms(),
    )?;
    report(&mut run, "64 signatures, all guards: established", &known)?;
    report(&mut run, "64 signatures, all guards: forged cookie", &forged)?;
    Ok(())
}

/// Prints the cost of one path.
fn report(run: &mut DryRun, path: &str, frame: &[u8]) -> Result<(), Failure> {
    let (mut empty, mut filter) = (Duration::MAX, Duration::MAX);
    let mut verdict = Verdict::Pass;
    for _ in 0..ROUNDS {
        empty = empty.min(run.empty(frame, REPEAT)?);
        let outcome = run.xdp(frame, REPEAT)?;
        filter = filter.min(outcome.per_packet);
        verdict = outcome.verdict;
    }
    line(path, empty, filter, verdict);
    Ok(())
}

fn line(path: &str, empty: Duration, filter: Duration, verdict: Verdict) {
    let (empty, filter) = (empty.as_nanos(), filter.as_nanos());
    let net = filter.saturating_sub(empty);
    println!("{path:<52} {empty:>7} {filter:>7} {net:>7}  {verdict:?}");
    let net = u64::try_from(net).unwrap_or(u64::MAX);
    MEASURED.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), net));
}

/// What a path cost net, ns, when it was measured.
fn measured(path: &str) -> Result<u64, Failure> {
    let all = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = all.iter().find(|(name, _)| name == path);
    found.map(|(_, net)| *net).ok_or_else(|| format!("{path} was not measured").into())
}

fn cold(run: &mut DryRun, path: &str, source: impl Fn(u32) -> Ipv4Addr) -> Result<(), Failure> {
    cold_frames(run, path, |n| tcp(source(n), ACK))
}

/// The median of single runs, each of another frame.
fn cold_frames(
    run: &mut DryRun,
    path: &str,
    frame: impl Fn(u32) -> Vec<u8>,
) -> Result<(), Failure> {
    single_runs(run, path, frame, |run, frame| {
        let outcome = run.xdp(frame, 1)?;
        Ok((outcome.per_packet, outcome.verdict))
    })?;
    Ok(())
}

/// Likewise, of another program.
fn peer_single_runs(
    run: &mut DryRun,
    program: &Xdp,
    path: &str,
    frame: impl Fn(u32) -> Vec<u8>,
) -> Result<Verdict, Failure> {
    single_runs(run, path, frame, |_, frame| peer_run(program, frame, 1))
}

fn single_runs(
    run: &mut DryRun,
    path: &str,
    frame: impl Fn(u32) -> Vec<u8>,
    mut look: impl FnMut(&mut DryRun, &[u8]) -> Result<(Duration, Verdict), Failure>,
) -> Result<Verdict, Failure> {
    let (mut empty, mut filter) = (Vec::new(), Vec::new());
    let mut verdict = Verdict::Pass;
    for n in 0..COLD_SOURCES {
        let frame = frame(n);
        empty.push(run.empty(&frame, 1)?);
        let (took, said) = look(run, &frame)?;
        filter.push(took);
        verdict = said;
    }
    empty.sort_unstable();
    filter.sort_unstable();
    let middle = COLD_SOURCES as usize / 2;
    if let (Some(empty), Some(filter)) = (empty.get(middle), filter.get(middle)) {
        line(path, *empty, *filter, verdict);
    }
    Ok(verdict)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// `rules` rules of four attributes each, and guards. Rule n matches UDP from port n.
fn plan(rules: u32, guards: Guards) -> Result<floodwall_model::packet::CheckedPacketPlan, Failure> {
    let made_at_ms = now_ms();
    let evidence =
        |family| Evidence { family, log_odds: 3.0, statement: "a measurement".to_owned() };
    let rule = |n: u32| PacketRule {
        id: RuleId(n),
        signature: PacketSignature::new(vec![
            PacketPredicate::Is(PacketAttr::Protocol, 17),
            PacketPredicate::Is(PacketAttr::SourcePort, n as u16),
            PacketPredicate::Between(PacketAttr::Ttl, 32, 128),
            PacketPredicate::Between(PacketAttr::Length, 20, 1_400),
        ]),
        words: String::new(),
        predicates: vec![],
        projected: Collateral { hits: 0, records: 1_000_000 },
        evidence: vec![evidence(Family::Implementation), evidence(Family::Behaviour)],
        placed_at_ms: made_at_ms,
        expires_at_ms: made_at_ms + 120_000,
    };
    let plan = PacketPlan {
        revision: 1,
        made_at_ms,
        mode: Mode::Protect,
        rules: (1..=rules).map(rule).collect(),
        guards,
        guards_until_ms: made_at_ms + 120_000,
    };
    let (checked, rejected) = plan.check();
    if !rejected.is_empty() {
        return Err(format!("{} rules were rejected", rejected.len()).into());
    }
    Ok(checked)
}

/// The n-th source, spread over 10.0.0.0/8 (odd multiplier: no two are the same).
fn v4(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 | (n.wrapping_mul(0x9e_3779) & 0x00ff_ffff))
}

/// The n-th network that is banned, a /24.
fn network(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x2000_0000 + (n << 8))
}

/// A source that is neither banned nor of a banned network.
fn outsider() -> Ipv4Addr {
    v4(5_000_000)
}

/// The n-th /64 of 2001:db8::/32.
fn v6(n: u32) -> Ipv6Addr {
    let network = 0x2001_0db8_0000_0000u64 | u64::from(n.wrapping_mul(0x9e37_79b1));
    Ipv6Addr::from(u128::from(network) << 64 | 1)
}

fn ban(run: &mut DryRun, address: IpAddr) -> Result<(), Failure> {
    let ban = Ban {
        source: Source::new(address),
        from_ms: 0,
        until_ms: floodwall_model::limits::BAN_TTL_MS_MAX,
        handshake: true,
        blocked: 20,
    };
    run.filter_mut().ban(&ban.check(&Protected::default())?, 0)?;
    Ok(())
}

const ACK: u8 = 0x10;
const SYN: u8 = 0x02;

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0];
    ip.extend((20 + body.len() as u16).to_be_bytes());
    ip.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    ip.extend(source.octets());
    ip.extend(destination.octets());
    ip.extend(body);
    ethernet(0x0800, &ip)
}

fn segment(from: u16, to: u16, flags: u8, options: &[u8]) -> Vec<u8> {
    let mut tcp = [from.to_be_bytes(), to.to_be_bytes()].concat();
    tcp.extend([0, 0, 0, 1, 0, 0, 0, 1, (5 + options.len() as u8 / 4) << 4, flags, 0x20, 0]);
    tcp.extend([0; 4]);
    tcp.extend(options);
    tcp
}

fn tcp_between(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), flags: u8, options: &[u8]) -> Vec<u8> {
    ipv4(from.0, to.0, 6, &segment(from.1, to.1, flags, options))
}

fn tcp(source: Ipv4Addr, flags: u8) -> Vec<u8> {
    tcp_between((source, 40_000), (SERVER, 80), flags, &[])
}

/// What Linux sends: segment size, SACK permitted, timestamps, window scale.
fn syn(source: Ipv4Addr, port: u16) -> Vec<u8> {
    let options = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];
    tcp_between((source, 40_000), (SERVER, port), SYN, &options)
}

fn udp(source: Ipv4Addr, from: u16, to: u16) -> Vec<u8> {
    let mut datagram = [from.to_be_bytes(), to.to_be_bytes()].concat();
    datagram.extend([0, 28, 0, 0]);
    datagram.extend([7; 20]);
    ipv4(source, SERVER, 17, &datagram)
}

fn icmp(source: Ipv4Addr, kind: u8) -> Vec<u8> {
    let mut message = vec![kind];
    message.resize(64, 0);
    ipv4(source, SERVER, 1, &message)
}

fn tcp_v6(source: Ipv6Addr, flags: u8) -> Vec<u8> {
    let body = segment(40_000, 80, flags, &[]);
    let mut ip = vec![0x60, 0, 0, 0, 0, body.len() as u8, 6, 64];
    ip.extend(source.octets());
    ip.extend("2001:db8:ffff::1".parse::<Ipv6Addr>().map_or([0; 16], |a| a.octets()));
    ip.extend(body);
    ethernet(0x86dd, &ip)
}

fn arp() -> Vec<u8> {
    ethernet(0x0806, &[0; 28])
}
