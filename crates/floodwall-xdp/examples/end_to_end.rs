//! The two ends of bench/kernel-filter, each run inside a namespace that the script made:
//!
//! `end_to_end send IFACE SECONDS SOURCES DESTINATION_MAC` sends UDP packets of 60 bytes from
//! SOURCES addresses of 10.0.0.0/8 in turn, as fast as one core can, and prints `packets ns`.
//! `end_to_end filter IFACE pass|signature|banned BANS` puts the filter on IFACE, prints
//! `ready`, and when its input ends prints how many packets it saw and dropped.
//!
//! It must never send on an interface that is not a veth, nor for longer than [`SECONDS_MAX`].
#![allow(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use floodwall_model::packet::{
    Guards, PacketAttr, PacketPlan, PacketPredicate, PacketRule, PacketSignature,
};
use floodwall_model::{Ban, Collateral, Evidence, Family, Mode, Protected, RuleId, Source};
use floodwall_xdp::{AttachRequest, KernelFilter};

/// A run that goes on for longer measures nothing new.
const SECONDS_MAX: u64 = 30;
/// Packets of one run at most; beyond them it ends early.
const PACKETS_MAX: u64 = 100_000_000;
/// Frames of one sendmmsg call.
const BATCH: usize = 64;
/// Different sources that one run sends from at most: their frames are made beforehand.
const SOURCES_MAX: u32 = 65_536;
/// ETH_P_IP in network order: what a packet socket wants to know.
const PROTOCOL_BE: u16 = 0x0800u16.to_be();

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["send", interface, seconds, sources, mac] => {
            send(interface, seconds.parse()?, sources.parse()?, parse_mac(mac)?)
        }
        ["filter", interface, what, bans] => filter(interface, what, bans.parse()?),
        _ => Err("see the head of this file".into()),
    }
}

/// The n-th source; as in packet_cost.rs, so that one list of bans serves both.
fn source(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 | (n.wrapping_mul(0x9e_3779) & 0x00ff_ffff))
}

fn parse_mac(text: &str) -> Result<[u8; 6], Failure> {
    let bytes: Result<Vec<u8>, _> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes?.try_into().map_err(|_| "a MAC address has six bytes".into())
}

/// UDP from `from` port 1,234 to 198.18.0.2 port 9 (RFC 2544's network for benchmarks).
fn frame(mac: [u8; 6], from: Ipv4Addr) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 46, 0, 1, 0x40, 0, 64, 17, 0, 0];
    ip.extend(from.octets());
    ip.extend([198, 18, 0, 2]);
    let sum = ip.chunks(2).map(|w| w.iter().fold(0u32, |all, b| all << 8 | u32::from(*b)));
    let sum: u32 = sum.sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    let (head, rest) = ip.split_at(10);
    let ip = [head, &sum.to_be_bytes(), rest.get(2..).unwrap_or_default()].concat();
    let udp = [1234u16.to_be_bytes(), 9u16.to_be_bytes(), 26u16.to_be_bytes(), [0, 0]].concat();
    [&mac[..], &[2, 0, 0, 0, 0, 9], &[8, 0], &ip, &udp, &[7; 18]].concat()
}

fn send(interface: &str, seconds: u64, sources: u32, mac: [u8; 6]) -> Result<(), Failure> {
    if !is_veth(interface)? {
        return Err(format!("{interface} is no veth of this namespace").into());
    }
    let socket = packet_socket(interface)?;
    let frames: Vec<Vec<u8>> =
        (0..sources.clamp(1, SOURCES_MAX)).map(|n| frame(mac, source(n))).collect();
    let mut parts: Vec<libc::iovec> = frames
        .iter()
        .map(|f| libc::iovec { iov_base: f.as_ptr().cast_mut().cast(), iov_len: f.len() })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: mmsghdr is plain numbers and pointers, for which all zeros is a value.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let (start, limit) = (Instant::now(), Duration::from_secs(seconds.min(SECONDS_MAX)));
    let mut packets = 0u64;
    while start.elapsed() < limit && packets < PACKETS_MAX {
        for batch in messages.chunks_mut(BATCH) {
            // SAFETY: `batch` is that many headers; each points to a part in `parts`, which points
            // to a frame in `frames`. All live to the end of this function, and sending only reads.
            let sent = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), batch.as_mut_ptr(), batch.len() as u32, 0)
            };
            match u64::try_from(sent) {
                Ok(sent) => packets += sent,
                // The other end's queue is full: this packet was lost and is not counted as sent.
                Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => return Err(io::Error::last_os_error().into()),
            }
        }
    }
    println!("{packets} {}", start.elapsed().as_nanos());
    Ok(())
}

/// Whether this namespace's `interface` is a veth, asked of its driver.
fn is_veth(interface: &str) -> Result<bool, Failure> {
    let answer =
        std::process::Command::new("ip").args(["-d", "link", "show", "dev", interface]).output()?;
    Ok(String::from_utf8_lossy(&answer.stdout).contains("veth"))
}

/// A packet socket on `interface` that leaves the queueing discipline out.
fn packet_socket(interface: &str) -> Result<OwnedFd, Failure> {
    let name = std::ffi::CString::new(interface)?;
    // SAFETY: `name` is a string with its closing zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    // SAFETY: no pointers are passed.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if index == 0 || raw < 0 {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: `raw` was opened a moment ago and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all zeros is a value of sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = PROTOCOL_BE;
    address.sll_ifindex = i32::try_from(index)?;
    let length = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: pointer and length are those of `address`.
    let bound = unsafe { libc::bind(raw, (&raw const address).cast(), length) };
    let on: libc::c_int = 1;
    // SAFETY: pointer and length are those of `on`.
    let bypassed = unsafe {
        libc::setsockopt(
            raw,
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
    if bound != 0 || bypassed != 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(socket)
}

fn filter(interface: &str, what: &str, bans: u32) -> Result<(), Failure> {
    let request = AttachRequest {
        interface: Some(interface.to_owned()),
        max_bans: bans.max(1),
        ..AttachRequest::default()
    };
    let mut filter = KernelFilter::attach(&request)?;
    match what {
        "pass" => {}
        "banned" => {
            for n in 0..bans {
                ban(&mut filter, source(n).into())?;
            }
        }
        "signature" => {
            filter.apply(&signature()?, now_ms())?;
        }
        other => return Err(format!("{other} is no such filter").into()),
    }
    let tier = filter.tier().map(|report| format!("{:?}", report.tier)).unwrap_or_default();
    println!("ready {tier}");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    let counters = filter.counters()?;
    println!("seen {} dropped {}", counters.packets_seen, counters.dropped);
    Ok(())
}

fn ban(filter: &mut KernelFilter, address: IpAddr) -> Result<(), Failure> {
    let ban = Ban {
        source: Source::new(address),
        from_ms: 0,
        until_ms: floodwall_model::limits::BAN_TTL_MS_MAX,
        handshake: true,
        blocked: 20,
    };
    filter.ban(&ban.check(&Protected::default())?, 0)?;
    Ok(())
}

/// One rule of three attributes that the sender's packets match.
fn signature() -> Result<floodwall_model::packet::CheckedPacketPlan, Failure> {
    let made_at_ms = now_ms();
    let evidence =
        |family| Evidence { family, log_odds: 3.0, statement: "a measurement".to_owned() };
    let rule = PacketRule {
        id: RuleId(1),
        signature: PacketSignature::new(vec![
            PacketPredicate::Is(PacketAttr::Protocol, 17),
            PacketPredicate::Is(PacketAttr::SourcePort, 1234),
            PacketPredicate::Between(PacketAttr::Ttl, 32, 128),
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
        rules: vec![rule],
        guards: Guards::default(),
        guards_until_ms: made_at_ms + 120_000,
    };
    let (checked, rejected) = plan.check();
    if rejected.is_empty() { Ok(checked) } else { Err("the rule was rejected".into()) }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
