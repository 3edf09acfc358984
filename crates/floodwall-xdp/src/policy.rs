//! The kernel's policy, field by field: what every packet looks at first. `struct fw_policy`.

use std::mem::offset_of;
use std::sync::atomic::Ordering::{Acquire, Release};

use crate::abi::{Policy, Rate, WIDTHS};
use crate::clock::Reading;
use crate::mapped::Mapped;

/// The policy in memory shared with the kernel.
#[derive(Debug)]
pub(crate) struct PolicyMap(Mapped);

impl PolicyMap {
    pub(crate) fn new(memory: Mapped) -> PolicyMap {
        PolicyMap(memory)
    }

    /// Jiffies from which on bans, rules and guards are ignored.
    pub(crate) fn set_lease_until(&self, jiffies: u64) {
        self.0.u64_at(offset_of!(Policy, lease_until)).store(jiffies, Release);
    }

    /// Which guards stand, until when.
    pub(crate) fn set_guards(&self, guards: u32, until_jiffies: u64) {
        let (until, bits) = (offset_of!(Policy, guards_until), offset_of!(Policy, guards));
        if guards == 0 {
            self.0.u32_at(bits).store(0, Release);
            self.0.u64_at(until).store(0, Release);
        } else {
            // The end first: no guard stands for a moment longer than it may.
            self.0.u64_at(until).store(until_jiffies, Release);
            self.0.u32_at(bits).store(guards, Release);
        }
    }

    pub(crate) fn guards(&self) -> u32 {
        self.0.u32_at(offset_of!(Policy, guards)).load(Acquire)
    }

    /// Sets or clears one bit of `enum fw_holds`.
    pub(crate) fn set_holds(&self, bit: u32, holds: bool) {
        let word = self.0.u32_at(offset_of!(Policy, holds));
        let before = word.load(Acquire);
        let after = if holds { before | bit } else { before & !bit };
        if before != after {
            word.store(after, Release);
        }
    }

    /// N of 1:N, a power of two; 0 for none.
    pub(crate) fn set_sample_every(&self, every: u32) {
        self.0.u32_at(offset_of!(Policy, sample_every)).store(every, Release);
    }

    pub(crate) fn sample_every(&self) -> u32 {
        self.0.u32_at(offset_of!(Policy, sample_every)).load(Acquire)
    }

    /// Segment sizes that SYN-ACKs announce.
    pub(crate) fn set_mss(&self, v4: u16, v6: u16) {
        let both = u32::from(v6) << 16 | u32::from(v4);
        self.0.u32_at(offset_of!(Policy, mss)).store(both, Release);
    }

    pub(crate) fn set_second(&self, jiffies: u32) {
        self.0.u32_at(offset_of!(Policy, second)).store(jiffies, Release);
    }

    pub(crate) fn set_revision(&self, revision: u32) {
        self.0.u32_at(offset_of!(Policy, revision)).store(revision, Release);
    }

    /// Packets and connections by width.
    pub(crate) fn set_rates(&self, rates: &[(Rate, Rate); WIDTHS]) {
        for (width, (packets, connections)) in rates.iter().enumerate() {
            self.write_rate(offset_of!(Policy, packets) + width * 8, *packets);
            self.write_rate(offset_of!(Policy, connections) + width * 8, *connections);
        }
    }

    /// What each share of ICMP may be.
    pub(crate) fn set_icmp_rates(&self, [errors, questions]: [Rate; 2]) {
        for (at, rate) in [
            (offset_of!(Policy, icmp_errors), errors),
            (offset_of!(Policy, icmp_questions), questions),
        ] {
            self.write_rate(at, rate);
        }
    }

    fn write_rate(&self, offset: usize, rate: Rate) {
        self.0.u32_at(offset + offset_of!(Rate, per_jiffy)).store(rate.per_jiffy, Release);
        self.0.u32_at(offset + offset_of!(Rate, burst)).store(rate.burst, Release);
    }

    /// What the clock program wrote last.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            monotonic_ns: self.0.u64_at(offset_of!(Policy, clock_ns)).load(Acquire),
            jiffies: self.0.u64_at(offset_of!(Policy, clock_jiffies)).load(Acquire),
        }
    }
}
