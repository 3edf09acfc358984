//! A sampled request: what mining and evidence need to remember of one observation.

use floodwall_model::{Attr, Attrs, Observation, RequestKind, ValueId};

/// One sampled request.
#[derive(Copy, Clone, Debug)]
pub struct Record {
    /// When it arrived, ms since the epoch.
    pub at_ms: u64,
    /// The key of its source.
    pub source: u64,
    /// What it looked like.
    pub attrs: Attrs,
    /// What kind of thing it asked for.
    pub kind: RequestKind,
    /// A rule in force spoke about it: it is no longer unexplained.
    pub explained: bool,
    /// It was let through, so that its sender had a chance to behave.
    pub passed: bool,
    /// A page that its source had asked for caused it. A rise is weighed without such requests:
    /// they come in bursts, and no attack has been seen that consists of them.
    pub prompted: bool,
}

impl Record {
    /// What to remember of `observation`; `prompted` as [`Self::prompted`].
    pub fn of(observation: &Observation, prompted: bool) -> Self {
        Record {
            at_ms: observation.at_ms,
            source: observation.source.key(),
            attrs: observation.attrs,
            kind: observation.kind,
            explained: observation.handling.rule().is_some(),
            passed: observation.handling.passed(),
            prompted,
        }
    }

    /// The client implementation as far as it can be seen, for comparing mixes: TLS fingerprint,
    /// header order, version, and the agent with its digits taken out. Whole user agents would make
    /// every browser release a new client.
    pub fn implementation(&self) -> u64 {
        const PARTS: [Attr; 4] =
            [Attr::Ja4, Attr::HeaderOrder, Attr::HttpVersion, Attr::AgentShape];
        PARTS.iter().fold(0, |mixed, attr| {
            let ValueId(id) = self.attrs[*attr];
            crate::random::mix(mixed ^ id)
        })
    }
}
