//! What the table and the tests need beside the library: the files, the recordings, the seeds, and
//! many trials at once.
#![allow(unreachable_pub, dead_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use floodwall_engine::EngineConfig;
use floodwall_sim::scene::{Recording, Scene};
use floodwall_sim::trial::{self, Score, View};

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every scene under `scenarios/`, by name; mistakes in the files are all told.
pub fn scenes() -> Result<Vec<Scene>, String> {
    let folder = root().join("scenarios");
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{path:?}: {e}"));
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    paths.sort();
    let (mut scenes, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match Scene::read(&name, &format!("scenarios/{name}.toml"), &read(&path)?) {
            Ok(of_file) => scenes.extend(of_file),
            Err(mistake) => mistakes.push(mistake.to_string()),
        }
    }
    if mistakes.is_empty() { Ok(scenes) } else { Err(mistakes.join("\n")) }
}

/// The recorded event: FLOODWALL_DATA, else the data beside the workspace. `None`: absent.
pub fn recording() -> Option<Arc<Recording>> {
    let beside = root().join("../shared/data");
    let data = std::env::var_os("FLOODWALL_DATA").map_or(beside, PathBuf::from);
    let folder = data.join("http-logs/worldcup98/results");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let text: String = paths.iter().filter_map(|p| std::fs::read_to_string(p).ok()).collect();
    let recording = Recording::read(&text);
    (recording.minutes() > 0).then(|| Arc::new(recording))
}

/// Gives the recording to the scenes that follow one. Those that lack it are left out and named.
pub fn with_recording(scenes: Vec<Scene>) -> Vec<Scene> {
    let recording = recording();
    scenes
        .into_iter()
        .filter_map(|scene| match (scene.lacks_recording(), &recording) {
            (false, _) => Some(scene),
            (true, Some(recording)) => Some(scene.with_recording(Arc::clone(recording))),
            (true, None) => {
                // Written past the harness, which hides what a test that passes prints.
                use std::io::Write as _;
                let why = "no recorded event here; FLOODWALL_DATA names the data's folder";
                let _ = writeln!(std::io::stderr(), "SKIPPED: scenario {}: {why}", scene.name());
                None
            }
        })
        .collect()
}

/// A number from the surroundings.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `count` seeds that nobody has seen, printed; FLOODWALL_SEED is the first of them if it is set.
pub fn seeds(count: u64) -> Vec<u64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let fresh = since.map_or(1, |d| d.as_micros() as u64 % 1_000_000_000);
    let first = number("FLOODWALL_SEED").unwrap_or(fresh);
    println!("seeds {first} and the {} after it (FLOODWALL_SEED={first} replays)", count - 1);
    (0..count).map(|n| first.wrapping_add(n)).collect()
}

/// One trial to make.
#[derive(Clone)]
pub struct Job {
    /// Which scene, by its place among those given.
    pub scene: usize,
    /// Seen how.
    pub view: View,
    /// Drawn from what.
    pub seed: u64,
}

/// Makes every trial, on as many threads as there are processors, and tells `done` after each.
/// Scores come in the order of the jobs.
pub fn play(
    scenes: &[Scene],
    jobs: &[Job],
    config: &EngineConfig,
    done: impl Fn(usize, &Job, &Score) + Sync,
) -> Vec<Score> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let scores: Mutex<Vec<Option<Score>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((at, job)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(at).map(|job| (at, job))
                } {
                    let scene = &scenes[job.scene];
                    let score = trial::run_with(scene, job.view, job.seed, config.clone());
                    done(finished.fetch_add(1, Ordering::Relaxed) + 1, job, &score);
                    scores.lock().expect("no trial panics")[at] = Some(score);
                }
            });
        }
    });
    let scores = scores.into_inner().expect("no trial panics");
    scores.into_iter().map(|score| score.expect("every job was done")).collect()
}
