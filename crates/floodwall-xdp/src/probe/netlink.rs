//! One question to the kernel over netlink (RFC 3549), and the attributes of its answer.
//!
//! One of the few files of this crate that may use `unsafe`: to open the socket. It must never ask
//! for anything to be changed.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// struct nlmsghdr in linux/netlink.h, bytes.
const HEADER: usize = 16;
/// NLMSG_ERROR and NLM_F_REQUEST there.
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
/// Longest answer; one interface's needs a few KiB. A longer one is cut by the kernel and then
/// refused as malformed.
const ANSWER_MAX: usize = 64 * 1024;

/// Asks `protocol` (NETLINK_ROUTE, NETLINK_GENERIC) a question that has one answer, whose body is
/// returned. Of the calling thread's network namespace.
pub(crate) fn ask(protocol: libc::c_int, kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = open(protocol)?;
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    socket.write_all(&message)?;
    let mut answer = vec![0; ANSWER_MAX];
    let read = socket.read(&mut answer)?;
    answer.truncate(read);
    body_of(&answer)
}

fn open(protocol: libc::c_int) -> io::Result<File> {
    // SAFETY: no pointers are passed; the result is checked below.
    let socket =
        unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and is owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let limit = libc::timeval { tv_sec: 1, tv_usec: 0 };
    // SAFETY: the option is a timeval, which lives through the call and is passed with its size.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const limit).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(File::from(socket))
}

fn body_of(answer: &[u8]) -> io::Result<Vec<u8>> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let length = u32_at(answer, 0).ok_or_else(malformed)? as usize;
    let body = answer.get(HEADER..length).ok_or_else(malformed)?;
    if u16_at(answer, 4) == Some(ERROR) {
        let number = u32_at(body, 0).ok_or_else(malformed)? as i32;
        return Err(io::Error::from_raw_os_error(number.wrapping_neg()));
    }
    Ok(body.to_vec())
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The attribute `kind` among `attributes` (struct nlattr in linux/netlink.h). The two uppermost
/// bits of a kind are flags.
pub(crate) fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let found = u16_at(attributes, 2)? & 0x3fff;
        let value = attributes.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(list: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, value) in list {
            bytes.extend((4 + value.len() as u16).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn an_attribute_is_found_behind_others_of_odd_length() {
        let bytes = attributes(&[(3, b"eth0\0"), (0x8000 | 43, &[7, 7])]);
        assert_eq!(attribute(&bytes, 43), Some([7, 7].as_slice()));
        assert_eq!(attribute(&bytes, 44), None);
    }

    #[test]
    fn attributes_that_lie_about_their_length_are_none() {
        for bytes in [&[][..], &[0, 0, 9, 0], &[3, 0, 9, 0], &[255, 255, 9, 0, 1]] {
            assert_eq!(attribute(bytes, 43), None, "{bytes:?}");
        }
        for answer in [&[][..], &[16, 0, 0, 0], &[255; 20]] {
            assert!(body_of(answer).is_err(), "{answer:?}");
        }
    }
}
