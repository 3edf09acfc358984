//! What this host can do, asked without attaching anything.

use aya::programs::ProgramType;
use aya::util::KernelVersion;

use crate::object;

/// CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_BPF in linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// What this host can do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostReport {
    /// This build has a kernel filter in it.
    pub filter_built: bool,
    /// Capabilities that the process lacks. In a container they may be there and the kernel
    /// refuse nevertheless: they must be held in the host's own user namespace.
    pub capabilities_missing: Vec<&'static str>,
    /// The kernel's version, as far as it can be read.
    pub kernel: Option<(u8, u8, u16)>,
    /// The kernel ends an XDP attachment with the process that made it (Linux 5.9).
    pub xdp_links: bool,
    /// The kernel loads an XDP program for us. None: it could not be asked.
    pub xdp: Option<bool>,
    /// The kernel loads a socket filter for us. None: it could not be asked.
    pub socket_filter: Option<bool>,
    /// BPF is compiled to machine code; interpreted, it is several times slower. None: it could
    /// not be read.
    pub jit: Option<bool>,
}

/// Looks at this host.
pub fn probe() -> HostReport {
    let version = KernelVersion::current().ok();
    HostReport {
        filter_built: object::is_built(),
        capabilities_missing: effective_capabilities().map(missing).unwrap_or_default(),
        kernel: version.map(|v| unpack(v.code())),
        xdp_links: version.is_some_and(|v| v >= KernelVersion::new(5, 9, 0)),
        xdp: aya::sys::is_program_supported(ProgramType::Xdp).ok(),
        socket_filter: aya::sys::is_program_supported(ProgramType::SocketFilter).ok(),
        jit: std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable")
            .ok()
            .map(|text| text.trim() != "0"),
    }
}

/// The effective capabilities of the calling thread (proc_pid_status(5)).
fn effective_capabilities() -> Option<u64> {
    parse_capabilities(&std::fs::read_to_string("/proc/thread-self/status").ok()?)
}

fn parse_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// What is missing; CAP_SYS_ADMIN stands in for CAP_BPF (capabilities(7)).
fn missing(effective: u64) -> Vec<&'static str> {
    let has = |capability: u32| effective >> capability & 1 == 1;
    let mut missing = Vec::new();
    if !has(CAP_BPF) && !has(CAP_SYS_ADMIN) {
        missing.push("CAP_BPF");
    }
    if !has(CAP_NET_ADMIN) {
        missing.push("CAP_NET_ADMIN");
    }
    missing
}

/// KERNEL_VERSION in linux/version.h, undone.
const fn unpack(code: u32) -> (u8, u8, u16) {
    ((code >> 16) as u8, (code >> 8) as u8, (code & 0xff) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        for (effective, expected) in [
            (0, vec!["CAP_BPF", "CAP_NET_ADMIN"]),
            (1 << CAP_NET_ADMIN, vec!["CAP_BPF"]),
            (1 << CAP_BPF, vec!["CAP_NET_ADMIN"]),
            (1 << CAP_BPF | 1 << CAP_NET_ADMIN, vec![]),
            (1 << CAP_SYS_ADMIN | 1 << CAP_NET_ADMIN, vec![]),
        ] {
            assert_eq!(missing(effective), expected, "{effective:x}");
        }
    }

    #[test]
    fn the_effective_set_is_read_from_the_status_file() {
        let status = "Name:\tx\nCapPrm:\t0000000000000001\nCapEff:\t000001ffffffffff\n";
        assert_eq!(parse_capabilities(status), Some(0x1ff_ffff_ffff));
        for wrong in ["", "CapEff:", "CapEff:\tzz"] {
            assert_eq!(parse_capabilities(wrong), None, "{wrong}");
        }
        assert!(effective_capabilities().is_some(), "this process has a status file");
    }

    #[test]
    fn a_version_code_reads_as_the_version() {
        assert_eq!(unpack(KernelVersion::new(6, 1, 129).code()), (6, 1, 129));
    }
}
