//! Whole replays of captures built in code.

mod build;
mod files;
mod real;

use std::path::Path;

use build::*;

use super::super::error::ReplayError;
use super::summary::CaptureSummary;
use super::{replay, text};

fn summary(options: &[&str], paths: &[&Path]) -> CaptureSummary {
    replay(&args(options, paths)).unwrap()
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const SERVER: &str = "192.0.2.80";

/// A visit of a client to [`SERVER`]: handshake, a request, an answer, the end. Packets 2 ms apart.
fn visit(log: &mut Vec<(u64, Vec<u8>)>, at_ns: u64, client: &str, port: u16) {
    let mut say = |n: u64, there: bool, flags, numbers, payload: &[u8]| {
        let (from, to, ports) = match there {
            true => (client, SERVER, (port, 80)),
            false => (SERVER, client, (80, port)),
        };
        let frame = ethernet(&ip(6, from, to, &tcp(ports, flags, numbers, payload)));
        log.push((at_ns + n * 2 * MS, frame));
    };
    say(0, true, SYN, (100, 0), b"");
    say(1, false, SYN | ACK, (700, 101), b"");
    say(2, true, ACK, (101, 701), b"");
    say(3, true, ACK, (101, 701), b"GET / HTTP/1.1\r\n\r\n");
    say(4, false, ACK, (701, 119), b"HTTP/1.1 200 OK\r\n\r\n");
    say(5, true, FIN | ACK, (119, 720), b"");
    say(6, false, FIN | ACK, (720, 120), b"");
    say(7, true, ACK, (120, 721), b"");
}

/// `seconds` of a visit every 50 ms.
fn ordinary(seconds: u64) -> Vec<(u64, Vec<u8>)> {
    let mut log = Vec::new();
    for n in 0..seconds * 20 {
        let client = format!("198.51.100.{}", n % 250 + 1);
        visit(&mut log, START_NS + n * 50 * MS, &client, 40_000 + (n % 20_000) as u16);
    }
    log.sort_by_key(|(at_ns, _)| *at_ns);
    log
}

#[test]
fn ordinary_traffic_is_read_counted_and_passed() {
    let dir = tempfile::tempdir().unwrap();
    let log = ordinary(30);
    let path = write(&dir, "a.pcap", &PLAIN.file(&log));
    let found = summary(&[], &[&path]);
    assert_eq!(found.packets, log.len() as u64);
    assert_eq!(found.bytes, log.iter().map(|(_, frame)| frame.len() as u64).sum::<u64>());
    assert_eq!((found.parsed.read, found.skipped), (found.packets, 0));
    assert_eq!((found.decisions.pass, found.decisions.drop), (found.packets, 0));
    assert!(found.incidents.is_empty() && found.sanity.is_empty());
    assert!(found.both_directions);
    assert!((found.span_s - 29.964).abs() < 0.01, "{}", found.span_s);
    let of = |name| found.classes.iter().find(|c| c.words == name).map_or(0, |c| c.packets);
    let visits = found.packets / 8;
    assert_eq!([of("SYN"), of("SYN-ACK"), of("FIN")], [visits, visits, 2 * visits]);
    let words = text::text(&found);
    assert!(words.contains("Nothing in this capture was taken for an incident"), "{words}");
}

#[test]
fn a_flood_is_found_and_dropped_and_visitors_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ordinary(40);
    // From the 20th second on: SYNs from everywhere, 5,000 a second, all made alike by one program.
    let mut chance = fastrand::Rng::with_seed(5);
    for n in 0..20 * 5_000_u64 {
        let source = std::net::Ipv4Addr::from(chance.u32(0x0b00_0000..0xdf00_0000)).to_string();
        let segment = tcp((chance.u16(1_024..), 80), SYN, (chance.u32(..), 0), b"");
        let mut packet = ip(6, &source, SERVER, &segment);
        packet[8] = 243;
        packet[34..36].copy_from_slice(&512_u16.to_be_bytes());
        log.push((START_NS + 20_000 * MS + n * 200_000, ethernet(&packet)));
    }
    log.sort_by_key(|(at_ns, _)| *at_ns);
    let path = write(&dir, "flood.pcap", &PLAIN.file(&log));
    let decisions = dir.path().join("decisions.tsv");
    let found = summary(&["--decisions", decisions.to_str().unwrap()], &[&path]);
    assert_eq!(found.incidents.len(), 1, "{}", text::text(&found));
    let incident = &found.incidents[0];
    assert!(!incident.incident.rules.is_empty(), "{}", text::text(&found));
    assert!(incident.onset_to_rule_s.unwrap() <= 1.5);

    let lines = std::fs::read_to_string(decisions).unwrap();
    assert_eq!(lines.lines().count(), log.len());
    let (mut flood_stopped, mut others_stopped, mut flood) = (0_u64, 0_u64, 0_u64);
    for ((number, line), (_, frame)) in (1_u64..).zip(lines.lines()).zip(&log) {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns[0], number.to_string());
        assert!(matches!(columns[1], "pass" | "drop" | "challenge"), "{line}");
        assert!(columns[1] == "pass" || columns[2] != "-", "{line}");
        let (stopped, of_flood) = (columns[1] == "drop", frame[14 + 8] == 243);
        flood += u64::from(of_flood);
        flood_stopped += u64::from(of_flood && stopped);
        others_stopped += u64::from(!of_flood && stopped);
    }
    assert!(flood_stopped * 100 >= flood * 90, "{flood_stopped} of {flood} dropped");
    assert_eq!(others_stopped, 0);
    assert_eq!(found.decisions.drop, flood_stopped);
    // Some of the sources are made up badly.
    let martians: u64 = found.sanity.iter().map(|refusal| refusal.packets).sum();
    let guarded: u64 = found.guarded.iter().map(|refusal| refusal.packets).sum();
    assert_eq!(found.decisions.by_rules + martians + guarded, flood_stopped);
    assert!(found.decisions.by_rules * 10 > flood * 9);
}

#[test]
fn what_no_working_host_sends_is_dropped_by_name_and_told_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ordinary(1);
    let last_ns = log[log.len() - 1].0;
    let strange = [
        ip(6, "198.51.100.9", SERVER, &tcp((40_000, 80), SYN | FIN, (1, 0), b"")),
        ip(17, "198.51.100.9", SERVER, &udp((5_000, 0), b"x")),
        ip(17, "203.0.113.1", "203.0.113.1", &udp((53, 53), b"x")),
        ip(17, "224.0.0.9", SERVER, &udp((5_000, 53), b"x")),
        ip(6, "198.51.100.9", SERVER, &[0; 10]),
    ];
    for packet in &strange {
        log.push((last_ns, ethernet(packet)));
    }
    log.push((last_ns, arp()));
    log.push((last_ns, ethernet(&[0x45; 10])));
    let path = write(&dir, "a.pcap", &PLAIN.file(&log));
    let decisions = dir.path().join("decisions.tsv");
    let found = summary(&["--decisions", decisions.to_str().unwrap()], &[&path]);
    let reasons: Vec<(&str, u64)> = found.sanity.iter().map(|r| (r.reason, r.packets)).collect();
    let expected = ["impossible_flags", "header_too_short", "land", "martian_source", "port_zero"];
    assert_eq!(reasons, expected.map(|reason| (reason, 1)));
    assert_eq!(found.sanity[2].first_source, "203.0.113.1");
    assert!(found.sanity.iter().all(|refusal| refusal.why.len() > 20));
    assert_eq!((found.parsed.not_ip, found.parsed.truncated), (1, 1));
    let lines = std::fs::read_to_string(decisions).unwrap();
    let mut tail: Vec<&str> = lines.lines().rev().take(7).collect();
    tail.reverse();
    let number = log.len() - 6;
    let line = |n: usize, rest: &str| format!("{}\t{rest}", number + n);
    assert_eq!(tail[0], line(0, "drop\timpossible_flags"));
    assert_eq!(tail[5], line(5, "pass\tnot_ip"));
    assert_eq!(tail[6], line(6, "pass\ttruncated"));
}

#[test]
fn one_direction_is_said_to_be_one_direction() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ordinary(5);
    log.retain(|(_, frame)| frame[30..34] == v4(SERVER).octets());
    let path = write(&dir, "in.pcap", &PLAIN.file(&log));
    let found = summary(&[], &[&path]);
    assert!(!found.both_directions);
    assert!(
        found.notes.iter().any(|note| note.contains("only one direction")),
        "{:?}",
        found.notes
    );
}

#[test]
fn captures_and_logs_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let capture = write(&dir, "a.pcap", &PLAIN.file(&ordinary(1)));
    let log = write(
        &dir,
        "access.log",
        b"192.0.2.1 - - [01/Jan/2025:00:00:00 +0000] \"GET / HTTP/1.1\" 200 1\n",
    );
    let mixed = crate::replay::are_captures(&[log, capture.clone()]);
    assert!(matches!(&mixed, Err(ReplayError::Mixed { .. })));
    assert!(mixed.unwrap_err().to_string().contains("a.pcap is a packet capture and"));
    assert!(crate::replay::are_captures(&[capture.clone(), capture]).unwrap());
}

#[test]
fn a_capture_is_never_overwritten_with_its_decisions() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "a.pcap", &PLAIN.file(&ordinary(1)));
    let refused = replay(&args(&["--decisions", path.to_str().unwrap()], &[&path]));
    assert!(matches!(refused, Err(ReplayError::DecisionsOverLog { .. })));
}

#[test]
fn the_same_capture_gives_the_same_result() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ordinary(20);
    for n in 0..30_000_u64 {
        let segment = tcp((n as u16 | 1, 80), RST, (n as u32, 0), b"");
        let packet = ip(6, &format!("203.0.113.{}", n % 255), SERVER, &segment);
        log.push((START_NS + 10_000 * MS + n * 100_000, ethernet(&packet)));
    }
    log.sort_by_key(|(at_ns, _)| *at_ns);
    let path = write(&dir, "a.pcap", &PLAIN.file(&log));
    let comparable = || {
        let mut value = serde_json::to_value(summary(&[], &[&path])).unwrap();
        for ours in ["elapsed_s", "packets_per_second"] {
            value.as_object_mut().unwrap().remove(ours);
        }
        value
    };
    let first = comparable();
    for key in ["packets", "bytes", "span_s", "skipped", "peak_per_second"] {
        assert!(first[key].is_number(), "{key}");
    }
    assert_eq!(first, comparable());
}
