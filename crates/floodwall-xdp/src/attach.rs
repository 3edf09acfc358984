//! Attaching the filter: native XDP, else generic XDP, else a filter on the listening sockets.
//!
//! Each step down is reported with its reason, and nothing that is attached already is ever
//! replaced. No filter outlives the process: an XDP program is held by a BPF link, which the
//! kernel ends with its last descriptor however the process ends (bpf_link_release in
//! kernel/bpf/syscall.c), and a socket filter lives with its socket. Kernels before 5.9 have no
//! BPF link for XDP; what is attached there stays after a kill -9 and has to be removed by hand,
//! so on those the XDP tiers are not used.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use aya::Ebpf;
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions, TcAttachType};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, SocketFilter, TestRun, TestRunOptions, Xdp,
};
use aya::util::KernelVersion;
use floodwall_model::Prefix;

use crate::abi::{
    BANS_DEFAULT, PROGRAM_ANSWERS, PROGRAM_CLOCK, PROGRAM_EGRESS, PROGRAM_SOCKET, PROGRAM_XDP,
    PROGRAM_XDP_PLAIN,
};
use crate::egress_hook;
use crate::error::{AttachError, os_error, with_causes};
use crate::limit::SourceRates;
use crate::nft::NftReport;
use crate::object::{is_permission, refused};
use crate::probe::{KernelFeatures, capabilities_missing};
use crate::syncookies::SynCookieSetting;
use crate::sys;

/// What to attach to, and what the filter has to know from the start.
#[derive(Debug)]
pub struct AttachRequest<'a> {
    /// The interface that traffic arrives on. None: no XDP.
    pub interface: Option<String>,
    /// Listening TCP sockets, used where XDP cannot be had. They are borrowed for the call only,
    /// so that closing a listener closes it.
    pub listeners: Vec<BorrowedFd<'a>>,
    /// Most bans per address family; [`BANS_DEFAULT`] unless there is a reason.
    pub max_bans: u32,
    /// Whose packets are never dropped: operators, health checks, the network in front of us.
    pub allow: Vec<Prefix>,
    /// Ports of this host that the guards know.
    pub services: Services,
    /// What one source may send, at any time; `None`: as much as it likes.
    pub source_rates: Option<SourceRates>,
    /// Drop packets that no working stack sends ([`PacketReason::SANITY`]), at rest too.
    ///
    /// [`PacketReason::SANITY`]: floodwall_model::packet::PacketReason::SANITY
    pub sanity: bool,
    /// Note what this host asks and how much it sends, with a TC program on the interface. Without
    /// it the UDP guard knows no answers and is not raised, and the ICMP guard holds answers to our
    /// own echo requests to its rate.
    pub egress: bool,
    /// For how long bans, rules and guards hold without a word from the controller, ms.
    pub lease_ms: u64,
    /// Where to note the system setting that the SYN proof changes while it stands, so that it can
    /// be put back after a kill -9.
    pub state_file: Option<PathBuf>,
    /// That setting, where several filters of one host share it; `state_file` is not looked at then.
    pub cookie_setting: Option<SynCookieSetting>,
    /// What the kernel can do. None: it is asked. Given by tests, which cannot change kernels.
    pub features: Option<KernelFeatures>,
}

impl Default for AttachRequest<'_> {
    fn default() -> Self {
        AttachRequest {
            interface: None,
            listeners: Vec::new(),
            max_bans: BANS_DEFAULT,
            allow: Vec::new(),
            services: Services::default(),
            source_rates: None,
            sanity: true,
            egress: true,
            lease_ms: LEASE_MS,
            state_file: None,
            cookie_setting: None,
            features: None,
        }
    }
}

/// For how long the filter obeys a controller that has fallen silent (design/l4.md).
pub const LEASE_MS: u64 = 60_000;

/// Ports of this host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Services {
    /// Ports with a TCP listener: their SYNs are answered with cookies while the SYN proof stands.
    pub tcp: Vec<u16>,
    /// Ports whose datagrams are welcome although nobody asked.
    pub udp: Vec<u16>,
}

/// Where the filter sits, best first.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Tier {
    /// In the interface's driver, before the kernel has allocated anything for the packet.
    XdpNative,
    /// On the interface, after the driver: every driver can, at the cost of an allocation.
    XdpGeneric,
    /// On the listening sockets and the connections accepted from them.
    SocketFilter,
    /// In an nftables set, without BPF ([`NftFilter`](crate::NftFilter)).
    Nftables,
}

impl Tier {
    /// The name used in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::XdpNative => "xdp_native",
            Tier::XdpGeneric => "xdp_generic",
            Tier::SocketFilter => "socket_filter",
            Tier::Nftables => NftReport::NAME,
        }
    }

    /// Whether it sits on an interface and sees every packet there.
    pub const fn is_xdp(self) -> bool {
        matches!(self, Tier::XdpNative | Tier::XdpGeneric)
    }

    /// What the XDP tiers do and this one does not, for people.
    pub const fn cannot(self) -> &'static [&'static str] {
        match self {
            Tier::XdpNative | Tier::XdpGeneric => &[],
            Tier::SocketFilter => &[
                "rules for packets",
                "guards against floods of SYN, UDP and ICMP, and rates per source",
                "samples for the engine",
            ],
            Tier::Nftables => &NftReport::CANNOT,
        }
    }
}

/// Which tier is in force, and why not a better one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TierReport {
    /// The tier in force.
    pub tier: Tier,
    /// A sentence per better tier or missing part. Empty for native XDP with all its parts.
    pub why_not_better: Vec<String>,
    /// Whether this host's own packets are seen, which the UDP guard needs.
    pub egress: bool,
}

impl fmt::Display for TierReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.tier {
            Tier::XdpNative => "native XDP",
            Tier::XdpGeneric => "generic XDP",
            Tier::SocketFilter => "socket filter",
            Tier::Nftables => "nftables set",
        })?;
        if !self.why_not_better.is_empty() {
            write!(f, " ({})", self.why_not_better.join("; "))?;
        }
        Ok(())
    }
}

/// What is attached. Dropping it detaches XDP; socket filters need [`detach_listener`].
#[derive(Debug)]
pub(crate) enum Attachment {
    Xdp {
        link: Option<XdpLink>,
        /// Which of the two XDP programs.
        program: &'static str,
        /// Held for its drop.
        egress: Option<SchedClassifierLink>,
        /// Likewise; only where the driver does not send the SYN proof's answers.
        answers: Option<SchedClassifierLink>,
    },
    Sockets,
    /// Loaded for a dry run only.
    Nothing,
}

/// Loads and attaches the best program that works.
pub(crate) fn attach(
    ebpf: &mut Ebpf,
    request: &AttachRequest<'_>,
) -> Result<(Attachment, TierReport), AttachError> {
    let mut why = Vec::new();
    let mut only_permission = true;
    match &request.interface {
        None => why.push("XDP: no interface was given".to_owned()),
        Some(interface) => match attach_xdp(ebpf, interface, request.features)? {
            XdpOutcome::Attached { link, tier, program, mut why_not_better } => {
                let has_tcx =
                    request.features.map_or_else(KernelFeatures::has_tcx, |features| features.tcx);
                let hung = request.egress.then(|| egress_hook::attach(ebpf, interface, has_tcx));
                let egress = hung.transpose().unwrap_or_else(|error| {
                    why_not_better.push(format!("egress on {interface}: {error}"));
                    None
                });
                let report = TierReport { tier, why_not_better, egress: egress.is_some() };
                let link = Some(link);
                return Ok((Attachment::Xdp { link, program, egress, answers: None }, report));
            }
            XdpOutcome::Impossible { why: xdp, permission } => {
                only_permission &= permission;
                why.extend(xdp);
            }
        },
    }
    if request.listeners.is_empty() {
        if request.interface.is_none() {
            return Err(AttachError::NothingToFilter);
        }
        why.push("socket filter: no listening socket was given".to_owned());
    } else {
        match attach_listeners(ebpf, &request.listeners) {
            Ok(()) => {
                let tier = Tier::SocketFilter;
                let report = TierReport { tier, why_not_better: why, egress: false };
                return Ok((Attachment::Sockets, report));
            }
            Err(error) => {
                only_permission &= is_permission(&error);
                why.push(format!("socket filter: {}", with_causes(&error)));
            }
        }
    }
    Err(if only_permission {
        AttachError::NotPermitted { detail: why.join("; ") }
    } else {
        AttachError::NoTier { why }
    })
}

enum XdpOutcome {
    Attached { link: XdpLink, tier: Tier, program: &'static str, why_not_better: Vec<String> },
    Impossible { why: Vec<String>, permission: bool },
}

/// Tries both XDP tiers. An `Err` is something the operator has to decide, where quietly taking a
/// weaker tier would be wrong.
fn attach_xdp(
    ebpf: &mut Ebpf,
    interface: &str,
    features: Option<KernelFeatures>,
) -> Result<XdpOutcome, AttachError> {
    let impossible = |why: String, permission| {
        Ok(XdpOutcome::Impossible { why: vec![format!("XDP on {interface}: {why}")], permission })
    };
    match sys::link_layer(interface) {
        // The filter reads Ethernet frames; loopback's look the same, with zeros for addresses
        // (eth_header through loopback_setup in drivers/net/loopback.c).
        Ok(libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK) => {}
        Ok(other) => {
            return impossible(format!("its link layer is not Ethernet (type {other})"), false);
        }
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
            return Err(AttachError::InterfaceUnknown { interface: interface.to_owned() });
        }
        Err(error) => return Err(refused(&error)),
    }
    let missing = capabilities_missing();
    if !missing.is_empty() {
        let why = format!("Operation not permitted: it needs {}", missing.join(", "));
        return impossible(why, true);
    }
    if KernelVersion::current().is_ok_and(|version| version < KernelVersion::new(5, 9, 0)) {
        return impossible("before Linux 5.9 it would outlive this process".to_owned(), false);
    }
    let missing = features.unwrap_or_else(KernelFeatures::ask).missing();
    if !missing.is_empty() {
        return impossible(format!("this kernel has no {}", missing.join(", no ")), false);
    }
    let mut why = Vec::new();
    let mut permission = true;
    for (tier, mode) in [(Tier::XdpNative, XdpMode::Driver), (Tier::XdpGeneric, XdpMode::Skb)] {
        // A driver that takes no frames of several buffers may take the plain program.
        for name in [PROGRAM_XDP, PROGRAM_XDP_PLAIN] {
            let attached = load_xdp(ebpf, name)
                .and_then(|p| p.attach(interface, mode).and_then(|id| p.take_link(id)));
            let error = match attached {
                Ok(link) => {
                    let (program, why_not_better) = (name, why);
                    return Ok(XdpOutcome::Attached { link, tier, program, why_not_better });
                }
                Err(error) => error,
            };
            match os_error(&error) {
                // dev_xdp_attach in net/core/dev.c: EBUSY for a program in the same mode, EEXIST
                // for one in the other mode or on a device above.
                Some(libc::EBUSY | libc::EEXIST) => {
                    return Err(AttachError::InterfaceTaken { interface: interface.to_owned() });
                }
                _ if name == PROGRAM_XDP => {}
                Some(libc::EOPNOTSUPP) => {
                    permission = false;
                    why.push(format!("{} on {interface}: its driver cannot", tier.name()));
                }
                _ => {
                    // With the verifier's whole log, which the report has no room for.
                    tracing::debug!(%error, "the XDP program was not taken");
                    permission &= is_permission(&error);
                    why.push(format!("{} on {interface}: {}", tier.name(), with_causes(&error)));
                }
            }
        }
    }
    Ok(XdpOutcome::Impossible { why, permission })
}

/// Puts the program that sends the SYN proof's answers out of `interface` before all others there
/// that look at what comes in. Needs TCX (Linux 6.6).
pub(crate) fn attach_answers(
    ebpf: &mut Ebpf,
    interface: &str,
) -> Result<SchedClassifierLink, String> {
    let attach = |ebpf: &mut Ebpf| -> Result<SchedClassifierLink, ProgramError> {
        let program = load_classifier(ebpf, PROGRAM_ANSWERS)?;
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program.attach_with_options(interface, TcAttachType::Ingress, first)?;
        program.take_link(id)
    };
    attach(ebpf).map_err(|error| with_causes(&error))
}

/// Runs the program that tells what the kernel's clocks say.
pub(crate) fn run_clock(ebpf: &mut Ebpf) -> Result<(), ProgramError> {
    let program: &mut SocketFilter =
        ebpf.program_mut(PROGRAM_CLOCK).ok_or(ProgramError::NotLoaded)?.try_into()?;
    if program.fd().is_err() {
        program.load()?;
    }
    // A frame that a test run takes: an Ethernet header and a byte more.
    let frame = [0; 16];
    program.test_run(TestRunOptions { data_in: Some(&frame), ..TestRunOptions::default() })?;
    Ok(())
}

/// The egress program, loaded into the kernel on first use.
pub(crate) fn load_egress(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, ProgramError> {
    load_classifier(ebpf, PROGRAM_EGRESS)
}

fn load_classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<&'a mut SchedClassifier, ProgramError> {
    let program: &mut SchedClassifier =
        ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()?;
    if program.fd().is_err() {
        program.load()?;
    }
    Ok(program)
}

/// The XDP program `name`, loaded into the kernel on first use.
pub(crate) fn load_xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, ProgramError> {
    let program: &mut Xdp = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()?;
    if program.fd().is_err() {
        program.load()?;
    }
    Ok(program)
}

/// Puts a freshly loaded copy of the program in place of the one that is attached, without a
/// moment in which none is (bpf_link_update). The maps are the same, so nothing is forgotten.
pub(crate) fn replace(ebpf: &mut Ebpf, attachment: &mut Attachment) -> Result<(), AttachError> {
    let Attachment::Xdp { link, program, .. } = attachment else { return Ok(()) };
    let held = link.take().ok_or(AttachError::NothingToFilter)?;
    let loaded: Result<XdpLink, ProgramError> = (|| {
        let xdp: &mut Xdp = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
        // The kernel keeps the old one as long as the link holds it.
        xdp.unload()?;
        xdp.load()?;
        let id = xdp.attach_to_link(held)?;
        xdp.take_link(id)
    })();
    *link = Some(loaded.map_err(|error| refused(&error))?);
    Ok(())
}

/// The socket filter, loaded into the kernel on first use.
pub(crate) fn load_socket_filter(ebpf: &mut Ebpf) -> Result<&mut SocketFilter, ProgramError> {
    let program: &mut SocketFilter =
        ebpf.program_mut(PROGRAM_SOCKET).ok_or(ProgramError::NotLoaded)?.try_into()?;
    if program.fd().is_err() {
        program.load()?;
    }
    Ok(program)
}

/// Attaches to all of `listeners`, or to none.
fn attach_listeners(ebpf: &mut Ebpf, listeners: &[BorrowedFd<'_>]) -> Result<(), ProgramError> {
    let program = load_socket_filter(ebpf)?;
    for (done, listener) in listeners.iter().enumerate() {
        if let Err(error) = program.attach(listener) {
            for listener in listeners.iter().take(done) {
                // Best effort: the error that matters is the one returned.
                let _ = SocketFilter::detach(listener);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Attaches the loaded socket filter to one more listener.
pub(crate) fn attach_listener(ebpf: &mut Ebpf, listener: impl AsFd) -> Result<(), AttachError> {
    let program = load_socket_filter(ebpf).map_err(|error| refused(&error))?;
    program.attach(listener).map_err(|error| refused(&error))
}

/// Takes the filter off a listener. Connections accepted from it keep theirs until they close: the
/// kernel hands it down on accept (sk_clone_lock in net/core/sock.c).
pub(crate) fn detach_listener(listener: impl AsFd) -> Result<(), AttachError> {
    SocketFilter::detach(listener).map_err(|error| refused(&error))
}
