//! Making a connection to an origin.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;

use floodwall_model::Reason;
use hyper::client::conn::http1;
use tokio::net::TcpStream;

use crate::config::Origin;
use crate::deadlines::Deadlines;
use crate::pipeline::request_body::RequestBody;
use crate::upstream::io::UpstreamIo;
use crate::upstream::{Handle, OriginPool, UpstreamFacts};

/// How long a name's addresses are used before they are asked for again.
const ADDRESSES_MS: u64 = 10_000;

/// Bytes of one upstream connection that the engine may hold in each direction. It bounds an
/// answer's head as well.
const ENGINE_BUFFER_BYTES: usize = 64 * 1024;

/// The addresses of an origin given by name.
#[derive(Default)]
pub(crate) struct Addresses(RefCell<Option<(u64, Vec<SocketAddr>)>>);

impl Addresses {
    /// The addresses to try, in order.
    async fn of(&self, origin: &Origin, deadlines: &Deadlines) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = origin.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, origin.port)]);
        }
        if let Some((until_ms, addresses)) = &*self.0.borrow()
            && deadlines.now_ms() < *until_ms
        {
            return Ok(addresses.clone());
        }
        let asked = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await;
        match (asked, &mut *self.0.borrow_mut()) {
            (Ok(addresses), known) => {
                let addresses: Vec<SocketAddr> = addresses.collect();
                *known = Some((deadlines.now_ms() + ADDRESSES_MS, addresses.clone()));
                Ok(addresses)
            }
            // A resolver that fails for a moment must not take the site down.
            (Err(_), Some((_, addresses))) => Ok(addresses.clone()),
            (Err(error), None) => Err(error),
        }
    }
}

impl OriginPool {
    /// Makes a new connection.
    pub(crate) async fn dial(self: &Rc<Self>, connect_ms: u64) -> Result<Handle, Reason> {
        let dialled = self.deadlines.timeout(connect_ms, pin!(self.connect())).await;
        let tcp =
            dialled.map_err(|_| Reason::OriginTimeout)?.map_err(|_| Reason::OriginUnreachable)?;
        // Small requests should not wait for the acknowledgement of earlier ones.
        let _ = tcp.set_nodelay(true);
        let facts = Rc::new(UpstreamFacts::default());
        let io = UpstreamIo::new(tcp, self.scratch.clone(), facts.clone());
        let (sender, engine) = http1::Builder::new()
            .max_buf_size(ENGINE_BUFFER_BYTES)
            .handshake::<_, RequestBody>(io)
            .await
            .map_err(|_| Reason::OriginUnreachable)?;
        self.counters.upstream_dialled.add(1);
        drop(tokio::task::spawn_local(run(engine, facts.clone())));
        Ok(Handle { sender, facts })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses.of(&self.origin, &self.deadlines).await? {
            match TcpStream::connect(address).await {
                Ok(tcp) => return Ok(tcp),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Runs an upstream connection to its end, and hands its stream over if the origin has switched
/// protocols. Its errors reach whoever waits for the answer.
async fn run(mut engine: http1::Connection<UpstreamIo, RequestBody>, facts: Rc<UpstreamFacts>) {
    let ended = std::future::poll_fn(|cx| Pin::new(&mut engine).poll(cx)).await;
    let taker = facts.upgrade.borrow_mut().take();
    if let (Ok(()), Some(taker)) = (ended, taker) {
        // Nobody takes it when the client has gone; then it is closed here.
        let _ = taker.send(engine.into_parts());
    }
}
