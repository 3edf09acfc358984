//! Whether the interface that the kernel filter was put on is still there.
//!
//! The kernel takes a filter away with its interface and tells nobody. An interface that comes back
//! has the same name and another number (ifindex, netdevice(7)), so the number is what is looked at.

use rustix::net::{AddressFamily, SocketType, netdevice, socket};

/// After a filter was refused it is tried again so much later, ms: loading one takes the kernel a
/// noticeable part of a second.
const RETRY_MS: u64 = 5_000;

/// The interface of the filter.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    /// The filter is not on an interface.
    NotWatched,
    /// It is on the interface with this number.
    On(u32),
    /// The interface is gone or refused the filter, which is not tried before `retry_at_ms`.
    Lost { retry_at_ms: u64 },
}

impl Link {
    /// The interface is gone; when it is back, it gets the filter at once.
    pub(crate) const GONE: Link = Link::Lost { retry_at_ms: 0 };

    /// It is back and refused the filter.
    pub(crate) const fn retry(now_ms: u64) -> Link {
        Link::Lost { retry_at_ms: now_ms + RETRY_MS }
    }

    /// Whether the interface of the filter is not the one with `index` any more.
    pub(crate) fn is_lost(self, index: Option<u32>) -> bool {
        matches!(self, Link::On(known) if index != Some(known))
    }

    /// Whether an interface that is there shall get a filter.
    pub(crate) const fn is_due(self, now_ms: u64) -> bool {
        matches!(self, Link::Lost { retry_at_ms } if now_ms >= retry_at_ms)
    }
}

/// The number of an interface of the calling thread's network namespace.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(&socket, name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_lost_when_it_is_gone_or_another_has_its_name() {
        for (description, link, index, lost) in [
            ("it is there", Link::On(7), Some(7), false),
            ("it is gone", Link::On(7), None, true),
            ("another has its name", Link::On(7), Some(8), true),
            ("it was lost before", Link::GONE, None, false),
            ("nobody looks", Link::NotWatched, None, false),
        ] {
            assert_eq!(link.is_lost(index), lost, "{description}");
        }
    }

    #[test]
    fn a_filter_is_due_at_once_and_after_a_refusal_later() {
        assert!(Link::GONE.is_due(1_000));
        assert!(!Link::retry(1_000).is_due(1_000));
        assert!(Link::retry(1_000).is_due(1_000 + RETRY_MS));
        assert!(!Link::On(7).is_due(1_000) && !Link::NotWatched.is_due(1_000));
    }

    #[test]
    fn the_loopback_interface_has_a_number_and_no_such_one_has_none() {
        assert!(interface_index("lo").is_some_and(|index| index > 0));
        assert_eq!(interface_index("no-such-one"), None);
    }
}
