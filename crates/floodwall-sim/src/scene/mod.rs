//! A scene as a file describes it, and the cast that a seed makes of it.
//!
//! A file holds ranges; what is drawn from them depends on the seed alone, so that a seed replays a
//! scene and no rule can be fitted to one. Nothing here knows the engine.

mod cast;
mod file;
mod range;
mod recording;

use std::sync::Arc;

pub use cast::{Cast, Moments};
pub use file::{
    AimSpec, AttackSpec, CrowdKind, CrowdSpec, Expect, From, GrowthSpec, Look, Mistake, SceneFile,
    SiteSpec, VerdictSpec,
};
pub use range::Range;
pub use recording::Recording;

/// A scene that can be run: one row of the table.
#[derive(Clone, Debug)]
pub struct Scene {
    name: String,
    file: Arc<SceneFile>,
    level: Option<f64>,
    recording: Option<Arc<Recording>>,
}

impl Scene {
    /// The scenes of one file: one for each level of its attack. `name` is the file's, without its
    /// ending; `path` is named in mistakes.
    pub fn read(name: &str, path: &str, text: &str) -> Result<Vec<Scene>, Mistake> {
        let file = Arc::new(file::parse(path, text)?);
        let scene = |level: Option<f64>| Scene {
            name: level.map_or(name.to_owned(), |level| format!("{name} {}", in_words(level))),
            file: Arc::clone(&file),
            level,
            recording: None,
        };
        if file.levels.is_empty() {
            return Ok(vec![scene(None)]);
        }
        Ok(file.levels.iter().map(|level| scene(Some(*level))).collect())
    }

    /// The row's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the scene shows.
    pub fn title(&self) -> &str {
        &self.file.title
    }

    /// What should come of it.
    pub fn expect(&self) -> &Expect {
        &self.file.expect
    }

    /// How many trials to make of `wanted`.
    pub fn trials(&self, wanted: u64) -> u64 {
        wanted.min(self.file.trials_max.unwrap_or(u64::MAX)).max(1)
    }

    /// Whether anybody attacks.
    pub fn has_attack(&self) -> bool {
        !self.file.attack.is_empty()
    }

    /// Whether it says what the origin bears.
    pub fn has_origin(&self) -> bool {
        self.file.origin.is_some()
    }

    /// Whether it follows a recorded event that it has not been given.
    pub fn lacks_recording(&self) -> bool {
        let recorded = self.file.crowd.iter().any(|c| c.kind == CrowdKind::Recorded);
        recorded && self.recording.is_none()
    }

    /// The same with the event that its crowd follows.
    pub fn with_recording(mut self, recording: Arc<Recording>) -> Self {
        self.recording = Some(recording);
        self
    }
}

/// An attack of this many times the site's traffic, as what it makes of the whole.
fn in_words(level: f64) -> String {
    if level < 1.0 { format!("+{:.0} %", level * 100.0) } else { format!("x{:.0}", level + 1.0) }
}
