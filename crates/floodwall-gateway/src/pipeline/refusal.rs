//! Step 7a: our own answers. One short line, nothing about us, nothing to keep.

use floodwall_model::Reason;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::connection_state::ConnectionState;
use crate::pipeline::answer_body::AnswerBody;
use crate::pipeline::exchange::Exchange;

/// When a throttled client may come back, seconds: the span over which rates are given.
const RETRY_AFTER_THROTTLED_S: &str = "10";
/// When to come back to an origin that has no place, seconds.
const RETRY_AFTER_SATURATED_S: &str = "5";

/// The answer with the status of `reason`. Counting is the exchange's business.
pub(crate) fn response(
    state: &ConnectionState,
    reason: Reason,
    body_unread: bool,
    mut exchange: Exchange,
) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::BAD_REQUEST);
    exchange.set_status(status.as_u16());
    let mut response = Response::new(AnswerBody::line(line(status), exchange));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_THROTTLED_S));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SATURATED_S));
        }
        // RFC 9110 § 15.5.6 asks for it.
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        _ => {}
    }
    if (body_unread || status == StatusCode::BAD_REQUEST) && !state.is_h2 {
        // What follows is a body that nobody wants, or not to be trusted at all.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        state.linger.set(true);
    }
    response
}

/// What a person reads.
const fn line(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "Forbidden\n",
        StatusCode::METHOD_NOT_ALLOWED => "Method not allowed\n",
        StatusCode::REQUEST_TIMEOUT => "Request timeout\n",
        StatusCode::PAYLOAD_TOO_LARGE => "Content too large\n",
        StatusCode::URI_TOO_LONG => "URI too long\n",
        StatusCode::MISDIRECTED_REQUEST => "Misdirected request\n",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests\n",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "Request header fields too large\n",
        StatusCode::INTERNAL_SERVER_ERROR => "Internal error\n",
        StatusCode::BAD_GATEWAY => "Bad gateway\n",
        StatusCode::SERVICE_UNAVAILABLE => "Service unavailable\n",
        StatusCode::GATEWAY_TIMEOUT => "Gateway timeout\n",
        _ => "Bad request\n",
    }
}
