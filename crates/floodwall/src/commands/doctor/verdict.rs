//! What follows from the facts: the tier per interface and why not a better one, what to do next,
//! and the ceiling. Pure; it must never promise what was not tried.

use floodwall_console::status::KernelTier as Tier;
use serde::Serialize;

use super::facts::{Costs, Facts, Helper, Interface, Native, Running};

/// Bits that a packet of 64 bytes takes on an Ethernet line: with preamble and gap 84 bytes (IEEE
/// 802.3 clauses 3 and 4). As people count it, without them: 64.
const SHORTEST_FRAME_BITS: u64 = 64 * 8;

/// The conclusions.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Verdict {
    /// At least one tier works.
    pub(super) works: bool,
    /// Per interface, in the order of the facts.
    pub(super) interfaces: Vec<Expected>,
    /// Where no interface is given to `floodwall run`.
    pub(super) without_interface: Expected,
    /// SYNs can be answered with cookies.
    pub(super) syn_cookies: bool,
    /// What one core can do at most; none without figures.
    pub(super) ceiling: Option<Ceiling>,
    /// What to do, most important first.
    pub(super) next_steps: Vec<String>,
}

/// The tier to expect.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Expected {
    pub(super) interface: Option<String>,
    pub(super) tier: Tier,
    pub(super) why_not_better: Vec<String>,
    /// What becomes of the SYN proof there; none where no guard stands anyway.
    pub(super) syn_proof: Option<String>,
}

/// What one core can look at, if it did nothing else.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Ceiling {
    /// On the slowest path that was measured.
    pub(super) slowest_ns: u64,
    pub(super) packets_per_s: u64,
    /// At 64 bytes a packet.
    pub(super) mbit_per_s: u64,
    pub(super) banned_packets_per_s: u64,
}

pub(super) fn judge(facts: &Facts) -> Verdict {
    let interfaces: Vec<Expected> = facts.interfaces.iter().map(|i| expected(facts, i)).collect();
    let no_interface =
        vec!["no XDP: no interface is named, so there is nothing to sit on".to_owned()];
    let without_interface = below_xdp(facts, None, no_interface);
    let works = without_interface.tier != Tier::None
        || interfaces.iter().any(|expected| expected.tier != Tier::None);
    Verdict {
        works,
        syn_cookies: makes_cookies(facts),
        ceiling: facts.costs.map(ceiling),
        next_steps: next_steps(facts),
        interfaces,
        without_interface,
    }
}

fn expected(facts: &Facts, interface: &Interface) -> Expected {
    let name = Some(interface.name.clone());
    if let Some(tier) = on_it(facts.running.as_ref(), &interface.name) {
        let syn_proof = Some(syn_proof(facts, interface, tier).to_owned());
        return Expected { interface: name, tier, why_not_better: vec![], syn_proof };
    }
    if interface.xdp_attached == Some(true) {
        // As `floodwall run` has it: this is the operator's to mend, so it takes no weaker tier.
        let why = "another XDP program sits there already, and nothing is ever replaced: \
                   `floodwall run` does not start with this interface until it is gone";
        return Expected {
            interface: name,
            tier: Tier::None,
            why_not_better: vec![why.to_owned()],
            syn_proof: None,
        };
    }
    if let Some(why) = no_xdp(facts, interface) {
        return below_xdp(facts, name, vec![format!("no XDP: {why}")]);
    }
    let native = |why: &str| vec![format!("no native XDP: {why}")];
    let (tier, why_not_better) = match interface.native_xdp {
        Native::Yes => (Tier::XdpNative, vec![]),
        Native::No => (Tier::XdpGeneric, native("the driver of this interface cannot")),
        Native::Unknown => (
            Tier::XdpGeneric,
            native(
                "whether the driver can is not known before it is tried, and trying could \
                 interrupt the network. `floodwall run` tries it",
            ),
        ),
    };
    let syn_proof = Some(syn_proof(facts, interface, tier).to_owned());
    Expected { interface: name, tier, why_not_better, syn_proof }
}

fn makes_cookies(facts: &Facts) -> bool {
    // The kernel took the program with the functions that make them. What one costs is measured
    // only where a network of one's own may be entered, which says nothing about `run`.
    let lacks = |helper: &Helper| helper.name.contains("gen_syncookie") && !helper.there;
    facts.xdp_program.works() && !facts.helpers.iter().flatten().any(lacks)
}

/// Before it a TC program would stay behind after a crash.
const SECOND_WAY_SINCE: (u8, u8) = (6, 6);

/// A driver may lose what XDP sends back: veth does while its other end has neither an XDP program
/// nor GRO, which nothing on this side can tell.
fn syn_proof(facts: &Facts, interface: &Interface, tier: Tier) -> &'static str {
    let has_second_way = facts.kernel_version.is_none_or(|version| version >= SECOND_WAY_SINCE);
    if !makes_cookies(facts) {
        "SYN proof: does not work, no cookie can be made"
    } else if tier == Tier::XdpGeneric {
        "SYN proof: works, its answers leave through the stack"
    } else if !interface.counts_lost_answers {
        "SYN proof: works if the driver sends its answers. This driver does not count those that \
         are lost, so a loss would not be noticed"
    } else if has_second_way {
        "SYN proof: works, and the driver is asked whether it sends its answers. If they are lost \
         they leave through the stack, at a higher cost"
    } else {
        "SYN proof: works if the driver sends its answers, and it is asked. If they are lost the \
         guard comes down and the kernel's own SYN cookies answer; Linux 6.6 or later has another \
         way for them"
    }
}

fn no_xdp(facts: &Facts, interface: &Interface) -> Option<String> {
    if !interface.ethernet {
        return Some("this interface does not carry Ethernet frames".to_owned());
    }
    if facts.kernel_version.is_some_and(|version| version < (5, 9)) {
        return Some("before Linux 5.9 it would stay behind after a crash".to_owned());
    }
    facts.xdp_program.why_not().map(str::to_owned)
}

/// The XDP tier in which a Floodwall that runs sits on `interface`.
pub(super) fn on_it(running: Option<&Running>, interface: &str) -> Option<Tier> {
    let mut there = running?.interfaces.iter().filter(|(name, _)| name == interface);
    there.find_map(|(_, tier)| matches!(tier, Tier::XdpNative | Tier::XdpGeneric).then_some(*tier))
}

fn below_xdp(facts: &Facts, interface: Option<String>, mut why: Vec<String>) -> Expected {
    let mut tier = Tier::None;
    for (name, candidate, trial) in [
        ("filter on the listening socket", Tier::SocketFilter, &facts.socket_filter),
        ("nftables", Tier::Nftables, &facts.nftables),
    ] {
        match trial.why_not() {
            None => {
                tier = candidate;
                break;
            }
            Some(reason) => why.push(format!("no {name}: {reason}")),
        }
    }
    Expected { interface, tier, why_not_better: why, syn_proof: None }
}

fn ceiling(costs: Costs) -> Ceiling {
    let measured = [costs.pass_ns, costs.banned_ns, costs.rules_64_miss_ns];
    let slowest_ns = measured.into_iter().chain(costs.syn_cookie_ns).max().unwrap_or(0).max(1);
    let packets_per_s = 1_000_000_000 / slowest_ns;
    Ceiling {
        slowest_ns,
        packets_per_s,
        mbit_per_s: packets_per_s * SHORTEST_FRAME_BITS / 1_000_000,
        banned_packets_per_s: 1_000_000_000 / costs.banned_ns.max(1),
    }
}

/// Open connections that a site under attack should be able to hold.
const OPEN_FILES_WANTED: u64 = 65_536;

fn next_steps(facts: &Facts) -> Vec<String> {
    let mut steps = Vec::new();
    if !facts.filter_built {
        steps.push(
            "Install clang, libbpf-dev and linux-libc-dev, then build Floodwall again: this build \
             has no kernel filter in it."
                .to_owned(),
        );
    }
    if !facts.capabilities_missing.is_empty() {
        steps.push(format!(
            "Run this as root, or give the process {}. Only then can Floodwall work in the kernel, \
             and only then can this page say what works.",
            facts.capabilities_missing.join(", ")
        ));
    }
    let missing: Vec<&str> = facts
        .helpers
        .iter()
        .flatten()
        .filter(|helper| !helper.there)
        .map(|helper| helper.since_linux.as_str())
        .collect();
    if let Some(newest) = missing.iter().max_by_key(|version| version_number(version)) {
        steps.push(format!(
            "Take a newer kernel, Linux {newest} or later, for XDP. Debian 12 has 6.1."
        ));
    }
    if facts.jit == Some(false) {
        steps.push(
            "Switch the kernel's BPF compiler on: `sysctl net.core.bpf_jit_enable=1`. Without it \
             each packet costs several times as much."
                .to_owned(),
        );
    }
    for interface in &facts.interfaces {
        if interface.xdp_attached == Some(true)
            && on_it(facts.running.as_ref(), &interface.name).is_none()
        {
            let name = &interface.name;
            steps.push(format!(
                "Find out which XDP program sits on {name}: `ip link show dev {name}`. Floodwall \
                 can sit there only when it is gone."
            ));
        }
    }
    if facts.nftables.why_not().is_some_and(|why| why.contains("not installed"))
        && !facts.socket_filter.works()
    {
        steps.push(
            "Install the package nftables: banned sources can then be dropped without BPF."
                .to_owned(),
        );
    }
    if let Some(super::facts::Limit::Max(files)) = facts.open_files_max
        && files < OPEN_FILES_WANTED
    {
        steps.push(format!(
            "Raise the limit of open files ({files} now) before a real attack: `ulimit -n \
             {OPEN_FILES_WANTED}`, or LimitNOFILE={OPEN_FILES_WANTED} in the service's file."
        ));
    }
    steps
}

fn version_number(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}
