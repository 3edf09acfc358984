//! A WebSocket after its handshake: bytes both ways, unseen (design/l7.md § 2.5).
//!
//! Bounded in number and in silence. It is not looked into: whoever ends a tunnel here could only
//! add mistakes of his own.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use floodwall_model::Reason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

use crate::pipeline::exchange::Exchange;
use crate::transport::Transport;
use crate::upstream::Upgraded;
use crate::worker::Worker;

/// Bytes in flight in each direction of a tunnel.
const BUFFER_BYTES: usize = 8 * 1024;

/// How long the origin's stream may take to come free after its 101. It needs one turn of its task.
const HANDOVER_MS: u64 = 1_000;

/// A tunnel about to begin: the client has been told, its connection is about to be free.
pub(crate) struct PendingTunnel {
    pub(crate) stream: oneshot::Receiver<Upgraded>,
    pub(crate) exchange: Exchange,
    pub(crate) place: TunnelPlace,
}

/// One of the tunnels that may be open, given back on drop.
pub(crate) struct TunnelPlace(Rc<Worker>);

impl TunnelPlace {
    pub(crate) fn take(worker: &Rc<Worker>, tunnels_max: usize) -> Option<Self> {
        let open = &worker.shared.tunnels;
        if open.fetch_add(1, Ordering::Relaxed) >= tunnels_max {
            open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        worker.counters.tunnels_open.add(1);
        Some(TunnelPlace(worker.clone()))
    }
}

impl Drop for TunnelPlace {
    fn drop(&mut self) {
        self.0.shared.tunnels.fetch_sub(1, Ordering::Relaxed);
        self.0.counters.tunnels_open.sub(1);
    }
}

/// Runs a tunnel to its end. `first` is what the client sent behind its handshake.
pub(crate) async fn run(
    worker: &Rc<Worker>,
    pending: PendingTunnel,
    client: Transport,
    first: Vec<u8>,
) {
    let PendingTunnel { stream, mut exchange, place: _place } = pending;
    let Ok(Ok(upgraded)) = worker.deadlines.timeout(HANDOVER_MS, pin!(stream)).await else {
        exchange.fail(Reason::OriginClosedEarly);
        return;
    };
    let origin = upgraded.io.into_tcp();
    let traffic = Traffic::default();
    let ended = {
        let (client_read, client_write) = tokio::io::split(client);
        let (origin_read, origin_write) = origin.into_split();
        let up = pump(&traffic, &traffic.up, first, client_read, origin_write);
        let down =
            pump(&traffic, &traffic.down, upgraded.read_buf.to_vec(), origin_read, client_write);
        let both = async {
            tokio::select! {
                // A WebSocket that ended in one direction has ended (RFC 6455 § 7.1.1).
                up = up => up,
                down = down => down,
            }
        };
        until_silent(worker, &traffic, both).await
    };
    worker.counters.bytes_in.add(traffic.up.get());
    worker.counters.bytes_out.add(traffic.down.get());
    exchange.add_bytes(traffic.down.get());
    match ended {
        Some(_) => exchange.complete(),
        None => {
            worker.counters.refused(Reason::IdleTimeout);
            exchange.complete();
        }
    }
}

/// What passed.
#[derive(Default)]
struct Traffic {
    up: Cell<u64>,
    down: Cell<u64>,
    /// Pieces in both directions, to see whether anything happened.
    pieces: Cell<u64>,
}

/// Hands everything from `from` on to `to`, `first` before it.
async fn pump(
    traffic: &Traffic,
    bytes: &Cell<u64>,
    first: Vec<u8>,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    to.write_all(&first).await?;
    bytes.set(bytes.get() + first.len() as u64);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        traffic.pieces.set(traffic.pieces.get() + 1);
        to.write_all(&buffer[..n]).await?;
        // TLS keeps what is not flushed.
        to.flush().await?;
        bytes.set(bytes.get() + n as u64);
        traffic.pieces.set(traffic.pieces.get() + 1);
    }
}

/// Runs `both` until it ends, or nothing has passed for the idle time (`None`), or the worker is to
/// stop.
async fn until_silent<T>(
    worker: &Rc<Worker>,
    traffic: &Traffic,
    both: impl Future<Output = T>,
) -> Option<T> {
    let mut both = pin!(both);
    loop {
        let before = traffic.pieces.get();
        let idle_ms = worker.shared.snapshot.load().limits.tunnel_idle_ms;
        match worker.deadlines.timeout(idle_ms, both.as_mut()).await {
            Ok(ended) => return Some(ended),
            Err(_) if traffic.pieces.get() == before => return None,
            Err(_) => {}
        }
    }
}
