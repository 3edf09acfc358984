//! What this host can do, asked without attaching anything.

pub mod cost;
pub mod link;
mod netlink;

use aya::programs::ProgramType;
use aya::sys::BpfHelper;
use aya::util::KernelVersion;

use crate::object;

/// CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON and CAP_BPF in linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
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

/// What the XDP program needs of the kernel beside XDP itself.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct KernelFeatures {
    /// `bpf_jiffies64`, Linux 5.6: the clock of everything that ends.
    pub jiffies: bool,
    /// `bpf_skc_lookup_tcp`, Linux 5.2: what the TCP guard asks.
    pub socket_lookup: bool,
    /// `bpf_tcp_raw_gen_syncookie_ipv4` and its kin, Linux 6.0: the SYN proof.
    pub syn_cookies: bool,
    /// `bpf_xdp_get_buff_len`, Linux 5.18: frames of several buffers.
    pub several_buffers: bool,
    /// TC programs that end with the process that attached them (TCX, Linux 6.6): another way for
    /// the SYN proof's answers where the driver does not send them. The egress program does without.
    pub tcx: bool,
}

impl KernelFeatures {
    /// Asks the kernel, with a program of a few instructions for each. What cannot be asked is
    /// taken to be there; loading will tell.
    pub fn ask() -> KernelFeatures {
        let has = |helper| aya::sys::is_helper_supported(ProgramType::Xdp, helper).unwrap_or(true);
        KernelFeatures {
            jiffies: has(BpfHelper::BPF_FUNC_jiffies64),
            socket_lookup: has(BpfHelper::BPF_FUNC_skc_lookup_tcp),
            syn_cookies: has(BpfHelper::BPF_FUNC_tcp_raw_gen_syncookie_ipv4)
                && has(BpfHelper::BPF_FUNC_tcp_raw_check_syncookie_ipv6)
                && has(BpfHelper::BPF_FUNC_tcp_gen_syncookie),
            several_buffers: has(BpfHelper::BPF_FUNC_xdp_get_buff_len),
            tcx: KernelFeatures::has_tcx(),
        }
    }

    /// By the kernel's version; what does not say one is taken to be new.
    pub(crate) fn has_tcx() -> bool {
        KernelVersion::current().map_or(true, |version| version >= KernelVersion::new(6, 6, 0))
    }

    /// What is missing of what XDP cannot do without, in words for the operator.
    pub(crate) fn missing(self) -> Vec<&'static str> {
        [
            (self.jiffies, "bpf_jiffies64 (Linux 5.6)"),
            (self.socket_lookup, "bpf_skc_lookup_tcp (Linux 5.2)"),
            (self.syn_cookies, "bpf_tcp_raw_gen_syncookie_ipv4 (Linux 6.0)"),
            (self.several_buffers, "bpf_xdp_get_buff_len (Linux 5.18)"),
        ]
        .into_iter()
        .filter_map(|(there, words)| (!there).then_some(words))
        .collect()
    }
}

/// Looks at this host.
pub fn probe() -> HostReport {
    let version = KernelVersion::current().ok();
    HostReport {
        filter_built: object::is_built(),
        capabilities_missing: capabilities_missing(),
        kernel: version.map(|v| unpack(v.code())),
        xdp_links: version.is_some_and(|v| v >= KernelVersion::new(5, 9, 0)),
        xdp: aya::sys::is_program_supported(ProgramType::Xdp).ok(),
        socket_filter: aya::sys::is_program_supported(ProgramType::SocketFilter).ok(),
        jit: std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable")
            .ok()
            .map(|text| text.trim() != "0"),
    }
}

/// What the calling thread lacks of the capabilities that XDP needs: CAP_BPF to load, CAP_NET_ADMIN
/// to attach, CAP_PERFMON because the parser moves through the packet by numbers it finds there
/// (sanitize_ptr_alu in kernel/bpf/verifier.c). Empty where it cannot be asked.
pub(crate) fn capabilities_missing() -> Vec<&'static str> {
    effective_capabilities().map(missing).unwrap_or_default()
}

/// The effective capabilities of the calling thread (proc_pid_status(5)).
fn effective_capabilities() -> Option<u64> {
    parse_capabilities(&std::fs::read_to_string("/proc/thread-self/status").ok()?)
}

fn parse_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// What is missing; CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON (capabilities(7)).
fn missing(effective: u64) -> Vec<&'static str> {
    let has = |capability: u32| effective >> capability & 1 == 1;
    let mut missing = Vec::new();
    if !has(CAP_BPF) && !has(CAP_SYS_ADMIN) {
        missing.push("CAP_BPF");
    }
    if !has(CAP_NET_ADMIN) {
        missing.push("CAP_NET_ADMIN");
    }
    if !has(CAP_PERFMON) && !has(CAP_SYS_ADMIN) {
        missing.push("CAP_PERFMON");
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
            (0, vec!["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]),
            (1 << CAP_NET_ADMIN, vec!["CAP_BPF", "CAP_PERFMON"]),
            (1 << CAP_BPF, vec!["CAP_NET_ADMIN", "CAP_PERFMON"]),
            (1 << CAP_BPF | 1 << CAP_NET_ADMIN, vec!["CAP_PERFMON"]),
            (1 << CAP_BPF | 1 << CAP_NET_ADMIN | 1 << CAP_PERFMON, vec![]),
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
