//! A kernel map as memory: array maps that the kernel lets user space map (BPF_F_MMAPABLE) are
//! written word by word, each word whole, while the program reads them. A system call per entry
//! would cost a thousand times as much and no less.
//!
//! One of the few files of this crate that may use `unsafe`. Offsets are the loader's own and
//! never come from the network; one that lies outside is a mistake of ours and panics.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Memory shared with the kernel.
#[derive(Debug)]
pub(crate) struct Mapped {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory is reached through atomics only, from whatever thread.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// The first `bytes` bytes of the map behind `fd`.
    pub(crate) fn of(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<Mapped> {
        Mapped::map(bytes, libc::MAP_SHARED, fd.as_raw_fd())
    }

    /// Memory of no map, all zeros.
    #[cfg(test)]
    pub(crate) fn anonymous(bytes: usize) -> io::Result<Mapped> {
        Mapped::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
    }

    fn map(bytes: usize, flags: i32, fd: i32) -> io::Result<Mapped> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so nothing that exists is mapped over; length
        // and descriptor are checked by the kernel.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Mapped { base, bytes })
    }

    /// The eight bytes at `offset`.
    pub(crate) fn u64_at(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes, "u64 at {offset}");
        // SAFETY: within the mapping and aligned (a mapping begins on a page), both just checked;
        // the mapping lives as long as `self`; callers use one width for any byte.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }

    /// The four bytes at `offset`.
    pub(crate) fn u32_at(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "u32 at {offset}");
        // SAFETY: as for u64_at.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: exactly what map() mapped, and nothing borrows from it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn words_are_where_they_were_put() {
        let memory = Mapped::anonymous(4096).unwrap();
        memory.u64_at(8).store(7, Relaxed);
        memory.u32_at(4092).store(9, Relaxed);
        assert_eq!(memory.u64_at(8).load(Relaxed), 7);
        assert_eq!(memory.u32_at(4092).load(Relaxed), 9);
    }

    #[test]
    #[should_panic(expected = "u64 at 4096")]
    fn nothing_lies_outside() {
        Mapped::anonymous(4096).unwrap().u64_at(4096);
    }
}
