//! Holds the room picture of ARCHITECTURE.md against what the workspace really is: who depends on
//! whom, who may read clocks, who may use `unsafe`, and that rooms open with what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The picture: each room and the rooms it may know.
const PICTURE: &[(&str, &[&str])] = &[
    ("floodwall-model", &[]),
    ("floodwall-engine", &["floodwall-model"]),
    ("floodwall-gateway", &["floodwall-model"]),
    ("floodwall-xdp", &["floodwall-model"]),
    ("floodwall-store", &["floodwall-model"]),
    ("floodwall-console", &["floodwall-model"]),
    ("floodwall-sim", &["floodwall-engine", "floodwall-model"]),
    (
        "floodwall",
        &[
            "floodwall-console",
            "floodwall-engine",
            "floodwall-gateway",
            "floodwall-model",
            "floodwall-sim",
            "floodwall-store",
            "floodwall-xdp",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

/// Each room's dependencies on rooms, those of its tests left out: the engine's tests use the
/// traffic models.
fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let known = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .filter(|d| d["kind"].is_null())
                .filter_map(|d| d["name"].as_str())
                .filter(|name| name.starts_with("floodwall"))
                .map(str::to_owned)
                .collect();
            (package["name"].as_str().expect("name").to_owned(), known)
        })
        .collect()
}

#[test]
fn rooms_know_only_whom_the_picture_allows() {
    let rooms = rooms();
    let pictured: BTreeSet<&str> = PICTURE.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = rooms.keys().map(String::as_str).collect();
    assert_eq!(found, pictured, "ARCHITECTURE.md and this list must name every room");
    for (name, may_know) in PICTURE {
        let knows = &rooms[*name];
        let allowed: BTreeSet<String> = may_know.iter().map(|s| (*s).to_owned()).collect();
        assert!(knows.is_subset(&allowed), "{name} knows {knows:?}, may know {allowed:?}");
    }
}

fn sources_of(room: &str) -> Vec<(PathBuf, String)> {
    let mut waiting = vec![root().join("crates").join(room).join("src")];
    let mut sources = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(
                std::fs::read_dir(&path).expect("a room").map(|e| e.expect("entry").path()),
            );
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("source");
            sources.push((path, text));
        }
    }
    assert!(!sources.is_empty(), "{room} has no source");
    sources
}

#[test]
fn pure_rooms_read_no_clock_and_open_nothing() {
    const FORBIDDEN: &[&str] =
        &["SystemTime", "Instant::now", "std::fs", "std::net::Tcp", "std::thread", "tokio"];
    for room in ["floodwall-model", "floodwall-engine", "floodwall-sim"] {
        // What only tests do, such as reading recordings, is no room's business.
        let of_tests = |path: &PathBuf| path.ends_with("tests.rs");
        for (path, text) in sources_of(room).into_iter().filter(|(path, _)| !of_tests(path)) {
            for word in FORBIDDEN {
                assert!(!text.contains(word), "{} uses {word}", path.display());
            }
        }
    }
}

#[test]
fn unsafe_stays_where_it_is_allowed() {
    for (room, _) in PICTURE.iter().filter(|(room, _)| *room != "floodwall-xdp") {
        let lifted: Vec<_> = sources_of(room)
            .into_iter()
            .filter(|(_, text)| text.contains("allow(unsafe_code)"))
            .map(|(path, _)| path)
            .collect();
        let most = usize::from(*room == "floodwall-gateway");
        assert!(lifted.len() <= most, "{room}: {lifted:?}");
    }
}

#[test]
fn files_open_with_what_they_are_and_no_room_is_a_drawer() {
    for (room, _) in PICTURE {
        for (path, text) in sources_of(room) {
            let shown = path.display();
            let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or("");
            let is_test = shown.to_string().contains("tests");
            assert!(is_test || first.starts_with("//!"), "{shown} does not say what it is");
            let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or("");
            assert!(!["utils", "util", "common", "helpers", "misc"].contains(&name), "{shown}");
        }
    }
}
