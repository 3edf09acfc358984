//! Recorded attacks laid into recorded background, rewritten so that nobody can know them.
//!
//! Input and output are bytes and frames: files are opened by whoever calls. Checksums are not made
//! right again after rewriting, addresses inside ICMP messages, ARP and tunnels are left as they
//! are, and the attack meets no resistance: the background does not slow down.
//!
//! It must never change what makes a flow a flow: equal addresses and ports stay equal, different
//! ones different, within one laying of a capture.

mod background;
mod filter;
mod lay;
mod link;
mod read;
mod rewrite;
#[cfg(test)]
mod tests;
mod view;
mod write;

pub use filter::{Filter, FilterError};
pub use lay::{FRAMES_MAX, Mix, MixConfig, MixError, MixedFrame, mix};
pub use read::{Frame, ReadError, Recording};
pub use rewrite::Rewrite;
