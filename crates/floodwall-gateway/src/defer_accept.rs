//! TCP_DEFER_ACCEPT, the one socket option here that no safe library offers.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Lets the kernel keep connections back for `seconds` until their first bytes are there (tcp(7)).
/// 0 turns it off.
pub(crate) fn set(socket: impl AsFd, seconds: u32) -> io::Result<()> {
    let value: libc::c_int = seconds.min(i32::MAX as u32) as libc::c_int;
    // SAFETY: `socket` keeps the descriptor open during the call; the pointer is to a live c_int
    // and the length is its size, as setsockopt(2) asks; the kernel only reads it.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
