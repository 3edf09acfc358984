//! An origin's byte stream as the engine wants it, with a count of what came.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::upstream::UpstreamFacts;

/// An origin's byte stream.
pub(crate) struct UpstreamIo {
    tcp: TcpStream,
    /// Read into first: handing the engine's own buffer to the socket would need unsafe code, and
    /// the copy is small beside the system call.
    scratch: Rc<RefCell<Box<[u8]>>>,
    facts: Rc<UpstreamFacts>,
}

impl UpstreamIo {
    pub(crate) fn new(
        tcp: TcpStream,
        scratch: Rc<RefCell<Box<[u8]>>>,
        facts: Rc<UpstreamFacts>,
    ) -> Self {
        UpstreamIo { tcp, scratch, facts }
    }

    pub(crate) fn into_tcp(self) -> TcpStream {
        self.tcp
    }
}

impl hyper::rt::Read for UpstreamIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut scratch = this.scratch.borrow_mut();
        let max = scratch.len().min(buf.remaining());
        let mut read = ReadBuf::new(&mut scratch[..max]);
        ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut read))?;
        this.facts.received.set(this.facts.received.get() + read.filled().len() as u64);
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for UpstreamIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
