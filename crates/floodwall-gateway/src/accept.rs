//! The accept stage: whom we talk to at all.
//!
//! In order: ban, total, per source; each is a count and a close, nothing else, because this is the
//! path a flood takes. Running out of descriptors must neither stop nor spin the loop.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use floodwall_model::{Reason, Source};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::now_ms;
use crate::connection;
use crate::connection_table::ConnectionPlace;
use crate::worker::Worker;

/// Pause after the system had no descriptor or memory left for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(20);

/// Connections taken in one go before others get their turn.
const BURST: usize = 64;

/// Unsent bytes the kernel may hold for one connection: beyond, the client's own pace is felt here,
/// which is where slow readers are found out.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Data unacknowledged for so long, or a window shut for so long, ends a connection in the kernel.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// A listener as one worker has it.
pub(crate) struct AcceptingListener {
    pub(crate) socket: TcpListener,
    pub(crate) tls: bool,
}

/// Accepts until aborted.
pub(crate) async fn run(worker: Rc<Worker>, listener: Rc<AcceptingListener>) {
    loop {
        let mut burst = 0;
        loop {
            match listener.socket.accept().await {
                Ok((stream, peer)) => receive(&worker, &listener, stream, peer),
                Err(error) if is_exhausted(&error) => {
                    worker.counters.refused(Reason::DescriptorsExhausted);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                // The peer was gone before we took it (accept(2)); nothing is wrong with us.
                Err(_) => {}
            }
            burst += 1;
            if burst >= BURST {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Takes the connections that are ready now. Before a listener closes: what the kernel holds for it
/// would be reset.
pub(crate) fn take_ready(worker: &Rc<Worker>, listener: &AcceptingListener) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok((stream, peer))) = listener.socket.poll_accept(&mut cx) {
        receive(worker, listener, stream, peer);
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

fn receive(worker: &Rc<Worker>, listener: &AcceptingListener, stream: TcpStream, peer: SocketAddr) {
    worker.counters.connections.add(1);
    let source = Source::new(peer.ip());
    match admit(worker, source) {
        Ok(place) => {
            prepare(&stream);
            let task = connection::run(worker.clone(), stream, source, listener.tls, place);
            tokio::task::spawn_local(task);
        }
        Err(reason) => worker.counters.refused(reason),
    }
}

fn admit(worker: &Worker, source: Source) -> Result<ConnectionPlace, Reason> {
    let shared = &worker.shared;
    let snapshot = shared.snapshot.load();
    let is_operator = snapshot.is_operator(source);
    let bans = &shared.links.bans;
    if !bans.is_empty() && !is_operator && bans.is_banned(source.key(), now_ms()) {
        return Err(Reason::SourceBanned);
    }
    // A proxy in front of us brings everybody's connections; its own limits hold.
    let uncounted = is_operator || snapshot.is_trusted_proxy(source);
    shared.connections.admit(source, uncounted, &snapshot.limits)
}

/// Socket options. Each is an improvement, none a condition.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    let _ = socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
}
