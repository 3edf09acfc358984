//! The `[limits]` section: the gateway's limits, each with the range that makes sense.
//!
//! A plain list. Names are those of the gateway's own limits, and a limit that is not given is
//! `None`, so that each default stands in one place only: there.

use toml_edit::TableLike;

use super::reader::Reader;

macro_rules! limits {
    ($( $(#[doc = $doc:literal])+ $name:ident: $least:literal..=$most:literal; )+) => {
        /// Limits that differ from the gateway's defaults.
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub struct LimitsConfig { $( $(#[doc = $doc])+ pub $name: Option<u64>, )+ }

        /// The keys known in `[limits]`.
        pub(super) const KEYS: &[&str] = &[ $( stringify!($name), )+ ];

        fn read_each(reader: &mut Reader<'_>, table: &dyn TableLike) -> LimitsConfig {
            LimitsConfig { $( $name: reader.integer(table, stringify!($name), $least, $most), )+ }
        }
    };
}

limits! {
    /// Client connections open at once.
    connections_max: 1..=10_000_000;
    /// The same from one IPv4 address.
    connections_per_v4_max: 1..=1_000_000;
    /// The same from one IPv6 /64.
    connections_per_v6_64_max: 1..=1_000_000;
    /// Seconds the kernel keeps a connection back until its first bytes; 0: off.
    defer_accept_s: 0..=60;
    /// TLS handshake, ms.
    tls_handshake_ms: 100..=60_000;
    /// Request head in total, ms.
    head_ms: 100..=120_000;
    /// Request head, bytes.
    head_bytes_max: 1_024..=1_048_576;
    /// Fields of a request head.
    head_fields_max: 8..=100;
    /// Request target, bytes.
    uri_bytes_max: 128..=65_536;
    /// Connection without a request, ms.
    idle_ms: 100..=3_600_000;
    /// Age of a connection, ms.
    connection_age_ms: 1_000..=86_400_000;
    /// Request body without a byte, ms.
    body_gap_ms: 100..=600_000;
    /// Slowest request body, bytes per second.
    body_floor_bps: 0..=1_000_000_000;
    /// Before the floors apply, ms.
    floor_grace_ms: 0..=600_000;
    /// Request body, bytes.
    body_bytes_max: 0..=1_099_511_627_776;
    /// Answer of which the client takes nothing, ms.
    write_stall_ms: 100..=600_000;
    /// Slowest reader, bytes per second.
    write_floor_bps: 0..=1_000_000_000;
    /// HTTP/2 streams open at once on a connection.
    h2_streams_max: 1..=10_000;
    /// HTTP/2 header list, bytes.
    h2_header_list_bytes_max: 1_024..=1_048_576;
    /// HTTP/2 streams over the life of a connection.
    h2_streams_lifetime_max: 1..=1_000_000_000;
    /// HTTP/2 streams opened in a second on a connection.
    h2_streams_per_s_max: 1..=1_000_000;
    /// HTTP/2 resets in a second.
    h2_resets_per_s_max: 1..=1_000_000;
    /// HTTP/2 resets over the life of a connection.
    h2_resets_lifetime_max: 1..=1_000_000_000;
    /// HTTP/2 pings in a second.
    h2_pings_per_s_max: 1..=1_000_000;
    /// HTTP/2 settings frames in a second.
    h2_settings_per_s_max: 1..=1_000_000;
    /// HTTP/2 priority frames in a second.
    h2_priorities_per_s_max: 1..=1_000_000;
    /// HTTP/2 frames of unknown type in a second.
    h2_unknown_per_s_max: 1..=1_000_000;
    /// HTTP/2 window updates in a second.
    h2_window_updates_per_s_max: 1..=1_000_000;
    /// Requests at one origin at once.
    origin_in_flight_max: 1..=1_000_000;
    /// Requests waiting for a place at one origin.
    origin_queue_max: 0..=1_000_000;
    /// How long they wait, ms.
    origin_queue_wait_ms: 0..=60_000;
    /// Connection to the origin, ms.
    origin_connect_ms: 10..=60_000;
    /// Head of the origin's answer, ms.
    origin_head_ms: 10..=3_600_000;
    /// Body of the origin's answer without a byte, ms.
    origin_body_gap_ms: 10..=3_600_000;
    /// Idle connections kept per origin and worker.
    origin_idle_max: 0..=100_000;
    /// How long they are kept, ms.
    origin_idle_ms: 0..=3_600_000;
    /// WebSocket tunnels open at once.
    tunnels_max: 0..=10_000_000;
    /// Tunnel without a byte, ms.
    tunnel_idle_ms: 100..=86_400_000;
}

/// Reads the section, if it is there.
pub(super) fn read(reader: &mut Reader<'_>, top: &dyn TableLike) -> LimitsConfig {
    let Some(item) = top.get("limits") else { return LimitsConfig::default() };
    let Some(table) = item.as_table_like() else {
        let line = reader.key_line(top, "limits");
        reader.wrong_type(line, "limits", item, "a section: [limits]");
        return LimitsConfig::default();
    };
    reader.check_keys(table, KEYS);
    read_each(reader, table)
}
