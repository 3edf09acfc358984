//! Whom a ban would cut this host off from: its default gateways, and the IPv6 networks of its own
//! links, since an IPv6 ban takes a whole /64.
//!
//! Read from /proc (fib_route_seq_show in net/ipv4/fib_trie.c, rt6_info_route and if6_seq_show in
//! net/ipv6), and read again while running: routes change with every renewed lease.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use floodwall_model::Prefix;

/// RTF_UP and RTF_GATEWAY in the kernel's include/uapi/linux/route.h.
const UP_GATEWAY: u32 = 0x0003;
/// Read of each table, bytes: some 8,000 routes. What comes later is not seen.
const TABLE_BYTES_MAX: u64 = 1 << 20;
/// Neighbours taken. When there are more: the rest may be banned, as anybody.
const NEIGHBOURS_MAX: usize = 256;

/// Default gateways and own links of the calling thread's network namespace. A table that cannot be
/// read says nothing.
pub(crate) fn neighbours() -> Vec<Prefix> {
    let read = |name: &str, parse: fn(&str) -> Option<Prefix>| -> Vec<Prefix> {
        let Ok(file) = File::open(format!("/proc/thread-self/net/{name}")) else {
            return Vec::new();
        };
        let lines = BufReader::new(file.take(TABLE_BYTES_MAX)).lines();
        lines.map_while(Result::ok).filter_map(|line| parse(&line)).take(NEIGHBOURS_MAX).collect()
    };
    let mut found =
        [read("route", gateway_v4), read("ipv6_route", gateway_v6), read("if_inet6", own_link)]
            .concat();
    found.sort_unstable();
    found.dedup();
    found.truncate(NEIGHBOURS_MAX);
    found
}

/// `eth0 00000000 0100A8C0 0003 …`: interface, destination, gateway, flags, and the mask as the
/// eighth; addresses in this host's byte order.
fn gateway_v4(line: &str) -> Option<Prefix> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let hex = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
    let (destination, gateway, flags, mask) = (hex(1)?, hex(2)?, hex(3)?, hex(7)?);
    let default = destination == 0 && mask == 0 && flags & UP_GATEWAY == UP_GATEWAY;
    let address = Ipv4Addr::from(gateway.to_ne_bytes());
    (default && !address.is_unspecified()).then(|| Prefix::new(IpAddr::V4(address), 32))
}

/// Destination, its length, source, its length, next hop…: addresses as 32 digits.
fn gateway_v6(line: &str) -> Option<Prefix> {
    let mut words = line.split_whitespace();
    let destination = v6(words.next()?)?;
    let bits = u8::from_str_radix(words.next()?, 16).ok()?;
    let gateway = v6(words.nth(2)?)?;
    let default = destination.is_unspecified() && bits == 0 && !gateway.is_unspecified();
    default.then(|| Prefix::new(IpAddr::V6(gateway), 128))
}

/// Address, index, length, scope, flags, interface.
fn own_link(line: &str) -> Option<Prefix> {
    let address = v6(line.split_whitespace().next()?)?;
    let own = !address.is_loopback() && !address.is_unspecified();
    own.then(|| Prefix::new(IpAddr::V6(address), 64))
}

fn v6(digits: &str) -> Option<Ipv6Addr> {
    let address = u128::from_str_radix(digits, 16).ok()?;
    (digits.len() == 32).then(|| Ipv6Addr::from(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Option<Prefix> {
        Some(text.parse().unwrap())
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn gateways_and_links_are_read_as_the_kernel_writes_them() {
        let default = "eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
        assert_eq!(gateway_v4(default), prefix("192.168.2.1"));
        let network = "eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0";
        let no_gateway = "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0";
        let half = "eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0";
        for line in [network, no_gateway, half, "Iface\tDestination\tGateway", ""] {
            assert_eq!(gateway_v4(line), None, "{line}");
        }
        let zeros = "0".repeat(32);
        let hop = "fe800000000000000000000000000001";
        let default =
            format!("{zeros} 00 {zeros} 00 {hop} 00000400 00000001 00000000 00000003 eth0");
        assert_eq!(gateway_v6(&default), prefix("fe80::1"));
        let lost = format!("{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200 lo");
        assert_eq!(gateway_v6(&lost), None);
        let own = "20010db800010002000000000000000a 02 40 00 80 eth0";
        assert_eq!(own_link(own), prefix("2001:db8:1:2::/64"));
        let loopback = "00000000000000000000000000000001 01 80 10 80 lo";
        assert_eq!(own_link(loopback), None);
    }
}
