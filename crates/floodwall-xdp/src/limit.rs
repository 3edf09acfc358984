//! Rates for the kernel's token buckets, and the bucket itself: the twin of bpf/limit.h, which a
//! test feeds the same inputs.

use crate::abi::{Rate, TOKEN};

/// Most tokens that a bucket holds.
const BURST_MAX: u32 = 65_535;

/// How much one source may send. Zeros are no limit.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct SourceRate {
    /// Packets a second.
    pub rate_pps: u32,
    /// Packets at once, at most 65,535.
    pub burst: u32,
}

impl SourceRate {
    /// In tokens per jiffy: at least the smallest step, so that a slow rate is not none at all.
    pub(crate) fn per_jiffy(self, hz: u32) -> Rate {
        let per_jiffy = u64::from(self.rate_pps) * u64::from(TOKEN) / u64::from(hz.max(1));
        Rate {
            per_jiffy: u32::try_from(per_jiffy.max(1)).unwrap_or(u32::MAX),
            burst: u32::try_from(u64::from(self.burst) * u64::from(TOKEN)).unwrap_or(u32::MAX),
        }
    }
}

/// Limits by how wide a source is taken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct SourceRates {
    /// All packets of an IPv4 address or an IPv6 /64.
    pub packets: SourceRate,
    /// SYNs of the same.
    pub connections: SourceRate,
    /// How many times as much a /56 and a /48 may send.
    pub wider: [u32; 2],
}

impl SourceRates {
    /// For packets and connections a second from one source, as the operator gives them; `None` is
    /// no limit. What two seconds bring may come at once. A /56 may send four times, a /48 sixteen
    /// times as much: behind them are homes and offices that share, and one sender that has many.
    pub fn of(packets_pps: Option<u32>, connections_pps: Option<u32>) -> Option<SourceRates> {
        let rate = |pps: Option<u32>| {
            let rate_pps = pps.unwrap_or(0);
            SourceRate { rate_pps, burst: rate_pps.saturating_mul(2).min(BURST_MAX) }
        };
        let any = packets_pps.or(connections_pps).is_some();
        any.then(|| SourceRates {
            packets: rate(packets_pps),
            connections: rate(connections_pps),
            wider: [4, 16],
        })
    }

    /// The kernel's numbers by `enum fw_width`: packets, connections.
    pub(crate) fn by_width(&self, hz: u32) -> [(Rate, Rate); 4] {
        let times = |limit: SourceRate, factor: u32| {
            SourceRate {
                rate_pps: limit.rate_pps.saturating_mul(factor),
                burst: limit.burst.saturating_mul(factor),
            }
            .per_jiffy(hz)
        };
        [1, 1, self.wider[0], self.wider[1]]
            .map(|factor| (times(self.packets, factor), times(self.connections, factor)))
    }
}

/// `struct fw_tokens` and fw_take_token in Rust: what the C does, for tests to compare.
#[cfg(test)]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tokens {
    pub(crate) left: u32,
    pub(crate) refilled: u32,
}

#[cfg(test)]
impl Tokens {
    pub(crate) fn take(&mut self, rate: Rate, now: u32) -> bool {
        if rate.burst == 0 {
            return true;
        }
        let elapsed = now.wrapping_sub(self.refilled);
        let mut left = u64::from(self.left);
        if (elapsed as i32) > 0 {
            left += u64::from(elapsed) * u64::from(rate.per_jiffy);
            self.refilled = now;
        }
        left = left.min(u64::from(rate.burst));
        let passes = left >= u64::from(TOKEN);
        self.left = (left - if passes { u64::from(TOKEN) } else { 0 }) as u32;
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = SourceRate { rate_pps: 250, burst: 3 }.per_jiffy(250);
        let mut tokens = Tokens { left: rate.burst, refilled: 10 };
        let taken: Vec<bool> = (0..4).map(|_| tokens.take(rate, 10)).collect();
        assert_eq!(taken, [true, true, true, false]);
        assert!(tokens.take(rate, 11), "a token per jiffy");
        assert!(!tokens.take(rate, 11));
        assert!(!tokens.take(rate, 5), "a clock that steps back adds nothing");
    }

    #[test]
    fn what_the_operator_does_not_limit_is_not_limited() {
        assert_eq!(SourceRates::of(None, None), None);
        let rates = SourceRates::of(Some(40_000), None).unwrap().by_width(250);
        assert_eq!(rates[0].0.burst, BURST_MAX * TOKEN, "two seconds' worth does not fit");
        assert!(rates[3].0.per_jiffy >= 16 * rates[0].0.per_jiffy);
        assert!(rates.iter().all(|(_, connections)| connections.burst == 0));
        let mut tokens = Tokens { left: 0, refilled: 0 };
        assert!(tokens.take(rates[0].1, 1), "zeros are no limit");
    }

    #[test]
    fn the_engines_bucket_lets_as_many_pass() {
        let (rate_pps, burst) = (50, 20);
        let rate = SourceRate { rate_pps, burst }.per_jiffy(1_000);
        let mut ours = Tokens { left: rate.burst, refilled: 0 };
        let mut engines = floodwall_model::TokenBucket::full(burst, 0);
        let (mut passed, mut expected) = (0u32, 0u32);
        for ms in 0..20_000u32 {
            passed += u32::from(ours.take(rate, ms));
            expected += u32::from(engines.take(rate_pps * 10, burst, u64::from(ms)));
        }
        assert!(passed.abs_diff(expected) <= 2, "{passed} and {expected}");
    }

    /// Reads lines of "left refilled per_jiffy burst now" and prints what the C makes of them.
    const TWIN: &str = r#"
#include <stdio.h>
#include "limit.h"
int main(void)
{
	struct fw_tokens bucket;
	struct fw_rate rate;
	unsigned now;

	while (scanf("%u %u %u %u %u", &bucket.left, &bucket.refilled, &rate.per_jiffy, &rate.burst,
		     &now) == 5) {
		int passes = fw_take_token(&bucket, &rate, now);

		printf("%d %u %u\n", passes, bucket.left, bucket.refilled);
	}
	return 0;
}
"#;

    #[test]
    fn the_c_and_the_rust_bucket_are_twins() {
        let directory = tempfile::tempdir().unwrap();
        let (source, program) = (directory.path().join("t.c"), directory.path().join("t"));
        std::fs::write(&source, TWIN).unwrap();
        let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf");
        let compiled = Command::new("clang")
            .args(["-O1", "-I"])
            .args([headers.as_path(), source.as_path(), Path::new("-o"), program.as_path()])
            .output();
        let Ok(compiled) = compiled else { return crate::skip::skipped("clang is not installed") };
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));

        let number = proptest::prop_oneof![0u32..10, 60_000u32..70_000, proptest::num::u32::ANY];
        let line = [number.clone(), number.clone(), number.clone(), number.clone(), number];
        let mut runner = TestRunner::deterministic();
        let (mut input, mut expected) = (String::new(), String::new());
        for _ in 0..20_000 {
            let [left, refilled, per_jiffy, burst, now] =
                line.new_tree(&mut runner).unwrap().current();
            input += &format!("{left} {refilled} {per_jiffy} {burst} {now}\n");
            let mut tokens = Tokens { left, refilled };
            let passes = tokens.take(Rate { per_jiffy, burst }, now);
            expected += &format!("{} {} {}\n", u8::from(passes), tokens.left, tokens.refilled);
        }
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.stdout == expected.as_bytes(), "the twins differ");
    }
}
