//! Frames onto a wire as fast as one core goes, for tests in network namespaces of their own.
//!
//! It must never send without an end: every sender has a number of packets and a time after which
//! it stops by itself.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Frames handed to the kernel by one system call.
const FRAMES_PER_CALL: usize = 64;
/// PACKET_QDISC_BYPASS in linux/if_packet.h: straight to the driver.
const PACKET_QDISC_BYPASS: libc::c_int = 20;
/// When a sender stops, whichever comes first.
#[derive(Copy, Clone, Debug)]
pub(crate) struct SendLimits {
    pub(crate) packets_max: u64,
    pub(crate) time_max: Duration,
}

/// What a sender did.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sent {
    /// Frames that the driver took.
    pub(crate) packets: u64,
    /// Frames that it did not: the receiver's queue was full.
    pub(crate) overflowed: u64,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl Sent {
    pub(crate) fn rate_pps(&self) -> f64 {
        self.packets as f64 / self.ended.duration_since(self.began).as_secs_f64().max(0.001)
    }
}

/// Keeps the calling thread, and those it starts later, on one core. False: there is no such core
/// for this process.
pub(crate) fn stay_on_core(core: usize) -> bool {
    // SAFETY: a zeroed cpu_set_t is the empty set; CPU_SET writes inside it for any core below
    // CPU_SETSIZE, and the call reads exactly the size given.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core % libc::CPU_SETSIZE as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    result == 0
}

fn checked(result: libc::c_int) -> libc::c_int {
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result
}

/// A raw socket on `interface` of the calling thread's network namespace. It receives nothing.
fn open(interface: &str) -> OwnedFd {
    let name = CString::new(interface).unwrap();
    // SAFETY: the name ends with a zero; the address is a zeroed sockaddr_ll with its fields set
    // and is passed with its size, as is the option's int.
    unsafe {
        let socket =
            OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)));
        let index = libc::if_nametoindex(name.as_ptr());
        assert_ne!(index, 0, "{interface}: {}", io::Error::last_os_error());
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = index as libc::c_int;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        checked(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size));
        let on: libc::c_int = 1;
        checked(libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        ));
        socket
    }
}

/// Sends `frames` over `interface`, again and again from the first, until a limit is reached. Call
/// it on a thread in the sender's network namespace.
pub(crate) fn send(interface: &str, frames: &[Vec<u8>], limits: SendLimits) -> Sent {
    assert!(!frames.is_empty());
    let socket = open(interface);
    let parts: Vec<libc::iovec> = frames
        .iter()
        .map(|frame| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter()
        .map(|part| {
            // SAFETY: a zeroed mmsghdr is one without name and control data.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            // The kernel only reads what it is sent from.
            message.msg_hdr.msg_iov = std::ptr::from_ref(part).cast_mut();
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let began = Instant::now();
    let (mut packets, mut overflowed, mut at) = (0u64, 0u64, 0usize);
    while packets + overflowed < limits.packets_max && began.elapsed() < limits.time_max {
        let count = FRAMES_PER_CALL.min(messages.len() - at);
        let next = &mut messages[at..at + count];
        // SAFETY: `next` holds `count` headers whose parts and frames are borrowed until the end
        // of this function.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), next.as_mut_ptr(), count as libc::c_uint, 0)
        };
        // What the driver refused ends the call, and is reported by the next when it comes first.
        let passed = match usize::try_from(sent) {
            Ok(sent) => {
                packets += sent as u64;
                sent
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS), "{interface}: {error}");
                overflowed += 1;
                1
            }
        };
        at = (at + passed) % messages.len();
    }
    Sent { packets, overflowed, began, ended: Instant::now() }
}
