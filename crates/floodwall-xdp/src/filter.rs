//! The filter in force: loaded, attached, counting. Bans are in filter/banning.rs, the kernel's tables
//! in filter/maps.rs; what the engine's plan changes is in control.rs.
//!
//! It must never outlive the process.

mod banning;
mod maps;

use std::fmt;
use std::os::fd::AsFd;

use aya::Ebpf;
use aya::maps::MapError;
use floodwall_model::Prefix;

use crate::attach::{self, AttachRequest, Attachment, Tier, TierReport};
use crate::bans::BanTable;
use crate::clock::Clock;
use crate::control::Control;
use crate::counters::{BanRefusals, FilterCounters, Totals};
use crate::error::{AttachError, BanError, with_causes};
use crate::networks::NetTable;
use crate::object::{self, Settings, refused};
use crate::probe::capabilities_missing;

pub use banning::{EndedBan, SWEEP_STEP_MAX};

pub(crate) use banning::{bannable_key, count_refusal, remaining_ms};

use maps::Maps;

/// The kernel filter, loaded and attached. Dropping it detaches it.
pub struct KernelFilter {
    // First, so that it is dropped first: no packet meets a filter whose maps are going away.
    pub(crate) attachment: Attachment,
    report: Option<TierReport>,
    pub(crate) maps: Maps,
    pub(crate) clock: Clock,
    pub(crate) control: Control,
    table: BanTable,
    networks: NetTable,
    allowed: Vec<Prefix>,
    refusals: BanRefusals,
    /// Removed by [`KernelFilter::ban`] to make room, for the next [`KernelFilter::sweep`] to
    /// return. Holds fewer than two steps' worth.
    unreported: Vec<EndedBan>,
    pub(crate) ebpf: Ebpf,
}

impl fmt::Debug for KernelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelFilter")
            .field("report", &self.report)
            .field("bans_held", &self.table.len())
            .finish_non_exhaustive()
    }
}

impl KernelFilter {
    /// Loads the filter and attaches it in the best tier this host allows;
    /// [`KernelFilter::tier`] says which and why not a better one.
    ///
    /// # Errors
    /// See [`AttachError`]. Nothing stays attached after an error.
    pub fn attach(request: &AttachRequest<'_>) -> Result<KernelFilter, AttachError> {
        let mut filter = KernelFilter::load(request)?;
        let (attachment, report) = attach::attach(&mut filter.ebpf, request)?;
        filter.attachment = attachment;
        if report.tier == Tier::XdpNative {
            filter.control.answers.watch();
        }
        filter.report = Some(report);
        Ok(filter)
    }

    /// The filter with its maps, attached to nothing.
    pub(crate) fn load(request: &AttachRequest<'_>) -> Result<KernelFilter, AttachError> {
        let settings = Settings::new(request.max_bans, request.sanity)?;
        let missing = capabilities_missing();
        // CAP_NET_ADMIN is wanted for XDP alone.
        if object::is_built() && missing.iter().any(|name| *name != "CAP_NET_ADMIN") {
            let detail = format!("this process lacks {}", missing.join(", "));
            return Err(AttachError::NotPermitted { detail });
        }
        let mut ebpf = object::load(&settings)?;
        let (maps, rules) = Maps::take(&mut ebpf, &settings)?;
        let clock = Clock::measure(|| {
            attach::run_clock(&mut ebpf)?;
            Ok(maps.policy.reading())
        })
        .map_err(|error: aya::programs::ProgramError| refused(&error))?;
        let mut filter = KernelFilter {
            attachment: Attachment::Nothing,
            report: None,
            maps,
            clock,
            control: Control::new(rules, request),
            table: BanTable::new(request.max_bans),
            networks: NetTable::default(),
            allowed: Vec::new(),
            refusals: BanRefusals::default(),
            unreported: Vec::new(),
            ebpf,
        };
        filter
            .settle(request)
            .map_err(|error| AttachError::Kernel { detail: error.to_string() })?;
        for prefix in &request.allow {
            filter
                .allow(*prefix)
                .map_err(|error| AttachError::Kernel { detail: error.to_string() })?;
        }
        Ok(filter)
    }

    /// The tier in force. None only inside a [`DryRun`](crate::DryRun), which is attached to
    /// nothing.
    pub fn tier(&self) -> Option<&TierReport> {
        self.report.as_ref()
    }

    /// Puts a freshly loaded copy of the program in place of the attached one: no packet in between
    /// meets no filter, and bans, rules and counts stay. In the other tiers there is nothing to do.
    ///
    /// # Errors
    /// [`AttachError::NotPermitted`] or [`AttachError::Kernel`]; nothing may be attached then.
    pub fn replace(&mut self) -> Result<(), AttachError> {
        attach::replace(&mut self.ebpf, &mut self.attachment)
    }

    /// Puts the filter on a listening TCP socket opened later. In the XDP tiers there is nothing
    /// to do: they see the packets of every socket behind their interface.
    ///
    /// # Errors
    /// [`AttachError::NotPermitted`] or [`AttachError::Kernel`]; the listener then has no filter.
    pub fn add_listener(&mut self, listener: impl AsFd) -> Result<(), AttachError> {
        match self.attachment {
            Attachment::Sockets => attach::attach_listener(&mut self.ebpf, listener),
            Attachment::Xdp { .. } | Attachment::Nothing => Ok(()),
        }
    }

    /// Takes the filter off a listener that stays open. Closing a listener needs no call.
    ///
    /// # Errors
    /// [`AttachError::Kernel`].
    pub fn remove_listener(&mut self, listener: impl AsFd) -> Result<(), AttachError> {
        match self.attachment {
            Attachment::Sockets => attach::detach_listener(listener),
            Attachment::Xdp { .. } | Attachment::Nothing => Ok(()),
        }
    }

    /// What the filter has seen since it was loaded.
    ///
    /// # Errors
    /// [`BanError::Kernel`] when the counters cannot be read.
    pub fn counters(&self) -> Result<FilterCounters, BanError> {
        Ok(FilterCounters {
            bans_held: self.table.len() as u64,
            networks_held: u64::from(self.networks.held(true))
                + u64::from(self.networks.held(false)),
            bans_refused: self.refusals,
            ..self.totals()?.counters()
        })
    }

    pub(crate) fn totals(&self) -> Result<Totals, BanError> {
        Totals::read(&self.maps.counts).map_err(kernel)
    }

    /// For [`DryRun`](crate::DryRun).
    pub(crate) fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

impl Drop for KernelFilter {
    fn drop(&mut self) {
        // The link takes the XDP program off the interface when it is dropped. Open sockets keep
        // their filter, and with it the maps: without bans, rules and lease it passes everything.
        self.maps.policy.set_guards(0, 0);
        self.maps.policy.set_lease_until(0);
    }
}

pub(crate) fn kernel(error: MapError) -> BanError {
    BanError::Kernel(with_causes(&error))
}
