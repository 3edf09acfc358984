//! A small origin. It answers by path, counts what it gets and keeps the heads it saw.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::Io;

/// An origin that runs until dropped.
pub struct Origin {
    pub addr: SocketAddr,
    pub seen: Arc<Seen>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What an origin saw.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub requests: AtomicUsize,
    pub in_flight: AtomicUsize,
    pub in_flight_max: AtomicUsize,
    /// Each head as text: request line, then sorted fields.
    pub heads: Mutex<Vec<String>>,
    /// Bytes of request bodies.
    pub body_bytes: AtomicUsize,
}

impl Seen {
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn last_head(&self) -> String {
        self.heads.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Origin {
    /// An origin that speaks HTTP, see [`answer`].
    pub fn http() -> Origin {
        Origin::serve(|seen, listener| async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let seen = seen.clone();
                tokio::spawn(async move {
                    let service =
                        hyper::service::service_fn(|request| answer(seen.clone(), request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(Io(stream), service)
                        .with_upgrades();
                    let _ = connection.await;
                });
            }
        })
    }

    /// An origin that reads a head and then does as `script` says, once per connection.
    pub fn scripted<F, Fut>(script: F) -> Origin
    where
        F: Fn(tokio::net::TcpStream, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let script = Arc::new(script);
        Origin::serve(move |seen, listener| {
            let script = script.clone();
            async move {
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let nth = seen.connections.fetch_add(1, Ordering::SeqCst);
                    let seen = seen.clone();
                    let script = script.clone();
                    tokio::spawn(async move {
                        seen.requests.fetch_add(1, Ordering::SeqCst);
                        script(stream, nth).await;
                    });
                }
            }
        })
    }

    fn serve<F, Fut>(serve: F) -> Origin
    where
        F: FnOnce(Arc<Seen>, TcpListener) -> Fut + Send + 'static,
        Fut: Future<Output = ()>,
    {
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = seen.clone();
        let thread = std::thread::spawn(move || {
            super::runtime().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(shared, listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Origin { addr, seen, stop: Some(stop), thread: Some(thread) }
    }
}

/// An address where nothing listens.
pub fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Reads a head off a raw stream.
pub async fn read_head(stream: &mut tokio::net::TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

type OriginBody = BoxBody<Bytes, Infallible>;

fn full(text: impl Into<Bytes>) -> OriginBody {
    http_body_util::Full::new(text.into()).boxed()
}

/// Keeps count of a request while it is there.
struct InFlight(Arc<Seen>);

impl InFlight {
    fn new(seen: Arc<Seen>) -> Self {
        let now = seen.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        seen.in_flight_max.fetch_max(now, Ordering::SeqCst);
        InFlight(seen)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers by path: `/echo` sends the body back as it comes, `/head` the head as text, `/status/N`
/// that status, `/bytes/N` so many bytes with a length, `/chunks/N` without, `/sleep/MS` after a
/// while, `/drip/N` N bytes, one every 20 ms, `/swallow` how many bytes came, `/websocket` echoes
/// after a 101, everything else `hello`.
async fn answer(
    seen: Arc<Seen>,
    request: Request<Incoming>,
) -> Result<Response<OriginBody>, Infallible> {
    let _here = InFlight::new(seen.clone());
    seen.requests.fetch_add(1, Ordering::SeqCst);
    let head = text_of(&request);
    seen.heads.lock().unwrap().push(head.clone());
    let path = request.uri().path().to_owned();
    let mut parts = path.trim_start_matches('/').split('/');
    let what = parts.next().unwrap_or_default();
    let n: usize = parts.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut response = Response::new(full("hello"));
    response.headers_mut().insert("server", "test-origin".parse().unwrap());
    match what {
        "echo" => {
            let body = request.into_body().map_err(|_| ());
            *response.body_mut() = until_error(body).boxed();
        }
        "head" => *response.body_mut() = full(head),
        "status" => {
            *response.status_mut() = StatusCode::from_u16(n as u16).unwrap();
            if matches!(n, 204 | 304) {
                *response.body_mut() = full("");
            }
        }
        "bytes" => *response.body_mut() = full(pattern(0, n)),
        "chunks" => {
            let pieces = (0..n.div_ceil(1_000)).map(move |at| {
                let at = at * 1_000;
                Ok(Frame::data(pattern(at, 1_000.min(n - at))))
            });
            *response.body_mut() = StreamBody::new(Iter(pieces)).boxed();
        }
        "sleep" => {
            tokio::time::sleep(Duration::from_millis(n as u64)).await;
        }
        "drip" => *response.body_mut() = Drip { left: n, sleep: None }.boxed(),
        "hop" => {
            let headers = response.headers_mut();
            for (name, value) in [
                ("connection", "x-origin-hop"),
                ("keep-alive", "timeout=9"),
                ("x-origin-hop", "1"),
                ("proxy-authenticate", "Basic"),
                ("trailer", "x"),
                ("upgrade", "h2c"),
                ("x-stays", "1"),
            ] {
                headers.insert(name, value.parse().unwrap());
            }
        }
        "swallow" => {
            let mut bytes = 0;
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                let more = frame.data_ref().map_or(0, Bytes::len);
                seen.body_bytes.fetch_add(more, Ordering::SeqCst);
                bytes += more;
            }
            *response.body_mut() = full(bytes.to_string());
        }
        "refuse-body" => {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        "websocket" => {
            tokio::spawn(async move {
                let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
                let Ok(parts) = upgraded.downcast::<Io>() else { return };
                let mut stream = parts.io.0;
                if stream.write_all(&parts.read_buf).await.is_err() {
                    return;
                }
                let mut buffer = [0; 1024];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            });
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", "upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
            *response.body_mut() = full("");
        }
        _ => {}
    }
    Ok(response)
}

/// Bytes that tell where they belong.
pub fn pattern(from: usize, len: usize) -> Bytes {
    (from..from + len).map(|at| (at % 251) as u8).collect()
}

fn text_of<B>(request: &Request<B>) -> String {
    let mut fields: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    fields.sort();
    format!(
        "{} {} {:?}\n{}\n",
        request.method(),
        request.uri(),
        request.version(),
        fields.join("\n")
    )
}

/// A body that ends where the one inside fails.
fn until_error<B>(body: B) -> impl Body<Data = Bytes, Error = Infallible> + Send + Sync
where
    B: Body<Data = Bytes> + Send + Sync + Unpin,
{
    UntilError(body)
}

struct UntilError<B>(B);

impl<B: Body<Data = Bytes> + Unpin> Body for UntilError<B> {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::pin::Pin::new(&mut self.0)
            .poll_frame(cx)
            .map(|frame| frame.and_then(Result::ok).map(Ok))
    }
}

/// An iterator as a stream.
struct Iter<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Iter<I> {
    type Item = I::Item;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

struct Drip {
    left: usize,
    sleep: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return std::task::Poll::Ready(None);
        }
        let pause = Duration::from_millis(20);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        std::task::ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        self.left -= 1;
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b".")))))
    }
}
