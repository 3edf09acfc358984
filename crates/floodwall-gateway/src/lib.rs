//! Alone has clients' sockets: accept stage, TLS, meter, rules, admission, upstream pool.
//!
//! A reverse proxy for HTTP/1.1 and HTTP/2 in front of HTTP/1.1 origins, made to stay up under
//! attack. It carries out a [`floodwall_model::CheckedPlan`] and tells of every request exactly
//! once; it never decides what an attack is, and knows neither the engine nor the kernel filter.
//!
//! Where a connection goes, in order of its life:
//! - `listen` opens sockets, one per worker and address; `accept` decides whom we talk to;
//! - `connection` does TLS, finds the protocol out and drives the protocol engine (hyper);
//! - `meter` lies under the engine: it sees the bytes as sent, refuses ambiguous heads, counts
//!   frames and keeps the clocks;
//! - `pipeline` is the way of one request, a file per step;
//! - `upstream` is the way to the origins;
//! - `worker` is the thread all this happens on, `gateway` starts and stops the threads.
//!
//! Nothing that comes from the network may panic, wait without a deadline, or grow without a limit.

mod accept;
mod ban_board;
mod certificate;
mod clock;
mod config;
mod connection;
mod connection_state;
mod connection_table;
mod counters;
mod deadlines;
mod defer_accept;
mod descriptors;
mod error;
mod gateway;
mod hosts;
mod limits;
mod listen;
mod meter;
mod observer;
mod pipeline;
mod snapshot;
mod throttle;
mod transport;
mod trial;
mod upstream;
mod worker;

pub use ban_board::{BanBoard, BoardFull};
pub use clock::now_ms;
pub use config::{CertificateFiles, GatewayConfig, Links, Listener, Origin, Site};
pub use counters::CountersSnapshot;
pub use error::{BindError, ConfigError, ReloadError, StartError};
pub use gateway::Gateway;
pub use limits::Limits;
