//! Alone has root and BPF: loads the kernel filter, applies checked bans, reads its counters.
