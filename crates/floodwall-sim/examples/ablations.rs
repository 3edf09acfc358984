//! What each part of the engine is for: tables of the matrix with and without it, compared.
//!
//! `ablations WHOLE.json NAME.json...`, as `scenarios --json` and `scenarios --json --ablation NAME`
//! printed them for the same seeds; run by `bench/ablations`. It measures nothing, and it must never
//! leave out a line that differs without counting it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

/// What is compared, and from which difference on a figure is printed; smaller ones are counted.
const MEASURES: [(&str, f64); 8] = [
    ("rule", 0.2),
    ("leakage", 0.01),
    ("honest refused", 0.000_2),
    ("worst group", 0.001),
    ("crowd refused", 0.000_2),
    ("block rules", 1.0),
    ("stopped again", 0.2),
    ("re-armed", 50.0),
];

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    match compare(&paths) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn compare(paths: &[String]) -> Result<(), String> {
    let [whole, without @ ..] = paths else {
        return Err("name the table of the whole engine and those to compare with it".to_owned());
    };
    let whole = Table::read(whole)?;
    println!(
        "seeds {} to {}: whole engine -> without the part; the middle trial/the worst, harm: all \
         together/the worst",
        whole.seed,
        whole.seed + whole.seeds - 1
    );
    println!("{} lines: {} hit", whole.lines.len(), whole.hits());
    for path in without {
        let table = Table::read(path)?;
        if (table.seed, table.seeds) != (whole.seed, whole.seeds)
            || !table.lines.keys().eq(whole.lines.keys())
        {
            return Err(format!("{path} was not made of the same scenes and seeds"));
        }
        let changed: Vec<String> = whole
            .lines
            .iter()
            .zip(table.lines.values())
            .filter_map(|((name, before), after)| difference(name, before, after))
            .collect();
        let (of, hits) = (whole.lines.len(), table.hits());
        let any =
            whole.lines.iter().filter(|(name, before)| !same(before, &table.lines[*name])).count();
        println!(
            "\n{}: {hits} hit; {any} of {of} lines differ, {} of them by much:",
            table.name,
            changed.len()
        );
        changed.iter().for_each(|line| println!("  {line}"));
    }
    Ok(())
}

/// One run of the matrix.
struct Table {
    name: String,
    seed: u64,
    seeds: u64,
    lines: BTreeMap<String, Value>,
}

impl Table {
    fn read(path: &str) -> Result<Table, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
        let json: Value = serde_json::from_str(&text).map_err(|e| format!("{path}: {e}"))?;
        let number = |key: &str| json[key].as_u64().ok_or(format!("{path} has no {key}"));
        let lines = json["lines"].as_array().ok_or(format!("{path} has no lines"))?;
        let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let key = |line: &Value| line["scene"].as_str().unwrap_or_default().to_owned();
        Ok(Table {
            name,
            seed: number("seed")?,
            seeds: number("seeds")?,
            lines: lines.iter().map(|line| (key(line), line.clone())).collect(),
        })
    }

    fn hits(&self) -> usize {
        self.lines.values().filter(|line| line["hit"] == true).count()
    }
}

fn same(before: &Value, after: &Value) -> bool {
    (&before["measures"], &before["verdicts"]) == (&after["measures"], &after["verdicts"])
}

/// Both figures of what differs by much, and what became of the verdict; `None`: nothing does.
fn difference(name: &str, before: &Value, after: &Value) -> Option<String> {
    let mut changes: Vec<String> = MEASURES
        .into_iter()
        .filter_map(|(measure, least)| {
            let (before, after) = (cell(before, measure)?, cell(after, measure)?);
            let much = ["median", "worst"].into_iter().any(|key| {
                match (before[key].as_f64(), after[key].as_f64()) {
                    (Some(before), Some(after)) => (before - after).abs() >= least,
                    (before, after) => before != after,
                }
            });
            much.then(|| format!("{measure} {} -> {}", figures(before), figures(after)))
        })
        .collect();
    let (were, are) = (verdicts(before), verdicts(after));
    if were != are {
        changes.push(format!("verdict {were} -> {are}"));
    }
    match (before["hit"] == true, after["hit"] == true) {
        (true, false) => changes.push("now MISS".to_owned()),
        (false, true) => changes.push("now hit".to_owned()),
        _ => (),
    }
    (!changes.is_empty()).then(|| format!("{name:<25} {}", changes.join("; ")))
}

fn cell<'a>(line: &'a Value, measure: &str) -> Option<&'a Value> {
    line["measures"].as_array()?.iter().find(|cell| cell["name"] == measure)
}

fn figures(cell: &Value) -> String {
    let unit = cell["unit"].as_str().unwrap_or_default();
    let of = |key: &str| figure(cell[key].as_f64(), unit);
    format!("{}/{} {unit}", of("median"), of("worst")).trim_end().to_owned()
}

/// JSON has no infinity: what never came is null.
fn figure(value: Option<f64>, unit: &str) -> String {
    match (value, unit) {
        (None, _) => "never".to_owned(),
        (Some(share), "%") => format!("{:.2}", share * 100.0),
        (Some(value), "s") => format!("{value:.1}"),
        (Some(value), _) => format!("{value:.0}"),
    }
}

fn verdicts(line: &Value) -> String {
    let all = line["verdicts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
    all.sort_unstable();
    all.dedup();
    all.join("|")
}
