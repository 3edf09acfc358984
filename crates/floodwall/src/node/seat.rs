//! One interface with its filter, there or not: taken, lost and taken again.
//!
//! Only the XDP tiers sit on interfaces. What an interface cannot have is told as the reason why
//! not; the tiers below are the host's and belong to kernel.rs. It must never say that a filter is
//! there which is not.

use floodwall_xdp::{FilterCounters, KernelFilter, Tier};

use super::link::{Link, interface_index};

/// One interface.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Its name.
    pub(crate) name: String,
    /// The filter on it.
    pub(crate) filter: Option<KernelFilter>,
    /// The filter's tier.
    pub(crate) tier: Option<Tier>,
    /// Why not a better one.
    pub(crate) why: Option<String>,
    /// Whether the interface is still there.
    pub(crate) link: Link,
}

impl Seat {
    /// Not taken yet.
    pub(crate) fn new(name: &str) -> Seat {
        Seat { name: name.to_owned(), filter: None, tier: None, why: None, link: Link::NotWatched }
    }

    /// Puts `filter`, which was attached in an XDP tier, on the interface with `index`.
    pub(crate) fn fill(&mut self, filter: KernelFilter, index: Option<u32>) {
        let why = filter.tier().map_or(String::new(), |report| report.why_not_better.join("; "));
        self.tier = filter.tier().map(|report| report.tier);
        tracing::info!(
            tier = self.tier.map(Tier::name),
            interface = self.name,
            "kernel filter attached"
        );
        if !why.is_empty() {
            tracing::warn!("the kernel filter on {} could do more: {why}", self.name);
        }
        self.why = (!why.is_empty()).then_some(why);
        self.link = index.map_or(Link::NotWatched, Link::On);
        self.filter = Some(filter);
    }

    /// What its filter has counted.
    pub(crate) fn counters(&self) -> Option<FilterCounters> {
        self.filter.as_ref()?.counters().ok()
    }

    /// Notices that the interface is gone or another one has its name; true when that is news.
    pub(crate) fn is_lost(&self) -> bool {
        self.link != Link::NotWatched && self.link.is_lost(interface_index(&self.name))
    }

    /// The interface was not there when it was looked at last.
    pub(crate) fn is_gone(&self) -> bool {
        self.link == Link::GONE
    }

    /// Drops the filter.
    pub(crate) fn lose(&mut self, why: String) {
        self.filter = None;
        self.tier = None;
        self.why = Some(why);
        if self.link != Link::NotWatched {
            self.link = Link::GONE;
        }
    }

    /// The number of an interface that is there and shall get a filter now.
    pub(crate) fn is_due(&self, now_ms: u64) -> Option<u32> {
        if self.link.is_due(now_ms) { interface_index(&self.name) } else { None }
    }

    /// It is there and refused the filter. Says so once for each reason.
    pub(crate) fn refused(&mut self, why: String, now_ms: u64) {
        if self.why.as_ref() != Some(&why) {
            tracing::warn!("{why}");
            self.why = Some(why);
        }
        self.link = Link::retry(now_ms);
    }
}
