//! The ladder of tiers with the real program: what `floodwall run` takes with fewer and fewer
//! capabilities, that it says so, and that `floodwall doctor` says the same beforehand.
//!
//! Everything happens in network namespaces that end with the test.

#[path = "../../floodwall-xdp/tests/support/namespace.rs"]
#[allow(dead_code, reason = "it serves other tests too")]
mod namespace;
#[path = "../../floodwall-xdp/tests/support/skip.rs"]
mod skip;
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use floodwall_xdp::{AttachRequest, KernelFilter, NftState, nft_state};
use namespace::{in_namespace, ip};
use serde_json::Value;
use support::{Origin, Running, free_port, text};

const NEAR: &str = "near0";

/// Runs `test` where BPF, nftables and setpriv(1) all work; says SKIPPED elsewhere.
fn with_all_tiers(test: impl FnOnce() + Send + 'static) {
    in_namespace(|| {
        let host = floodwall_xdp::probe();
        if !host.filter_built || !host.capabilities_missing.is_empty() {
            return skip::skipped("the kernel filter is not built or not permitted");
        }
        if nft_state() != NftState::Works {
            return skip::skipped(&format!("nftables: {:?}", nft_state()));
        }
        if Command::new("setpriv").arg("--version").output().is_err() {
            return skip::skipped("setpriv is not installed");
        }
        ip(&format!("link add {NEAR} type veth peer name far0"));
        ip(&format!("address add 10.78.0.1/24 dev {NEAR}"));
        ip(&format!("link set {NEAR} up"));
        ip("link set far0 up");
        test();
    });
}

/// The program with `capabilities` and no others.
fn with_capabilities(capabilities: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--inh-caps={capabilities}"));
    command.arg(format!("--bounding-set={capabilities}"));
    command.arg(env!("CARGO_BIN_EXE_floodwall")).stdin(Stdio::null());
    command
}

/// `floodwall run` on `interfaces` with `capabilities`, protecting.
fn run(capabilities: &str, interfaces: &[&str], origin: &Origin, directory: &Path) -> Running {
    let port = free_port();
    let mut command = with_capabilities(capabilities);
    command.args(["run", "--protect", "--origin", &origin.url()]);
    command.args(["--listen", &format!("0.0.0.0:{port}"), "--state-dir"]).arg(directory);
    for interface in interfaces {
        command.args(["--interface", interface]);
    }
    Running::of(command, directory, port)
}

fn log(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).expect("a log")
}

fn nft(arguments: &str) -> String {
    let output = Command::new("nft").args(arguments.split_whitespace()).output().expect("nft runs");
    text(&output.stdout)
}

/// What `doctor` says of the interface, or of a run without one.
fn doctors_word(capabilities: &str, interface: Option<&str>) -> Value {
    let mut command = with_capabilities(capabilities);
    command.args(["doctor", "--json"]).args(interface.iter().flat_map(|n| ["--interface", n]));
    let output = command.output().expect("floodwall runs");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    match interface {
        Some(_) => value["verdict"]["interfaces"][0].clone(),
        None => value["verdict"]["without_interface"].clone(),
    }
}

/// Fewer capabilities, lower tiers; the doctor's word beforehand is what `run` then says of itself.
#[test]
fn run_takes_the_tier_that_the_doctor_named_and_says_why_not_a_better_one() {
    with_all_tiers(|| {
        let all = "-all,+bpf,+net_admin,+perfmon";
        for (capabilities, interface, tier, lacking) in [
            (all, Some(NEAR), "xdp_native", None),
            (all, Some("lo"), "xdp_generic", Some("driver")),
            (all, None, "socket_filter", Some("no interface")),
            ("-all,+bpf,+perfmon", Some(NEAR), "socket_filter", Some("CAP_NET_ADMIN")),
            ("-all,+bpf,+perfmon", None, "socket_filter", Some("no interface")),
            ("-all,+net_admin", Some(NEAR), "nftables", Some("CAP_BPF, CAP_PERFMON")),
            ("-all,+net_admin", None, "nftables", Some("CAP_BPF, CAP_PERFMON")),
            ("-all,+net_admin,+bpf", Some(NEAR), "nftables", Some("CAP_PERFMON")),
            ("-all", Some(NEAR), "none", Some("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON")),
            ("-all", None, "none", Some("CAP_NET_ADMIN")),
        ] {
            let case = format!("{capabilities} on {interface:?}");
            let word = doctors_word(capabilities, interface);
            let why = word["why_not_better"].to_string();
            assert_eq!(word["tier"], tier, "{case}: the doctor says {word:#}");
            assert!(lacking.is_none_or(|lacking| why.contains(lacking)), "{case}: {why}");

            let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
            let interfaces: Vec<&str> = interface.into_iter().collect();
            let running = run(capabilities, &interfaces, &origin, directory.path());
            let kernel = running.status()["kernel"].clone();
            assert_eq!(kernel["tier"], tier, "{case}: {kernel:#}\n{}", log(directory.path()));
            let why = kernel["why_not_better"].as_str().unwrap_or_default();
            assert!(lacking.is_none_or(|lacking| why.contains(lacking)), "{case}: {why}");
            assert_eq!(why.is_empty(), lacking.is_none(), "{case}: {why}");
        }
    });
}

#[test]
fn on_nftables_it_says_once_what_it_does_not_do() {
    with_all_tiers(|| {
        let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
        let mut running = run("-all,+net_admin", &[NEAR], &origin, directory.path());
        let log = log(directory.path());
        assert_eq!(log.matches("Not done: rules for packets; guards against").count(), 1, "{log}");
        let status = running.status();
        let not_done = status["kernel"]["not_done"].to_string();
        for part in ["rules for packets", "guards", "samples", "networks", "lease"] {
            assert!(not_done.contains(part), "{part}: {not_done}");
        }
        let packets = status["packets"]["not_carried_out_because"].to_string();
        assert!(packets.contains("nftables") && packets.contains("CAP_BPF"), "{packets}");
        let page = text(&running.ask(&["status"]).stdout);
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "banned sources are dropped in an nftables set; 0 packets dropped; not better because",
            "not done there: rules for packets; guards against floods of SYN, UDP and ICMP, and rates per source",
            "rules and guards for packets are not carried out, because",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(nft("list tables").contains("inet floodwall"));
        running.signal("-TERM");
        assert_eq!(running.wait(), Some(0));
        assert_eq!(nft("list tables"), "", "it leaves nothing behind");
    });
}

#[test]
fn with_nothing_it_says_which_capabilities_to_give() {
    with_all_tiers(|| {
        let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
        let running = run("-all", &[NEAR], &origin, directory.path());
        let log = log(directory.path());
        assert!(log.contains("no kernel filter"), "{log}");
        for name in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"] {
            assert!(log.contains(name), "{name}: {log}");
        }
        let answer = support::get(running.address, "a.example", "/");
        assert!(answer.starts_with("HTTP/1.1 200"), "the rest works: {answer}");
    });
}

/// A name that is spelt wrong must be found at once, and not when the permission is there.
#[test]
fn an_interface_that_is_not_there_is_the_operators_to_mend_in_every_tier() {
    with_all_tiers(|| {
        for capabilities in ["-all,+bpf,+net_admin,+perfmon", "-all,+net_admin", "-all"] {
            let directory = tempfile::tempdir().expect("a directory");
            let mut command = with_capabilities(capabilities);
            command.args(["run", "--origin", "http://127.0.0.1:9", "--interface", "no-such-one"]);
            let ended = command.arg("--state-dir").arg(directory.path()).output().expect("it runs");
            let why = text(&ended.stderr);
            assert_eq!(ended.status.code(), Some(1), "{capabilities}: {why}");
            assert!(why.contains("there is no network interface `no-such-one`"), "{why}");
        }
    });
}

/// Where another program sits, `run` takes no weaker tier by itself: that is the operator's to mend,
/// and the doctor must not promise the sockets instead.
#[test]
fn where_another_program_sits_run_does_not_start_and_the_doctor_says_so() {
    with_all_tiers(|| {
        let request =
            AttachRequest { interface: Some(NEAR.to_owned()), ..AttachRequest::default() };
        let _other = KernelFilter::attach(&request).expect("it was free");
        let all = "-all,+bpf,+net_admin,+perfmon";
        let word = doctors_word(all, Some(NEAR));
        assert_eq!(word["tier"], "none", "{word:#}");
        assert!(word.to_string().contains("`floodwall run` does not start"), "{word:#}");
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = with_capabilities(all);
        command.args(["run", "--origin", "http://127.0.0.1:9", "--interface", NEAR]);
        let ended = command.arg("--state-dir").arg(directory.path()).output().expect("it runs");
        let why = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{why}");
        assert!(why.contains("another XDP program is attached to near0"), "{why}");
    });
}

/// One table, one Floodwall: the second one says whose it is and works without.
#[test]
fn the_nftables_set_of_another_floodwall_is_left_alone_and_the_doctor_says_so() {
    with_all_tiers(|| {
        let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
        let first = run("-all,+net_admin", &[], &origin, directory.path());
        assert_eq!(first.status()["kernel"]["tier"], "nftables");
        let word = doctors_word("-all,+net_admin", None);
        assert_eq!(word["tier"], "none", "{word:#}");
        assert!(word.to_string().contains("another Floodwall keeps its bans there"), "{word:#}");
        let elsewhere = tempfile::tempdir().expect("a directory");
        let second = run("-all,+net_admin", &[], &origin, elsewhere.path());
        assert_eq!(second.status()["kernel"]["tier"], "none");
        let log = log(elsewhere.path());
        assert!(log.contains("another Floodwall keeps its bans in the nftables table"), "{log}");
        drop(second);
        assert!(nft("list tables").contains("inet floodwall"), "the first one's stays");
    });
}

/// Another firewall's file that is read again takes every table along.
#[test]
fn a_table_that_somebody_else_removed_is_made_anew() {
    with_all_tiers(|| {
        let (origin, directory) = (Origin::start(), tempfile::tempdir().expect("a directory"));
        let _running = run("-all,+net_admin", &[NEAR], &origin, directory.path());
        nft("flush ruleset");
        let deadline = Instant::now() + Duration::from_secs(10);
        // It is made first and told then.
        while !log(directory.path()).contains("somebody else removed the nftables table") {
            assert!(Instant::now() < deadline, "never made anew: {}", log(directory.path()));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(nft("list tables").contains("inet floodwall"));
    });
}

/// The demo's attack, whose sources the engine bans by the thousand, on a host without BPF: the
/// bans stand in the set, and the kernel drops what the banned send.
#[test]
fn without_bpf_bans_land_in_the_nftables_set_and_drop() {
    with_all_tiers(|| {
        let mut command = with_capabilities("-all,+net_admin");
        command.args(["demo", "--fast", "--json", "--no-crowd", "--interface", "lo"]);
        let demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut demo = demo.expect("floodwall runs");
        let mut most = 0;
        while demo.try_wait().expect("a state").is_none() {
            let listing = nft("list set inet floodwall banned_v4");
            most = most.max(listing.matches("127.").count());
            std::thread::sleep(Duration::from_millis(250));
        }
        let output = demo.wait_with_output().expect("its output");
        let progress = text(&output.stderr);
        assert!(output.status.success(), "{progress}");
        let figures: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        println!("{most} sources in the set at most; {figures:#}");
        assert!(most > 1_000, "{most} sources were in the set");
        assert!(figures["banned_sources"].as_u64() > Some(1_000), "{figures:#}");
        assert!(figures["kernel_dropped_packets"].as_u64() > Some(1_000), "{figures:#}");
        assert_eq!(figures["honest_blocked"].as_f64(), Some(0.0), "{figures:#}");
        assert_eq!(nft("list tables"), "", "it leaves nothing behind");
    });
}
