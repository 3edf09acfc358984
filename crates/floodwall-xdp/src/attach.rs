//! Attaching the filter: native XDP, else generic XDP, else a filter on the listening sockets.
//!
//! Each step down is reported with its reason, and nothing that is attached already is ever
//! replaced. Nothing here outlives the process: an XDP program is held by a BPF link, which the
//! kernel ends with its last descriptor however the process ends (bpf_link_release in
//! kernel/bpf/syscall.c), and a socket filter lives with its socket. Kernels before 5.9 have no
//! BPF link for XDP; what is attached there stays after a kill -9 and has to be removed by hand,
//! so on those the XDP tiers are not used.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use aya::Ebpf;
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramError, SocketFilter, Xdp};
use aya::util::KernelVersion;

use crate::abi::{PROGRAM_SOCKET, PROGRAM_XDP};
use crate::error::{AttachError, os_error, with_causes};
use crate::object::{is_permission, refused};
use crate::sys;

/// What to attach to.
#[derive(Debug)]
pub struct AttachRequest<'a> {
    /// The interface that traffic arrives on. None: no XDP.
    pub interface: Option<String>,
    /// Listening TCP sockets, used where XDP cannot be had. They are borrowed for the call only,
    /// so that closing a listener closes it.
    pub listeners: Vec<BorrowedFd<'a>>,
    /// Most bans per address family; [`BANS_DEFAULT`](crate::BANS_DEFAULT) unless there is a
    /// reason.
    pub max_bans: u32,
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
}

impl Tier {
    /// The name used in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::XdpNative => "xdp_native",
            Tier::XdpGeneric => "xdp_generic",
            Tier::SocketFilter => "socket_filter",
        }
    }
}

/// Which tier is in force, and why not a better one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TierReport {
    /// The tier in force.
    pub tier: Tier,
    /// A sentence per better tier. Empty for native XDP.
    pub why_not_better: Vec<String>,
}

impl fmt::Display for TierReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.tier {
            Tier::XdpNative => "native XDP",
            Tier::XdpGeneric => "generic XDP",
            Tier::SocketFilter => "socket filter",
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
        _link: XdpLink,
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
        Some(interface) => match attach_xdp(ebpf, interface)? {
            XdpOutcome::Attached { link, tier, why_not_better } => {
                let report = TierReport { tier, why_not_better };
                return Ok((Attachment::Xdp { _link: link }, report));
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
                let report = TierReport { tier: Tier::SocketFilter, why_not_better: why };
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
    Attached { link: XdpLink, tier: Tier, why_not_better: Vec<String> },
    Impossible { why: Vec<String>, permission: bool },
}

/// Tries both XDP tiers. An `Err` is something the operator has to decide, where quietly taking a
/// weaker tier would be wrong.
fn attach_xdp(ebpf: &mut Ebpf, interface: &str) -> Result<XdpOutcome, AttachError> {
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
    if KernelVersion::current().is_ok_and(|version| version < KernelVersion::new(5, 9, 0)) {
        return impossible("before Linux 5.9 it would outlive this process".to_owned(), false);
    }
    let program = match load_xdp(ebpf) {
        Ok(program) => program,
        Err(error) => {
            // With the verifier's whole log, which the report has no room for.
            tracing::debug!(%error, "the XDP program was not loaded");
            return impossible(with_causes(&error), is_permission(&error));
        }
    };
    let mut why = Vec::new();
    let mut permission = true;
    for (tier, mode) in [(Tier::XdpNative, XdpMode::Driver), (Tier::XdpGeneric, XdpMode::Skb)] {
        let attached = program.attach(interface, mode).and_then(|id| program.take_link(id));
        let error = match attached {
            Ok(link) => return Ok(XdpOutcome::Attached { link, tier, why_not_better: why }),
            Err(error) => error,
        };
        permission &= is_permission(&error);
        match os_error(&error) {
            // dev_xdp_attach in net/core/dev.c: EBUSY for a program in the same mode, EEXIST for
            // one in the other mode or on a device above.
            Some(libc::EBUSY | libc::EEXIST) => {
                return Err(AttachError::InterfaceTaken { interface: interface.to_owned() });
            }
            Some(libc::EOPNOTSUPP) => {
                why.push(format!("{} on {interface}: its driver cannot", tier.name()));
            }
            _ => why.push(format!("{} on {interface}: {}", tier.name(), with_causes(&error))),
        }
    }
    Ok(XdpOutcome::Impossible { why, permission })
}

/// The XDP program, loaded into the kernel on first use.
pub(crate) fn load_xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp, ProgramError> {
    let program: &mut Xdp =
        ebpf.program_mut(PROGRAM_XDP).ok_or(ProgramError::NotLoaded)?.try_into()?;
    if program.fd().is_err() {
        program.load()?;
    }
    Ok(program)
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
