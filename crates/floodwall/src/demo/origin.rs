//! The sample site's server: HTTP/1.1 over plain TCP, with a capacity that is deliberately small.
//!
//! It stands behind the gateway and knows nothing of it. It tells honest requests from others only
//! to keep the score, by the address the gateway reports; its answers never depend on that.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use floodwall_sim::{AddressPlan, Label, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::content::{QUERY_MARK, Resource, escaped, resources};
use super::meter::{CurrentPhase, PHASES, Phase};
use super::queue::{Full, OTHER_UNITS, PAGE_UNITS, ServiceQueue};

/// Connections at once. When full: further ones wait in the listen queue.
const CONNECTIONS_MAX: usize = 8_192;
/// Longest request head, bytes. When longer: 431.
const HEAD_BYTES_MAX: usize = 16_384;
/// Header fields in a request. When more: 400.
const FIELDS_MAX: usize = 96;
/// How long a closing connection is still read.
const DRAIN: Duration = Duration::from_millis(500);
/// How often it is read at most.
const DRAIN_READS_MAX: u32 = 16;
/// A connection without a request is closed after this long.
const IDLE: Duration = Duration::from_secs(60);

/// What reached the origin.
#[derive(Debug, Default)]
pub(super) struct OriginCounters {
    reached: [[AtomicU64; PHASES]; 3],
    /// Requests turned away because the backlog was full.
    pub(super) turned_away: AtomicU64,
    /// Requests whose sender is in no part of the address plan.
    pub(super) strangers: AtomicU64,
    /// Thousandths of units of work taken on.
    work_milli: AtomicU64,
    /// Backlog when the last request came, µs.
    backlog_us: AtomicU64,
}

impl OriginCounters {
    /// Requests of `label` that arrived during `phase`.
    pub(super) fn reached(&self, label: Label, phase: Phase) -> u64 {
        self.reached[label as usize][phase as usize].load(Ordering::Relaxed)
    }

    /// Requests of `label` that arrived so far.
    pub(super) fn reached_total(&self, label: Label) -> u64 {
        Phase::ALL.iter().map(|phase| self.reached(label, *phase)).sum()
    }

    /// Units of work taken on so far.
    pub(super) fn work_units(&self) -> f64 {
        self.work_milli.load(Ordering::Relaxed) as f64 / 1_000.0
    }

    /// How long the last request to come had to wait, ms.
    pub(super) fn backlog_ms(&self) -> u64 {
        self.backlog_us.load(Ordering::Relaxed) / 1_000
    }
}

/// The origin, not yet serving.
#[derive(Debug)]
pub(super) struct Origin {
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    resources: HashMap<String, Resource>,
    plan: AddressPlan,
    phase: Arc<CurrentPhase>,
    counters: Arc<OriginCounters>,
    queue: Mutex<ServiceQueue>,
    epoch: Instant,
    visitors: AtomicU64,
}

impl Origin {
    /// Binds a free port of 127.0.0.1.
    pub(super) fn bind(
        site: &Site,
        capacity_units_per_s: u32,
        plan: AddressPlan,
        phase: Arc<CurrentPhase>,
    ) -> io::Result<Origin> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let shared = Shared {
            resources: resources(site),
            plan,
            phase,
            counters: Arc::default(),
            queue: Mutex::new(ServiceQueue::new(capacity_units_per_s)),
            epoch: Instant::now(),
            visitors: AtomicU64::new(0),
        };
        Ok(Origin { listener, shared: Arc::new(shared) })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What reached it. Stays valid while it serves.
    pub(super) fn counters(&self) -> Arc<OriginCounters> {
        Arc::clone(&self.shared.counters)
    }

    /// Serves until dropped. Needs a runtime with I/O and time, and a [`tokio::task::LocalSet`].
    pub(super) async fn serve(self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let shared = Arc::clone(&self.shared);
                    tokio::task::spawn_local(async move {
                        // A peer that breaks off is its own affair.
                        let _ = serve_connection(stream, peer.ip(), &shared).await;
                        drop(place);
                    });
                }
                // Out of descriptors, or the peer was quicker: neither may end the accept loop.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

async fn serve_connection(mut stream: TcpStream, peer: IpAddr, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut held: Vec<u8> = Vec::new();
    loop {
        let Some((request, length)) = read_head(&mut stream, &mut held).await? else {
            return Ok(());
        };
        held.drain(..length.min(held.len()));
        let keep_alive = request.keep_alive && request.refusal.is_none();
        let answer = match request.refusal {
            Some(status) => plain(status, false),
            None => shared.answer(&request, peer).await,
        };
        stream.write_all(&answer).await?;
        if !keep_alive {
            return close(stream).await;
        }
    }
}

/// Closes in order: what the peer still sends is read and forgotten for a moment, since a close
/// with unread bytes resets the connection and the answer may be lost (RFC 9112 § 9.6).
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 4_096];
    let drain = async {
        for _ in 0..DRAIN_READS_MAX {
            if stream.read(&mut rest).await.is_ok_and(|count| count > 0) {
                continue;
            }
            break;
        }
    };
    // Whoever still sends after that is reset, which is no loss.
    let _ = tokio::time::timeout(DRAIN, drain).await;
    Ok(())
}

/// What the origin needs to know of a request.
#[derive(Debug, Default)]
struct Request {
    head_only: bool,
    path: String,
    query: String,
    keep_alive: bool,
    cookie: bool,
    etag: Option<String>,
    forwarded_for: Option<IpAddr>,
    /// Set if it is refused unread.
    refusal: Option<u16>,
}

/// The next request and the length of its head; `None` when the peer has gone or waits too long.
async fn read_head(
    stream: &mut TcpStream,
    held: &mut Vec<u8>,
) -> io::Result<Option<(Request, usize)>> {
    loop {
        match parse(held) {
            Some((request, length)) if length <= HEAD_BYTES_MAX => {
                return Ok(Some((request, length)));
            }
            None if held.len() <= HEAD_BYTES_MAX => {}
            _ => {
                let refused = Request { refusal: Some(431), ..Request::default() };
                return Ok(Some((refused, held.len())));
            }
        }
        held.reserve(2_048);
        match tokio::time::timeout(IDLE, stream.read_buf(held)).await {
            Ok(Ok(0)) | Err(_) => return Ok(None),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}

/// A request at the start of `bytes`, whole or refused; `None` while it is incomplete.
fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return None,
        Err(_) => {
            return Some((Request { refusal: Some(400), ..Request::default() }, bytes.len()));
        }
    };
    let target = head.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        head_only: head.method == Some("HEAD"),
        path: path.to_owned(),
        query: query.to_owned(),
        keep_alive: head.version == Some(1),
        ..Request::default()
    };
    if !matches!(head.method, Some("GET" | "HEAD")) {
        request.refusal = Some(405);
    }
    for field in head.headers.iter() {
        let value = String::from_utf8_lossy(field.value);
        match field.name.to_ascii_lowercase().as_str() {
            "connection" if value.to_ascii_lowercase().contains("close") => {
                request.keep_alive = false;
            }
            "cookie" => request.cookie = true,
            "if-none-match" => request.etag = Some(value.into_owned()),
            // The gateway's own entry is the last one.
            "x-forwarded-for" => {
                request.forwarded_for =
                    value.rsplit(',').next().and_then(|address| address.trim().parse().ok());
            }
            // Nothing here takes a body; skipping one wrongly would confuse the next request.
            "transfer-encoding" => request.refusal = Some(411),
            "content-length" if value.trim() != "0" => request.refusal = Some(413),
            _ => {}
        }
    }
    Some((request, length))
}

impl Shared {
    async fn answer(&self, request: &Request, peer: IpAddr) -> Vec<u8> {
        self.count(request.forwarded_for.unwrap_or(peer));
        let resource = self.resources.get(&request.path);
        let page = resource.is_none_or(|resource| resource.page);
        let units = if page { PAGE_UNITS } else { OTHER_UNITS };
        let Ok(done_us) = self.join(units) else {
            self.counters.turned_away.fetch_add(1, Ordering::Relaxed);
            return plain(503, request.keep_alive);
        };
        let done = self.epoch + Duration::from_micros(done_us);
        tokio::time::sleep_until(done.into()).await;
        match resource {
            Some(resource) => self.compose(request, resource),
            None => plain(404, request.keep_alive),
        }
    }

    fn join(&self, units: f64) -> Result<u64, Full> {
        let now_us = self.epoch.elapsed().as_micros() as u64;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.counters.backlog_us.store(queue.backlog_us(now_us), Ordering::Relaxed);
        let done_us = queue.join(now_us, units)?;
        self.counters.work_milli.fetch_add((units * 1_000.0) as u64, Ordering::Relaxed);
        Ok(done_us)
    }

    fn count(&self, sender: IpAddr) {
        match self.plan.label(sender) {
            Some(label) => {
                let phase = self.phase.get() as usize;
                self.counters.reached[label as usize][phase].fetch_add(1, Ordering::Relaxed);
            }
            None => {
                self.counters.strangers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn compose(&self, request: &Request, resource: &Resource) -> Vec<u8> {
        let unchanged = request.etag.is_some() && request.etag == resource.etag;
        let mut head = String::with_capacity(256);
        head.push_str(if unchanged {
            "HTTP/1.1 304 Not Modified\r\n"
        } else {
            "HTTP/1.1 200 OK\r\n"
        });
        let body = if unchanged { Vec::new() } else { fill_in(resource, &request.query) };
        let _ = write!(head, "Cache-Control: {}\r\n", resource.cache);
        if let Some(etag) = &resource.etag {
            let _ = write!(head, "ETag: {etag}\r\n");
        }
        if !unchanged {
            let (media_type, length) = (resource.media_type, body.len());
            let _ = write!(head, "Content-Type: {media_type}\r\nContent-Length: {length}\r\n");
        }
        if resource.page && !request.cookie {
            let visitor = self.visitors.fetch_add(1, Ordering::Relaxed);
            let id = visitor.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let _ = write!(head, "Set-Cookie: sid={id:016x}; Path=/; SameSite=Lax\r\n");
        }
        head.push_str(if request.keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
        let mut answer = head.into_bytes();
        if !request.head_only {
            answer.extend_from_slice(&body);
        }
        answer
    }
}

fn fill_in(resource: &Resource, query: &str) -> Vec<u8> {
    let is_search = |body: &str| body.contains(QUERY_MARK);
    match std::str::from_utf8(&resource.body) {
        Ok(body) if resource.page && is_search(body) => {
            let words = query.split('&').find_map(|pair| pair.strip_prefix("q=")).unwrap_or("");
            body.replace(QUERY_MARK, &escaped(words)).into_bytes()
        }
        _ => resource.body.clone(),
    }
}

/// An answer that only says its status.
fn plain(status: u16, keep_alive: bool) -> Vec<u8> {
    let reason = match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let body = format!("{status} {reason}\n");
    let end = if keep_alive { "" } else { "Connection: close\r\n" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{end}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests;
