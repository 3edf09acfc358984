//! The whole of `floodwall replay`, from files to the summary, with the real engine.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use floodwall_model::ValueKey;

use super::log::{Log, Reading};
use super::record::ObservationWriter;
use super::summary::Summary;
use super::{ReplayArgs, ReplayError, no_records, replay};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: ReplayArgs,
}

fn args(options: &[&str], files: &[&Path]) -> ReplayArgs {
    let files = files.iter().map(|path| path.to_str().unwrap());
    let words = ["replay"].into_iter().chain(options.iter().copied()).chain(files);
    Command::try_parse_from(words).unwrap().args
}

fn summary(options: &[&str], files: &[&Path]) -> Summary {
    replay(&args(options, files)).unwrap()
}

/// A summary without what differs from run to run.
fn comparable(mut summary: Summary) -> serde_json::Value {
    (summary.elapsed_s, summary.records_per_second) = (0.0, 0.0);
    summary.files.clear();
    summary.notes.clear();
    serde_json::to_value(summary).unwrap()
}

fn file(dir: &tempfile::TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A small linear congruential generator (Knuth, MMIX), so that logs are the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

const START_S: u64 = 1_735_689_600;

fn line(at_s: u64, source: u64, request: &str, referer: &str, agent: &str) -> String {
    let of_day = at_s - START_S;
    let (hours, minutes, seconds) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let [a, b, c, d] = (source as u32).to_be_bytes();
    format!(
        "{a}.{b}.{c}.{d} - - [01/Jan/2025:{hours:02}:{minutes:02}:{seconds:02} +0000] \
         \"GET {request}\" 200 5120 \"{referer}\" \"{agent}\"\n"
    )
}

/// A visit: a page, what the page needs, some seconds later perhaps a second page.
fn visit(log: &mut Vec<(u64, String)>, at_s: u64, chance: &mut Chance) {
    let source = 0x0b00_0000 + chance.below(0x4000_0000);
    let version = 100 + chance.below(25);
    let agent = match chance.below(3) {
        0 => format!("Mozilla/5.0 (Windows NT 10.0) Chrome/{version}.0 Safari/537.36"),
        1 => format!("Mozilla/5.0 (iPhone; CPU iPhone OS 17_{}) Safari/604.1", version % 6),
        _ => format!("Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Firefox/{version}.0"),
    };
    let mut at_s = at_s;
    let pages = 1 + chance.below(2);
    let mut referer = "-".to_owned();
    for _ in 0..pages {
        let page = ["/", "/manifesto", "/news/17", "/contact"][chance.below(4) as usize];
        log.push((at_s, line(at_s, source, &format!("{page} HTTP/2.0"), &referer, &agent)));
        referer = format!("https://a.example{page}");
        for asset in ["/site.css", "/app.js", "/logo.png"] {
            log.push((at_s, line(at_s, source, &format!("{asset} HTTP/2.0"), &referer, &agent)));
        }
        at_s += 3 + chance.below(30);
    }
}

/// `calm_s` of visits, then `attack_s` of visits and a thousand sources that send 300 requests/s
/// in all, then `after_s` of visits.
fn council(calm_s: u64, attack_s: u64, after_s: u64) -> Vec<(u64, String)> {
    let (mut log, mut chance) = (Vec::new(), Chance(7));
    for s in 0..calm_s + attack_s + after_s {
        for _ in 0..4 {
            visit(&mut log, START_S + s, &mut chance);
        }
        if (calm_s..calm_s + attack_s).contains(&s) {
            for n in 0..300 {
                let source = 0xcb00_0000 + (s * 300 + n) % 1_000;
                let request = format!("/news/{} HTTP/1.1", chance.below(1_000_000));
                log.push((START_S + s, line(START_S + s, source, &request, "-", ATTACKER)));
            }
        }
    }
    log.sort_by_key(|(at_s, _)| *at_s);
    log.retain(|(at_s, _)| *at_s < START_S + calm_s + attack_s + after_s);
    log
}

const ATTACKER: &str = "Mozilla/5.0 (Windows NT 10.0; rv:102.0) Firefox/102.0";

fn joined(log: &[(u64, String)]) -> String {
    log.iter().map(|(_, line)| line.as_str()).collect()
}

#[test]
fn an_attack_is_found_and_each_record_has_its_decision() {
    let dir = tempfile::tempdir().unwrap();
    let log = council(600, 60, 120);
    let path = file(&dir, "access.log", joined(&log).as_bytes());
    let decisions = dir.path().join("decisions.tsv");
    let found = summary(&["--decisions", decisions.to_str().unwrap()], &[&path]);

    assert_eq!((found.records, found.skipped), (log.len() as u64, 0));
    assert_eq!(found.incidents.len(), 1);
    let rules = &found.incidents[0].rules;
    assert!(rules.iter().any(|rule| rule.action == "block" && rule.projected_collateral < 0.001));

    let text = std::fs::read_to_string(&decisions).unwrap();
    let (mut stopped, mut attacks, mut honest_stopped) = (0_u64, 0_u64, 0_u64);
    assert_eq!(text.lines().count(), log.len());
    for (index, (decision, (_, record))) in text.lines().zip(&log).enumerate() {
        let columns: Vec<&str> = decision.split('\t').collect();
        assert_eq!(columns[0], (index + 1).to_string());
        assert!(matches!(columns[1], "pass" | "throttle" | "block" | "ban"), "{decision}");
        assert_eq!(columns[2] != "-", matches!(columns[1], "throttle" | "block"), "{decision}");
        let (is_attack, is_stopped) = (record.contains(ATTACKER), columns[1] != "pass");
        attacks += u64::from(is_attack);
        stopped += u64::from(is_attack && is_stopped);
        honest_stopped += u64::from(!is_attack && is_stopped);
    }
    let d = found.decisions;
    assert_eq!(d.pass + d.throttle + d.block + d.ban, found.records);
    assert_eq!(d.block + d.throttle + d.ban, stopped + honest_stopped);
    assert!(stopped * 10 > attacks * 8, "{stopped} of {attacks} attack requests stopped");
    assert!(honest_stopped * 1_000 <= found.records - attacks, "{honest_stopped} honest stopped");
}

#[test]
fn an_incident_that_outlasts_the_log_has_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let cut = file(&dir, "cut.log", joined(&council(600, 30, 0)).as_bytes());
    let found = summary(&[], &[&cut]);
    assert_eq!(found.incidents.len(), 1);
    assert_eq!(found.incidents[0].closed_at, None);
    assert!(super::summary::text(&found).contains("still on when the log ended"));

    let whole = file(&dir, "whole.log", joined(&council(600, 30, 200)).as_bytes());
    let found = summary(&[], &[&whole]);
    assert_eq!(found.incidents.len(), 1);
    assert!(found.incidents[0].closed_at.is_some());
    assert!(found.incidents[0].closed_after_log_end);
}

#[test]
fn packed_split_or_on_one_thread_the_result_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let log = council(400, 20, 20);
    let plain = file(&dir, "plain.log", joined(&log).as_bytes());
    let expected = comparable(summary(&[], &[&plain]));
    assert_eq!(expected["incidents"].as_array().unwrap().len(), 1);

    let packed = file(&dir, "packed.log.gz", &gzip(joined(&log).as_bytes()));
    assert_eq!(comparable(summary(&[], &[&packed])), expected, "packed");
    assert_eq!(comparable(summary(&["--threads", "1"], &[&plain])), expected, "one thread");

    let (older, newer) = log.split_at(log.partition_point(|(at_s, _)| *at_s < START_S + 200));
    let older = file(&dir, "access.log.1", joined(older).as_bytes());
    let newer = file(&dir, "access.log", joined(newer).as_bytes());
    assert_eq!(comparable(summary(&[], &[&newer, &older])), expected, "rotated");
}

#[test]
fn two_nodes_logs_hold_what_one_would() {
    let dir = tempfile::tempdir().unwrap();
    let log = council(400, 20, 20);
    let plain = file(&dir, "plain.log", joined(&log).as_bytes());
    let expected = summary(&[], &[&plain]);
    let node = |which| -> String {
        let own = |(n, (_, line)): (usize, &(u64, String))| (n % 2 == which).then(|| line.clone());
        log.iter().enumerate().filter_map(own).collect()
    };
    let a = file(&dir, "a.log", node(0).as_bytes());
    let b = file(&dir, "b.log.gz", &gzip(node(1).as_bytes()));
    let found = summary(&[], &[&a, &b]);
    assert_eq!((found.records, found.late, found.sources), (expected.records, 0, expected.sources));
    assert_eq!(found.peak_per_second, expected.peak_per_second);
    assert_eq!(found.incidents.len(), expected.incidents.len());
    assert_eq!(found.files.len(), 2);
}

#[test]
fn the_json_object_has_the_promised_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "access.log", joined(&council(400, 20, 0)).as_bytes());
    let value = serde_json::to_value(summary(&["--json"], &[&path])).unwrap();
    for key in ["records", "skipped", "span_s", "sources", "records_per_second"] {
        assert!(value[key].is_number(), "{key}");
    }
    assert!((value["span_s"].as_f64().unwrap() - 419.0).abs() < 1.0);
    let incident = &value["incidents"][0];
    assert!(incident["opened_at"].as_str().unwrap().starts_with("2025-01-01T00:06:4"));
    assert!(incident["closed_at"].is_null());
    assert!(incident["peak_per_second"].as_f64().unwrap() > 200.0);
    let rule = &incident["rules"][0];
    assert!(rule["predicates"].as_array().unwrap().iter().all(|p| p.is_string()));
    assert!(rule["action"].is_string() && rule["first_at"].is_string());
    assert!(rule["matched"].as_u64().unwrap() > 0);
    assert!(rule["projected_collateral"].as_f64().unwrap() < 0.01);
}

#[test]
fn broken_lines_are_counted_and_a_log_of_nothing_else_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let good = line(START_S, 0x0b00_0001, "/ HTTP/1.1", "-", "Moz");
    let mixed =
        file(&dir, "mixed.log", format!("{good}\nnonsense\n{good}{{\"a\":1}}\n").as_bytes());
    let nothing = file(&dir, "error.log", b"[Sun Dec 04 04:47:44 2005] [notice] ready\n");
    let found = summary(&[], &[&mixed, &nothing]);
    assert_eq!((found.records, found.skipped), (2, 3));
    assert!(found.notes.iter().any(|n| n.contains("mixed.log") && n.contains("line 3: nonsense")));

    let found = summary(&[], &[&nothing]);
    assert_eq!((found.records, found.skipped), (0, 1));
    let words = no_records(&found).to_string();
    assert!(
        words.contains("error.log") && words.contains("line 1") && words.contains("access log")
    );
}

#[test]
fn a_missing_file_ends_the_replay_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let decisions = dir.path().join("decisions.tsv");
    let options = ["--decisions", decisions.to_str().unwrap()];
    let missing = args(&options, &[Path::new("/nonexistent/access.log")]);
    assert!(matches!(replay(&missing), Err(ReplayError::Open { .. })));
    assert!(!decisions.exists());
}

#[test]
fn a_log_is_never_overwritten_with_its_decisions() {
    let dir = tempfile::tempdir().unwrap();
    let good = line(START_S, 0x0b00_0001, "/ HTTP/1.1", "-", "Moz");
    let log = file(&dir, "access.log", good.as_bytes());
    let link = dir.path().join("link.log");
    std::os::unix::fs::symlink(&log, &link).unwrap();
    for name in [&log, &link] {
        let refused = replay(&args(&["--decisions", name.to_str().unwrap()], &[&log]));
        assert!(matches!(refused, Err(ReplayError::DecisionsOverLog { .. })));
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), good);
}

#[test]
fn years_between_two_records_cost_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let log: String = (0..40_u64).fold(String::new(), |mut log, n| {
        let at_s = START_S + n * 8_000_000;
        let _ = writeln!(log, "{{\"ts\":{at_s},\"ip\":\"192.0.2.1\",\"uri\":\"/\"}}");
        log
    });
    let path = file(&dir, "sparse.json", log.as_bytes());
    let started = Instant::now();
    let found = summary(&[], &[&path]);
    assert_eq!(found.records, 40);
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn wrong_options_are_refused() {
    for words in [
        &["replay"][..],
        &["replay", "x.log", "--field", "sauce=x"],
        &["replay", "x.log", "--threads", "3"],
        &["replay", "x.log", "--format", "csv"],
    ] {
        assert!(Command::try_parse_from(words).is_err(), "{words:?}");
    }
}

/// Says that the running test is skipped, past the harness's capture, so that it can be counted.
fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("SKIPPED: {test}: {why}\n").as_bytes(),
    );
}

/// Public logs that are not part of the sources: where they lie, if they are there.
fn real_logs() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("FLOODWALL_DATA").map_or(beside, PathBuf::from);
    let logs = data.join("http-logs");
    if !logs.is_dir() {
        skipped(&format!("no public logs at {}; set FLOODWALL_DATA", logs.display()));
        return None;
    }
    Some(logs)
}

#[test]
fn a_real_apache_log_is_read_whole_and_nobody_would_be_blocked() {
    let Some(logs) = real_logs() else { return };
    let found = summary(&[], &[&logs.join("elastic/apache_logs__apache_logs")]);
    // One line's user agent is cut off; what stands before it is a record.
    assert_eq!((found.records, found.skipped), (10_000, 0));
    assert!(found.incidents.iter().all(|i| i.rules.iter().all(|r| r.action != "block")));
    // The file is shuffled within each minute.
    assert_eq!(found.late, 0);
}

#[test]
fn an_error_log_is_no_access_log_and_no_reason_to_fail() {
    let Some(logs) = real_logs() else { return };
    let found = summary(&[], &[&logs.join("loghub-apache/Apache_2k.log")]);
    assert_eq!((found.records, found.skipped), (0, 2_000));
    assert!(found.incidents.is_empty());
}

#[test]
fn real_lines_of_many_servers_are_mostly_read() {
    let Some(logs) = real_logs() else { return };
    // Not access logs, or in a format of the server's own.
    let foreign = [
        "guacamole",
        "aws-alb",
        "upsun",
        "magento",
        "admin-bf",
        "modsecurity",
        "mail",
        "generic-bf",
        "catch-npm",
        "req_limit",
        "pfsense",
        "sympa",
        "zoraxy",
        "litespeed-logs",
        "proxy-manager-logs",
    ];
    let (mut records, mut skipped) = (0, 0);
    for entry in std::fs::read_dir(logs.join("crowdsec-hub")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if foreign.iter().any(|f| name.contains(f))
            || !(name.contains("nginx") || name.contains("apache") || name.contains("http"))
        {
            continue;
        }
        for log in std::fs::read_dir(&folder).unwrap() {
            let path = log.unwrap().path();
            if path.extension().is_none_or(|ext| ext != "log") {
                continue;
            }
            let mut log = Log::open(&path, &Reading::default()).unwrap();
            let mut writer = ObservationWriter::new(ValueKey::new(1, 2));
            while log.next_entry(&mut writer).is_some() {}
            if let Some((number, excerpt)) = &log.tally.first_broken {
                println!("{name}: {} broken, line {number}: {excerpt}", log.tally.skipped);
            }
            records += log.tally.records;
            skipped += log.tally.skipped;
        }
    }
    println!("{records} records, {skipped} broken lines");
    assert!(records > 500 && skipped * 20 < records, "{records} records, {skipped} broken");
}

/// Prints how fast lines are read and made into observations, without the engine. The bound is far
/// below what any machine of today does with an optimised build; it catches a mistake in kind.
#[test]
fn reading_speed_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let log = joined(&council(600, 60, 0));
    let count = log.lines().count();
    for (name, content) in [("plain", log.clone().into_bytes()), ("gzip", gzip(log.as_bytes()))] {
        let path = file(&dir, name, &content);
        let mut writer = ObservationWriter::new(ValueKey::new(1, 2));
        let mut log = Log::open(&path, &Reading::default()).unwrap();
        let started = Instant::now();
        let read = std::iter::from_fn(|| log.next_entry(&mut writer)).count();
        let per_s = read as f64 / started.elapsed().as_secs_f64();
        println!("{name}: {per_s:.0} lines/s, {:.0} ns a line", 1e9 / per_s);
        assert_eq!(read, count);
        assert!(per_s > 20_000.0);
    }
}
