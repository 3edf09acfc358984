//! `floodwall replay` of packet captures as a process: streams, exit codes, and its memory, which a
//! limit of the system holds down while the capture asks for more.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const FLOODWALL: &str = env!("CARGO_BIN_EXE_floodwall");

/// Address space that a replay may take, KiB: tables when full, the largest block, the program.
const ADDRESS_SPACE_KIB: u32 = 700_000;

fn replay(arguments: &[&str]) -> Output {
    Command::new(FLOODWALL).args(["replay", "--quiet"]).args(arguments).output().unwrap()
}

/// The same under the limit.
fn replay_within_limit(arguments: &[&str]) -> Output {
    let script = format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\" replay --quiet \"$@\"");
    Command::new("sh").args(["-c", &script, FLOODWALL]).args(arguments).output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A pcap file of raw IPv4 with a UDP datagram per pair of source and time, ms.
fn capture(packets: impl Iterator<Item = (u32, u32)>) -> Vec<u8> {
    let mut file = Vec::new();
    for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(field.to_le_bytes());
    }
    for (source, at_ms) in packets {
        for field in [1_735_689_600 + at_ms / 1_000, at_ms % 1_000 * 1_000, 28, 28] {
            file.extend(field.to_le_bytes());
        }
        file.extend([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0]);
        file.extend(source.to_be_bytes());
        file.extend([192, 0, 2, 1, 0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
    }
    file
}

fn write(dir: &tempfile::TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Every packet opens a conversation of its own, and half of them are answered.
#[test]
fn more_conversations_than_can_be_remembered_take_no_more_memory() {
    let dir = tempfile::tempdir().unwrap();
    let flood = capture((0..1_500_000).map(|n| (0x0b00_0000 + n, n / 100)));
    let path = write(&dir, "flood.pcap", &flood);
    let found = json(&replay_within_limit(&["--json", path.to_str().unwrap()]));
    assert_eq!(found["packets"], 1_500_000);
    assert_eq!(found["sampled_one_of"].as_u64().unwrap(), 2);
    let notes = found["notes"].to_string();
    assert!(notes.contains("conversations were forgotten"), "{notes}");
}

#[test]
fn a_packed_capture_comes_through_standard_input() {
    let packed = {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(&capture((0..1_000).map(|n| (0x0b00_0000 + n % 7, n * 10)))).unwrap();
        out.finish().unwrap()
    };
    let mut child = Command::new(FLOODWALL)
        .args(["replay", "--quiet", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&packed).unwrap();
    let found = json(&child.wait_with_output().unwrap());
    assert_eq!(found["packets"], 1_000);
    assert_eq!(found["files"][0]["file"], "standard input");
}

#[test]
fn a_capture_cut_short_is_read_as_far_as_it_goes_and_that_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let whole = capture((0..100).map(|n| (0x0b00_0001, n)));
    let path = write(&dir, "cut.pcap", &whole[..whole.len() - 3]);
    let output = replay(&[path.to_str().unwrap()]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("99 packets") && text.contains("broke off after 99 packets"), "{text}");
}

#[test]
fn what_cannot_be_replayed_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let capture = write(&dir, "a.pcap", &capture((0..3).map(|n| (1, n))));
    let log = write(&dir, "access.log", b"no log\n");
    let words = |paths: &[&Path]| {
        let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        let output = replay(&paths);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(words(&[&capture, &log]).contains("replay captures and logs separately"));
    assert!(words(&[&capture, Path::new("/nonexistent.pcap")]).contains("/nonexistent.pcap"));
}

/// All public captures at once, merged by time.
#[test]
fn all_public_captures_are_merged_within_the_memory_limit() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("FLOODWALL_DATA").map_or(beside, PathBuf::from).join("pcap");
    if !data.is_dir() {
        let why = format!("no public captures at {}; set FLOODWALL_DATA", data.display());
        let line = format!("SKIPPED: all_public_captures_are_merged: {why}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        return;
    }
    let (mut folders, mut files) = (vec![data], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_str().unwrap().to_owned();
            let is_capture = [".pcap", ".pcapng", ".cap", ".gz"].iter().any(|e| name.ends_with(e));
            if path.is_dir() {
                folders.push(path);
            } else if is_capture {
                files.push(name);
            }
        }
    }
    let mut arguments = vec!["--json"];
    arguments.extend(files.iter().map(String::as_str));
    let found = json(&replay_within_limit(&arguments));
    assert_eq!(found["files"].as_array().unwrap().len(), files.len());
    println!(
        "{} files, {} packets, {} late, {} steps back in time",
        files.len(),
        found["packets"],
        found["late"],
        found["clock_set_back"]
    );
    assert!(found["packets"].as_u64().unwrap() > 0);
}
