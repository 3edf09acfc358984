//! Network namespaces that a test makes for itself.
//!
//! A thread that unshares its network namespace takes it along when it ends, with every interface
//! and attachment in it, however the test ends. So nothing has a name that could collide, and
//! nothing has to be cleaned up.
#![allow(unsafe_code)]

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// Runs `test` on a thread in a network namespace of its own, where only `lo` is, and is up.
/// Panics are handed on. Says SKIPPED where namespaces cannot be made.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        if enter_new_namespace() {
            ip("link set lo up");
            test();
        }
    });
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

/// Moves the calling thread, and it alone, into a new network namespace.
pub(crate) fn enter_new_namespace() -> bool {
    // SAFETY: unshare(2) takes no pointers; CLONE_NEWNET changes nothing but which network
    // namespace this thread's later calls refer to.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        let error = std::io::Error::last_os_error();
        super::skip::skipped(&format!("no network namespace can be made: {error}"));
        return false;
    }
    true
}

/// The calling thread's number, by which `ip link set netns` finds its namespace.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: gettid(2) takes no arguments and cannot fail.
    unsafe { libc::gettid() }
}

/// Runs ip(8) in the calling thread's namespace.
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {stderr}");
}

/// A listening socket. The kernel completes handshakes for it without anybody accepting.
pub(crate) fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// How long a connection may take that is expected to succeed, and to fail.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
const FAILS_AFTER: Duration = Duration::from_millis(300);

fn try_connect(from: &str, to: SocketAddr, timeout: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    let from: IpAddr = from.parse().unwrap();
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), timeout)?;
    Ok(socket.into())
}

/// A connection that must come about.
pub(crate) fn connect(from: &str, to: SocketAddr) -> TcpStream {
    try_connect(from, to, CONNECTS_WITHIN)
        .unwrap_or_else(|error| panic!("{from} cannot connect to {to}: {error}"))
}

/// Asserts that no connection comes about, and that it is silence and not a refusal that stops it.
pub(crate) fn cannot_connect(from: &str, to: SocketAddr) {
    match try_connect(from, to, FAILS_AFTER) {
        Ok(_) => panic!("{from} connected to {to}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}"),
    }
}
