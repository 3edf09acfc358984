//! Why a request, connection or datagram was not served: a closed list, each with whose fault.
//!
//! Every refusal increments the counter of its reason. The outsider gets the status and one bland
//! line; the reason goes to the log and the metrics.

use serde::{Deserialize, Serialize};

/// Who has to change something for this not to happen again.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The sender of the request.
    Client,
    /// The origin behind us.
    Upstream,
    /// The host's kernel or its limits.
    Kernel,
    /// The configuration.
    Operator,
    /// Floodwall.
    Us,
}

macro_rules! reasons {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal, $fault:ident, $status:literal; )+) => {
        /// Why something was refused.
        #[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum Reason { $( $(#[doc = $doc])+ $name, )+ }

        impl Reason {
            /// Every reason, in storage order.
            pub const ALL: &[Reason] = &[ $( Reason::$name, )+ ];

            /// The name used in metrics and logs.
            pub const fn name(self) -> &'static str {
                match self { $( Reason::$name => $text, )+ }
            }

            /// Whose fault it is.
            pub const fn fault(self) -> Fault {
                match self { $( Reason::$name => Fault::$fault, )+ }
            }

            /// The HTTP status the outsider gets; 0 when the connection is closed without one.
            pub const fn status(self) -> u16 {
                match self { $( Reason::$name => $status, )+ }
            }
        }
    };
}

reasons! {
    /// A BLOCK rule in force matches.
    RuleBlocked = "rule_blocked", Client, 403;
    /// The source exceeds the rate of a THROTTLE rule.
    RuleThrottled = "rule_throttled", Client, 429;
    /// The source is banned; closed in the accept stage where the kernel did not do it.
    SourceBanned = "source_banned", Client, 0;
    /// The source holds more connections than one source may.
    ConnectionsPerSource = "connections_per_source", Client, 0;
    /// We hold as many connections as our descriptors allow.
    ConnectionsTotal = "connections_total", Kernel, 0;
    /// The system had no descriptor left.
    DescriptorsExhausted = "descriptors_exhausted", Kernel, 0;
    /// The bytes are no HTTP request.
    Malformed = "malformed", Client, 400;
    /// Content-Length and Transfer-Encoding together, or another framing trick (RFC 9112 § 6.3).
    AmbiguousFraming = "ambiguous_framing", Client, 400;
    /// HTTP/1.1 without exactly one Host (RFC 9112 § 3.2).
    HostMissing = "host_missing", Client, 400;
    /// No site of ours has that name (RFC 9110 § 15.5.20).
    HostUnknown = "host_unknown", Client, 421;
    /// The request target is too long.
    UriTooLong = "uri_too_long", Client, 414;
    /// The head is too large or has too many fields.
    HeadTooLarge = "head_too_large", Client, 431;
    /// The body is larger than the site accepts.
    BodyTooLarge = "body_too_large", Client, 413;
    /// CONNECT or TRACE, or a token no site of ours uses.
    MethodRefused = "method_refused", Client, 405;
    /// An upgrade other than a well-formed WebSocket handshake (RFC 6455 § 4.1).
    UpgradeRefused = "upgrade_refused", Client, 400;
    /// The head did not arrive in time.
    HeadTimeout = "head_timeout", Client, 408;
    /// The body stalled or came below the minimum rate.
    BodyTimeout = "body_timeout", Client, 408;
    /// The client did not read its answer.
    WriteTimeout = "write_timeout", Client, 0;
    /// An idle connection reached the end of its time.
    IdleTimeout = "idle_timeout", Client, 0;
    /// The client went away before its answer was complete.
    ClientGone = "client_gone", Client, 0;
    /// The TLS handshake failed.
    TlsFailed = "tls_failed", Client, 0;
    /// The TLS handshake did not finish in time.
    TlsTimeout = "tls_timeout", Client, 0;
    /// The HTTP/2 connection broke the protocol or its budgets.
    Http2Abuse = "http2_abuse", Client, 0;
    /// The origin refused the connection or could not be reached.
    OriginUnreachable = "origin_unreachable", Upstream, 502;
    /// The origin did not answer in time.
    OriginTimeout = "origin_timeout", Upstream, 504;
    /// The origin answered with something that is not HTTP.
    OriginMalformed = "origin_malformed", Upstream, 502;
    /// The origin closed in the middle of its answer; the client sees it cut.
    OriginClosedEarly = "origin_closed_early", Upstream, 502;
    /// As many requests are at the origin and waiting for it as may be.
    OriginSaturated = "origin_saturated", Upstream, 503;
    /// We are stopping and take no new requests.
    ShuttingDown = "shutting_down", Operator, 503;
    /// A mistake of ours, caught.
    Internal = "internal", Us, 500;
}

/// Number of reasons.
pub const REASON_COUNT: usize = Reason::ALL.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_order_and_names_are_unique() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), REASON_COUNT);
    }

    #[test]
    fn statuses_are_refusals_or_silent() {
        for reason in Reason::ALL {
            assert!(matches!(reason.status(), 0 | 400..=599), "{reason:?}");
        }
    }
}
