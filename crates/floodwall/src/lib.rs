//! The binary's own code, as a library so that tests can reach it: arguments, configuration,
//! wiring, one file per command. The only place that knows every room.

pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demo;
pub mod geography;
pub mod node;
pub mod paths;
pub mod replay;
