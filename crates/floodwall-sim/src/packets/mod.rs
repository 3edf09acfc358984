//! Packet traffic to judge the packet engine by: honest traffic of a web server's host and attacks
//! on it, as headers' facts in virtual time ([`Stream`], [`scenario`]), and recorded attacks laid
//! into recorded background as frames ([`mix`]).
//!
//! It must never look at how the engine decides: what networks, stacks, reflectors and flood tools
//! do is written here from RFCs and from their behaviour, and every number is drawn from a range by
//! the seed. Nothing here opens a file; [`mix`] reads and writes what it is given.
//!
//! The models are open loop: an attack packet is followed by the host's answers as if nobody had
//! dropped it.

mod attack;
mod clients;
mod header;
mod honest;
pub mod mix;
mod scenario;
mod stacks;
mod stream;
#[cfg(test)]
mod tests;

pub use header::{Fragment, IpHeader, Payload, TcpHeader};
pub use honest::{Crowd, HonestConfig, Host, UdpService};
pub use scenario::{ATTACK_PPS_MAX, Kind, Lead, Rate, ScenarioConfig, scenario};
pub use stacks::{ServerStack, Stack};
pub use stream::{LabelledPacket, PENDING_PACKETS_MAX, Stream};
