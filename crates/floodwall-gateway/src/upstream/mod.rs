//! The way to the origins: one pool per origin and worker.
//!
//! A pool is a deque of send handles and a number of places; nothing is shared between workers.
//! Idle connections are used last in, first out, so that those not needed grow old and go.

pub(crate) mod admission;
pub(crate) mod dial;
pub(crate) mod io;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::http1::{Parts, SendRequest};
use tokio::sync::oneshot;

use crate::config::Origin;
use crate::counters::Counters;
use crate::deadlines::Deadlines;
use crate::limits::Limits;
use crate::pipeline::request_body::RequestBody;
use crate::snapshot::{OriginIndex, SiteFacts};
use admission::{Admission, Place};
use dial::Addresses;
use io::UpstreamIo;

/// What an upgraded connection hands over: its stream, and what was read of it already.
pub(crate) type Upgraded = Parts<UpstreamIo>;

/// What the parts of one upstream connection know of each other.
#[derive(Default)]
pub(crate) struct UpstreamFacts {
    /// Bytes received on it.
    pub(crate) received: Cell<u64>,
    /// Where the stream goes when the origin has switched protocols.
    pub(crate) upgrade: RefCell<Option<oneshot::Sender<Upgraded>>>,
}

/// An upstream connection ready for a request.
pub(crate) struct Handle {
    pub(crate) sender: SendRequest<RequestBody>,
    pub(crate) facts: Rc<UpstreamFacts>,
}

struct Idle {
    handle: Handle,
    since_ms: u64,
}

/// The pools of one worker.
pub(crate) struct Origins {
    pools: RefCell<Vec<Option<Rc<OriginPool>>>>,
    deadlines: Rc<Deadlines>,
    scratch: Rc<RefCell<Box<[u8]>>>,
    counters: Arc<Counters>,
}

/// One origin as one worker sees it.
pub(crate) struct OriginPool {
    pub(crate) origin: Arc<Origin>,
    pub(crate) admission: Rc<Admission>,
    pub(crate) addresses: Addresses,
    idle: RefCell<VecDeque<Idle>>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) scratch: Rc<RefCell<Box<[u8]>>>,
    pub(crate) counters: Arc<Counters>,
}

impl Origins {
    pub(crate) fn new(
        deadlines: Rc<Deadlines>,
        scratch: Rc<RefCell<Box<[u8]>>>,
        counters: Arc<Counters>,
    ) -> Self {
        Origins { pools: RefCell::default(), deadlines, scratch, counters }
    }

    /// The pool of a site's origin.
    pub(crate) fn pool(&self, site: &SiteFacts) -> Rc<OriginPool> {
        let mut pools = self.pools.borrow_mut();
        let index: OriginIndex = site.origin_index;
        if pools.len() <= index {
            pools.resize_with(index + 1, || None);
        }
        pools[index].get_or_insert_with(|| self.open(site)).clone()
    }

    fn open(&self, site: &SiteFacts) -> Rc<OriginPool> {
        Rc::new(OriginPool {
            origin: site.origin.clone(),
            admission: Admission::new(self.counters.clone()),
            addresses: Addresses::default(),
            idle: RefCell::default(),
            deadlines: self.deadlines.clone(),
            scratch: self.scratch.clone(),
            counters: self.counters.clone(),
        })
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn sweep(&self, limits: &Limits) {
        let now_ms = self.deadlines.now_ms();
        for pool in self.pools.borrow().iter().flatten() {
            let mut idle = pool.idle.borrow_mut();
            let before = idle.len();
            idle.retain(|idle| {
                !idle.handle.sender.is_closed()
                    && now_ms.saturating_sub(idle.since_ms) < limits.origin_idle_ms
            });
            self.counters.upstream_idle.sub((before - idle.len()) as u64);
        }
    }
}

impl OriginPool {
    /// An idle connection, if one is there and alive as far as can be seen.
    pub(crate) fn reuse(&self) -> Option<Handle> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { handle, .. }) = idle.pop_back() {
            self.counters.upstream_idle.sub(1);
            if handle.sender.is_ready() {
                self.counters.upstream_reused.add(1);
                return Some(handle);
            }
        }
        None
    }

    /// Takes a connection back.
    fn keep(&self, handle: Handle, idle_max: usize) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < idle_max && !handle.sender.is_closed() {
            idle.push_back(Idle { handle, since_ms: self.deadlines.now_ms() });
            self.counters.upstream_idle.add(1);
        }
    }
}

/// A connection in use and the place it takes at the origin. Dropped before its answer was read to
/// the end, it is closed.
pub(crate) struct Lease {
    pub(crate) pool: Rc<OriginPool>,
    pub(crate) handle: Handle,
    pub(crate) place: Place,
    pub(crate) idle_max: usize,
}

impl Lease {
    /// The answer was read to the end: the connection may serve again.
    pub(crate) fn give_back(self) {
        let Lease { pool, mut handle, place, idle_max } = self;
        drop(place);
        if handle.sender.is_ready() {
            pool.keep(handle, idle_max);
        } else if !handle.sender.is_closed() {
            // The origin answered before it had the whole request. The connection's own task ends
            // it if that takes too long.
            drop(tokio::task::spawn_local(async move {
                if handle.sender.ready().await.is_ok() {
                    pool.keep(handle, idle_max);
                }
            }));
        }
    }
}
