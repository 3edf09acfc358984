//! Public captures that are not part of the sources: where they lie, if they are there.

use std::path::PathBuf;

use super::*;

/// Says that the running test is skipped, past the harness's capture, so that it can be counted.
fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("SKIPPED: {test}: {why}\n").as_bytes(),
    );
}

fn captures() -> Option<Vec<PathBuf>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("FLOODWALL_DATA").map_or(beside, PathBuf::from).join("pcap");
    if !data.is_dir() {
        skipped(&format!("no public captures at {}; set FLOODWALL_DATA", data.display()));
        return None;
    }
    let (mut folders, mut files) = (vec![data], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Some(files)
}

/// Among the files are fuzzers' finds and captures damaged on purpose.
#[test]
fn every_public_capture_is_replayed_without_breaking() {
    let Some(files) = captures() else { return };
    let (mut read, mut packets, mut dropped, mut broke_off, mut foreign) = (0, 0, 0, 0, 0);
    for path in files {
        if !crate::replay::are_captures(std::slice::from_ref(&path)).unwrap() {
            foreign += 1;
            continue;
        }
        let found = summary(&[], &[&path]);
        let d = found.decisions;
        assert_eq!(d.pass + d.drop + d.challenge, found.packets, "{}", path.display());
        read += 1;
        packets += found.packets;
        dropped += d.drop;
        broke_off += found.files.iter().filter(|file| file.broke_off.is_some()).count();
    }
    println!(
        "{read} captures, {packets} packets, {dropped} dropped; {broke_off} files break off, \
         {foreign} files are no captures"
    );
    assert!(read > 0 && packets > 0);
}
