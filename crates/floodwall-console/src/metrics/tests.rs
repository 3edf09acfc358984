use std::collections::BTreeMap;

use super::*;
use crate::status::tests::{flooded, under_attack};
use crate::status::{ShedStatus, TableUse};

/// Name and labels of a figure.
type Key = (String, BTreeMap<String, String>);

/// The text read as a collector reads it; panics where it is not of the format.
fn read(text: &str) -> BTreeMap<Key, f64> {
    assert!(text.ends_with('\n'), "the last line ends with a line feed");
    let (mut figures, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    let mut helped = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped.push(rest.split_once(' ').expect("a help").0.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert_eq!(helped.last().map(String::as_str), Some(name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "{name} twice");
        } else {
            let (key, value) = figure(line);
            assert_eq!(helped.last(), Some(&key.0), "figures stand with their family");
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(key.0.chars().all(is_name), "{line}");
            assert_eq!(figures.insert(key, value), None, "twice: {line}");
        }
    }
    figures
}

fn figure(line: &str) -> (Key, f64) {
    let Some((name, rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ').expect("a value");
        return ((name.to_owned(), BTreeMap::new()), value.parse().expect("a number"));
    };
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    loop {
        let (label, after) = rest.split_once("=\"").expect("a label");
        let (mut value, mut end) = (String::new(), 0);
        let mut characters = after.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match characters.next().expect("an escaped character").1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    other => panic!("\\{other} is no escape"),
                },
                c => value.push(c),
            }
        }
        labels.insert(label.to_owned(), value);
        match after[end..].strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                let value = after[end..].strip_prefix("} ").expect("the end of the labels");
                return ((name.to_owned(), labels), value.parse().expect("a number"));
            }
        }
    }
}

fn value(figures: &BTreeMap<Key, f64>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    let key = (format!("floodwall_{name}"), labels);
    *figures.get(&key).unwrap_or_else(|| panic!("{key:?} is missing"))
}

#[test]
fn what_is_written_is_read_back() {
    let mut status = under_attack();
    status.packets = Some(flooded());
    status.counts.requests = 100_000;
    status.counts.passed = 38_000;
    status.health.lost_10s_share = 0.25;
    status.health.blindness = Some("a quarter is lost".into());
    status.health.shed = vec![
        ShedStatus { name: "names".into(), words: "texts".into(), now: true, times: 7 },
        ShedStatus { name: "searches".into(), words: "searches".into(), now: false, times: 0 },
    ];
    let figures = read(&metrics_text(&status));
    for (name, labels, expected) in [
        ("info", &[("version", "0.1.0"), ("mode", "protect")][..], 1.0),
        ("requests_total", &[("handling", "passed")], 38_000.0),
        ("requests_total", &[("handling", "blocked")], 61_090.0),
        ("requests_total", &[("handling", "refused")], 910.0),
        ("refusals_total", &[("reason", "malformed")], 3.0),
        ("refusals_total", &[("reason", "head_timeout")], 0.0),
        ("rules", &[("action", "block")], 1.0),
        ("table_used", &[("table", "sources")], 900.0),
        ("table_displaced_total", &[("table", "bans")], 2.0),
        ("lag_seconds", &[], 1.5),
        ("observations_lost_ratio", &[], 0.25),
        ("blind", &[], 1.0),
        ("shed_level", &[], 1.0),
        ("shed_total", &[("what", "names")], 7.0),
        ("alarm_open", &[], 1.0),
        ("incident_open", &[], 1.0),
        ("kernel_ban_packets_total", &[], 48_211.0),
        ("kernel_packets_refused_total", &[("reason", PacketReason::OutOfState.name())], 382.0),
    ] {
        assert_eq!(value(&figures, name, labels), expected, "{name} {labels:?}");
    }
}

#[test]
fn odd_names_cannot_break_out_of_their_label() {
    let mut status = under_attack();
    let odd = "a \"quoted\\\" name}\nfloodwall_rules 9";
    status.health.tables = vec![TableUse { name: odd.into(), used: 4, max: 8, displaced: 0 }];
    let figures = read(&metrics_text(&status));
    assert_eq!(value(&figures, "table_used", &[("table", odd)]), 4.0);
}
