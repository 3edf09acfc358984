//! The system calls that neither std nor aya offer: the kernel's clock and an interface's kind.
//!
//! One of the two files of this crate that may use `unsafe`.
#![allow(unsafe_code)]

use std::io;
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
    // SAFETY: no pointers are passed; the result is checked below.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `socket` was just opened and is owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: SIOCGIFHWADDR reads the name and writes the address into the ifreq it is given
    // (netdevice(7)), which lives through the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &mut request) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a successful SIOCGIFHWADDR has written ifr_hwaddr, and any bytes are a sockaddr.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr.sa_family })
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
