//! The fuzzer's committed corpus is exactly the specimens: written by this test when
//! FLOODWALL_WRITE_CORPUS=1, compared otherwise. Nothing in it comes from a recording.

#[path = "support/frames.rs"]
#[allow(dead_code, reason = "the specimens use their part")]
mod frames;
#[path = "support/specimens.rs"]
#[allow(dead_code, reason = "nothing is mutated here")]
mod specimens;

use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn the_committed_corpus_is_the_specimens() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/parse_frame");
    let expected: BTreeMap<String, Vec<u8>> =
        specimens::all().into_iter().map(|(name, frame)| (name.to_owned(), frame)).collect();
    assert_eq!(expected.len(), specimens::all().len(), "each has a name of its own");
    if std::env::var_os("FLOODWALL_WRITE_CORPUS").is_some_and(|v| v == "1") {
        std::fs::create_dir_all(&directory).unwrap();
        for (name, frame) in &expected {
            std::fs::write(directory.join(name), frame).unwrap();
        }
    }
    let found: BTreeMap<String, Vec<u8>> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    assert!(
        found == expected,
        "write it anew with FLOODWALL_WRITE_CORPUS=1; there: {:?}, expected: {:?}",
        found.keys(),
        expected.keys()
    );
}
