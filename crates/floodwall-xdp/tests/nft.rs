//! The nftables tier against real TCP connections, in network namespaces that the tests make.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use floodwall_model::packet::PacketReason;
use floodwall_model::{CheckedBan, Reason, Source};
use floodwall_xdp::{
    AttachError, AttachRequest, BANS_DEFAULT, BANS_MAX, BanError, BestFilter, KernelFeatures,
    NFT_BATCH_MAX, NftFilter, NftState, Tier, nft_state,
};
use support::namespace::{cannot_connect, connect, in_namespace, ip, listen};
use support::{ban, skip, wall_ms};

/// Longer than any of these tests runs.
const LONG_MS: u64 = 600_000;

/// Runs `test` in a namespace of its own where nftables works; says SKIPPED elsewhere.
fn with_nftables(test: impl FnOnce() + Send + 'static) {
    in_namespace(|| match nft_state() {
        NftState::Works => test(),
        NftState::Missing => skip::skipped("nft is not installed"),
        NftState::NotPermitted => skip::skipped("nftables needs CAP_NET_ADMIN"),
        NftState::Taken => panic!("a namespace of one's own has no other Floodwall in it"),
        NftState::Refused(why) => skip::skipped(&format!("no nftables in this kernel: {why}")),
    });
}

fn request(max_bans: u32) -> AttachRequest<'static> {
    AttachRequest { max_bans, ..AttachRequest::default() }
}

fn attach(max_bans: u32) -> Result<NftFilter, AttachError> {
    NftFilter::attach(&request(max_bans), vec![])
}

fn nft(arguments: &str) -> String {
    let output = Command::new("nft").args(arguments.split_whitespace()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {arguments}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn source(text: &str) -> Source {
    Source::new(text.parse().unwrap())
}

/// As in live.rs, for the tiers that BPF makes.
fn a_bans_life(server: SocketAddr, banned: &str, neighbour: Option<&str>, free: &str) {
    let mut filter = attach(BANS_DEFAULT).unwrap();
    connect(banned, server);
    connect(free, server);
    assert_eq!(filter.counters().unwrap().dropped, 0);

    filter.ban(&ban(banned, LONG_MS), wall_ms()).unwrap();
    cannot_connect(banned, server);
    if let Some(neighbour) = neighbour {
        cannot_connect(neighbour, server);
    }
    connect(free, server);
    let dropped = filter.dropped_by(source(banned)).unwrap().unwrap();
    assert!(dropped > 0);
    let counters = filter.counters().unwrap();
    assert_eq!((counters.dropped, counters.dropped_for(Reason::SourceBanned)), (dropped, dropped));
    assert!(counters.passed > 0);
    assert_eq!(counters.packets_seen, counters.passed + counters.dropped);
    assert_eq!(counters.of(PacketReason::SourceBanned), dropped);

    // The last word counts: what is left of the ban is now two seconds, and its count stays.
    let (from, length) = (Instant::now(), Duration::from_millis(2_000));
    filter.ban(&ban(banned, length.as_millis() as u64), wall_ms()).unwrap();
    assert!(filter.dropped_by(source(banned)).unwrap().unwrap() >= dropped);
    cannot_connect(banned, server);
    assert_eq!(filter.sweep(), [], "nothing has ended yet");
    connect(banned, server);
    assert!(from.elapsed() >= length - Duration::from_millis(20), "it ended early");
    std::thread::sleep((length + Duration::from_millis(50)).saturating_sub(from.elapsed()));
    let ended = filter.sweep();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].source, source(banned).counted());
    assert!(ended[0].packets_dropped > dropped, "{ended:?}");
    assert_eq!(filter.dropped_by(source(banned)).unwrap(), None);

    filter.ban(&ban(banned, LONG_MS), wall_ms()).unwrap();
    cannot_connect(banned, server);
    assert!(filter.unban(source(banned).counted()).unwrap());
    assert!(!filter.unban(source(banned).counted()).unwrap());
    connect(banned, server);

    filter.ban(&ban(banned, LONG_MS), wall_ms()).unwrap();
    cannot_connect(banned, server);
    drop(filter);
    connect(banned, server);
    assert_eq!(nft("list tables"), "");
}

#[test]
fn a_ban_lives_and_ends_over_ipv4() {
    with_nftables(|| {
        let (_listener, server) = listen("127.0.0.1");
        a_bans_life(server, "127.7.7.7", None, "127.8.8.8");
    });
}

#[test]
fn a_ban_lives_and_ends_over_ipv6_for_the_whole_64() {
    with_nftables(|| {
        for address in ["fd00:1::1", "fd00:1::2", "fd00:2::1", "fd00:9::1"] {
            ip(&format!("address add {address}/64 dev lo nodad"));
        }
        let (_listener, server) = listen("fd00:9::1");
        a_bans_life(server, "fd00:1::1", Some("fd00:1::2"), "fd00:2::1");
    });
}

/// Tables of others stay as they are to the last byte, also one of the same name in another family.
#[test]
fn tables_that_are_not_ours_are_not_touched() {
    with_nftables(|| {
        nft("add table ip floodwall");
        nft("add set ip floodwall banned_v4 { type ipv4_addr; }");
        nft("add element ip floodwall banned_v4 { 192.0.2.1 }");
        nft("add table inet firewall");
        nft(
            "add chain inet firewall input { type filter hook input priority 0 ; policy accept ; }",
        );
        let before = nft("list ruleset");
        let mut filter = attach(9).unwrap();
        filter.ban(&ban("127.7.7.7", LONG_MS), wall_ms()).unwrap();
        assert_ne!(nft("list ruleset"), before);
        drop(filter);
        assert_eq!(nft("list ruleset"), before);
    });
}

/// Names the part that the child process plays in the test below.
const CHILD: &str = "FLOODWALL_NFT_TEST_CHILD";

#[test]
fn what_a_killed_process_left_behind_is_taken_over_empty() {
    if std::env::var_os(CHILD).is_some() {
        let mut filter = attach(9).unwrap();
        filter.ban(&ban("127.7.7.7", LONG_MS), wall_ms()).unwrap();
        // Past the test harness's capture.
        std::io::Write::write_all(&mut std::io::stdout(), b"\nin force\n").unwrap();
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    with_nftables(|| {
        let (_listener, server) = listen("127.0.0.1");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_a_killed_process_left_behind_is_taken_over_empty"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let in_force = std::io::BufRead::lines(stdout).any(|line| line.unwrap() == "in force");
        assert!(in_force, "the child ended before: {:?}", child.wait());
        cannot_connect("127.7.7.7", server);
        // While it lives, its table is its own.
        assert!(matches!(attach(9), Err(AttachError::TableTaken)));
        cannot_connect("127.7.7.7", server);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(nft("list tables").contains("inet floodwall"), "this tier outlives kill -9");
        let filter = attach(9).expect("the table is free again");
        connect("127.7.7.7", server);
        assert_eq!(filter.counters().unwrap().bans_held, 0);
        drop(filter);
        assert_eq!(nft("list tables"), "");
    });
}

#[test]
fn when_full_nothing_is_evicted_and_every_refusal_is_counted() {
    with_nftables(|| {
        let mut filter = attach(2).unwrap();
        let now_ms = wall_ms();
        let bans: Vec<CheckedBan> =
            ["203.0.113.1", "203.0.113.2", "203.0.113.2", "203.0.113.3", "2001:db8::1"]
                .map(|text| ban(text, LONG_MS))
                .into();
        let results = filter.ban_all(&bans, now_ms);
        let full: Vec<bool> =
            results.iter().map(|r| matches!(r, Err(BanError::Full { max: 2 }))).collect();
        assert_eq!(full, [false, false, false, true, false], "{results:?}");
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 4);
        let over = filter.ban(&ban("203.0.113.1", 1_000), now_ms + LONG_MS);
        assert!(matches!(over, Err(BanError::Over)), "{over:?}");
        filter.ban(&ban("203.0.113.1", LONG_MS), now_ms).expect("what is there can be renewed");
        let counters = filter.counters().unwrap();
        assert_eq!((counters.bans_held, counters.bans_refused.full), (3, 1));
        assert_eq!(counters.bans_refused.over, 1);
        let listing = nft("list set inet floodwall banned_v4");
        assert!(listing.contains("203.0.113.1") && listing.contains("203.0.113.2"), "{listing}");
        assert!(!listing.contains("203.0.113.3"), "{listing}");
    });
}

/// The kernel holds an ended element until its collector comes by. The first version gave the set
/// exactly as many places as there may be bans, and a new ban in that second was refused with
/// "Too many open files in system".
#[test]
fn an_ended_ban_makes_room_and_is_still_told_of() {
    with_nftables(|| {
        let mut filter = attach(1).unwrap();
        filter.ban(&ban("203.0.113.1", 40), wall_ms()).unwrap();
        std::thread::sleep(Duration::from_millis(60));
        filter.ban(&ban("203.0.113.2", LONG_MS), wall_ms()).unwrap();
        let ended: Vec<String> = filter.sweep().iter().map(|e| e.source.to_string()).collect();
        assert_eq!(ended.len(), 1);
        assert!(ended[0].starts_with("203.0.113.1"), "{ended:?}");
    });
}

#[test]
fn the_allow_list_stands_above_bans() {
    with_nftables(|| {
        let (_listener, server) = listen("127.0.0.1");
        let mut filter = attach(9).unwrap();
        filter.ban(&ban("127.7.7.7", LONG_MS), wall_ms()).unwrap();
        cannot_connect("127.7.7.7", server);
        filter.allow("127.7.0.0/16".parse().unwrap()).unwrap();
        connect("127.7.7.7", server);
        let refused = filter.ban(&ban("127.7.7.7", LONG_MS), wall_ms());
        assert!(matches!(refused, Err(BanError::Allowed { .. })), "{refused:?}");
        assert_eq!(filter.counters().unwrap().bans_refused.allowed, 1);
        assert!(filter.disallow("127.7.0.0/16".parse().unwrap()));
        filter.ban(&ban("127.7.7.7", LONG_MS), wall_ms()).unwrap();
        cannot_connect("127.7.7.7", server);
    });
}

#[test]
fn thousands_of_bans_at_once_are_a_few_transactions() {
    with_nftables(|| {
        let count = 3 * NFT_BATCH_MAX as u32 + 5;
        let address = |n: u32| {
            let v4 = std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
            if n.is_multiple_of(2) { v4 } else { format!("2001:db8:{n:x}::1") }
        };
        let bans: Vec<CheckedBan> = (1..=count).map(|n| ban(&address(n), LONG_MS)).collect();
        let mut filter = attach(BANS_DEFAULT).unwrap();
        let began = Instant::now();
        assert!(filter.ban_all(&bans, wall_ms()).iter().all(Result::is_ok));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(filter.counters().unwrap().bans_held, u64::from(count));
        assert_eq!(filter.dropped_by(source(&address(count))).unwrap(), Some(0));
        // Renewing asks what each has dropped before.
        assert!(filter.ban_all(&bans, wall_ms()).iter().all(Result::is_ok));
        assert_eq!(nft("list set inet floodwall banned_v4").matches("10.0.").count(), 1_538);
    });
}

#[test]
fn a_table_that_is_gone_is_the_kernels_refusal_and_counted() {
    with_nftables(|| {
        let mut filter = attach(9).unwrap();
        nft("delete table inet floodwall");
        let refused = filter.ban(&ban("203.0.113.1", LONG_MS), wall_ms());
        assert!(matches!(refused, Err(BanError::Kernel(_))), "{refused:?}");
        assert!(filter.counters().is_err());
        assert!(!filter.unban(source("203.0.113.1").counted()).unwrap(), "it never stood");
    });
}

#[test]
fn the_report_says_why_not_better_and_what_it_cannot() {
    with_nftables(|| {
        let why = "this kernel has no BPF".to_owned();
        let filter = NftFilter::attach(&request(9), vec![why]).unwrap();
        let report = filter.report().to_string();
        for part in ["this kernel has no BPF", "rules", "guards", "samples", "lease"] {
            assert!(report.contains(part), "{part}: {report}");
        }
        for asked in [0, BANS_MAX + 1] {
            let error = attach(asked).unwrap_err();
            assert!(matches!(error, AttachError::TooManyBans { .. }), "{error}");
        }
    });
}

/// What fails first is real: this process has CAP_NET_ADMIN, but neither CAP_BPF nor CAP_PERFMON.
#[test]
fn without_bpf_the_best_filter_is_the_nftables_set() {
    if std::env::var_os(CHILD).is_some() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let listeners = vec![std::os::fd::AsFd::as_fd(&listener)];
        let request = AttachRequest { listeners, ..AttachRequest::default() };
        let mut filter = BestFilter::attach(&request).unwrap();
        assert_eq!(filter.tier(), Some(Tier::Nftables));
        assert!(filter.bpf().is_none());
        let why = filter.why_not_better().join("; ");
        assert!(why.contains("CAP_BPF") || why.contains("no kernel filter"), "{why}");
        filter.ban(&ban("127.7.7.7", LONG_MS), wall_ms()).unwrap();
        cannot_connect("127.7.7.7", server);
        connect("127.8.8.8", server);
        return;
    }
    with_nftables(|| {
        let output = Command::new("setpriv")
            .args(["--inh-caps=-all,+net_admin", "--bounding-set=-all,+net_admin"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "without_bpf_the_best_filter_is_the_nftables_set", "--nocapture"])
            .env(CHILD, "1")
            .output();
        let Ok(output) = output else { return skip::skipped("setpriv is not installed") };
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
    });
}

/// A kernel that lacks a function of the program: it falls a tier and says which one is lacking.
#[test]
fn without_a_helper_it_falls_to_the_nftables_set_and_says_so() {
    with_nftables(|| {
        if !support::require_bpf() {
            return;
        }
        let features = KernelFeatures { syn_cookies: false, ..KernelFeatures::ask() };
        let request = AttachRequest {
            interface: Some("lo".to_owned()),
            features: Some(features),
            ..AttachRequest::default()
        };
        let filter = BestFilter::attach(&request).unwrap();
        assert_eq!(filter.tier(), Some(Tier::Nftables));
        let why = filter.why_not_better().join("; ");
        assert!(why.contains("this kernel has no bpf_tcp_raw_gen_syncookie_ipv4"), "{why}");
        assert!(why.contains("no listening socket"), "{why}");
    });
}

/// `nft flush ruleset` is the first line of many a firewall's file.
#[test]
fn a_table_that_is_gone_is_made_anew_and_empty() {
    with_nftables(|| {
        let (_listener, server) = listen("127.0.0.1");
        let mut filter = attach(9).unwrap();
        filter.ban(&ban("127.7.7.7", LONG_MS), wall_ms()).unwrap();
        nft("flush ruleset");
        connect("127.7.7.7", server);
        filter.remake().unwrap();
        assert_eq!(filter.counters().unwrap().bans_held, 0);
        filter.ban(&ban("127.7.7.7", LONG_MS), wall_ms()).unwrap();
        cannot_connect("127.7.7.7", server);
        let keys = [source("127.7.7.7").counted(), source("127.9.9.9").counted()];
        filter.unban_all(&keys).unwrap();
        connect("127.7.7.7", server);
    });
}

/// A name that is spelt wrong is told before anything that permission or BPF lacks.
#[test]
fn an_interface_that_is_not_there_is_no_reason_to_fall_back() {
    with_nftables(|| {
        let request =
            AttachRequest { interface: Some("nosuch".to_owned()), ..AttachRequest::default() };
        let error = BestFilter::attach(&request).unwrap_err();
        assert!(matches!(error, AttachError::InterfaceUnknown { .. }), "{error}");
    });
}
