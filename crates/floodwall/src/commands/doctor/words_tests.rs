//! The page and what it rests on, for hosts that nobody here has.
//!
//! FLOODWALL_BLESS=1 writes the golden pages anew; read them aloud before keeping them.

use super::super::facts::{Costs, Helper, Native, Running};
use super::super::geography::{AddressDatabase, AddressDatabases};
use super::super::verdict::judge;
use super::*;

fn interface(name: &str) -> Interface {
    Interface {
        name: name.to_owned(),
        up: true,
        ethernet: true,
        driver: Some("ixgbe".to_owned()),
        native_xdp: Native::Yes,
        counts_lost_answers: false,
        xdp_attached: Some(false),
    }
}

/// A host where everything works.
fn able() -> Facts {
    let helper = |name: &str, since: &str| Helper {
        name: name.to_owned(),
        since_linux: since.to_owned(),
        there: true,
    };
    Facts {
        kernel: Some("6.12.5".to_owned()),
        kernel_version: Some((6, 12)),
        capabilities_missing: vec![],
        filter_built: true,
        btf: true,
        jit: Some(true),
        helpers: Some(vec![
            helper("bpf_jiffies64", "5.6"),
            helper("bpf_tcp_raw_gen_syncookie_ipv4", "6.0"),
            helper("bpf_xdp_get_buff_len", "5.18"),
        ]),
        xdp_program: Trial::Works,
        egress: Trial::Works,
        socket_filter: Trial::Works,
        nftables: Trial::Works,
        tcp_syncookies: Some(1),
        open_files_max: Some(Limit::Max(1_048_576)),
        locked_memory_max: Some(Limit::Unlimited),
        running: None,
        interfaces: vec![interface("eth0")],
        costs: Some(Costs {
            pass_ns: 30,
            banned_ns: 20,
            rules_64_miss_ns: 50,
            syn_cookie_ns: Some(60),
        }),
        address_databases: AddressDatabases {
            read: vec![AddressDatabase {
                path: "/usr/share/GeoIP/countries.mmdb".to_owned(),
                kind: "Countries".to_owned(),
                holds: vec!["countries".to_owned()],
                made: "2026-08-01 00:00:00 UTC".to_owned(),
                age_days: 114,
            }],
            broken: vec![],
        },
    }
}

/// The same host seen by somebody who may not do anything.
fn nobody() -> Facts {
    let lacks = |what: &str| Trial::NotTried(format!("this process lacks {what}"));
    Facts {
        capabilities_missing: ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"].map(str::to_owned).into(),
        helpers: None,
        xdp_program: lacks("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"),
        egress: Trial::NotTried("it comes with XDP".to_owned()),
        socket_filter: lacks("CAP_BPF, CAP_PERFMON"),
        nftables: Trial::NotTried(
            "`nft` is there, but this process lacks CAP_NET_ADMIN".to_owned(),
        ),
        open_files_max: Some(Limit::Max(1_024)),
        locked_memory_max: Some(Limit::Max(8_388_608)),
        costs: None,
        address_databases: AddressDatabases::default(),
        ..able()
    }
}

fn golden(name: &str, facts: &Facts) {
    let page = text(facts, &judge(facts));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/commands/doctor/golden")
        .join(name);
    if std::env::var_os("FLOODWALL_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(page == expected, "{} differs; the page is now:\n{page}", path.display());
    assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "a line is too long:\n{page}");
}

#[test]
fn the_page_of_a_host_where_everything_works() {
    golden("able.txt", &able());
}

#[test]
fn the_page_that_nobody_gets() {
    golden("nobody.txt", &nobody());
}

#[test]
fn the_tier_is_the_best_that_works_and_says_why_not_better() {
    let fails = |why: &str| Trial::Fails(why.to_owned());
    let no_bpf = || Facts {
        xdp_program: fails("no clang"),
        socket_filter: fails("no clang"),
        costs: None,
        ..able()
    };
    let with = |change: &dyn Fn(&mut Interface)| {
        let mut eth0 = interface("eth0");
        change(&mut eth0);
        Facts { interfaces: vec![eth0], ..able() }
    };
    for (description, facts, tier, why) in [
        ("everything works", able(), Tier::XdpNative, None),
        (
            "the driver cannot",
            with(&|i| i.native_xdp = Native::No),
            Tier::XdpGeneric,
            Some("the driver of this interface cannot"),
        ),
        (
            "the driver cannot be asked",
            with(&|i| i.native_xdp = Native::Unknown),
            Tier::XdpGeneric,
            Some("not known before it is tried"),
        ),
        (
            "another program sits there",
            with(&|i| i.xdp_attached = Some(true)),
            Tier::None,
            Some("does not start with this interface"),
        ),
        (
            "a tunnel",
            with(&|i| i.ethernet = false),
            Tier::SocketFilter,
            Some("does not carry Ethernet"),
        ),
        (
            "an old kernel",
            Facts { kernel_version: Some((5, 8)), ..able() },
            Tier::SocketFilter,
            Some("before Linux 5.9"),
        ),
        ("no BPF", no_bpf(), Tier::Nftables, Some("no clang")),
        (
            "nothing",
            Facts { nftables: fails("the program `nft` is not installed"), ..no_bpf() },
            Tier::None,
            Some("not installed"),
        ),
    ] {
        let verdict = judge(&facts);
        let expected = &verdict.interfaces[0];
        assert_eq!(expected.tier, tier, "{description}");
        let reasons = expected.why_not_better.join("; ");
        match why {
            Some(why) => assert!(reasons.contains(why), "{description}: {reasons}"),
            None => assert_eq!(reasons, "", "{description}"),
        }
        let elsewhere = verdict.without_interface.tier;
        let works = tier != Tier::None || elsewhere != Tier::None;
        assert_eq!(verdict.works, works, "{description}");
    }
}

/// A native driver may lose what XDP sends back, and nobody sees it but those who cannot connect.
#[test]
fn what_becomes_of_the_syn_proofs_answers_is_said_per_interface() {
    let veth = || Facts {
        interfaces: vec![Interface { counts_lost_answers: true, ..interface("eth0") }],
        ..able()
    };
    let generic = || Facts {
        interfaces: vec![Interface { native_xdp: Native::No, ..interface("eth0") }],
        ..able()
    };
    let no_cookies = |mut facts: Facts| {
        for helper in facts.helpers.iter_mut().flatten() {
            helper.there &= !helper.name.contains("syncookie");
        }
        facts
    };
    for (description, facts, says) in [
        ("a driver that counts", veth(), Some("If they are lost they leave through the stack")),
        (
            "and a kernel without another way",
            Facts { kernel_version: Some((6, 1)), ..veth() },
            Some("If they are lost the guard comes down"),
        ),
        ("a driver that does not count", able(), Some("a loss would not be noticed")),
        ("generic XDP", generic(), Some("works, its answers leave through the stack")),
        ("no cookies", no_cookies(veth()), Some("does not work")),
        ("no XDP", nobody(), None),
    ] {
        let proof = judge(&facts).interfaces[0].syn_proof.clone();
        match says {
            Some(says) => {
                let proof = proof.unwrap_or_default();
                assert!(proof.contains(says), "{description}: {proof}");
                let page = text(&facts, &judge(&facts));
                let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(page.contains(&proof), "{description}: {proof}");
            }
            None => assert_eq!(proof, None, "{description}"),
        }
    }
}

#[test]
fn each_thing_that_is_missing_has_a_next_step() {
    let mut old = able();
    old.helpers.as_mut().unwrap()[1].there = false;
    let mut taken = able();
    taken.interfaces[0].xdp_attached = Some(true);
    let not_installed = Facts {
        nftables: Trial::Fails("the program `nft` is not installed".to_owned()),
        socket_filter: Trial::Fails("no".to_owned()),
        ..able()
    };
    for (facts, step) in [
        (Facts { filter_built: false, ..able() }, "Install clang"),
        (nobody(), "Run this as root, or give the process CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"),
        (old, "Linux 6.0 or later"),
        (Facts { jit: Some(false), ..able() }, "bpf_jit_enable=1"),
        (taken, "ip link show dev eth0"),
        (not_installed, "Install the package nftables"),
        (Facts { open_files_max: Some(Limit::Max(1_024)), ..able() }, "ulimit -n 65536"),
    ] {
        let steps = judge(&facts).next_steps.join("\n");
        assert!(steps.contains(step), "{step}: {steps}");
    }
    assert!(judge(&able()).next_steps.is_empty());
}

/// Without CAP_SYS_ADMIN no cookie can be timed; the page said that none could be made.
#[test]
fn a_cookie_that_was_not_timed_can_be_made_all_the_same() {
    let costs = able().costs.map(|costs| Costs { syn_cookie_ns: None, ..costs });
    let facts = Facts { costs, ..able() };
    let page = text(&facts, &judge(&facts));
    assert!(page.contains("by the filter: can be made"), "{page}");
    assert!(page.contains("SYN with a cookie    not measured"), "{page}");
}

#[test]
fn our_own_program_on_the_interface_is_no_strangers() {
    let mut facts = able();
    facts.interfaces[0].xdp_attached = Some(true);
    facts.running = Some(Running {
        tier: Tier::XdpNative,
        interface: Some("eth0".to_owned()),
        interfaces: vec![("eth0".to_owned(), Tier::XdpNative)],
        not_done: vec![],
        why_not_better: None,
    });
    let verdict = judge(&facts);
    assert!(verdict.next_steps.is_empty(), "{verdict:?}");
    let page = text(&facts, &verdict);
    assert!(page.contains("its kernel filter: native XDP on eth0"), "{page}");
    assert!(!page.contains("another XDP program"), "{page}");
    assert_eq!(verdict.interfaces[0].tier, Tier::XdpNative, "what is in force");
}

#[test]
fn the_ceiling_is_that_of_the_slowest_path() {
    let ceiling = judge(&able()).ceiling.unwrap();
    assert_eq!((ceiling.slowest_ns, ceiling.packets_per_s), (60, 16_666_666));
    assert_eq!(ceiling.mbit_per_s, 8_533);
    assert_eq!(ceiling.banned_packets_per_s, 50_000_000);
    // A path too short to be measured is no division by zero.
    let costs = Costs { pass_ns: 0, banned_ns: 0, rules_64_miss_ns: 0, syn_cookie_ns: None };
    let facts = Facts { costs: Some(costs), ..able() };
    assert_eq!(judge(&facts).ceiling.unwrap().packets_per_s, 1_000_000_000);
}

#[test]
fn numbers_are_grouped_by_three() {
    for (number, text) in
        [(0, "0"), (999, "999"), (1_000, "1,000"), (14_880_000, "14,880,000"), (123_456, "123,456")]
    {
        assert_eq!(grouped(number), text);
    }
}
