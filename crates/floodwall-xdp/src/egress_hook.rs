//! Where the egress program hangs: on a TCX link where the kernel has them, else on the clsact
//! queueing discipline that Linux has had since 4.5.
//!
//! A TCX link ends with the process. What hangs on clsact stays behind after a kill -9: it holds
//! nothing up and drops nothing, and the next start takes it away. The discipline itself is left
//! where it is, because others may have come to use it; without filters it does nothing.
//!
//! It must never take away or replace what is not Floodwall's.

use aya::Ebpf;
use aya::programs::ProgramError;
use aya::programs::tc::{
    self, NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType, TcError,
};

use crate::abi::PROGRAM_EGRESS;
use crate::attach::load_egress;
use crate::error::{os_error, with_causes};

/// Hangs the egress program on `interface`. Dropping the link takes it away.
pub(crate) fn attach(
    ebpf: &mut Ebpf,
    interface: &str,
    has_tcx: bool,
) -> Result<SchedClassifierLink, String> {
    let attached = if has_tcx { on_link(ebpf, interface) } else { on_clsact(ebpf, interface) };
    attached.map_err(|error| with_causes(&error))
}

fn on_link(ebpf: &mut Ebpf, interface: &str) -> Result<SchedClassifierLink, ProgramError> {
    let program = load_egress(ebpf)?;
    let id = program.attach_with_options(
        interface,
        TcAttachType::Egress,
        TcAttachOptions::TcxOrder(Default::default()),
    )?;
    program.take_link(id)
}

fn on_clsact(ebpf: &mut Ebpf, interface: &str) -> Result<SchedClassifierLink, ProgramError> {
    match tc::qdisc_add_clsact(interface) {
        Ok(()) => {}
        // Somebody has added it before.
        Err(error) if os_error(&error) == Some(libc::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    // Nobody else runs here now: whoever comes this far has the interface's XDP to himself.
    match tc::qdisc_detach_program(interface, TcAttachType::Egress, PROGRAM_EGRESS) {
        Ok(()) => tracing::info!(interface, "took away what a killed process had left on egress"),
        Err(TcError::IoError(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let program = load_egress(ebpf)?;
    let id = program.attach_with_options(
        interface,
        TcAttachType::Egress,
        TcAttachOptions::Netlink(NlOptions::default()),
    )?;
    program.take_link(id)
}
