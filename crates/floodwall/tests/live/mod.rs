//! What the live test is made of: two hosts on a cable, frames, visitors, questions, protection.
#![allow(dead_code, reason = "the shared parts serve other tests too")]

#[path = "../../../floodwall-xdp/tests/support/cable.rs"]
pub mod cable;
pub mod floods;
pub mod frames;
pub mod names;
#[path = "../../../floodwall-xdp/tests/support/namespace.rs"]
mod namespace;
pub mod origin;
pub mod protection;
pub mod report;
#[path = "../../../floodwall-xdp/tests/support/skip.rs"]
pub mod skip;
pub mod visitors;
#[path = "../../../floodwall-xdp/tests/support/wire.rs"]
pub mod wire;
