//! Whether a mix holds what was put into it: every label, the ratio, and flows as flows.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::view::View;
use super::*;
use crate::packets::Lead;

const VICTIM: [u8; 4] = [198, 51, 100, 1];

/// A UDP datagram with a number in its payload.
fn datagram(from: ([u8; 4], u16), to: ([u8; 4], u16), id: u16, number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 0, 0x45, 0, 0, 32];
    frame.extend(id.to_be_bytes());
    frame.extend([0, 0, 60, 17, 0, 0]);
    frame.extend(from.0);
    frame.extend(to.0);
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend([0, 12, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame
}

fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[42..46].try_into().unwrap())
}

fn recording(frames: Vec<Vec<u8>>, gap_ns: u64) -> Recording {
    let frame = |(at, bytes): (usize, Vec<u8>)| {
        let wire_bytes = bytes.len() as u32;
        Frame { at_ns: at as u64 * gap_ns, bytes, wire_bytes }
    };
    Recording { frames: frames.into_iter().enumerate().map(frame).collect(), skipped: 0 }
}

/// Twenty reflectors answer from port 161 to forty ports; every tenth frame is somebody else's.
fn attack() -> Recording {
    let frame = |n: u32| {
        let source = [203, (n % 20) as u8, 113, 7];
        let service = if n % 10 == 9 { 5_353 } else { 161 };
        let flow = n % 40 + if service == 161 { 0 } else { 100 };
        datagram((source, service), (VICTIM, 40_000 + (n % 40) as u16), 77, flow)
    };
    recording((0..200).map(frame).collect(), 3_000_000)
}

fn background() -> Vec<Recording> {
    let capture = |c: u32| {
        let (client, server) = ([192, 0, 2, 10 + c as u8], [10, 0, 0, 1]);
        let frame = |n: u32| {
            let (from, to) = ((client, 50_000 + c as u16), (server, 443));
            let (from, to) = if n.is_multiple_of(2) { (from, to) } else { (to, from) };
            datagram(from, to, n as u16, 1_000 + c)
        };
        recording((0..60).map(frame).collect(), 20_000_000)
    };
    (0..5).map(capture).collect()
}

fn filter() -> Filter {
    Filter::parse("udp src port 161").unwrap()
}

fn flow(frame: &[u8]) -> (IpAddr, u16, IpAddr, u16) {
    let view = View::of(frame).unwrap();
    let ((from, to), ports) = (view.addresses(frame).unwrap(), view.ports(frame).unwrap());
    (from, ports.0, to, ports.1)
}

#[test]
fn a_mix_is_in_order_the_same_again_and_at_the_wanted_ratio() {
    for (ratio, lead) in [(0.2, Lead::Honest), (8.0, Lead::None)] {
        let config = MixConfig { lead, ..MixConfig::new(ratio, 3) };
        let mixed = mix(&attack(), &filter(), &background(), &config).unwrap();
        let again = mix(&attack(), &filter(), &background(), &config).unwrap();
        assert_eq!(mixed.frames, again.frames);
        assert!(mixed.frames.windows(2).all(|pair| pair[0].at_us <= pair[1].at_us));
        let seconds = (mixed.until_us - mixed.onset_us) as f64 / 1e6;
        let rate_pps = mixed.attack_frames() as f64 / seconds;
        assert!((rate_pps / (ratio * 500.0) - 1.0).abs() < 0.01, "{rate_pps}");
        let laid = mixed.frames.iter().filter(|f| number(&f.bytes) >= 1_000).count() as f64;
        let whole_s = (mixed.until_us + config.tail_us) as f64 / 1e6;
        assert!((laid / whole_s / 500.0 - 1.0).abs() < 0.01, "{laid} in {whole_s} s");
        for frame in &mixed.frames {
            // The label follows the recorded frame, whatever its port has become.
            assert_eq!(frame.attack, number(&frame.bytes) < 100);
            let span_us = mixed.onset_us..=mixed.until_us;
            assert!(!frame.attack || span_us.contains(&frame.at_us));
        }
        assert_eq!(mixed.onset_us > 0, lead == Lead::Honest);
    }
}

#[test]
fn rewriting_keeps_flows_and_turns_the_victim_into_the_host() {
    for seed in 0..20 {
        let mixed = mix(&attack(), &filter(), &background(), &MixConfig::new(1.0, seed)).unwrap();
        let mut flows: HashMap<u32, HashSet<_>> = HashMap::new();
        let (mut services, mut sources) = (HashSet::new(), HashSet::new());
        for frame in mixed.frames.iter().filter(|frame| number(&frame.bytes) < 1_000) {
            let flow = flow(&frame.bytes);
            assert_eq!(flow.2, mixed.v4);
            flows.entry(number(&frame.bytes)).or_default().insert(flow);
            sources.insert(flow.0);
            if frame.attack {
                services.insert(flow.1);
            }
        }
        // One flow becomes one, and two flows two: 36 of the attack's and 4 of somebody else's.
        assert_eq!(flows.len(), 40);
        assert!(flows.values().all(|rewritten| rewritten.len() == 1));
        let distinct: HashSet<_> = flows.values().flatten().collect();
        assert_eq!((distinct.len(), sources.len(), services.len()), (40, 20, 1));
        // The background talks with the same host.
        let background = mixed.frames.iter().filter(|frame| number(&frame.bytes) >= 1_000);
        for (from, _, to, _) in background.map(|frame| flow(&frame.bytes)) {
            assert!((from == mixed.v4) != (to == mixed.v4));
        }
    }
}

#[test]
fn nothing_but_the_host_is_rewritten_when_so_wanted() {
    let config = MixConfig { rewrite: Rewrite::NONE, ..MixConfig::new(1.0, 4) };
    let mixed = mix(&attack(), &filter(), &background(), &config).unwrap();
    for frame in mixed.frames.iter().filter(|frame| frame.attack) {
        let (from, port, to, _) = flow(&frame.bytes);
        assert!(from.to_string().starts_with("203."), "{from}");
        assert_eq!((port, to), (161, mixed.v4));
        assert_eq!(frame.bytes[18..20], [0, 77]);
    }
}

#[test]
fn what_cannot_be_mixed_is_said() {
    let config = MixConfig::new(1.0, 1);
    let nothing = Filter::parse("tcp").unwrap();
    let error = |attack: &Recording, filter: &Filter, background: &[Recording], config| {
        mix(attack, filter, background, config).unwrap_err()
    };
    assert_eq!(error(&attack(), &nothing, &background(), &config), MixError::NoAttack);
    assert_eq!(error(&attack(), &filter(), &[], &config), MixError::NoBackground);
    let config = MixConfig { background_pps: 1e6, ..config };
    let refused = error(&attack(), &filter(), &background(), &config);
    assert!(matches!(refused, MixError::TooMany { .. }));
}

#[test]
fn what_is_written_is_read_again_with_its_labels() {
    let mixed = mix(&attack(), &filter(), &background(), &MixConfig::new(0.5, 2)).unwrap();
    let (mut pcap, mut labels) = (Vec::new(), Vec::new());
    mixed.write_pcap(&mut pcap).unwrap();
    mixed.write_labels(&mut labels).unwrap();
    let read = Recording::read(&pcap).unwrap();
    assert!(read.frames.iter().map(|f| &f.bytes).eq(mixed.frames.iter().map(|f| &f.bytes)));
    let labels = String::from_utf8(labels).unwrap();
    assert_eq!(labels.lines().count(), mixed.frames.len());
    assert_eq!(labels.matches("\tattack\n").count(), mixed.attack_frames());
}

/// Where the recorded captures are, if they are.
fn captures() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("FLOODWALL_DATA").map_or_else(beside, PathBuf::from);
    if folder.join("LABELS.json").is_file() {
        return Some(folder);
    }
    // In one write, and past the harness's capture.
    let line = format!("SKIPPED: recorded captures are not at {}\n", folder.display());
    let _ = std::io::stderr().write_all(line.as_bytes());
    None
}

#[test]
fn every_labelled_capture_has_as_many_attack_frames_as_its_label_says_and_can_be_mixed() {
    let Some(folder) = captures() else { return };
    let labels = std::fs::read(folder.join("LABELS.json")).unwrap();
    let labels: serde_json::Value = serde_json::from_slice(&labels).unwrap();
    let text = |label: &serde_json::Value, key: &str| label[key].as_str().unwrap().to_owned();
    let read = |path: &Path| Recording::read(&std::fs::read(path).unwrap());
    let benign = std::fs::read_dir(folder.join("pcap/benign/zeek")).unwrap();
    let mut benign: Vec<PathBuf> = benign.map(|entry| entry.unwrap().path()).collect();
    benign.sort();
    let benign: Vec<Recording> =
        benign.iter().take(60).filter_map(|path| read(path).ok()).collect();
    for label in labels.as_array().unwrap() {
        let name = text(label, "file");
        let capture = read(&folder.join(&name)).unwrap();
        let filter = Filter::parse(&text(label, "attack_bpf")).unwrap();
        let attacks = capture.frames.iter().filter(|f| filter.matches(&f.bytes)).count();
        assert_eq!(Some(attacks as u64), label["attack_packets"].as_u64(), "{name}");
        assert_eq!(Some(capture.frames.len() as u64), label["total_packets"].as_u64(), "{name}");
        let mixed = mix(&capture, &filter, &benign, &MixConfig::new(3.0, 1)).unwrap();
        let background = mixed.frames.len() - mixed.attack_frames();
        let seconds = (mixed.until_us - mixed.onset_us) as f64 / 1e6;
        let rate_pps = mixed.attack_frames() as f64 / seconds;
        assert!((rate_pps / 1_500.0 - 1.0).abs() < 0.1, "{name} {rate_pps}");
        assert!(background > 10_000, "{name} {background}");
    }
}
