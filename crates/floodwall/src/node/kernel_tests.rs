//! The ladder where the kernel itself lacks something, which no capability taken away can play; and
//! the account of a plan that the tier in force cannot hold.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use arc_swap::ArcSwap;
use floodwall_gateway::{BanBoard, GatewayConfig, Links, Listener, Origin, Site};
use floodwall_model::packet::{Guards, PacketAttr, PacketPredicate};
use floodwall_model::{CheckedPlan, Mode, RuleId, ValueKey};

use super::*;
use crate::clock::now_ms;

#[path = "../../../floodwall-xdp/tests/support/plan.rs"]
#[allow(dead_code, reason = "it serves other tests too")]
mod plan;
#[path = "../../../floodwall-xdp/tests/support/skip.rs"]
mod skip;

fn gateway() -> Gateway {
    let (observations, _batches) = sync_channel(1);
    let links = Links {
        value_key: ValueKey::new(1, 2),
        plan: Arc::new(ArcSwap::from_pointee(CheckedPlan::default())),
        bans: Arc::new(BanBoard::new()),
        observations,
        geography: None,
    };
    let addr = "127.0.0.1:0".parse().unwrap();
    let listeners = vec![Listener { addr, tls: false }];
    let origin = Origin { host: "127.0.0.1".to_owned(), port: 9 };
    let sites = vec![Site { names: Vec::new(), origin, certificate: None }];
    Gateway::start(GatewayConfig { listeners, sites, ..GatewayConfig::default() }, links).unwrap()
}

fn request(features: Option<KernelFeatures>) -> (FilterRequest, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let request = FilterRequest {
        interfaces: vec!["lo".to_owned()],
        sanity: true,
        nftables: false,
        state_file: place.path().join("note"),
        features,
    };
    (request, place)
}

/// The kernel filter on `lo` with `features`; `None` where BPF is not to be had.
fn kernel(features: KernelFeatures) -> Option<(Kernel, Gateway)> {
    let host = floodwall_xdp::probe();
    if !host.filter_built || !host.capabilities_missing.is_empty() {
        skip::skipped("the kernel filter is not built or not permitted");
        return None;
    }
    let gateway = gateway();
    let (request, _place) = request(Some(features));
    let kernel = Kernel::attach(request, Vec::new(), Services::default(), &gateway).unwrap();
    Some((kernel, gateway))
}

fn lacking() -> KernelFeatures {
    KernelFeatures { syn_cookies: false, ..KernelFeatures::ask() }
}

#[test]
fn a_kernel_without_a_helper_falls_a_tier_and_says_which_helper() {
    let Some((kernel, _gateway)) = kernel(lacking()) else { return };
    assert_eq!(kernel.tier(), Some(Tier::SocketFilter));
    assert!(!kernel.sees_packets());
    let why = kernel.why_not_better().unwrap();
    assert!(why.contains("this kernel has no bpf_tcp_raw_gen_syncookie_ipv4"), "{why}");
    let seat = &kernel.interface_tiers()[0];
    assert_eq!((seat.name.as_str(), seat.tier), ("lo", Some(Tier::SocketFilter)));
    assert!(kernel.read_batch(now_ms()).is_none(), "nothing is seen that could be judged");
}

/// What the tier in force cannot hold is in the account, rule by rule and guard by guard.
#[test]
fn a_plan_that_the_tier_cannot_hold_is_reported_as_not_carried_out() {
    let Some((kernel, _gateway)) = kernel(lacking()) else { return };
    let now_ms = now_ms();
    let ttl = |id| plan::rule(id, vec![PacketPredicate::Between(PacketAttr::Ttl, 7, 8)], now_ms);
    let guards = Guards { syn_proof: true, icmp: true, ..Guards::default() };
    let wanted = plan::plan(vec![ttl(3), ttl(5)], guards, Mode::Protect, now_ms);
    let applied = kernel.apply(&wanted, now_ms).unwrap();
    assert_eq!(applied.rules_refused, [RuleId(3), RuleId(5)]);
    assert_eq!(applied.guards, Guards::default(), "none stands");
    let refused = applied.guards_refused.join("; ");
    assert!(refused.contains("SYN proof") && refused.contains("ICMP rate"), "{refused}");

    let over = kernel.apply(&wanted, now_ms + 10 * plan::LIFE_MS).unwrap();
    assert_eq!(over.rules_refused, [], "what has ended is wanted of nobody");
    let shadow = plan::plan(vec![ttl(3)], guards, Mode::Shadow, now_ms);
    let applied = kernel.apply(&shadow, now_ms).unwrap();
    assert_eq!(applied.rules_refused, [RuleId(3)], "it is not even counted");
    assert_eq!(applied.guards_refused, Vec::<String>::new(), "shadow wants no guards to stand");
}

#[test]
fn an_interface_without_xdp_is_not_told_of_sockets_that_were_not_tried() {
    let why = vec![
        "XDP on tun0: its link layer is not Ethernet".to_owned(),
        "socket filter: no listening socket was given".to_owned(),
    ];
    let told = without_sockets(&AttachError::NoTier { why });
    assert_eq!(
        told,
        "no kernel filter can be attached: XDP on tun0: its link layer is not Ethernet"
    );
}
