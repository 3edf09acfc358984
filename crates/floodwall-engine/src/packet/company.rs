//! Who sent what rules stopped: a flood's second kind of packet is known by the company it keeps.

use std::collections::HashSet;

/// Sources remembered. When full: no further one is.
const SOURCES_MAX: usize = 1 << 16;

/// Sources of packets that rules in force matched.
#[derive(Debug, Default)]
pub struct StoppedSources {
    keys: HashSet<u64>,
}

impl StoppedSources {
    /// Remembers the source `key`.
    pub fn insert(&mut self, key: u64) {
        if self.keys.len() < SOURCES_MAX {
            self.keys.insert(key);
        }
    }

    /// Whether a rule stopped something from it.
    pub fn contains(&self, key: u64) -> bool {
        self.keys.contains(&key)
    }

    /// Forgets all: the attack is over.
    pub fn clear(&mut self) {
        self.keys.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_takes_no_more_and_keeps_what_it_has() {
        let mut stopped = StoppedSources::default();
        for key in 0..SOURCES_MAX as u64 + 10 {
            stopped.insert(key);
        }
        assert_eq!(stopped.keys.len(), SOURCES_MAX);
        assert!(stopped.contains(0));
        assert!(!stopped.contains(SOURCES_MAX as u64 + 1));
    }
}
