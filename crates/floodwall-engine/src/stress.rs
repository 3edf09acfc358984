//! How the site behind is doing: an input that the engine is told and never measures itself.

/// The origin's stress (design/detection.md § 3.7).
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd)]
pub enum Stress {
    /// It answers as always, or nobody says otherwise.
    #[default]
    Calm,
    /// It comes near to what it can bear.
    Warn,
    /// It is at what it can bear: requests wait, or some fail.
    Stressed,
    /// It is beyond: many fail.
    Critical,
}

impl Stress {
    /// The level in words.
    pub const fn words(self) -> &'static str {
        match self {
            Stress::Calm => "calm",
            Stress::Warn => "near its limit",
            Stress::Stressed => "at its limit",
            Stress::Critical => "beyond its limit",
        }
    }
}
