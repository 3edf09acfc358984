//! The process's one clock. It lives with the gateway, which stamps observations and obeys expiries
//! with it; everything else that is wired to it must use the same.

pub use floodwall_gateway::now_ms;
