//! What was found on the host: plain data. The names are those of `--json` and stay as they are;
//! new ones may come.

use floodwall_console::status::KernelTier;
use serde::Serialize;

use super::geography::AddressDatabases;

/// What a trial came to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "result", content = "why", rename_all = "snake_case")]
pub(super) enum Trial {
    /// It was tried, and it works.
    Works,
    /// It was tried, and it does not; why.
    Fails(String),
    /// It could not be tried; why.
    NotTried(String),
}

impl Trial {
    pub(super) fn works(&self) -> bool {
        matches!(self, Trial::Works)
    }

    /// Why it does not work or was not tried.
    pub(super) fn why_not(&self) -> Option<&str> {
        match self {
            Trial::Works => None,
            Trial::Fails(why) | Trial::NotTried(why) => Some(why),
        }
    }
}

/// Everything.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Facts {
    /// As uname has it.
    pub(super) kernel: Option<String>,
    /// Major and minor version.
    pub(super) kernel_version: Option<(u8, u8)>,
    /// Capabilities that the filter needs and this process lacks.
    pub(super) capabilities_missing: Vec<String>,
    /// This build has a kernel filter in it.
    pub(super) filter_built: bool,
    /// The kernel describes its own types.
    pub(super) btf: bool,
    /// BPF is compiled to machine code.
    pub(super) jit: Option<bool>,
    /// Helpers of the kernel that XDP needs, with whether they are there; none if not looked at.
    pub(super) helpers: Option<Vec<Helper>>,
    /// The kernel takes the XDP program.
    pub(super) xdp_program: Trial,
    /// The kernel takes the program that notes what this host sends.
    pub(super) egress: Trial,
    /// A filter on a listening socket.
    pub(super) socket_filter: Trial,
    /// The table of bans for hosts without BPF.
    pub(super) nftables: Trial,
    /// net.ipv4.tcp_syncookies now.
    pub(super) tcp_syncookies: Option<u8>,
    /// Files and connections that this process may hold open.
    pub(super) open_files_max: Option<Limit>,
    /// Memory that this process may lock, bytes; kernels since 5.11 do not count BPF there.
    pub(super) locked_memory_max: Option<Limit>,
    /// A Floodwall that runs, in its own words.
    pub(super) running: Option<Running>,
    /// Interfaces that were asked for, or those that are up and have an address.
    pub(super) interfaces: Vec<Interface>,
    /// What a packet costs, measured just now.
    pub(super) costs: Option<Costs>,
    /// Databases that say where addresses belong.
    pub(super) address_databases: AddressDatabases,
}

/// One helper.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Helper {
    pub(super) name: String,
    pub(super) since_linux: String,
    pub(super) there: bool,
}

/// A limit of this process (getrlimit(2)).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Limit {
    Max(u64),
    Unlimited,
}

/// What a Floodwall that runs says of itself.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Running {
    pub(super) tier: KernelTier,
    pub(super) interface: Option<String>,
    /// Each interface it was given, with the tier there.
    pub(super) interfaces: Vec<(String, KernelTier)>,
    /// What a better tier does and this one does not.
    pub(super) not_done: Vec<String>,
    pub(super) why_not_better: Option<String>,
}

/// Whether the driver takes an XDP program itself.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Native {
    Yes,
    No,
    Unknown,
}

/// One network interface.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) up: bool,
    pub(super) ethernet: bool,
    pub(super) driver: Option<String>,
    pub(super) native_xdp: Native,
    /// The driver says when it loses an answer of the SYN proof.
    pub(super) counts_lost_answers: bool,
    pub(super) xdp_attached: Option<bool>,
}

/// ns per packet in the filter, without the driver and the rest of the stack.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Costs {
    pub(super) pass_ns: u64,
    pub(super) banned_ns: u64,
    pub(super) rules_64_miss_ns: u64,
    pub(super) syn_cookie_ns: Option<u64>,
}
