//! Traffic models under a virtual clock: honest sessions, crowds, attacks.
