//! What a packet costs in the kernel filter on this host: ns for each path, with none, a thousand
//! and a hundred thousand bans, through the kernel's test run. Run it in release mode, as root:
//!
//! `cargo run --release -p floodwall-xdp --example ban_cost`
//!
//! Part of every figure is the test run's own loop: the line about ARP, which is parsed no further
//! than its type, and counted, is the floor to compare with. What the driver and the rest of the
//! stack cost is left out. In the hot columns all packets come from one source, whose entry stays
//! in the cache; in the cold ones each comes from another, but each figure then includes starting
//! a test run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use floodwall_model::{Ban, Protected, Source};
use floodwall_xdp::{BANS_DEFAULT, DryRun, Verdict};

/// Runs of one packet that are averaged. A few milliseconds at most.
const REPEAT: u32 = 100_000;
/// The best of so many such averages, since noise only adds.
const ROUNDS: usize = 7;
/// Sources visited in turn for the cold figure; more than a core's L2 cache holds entries of.
const COLD_SOURCES: u32 = 20_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    println!("ns per packet, best of {ROUNDS} x {REPEAT} runs; cold: median of single runs");
    println!("{:>9}  {:>28}  {:>28}  {:>14}", "", "XDP", "socket filter", "XDP cold");
    println!(
        "{:>9}  {:>6} {:>6} {:>6} {:>7}  {:>6} {:>6} {:>6} {:>7}  {:>6} {:>7}",
        "bans", "v4", "v4 ban", "v6", "v6 ban", "v4", "v4 ban", "v6", "v6 ban", "v4", "v4 ban"
    );
    let mut run = DryRun::new(BANS_DEFAULT)?;
    let floor = hot(&mut run, false, &frame_arp(), Verdict::Pass)?;
    println!("{:>9}  {floor:>6}   an ARP packet: the test run itself, and counting", "");
    for bans in [0, 1_000, 100_000] {
        let mut run = DryRun::new(BANS_DEFAULT)?;
        for n in 0..bans {
            ban(&mut run, v4(n).into())?;
            ban(&mut run, v6(n).into())?;
        }
        let absent = 5_000_000;
        let present = (bans > 0).then_some(bans / 2);
        print!("{bans:>9}");
        for socket_filter in [false, true] {
            print!(
                "  {:>6} {:>6} {:>6} {:>7}",
                hot(&mut run, socket_filter, &frame_v4(v4(absent)), Verdict::Pass)?,
                or_dash(present, |n| {
                    hot(&mut run, socket_filter, &frame_v4(v4(n)), Verdict::Drop)
                })?,
                hot(&mut run, socket_filter, &frame_v6(v6(absent)), Verdict::Pass)?,
                or_dash(present, |n| {
                    hot(&mut run, socket_filter, &frame_v6(v6(n)), Verdict::Drop)
                })?,
            );
        }
        println!(
            "  {:>6} {:>7}",
            cold(&mut run, |n| absent + n)?,
            or_dash(present, |_| cold(&mut run, |n| n * 7 % bans))?
        );
    }
    Ok(())
}

/// The best average of one packet run over and over.
fn hot(
    run: &mut DryRun,
    socket_filter: bool,
    frame: &[u8],
    expected: Verdict,
) -> Result<String, Failure> {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let outcome = match socket_filter {
            true => run.socket_filter(frame, REPEAT)?,
            false => run.xdp(frame, REPEAT)?,
        };
        assert_eq!(outcome.verdict, expected);
        best = best.min(outcome.per_packet);
    }
    Ok(best.as_nanos().to_string())
}

/// The median of single runs, each from another source. A single run includes what it costs the
/// kernel to read the clock.
fn cold(run: &mut DryRun, source: impl Fn(u32) -> u32) -> Result<String, Failure> {
    let mut times = Vec::new();
    for n in 0..COLD_SOURCES {
        times.push(run.xdp(&frame_v4(v4(source(n))), 1)?.per_packet);
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).map_or_else(String::new, |t| t.as_nanos().to_string()))
}

/// Without bans there is no banned packet to time.
fn or_dash(
    present: Option<u32>,
    time: impl FnOnce(u32) -> Result<String, Failure>,
) -> Result<String, Failure> {
    present.map_or_else(|| Ok("-".to_owned()), time)
}

/// The n-th source, spread over 10.0.0.0/8 (odd multiplier: no two are the same).
fn v4(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 | (n.wrapping_mul(0x9e_3779) & 0x00ff_ffff))
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

/// A minimal Ethernet frame of 60 bytes with a TCP SYN's worth of IPv4.
fn frame_v4(source: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    frame.extend([0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(source.octets());
    frame.extend([198, 51, 100, 1]);
    frame.resize(60, 0);
    frame
}

/// A frame that is not IP.
fn frame_arp() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x06];
    frame.resize(60, 0);
    frame
}

/// A minimal frame with as much of IPv6.
fn frame_v6(source: Ipv6Addr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, 20, 6, 64]);
    frame.extend(source.octets());
    frame.extend(Ipv6Addr::LOCALHOST.octets());
    frame.resize(74, 0);
    frame
}
