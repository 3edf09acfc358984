//! Decisions: sketches, windows, baselines, detectors, miner, guardrail, lifecycle. Time is given; no I/O.
