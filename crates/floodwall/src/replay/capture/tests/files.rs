//! Files of every kind, whole and damaged.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::merge::Merge;
use super::super::read::{RecordedPacket, RecordingTally};
use super::*;

/// All packets of `paths`, and what became of each file.
fn packets(paths: &[&Path]) -> (Vec<RecordedPacket>, Vec<RecordingTally>) {
    let paths: Vec<_> = paths.iter().map(|path| path.to_path_buf()).collect();
    let mut merge = Merge::new(&paths, Arc::default()).unwrap();
    let mut all = Vec::new();
    let mut packet = RecordedPacket::default();
    while merge.next_packet(&mut packet) {
        all.push(packet.clone());
    }
    (all, merge.done.into_iter().map(|(_, tally)| tally).collect())
}

fn packets_of(content: &[u8]) -> (Vec<RecordedPacket>, RecordingTally) {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "a.pcap", content);
    let (packets, mut tallies) = packets(&[&path]);
    (packets, tallies.remove(0))
}

fn frame(n: u64) -> Vec<u8> {
    ethernet(&ip(17, "198.51.100.1", "192.0.2.1", &udp((5_000, 53), &n.to_be_bytes())))
}

fn frames(count: u64) -> Vec<(u64, Vec<u8>)> {
    (0..count).map(|n| (START_NS + n * 1_001_000, frame(n))).collect()
}

#[test]
fn every_pcap_is_read_whatever_its_byte_order_and_resolution() {
    let log = frames(3);
    for big_endian in [false, true] {
        for nanoseconds in [false, true] {
            let kind = Pcap { big_endian, nanoseconds, ..PLAIN };
            let (found, tally) = packets_of(&kind.file(&log));
            let times: Vec<u64> = found.iter().map(|packet| packet.at_ns).collect();
            assert_eq!(times, [0, 1_001_000, 2_002_000].map(|ns| START_NS + ns), "{kind:?}");
            assert_eq!(found[2].bytes, log[2].1);
            assert_eq!((found[0].link_type, tally.broke_off), (1, None));
        }
    }
    let (found, _) = packets_of(&Pcap { modified: true, ..PLAIN }.file(&log));
    assert_eq!((found.len(), &found[1].bytes), (3, &log[1].1));
}

#[test]
fn a_link_type_with_a_check_sequence_length_is_read_without_it() {
    let (found, _) = packets_of(&Pcap { link_type: 0x5400_0001, ..PLAIN }.file(&frames(1)));
    assert_eq!(found[0].link_type, 1);
}

#[test]
fn pcapng_sections_have_their_own_interfaces_byte_order_and_resolution() {
    let raw = ip(17, "198.51.100.1", "192.0.2.1", &udp((5_000, 53), b"x"));
    let mut file = section(false);
    file.extend(interface(false, 1, &[]));
    file.extend(interface(false, 101, &[(9, &[9]), (14, &5_i64.to_le_bytes())]));
    file.extend(enhanced(false, 0, 7_000_000, &frame(1)));
    file.extend(enhanced(false, 1, 8_000_000_000, &raw));
    file.extend(enhanced(false, 2, 9_000_000, &raw));
    // A block of statistics, and one of a type that nobody knows.
    file.extend(block(false, 5, &[0; 12]));
    file.extend(block(false, 0x0000_1234, b"whatever"));
    file.extend(section(true));
    file.extend(interface(true, 113, &[(9, &[0x8a]), (14, &1_i64.to_be_bytes())]));
    file.extend(enhanced(true, 0, 20 << 10, &frame(2)));
    // The obsolete packet block: interface, drops, time, lengths, packet.
    let old =
        [&[0, 0, 0, 0, 0, 0, 0, 0][..], &(30_u32 << 10).to_be_bytes(), &[0, 0, 0, 4, 0, 0, 0, 9]];
    file.extend(block(true, 2, &[&old.concat()[..], b"abcd"].concat()));
    // A simple packet has no time.
    file.extend(block(true, 3, &[&5_u32.to_be_bytes()[..], b"efghi"].concat()));
    let (found, tally) = packets_of(&file);
    let told: Vec<(u64, i32, usize)> =
        found.iter().map(|p| (p.at_ns / 1_000_000_000, p.link_type, p.bytes.len())).collect();
    let (ether, ip) = (frame(1).len(), raw.len());
    let expected =
        [(7, 1, ether), (13, 101, ip), (13, -1, ip), (21, 113, ether), (31, 113, 4), (31, 113, 5)];
    assert_eq!(told, expected);
    assert_eq!((tally.broke_off, tally.unknown_interface, tally.cut), (None, 1, 1));
}

#[test]
fn packed_captures_are_read_and_files_that_break_off_give_what_they_held() {
    let whole = PLAIN.file(&frames(1_000));
    assert_eq!(packets_of(&gzip(&whole)).0.len(), 1_000);
    let (found, tally) = packets_of(&whole[..whole.len() - 5]);
    assert_eq!(found.len(), 999);
    let why = tally.broke_off.unwrap();
    assert!(why.contains("after 999 packets") && why.contains("cut short"), "{why}");
    assert!(why.contains(&format!("byte {}", 24 + 999 * (whole.len() - 24) / 1_000)), "{why}");
    let packed = gzip(&whole);
    let (found, tally) = packets_of(&packed[..packed.len() / 2]);
    assert!(found.len() > 100 && found.len() < 1_000, "{}", found.len());
    assert!(tally.broke_off.is_some());
}

#[test]
fn a_record_that_claims_too_much_ends_the_file_there() {
    let mut file = PLAIN.file(&frames(2));
    let mut claim = PLAIN.record(START_NS, 64, &[0; 64]);
    claim[8..12].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    file.extend(claim);
    file.extend(PLAIN.record(START_NS, 64, &[0; 64]));
    let (found, tally) = packets_of(&file);
    assert_eq!(found.len(), 2);
    assert!(tally.broke_off.unwrap().contains("cut short"));
    file.resize(file.len() + (17 << 20), 0);
    let (found, tally) = packets_of(&file);
    assert_eq!(found.len(), 2);
    assert!(tally.broke_off.unwrap().contains("longer than 16 MiB"));
}

#[test]
fn a_block_larger_than_the_buffer_is_read() {
    let mut file = section(false);
    file.extend(interface(false, 1, &[]));
    file.extend(block(false, 0x0000_1234, &vec![7; 3_000_000]));
    file.extend(enhanced(false, 0, 1, &frame(1)));
    file.extend(block(false, 0x0000_1234, &vec![7; 300_000]));
    file.truncate(file.len() - 10);
    let (found, tally) = packets_of(&file);
    assert_eq!(found.len(), 1);
    assert!(tally.broke_off.unwrap().contains("cut short"));
}

#[test]
fn files_are_merged_by_time_and_may_be_named_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = frames(100);
    let (older, newer) = log.split_at(40);
    let half = |which| {
        let own = |(n, packet): (usize, &(u64, Vec<u8>))| (n % 2 == which).then(|| packet.clone());
        older.iter().enumerate().filter_map(own).collect::<Vec<_>>()
    };
    let newer = write(&dir, "a", &PLAIN.file(newer));
    let even = write(&dir, "b", &gzip(&PLAIN.file(&half(0))));
    let odd = write(&dir, "c", &Pcap { big_endian: true, ..PLAIN }.file(&half(1)));
    let empty = write(&dir, "d", &PLAIN.header());
    let (found, tallies) = packets(&[&newer, &even, &odd, &empty]);
    assert!(found.iter().map(|p| &p.bytes).eq(log.iter().map(|(_, frame)| frame)));
    assert_eq!(tallies.len(), 4);
}

#[test]
fn a_file_without_packets_is_no_failure_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let empty = write(&dir, "a.pcap", &PLAIN.header());
    let cut = write(&dir, "b.pcap", &PLAIN.header()[..12]);
    let found = summary(&[], &[&empty, &cut]);
    assert_eq!(found.packets, 0);
    assert!(found.notes.iter().any(|n| n.contains("a.pcap") && n.contains("no packet")));
    assert!(found.notes.iter().any(|n| n.contains("b.pcap") && n.contains("cut short")));
    super::super::run(&args(&[], &[&empty])).unwrap();
}

#[test]
fn a_link_type_that_is_not_read_is_counted_and_passed() {
    let dir = tempfile::tempdir().unwrap();
    let wifi = write(&dir, "a.pcap", &Pcap { link_type: 127, ..PLAIN }.file(&frames(7)));
    let decisions = dir.path().join("d.tsv");
    let found = summary(&["--decisions", decisions.to_str().unwrap()], &[&wifi]);
    assert_eq!((found.packets, found.skipped, found.decisions.pass), (7, 7, 7));
    assert_eq!(found.links_unread[0].name, "IEEE 802.11 with radiotap header (127)");
    let lines = std::fs::read_to_string(decisions).unwrap();
    assert_eq!(lines.lines().next(), Some("1\tpass\tlink_type_not_read"));
}

#[test]
fn every_link_layer_that_is_read_gives_the_same_packet() {
    let dir = tempfile::tempdir().unwrap();
    let packet = ip(17, "198.51.100.1", "192.0.2.1", &udp((5_000, 53), b"x"));
    let head = |bytes: &[u8]| [bytes, &packet].concat();
    let sll = b"\x00\x00\x00\x01\x00\x06\x02\0\0\0\0\x01\0\0\x08\x00";
    let sll2 = b"\x08\x00\0\0\0\0\0\x01\0\x01\0\x06\x02\0\0\0\0\x01\0\0";
    let frames = [
        (1, ethernet(&packet)),
        (101, packet.clone()),
        (228, packet.clone()),
        (113, head(sll)),
        (276, head(sll2)),
        (0, head(b"\x02\0\0\0")),
        (108, head(b"\0\0\0\x02")),
    ];
    for (link_type, frame) in frames {
        let file = Pcap { link_type, ..PLAIN }.file(&[(START_NS, frame)]);
        let path = write(&dir, "a.pcap", &file);
        let found = summary(&[], &[&path]);
        assert_eq!(found.classes.len(), 1, "{link_type}");
        assert_eq!((found.classes[0].words, found.parsed.read), ("UDP", 1), "{link_type}");
    }
}

#[test]
fn packets_cut_by_the_recorder_are_read_as_far_as_their_headers_go() {
    let dir = tempfile::tempdir().unwrap();
    let segment = tcp((40_000, 80), 0x18, (1, 1), &[b'x'; 1_000]);
    let frame = ethernet(&ip(6, "198.51.100.1", SERVER, &segment));
    let cut = |kept: usize| {
        let file = [PLAIN.header(), PLAIN.record(START_NS, frame.len(), &frame[..kept])].concat();
        summary(&[], &[&write(&dir, "a.pcap", &file)])
    };
    let enough = cut(68);
    assert_eq!((enough.parsed.read, enough.classes[0].words), (1, "TCP data"));
    assert_eq!(enough.bytes, frame.len() as u64);
    assert!(enough.notes.iter().any(|note| note.contains("only the beginning of 1")));
    for kept in [20, 34, 40, 47, 53] {
        let found = cut(kept);
        assert_eq!((found.parsed.cut_by_recorder, found.decisions.pass), (1, 1), "{kept}");
        assert_eq!(found.sanity.len(), 0, "{kept}");
    }
}

#[test]
fn time_that_steps_back_is_counted_and_never_a_reason_to_fail() {
    let dir = tempfile::tempdir().unwrap();
    let times_ms = [0, 10, 8, 20, 90_000, 5, 6, 7];
    let log: Vec<_> = times_ms.iter().map(|ms| (START_NS + ms * MS, frame(*ms))).collect();
    let found = summary(&[], &[&write(&dir, "a.pcap", &PLAIN.file(&log))]);
    assert_eq!((found.packets, found.late, found.clock_set_back), (8, 1, 1));
    assert!((found.span_s - 90.002).abs() < 0.001, "{}", found.span_s);
    assert!(found.notes.iter().any(|note| note.contains("clock stepped back")));
}

#[test]
fn years_between_two_packets_cost_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let log: Vec<_> = (0..40).map(|n| (n * 100_000_000_000_000_000, frame(n))).collect();
    let path = write(&dir, "a.pcap", &PLAIN.file(&log));
    let started = std::time::Instant::now();
    assert_eq!(summary(&[], &[&path]).packets, 40);
    assert!(started.elapsed().as_secs() < 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Bytes of a capture changed at random, or cut: it is read to some end, and nothing breaks.
    #[test]
    fn damaged_files_end_somewhere(
        ng: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        keep in any::<prop::sample::Index>(),
    ) {
        let log = frames(30);
        let mut file = if ng {
            let packets = log.iter().map(|(at_ns, frame)| enhanced(false, 0, at_ns / 1_000, frame));
            [section(false), interface(false, 1, &[(9, &[6])])].into_iter().chain(packets).flatten().collect()
        } else {
            PLAIN.file(&log)
        };
        for (at, byte) in damage {
            // The first bytes say what it is.
            let at = 4 + at.index(file.len() - 4);
            file[at] = byte;
        }
        file.truncate(4 + keep.index(file.len() - 4));
        let dir = tempfile::tempdir().unwrap();
        let path = write(&dir, "a.pcap", &file);
        let found = summary(&[], &[&path]);
        prop_assert!(found.packets <= file.len() as u64 / 16 + 1);
        let d = found.decisions;
        prop_assert_eq!(d.pass + d.drop + d.challenge, found.packets);
    }
}
