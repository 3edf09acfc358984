//! What is counted: one set of counters per worker, summed when somebody asks.
//!
//! Each counter has one writer, its worker, so that counting is a load and a store on a line that
//! no other core writes.

use std::sync::atomic::{AtomicU64, Ordering};

use floodwall_model::Reason;
use floodwall_model::reason::REASON_COUNT;

/// One counter with one writer.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        // Not fetch_add: there is one writer, so nothing can be lost between the two halves.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    pub(crate) fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($( $(#[doc = $doc:literal])+ $name:ident; )+) => {
        /// The counters of one worker.
        #[derive(Debug)]
        pub(crate) struct Counters {
            reasons: [Counter; REASON_COUNT],
            $( pub(crate) $name: Counter, )+
        }

        impl Default for Counters {
            fn default() -> Self {
                Counters {
                    reasons: std::array::from_fn(|_| Counter::default()),
                    $( $name: Counter::default(), )+
                }
            }
        }

        /// The counters of all workers together, at one moment.
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub struct CountersSnapshot {
            reasons: [u64; REASON_COUNT],
            $( $(#[doc = $doc])+ pub $name: u64, )+
            /// Bans on the board.
            pub bans: u64,
            /// Bans that found the board full.
            pub bans_refused: u64,
            /// Throttled sources forgotten because the table was full; they start afresh.
            pub throttle_evicted: u64,
        }

        impl CountersSnapshot {
            /// Adds what one worker counted.
            pub(crate) fn add(&mut self, counters: &Counters) {
                for (sum, counter) in self.reasons.iter_mut().zip(&counters.reasons) {
                    *sum += counter.load();
                }
                $( self.$name += counters.$name.load(); )+
            }
        }
    };
}

counters! {
    /// Connections accepted, whatever became of them.
    connections;
    /// Connections open now.
    connections_open;
    /// TLS handshakes completed.
    tls_handshakes;
    /// Requests: each is observed exactly once.
    requests;
    /// Requests that went on towards the origin.
    passed;
    /// Requests that a rule in shadow would have refused.
    would_refuse;
    /// Requests that a block rule let through for a trial.
    held_back;
    /// Bytes read from clients, decrypted.
    bytes_in;
    /// Bytes written to clients, before encryption.
    bytes_out;
    /// Connections made to origins.
    upstream_dialled;
    /// Requests sent on a kept connection.
    upstream_reused;
    /// Requests sent again because the kept connection had gone stale.
    upstream_retried;
    /// Requests at origins now.
    upstream_in_flight;
    /// Requests waiting for a place at an origin now.
    upstream_waiting;
    /// Idle connections to origins now.
    upstream_idle;
    /// Tunnels open now.
    tunnels_open;
    /// `X-Forwarded-For` of a trusted proxy that named no address; its own address was taken.
    forwarded_unparsable;
    /// Observations lost because the way to the engine was full.
    observations_lost;
    /// Value names that found no room in their batch; a later sighting announces them.
    names_dropped;
}

impl Counters {
    pub(crate) fn refused(&self, reason: Reason) {
        self.reasons[reason as usize].add(1);
    }
}

impl CountersSnapshot {
    /// How often this happened.
    pub const fn reason(&self, reason: Reason) -> u64 {
        self.reasons[reason as usize]
    }
}
