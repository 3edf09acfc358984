//! The matrix: every scene under `scenarios/` against the engine, one line each.
//!
//! `bench/scenarios [--seeds N] [--seed S] [--only PATTERN]... [--view gateway|placed|log] [--geography] [--json]
//! [--rules] [--ablation NAME]`. A figure is never typed: what is printed was measured in this run.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use floodwall_engine::{Ablation, EngineConfig};
use floodwall_sim::scene::Scene;
use floodwall_sim::trial::{Cell, Line, Score, View, judge};
use support::{Job, number, play, scenes, with_recording};

/// What was asked for on the command line.
struct Asked {
    seeds: u64,
    seed: u64,
    only: Vec<String>,
    views: Vec<View>,
    json: bool,
    rules: bool,
    config: EngineConfig,
}

fn main() -> ExitCode {
    match asked(std::env::args().skip(1)).and_then(|asked| matrix(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn asked(mut args: impl Iterator<Item = String>) -> Result<Asked, String> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let fresh = since.map_or(1, |d| d.as_micros() as u64 % 1_000_000_000);
    let mut asked = Asked {
        seeds: 3,
        seed: number("FLOODWALL_SEED").unwrap_or(fresh),
        only: Vec::new(),
        views: vec![View::Gateway],
        json: false,
        rules: false,
        config: EngineConfig::default(),
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let whole =
            |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no whole number"));
        match arg.as_str() {
            "--seeds" => asked.seeds = whole(value()?)?.max(1),
            "--seed" => asked.seed = whole(value()?)?,
            "--only" => asked.only.push(value()?),
            "--view" => asked.views = views(&value()?)?,
            "--geography" => asked.views = views("placed")?,
            "--json" => asked.json = true,
            "--rules" => asked.rules = true,
            "--ablation" => ablate(&mut asked.config, &value()?)?,
            _ => return Err(format!("{arg} is not known; see the head of bench/scenarios")),
        }
    }
    Ok(asked)
}

fn views(name: &str) -> Result<Vec<View>, String> {
    match name {
        "gateway" => Ok(vec![View::Gateway]),
        "placed" => Ok(vec![View::Placed]),
        "log" => Ok(vec![View::AccessLog]),
        "both" => Ok(vec![View::Gateway, View::AccessLog]),
        _ => Err(format!("{name} is no view; there are gateway, placed, log and both")),
    }
}

/// Switches off the part of the engine that is called so.
fn ablate(config: &mut EngineConfig, name: &str) -> Result<(), String> {
    config.ablation = Ablation::ALL.into_iter().find(|ablation| ablation.name() == name);
    let names = || Ablation::ALL.map(Ablation::name).join(", ");
    config.ablation.map(|_| ()).ok_or_else(|| {
        format!("the engine has no part called {name} that can be left out; there are {}", names())
    })
}

fn matrix(asked: &Asked) -> Result<(), String> {
    let wanted = |scene: &Scene| {
        asked.only.is_empty() || asked.only.iter().any(|part| scene.name().contains(part.as_str()))
    };
    let all: Vec<Scene> = scenes()?.into_iter().filter(wanted).collect();
    let total = all.len();
    let scenes = with_recording(all);
    if scenes.is_empty() {
        return Err("no scenario has a name like that".to_owned());
    }
    let trials = asked.views.iter().flat_map(|view| (0..scenes.len()).map(move |at| (*view, at)));
    let jobs: Vec<Job> = trials
        .flat_map(|(view, scene)| {
            let trials = scenes[scene].trials(asked.seeds);
            (0..trials).map(move |n| Job { scene, view, seed: asked.seed.wrapping_add(n) })
        })
        .collect();
    let began = Instant::now();
    let scores = play(&scenes, &jobs, &asked.config, |done, job, score| {
        eprint!("\r\x1b[K{done}/{} {}", jobs.len(), scenes[job.scene].name());
        let _ = std::io::stderr().flush();
        let _ = score;
    });
    eprintln!("\r\x1b[K{} trials in {:.0} s", jobs.len(), began.elapsed().as_secs_f64());
    let (mut lines, mut rest): (Vec<(Line, &[Score])>, _) = (Vec::new(), scores.as_slice());
    for of_line in jobs.chunk_by(|a, b| (a.scene, a.view) == (b.scene, b.view)) {
        let (of_scores, later) = rest.split_at(of_line.len());
        let line = judge(&scenes[of_line[0].scene], of_line[0].view, of_scores);
        lines.push((line, of_scores));
        rest = later;
    }
    let skipped = total - scenes.len();
    if asked.json {
        print_json(&lines, asked);
    } else {
        print_table(&lines, asked, skipped);
    }
    Ok(())
}

fn print_table(lines: &[(Line, &[Score])], asked: &Asked, skipped: usize) {
    println!(
        "seeds {} to {}, {} per line, one of long scenes: the middle one / the worst; harm: all together / the worst",
        asked.seed,
        asked.seed + asked.seeds - 1,
        asked.seeds
    );
    println!(
        "{}",
        columns("scenario", "view", HEADINGS.map(str::to_owned)) + "verdict, other, missed"
    );
    for (line, scores) in lines {
        println!("{}", row(line));
        if asked.rules {
            print_rules(scores);
        }
    }
    let rules: Vec<(f64, f64)> = lines.iter().flat_map(|(line, _)| line.rules.clone()).collect();
    let beyond = rules.iter().filter(|(expected, realised)| realised > expected).count();
    println!(
        "{} block rules: {beyond} refused a larger share of welcome requests than the upper bound \
         expected",
        rules.len()
    );
    let missed = lines.iter().filter(|(line, _)| !line.hit()).count();
    println!(
        "{} lines: {} hit, {missed} MISS; {skipped} SKIPPED",
        lines.len(),
        lines.len() - missed
    );
}

fn row(line: &Line) -> String {
    let two = |name: &str| line.cell(name).map_or("-".to_owned(), in_figures);
    let mut verdicts = line.verdicts.clone();
    verdicts.sort_unstable();
    verdicts.dedup();
    let mut notes = verdicts.join("|");
    for name in [
        "re-armed",
        "stopped again",
        "withdrawn",
        "alarms a day",
        "late or lost",
        "stressed",
        "not throttled",
    ] {
        if let Some(cell) = line.cell(name) {
            notes += &format!("; {name} {} {}", in_figures(cell), cell.unit);
        }
    }
    if let Some(group) = &line.worst_group {
        notes += &format!("; hit worst: {group}");
    }
    if !line.hit() {
        notes += &format!("; MISS {}", targets(line));
    }
    columns(&line.scene, line.view, MEASURES.map(two)) + &notes
}

/// The measures that have a column, and what it is headed with.
const MEASURES: [&str; 8] = [
    "rule",
    "leakage",
    "cost leakage",
    "honest refused",
    "worst group",
    "crowd refused",
    "block rules",
    "false blocks",
];
const HEADINGS: [&str; 8] =
    ["rule s", "leakage %", "cost leak %", "honest %", "group %", "crowd %", "blocks", "false"];

fn columns(scene: &str, view: &str, cells: [String; 8]) -> String {
    let mut text = format!("{scene:<25} {view:<7} ");
    for (cell, width) in cells.iter().zip([11, 13, 13, 11, 11, 11, 6, 5]) {
        text += &format!("{cell:>width$}  ");
    }
    text
}

/// What was missed and what was asked for.
fn targets(line: &Line) -> String {
    let target = |cell: &Cell| cell.target.map(|target| figure(target, cell.unit));
    let of = |name: &&str| match line.cell(name).and_then(target) {
        Some(target) => format!("{name} (<= {target})"),
        None => (*name).to_owned(),
    };
    line.missed().iter().map(of).collect::<Vec<_>>().join(", ")
}

fn in_figures(cell: &Cell) -> String {
    format!("{}/{}", figure(cell.median, cell.unit), figure(cell.worst, cell.unit))
}

fn figure(value: f64, unit: &str) -> String {
    match unit {
        _ if value.is_infinite() => "never".to_owned(),
        "%" if value > 0.0 && value < 0.000_1 => format!("{:.4}", value * 100.0),
        "%" => format!("{:.2}", value * 100.0),
        "s" => format!("{value:.1}"),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    }
}

fn print_rules(scores: &[Score]) {
    for score in scores {
        println!("    site {:.1}/s, {} requests", score.site_rps, score.requests);
        for life in &score.lives {
            println!(
                "      at {:.1} s{}: {}; attack {}, welcome {} of {} (expected <= {:.4} %)",
                life.placed_ms as f64 / 1_000.0 - score.moments.past_ends_ms as f64 / 1_000.0,
                life.ended_ms.map_or(String::new(), |ms| format!(
                    " for {} s",
                    (ms - life.placed_ms) / 1_000
                )),
                life.words,
                life.attack,
                life.realised.hit,
                life.realised.all,
                life.projected.1 * 100.0,
            );
        }
        if score.lives.is_empty() {
            println!("      nothing placed: {:?}", score.refusals.last().map(|(_, why)| why));
        }
    }
}

fn print_json(lines: &[(Line, &[Score])], asked: &Asked) {
    // JSON has no infinity: what never came is null.
    let number = |value: f64| value.is_finite().then_some(value);
    let lines: Vec<serde_json::Value> = lines
        .iter()
        .map(|(line, _)| {
            let cells: Vec<_> = line
                .cells
                .iter()
                .map(|cell| {
                    serde_json::json!({
                        "name": cell.name, "unit": cell.unit, "median": number(cell.median),
                        "worst": number(cell.worst), "target": cell.target, "hit": cell.hit,
                    })
                })
                .collect();
            serde_json::json!({
                "scene": line.scene, "view": line.view, "trials": line.trials, "hit": line.hit(),
                "missed": line.missed(), "verdicts": line.verdicts, "worst_group": line.worst_group,
                "rules_expected_and_realised": line.rules, "measures": cells,
            })
        })
        .collect();
    println!("{}", serde_json::json!({ "seed": asked.seed, "seeds": asked.seeds, "lines": lines }));
}
