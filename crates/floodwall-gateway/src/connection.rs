//! The life of one client connection: TLS, protocol, requests, the end.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use floodwall_model::{Reason, Source};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::connection_state::{ConnectionState, Tls};
use crate::connection_table::ConnectionPlace;
use crate::limits::Limits;
use crate::meter::Meter;
use crate::meter::frames::PREFACE;
use crate::pipeline::{self, Cut, answer_body::AnswerBody, tunnel};
use crate::transport::Transport;
use crate::worker::Worker;

/// Bytes of one connection that the engine may hold in each direction.
const ENGINE_BUFFER_BYTES: usize = 64 * 1024;

/// After an answer that ends the connection, how long and how much we read on.
const LINGER_MS: u64 = 1_000;
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// Runs a connection to its end. Nothing is returned: every end has been counted.
pub(crate) async fn run(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: Source,
    tls: bool,
    place: ConnectionPlace,
) {
    let _open = Open::new(worker.clone());
    let opened =
        if tls { open_tls(&worker, stream).await } else { open_plain(&worker, stream).await };
    let Ok(opened) = opened.map_err(|reason| worker.counters.refused(reason)) else { return };
    let Opened { transport, head_by, tls, is_h2, input } = opened;
    let state = ConnectionState::new(worker, peer, head_by, tls, is_h2, place);
    let meter = Meter::new(transport, state.clone(), input);
    if state.is_h2 {
        serve_h2(state, meter).await;
    } else {
        serve_h1(state, meter).await;
    }
}

/// Counts a connection as open.
struct Open(Rc<Worker>);

impl Open {
    fn new(worker: Rc<Worker>) -> Self {
        worker.counters.connections_open.add(1);
        Open(worker)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.connections_open.sub(1);
    }
}

/// A connection whose protocol is known.
struct Opened {
    transport: Transport,
    /// By when its first head has to be there.
    head_by: u64,
    tls: Option<Tls>,
    is_h2: bool,
    /// What was read to find out.
    input: Vec<u8>,
}

async fn open_tls(worker: &Rc<Worker>, stream: TcpStream) -> Result<Opened, Reason> {
    let snapshot = worker.shared.snapshot.load_full();
    // A reload may have taken TLS away between accept and now.
    let config = snapshot.tls.clone().ok_or(Reason::TlsFailed)?;
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = worker
        .deadlines
        .timeout(snapshot.limits.tls_handshake_ms, pin!(handshake))
        .await
        .map_err(|_| Reason::TlsTimeout)?
        .map_err(|_| Reason::TlsFailed)?;
    worker.counters.tls_handshakes.add(1);
    let (_, session) = stream.get_ref();
    let is_h2 = session.alpn_protocol() == Some(b"h2");
    let tls = Tls { server_name: session.server_name().map(Into::into) };
    Ok(Opened {
        transport: Transport::Tls(Box::new(stream)),
        head_by: worker.deadlines.after(snapshot.limits.head_ms),
        tls: Some(tls),
        is_h2,
        input: Vec::new(),
    })
}

/// Tells HTTP/2 with prior knowledge from HTTP/1 by the first bytes.
async fn open_plain(worker: &Rc<Worker>, mut stream: TcpStream) -> Result<Opened, Reason> {
    let head_ms = worker.shared.snapshot.load().limits.head_ms;
    let head_by = worker.deadlines.after(head_ms);
    let mut input = Vec::new();
    // As long as it could still become the preface.
    let sniff = async {
        while input.len() < PREFACE.len() && PREFACE.starts_with(&input) {
            let read = poll_fn(|cx| poll_first_bytes(worker, &mut stream, cx, &mut input));
            // An end or an error is met again, and dealt with, by the engine.
            if !matches!(read.await, Ok(1..)) {
                break;
            }
        }
    };
    let sniffed = worker.deadlines.timeout(head_ms, pin!(sniff)).await;
    sniffed.map_err(|_| Reason::HeadTimeout)?;
    let is_h2 = input.starts_with(PREFACE);
    Ok(Opened { transport: Transport::Plain(stream), head_by, tls: None, is_h2, input })
}

/// Reads once, as much as is there: usually the whole first request.
fn poll_first_bytes(
    worker: &Worker,
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    input: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let mut scratch = worker.scratch.borrow_mut();
    let mut buf = ReadBuf::new(&mut scratch);
    ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
    worker.counters.bytes_in.add(buf.filled().len() as u64);
    input.extend_from_slice(buf.filled());
    Poll::Ready(Ok(buf.filled().len()))
}

/// Hands requests to the pipeline.
#[derive(Clone)]
struct Requests(Rc<ConnectionState>);

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<AnswerBody>;
    type Error = Cut;
    type Future = pipeline::Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        pipeline::receive(&self.0, request)
    }
}

async fn serve_h1(state: Rc<ConnectionState>, meter: Meter) {
    let mut builder = http1::Builder::new();
    let head_bytes_max = state.worker.shared.snapshot.load().limits.head_bytes_max;
    builder.max_buf_size(ENGINE_BUFFER_BYTES.max(head_bytes_max * 2));
    let mut engine = builder.serve_connection(meter, Requests(state.clone()));
    let ended = drive(&state, &mut engine, |engine| engine.graceful_shutdown()).await;
    let Some(result) = ended else { return };
    note_end(&state, &result);
    let parts = engine.into_parts();
    let (transport, input) = parts.io.into_inner();
    if let Some(pending) = state.tunnel.take() {
        let mut first = parts.read_buf.to_vec();
        first.extend_from_slice(&input);
        tunnel::run(&state.worker, pending, transport, first).await;
    } else if state.linger.get() {
        linger(&state, transport).await;
    }
}

async fn serve_h2(state: Rc<ConnectionState>, meter: Meter) {
    let snapshot = state.worker.shared.snapshot.load_full();
    let mut engine = h2_builder(&snapshot.limits).serve_connection(meter, Requests(state.clone()));
    let ended = drive(&state, &mut engine, |engine| engine.graceful_shutdown()).await;
    if let Some(result) = ended {
        note_end(&state, &result);
    }
}

fn h2_builder(limits: &Limits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .max_concurrent_streams(limits.h2_streams_max)
        .max_header_list_size(limits.h2_header_list_bytes_max)
        .max_local_error_reset_streams(H2_LOCAL_RESETS_MAX)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .max_send_buf_size(ENGINE_BUFFER_BYTES);
    builder
}

// design/l7.md § 1.1. Beyond the first two the engine ends the connection.
const H2_LOCAL_RESETS_MAX: usize = 32;
const H2_PENDING_RESETS_MAX: usize = 10;
const H2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
const H2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// Runs a protocol engine under the connection's deadlines. `None` when the connection was cut.
async fn drive<E>(
    state: &ConnectionState,
    engine: &mut E,
    shut_down: impl Fn(Pin<&mut E>),
) -> Option<hyper::Result<()>>
where
    E: Future<Output = hyper::Result<()>> + Unpin,
{
    let mut is_going = false;
    poll_fn(|cx| {
        if !state.poll_deadlines(cx) {
            return Poll::Ready(None);
        }
        // Before it is told to go it takes what has already come.
        if let Poll::Ready(result) = Pin::new(&mut *engine).poll(cx) {
            return Poll::Ready(Some(result));
        }
        if state.is_cut() {
            return Poll::Ready(None);
        }
        if !is_going && (state.going.get() || state.worker.draining.get()) {
            is_going = true;
            state.note_told_to_go();
            shut_down(Pin::new(&mut *engine));
            return Pin::new(&mut *engine).poll(cx).map(Some);
        }
        Poll::Pending
    })
    .await
}

/// Counts the ends that nobody else counts.
fn note_end(state: &ConnectionState, result: &hyper::Result<()>) {
    let Err(error) = result else { return };
    let h2 = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    if h2.is_some_and(|error| error.is_library() && !error.is_io()) {
        state.worker.counters.refused(Reason::Http2Abuse);
    } else if error.is_parse() {
        // The parser refused what the meter let through. It answered by itself.
        state.worker.counters.refused(Reason::Malformed);
    }
}

/// Reads on for a while, so that the answer is not destroyed by the reset that closing with unread
/// bytes would send (RFC 9112 § 9.6).
async fn linger(state: &ConnectionState, mut transport: Transport) {
    let drain = async {
        let mut sink = [0; 4_096];
        let mut left = LINGER_BYTES_MAX;
        transport.shutdown().await?;
        while left > 0 {
            let n = transport.read(&mut sink).await?;
            if n == 0 {
                break;
            }
            left = left.saturating_sub(n);
        }
        Ok::<(), io::Error>(())
    };
    let _ = state.worker.deadlines.timeout(LINGER_MS, pin!(drain)).await;
}

/// Puts the engine's tasks on this thread's runtime.
#[derive(Copy, Clone, Debug)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        // Dropping the handle lets the task run on by itself.
        drop(tokio::task::spawn_local(async move {
            future.await;
        }));
    }
}
