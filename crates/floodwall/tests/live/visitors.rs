//! Honest visitors: one opens a connection for every request, one keeps its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::origin::PAGE_BYTES;

/// A visitor's patience for one request, connection included.
const PATIENCE: Duration = Duration::from_secs(5);
/// A visitor asks so often, unless it still waits.
const EVERY: Duration = Duration::from_millis(10);

/// One request.
#[derive(Copy, Clone, Debug)]
pub struct Visit {
    pub at: Instant,
    pub took: Duration,
    pub answered: bool,
}

/// How a visitor connects.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Every time anew.
    Anew,
    /// Once, and again only when the connection broke.
    KeptAlive,
}

/// Asks again and again until told to stop. Every request that began is in the list.
pub fn visit(server: SocketAddr, manner: Manner, stop: &Arc<AtomicBool>) -> Vec<Visit> {
    let mut visits = Vec::new();
    let mut kept: Option<TcpStream> = None;
    while !stop.load(Ordering::Relaxed) {
        let at = Instant::now();
        let result = ask(server, kept.take(), manner);
        let answered = result.is_ok();
        visits.push(Visit { at, took: at.elapsed(), answered });
        kept = result.ok().filter(|_| manner == Manner::KeptAlive);
        std::thread::sleep(EVERY.saturating_sub(at.elapsed()));
    }
    visits
}

/// One request; the connection it went over.
fn ask(server: SocketAddr, kept: Option<TcpStream>, manner: Manner) -> io::Result<TcpStream> {
    let began = Instant::now();
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect_timeout(&server, PATIENCE)?,
    };
    let left = || PATIENCE.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(left()))?;
    let close = if manner == Manner::Anew { "Connection: close\r\n" } else { "" };
    let request = format!("GET / HTTP/1.1\r\nHost: site.example\r\n{close}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::with_capacity(PAGE_BYTES + 512);
    let mut buffer = [0; 8_192];
    loop {
        stream.set_read_timeout(Some(left()))?;
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => answer.extend(&buffer[..bytes]),
        }
        if is_whole(&answer)? {
            return Ok(stream);
        }
    }
}

/// Whether the head and the page are there; an error for any answer but the page.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let parsed = head.parse(answer).map_err(io::Error::other)?;
    let httparse::Status::Complete(bytes) = parsed else { return Ok(false) };
    if head.code != Some(200) {
        return Err(io::Error::other(format!("status {:?}", head.code)));
    }
    Ok(answer.len() >= bytes + PAGE_BYTES)
}
