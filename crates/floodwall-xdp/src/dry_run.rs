//! The filter loaded and attached to nothing: packets are handed to it through the kernel's
//! test-run call (BPF_PROG_TEST_RUN, Documentation/bpf/bpf_prog_run.rst), which runs the very
//! program that traffic would meet. For tests, and to measure what a packet costs on this host.

use std::time::Duration;

use aya::programs::{ProgramError, TestRun, TestRunOptions, TestRunResult};

use crate::abi::{PROGRAM_EMPTY, PROGRAM_XDP, Verdict};
use crate::attach::{self, AttachRequest};
use crate::error::AttachError;
use crate::filter::KernelFilter;
use crate::object::refused;

/// XDP_DROP, XDP_PASS and XDP_TX in linux/bpf.h.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

/// Longest frame that comes back from a run.
const FRAME_MAX: usize = 4_096;

/// What became of one packet.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct DryRunOutcome {
    /// Passed or dropped.
    pub verdict: Verdict,
    /// Mean time of one run, as the kernel measured it.
    pub per_packet: Duration,
}

/// A filter that no traffic meets.
#[derive(Debug)]
pub struct DryRun {
    filter: KernelFilter,
}

impl DryRun {
    /// Loads the filter with room for `max_bans` per address family.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn new(max_bans: u32) -> Result<DryRun, AttachError> {
        DryRun::with(&AttachRequest { max_bans, ..AttachRequest::default() })
    }

    /// Loads the filter as `request` wants it, and attaches it to nothing.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn with(request: &AttachRequest<'_>) -> Result<DryRun, AttachError> {
        Ok(DryRun { filter: KernelFilter::load(request)? })
    }

    /// The filter, to read its counters.
    pub fn filter(&self) -> &KernelFilter {
        &self.filter
    }

    /// The filter, to ban.
    pub fn filter_mut(&mut self) -> &mut KernelFilter {
        &mut self.filter
    }

    /// Runs the XDP program `repeat` times on an Ethernet `frame`.
    ///
    /// # Errors
    /// [`AttachError::Kernel`] when the kernel does not run it, as with fewer than 14 bytes.
    pub fn xdp(&mut self, frame: &[u8], repeat: u32) -> Result<DryRunOutcome, AttachError> {
        let result = attach::load_xdp(self.filter.ebpf_mut(), PROGRAM_XDP)
            .and_then(|program| run(program, frame, repeat))
            .map_err(|error| refused(&error))?;
        outcome(&result)
    }

    /// Runs the XDP program once and returns what it made of the frame too.
    ///
    /// # Errors
    /// As [`DryRun::xdp`].
    pub fn xdp_answer(&mut self, frame: &[u8]) -> Result<(Verdict, Vec<u8>), AttachError> {
        let mut answer = vec![0; FRAME_MAX];
        let program = attach::load_xdp(self.filter.ebpf_mut(), PROGRAM_XDP)
            .map_err(|error| refused(&error))?;
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut answer),
            repeat: 1,
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).map_err(|error| refused(&error))?;
        answer.truncate(result.data_size_out as usize);
        Ok((outcome(&result)?.verdict, answer))
    }

    /// Runs an XDP program that does nothing: what any program costs, and the run itself.
    ///
    /// # Errors
    /// As [`DryRun::xdp`].
    pub fn empty(&mut self, frame: &[u8], repeat: u32) -> Result<Duration, AttachError> {
        attach::load_xdp(self.filter.ebpf_mut(), PROGRAM_EMPTY)
            .and_then(|program| run(program, frame, repeat))
            .map(|result| result.duration)
            .map_err(|error| refused(&error))
    }

    /// Runs the egress program once on a `frame` that this host sends.
    ///
    /// # Errors
    /// As [`DryRun::xdp`].
    pub fn egress(&mut self, frame: &[u8]) -> Result<(), AttachError> {
        attach::load_egress(self.filter.ebpf_mut())
            .and_then(|program| run(program, frame, 1))
            .map(|_| ())
            .map_err(|error| refused(&error))
    }

    /// Runs the socket filter `repeat` times on an Ethernet `frame`, of which it sees what a
    /// socket would: the bytes behind the Ethernet header.
    ///
    /// # Errors
    /// As [`DryRun::xdp`].
    pub fn socket_filter(
        &mut self,
        frame: &[u8],
        repeat: u32,
    ) -> Result<DryRunOutcome, AttachError> {
        let result = attach::load_socket_filter(self.filter.ebpf_mut())
            .and_then(|program| run(program, frame, repeat))
            .map_err(|error| refused(&error))?;
        let verdict = if result.return_value == 0 { Verdict::Drop } else { Verdict::Pass };
        Ok(DryRunOutcome { verdict, per_packet: result.duration })
    }
}

fn outcome(result: &TestRunResult) -> Result<DryRunOutcome, AttachError> {
    let verdict = match result.return_value {
        XDP_DROP => Verdict::Drop,
        XDP_PASS => Verdict::Pass,
        XDP_TX => Verdict::Tx,
        other => {
            return Err(AttachError::Kernel { detail: format!("the filter returned {other}") });
        }
    };
    Ok(DryRunOutcome { verdict, per_packet: result.duration })
}

fn run<P>(program: &P, frame: &[u8], repeat: u32) -> Result<TestRunResult, ProgramError>
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = TestRunResult>,
{
    program.test_run(TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() })
}
