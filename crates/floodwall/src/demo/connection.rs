//! A client's connection from its own loopback address.
//!
//! Kept lean on purpose (no buffer while waiting, no task of its own): thousands of them share two
//! cores with the gateway they test.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::answer::AnswerReader;
use super::meter::Ending;

/// Bytes read at once; one buffer per thread.
const READ_BYTES: usize = 32_768;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// How an exchange ended.
#[derive(Debug)]
pub(super) struct Exchange {
    /// How it counts.
    pub(super) ending: Ending,
    /// The cookie set, `name=value`.
    pub(super) cookie: Option<String>,
}

/// One client's way to the site: connects when needed, keeps the connection when it may.
#[derive(Debug)]
pub(super) struct Client {
    source: IpAddr,
    site: SocketAddr,
    stream: Option<TcpStream>,
}

/// What went wrong under an exchange.
enum Fault {
    Connect,
    /// The connection ended before anything of an answer came.
    Stale,
    Cut,
}

impl Client {
    /// A client at `source` of the site at `site`, not connected yet.
    pub(super) fn new(source: IpAddr, site: SocketAddr) -> Self {
        Client { source, site, stream: None }
    }

    /// Sends `request` and reads the whole answer, or gives up after `patience`.
    pub(super) async fn exchange(&mut self, request: &[u8], patience: Duration) -> Exchange {
        let connected = self.stream.is_some();
        let result = tokio::time::timeout(patience, self.try_twice(request)).await;
        let ending = match result {
            Ok(Ok(whole)) => return whole.into_exchange(),
            Ok(Err(Fault::Connect)) => Ending::Unreachable,
            Ok(Err(Fault::Stale | Fault::Cut)) => Ending::Cut,
            // No connection was made in all that time: packets are being dropped.
            Err(_) if !connected && self.stream.is_none() => Ending::Unreachable,
            Err(_) => Ending::TimedOut,
        };
        self.close();
        Exchange { ending, cookie: None }
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.stream = None;
    }

    /// A kept connection may have been closed by the other side meanwhile; then a new one is tried
    /// once, as browsers do (RFC 9112 § 9.3.1: the request was never answered).
    async fn try_twice(&mut self, request: &[u8]) -> Result<Whole, Fault> {
        if self.stream.is_some() {
            match self.try_once(request).await {
                Err(Fault::Stale) => self.stream = None,
                other => return other,
            }
        }
        let stream = connect(self.source, self.site).await.map_err(|_| Fault::Connect)?;
        self.stream = Some(stream);
        self.try_once(request).await
    }

    async fn try_once(&mut self, request: &[u8]) -> Result<Whole, Fault> {
        let Some(stream) = &mut self.stream else { return Err(Fault::Stale) };
        stream.write_all(request).await.map_err(|_| Fault::Stale)?;
        let mut reader = AnswerReader::new(request.starts_with(b"HEAD "));
        loop {
            stream.readable().await.map_err(|_| Fault::Cut)?;
            let whole = READ_BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
                Ok(0) if !reader.started() => Err(Fault::Stale),
                Ok(0) => reader.closed().map(|()| true).map_err(|_| Fault::Cut),
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    reader.feed(bytes).map_err(|_| Fault::Cut)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(_) if !reader.started() => Err(Fault::Stale),
                Err(_) => Err(Fault::Cut),
            })?;
            if whole {
                break;
            }
        }
        if !reader.keep_alive() {
            self.stream = None;
        }
        Ok(Whole { status: reader.status(), cookie: reader.take_cookie() })
    }
}

struct Whole {
    status: u16,
    cookie: Option<String>,
}

impl Whole {
    fn into_exchange(self) -> Exchange {
        Exchange { ending: Ending::of_status(self.status), cookie: self.cookie }
    }
}

/// Connects from `source`. The kernel picks the port; there are enough, since every source has all
/// ports of its own address.
async fn connect(source: IpAddr, site: SocketAddr) -> io::Result<TcpStream> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(source, 0))?;
    let stream = socket.connect(site).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const PATIENCE: Duration = Duration::from_millis(500);

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, future)
    }

    /// A server that takes connections one after the other, answers each with `answer` once, and
    /// closes it; gives the peers' addresses.
    async fn one_answer_each(
        answer: &'static [u8],
    ) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<IpAddr>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (peers, seen) = tokio::sync::mpsc::unbounded_channel();
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, peer)) = listener.accept().await {
                let _ = peers.send(peer.ip());
                let mut request = [0; 1_024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
            }
        });
        (address, seen)
    }

    #[test]
    fn each_client_comes_from_its_own_address() {
        run(async {
            let (site, mut seen) =
                one_answer_each(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            for source in ["127.16.3.4", "127.64.200.9", "127.127.255.254"] {
                let source: IpAddr = source.parse().unwrap();
                let ended = Client::new(source, site).exchange(REQUEST, PATIENCE).await.ending;
                assert_eq!((ended, seen.recv().await), (Ending::Well, Some(source)));
            }
        });
    }

    #[test]
    fn a_kept_connection_that_was_closed_is_replaced_once() {
        run(async {
            let (site, _seen) =
                one_answer_each(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            let mut client = Client::new("127.16.0.1".parse().unwrap(), site);
            for _ in 0..3 {
                assert_eq!(client.exchange(REQUEST, PATIENCE).await.ending, Ending::Well);
            }
        });
    }

    #[test]
    fn every_way_to_fail_has_its_name() {
        run(async {
            let source: IpAddr = "127.16.0.1".parse().unwrap();
            for (answer, expected) in [
                (&b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"[..], Ending::Blocked),
                (b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", Ending::Unavailable),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", Ending::Cut),
                (b"not http at all\r\n\r\n", Ending::Cut),
                (b"", Ending::Cut),
            ] {
                let (site, _seen) = one_answer_each(answer).await;
                let ended = Client::new(source, site).exchange(REQUEST, PATIENCE).await.ending;
                assert_eq!(ended, expected, "{}", String::from_utf8_lossy(answer));
            }
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let silent = listener.local_addr().unwrap();
            let ended = Client::new(source, silent).exchange(REQUEST, PATIENCE).await.ending;
            assert_eq!(ended, Ending::TimedOut);
            drop(listener);
            let ended = Client::new(source, silent).exchange(REQUEST, PATIENCE).await.ending;
            assert_eq!(ended, Ending::Unreachable);
        });
    }
}
