//! Deadlines, sizes and counts, with the defaults of design/l7.md § 1.1 (column "Normal").
//!
//! Each line says what happens at the limit. A limit that an operator has no reason to change is a
//! constant beside the code that keeps it instead.

/// Every limit an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections open at once, all workers together. `None`: 80 % of the descriptors this
    /// process may have. Beyond: closed without an answer, `connections_total`.
    pub connections_max: Option<usize>,
    /// Connections open at once from one IPv4 address. Beyond: closed, `connections_per_source`.
    pub connections_per_v4_max: u32,
    /// The same for one IPv6 /64.
    pub connections_per_v6_64_max: u32,
    /// Seconds the kernel keeps a new connection back until its first bytes are there
    /// (TCP_DEFER_ACCEPT). 0: off. It takes effect when a listener is opened.
    pub defer_accept_s: u32,
    /// TLS handshake, from accept. Then: closed, `tls_timeout`.
    pub tls_handshake_ms: u64,

    /// Request head, from accept or from its first byte on a kept connection, in total. Then: 408
    /// if part of it came, `head_timeout`.
    pub head_ms: u64,
    /// Bytes of a request head. Beyond: 431, `head_too_large`.
    pub head_bytes_max: usize,
    /// Fields of a request head; at most 100, which is what the parser behind holds. Beyond: 431.
    pub head_fields_max: usize,
    /// Bytes of a request target. Beyond: 414, `uri_too_long`.
    pub uri_bytes_max: usize,
    /// Connection without a request. Then: closed, `idle_timeout`.
    pub idle_ms: u64,
    /// Age of a connection. Then: told to go after its running requests.
    pub connection_age_ms: u64,

    /// Request body without a byte. Then: 408, `body_timeout`.
    pub body_gap_ms: u64,
    /// Slowest request body, bytes per second, counted while we wait for it and after the grace.
    pub body_floor_bps: u64,
    /// Before the floors apply.
    pub floor_grace_ms: u64,
    /// Bytes of a request body. Beyond: 413, `body_too_large`.
    pub body_bytes_max: u64,

    /// Answer of which the client takes nothing. Then: cut, `write_timeout`.
    pub write_stall_ms: u64,
    /// Slowest reader, bytes per second, counted while it keeps us waiting and after the grace.
    pub write_floor_bps: u64,

    /// Streams open at once on one HTTP/2 connection. Beyond: refused by the protocol.
    pub h2_streams_max: u32,
    /// Bytes of a decoded HTTP/2 header list. Beyond: 431 from the protocol engine.
    pub h2_header_list_bytes_max: u32,
    /// Streams over the life of one HTTP/2 connection. Then: GOAWAY.
    pub h2_streams_lifetime_max: u64,
    /// Streams opened in a second on one connection. Beyond: cut, `http2_abuse`. Ten times what
    /// design/l7.md gives: a page of 150 pictures from a fast origin opens more than 100 in its
    /// first second, and cutting is no gentle answer to that.
    pub h2_streams_per_s_max: u32,
    /// RST_STREAM frames received in a second. Beyond: cut, `http2_abuse`.
    pub h2_resets_per_s_max: u32,
    /// RST_STREAM frames over the life of a connection, once they are also more than half of its
    /// streams. Beyond: cut, `http2_abuse`.
    pub h2_resets_lifetime_max: u64,
    /// PING frames in a second. Beyond: cut, `http2_abuse`.
    pub h2_pings_per_s_max: u32,
    /// SETTINGS frames in a second. Beyond: cut, `http2_abuse`.
    pub h2_settings_per_s_max: u32,
    /// PRIORITY frames in a second. Beyond: cut, `http2_abuse`.
    pub h2_priorities_per_s_max: u32,
    /// Frames of unknown type in a second. Beyond: cut, `http2_abuse`.
    pub h2_unknown_per_s_max: u32,
    /// WINDOW_UPDATE frames in a second, plus ten for each DATA frame we sent in it or the second
    /// before. Beyond: cut, `http2_abuse`.
    pub h2_window_updates_per_s_max: u32,

    /// Requests at one origin at once, divided among the workers (at least eight each).
    pub origin_in_flight_max: usize,
    /// Requests waiting for a place at one origin, divided likewise. Beyond: 503,
    /// `origin_saturated`.
    pub origin_queue_max: usize,
    /// How long they wait. Then: 503, `origin_saturated`.
    pub origin_queue_wait_ms: u64,
    /// Connection to the origin. Then: 504, `origin_timeout`.
    pub origin_connect_ms: u64,
    /// Head of its answer, from the last byte of the request that it took. Then: 504,
    /// `origin_timeout`.
    pub origin_head_ms: u64,
    /// Body of its answer without a byte. Then: the client is cut, `origin_timeout`.
    pub origin_body_gap_ms: u64,
    /// Idle connections kept per origin and worker. Beyond: closed.
    pub origin_idle_max: usize,
    /// How long they are kept.
    pub origin_idle_ms: u64,

    /// WebSocket tunnels open at once, all workers together. Beyond: 503, `origin_saturated`.
    pub tunnels_max: usize,
    /// Tunnel without a byte in either direction. Then: closed, `idle_timeout`.
    pub tunnel_idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: None,
            connections_per_v4_max: 1_024,
            connections_per_v6_64_max: 256,
            // Both protocols let the client speak first, so a connection that has said nothing is
            // better kept in the kernel, where it costs a request socket and no descriptor.
            defer_accept_s: 5,
            tls_handshake_ms: 5_000,
            head_ms: 10_000,
            head_bytes_max: 32 * 1024,
            head_fields_max: 100,
            uri_bytes_max: 8 * 1024,
            idle_ms: 60_000,
            connection_age_ms: 3_600_000,
            body_gap_ms: 10_000,
            body_floor_bps: 500,
            floor_grace_ms: 5_000,
            body_bytes_max: 10 * 1024 * 1024,
            write_stall_ms: 15_000,
            write_floor_bps: 500,
            h2_streams_max: 64,
            h2_header_list_bytes_max: 16 * 1024,
            h2_streams_lifetime_max: 1_000,
            h2_streams_per_s_max: 1_000,
            h2_resets_per_s_max: 50,
            h2_resets_lifetime_max: 50,
            h2_pings_per_s_max: 10,
            h2_settings_per_s_max: 10,
            h2_priorities_per_s_max: 100,
            h2_unknown_per_s_max: 20,
            h2_window_updates_per_s_max: 20,
            origin_in_flight_max: 256,
            origin_queue_max: 1_024,
            origin_queue_wait_ms: 2_000,
            origin_connect_ms: 3_000,
            origin_head_ms: 30_000,
            origin_body_gap_ms: 60_000,
            origin_idle_max: 64,
            origin_idle_ms: 60_000,
            tunnels_max: 10_000,
            tunnel_idle_ms: 120_000,
        }
    }
}

impl Limits {
    /// Requests one worker of `workers` may have at one origin.
    pub(crate) fn in_flight_per_worker(&self, workers: usize) -> usize {
        self.origin_in_flight_max.div_ceil(workers.max(1)).max(IN_FLIGHT_PER_WORKER_MIN)
    }

    /// Requests one worker of `workers` may let wait for one origin.
    pub(crate) fn queue_per_worker(&self, workers: usize) -> usize {
        self.origin_queue_max.div_ceil(workers.max(1))
    }
}

/// A worker with fewer places than this would queue for a single page's pictures.
const IN_FLIGHT_PER_WORKER_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_at_the_origin_are_divided_and_never_too_few() {
        let limits = Limits { origin_in_flight_max: 100, ..Limits::default() };
        assert_eq!(limits.in_flight_per_worker(4), 25);
        assert_eq!(limits.in_flight_per_worker(64), 8);
        assert_eq!(limits.in_flight_per_worker(0), 100);
    }
}
