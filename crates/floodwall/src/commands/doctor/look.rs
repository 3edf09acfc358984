//! Looks at the host. What cannot be looked at says why; nothing here ends the program.
//!
//! Trials: programs are loaded and run on made-up packets, a filter is put on a socket of our own,
//! nft is asked with `--check`. Nothing is attached to an interface.

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use floodwall_console::control::{Request, Response, ask};
use floodwall_console::status::KernelTier;
use floodwall_xdp::{
    AttachError, AttachRequest, DryRun, HostReport, KernelFeatures, KernelFilter, LinkFacts,
    NativeXdp, NftState, link, links, measure, nft_state, probe,
};

use super::facts::{Costs, Facts, Helper, Interface, Limit, Native, Running, Trial};
use super::geography::AddressDatabases;
use crate::clock::now_ms;
use crate::geography::GeographyConfig;
use crate::paths;

/// Looks at `interface`, or at every one that is up and has an address. The error is for whoever
/// typed its name.
pub(super) fn look(interface: Option<&str>, geography: &GeographyConfig) -> Result<Facts, String> {
    let interfaces = interfaces(interface)?;
    let host = probe();
    let (xdp_program, costs) = xdp(&host);
    Ok(Facts {
        kernel: read_word("/proc/sys/kernel/osrelease"),
        kernel_version: host.kernel.map(|(major, minor, _)| (major, minor)),
        capabilities_missing: host.capabilities_missing.iter().map(|&c| c.to_owned()).collect(),
        filter_built: host.filter_built,
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        jit: host.jit,
        helpers: helpers(&host),
        egress: egress(&xdp_program),
        xdp_program,
        socket_filter: socket_filter(&host),
        nftables: nftables(),
        tcp_syncookies: read_word("/proc/sys/net/ipv4/tcp_syncookies").and_then(|w| w.parse().ok()),
        open_files_max: limit("Max open files"),
        locked_memory_max: limit("Max locked memory"),
        running: running(),
        interfaces,
        costs,
        address_databases: AddressDatabases::look(geography, now_ms()),
    })
}

fn interfaces(named: Option<&str>) -> Result<Vec<Interface>, String> {
    let all = links().unwrap_or_default();
    let Some(name) = named else {
        return Ok(all.iter().filter_map(|name| link(name).ok()).map(interface).collect());
    };
    link(name).map(|facts| vec![interface(facts)]).map_err(|error| {
        let has = if all.is_empty() { "none but lo".to_owned() } else { all.join(", ") };
        match error.raw_os_error() {
            Some(libc::ENODEV) => format!("there is no network interface `{name}`. Up here: {has}"),
            _ => format!("the network interface `{name}` cannot be looked at: {error}"),
        }
    })
}

fn interface(facts: LinkFacts) -> Interface {
    Interface {
        name: facts.name,
        up: facts.up,
        ethernet: facts.ethernet,
        driver: facts.driver,
        native_xdp: match facts.native_xdp {
            NativeXdp::Yes => Native::Yes,
            NativeXdp::No => Native::No,
            NativeXdp::Unknown => Native::Unknown,
        },
        counts_lost_answers: facts.counts_lost_answers,
        xdp_attached: facts.xdp_attached,
    }
}

/// Why BPF cannot be tried at all. CAP_NET_ADMIN is wanted by XDP alone.
fn no_bpf(host: &HostReport, net_admin: bool) -> Option<String> {
    let mut missing = host.capabilities_missing.clone();
    missing.retain(|name| net_admin || *name != "CAP_NET_ADMIN");
    if !host.filter_built {
        Some("this build of Floodwall has no kernel filter in it".to_owned())
    } else if missing.is_empty() {
        None
    } else {
        Some(format!("this process lacks {}", missing.join(", ")))
    }
}

/// Loads the program and runs it on made-up packets.
fn xdp(host: &HostReport) -> (Trial, Option<Costs>) {
    if let Some(why) = no_bpf(host, true) {
        return (not_tried(host, why), None);
    }
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    match measure() {
        Ok(costs) => {
            let costs = Costs {
                pass_ns: ns(costs.pass),
                banned_ns: ns(costs.banned),
                rules_64_miss_ns: ns(costs.rules_64_miss),
                syn_cookie_ns: costs.syn_cookie.map(ns),
            };
            (Trial::Works, Some(costs))
        }
        Err(error) => (Trial::Fails(error.to_string()), None),
    }
}

/// What this build does not have is no question of trying.
fn not_tried(host: &HostReport, why: String) -> Trial {
    if host.filter_built { Trial::NotTried(why) } else { Trial::Fails(why) }
}

fn helpers(host: &HostReport) -> Option<Vec<Helper>> {
    if host.capabilities_missing.iter().any(|name| *name != "CAP_NET_ADMIN") {
        return None;
    }
    let features = KernelFeatures::ask();
    let helper = |name: &str, since: &str, there| Helper {
        name: name.to_owned(),
        since_linux: since.to_owned(),
        there,
    };
    Some(vec![
        helper("bpf_jiffies64", "5.6", features.jiffies),
        helper("bpf_skc_lookup_tcp", "5.2", features.socket_lookup),
        helper("bpf_tcp_raw_gen_syncookie_ipv4", "6.0", features.syn_cookies),
        helper("bpf_xdp_get_buff_len", "5.18", features.several_buffers),
    ])
}

fn egress(xdp: &Trial) -> Trial {
    if let Some(why) = xdp.why_not() {
        return Trial::NotTried(format!("it comes with XDP: {why}"));
    }
    let request = AttachRequest { max_bans: 1, ..AttachRequest::default() };
    // Any frame will do: the kernel's word is wanted, not the program's.
    let run = DryRun::with(&request).and_then(|mut run| run.egress(&[0; 60]));
    run.map_or_else(|error| Trial::Fails(error.to_string()), |()| Trial::Works)
}

/// On a socket of our own that nobody connects to.
fn socket_filter(host: &HostReport) -> Trial {
    if let Some(why) = no_bpf(host, false) {
        return not_tried(host, why);
    }
    let listener = match TcpListener::bind("127.0.0.1:0") {
        Ok(listener) => listener,
        Err(error) => return Trial::NotTried(format!("no socket to try it on: {error}")),
    };
    let request = AttachRequest {
        listeners: vec![listener.as_fd()],
        max_bans: 1,
        ..AttachRequest::default()
    };
    match KernelFilter::attach(&request) {
        Ok(_) => Trial::Works,
        Err(AttachError::NoTier { why }) => Trial::Fails(why.join("; ")),
        Err(error) => Trial::Fails(error.to_string()),
    }
}

fn nftables() -> Trial {
    match nft_state() {
        NftState::Works => Trial::Works,
        NftState::Missing => Trial::Fails("the program `nft` is not installed".to_owned()),
        NftState::NotPermitted => {
            Trial::NotTried("`nft` is there, but this process lacks CAP_NET_ADMIN".to_owned())
        }
        NftState::Taken => Trial::Fails("another Floodwall keeps its bans there now".to_owned()),
        NftState::Refused(why) => Trial::Fails(format!("the kernel does not take it: {why}")),
    }
}

/// The soft limit in proc_pid_limits(5).
fn limit(name: &str) -> Option<Limit> {
    parse_limit(&fs::read_to_string("/proc/self/limits").ok()?, name)
}

fn parse_limit(limits: &str, name: &str) -> Option<Limit> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(Limit::Unlimited),
        number => number.parse().ok().map(Limit::Max),
    }
}

/// A Floodwall at the usual place; none if none answers.
fn running() -> Option<Running> {
    let Ok(Response::Status { status }) = ask(&paths::control_socket_default(), &Request::Status)
    else {
        return None;
    };
    let kernel = status.kernel;
    let mut interfaces: Vec<(String, KernelTier)> =
        kernel.interfaces.into_iter().map(|found| (found.name, found.tier)).collect();
    if interfaces.is_empty() {
        interfaces.extend(kernel.interface.clone().map(|name| (name, kernel.tier)));
    }
    Some(Running {
        tier: kernel.tier,
        interface: kernel.interface,
        interfaces,
        not_done: kernel.not_done,
        why_not_better: kernel.why_not_better,
    })
}

fn read_word(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_their_names() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 1048576              files\n\
                      Max locked memory         unlimited            unlimited            bytes\n";
        assert_eq!(parse_limit(limits, "Max open files"), Some(Limit::Max(1_024)));
        assert_eq!(parse_limit(limits, "Max locked memory"), Some(Limit::Unlimited));
        assert_eq!(parse_limit(limits, "Max nothing"), None);
        assert!(limit("Max open files").is_some(), "this process has limits");
    }
}
