//! Opening listeners: one socket per worker and address, spread by the kernel (SO_REUSEPORT).

use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Listener;
use crate::defer_accept;
use crate::error::BindError;

/// Connections the kernel may hold ready for us. More than `somaxconn` is cut to it.
const BACKLOG: i32 = 4_096;

/// The sockets of one listener, one per worker.
#[derive(Debug)]
pub(crate) struct OpenListener {
    /// As configured.
    pub(crate) listener: Listener,
    /// As bound: with the port the kernel chose for port 0.
    pub(crate) local: SocketAddr,
    pub(crate) sockets: Vec<std::net::TcpListener>,
}

/// Opens `listener` for `workers` workers.
pub(crate) fn open(
    listener: Listener,
    workers: usize,
    defer_accept_s: u32,
) -> Result<OpenListener, BindError> {
    // SO_REUSEPORT would let a second gateway of the same user take half of the first one's
    // connections in silence; a plain bind beforehand finds that out.
    match bind(listener.addr, false) {
        Ok(probe) => drop(probe),
        Err(source) => return Err(BindError { addr: listener.addr, source }),
    }
    open_beside(listener, workers, defer_accept_s)
}

/// The same where sockets of our own are open at the address already.
pub(crate) fn open_beside(
    listener: Listener,
    workers: usize,
    defer_accept_s: u32,
) -> Result<OpenListener, BindError> {
    let failed = |source| BindError { addr: listener.addr, source };
    let mut sockets = Vec::with_capacity(workers);
    let mut local = listener.addr;
    for _ in 0..workers {
        let socket = bind(local, true).map_err(failed)?;
        if defer_accept_s > 0 {
            defer_accept::set(&socket, defer_accept_s).map_err(failed)?;
        }
        socket.listen(BACKLOG).map_err(failed)?;
        let socket = std::net::TcpListener::from(socket);
        local = socket.local_addr().map_err(failed)?;
        sockets.push(socket);
    }
    Ok(OpenListener { listener, local, sockets })
}

fn bind(addr: SocketAddr, share: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of an earlier run in TIME_WAIT shall not keep us from starting.
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(addr: &str) -> Listener {
        Listener { addr: addr.parse().unwrap(), tls: false }
    }

    #[test]
    fn workers_share_the_port_the_kernel_chose() {
        let open = open(listener("127.0.0.1:0"), 3, 0).unwrap();
        assert_ne!(open.local.port(), 0);
        for socket in &open.sockets {
            assert_eq!(socket.local_addr().unwrap(), open.local);
        }
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_that_names_it() {
        let first = open(listener("127.0.0.1:0"), 1, 0).unwrap();
        let taken = Listener { addr: first.local, tls: false };
        let error = open(taken, 1, 0).unwrap_err();
        assert_eq!(error.addr, first.local);
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    }

    #[test]
    fn deferring_can_be_set() {
        open(listener("127.0.0.1:0"), 1, 5).unwrap();
    }
}
