//! Without capabilities the filter is refused politely, and with the three it asks for it needs
//! no fourth. Each case is this test program run again by setpriv(1) with fewer capabilities.

mod support;

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::Command;

use floodwall_xdp::{AttachError, AttachRequest, BANS_DEFAULT, KernelFilter, Tier};
use support::namespace::in_namespace;
use support::{require_bpf, skip};

/// Set in the child process.
const CHILD: &str = "FLOODWALL_XDP_TEST_CHILD";

fn in_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Attaches to `lo`, with a listener to fall back to.
fn attach() -> Result<KernelFilter, AttachError> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    KernelFilter::attach(&AttachRequest {
        interface: Some("lo".to_owned()),
        listeners: vec![listener.as_fd()],
        max_bans: BANS_DEFAULT,
        ..AttachRequest::default()
    })
}

/// Runs `test` of this program again with only `capabilities`.
fn run_with(capabilities: &'static str, test: &'static str) {
    in_namespace(move || {
        let setpriv = Command::new("setpriv")
            .arg(format!("--inh-caps={capabilities}"))
            .arg(format!("--bounding-set={capabilities}"))
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .output();
        let Ok(output) = setpriv else { return skip::skipped("setpriv is not installed") };
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{stdout}{stderr}");
        assert!(stdout.contains("1 passed"), "{stdout}{stderr}");
    });
}

#[test]
fn without_capabilities_it_says_which_are_needed() {
    if in_child() {
        let error = attach().unwrap_err();
        assert!(matches!(error, AttachError::NotPermitted { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("CAP_BPF") && text.contains("CAP_NET_ADMIN"), "{text}");
        let missing = floodwall_xdp::probe().capabilities_missing;
        assert_eq!(missing, ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]);
        assert!(text.contains("lacks CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"), "{text}");
    } else if require_bpf() {
        run_with("-all", "without_capabilities_it_says_which_are_needed");
    }
}

#[test]
fn cap_bpf_cap_net_admin_and_cap_perfmon_are_enough() {
    if in_child() {
        let filter = attach().unwrap();
        let report = filter.tier().unwrap();
        assert_eq!(report.tier, Tier::XdpGeneric, "{report}");
        assert!(floodwall_xdp::probe().capabilities_missing.is_empty());
    } else if require_bpf() {
        run_with(
            "-all,+bpf,+net_admin,+perfmon",
            "cap_bpf_cap_net_admin_and_cap_perfmon_are_enough",
        );
    }
}

#[test]
fn without_cap_net_admin_it_takes_the_socket_filter_and_says_why() {
    if in_child() {
        let filter = attach().unwrap();
        let report = filter.tier().unwrap();
        assert_eq!(report.tier, Tier::SocketFilter);
        assert!(report.why_not_better[0].contains("it needs CAP_NET_ADMIN"), "{report}");
    } else if require_bpf() {
        run_with(
            "-all,+bpf,+perfmon",
            "without_cap_net_admin_it_takes_the_socket_filter_and_says_why",
        );
    }
}

#[test]
fn without_cap_perfmon_it_says_so() {
    if in_child() {
        let error = attach().unwrap_err();
        assert!(matches!(error, AttachError::NotPermitted { .. }), "{error}");
        assert!(error.to_string().contains("lacks CAP_PERFMON"), "{error}");
    } else if require_bpf() {
        run_with("-all,+bpf,+net_admin", "without_cap_perfmon_it_says_so");
    }
}

#[test]
fn the_probe_knows_whether_this_build_has_a_filter() {
    let report = floodwall_xdp::probe();
    assert!(report.kernel.is_some_and(|(major, ..)| major >= 3), "{report:?}");
    let not_built = matches!(attach_nothing(), Err(AttachError::NotBuilt { .. }));
    assert_eq!(report.filter_built, !not_built);
}

fn attach_nothing() -> Result<KernelFilter, AttachError> {
    KernelFilter::attach(&AttachRequest {
        interface: None,
        listeners: vec![],
        max_bans: BANS_DEFAULT,
        ..AttachRequest::default()
    })
}
