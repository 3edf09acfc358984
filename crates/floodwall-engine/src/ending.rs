//! Why rules go out of force: the closed list, in words.

/// How it showed that a rule hits visitors.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Harm {
    /// Sources that had behaved like visitors before were refused by it.
    VisitorsHit,
    /// Sources that were let through for a trial although it matched them behaved like visitors.
    HeldBackBehaved,
    /// Since it came, fewer visitors' requests arrive than should.
    VisitorsMissing,
}

impl Harm {
    /// The finding in words.
    pub const fn words(self) -> &'static str {
        match self {
            Harm::VisitorsHit => "it hit requests of known visitors",
            Harm::HeldBackBehaved => {
                "sources that were let through for a trial behaved like visitors"
            }
            Harm::VisitorsMissing => "fewer visitors than expected came while it was in force",
        }
    }
}

/// Why a rule went out of force.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Ending {
    /// What it matches has stopped. It is kept ready for the attack's return.
    Stopped,
    /// It explained next to nothing for half a minute, and its place was wanted.
    Idle,
    /// It hits visitors more than its cap allows; a limit per source takes its place.
    Demoted(Harm),
    /// It hits visitors far more than its cap allows.
    Withdrawn(Harm),
}

impl Ending {
    /// The reason in words.
    pub fn words(self) -> String {
        match self {
            Ending::Stopped => "expired: what it matches has stopped".to_owned(),
            Ending::Idle => {
                "retired: it explained next to nothing of the attack any more".to_owned()
            }
            Ending::Demoted(harm) => {
                format!("demoted to a limit per source: {}", harm.words())
            }
            Ending::Withdrawn(harm) => format!("withdrawn: {}", harm.words()),
        }
    }

    /// Whether its signature may come back by itself.
    pub const fn may_return(self) -> bool {
        matches!(self, Ending::Stopped | Ending::Idle)
    }
}
