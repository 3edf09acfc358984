//! Which ports of this host somebody listens on, as /proc tells it: the guards must know them, so
//! that no running service is cut off.
//!
//! The format is that of tcp4_seq_show and udp4_seq_show in the kernel's net/ipv4, and their IPv6
//! sisters: a heading, then a line per socket with its own address, the peer's and the state.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use floodwall_xdp::Services;

/// TCP_LISTEN and TCP_CLOSE in the kernel's include/net/tcp_states.h; a UDP socket without a peer
/// is closed.
const LISTEN: &str = "0A";
const CLOSE: &str = "07";
/// Read of each table, bytes: some 25,000 sockets. What comes later is not seen; the kernel lists
/// TCP listeners before everything else.
const TABLE_BYTES_MAX: u64 = 4 << 20;

/// The ports that are open now in the calling thread's network namespace. Sockets of the loopback
/// addresses count only with `loopback`: nobody reaches them from outside. A table that cannot be
/// read (no IPv6, no /proc) has no ports.
pub(crate) fn listening(loopback: bool) -> Services {
    let read = |name: &str, state| match File::open(format!("/proc/thread-self/net/{name}")) {
        Ok(file) => ports(BufReader::new(file.take(TABLE_BYTES_MAX)), state, loopback),
        Err(_) => Vec::new(),
    };
    let both = |v4, v6, state| sorted([read(v4, state), read(v6, state)].concat());
    Services { tcp: both("tcp", "tcp6", LISTEN), udp: both("udp", "udp6", CLOSE) }
}

/// In order, each once, so that two lists of the same ports are equal.
pub(crate) fn sorted(mut ports: Vec<u16>) -> Vec<u16> {
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The own ports of the sockets in `state`. Of TCP, whose listeners come first, no more is read
/// than needed.
fn ports(table: impl BufRead, state: &str, loopback: bool) -> Vec<u16> {
    let mut ports = Vec::new();
    for line in table.lines().skip(1).map_while(Result::ok) {
        let mut words = line.split_whitespace().skip(1);
        let (Some(own), Some(_peer), Some(found)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if found != state {
            if state == LISTEN {
                break;
            }
            continue;
        }
        if let Some((address, port)) = socket(own)
            && port != 0
            && (loopback || !address.is_loopback())
        {
            ports.push(port);
        }
    }
    ports
}

/// `0100007F:0035`: the address in words of 32 bits of this host's byte order, and the port.
fn socket(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    Some((host_order(address)?, u16::from_str_radix(port, 16).ok()?))
}

fn host_order(text: &str) -> Option<IpAddr> {
    let word = |at: usize| -> Option<[u8; 4]> {
        Some(u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut octets = [0; 16];
            for (at, four) in octets.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            let v6 = Ipv6Addr::from(octets);
            // ::ffff:127.0.0.1 is the loopback address too.
            Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n";

    fn read(lines: &str, state: &str, loopback: bool) -> Vec<u16> {
        ports(format!("{HEADING}{lines}").as_bytes(), state, loopback)
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn ports_are_read_as_the_kernel_writes_them() {
        let tcp = "   0: 00000000:0050 00000000:0000 0A 00000000:00000000\n\
                   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
                   2: 0100000A:0050 0200000A:C350 01 00000000:00000000\n\
                   3: 00000000:0051 00000000:0000 0A 00000000:00000000\n";
        assert_eq!(read(tcp, LISTEN, false), [80], "connections end the list");
        assert_eq!(read(tcp, LISTEN, true), [80, 8080]);
        let udp = "  10: 00000000:0035 00000000:0000 07 00000000:00000000\n\
                   11: 3500007F:0035 00000000:0000 07 00000000:00000000\n\
                   12: 0100000A:9C40 08080808:0035 01 00000000:00000000\n\
                   13: 00000000:CA6C 00000000:0000 07 00000000:00000000\n";
        assert_eq!(read(udp, CLOSE, false), [53, 51_820], "what has a peer is an own question");
        let v6 = "  0: 00000000000000000000000000000000:01BB 0:0 0A\n\
                  1: 00000000000000000000000001000000:0277 0:0 0A\n\
                  2: 0000000000000000FFFF00000100007F:0278 0:0 0A\n";
        assert_eq!(read(v6, LISTEN, false), [443], "::1 and ::ffff:127.0.0.1 are loopback");
    }

    #[test]
    fn lines_of_another_form_say_nothing() {
        for line in
            ["", "1:", "1: x y 0A", "1: 00000000 0 0A", "1: 000000:0050 0:0 0A", "1: é:é é 0A"]
        {
            assert_eq!(read(line, LISTEN, true), [0u16; 0], "{line:?}");
        }
    }

    #[test]
    fn an_open_port_of_this_process_is_found() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (tcp, udp) = (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
        let found = listening(true);
        assert!(found.tcp.contains(&tcp) && found.udp.contains(&udp), "{found:?}");
        let outside = listening(false);
        assert!(!outside.tcp.contains(&tcp) && !outside.udp.contains(&udp), "{outside:?}");
    }
}
