//! The binary's own code, as a library so that tests can reach it: arguments, configuration,
//! wiring, one file per command. The only place that knows every room.
