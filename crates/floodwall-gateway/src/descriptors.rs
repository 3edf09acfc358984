//! How many descriptors this process may have: the limit behind `connections_total`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the system sets no limit, one is needed all the same.
const UNLIMITED: u64 = 1 << 20;

/// Raises the soft limit to the hard limit, which needs no privilege, and tells what holds then.
pub(crate) fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Failing leaves the old limit, which the next lines read back.
        let _ =
            setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED)
}

/// Client connections allowed under a limit of `descriptors`: 80 %, so that the accept loop meets
/// our own refusal and never the system's.
pub(crate) fn connections_max(descriptors: u64) -> usize {
    usize::try_from(descriptors / 5 * 4).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_descriptors_is_kept_back() {
        assert_eq!(connections_max(1_000), 800);
        assert!(raise_limit() > 0);
    }
}
