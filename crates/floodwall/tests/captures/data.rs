//! Where the recordings are, and which of their packets are the attack.

use std::io::Read;
use std::path::{Path, PathBuf};

use floodwall_sim::packets::mix::Recording;

/// A recorded attack and the filter that names its packets.
pub struct Labelled {
    pub name: String,
    pub filter: String,
    pub bytes: Vec<u8>,
}

/// The folder of recordings; says so and gives none where it is absent.
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("FLOODWALL_DATA").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = named.unwrap_or(beside);
    if folder.join("LABELS.json").is_file() {
        return Some(folder);
    }
    use std::io::Write;
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {}: no recordings in {}; set FLOODWALL_DATA",
        std::thread::current().name().unwrap_or("captures"),
        folder.display()
    );
    None
}

/// The first seed, printed, and how many.
pub fn seeds() -> (u64, u64) {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let fresh = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |d| d.as_nanos() as u64 % 1_000_000)
    };
    let first = read("FLOODWALL_SEED").unwrap_or_else(fresh);
    println!("FLOODWALL_SEED={first}");
    (first, read("FLOODWALL_SEEDS").unwrap_or(1))
}

pub fn labelled(folder: &Path) -> Vec<Labelled> {
    let text = std::fs::read_to_string(folder.join("LABELS.json")).expect("labels are readable");
    let labels: Vec<serde_json::Value> = serde_json::from_str(&text).expect("labels are JSON");
    labels
        .iter()
        .map(|label| {
            let file = label["file"].as_str().expect("a label names its file");
            Labelled {
                name: file.rsplit('/').next().unwrap_or(file).to_owned(),
                filter: label["attack_bpf"].as_str().expect("and its packets").to_owned(),
                bytes: bytes(&folder.join(file)),
            }
        })
        .collect()
}

/// Every capture below a folder, in a fixed order.
pub fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of recordings").flatten() {
        let path = entry.path();
        let name = path.to_string_lossy();
        if path.is_dir() {
            found.extend(captures(&path));
        } else if [".pcap", ".pcapng", ".cap", ".gz"].iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub fn background(folder: &Path) -> Vec<Recording> {
    let paths = captures(&folder.join("pcap/benign"));
    paths.iter().filter_map(|path| Recording::read(&bytes(path)).ok()).collect()
}

/// Every packet of a capture as an Ethernet frame, as many as the program decides upon.
pub fn frames(path: &Path) -> Vec<Vec<u8>> {
    let recording = Recording::read(&bytes(path)).expect("what the program reads can be read");
    assert_eq!(recording.skipped, 0, "{}: packets could not be judged", path.display());
    recording.frames.into_iter().map(|frame| frame.bytes).collect()
}

fn bytes(path: &Path) -> Vec<u8> {
    let raw = std::fs::read(path).expect("a recording is readable");
    if path.extension().is_none_or(|extension| extension != "gz") {
        return raw;
    }
    let mut unpacked = Vec::new();
    flate2::read::MultiGzDecoder::new(raw.as_slice())
        .read_to_end(&mut unpacked)
        .expect("a packed recording unpacks");
    unpacked
}
