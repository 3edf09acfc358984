//! The system calls that neither std nor aya offer: the kernel's clock and an interface's kind.
//!
//! One of the few files of this crate that may use `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Now in ns on CLOCK_MONOTONIC, the clock of `bpf_ktime_get_ns` and, up to a timer tick behind it,
/// of `bpf_ktime_get_coarse_ns` (kernel/bpf/helpers.c). They differ only inside a time namespace with an offset, which
/// time_namespaces(7) creates and containers do not use.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec that lives through the call; the kernel writes only to it.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    // The call fails only for an unknown clock or a bad pointer (clock_gettime(2)).
    debug_assert_eq!(status, 0);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// The kind of link layer of `interface` (ARPHRD_* in linux/if_arp.h), asked of the network
/// namespace of the calling thread, which sysfs does not follow.
///
/// # Errors
/// ENODEV when there is no such interface, or it has a name no interface can have.
pub(crate) fn link_layer(interface: &str) -> io::Result<u16> {
    let answer = ask_interface(interface, libc::SIOCGIFHWADDR)?;
    // SAFETY: a successful SIOCGIFHWADDR has written ifr_hwaddr, and any bytes are a sockaddr.
    Ok(unsafe { answer.ifr_ifru.ifru_hwaddr.sa_family })
}

/// The longest packet that `interface` sends, bytes, asked likewise.
///
/// # Errors
/// As [`link_layer`].
pub(crate) fn mtu(interface: &str) -> io::Result<u32> {
    let answer = ask_interface(interface, libc::SIOCGIFMTU)?;
    // SAFETY: a successful SIOCGIFMTU has written ifr_mtu, and any bytes are an int.
    Ok(u32::try_from(unsafe { answer.ifr_ifru.ifru_mtu }).unwrap_or(0))
}

/// The request of netdevice(7) with the name of `interface` in it.
///
/// # Errors
/// ENODEV for a name that no interface can have.
pub(crate) fn interface_request(interface: &str) -> io::Result<libc::ifreq> {
    let no_such = || io::Error::from_raw_os_error(libc::ENODEV);
    // SAFETY: ifreq is plain bytes for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = interface.as_bytes();
    // One byte stays for the closing zero.
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains(&0) {
        return Err(no_such());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    Ok(request)
}

/// A socket to ask about interfaces of the calling thread's network namespace, and of that one for
/// as long as it is open.
pub(crate) fn socket_for_questions() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed; the result is checked below.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `socket` was just opened and is owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// One question of netdevice(7) about an interface.
fn ask_interface(interface: &str, question: libc::Ioctl) -> io::Result<libc::ifreq> {
    let mut request = interface_request(interface)?;
    let socket = socket_for_questions()?;
    // SAFETY: every question asked here reads the name and writes into the ifreq it is given,
    // which lives through the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), question, &mut request) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(request)
}

/// Every address of every interface in the calling thread's network namespace (getifaddrs(3)).
pub(crate) fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: it writes a pointer to a list into `first`, freed below.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut next = first;
    // SAFETY: `next` is null or an entry of the list, which lives until it is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: ifa_addr is null or a socket address that lives as long as the list.
        if let Some(address) = unsafe { entry.ifa_addr.as_ref() } {
            match i32::from(address.sa_family) {
                libc::AF_INET => {
                    // SAFETY: an address of this family is a sockaddr_in.
                    let v4 = unsafe { &*entry.ifa_addr.cast::<libc::sockaddr_in>() };
                    addresses.push(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()).into());
                }
                libc::AF_INET6 => {
                    // SAFETY: an address of this family is a sockaddr_in6.
                    let v6 = unsafe { &*entry.ifa_addr.cast::<libc::sockaddr_in6>() };
                    addresses.push(Ipv6Addr::from(v6.sin6_addr.s6_addr).into());
                }
                _ => {}
            }
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list that getifaddrs gave, freed once; nothing of it is kept.
    unsafe { libc::freeifaddrs(first) };
    Ok(addresses)
}

/// The number of `interface` in the calling thread's network namespace.
///
/// # Errors
/// As [`link_layer`].
pub(crate) fn interface_index(interface: &str) -> io::Result<u32> {
    let answer = ask_interface(interface, libc::SIOCGIFINDEX)?;
    // SAFETY: a successful SIOCGIFINDEX has written ifru_ifindex, and any bytes are an int.
    Ok(u32::try_from(unsafe { answer.ifr_ifru.ifru_ifindex }).unwrap_or(0))
}

/// The names of the interfaces that are up and have an IP address, sorted.
pub(crate) fn interfaces_with_address() -> io::Result<Vec<String>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: it writes a pointer to a list into `first`, freed below.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut names = std::collections::BTreeSet::new();
    let mut next = first;
    // SAFETY: `next` is null or an entry of the list, which lives until it is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: ifa_addr is null or a socket address that lives as long as the list.
        let family = unsafe { entry.ifa_addr.as_ref() }.map(|a| i32::from(a.sa_family));
        let up = entry.ifa_flags & libc::IFF_UP as libc::c_uint != 0;
        if up && matches!(family, Some(libc::AF_INET | libc::AF_INET6)) {
            // SAFETY: ifa_name is a string that ends with a zero and lives as long as the list.
            let name = unsafe { std::ffi::CStr::from_ptr(entry.ifa_name) };
            names.insert(name.to_string_lossy().into_owned());
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list that getifaddrs gave, freed once; nothing of it is kept.
    unsafe { libc::freeifaddrs(first) };
    Ok(names.into_iter().collect())
}

/// Moves the calling thread, and it alone, into a new network namespace, which ends with it.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub(crate) fn enter_own_network() -> io::Result<()> {
    // SAFETY: unshare(2) takes no pointers; CLONE_NEWNET changes nothing but which network
    // namespace this thread's later calls refer to.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Returns when every CPU has left what it was doing in the kernel, BPF programs among it
/// (membarrier(2), MEMBARRIER_CMD_GLOBAL waits for synchronize_rcu). Some milliseconds.
pub(crate) fn wait_for_packets_in_flight() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: membarrier takes no pointers.
    let status = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if status != 0 {
        // A kernel without it: a packet takes less than a microsecond.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back() {
        let first = monotonic_ns();
        assert!(first > 0 && monotonic_ns() >= first);
    }

    #[test]
    fn this_host_has_a_loopback_address() {
        assert!(local_addresses().unwrap().iter().any(IpAddr::is_loopback));
    }

    #[test]
    fn loopback_is_of_the_loopback_kind() {
        assert_eq!(link_layer("lo").unwrap(), libc::ARPHRD_LOOPBACK);
    }

    #[test]
    fn names_no_interface_can_have_are_no_such_interface() {
        for name in ["", "nosuchif0", "a\0b", "a-name-longer-than-the-kernel-takes"] {
            assert_eq!(link_layer(name).unwrap_err().raw_os_error(), Some(libc::ENODEV), "{name}");
        }
    }
}
