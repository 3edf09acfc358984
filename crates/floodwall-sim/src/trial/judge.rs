//! Several trials of one scene as one line of the table: the middle and the worst of each measure,
//! what was asked for, and whether it was reached.
//!
//! Times must hold for 95 of 100 trials (of fewer than twenty: for all), shares of the attack for
//! the middle trial, harm for all requests of all trials together, counts for every trial.

use floodwall_model::IncidentVerdict;

use super::score::Score;
use super::tally::{Groups, Part};
use super::view::View;
use crate::scene::{Scene, VerdictSpec};

/// One measure of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its name.
    pub name: &'static str,
    /// Its unit, for tables.
    pub unit: &'static str,
    /// The middle trial's; of harm: that of all trials together. Infinite: never.
    pub median: f64,
    /// The worst trial's.
    pub worst: f64,
    /// What was asked for, if anything.
    pub target: Option<f64>,
    /// Whether it was reached; `true` where nothing was asked for.
    pub hit: bool,
}

/// One scene in one view.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The scene's name.
    pub scene: String,
    /// The view's.
    pub view: &'static str,
    /// How many trials.
    pub trials: usize,
    /// The measures that apply.
    pub cells: Vec<Cell>,
    /// What the records of the incidents say, one word for each trial.
    pub verdicts: Vec<&'static str>,
    /// Whether that was asked for; `true` where nothing was.
    pub verdicts_hit: bool,
    /// The group hit worst, all trials together.
    pub worst_group: Option<String>,
    /// Block rules: what they were expected to hit at most, and what they did, shares of honest
    /// requests.
    pub rules: Vec<(f64, f64)>,
}

impl Line {
    /// Whether everything that was asked for was reached.
    pub fn hit(&self) -> bool {
        self.verdicts_hit && self.cells.iter().all(|cell| cell.hit)
    }

    /// What was not.
    pub fn missed(&self) -> Vec<&'static str> {
        let cells = self.cells.iter().filter(|cell| !cell.hit).map(|cell| cell.name);
        cells.chain((!self.verdicts_hit).then_some("verdict")).collect()
    }

    /// The measure of this name.
    pub fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.name == name)
    }
}

/// Judges `scores`, at least one, of `scene` seen through `view`.
pub fn judge(scene: &Scene, view: View, scores: &[Score]) -> Line {
    let mut cells = Vec::new();
    let attacked = scene.has_attack();
    if attacked {
        cells.extend(attack_cells(scene, scores));
    }
    cells.extend(harm_cells(scene, scores));
    cells.extend(wave_cells(scene, scores));
    let expect = scene.expect();
    let blocks: Vec<f64> = scores.iter().map(|s| s.block_rules as f64).collect();
    cells.push(every("block rules", "", &blocks, expect.block_rules_max.map(|n| n as f64)));
    let wrong: Vec<f64> = scores.iter().map(|s| s.false_blocks as f64).collect();
    cells.push(every("false blocks", "", &wrong, None));
    if expect.alarms_per_day_max.is_some() {
        let (alarms, days) =
            scores.iter().fold((0, 0.0), |sum, s| (sum.0 + s.alarms, sum.1 + s.days()));
        let worst = scores.iter().map(|s| s.alarms as f64 / s.days().max(1e-9)).fold(0.0, f64::max);
        let mean = alarms as f64 / f64::max(days, 1e-9);
        cells.push(cell("alarms a day", "", mean, worst, mean, expect.alarms_per_day_max));
    }
    let verdicts: Vec<VerdictSpec> = scores.iter().map(verdict).collect();
    let mut groups = Groups::default();
    scores.iter().for_each(|score| groups.merge(&score.groups));
    let lives = scores.iter().flat_map(|s| &s.lives).filter(|life| life.blocks);
    Line {
        scene: scene.name().to_owned(),
        view: view.name(),
        trials: scores.len(),
        cells,
        verdicts_hit: expect.verdict.is_empty()
            || verdicts.iter().all(|verdict| expect.verdict.contains(verdict)),
        verdicts: verdicts.into_iter().map(word).collect(),
        worst_group: groups.worst().filter(|group| group.refused.hit > 0).map(|group| group.name),
        rules: lives.map(|life| (life.projected.1, life.realised.share())).collect(),
    }
}

fn attack_cells(scene: &Scene, scores: &[Score]) -> Vec<Cell> {
    let expect = scene.expect();
    let of = |value: &dyn Fn(&Score) -> f64| scores.iter().map(value).collect::<Vec<_>>();
    let mut cells = vec![
        timed("rule", "s", &of(&|s| seconds(s.rule_after_ms)), expect.rule_within_s),
        middle("suppressed", "s", &of(&|s| seconds(s.suppressed_after_ms)), None),
        middle("leakage", "%", &of(&Score::leakage), expect.leakage_max),
        middle("cost leakage", "%", &of(&Score::cost_leakage), expect.cost_leakage_max),
    ];
    if let Some(least) = expect.throttled_min {
        let not = of(&|s| 1.0 - s.throttled.share());
        cells.push(middle("not throttled", "%", &not, Some(1.0 - least)));
    }
    if expect.withdrawn_within_s.is_some() {
        let withdrawn = of(&|s| seconds(s.withdrawn_after_ms));
        cells.push(timed("withdrawn", "s", &withdrawn, expect.withdrawn_within_s));
    }
    cells
}

fn harm_cells(scene: &Scene, scores: &[Score]) -> Vec<Cell> {
    let expect = scene.expect();
    let pooled = |name, part: &dyn Fn(&Score) -> Part, target| {
        let all = scores.iter().map(part).fold(Part::default(), Part::plus).share();
        let worst = scores.iter().map(|s| part(s).share()).fold(0.0, f64::max);
        cell(name, "%", all, worst, all, target)
    };
    let mut cells = vec![pooled("honest refused", &|s| s.honest, expect.honest_refused_max)];
    if scene.has_origin() {
        let late = |s: &Score| Part { hit: s.goodput.all - s.goodput.hit, ..s.goodput };
        cells.push(pooled("late or lost", &late, expect.goodput_min.map(|least| 1.0 - least)));
        let stressed: Vec<f64> = scores.iter().map(|s| s.stressed_s as f64).collect();
        cells.push(middle("stressed", "s", &stressed, None));
    }
    let mut groups = Groups::default();
    scores.iter().for_each(|score| groups.merge(&score.groups));
    let share = |groups: &Groups| groups.worst().map_or(0.0, |group| group.refused.share());
    let worst = scores.iter().map(|s| share(&s.groups)).fold(0.0, f64::max);
    let all = share(&groups);
    cells.push(cell("worst group", "%", all, worst, all, expect.group_refused_max));
    cells.push(pooled("new views lost", &|s| s.views.first, None));
    cells.push(pooled("returning views lost", &|s| s.views.returning, None));
    if scores.iter().any(|s| s.crowd.all > 0) {
        cells.push(pooled("crowd refused", &|s| s.crowd, expect.crowd_refused_max));
    }
    cells
}

fn wave_cells(scene: &Scene, scores: &[Score]) -> Vec<Cell> {
    let expect = scene.expect();
    let mut cells = Vec::new();
    if expect.rearmed_within_ms.is_some() {
        let ms = |ms: Option<u64>| ms.map_or(f64::INFINITY, |ms| ms as f64);
        let waves: Vec<f64> = scores.iter().flat_map(Score::rearmed_ms).map(ms).collect();
        cells.push(timed("re-armed", "ms", &waves, expect.rearmed_within_ms));
    }
    if expect.stopped_again_within_s.is_some() {
        let changes: Vec<f64> =
            scores.iter().flat_map(Score::stopped_again_ms).map(seconds).collect();
        cells.push(timed("stopped again", "s", &changes, expect.stopped_again_within_s));
    }
    cells
}

fn seconds(ms: Option<u64>) -> f64 {
    ms.map_or(f64::INFINITY, |ms| ms as f64 / 1_000.0)
}

/// The middle value, of an even number the worse of the two; of none: 0.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The smallest value that at least `share` of the values do not exceed; of none: 0.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

fn timed(name: &'static str, unit: &'static str, values: &[f64], target: Option<f64>) -> Cell {
    let (median, worst) = (median(values), quantile(values, 1.0));
    cell(name, unit, median, worst, quantile(values, 0.95), target)
}

fn middle(name: &'static str, unit: &'static str, values: &[f64], target: Option<f64>) -> Cell {
    let (median, worst) = (median(values), quantile(values, 1.0));
    cell(name, unit, median, worst, median, target)
}

fn every(name: &'static str, unit: &'static str, values: &[f64], target: Option<f64>) -> Cell {
    let (median, worst) = (median(values), quantile(values, 1.0));
    cell(name, unit, median, worst, worst, target)
}

fn cell(
    name: &'static str,
    unit: &'static str,
    median: f64,
    worst: f64,
    judged: f64,
    target: Option<f64>,
) -> Cell {
    let hit = target.is_none_or(|target| judged <= target);
    Cell { name, unit, median, worst, target, hit }
}

fn verdict(score: &Score) -> VerdictSpec {
    match score.verdict() {
        None => VerdictSpec::None,
        Some(IncidentVerdict::Attack) => VerdictSpec::Attack,
        Some(IncidentVerdict::Crowd) => VerdictSpec::Crowd,
        Some(IncidentVerdict::CannotTell) => VerdictSpec::CannotTell,
    }
}

const fn word(verdict: VerdictSpec) -> &'static str {
    match verdict {
        VerdictSpec::None => "none",
        VerdictSpec::Attack => "attack",
        VerdictSpec::Crowd => "crowd",
        VerdictSpec::CannotTell => "cannot tell",
    }
}
