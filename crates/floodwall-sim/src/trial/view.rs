//! What an observer can see of a request, and what the origin is made to cost.

use floodwall_model::request::AttrWriter;
use floodwall_model::{Attr, Attrs, Observation, Outcome, RequestKind, Stage, ValueId, ValueKey};

use crate::observe::observe;
use crate::request::Planned;

/// Which observer.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum View {
    /// Everything a gateway sees.
    Gateway,
    /// The same with a database that says where addresses belong.
    Placed,
    /// What an access log in combined format keeps.
    AccessLog,
}

impl View {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            View::Gateway => "gateway",
            View::Placed => "placed",
            View::AccessLog => "log",
        }
    }

    /// What it sees of `planned`, before anything was decided.
    pub(super) fn see(self, planned: &Planned, at_ms: u64, writer: &mut AttrWriter) -> Observation {
        let mut observation = observe(&planned.request, planned.source, at_ms, writer);
        observation.stage = Stage::Whole;
        observation.kind = planned.kind;
        // A combined log does not tell how long an answer took.
        let origin_ms = (self != View::AccessLog).then(|| cost_ms(planned));
        observation.outcome = Some(Outcome { status: 200, bytes: 5_000, origin_ms });
        if self == View::AccessLog {
            observation.attrs = as_logged(&observation.attrs);
        }
        observation
    }
}

/// What the origin works on a request, ms: a search most, a file least. No measurement of any site:
/// only that searches cost much more than pages and pages more than files.
pub(super) fn cost_ms(planned: &Planned) -> u32 {
    match (planned.kind, &planned.request.query) {
        (RequestKind::Asset, _) => 2,
        (RequestKind::Other, _) => 8,
        (RequestKind::Page, None) => 20,
        (RequestKind::Page, Some(_)) if planned.request.path.as_str() == "/search" => 150,
        (RequestKind::Page, Some(_)) => 60,
    }
}

/// The outcome of what was refused.
pub(super) const fn refused() -> Outcome {
    Outcome { status: 403, bytes: 300, origin_ms: None }
}

/// A combined log keeps no header order, language, cookie or host, and nothing of what a client
/// accepts or hints at.
fn as_logged(attrs: &Attrs) -> Attrs {
    let mut logged = *attrs;
    for attr in [
        Attr::HeaderOrder,
        Attr::Language,
        Attr::CookieState,
        Attr::Host,
        Attr::Accept,
        Attr::ClientHints,
        Attr::Claim,
    ] {
        logged[attr] = ValueId::UNKNOWN;
    }
    let key = ValueKey::new(3, 4);
    let version = logged[Attr::HttpVersion];
    for (whole, part) in [(Attr::Implementation, Attr::UserAgent), (Attr::Stack, Attr::AgentShape)]
    {
        logged[whole] = key.combine(whole, &[logged[part], version]);
    }
    logged
}
