//! The configured limits put on the gateway's own: what is not given keeps the gateway's default.

use floodwall_gateway::Limits;

use crate::config::LimitsConfig;

/// The gateway's limits with what `config` changes. Ranges were checked when it was read, so
/// narrowing keeps every value.
pub(crate) fn limits(config: &LimitsConfig) -> Limits {
    let default = Limits::default();
    macro_rules! given {
        ($name:ident) => {
            match config.$name {
                Some(value) => value.try_into().unwrap_or(default.$name),
                None => default.$name,
            }
        };
    }
    Limits {
        connections_max: config.connections_max.and_then(|n| n.try_into().ok()),
        connections_per_v4_max: given!(connections_per_v4_max),
        connections_per_v6_64_max: given!(connections_per_v6_64_max),
        defer_accept_s: given!(defer_accept_s),
        tls_handshake_ms: given!(tls_handshake_ms),
        head_ms: given!(head_ms),
        head_bytes_max: given!(head_bytes_max),
        head_fields_max: given!(head_fields_max),
        uri_bytes_max: given!(uri_bytes_max),
        idle_ms: given!(idle_ms),
        connection_age_ms: given!(connection_age_ms),
        body_gap_ms: given!(body_gap_ms),
        body_floor_bps: given!(body_floor_bps),
        floor_grace_ms: given!(floor_grace_ms),
        body_bytes_max: given!(body_bytes_max),
        write_stall_ms: given!(write_stall_ms),
        write_floor_bps: given!(write_floor_bps),
        h2_streams_max: given!(h2_streams_max),
        h2_header_list_bytes_max: given!(h2_header_list_bytes_max),
        h2_streams_lifetime_max: given!(h2_streams_lifetime_max),
        h2_streams_per_s_max: given!(h2_streams_per_s_max),
        h2_resets_per_s_max: given!(h2_resets_per_s_max),
        h2_resets_lifetime_max: given!(h2_resets_lifetime_max),
        h2_pings_per_s_max: given!(h2_pings_per_s_max),
        h2_settings_per_s_max: given!(h2_settings_per_s_max),
        h2_priorities_per_s_max: given!(h2_priorities_per_s_max),
        h2_unknown_per_s_max: given!(h2_unknown_per_s_max),
        h2_window_updates_per_s_max: given!(h2_window_updates_per_s_max),
        origin_in_flight_max: given!(origin_in_flight_max),
        origin_queue_max: given!(origin_queue_max),
        origin_queue_wait_ms: given!(origin_queue_wait_ms),
        origin_connect_ms: given!(origin_connect_ms),
        origin_head_ms: given!(origin_head_ms),
        origin_body_gap_ms: given!(origin_body_gap_ms),
        origin_idle_max: given!(origin_idle_max),
        origin_idle_ms: given!(origin_idle_ms),
        tunnels_max: given!(tunnels_max),
        tunnel_idle_ms: given!(tunnel_idle_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_replaces_the_default_and_nothing_else_changes() {
        let given = LimitsConfig { head_ms: Some(1_234), ..LimitsConfig::default() };
        let expected = Limits { head_ms: 1_234, ..Limits::default() };
        assert_eq!(limits(&given), expected);
    }
}
